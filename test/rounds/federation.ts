import type { Presence } from '../../src/rounds/assignment.ts';
import { type Job, jobSchema } from '../../src/rounds/job.ts';
import type { JobEvent } from '../../src/rounds/job-event.ts';
import type { AcceptedUpdate } from '../../src/rounds/job-record.ts';
import { type JobState, type recover, submittedState } from '../../src/rounds/job-state.ts';
import { step } from '../../src/rounds/step.ts';
import type { UpdateDeclaration } from '../../src/rounds/update.ts';
import type { Digest } from '../../src/vocabulary/digest.ts';
import type { JobId, SiteId } from '../../src/vocabulary/ids.ts';
import { payloadBytes } from '../../src/weights/manifest.ts';
import type { WeightsManifest } from '../../src/weights/schema/weights-manifest.ts';

export const [A, B, C, D] = ['a', 'b', 'c', 'd'] as SiteId[] as [SiteId, SiteId, SiteId, SiteId];
export const JOB = 'job' as JobId;

export const PRESENCE: Presence = {
  datasets: ['cohort'],
  trainers: [{ name: 'tfjs', kind: 'tfjs', backend: 'test' }],
  updateBytesMax: 2 ** 20,
  software: 'test',
  views: [],
  encodings: [],
};

/** What a site of the first release says: no encodings, and no weight schemas. */
export const FIRST_RELEASE: Presence = { ...PRESENCE, encodings: undefined };

export function digest(letter: string): Digest {
  return `sm3:${letter.repeat(64)}` as Digest;
}

/** A job of two rounds for three sites without statistics, changed as said. */
export function jobOf(change: Record<string, unknown> = {}): Job {
  return jobSchema.parse({
    apiVersion: 'consilium/v1',
    name: JOB,
    dataset: 'cohort',
    model: { kind: 'mlp', features: ['age', 'chol'], hidden: [] },
    trainer: { name: 'tfjs' },
    rounds: 2,
    cohort: { size: 3 },
    quorum: 2,
    deadlineMs: 1000,
    statistics: false,
    ...change,
  });
}

/** A job in the hands of a test: events go in, the state and the last effects can be looked at. */
export class Rehearsal {
  state: JobState;
  now = 10_000;
  readonly records: Parameters<typeof recover>[0][number][];
  private last: ReturnType<typeof step>['effects'] | undefined;

  constructor(spec: Job = jobOf(), weightsManifest?: WeightsManifest) {
    const submitted = {
      kind: 'submitted',
      job: JOB,
      spec,
      digest: digest('0'),
      chunkBytes: 16,
      at: this.now,
      ...(weightsManifest && { weightsManifest }),
    } as const;
    this.records = [submitted];
    this.state = submittedState(submitted);
    this.feed({ kind: 'started', online: new Map() });
  }

  get effects(): ReturnType<typeof step>['effects'] {
    return this.last as ReturnType<typeof step>['effects'];
  }

  feed(event: JobEvent): this {
    const { state, effects } = step(this.state, event, this.now);
    this.state = state;
    this.last = effects;
    this.records.push(...effects.persist);
    return this;
  }

  come(...sites: SiteId[]): this {
    for (const site of sites) this.feed({ kind: 'site-online', site, presence: PRESENCE });
    return this;
  }

  /** Lets time pass, and the alarm ring. */
  wait(ms: number): this {
    this.now += ms;
    return this.feed({ kind: 'tick' });
  }

  /** The site's update arrives, complete and durable. */
  arrive(site: SiteId, change: Partial<UpdateDeclaration> & { round?: number; attempt?: number } = {}): this {
    return this.feed({ kind: 'update-arrived', update: this.updateOf(site, change) });
  }

  updateOf(
    site: SiteId,
    change: Partial<UpdateDeclaration> & { round?: number; attempt?: number } = {},
  ): AcceptedUpdate {
    const { round = this.state.round, attempt = this.state.attempt, ...rest } = change;
    const declaration: UpdateDeclaration = {
      key: { job: JOB, round, attempt, site },
      baseVersion: this.state.version,
      baseDigest: this.state.digest,
      sampleCount: 10,
      manifest: this.state.manifest,
      payloadBytes: payloadBytes(this.state.manifest),
      chunkBytes: 16,
      digest: digest(site),
      metrics: {},
      backend: 'test',
      ...rest,
    };
    const statement = new TextEncoder().encode(JSON.stringify([site, round, attempt, declaration.digest]));
    const receipt = { statement, algorithm: 'test', keyId: 'test', signature: new Uint8Array() };
    return { declaration, receipt, at: this.now };
  }

  /** The sum that the last effects asked for is stored. */
  sum(contributors = [...this.state.accepted.keys()]): this {
    const statistics = contributors.map(() => ({ norm: 1, maxAbs: 1, zeroFraction: 0, cosine: undefined }));
    return this.feed({
      ...{ kind: 'aggregated', round: this.state.round, digest: digest('e'), contributors, statistics },
    });
  }

  evaluate(...sites: SiteId[]): this {
    const { round, attempt } = this.state;
    const assignment = `${JOB}/${round}/${attempt}/evaluate` as never;
    for (const site of sites) {
      const result = { kind: 'evaluation', metrics: { auc: 0.5 }, sampleCount: 10 } as const;
      this.feed({ kind: 'reported', site, assignment, result });
    }
    return this;
  }

  /** What was said to a site by the last step. */
  told(site: SiteId): readonly string[] {
    return this.effects.say.filter((one) => one.site === site).map(({ message }) => message.kind);
  }

  /** The code of the refusal that the last update got; undefined when it got a receipt. */
  get refusal(): string | undefined {
    const { reply } = this.effects;
    if (!reply) throw new Error('the last event was no update');
    return reply.ok ? undefined : reply.refusal.code;
  }
}
