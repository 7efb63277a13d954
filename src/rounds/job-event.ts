import type { UpdateStatistics } from '../aggregation/update-measure.ts';
import type { Problem } from '../errors/problem.ts';
import type { Digest } from '../vocabulary/digest.ts';
import type { AssignmentId, JobId, Round, SiteId } from '../vocabulary/ids.ts';
import type { Result } from '../vocabulary/result.ts';
import type { CoordinatorMessage, Presence, Progress, ReportResult } from './assignment.ts';
import type { AcceptedUpdate, JobRecord } from './job-record.ts';
import type { Receipt } from './update.ts';

/** What can happen to a job. */
export type JobEvent =
  /** The job was submitted, or the coordinator has started again: volatile state begins here. */
  | { readonly kind: 'started'; readonly online: ReadonlyMap<SiteId, Presence> }
  | { readonly kind: 'site-online'; readonly site: SiteId; readonly presence: Presence }
  | { readonly kind: 'site-offline'; readonly site: SiteId }
  | { readonly kind: 'site-revoked'; readonly site: SiteId }
  | {
      readonly kind: 'answered';
      readonly site: SiteId;
      readonly assignment: AssignmentId;
      readonly problem: Problem | undefined;
    }
  | { readonly kind: 'progressed'; readonly site: SiteId; readonly progress: Progress }
  | {
      readonly kind: 'reported';
      readonly site: SiteId;
      readonly assignment: AssignmentId;
      readonly result: ReportResult;
    }
  /** An update is complete, digest-checked and durable; the receipt is signed but has not left. */
  | { readonly kind: 'update-arrived'; readonly update: AcceptedUpdate }
  /** The sum of exactly these sites' updates is stored as the round's version. */
  | {
      readonly kind: 'aggregated';
      readonly round: Round;
      readonly digest: Digest;
      /** Payload digest of the version's model alone, where more than the model is in it. */
      readonly modelDigest?: Digest | undefined;
      readonly contributors: readonly SiteId[];
      /** What is known of their updates, in the same order. */
      readonly statistics: readonly UpdateStatistics[];
    }
  /** The sum could not be made; `culprits` are the sites whose stored updates are damaged. */
  | {
      readonly kind: 'aggregation-failed';
      readonly round: Round;
      readonly problem: Problem;
      readonly culprits: readonly SiteId[];
    }
  | { readonly kind: 'stop'; readonly reason: string }
  | { readonly kind: 'tick' };

/**
 * What a step asks of its driver, in this order: the records are durable before anything else happens; replies
 * come before messages to others; the work starts last. A driver that cannot persist drops the whole step.
 */
export interface Effects {
  readonly persist: readonly JobRecord[];
  /** The answer to `update-arrived`. */
  readonly reply: Result<Receipt, Problem> | undefined;
  readonly say: readonly { readonly site: SiteId; readonly message: CoordinatorMessage }[];
  /** Sum the accepted updates of this round onto the current version and answer with `aggregated`. */
  readonly aggregate: Aggregation | undefined;
  /** The staged updates of these scopes (`spoolScope`) are of no more use. */
  readonly forget: readonly string[];
}

/** One aggregation: the updates are named by their declarations; their order does not matter. */
export interface Aggregation {
  readonly job: JobId;
  readonly round: Round;
  readonly updates: readonly AcceptedUpdate[];
}
