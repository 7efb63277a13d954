import type { UpdateStatistics } from '../aggregation/update-measure.ts';
import type { Digest } from '../vocabulary/digest.ts';
import type { Attempt, EpochMs, JobId, ModelVersion, Round, SiteId } from '../vocabulary/ids.ts';
import type { WeightsManifest } from '../weights/schema/weights-manifest.ts';
import type { Job } from './job.ts';
import type { TakenProbe } from './probe-report.ts';
import type { FeatureConstants, FeatureSums } from './statistics.ts';
import type { Receipt, UpdateDeclaration } from './update.ts';

/** What is durably known of a job: the only input of its recovery. Replaying the records gives the state back. */
export type JobRecord =
  | {
      readonly kind: 'submitted';
      readonly job: JobId;
      readonly spec: Job;
      /** Payload digest of version 0. */
      readonly digest: Digest;
      /** Payload digest of its model alone, where more than the model is in a version. */
      readonly modelDigest?: Digest | undefined;
      /** Chunk that every payload digest of the job's versions is made over, in bytes. */
      readonly chunkBytes: number;
      /** The weights manifest that came with the job, as it travels (`jobManifest`); missing where none came. */
      readonly weightsManifest?: WeightsManifest | undefined;
      readonly at: EpochMs;
    }
  | {
      readonly kind: 'attempt-started';
      readonly round: Round;
      readonly attempt: Attempt;
      readonly cohort: readonly SiteId[];
      /** Sites that there are, N in SCAFFOLD; missing where that has not grown. */
      readonly population?: number | undefined;
      /** Sites of the cohort that go on with what an earlier attempt asked of them; missing unless there are any. */
      readonly kept?: readonly SiteId[] | undefined;
      /** Sites that had trained for too long, and begin anew if they are in the cohort; missing unless there are any. */
      readonly recalled?: readonly SiteId[] | undefined;
      readonly at: EpochMs;
    }
  /** A site that came (back) while the round still lacked participants. */
  | { readonly kind: 'participant-added'; readonly site: SiteId; readonly at: EpochMs }
  | {
      readonly kind: 'statistics-taken';
      readonly site: SiteId;
      readonly features: readonly FeatureSums[];
      readonly at: EpochMs;
    }
  | {
      readonly kind: 'constants-settled';
      readonly constants: readonly FeatureConstants[];
      readonly at: EpochMs;
    }
  /** What came of the probe of the weights at a site; a later one takes its place. */
  | { readonly kind: 'probe-taken'; readonly site: SiteId; readonly probe: TakenProbe }
  | { readonly kind: 'update-accepted'; readonly update: AcceptedUpdate }
  | {
      readonly kind: 'attempt-abandoned';
      readonly round: Round;
      readonly attempt: Attempt;
      readonly reason: string;
      /** Sites whose accepted updates turned out to be unusable; all others count in the next attempt. */
      readonly dropped: readonly SiteId[];
      readonly at: EpochMs;
    }
  | {
      readonly kind: 'version-committed';
      readonly version: ModelVersion;
      readonly digest: Digest;
      /** Payload digest of its model alone, where more than the model is in a version. */
      readonly modelDigest?: Digest | undefined;
      readonly contributors: readonly SiteId[];
      /** What is known of their updates, in the same order; missing in journals of before it was kept. */
      readonly statistics?: readonly UpdateStatistics[] | undefined;
      readonly at: EpochMs;
    }
  | {
      readonly kind: 'evaluation-taken';
      readonly site: SiteId;
      readonly evaluation: Evaluation;
      readonly at: EpochMs;
    }
  | { readonly kind: 'evaluated'; readonly version: ModelVersion; readonly at: EpochMs }
  | { readonly kind: 'site-revoked'; readonly site: SiteId; readonly at: EpochMs }
  | { readonly kind: 'ended'; readonly outcome: Outcome; readonly reason: string; readonly at: EpochMs };

/** How a job can end. */
export type Outcome = 'finished' | 'failed' | 'stopped';

/** An update that is durably in, with the receipt that says so. Its bytes are in the coordinator's staging. */
export interface AcceptedUpdate {
  readonly declaration: UpdateDeclaration;
  /** Global L2 norm of the bytes, as the coordinator computed it; undefined in journals of before it did. */
  readonly norm?: number | undefined;
  readonly receipt: Receipt;
  readonly at: EpochMs;
}

/** What one site said of one model version. */
export interface Evaluation {
  readonly metrics: Readonly<Record<string, number>>;
  readonly sampleCount: number;
}
