import { encodeUpdate } from '../../src/aggregation/encodings/encode-update.ts';
import type { PayloadEncoding } from '../../src/aggregation/encodings/payload-encoding.ts';
import { aggregate, stagingName } from '../../src/coordinator/aggregate.ts';
import { modelElements, readModel, writeModel } from '../../src/coordinator/model-store.ts';
import type { Job } from '../../src/rounds/job.ts';
import type { AcceptedUpdate } from '../../src/rounds/job-record.ts';
import { type JobState, submittedState } from '../../src/rounds/job-state.ts';
import { PayloadHasher } from '../../src/sm/payload-digest.ts';
import { sm3 } from '../../src/sm/sm3.ts';
import type { JobId, SiteId } from '../../src/vocabulary/ids.ts';
import { invariant } from '../../src/vocabulary/invariant.ts';
import { bytesOf } from '../../src/weights/float32-bytes.ts';
import { MemoryDisk } from '../storage/memory/memory-disk.ts';
import { openMemoryStore } from '../storage/memory/memory-store.ts';
import { spooled } from '../storage/memory/spooled-store.ts';

/** An update as a site would send it. */
export interface SentUpdate {
  readonly site: string;
  readonly sampleCount: number;
  readonly values: Float32Array;
  readonly metrics?: Readonly<Record<string, number>>;
  /** How it is encoded; float32 unless said. */
  readonly encoding?: PayloadEncoding;
  /** Global L2 norm, where the coordinator knows it before it reads the update. */
  readonly norm?: number;
  /** Versions that were committed since its base; 0 unless said. */
  readonly staleness?: number;
  /** Of its trainer, where that lacks tensors. */
  readonly schemaVersion?: string;
}

/** Rounds of a job without its wire: updates are staged in memory and aggregated as the coordinator does it. */
export class AggregationRounds {
  readonly disk = new MemoryDisk();
  readonly store = spooled(openMemoryStore({ disk: this.disk }));
  readonly #chunkBytes: number;
  #state: JobState;

  private constructor(spec: Job, chunkBytes: number, digest: JobState['digest']) {
    this.#chunkBytes = chunkBytes;
    this.#state = submittedState({
      kind: 'submitted',
      job: spec.name as JobId,
      spec,
      digest,
      chunkBytes,
      at: 0,
    });
  }

  /** Submits a job from these weights. Chunks are small, so that updates have several. */
  static async begin(spec: Job, weights: Float32Array, chunkBytes = 1024): Promise<AggregationRounds> {
    const rounds = new AggregationRounds(spec, chunkBytes, new PayloadHasher(chunkBytes).digest());
    await writeModel(rounds.store.blobs, spec.name as JobId, 0, weights, chunkBytes);
    return rounds;
  }

  /** Stages updates for the next round; `aggregate` of the result can be asked for again and again. */
  async stage(updates: readonly SentUpdate[]): Promise<readonly AcceptedUpdate[]> {
    const accepted: AcceptedUpdate[] = [];
    for (const update of updates) accepted.push(await this.#accept(update));
    return accepted;
  }

  /** Aggregates staged updates as the next round, which is not committed yet. */
  aggregate(updates: readonly AcceptedUpdate[]) {
    return aggregate(this.store, this.#state, {
      job: this.#state.id,
      round: this.#state.version + 1,
      updates,
    });
  }

  /** Lets the job know of so many sites. */
  populate(population: number): void {
    this.#state = { ...this.#state, population };
  }

  /** Commits what was aggregated last. */
  commit(): void {
    const { version, population, history } = this.#state;
    const last = { population } as JobState['history'][number];
    this.#state = { ...this.#state, version: version + 1, history: [...history, last] };
  }

  /** The weights of a version, the newest unless said; the caller's. */
  weights(version = this.#state.version): Promise<Float32Array> {
    return readModel(this.store.blobs, this.#state.id, version, modelElements(this.#state));
  }

  /** One whole round: the next weights. */
  async round(updates: readonly SentUpdate[]): Promise<Float32Array> {
    const outcome = await this.aggregate(await this.stage(updates));
    invariant(outcome.kind === 'stored', 'nothing was damaged');
    this.commit();
    return this.weights();
  }

  async #accept(update: SentUpdate): Promise<AcceptedUpdate> {
    const { site, sampleCount, values, metrics = {}, encoding, norm, staleness = 0, schemaVersion } = update;
    const { id: job, version, digest: baseDigest, manifest, spec } = this.#state;
    const bytes = encoding
      ? encodeUpdate(manifest, encoding, values, Number(spec.updateBound))
      : bytesOf(values);
    const hasher = new PayloadHasher(this.#chunkBytes);
    hasher.update(bytes);
    const [digest, payloadBytes] = [hasher.digest(), bytes.byteLength];
    const key = { job, round: version + 1 - staleness, attempt: 1, site: site as SiteId };
    const staged = await this.store.staging.open(stagingName(key, spec.strategy), {
      payloadBytes,
      chunkBytes: this.#chunkBytes,
      digest,
    });
    for (let from = 0; from < payloadBytes; from += this.#chunkBytes) {
      const chunk = bytes.subarray(from, from + this.#chunkBytes);
      await staged.write(chunk, sm3(chunk));
    }
    await staged.seal();
    await staged.close();
    const receipt = { statement: new Uint8Array(), algorithm: '', keyId: '', signature: new Uint8Array() };
    return {
      at: 0,
      norm,
      receipt,
      declaration: {
        key,
        baseVersion: version - staleness,
        baseDigest,
        sampleCount,
        manifest,
        ...(encoding && { encoding }),
        ...(schemaVersion !== undefined && { schemaVersion }),
        payloadBytes,
        chunkBytes: this.#chunkBytes,
        digest,
        metrics,
        backend: 'none',
      },
    };
  }
}
