import type { Problem } from '../errors/problem.ts';
import type { Digest } from '../vocabulary/digest.ts';
import type { AssignmentId, Attempt, JobId, ModelVersion, Round, SiteId } from '../vocabulary/ids.ts';
import type { Result } from '../vocabulary/result.ts';
import type { WeightsManifest } from '../weights/schema/weights-manifest.ts';
import type { DeclaredView } from './declared-view.ts';
import type { Job } from './job.ts';
import type { ProbeReport } from './probe-report.ts';
import type { FeatureConstants, FeatureSums } from './statistics.ts';
import type { StatedSchema } from './weight-schema.ts';

/** What a participant is asked to do. */
export type Task = 'statistics' | 'train' | 'evaluate' | 'probe';

/** One piece of work for one participant. */
export interface Assignment {
  readonly id: AssignmentId;
  readonly job: JobId;
  readonly round: Round;
  readonly attempt: Attempt;
  readonly task: Task;
  /** The global weights that the task starts from. */
  readonly baseVersion: ModelVersion;
  readonly baseDigest: Digest;
  /** Milliseconds that this attempt still has, by the coordinator's clock. */
  readonly remainingMs: number;
  readonly spec: Job;
  /**
   * Imputation and scaling of the features; undefined before or without a statistics round, and of a job over a
   * feature view, for which the site asks.
   */
  readonly constants: readonly FeatureConstants[] | undefined;
  /** Of a probe of an external model alone: its golden outputs, as they travel (`jobManifest`). */
  readonly weightsManifest?: WeightsManifest | undefined;
}

/** The id of an assignment; the site is not in it, since each site sees only its own. */
export function assignmentId(job: JobId, round: Round, attempt: Attempt, task: Task): AssignmentId {
  return `${job}/${round}/${attempt}/${task}` as AssignmentId;
}

/** What a site offers on joining: names, never locations. */
export interface Presence {
  readonly datasets: readonly string[];
  readonly trainers: readonly TrainerOffer[];
  readonly updateBytesMax: number;
  readonly software: string;
  /** Feature views that those datasets are read from. */
  readonly views: readonly DeclaredView[];
  /** Encodings of updates that it can send besides float32; undefined from sites of before. */
  readonly encodings?: readonly string[] | undefined;
}

/** One trainer that a site can run. */
export interface TrainerOffer {
  readonly name: string;
  readonly kind: 'tfjs' | 'command';
  /** The live tensor backend or framework. */
  readonly backend: string;
  /** Whose layout its weights have, such as `pytorch`; undefined where the site does not say. */
  readonly framework?: string | undefined;
  /** The weight schemas that it is written for; undefined where it states none. */
  readonly schemas?: readonly StatedSchema[] | undefined;
}

/** How far a participant is with an assignment. */
export interface Progress {
  readonly assignment: AssignmentId;
  readonly phase: ProgressPhase;
  /** Done share of the phase, 0 to 1. */
  readonly fraction: number;
  /** Current training loss, where the site's policy lets it leave. */
  readonly loss: number | undefined;
  readonly bytes: number;
}

/** What a participant is at. */
export type ProgressPhase = 'downloading' | 'training' | 'uploading' | 'evaluating' | 'counting';

/** The result of an assignment other than an update. */
export type ReportResult =
  | { readonly kind: 'statistics'; readonly features: readonly FeatureSums[] }
  | {
      readonly kind: 'evaluation';
      readonly metrics: Readonly<Record<string, number>>;
      readonly sampleCount: number;
    }
  | { readonly kind: 'probe'; readonly probe: ProbeReport }
  | { readonly kind: 'failure'; readonly problem: Problem };

/** What a site says on its long-lived stream. */
export type SiteMessage =
  | { readonly kind: 'presence'; readonly presence: Presence }
  | { readonly kind: 'heartbeat'; readonly sentAt: number; readonly progress: readonly Progress[] }
  | { readonly kind: 'answer'; readonly assignment: AssignmentId; readonly problem: Problem | undefined }
  | { readonly kind: 'report'; readonly assignment: AssignmentId; readonly result: ReportResult }
  | { readonly kind: 'opinion'; readonly inquiry: string; readonly objections: readonly Problem[] }
  | { readonly kind: 'constants-query'; readonly job: JobId; readonly viewHash: Digest };

/** A receipt of a version's job whose update is in the version. */
export interface CountedReceipt {
  readonly site: SiteId;
  /** The round that the update was asked for in: the version's, or in an asynchronous job an earlier one. */
  readonly round: Round;
  readonly attempt: Attempt;
  /** Payload digest of the update. */
  readonly digest: Digest;
}

/** What the coordinator says on that stream. */
export type CoordinatorMessage =
  | { readonly kind: 'assignment'; readonly assignment: Assignment }
  | { readonly kind: 'withdrawal'; readonly assignment: AssignmentId; readonly reason: string }
  | { readonly kind: 'heartbeat-seen'; readonly coordinatorTime: number }
  | { readonly kind: 'report-taken'; readonly assignment: AssignmentId }
  | { readonly kind: 'inquiry'; readonly inquiry: string; readonly spec: Job }
  | {
      readonly kind: 'version-committed';
      readonly job: JobId;
      readonly version: ModelVersion;
      readonly digest: Digest;
      readonly contributors: readonly SiteId[];
      /** The receipts of their updates. */
      readonly receipts: readonly CountedReceipt[];
    }
  | { readonly kind: 'exclusion'; readonly job: JobId; readonly problem: Problem }
  | {
      readonly kind: 'constants';
      readonly job: JobId;
      readonly viewHash: Digest;
      readonly answer: Result<readonly FeatureConstants[], Problem>;
    }
  /** The federation's revocation list, as its authority signed it: another certificate was revoked. */
  | {
      readonly kind: 'revocation-list';
      readonly list: { readonly document: Uint8Array; readonly signature: Uint8Array };
    }
  | { readonly kind: 'problem'; readonly problem: Problem };

/** What a site hears on the stream: the coordinator may be a later version, and say what the site does not know. */
export type HeardMessage =
  | CoordinatorMessage
  /** An assignment of a job, or a task, that is beyond this version: JOB_UNSUPPORTED. The site can only decline it. */
  | { readonly kind: 'assignment-beyond'; readonly assignment: AssignmentId; readonly problem: Problem }
  | { readonly kind: 'inquiry-beyond'; readonly inquiry: string; readonly problem: Problem }
  /** Another kind of message, by its field number on the wire. */
  | { readonly kind: 'unknown'; readonly field: number };
