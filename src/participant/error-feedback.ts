import { z } from 'zod';
import { ConsiliumError } from '../errors/problem.ts';
import type { BlobStore } from '../ports/blob-store.ts';
import type { Clock } from '../ports/clock.ts';
import type { Telemetry } from '../ports/telemetry.ts';
import type { HeldUpdate } from '../rounds/site.ts';
import { piecesOf, readBlob } from '../storage/whole-blob.ts';
import { canonicalJson } from '../vocabulary/canonical-json.ts';
import type { Digest } from '../vocabulary/digest.ts';
import type { JobId, Round } from '../vocabulary/ids.ts';
import { bytesOf, float32Of } from '../weights/float32-bytes.ts';
import { FORGOTTEN_AFTER_MS, type PayloadCut } from './held-updates.ts';

/** Residuals of accepted updates that are kept: a round that is trained anew goes on from the one before. */
const ACCEPTED_MAX = 2;
/** Updates of unknown fate that are remembered for each job, the latest ones. */
const OPEN_MAX = 16;

const count = z.int().min(0);
const digest = z
  .string()
  .regex(/^sm3:[0-9a-f]{64}$/)
  .transform((text) => text as Digest);
const openSchema = z.strictObject({
  round: count,
  baseVersion: count,
  baseDigest: digest,
  digest,
  sampleCount: count,
  schemaVersion: z.string().optional(),
  payloadBytes: count,
  chunkBytes: count,
});
const recordSchema = z.strictObject({
  accepted: z.array(z.strictObject({ round: count, digest })),
  open: z.array(openSchema),
  at: z.number(),
});

/** An update that left the site's hands before anyone said whether it was accepted. */
export type OpenUpdate = z.output<typeof openSchema>;
type FeedbackRecord = z.output<typeof recordSchema>;

/** What names an update: its job, its round and the digest of its bytes. */
type Named = Pick<HeldUpdate, 'job' | 'round' | 'digest'>;

/**
 * What encoding took away from a site's updates, on the site's disk and nowhere else, for the next update of the job to make
 * good (Seide et al. 2014, "1-Bit Stochastic Gradient Descent", section 3.2; Karimireddy et al. 2019, "Error Feedback Fixes
 * SignSGD and other Gradient Compression Schemes", algorithm 1).
 *
 * A residual is put beside its update and counts from the moment the update is known to be accepted: by its receipt, by the
 * receipts of the version, or by asking. So an update that is refused or lost leaves what there was before it, and one that was
 * accepted is never made good twice. Training a round goes on from the newest accepted residual of an earlier one.
 */
export class ErrorFeedback {
  readonly #blobs: BlobStore;
  readonly #clock: Clock;
  readonly #telemetry: Telemetry;
  /** Changes of records happen one after the other. */
  #turn: Promise<unknown> = Promise.resolve();

  private constructor(blobs: BlobStore, clock: Clock, telemetry: Telemetry) {
    this.#blobs = blobs;
    this.#clock = clock;
    this.#telemetry = telemetry;
  }

  /** Finds what an earlier process kept, and sweeps away what belongs to no update any more. Throws STORE_UNAVAILABLE. */
  static async open(
    blobs: BlobStore,
    clock: Clock,
    telemetry: Telemetry,
    held: readonly HeldUpdate[],
  ): Promise<ErrorFeedback> {
    const feedback = new ErrorFeedback(blobs, clock, telemetry);
    const named = new Set(held.map(residualName));
    for (const name of await blobs.list('feedback/')) {
      const job = name.slice('feedback/'.length) as JobId;
      const { accepted, open, at } = await feedback.#read(job);
      if (clock.now() - at > FORGOTTEN_AFTER_MS) await blobs.delete(name);
      else for (const own of [...accepted, ...open]) named.add(residualName({ job, ...own }));
    }
    for (const name of await blobs.list('residuals/')) if (!named.has(name)) await blobs.delete(name);
    return feedback;
  }

  /**
   * What is to be added to the update of a round: the newest accepted residual of an earlier one, the caller's; undefined where
   * there is none. One that is damaged, or of another size, is lost, which is logged and counted.
   */
  async residual(job: JobId, round: Round, elements: number): Promise<Float32Array | undefined> {
    const { accepted } = await this.#read(job);
    const own = accepted.filter((one) => one.round < round).at(-1);
    if (!own) return undefined;
    const name = residualName({ job, ...own });
    const content = (await this.#size(name)) === 4 * elements ? await readBlob(this.#blobs, name) : undefined;
    if (content) return float32Of(content);
    this.#telemetry.count('consilium_residuals_lost_total');
    this.#telemetry.log('warn', 'what encoding took away from earlier updates is lost', {
      job,
      round: own.round,
    });
    return undefined;
  }

  /** Keeps what encoding took away from an update (borrowed) until its fate is known. Throws STORE_FULL, STORE_UNAVAILABLE. */
  async put(update: Named, residual: Float32Array): Promise<void> {
    await this.#blobs.put(residualName(update), piecesOf(bytesOf(residual)));
  }

  /** An update was accepted: from now on its residual counts. Again, or of an update without one, it changes nothing. */
  accepted(update: Named): Promise<void> {
    return this.#inTurn(async () => {
      const { job, round, digest } = update;
      if ((await this.#size(residualName(update))) === undefined) return;
      const record = await this.#read(job);
      if (record.accepted.some((one) => one.digest === digest && one.round === round)) return;
      const others = record.accepted.filter((one) => one.round !== round);
      const accepted = [...others, { round, digest }].sort((one, other) => one.round - other.round);
      const open = record.open.filter((one) => one.digest !== digest);
      await this.#write(job, { accepted: accepted.slice(-ACCEPTED_MAX), open });
      await this.#sweep(
        job,
        accepted.slice(0, -ACCEPTED_MAX).concat(record.accepted.filter((one) => one.round === round)),
      );
    });
  }

  /** The site lets go of an update. Where nobody has said whether it was accepted, that is to be asked before it matters. */
  released(update: HeldUpdate, cut: PayloadCut): Promise<void> {
    return this.#inTurn(async () => {
      const { job, round, digest, baseVersion, baseDigest, sampleCount, schemaVersion } = update;
      if ((await this.#size(residualName(update))) === undefined) return;
      const record = await this.#read(job);
      if ([...record.accepted, ...record.open].some((one) => one.digest === digest && one.round === round))
        return;
      const said = { round, baseVersion, baseDigest, digest, sampleCount, ...cut };
      const open = [...record.open, { ...said, ...(schemaVersion !== undefined && { schemaVersion }) }];
      await this.#write(job, { ...record, open: open.slice(-OPEN_MAX) });
      await this.#sweep(job, open.slice(0, -OPEN_MAX));
    });
  }

  /** Updates of rounds before this one of which nobody has said whether they were accepted, oldest first. */
  async open(job: JobId, round: Round): Promise<readonly OpenUpdate[]> {
    const { open } = await this.#read(job);
    return open.filter((one) => one.round < round).sort((one, other) => one.round - other.round);
  }

  /** An update was not accepted: its residual is of no use. */
  refused(update: Named): Promise<void> {
    return this.#inTurn(async () => {
      const { job, digest } = update;
      const record = await this.#read(job);
      await this.#write(job, { ...record, open: record.open.filter((one) => one.digest !== digest) });
      await this.#sweep(job, [update]);
    });
  }

  #inTurn<Value>(work: () => Promise<Value>): Promise<Value> {
    const turn = this.#turn.then(work);
    this.#turn = turn.catch(() => {});
    return turn;
  }

  async #read(job: JobId): Promise<FeedbackRecord> {
    const none = { accepted: [], open: [], at: this.#clock.now() };
    const name = recordName(job);
    if ((await this.#size(name)) === undefined) return none;
    const content = await readBlob(this.#blobs, name);
    const parsed = content && recordSchema.safeParse(parseJson(content));
    if (parsed?.success) return parsed.data;
    this.#telemetry.count('consilium_residuals_lost_total');
    this.#telemetry.log('warn', 'what encoding took away from earlier updates is lost', { job });
    await this.#blobs.delete(name);
    return none;
  }

  async #write(job: JobId, record: Omit<FeedbackRecord, 'at'>): Promise<void> {
    const text = canonicalJson({ ...record, at: this.#clock.now() });
    await this.#blobs.put(recordName(job), piecesOf(Buffer.from(text)));
  }

  async #sweep(job: JobId, gone: readonly Pick<Named, 'round' | 'digest'>[]): Promise<void> {
    for (const { round, digest } of gone) await this.#blobs.delete(residualName({ job, round, digest }));
  }

  /** Bytes of a blob, damaged or not; undefined where there is none. */
  async #size(name: string): Promise<number | undefined> {
    try {
      return await this.#blobs.size(name);
    } catch (error) {
      if (isDamage(error)) return 0;
      throw error;
    }
  }
}

function isDamage(error: unknown): boolean {
  return error instanceof ConsiliumError && error.problem.code === 'STORE_CORRUPT';
}

function recordName(job: JobId): string {
  return `feedback/${job}`;
}

function residualName({ job, round, digest }: Named): string {
  return `residuals/${job}/${round}/${digest.slice('sm3:'.length, 'sm3:'.length + 32)}`;
}

function parseJson(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(Buffer.from(bytes).toString());
  } catch {
    return undefined;
  }
}
