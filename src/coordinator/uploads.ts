import { ConsiliumError, type Problem, problem } from '../errors/problem.ts';
import { receiptFor } from '../identity/receipts.ts';
import type { Clock } from '../ports/clock.ts';
import type { StagedTransfer } from '../ports/staging.ts';
import { unsharedChange, unsharedSpans } from '../rounds/batch-norm.ts';
import { lackedSpans } from '../rounds/earlier-version.ts';
import type { JobState } from '../rounds/job-state.ts';
import { judgeUpdate } from '../rounds/judge-update.ts';
import type { Receipt, ReceiptStatement, UpdateDeclaration } from '../rounds/update.ts';
import { ElementBounds } from '../rounds/update-bounds.ts';
import type { Store } from '../storage/store.ts';
import type { UploadSlot, UploadVerdict } from '../transport/desk.ts';
import type { FederationId, SiteId } from '../vocabulary/ids.ts';
import { ok, type Result, refused } from '../vocabulary/result.ts';
import { float32Of } from '../weights/float32-bytes.ts';
import { locateElement, type TensorSpan } from '../weights/manifest.ts';
import { stagingName } from './aggregate.ts';
import { ArrivalNorm } from './arrival-norm.ts';
import { EncodedArrival } from './encoded-arrival.ts';
import type { JobDriver } from './job-driver.ts';
import type { Jobs } from './jobs.ts';

/** What taking updates stands on. */
export interface UploadPorts {
  readonly store: Store;
  readonly clock: Clock;
  readonly jobs: Jobs;
  readonly federation: FederationId;
  readonly updateBytesMax: number;
  /** Whether the signature is the site's, over the update's statement. */
  readonly verifyUpdate: (
    site: SiteId,
    declaration: UpdateDeclaration,
    signature: Uint8Array,
  ) => Promise<boolean>;
  readonly signReceipt: (statement: ReceiptStatement) => Promise<Receipt>;
}

/** Takes updates in: judged by declaration, staged, judged again when complete, accepted durably, receipted. */
export class Uploads {
  private readonly ports: UploadPorts;
  /** The transfer that now writes under a name; a site that dials anew takes the place of its older self. */
  private readonly writers = new Map<string, StagedTransfer>();
  /** The last of the turns that change what is staged under a name, while there is one. */
  private readonly turns = new Map<string, Promise<unknown>>();

  constructor(ports: UploadPorts) {
    this.ports = ports;
  }

  async declare(
    site: SiteId,
    declaration: UpdateDeclaration,
    signature: Uint8Array,
  ): Promise<Result<UploadVerdict, Problem>> {
    const { key, payloadBytes } = declaration;
    const { jobs, updateBytesMax } = this.ports;
    const refuse = (occurrence: Problem) => {
      jobs.noteRefusal(key.job, occurrence);
      return refused(occurrence);
    };
    if (key.site !== site) return refuse(problem('SITE_IMPERSONATED', { actual: site, claimed: key.site }));
    const driver = jobs.find(key.job);
    if (!driver) return refuse(problem('JOB_UNKNOWN', { job: key.job }));
    const judgement = judgeUpdate(driver.state, declaration);
    if (judgement.verdict === 'held') return ok({ kind: 'held', receipt: judgement.receipt });
    if (judgement.verdict === 'refuse') return refuse(judgement.problem);
    if (payloadBytes > updateBytesMax) {
      return refuse(problem('UPDATE_TOO_LARGE', { bytes: payloadBytes, limit: updateBytesMax }));
    }
    if (!(await this.ports.verifyUpdate(site, declaration, signature)))
      return refuse(problem('UPDATE_UNSIGNED'));
    return this.inTurn(
      stagingName(key, driver.state.spec.strategy),
      async (): Promise<Result<UploadVerdict, Problem>> => {
        // Another stream of the site may have had its update accepted meanwhile: that one's bytes must stay.
        const now = judgeUpdate(driver.state, declaration);
        if (now.verdict === 'held') return ok({ kind: 'held', receipt: now.receipt });
        if (now.verdict === 'refuse') return refuse(now.problem);
        return ok({ kind: 'slot', slot: await this.openSlot(driver, declaration) });
      },
    );
  }

  /** Opening, accepting and discarding under one name happen one after the other. */
  private inTurn<Value>(name: string, work: () => Promise<Value>): Promise<Value> {
    const turn = (this.turns.get(name) ?? Promise.resolve()).then(work);
    const settled: Promise<unknown> = turn
      .catch(() => {})
      .finally(() => {
        if (this.turns.get(name) === settled) this.turns.delete(name);
      });
    this.turns.set(name, settled);
    return turn;
  }

  private async openSlot(driver: JobDriver, declaration: UpdateDeclaration): Promise<UploadSlot> {
    const { store, jobs } = this.ports;
    const { key, payloadBytes, chunkBytes, digest } = declaration;
    const name = stagingName(key, driver.state.spec.strategy);
    const older = this.writers.get(name);
    this.writers.delete(name);
    await older?.close();
    const plan = { payloadBytes, chunkBytes, digest };
    const staged = await store.staging.open(name, plan);
    const norm = new ArrivalNorm(payloadBytes);
    const bounds = new ElementBounds(driver.state.spec.updateBound, driver.state.manifest);
    const unshared = unsharedSpans(driver.state.spec.batchNorm, driver.state.manifest);
    const lacked = lackedSpans(driver.state.spec, declaration.schemaVersion);
    const inspectValuesAt = (offset: number, values: Float32Array) => {
      const changed = unsharedChange(lacked, offset, values);
      if (changed) return problem('UPDATE_OF_LACKED', { ...changed, version: declaration.schemaVersion! });
      return valueFault(driver.state, { bounds, unshared }, offset, values);
    };
    const encoded = EncodedArrival.of(declaration, inspectValuesAt);
    this.writers.set(name, staged);
    const current = () => {
      if (this.writers.get(name) !== staged) {
        throw new ConsiliumError(problem('WITHDRAWN', { reason: 'the site began this upload anew' }));
      }
    };
    const count = (occurrence: Problem) => {
      jobs.noteRefusal(key.job, occurrence);
      return occurrence;
    };
    return {
      plan,
      staged: {
        chunkDigests: staged.chunkDigests,
        write: async (data, hash) => {
          current();
          await staged.write(data, hash);
        },
        seal: async () => {
          current();
          await staged.seal();
        },
        close: () => staged.close(),
      },
      inspect: (chunk, data) => {
        if (encoded) {
          const fault = encoded.take(chunk * chunkBytes, data);
          return fault && count(fault);
        }
        const values = float32Of(data);
        const offset = (chunk * chunkBytes) / 4;
        const fault = inspectValuesAt(offset, values);
        if (!fault) norm.take(offset, values);
        return fault && count(fault);
      },
      accept: () =>
        this.inTurn(name, async () => {
          current();
          const arrived = encoded
            ? await encoded.of(store.staging, name)
            : ok(await norm.of(store.staging, name));
          if (arrived.ok && (declaration.norm === undefined || declaration.norm === arrived.value))
            return this.accept(driver, declaration, arrived.value);
          await staged.close();
          await store.staging.discard(name);
          if (!arrived.ok) return refused(count(arrived.refusal));
          const norms = { declared: declaration.norm!, actual: arrived.value };
          return refused(count(problem('UPDATE_NORM_FALSE', norms)));
        }),
      discard: () =>
        this.inTurn(name, async () => {
          current();
          await staged.close();
          await store.staging.discard(name);
        }),
      release: async () => {
        if (this.writers.get(name) === staged) this.writers.delete(name);
        await staged.close();
      },
    };
  }

  /** The round may have moved on while the bytes came: judged once more, at the job's own pace. */
  private async accept(
    driver: JobDriver,
    declaration: UpdateDeclaration,
    norm: number,
  ): Promise<Result<Receipt, Problem>> {
    let early: Result<Receipt, Problem> | undefined;
    const outcome = await driver.postMade(async (state) => {
      const judgement = judgeUpdate(state, declaration);
      if (judgement.verdict === 'take') {
        const at = this.ports.clock.now();
        const receipt = await this.ports.signReceipt(receiptFor(this.ports.federation, declaration, at));
        return { kind: 'update-arrived', update: { declaration, norm, receipt, at } };
      }
      early = judgement.verdict === 'held' ? ok(judgement.receipt) : refused(judgement.problem);
      return undefined;
    });
    const answer =
      outcome ?? early ?? refused(problem('STORE_UNAVAILABLE', { what: 'the journal of the job' }));
    if (!answer.ok) this.ports.jobs.noteRefusal(declaration.key.job, answer.refusal);
    return answer;
  }
}

/** What is wrong with the values that begin at element `offset`. */
function valueFault(
  state: JobState,
  { bounds, unshared }: { readonly bounds: ElementBounds; readonly unshared: readonly TensorSpan[] },
  offset: number,
  values: Float32Array,
): Problem | undefined {
  const changed = unsharedChange(unshared, offset, values);
  if (changed) return problem('UPDATE_OF_UNSHARED', { ...changed, policy: state.spec.batchNorm!.policy });
  const fault = bounds.faultIn(offset, values);
  if (!fault) return undefined;
  const { tensor, index } = locateElement(state.manifest, offset + fault.place);
  return Number.isFinite(fault.value)
    ? problem('UPDATE_OUT_OF_BOUND', { tensor, index, bound: bounds.at(offset + fault.place) })
    : problem('UPDATE_NON_FINITE', { tensor, index, value: fault.value });
}
