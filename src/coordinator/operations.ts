import { inspectValues } from '../aggregation/inspect-values.ts';
import { digestOf } from '../engines/models/name-by-weights.ts';
import { type Problem, problem, publicText } from '../errors/problem.ts';
import type { OpinionView, StatusView } from '../protocol/views.ts';
import { needsProbe } from '../rounds/fit-schema.ts';
import type { Job } from '../rounds/job.ts';
import { exchangedManifest, jobSchema, manifestOf } from '../rounds/job.ts';
import { jobManifest, jobManifestFault, needsGolden, parseJobManifest } from '../rounds/job-manifest.ts';
import type { Store } from '../storage/store.ts';
import type { OperateRequest, OperateResponse } from '../transport/desk.ts';
import { ok, type Result, refused } from '../vocabulary/result.ts';
import { float32Of } from '../weights/float32-bytes.ts';
import {
  type Manifest,
  manifestDifference,
  manifestElements,
  payloadBytes,
  tensorSpans,
} from '../weights/manifest.ts';
import type { SchemaHistory } from '../weights/schema/history.ts';
import type { WeightsManifest } from '../weights/schema/weights-manifest.ts';
import { answer, refusal, views } from './answers.ts';
import type { JobDriver } from './job-driver.ts';
import { jobSummary, jobView, modelViews } from './job-view.ts';
import type { Jobs } from './jobs.ts';
import { modelElements, pulledSource, readModel } from './model-store.ts';
import { type SiteOperationPorts, SiteOperations } from './site-operations.ts';

/** What operators' commands stand on. */
export interface OperationPorts extends SiteOperationPorts {
  readonly store: Store;
  readonly jobs: Jobs;
  readonly updateBytesMax: number;
  readonly status: () => StatusView;
}

/** Operators' commands, one method each; every answer is a stream of views, weights or one problem. */
export class Operations {
  private readonly ports: OperationPorts;
  private readonly sites: SiteOperations;

  constructor(ports: OperationPorts) {
    this.ports = ports;
    this.sites = new SiteOperations(ports);
  }

  async *operate(request: OperateRequest): AsyncGenerator<OperateResponse> {
    const { jobs } = this.ports;
    switch (request.kind) {
      case 'submit-job':
        yield* this.submit(request);
        break;
      case 'list-jobs':
        yield* views(jobs.list().map(jobSummary));
        break;
      case 'get-job':
        yield* this.withJob(request.job, async (driver) => this.viewOf(driver));
        break;
      case 'watch-job':
        yield* this.watch(request.job);
        break;
      case 'stop-job':
        yield* this.withJob(request.job, async (driver) => {
          await driver.post({ kind: 'stop', reason: 'the operator stopped it' });
          return this.viewOf(driver);
        });
        break;
      case 'list-sites':
      case 'get-site':
      case 'invite-site':
      case 'approve-site':
      case 'revoke-site':
      case 'list-certificates':
      case 'revoke-certificate':
        yield* this.sites.operate(request);
        break;
      case 'list-models':
        yield* views(jobs.list().flatMap(modelViews));
        break;
      case 'get-holding':
        yield answer(await this.ports.features.holding(request.holding, request.name));
        break;
      case 'pull-model':
        yield this.pull(request.job, request.version);
        break;
      case 'get-status':
        yield { kind: 'view', view: this.ports.status() };
        break;
    }
  }

  private async *submit(
    request: Extract<OperateRequest, { kind: 'submit-job' }>,
  ): AsyncGenerator<OperateResponse> {
    const parsed = jobSchema.safeParse(request.spec);
    if (!parsed.success) {
      const [issue] = parsed.error.issues;
      const reason = `${issue?.path.join('.') || 'the job'}: ${issue?.message ?? 'not understood'}`;
      yield refusal(problem('JOB_INVALID', { reason }));
      return;
    }
    const spec = parsed.data;
    const manifest = manifestBeside(spec, request.weightsManifest);
    if (!manifest.ok) {
      yield refusal(manifest.refusal);
      return;
    }
    const bytes = payloadBytes(exchangedManifest(spec));
    if (bytes > this.ports.updateBytesMax) {
      const reason = `its weights take ${bytes} bytes; this coordinator takes ${this.ports.updateBytesMax}`;
      yield refusal(problem('JOB_INVALID', { reason }));
      return;
    }
    const weights = await this.firstWeights(spec, request.initialWeights);
    const other = weights.ok && otherWeights(spec, manifest.value, weights.value);
    if (!weights.ok) {
      yield refusal(weights.refusal);
    } else if (other) {
      yield refusal(other);
    } else if (request.dryRun) {
      yield* views(await this.opinions(spec, manifest.value?.history));
    } else {
      const submitted = await this.ports.jobs.submit(spec, weights.value, manifest.value);
      yield submitted.ok ? { kind: 'view', view: jobView(submitted.value) } : refusal(submitted.refusal);
    }
  }

  /** The weights that a job says it starts from; undefined where it leaves them to the seed. */
  private async firstWeights(
    spec: Job,
    given: Extract<OperateRequest, { kind: 'submit-job' }>['initialWeights'],
  ): Promise<Result<Float32Array | undefined, Problem>> {
    const from = spec.initialWeights;
    const invalid = (reason: string) =>
      refused(problem('JOB_INVALID', { reason: `initialWeights: ${reason}` }));
    if (!from) return ok(undefined);
    const manifest = manifestOf(spec);
    const elements = manifestElements(manifest);
    let values: Float32Array;
    if ('file' in from) {
      if (!given) return invalid('the file did not come with the job');
      const difference = manifestDifference(manifest, given.manifest);
      if (difference !== undefined) return invalid(difference);
      values = await gather(given.content, elements);
    } else {
      const state = this.ports.jobs.find(from.job)?.state;
      if (!state || from.version > state.version) return refused(problem('MODEL_UNKNOWN', { ...from }));
      const difference = manifestDifference(manifest, manifestOf(state.spec));
      if (difference !== undefined) return invalid(difference);
      const whole = await readModel(this.ports.store.blobs, state.id, from.version, modelElements(state));
      values = whole.slice(0, elements);
    }
    const blind = needsProbe(spec) ? uniformTensor(manifest, values) : undefined;
    if (blind !== undefined) {
      return invalid(
        `${blind} holds one number alone, so that no probe could tell whether it is read rightly`,
      );
    }
    const fault = inspectValues(values, Number.MAX_VALUE);
    return fault ? invalid(`element ${fault.place} is not finite`) : ok(values);
  }

  private async opinions(spec: Job, history: SchemaHistory | undefined): Promise<readonly OpinionView[]> {
    const [answers, sites] = [
      await this.ports.attendances.ask(spec, history),
      await this.ports.directory.list(),
    ];
    return sites
      .filter(({ state }) => state === 'active')
      .map(({ site }) => {
        const objections = answers.get(site);
        const said = objections?.map((objection) => publicText(objection)) ?? [
          'The site is not connected, or did not answer.',
        ];
        return {
          site,
          online: this.ports.roster.online().has(site),
          wouldJoin: said.length === 0,
          objections: said,
        };
      });
  }

  private async *watch(name: string): AsyncGenerator<OperateResponse> {
    const driver = this.ports.jobs.find(name);
    if (!driver) {
      yield refusal(problem('JOB_UNKNOWN', { job: name }));
      return;
    }
    let changed = () => {};
    let change = new Promise<void>((resolve) => {
      changed = resolve;
    });
    const unwatch = this.ports.jobs.watch(driver.state.id, () => changed());
    try {
      for (;;) {
        yield { kind: 'view', view: this.viewOf(driver) };
        if (driver.state.ended) return;
        await change;
        change = new Promise((resolve) => {
          changed = resolve;
        });
      }
    } finally {
      unwatch();
    }
  }

  private pull(name: string, version: number | undefined): OperateResponse {
    const state = this.ports.jobs.find(name)?.state;
    if (!state) return refusal(problem('JOB_UNKNOWN', { job: name }));
    const source = pulledSource(this.ports.store.blobs, state, version ?? state.version);
    if (!source) return refusal(problem('MODEL_UNKNOWN', { job: name, version: version ?? state.version }));
    return { kind: 'payload', source };
  }

  private async *withJob(
    name: string,
    work: (driver: JobDriver) => Promise<unknown>,
  ): AsyncGenerator<OperateResponse> {
    const driver = this.ports.jobs.find(name);
    yield driver
      ? { kind: 'view', view: await work(driver) }
      : refusal(problem('JOB_UNKNOWN', { job: name }));
  }

  private viewOf(driver: JobDriver) {
    return jobView(driver.state, this.ports.jobs.refusals(driver.state.id));
  }
}

/** The weights manifest that came beside a job, as it is kept; undefined where none came and none is needed. */
function manifestBeside(spec: Job, json: unknown): Result<WeightsManifest | undefined, Problem> {
  const invalid = (reason: string) =>
    refused(problem('JOB_INVALID', { reason: `weightSchema.manifest: ${reason}` }));
  if (json === undefined) {
    return needsGolden(spec)
      ? invalid('it did not come with the job, and what an external model has to compute stands in it')
      : ok(undefined);
  }
  const parsed = parseJobManifest(json);
  if (!parsed.ok) return invalid(parsed.refusal);
  const fault = jobManifestFault(spec, parsed.value);
  return fault === undefined ? ok(jobManifest(spec, parsed.value)) : invalid(fault);
}

/** JOB_INVALID where golden outputs are of other weights than those that the job starts from. */
function otherWeights(
  spec: Job,
  manifest: WeightsManifest | undefined,
  values: Float32Array | undefined,
): Problem | undefined {
  if (!manifest?.probe || !values) return undefined;
  const spans = tensorSpans(manifestOf(spec));
  const other = spans.find(
    ({ start, length }, place) =>
      digestOf(values.subarray(start, start + length)) !== manifest.tensors[place]!.sha256,
  );
  if (!other) return undefined;
  const reason = `weightSchema.manifest: its golden outputs are of other weights than the job starts from, ${other.tensor.name} has another SHA-256. Start from the file that it was made of, make it anew from these weights (of a version of the federation, pull that first), or say probe: off`;
  return problem('JOB_INVALID', { reason });
}

/** The name of a tensor of two axes or more whose elements are all the same. */
function uniformTensor(manifest: Manifest, values: Float32Array): string | undefined {
  const uniform = tensorSpans(manifest).find(
    ({ tensor, start, length }) =>
      tensor.shape.length > 1 &&
      length > 1 &&
      values.subarray(start, start + length).every((value) => value === values[start]),
  );
  return uniform?.tensor.name;
}

async function gather(content: AsyncIterable<Uint8Array>, elements: number): Promise<Float32Array> {
  const bytes = new Uint8Array(4 * elements);
  let filled = 0;
  for await (const piece of content) {
    bytes.set(piece, filled);
    filled += piece.byteLength;
  }
  return float32Of(bytes);
}
