import type { UpdateStatistics } from '../aggregation/update-measure.ts';
import type { Problem } from '../errors/problem.ts';
import type { Digest } from '../vocabulary/digest.ts';
import type { Attempt, EpochMs, JobId, ModelVersion, Round, SiteId } from '../vocabulary/ids.ts';
import { unreachable } from '../vocabulary/invariant.ts';
import type { Manifest } from '../weights/manifest.ts';
import type { WeightsManifest } from '../weights/schema/weights-manifest.ts';
import type { Presence, Progress, Task } from './assignment.ts';
import { exchangedManifest, type Job } from './job.ts';
import type { AcceptedUpdate, Evaluation, JobRecord, Outcome } from './job-record.ts';
import type { TakenProbe } from './probe-report.ts';
import { retryAt } from './retry-delay.ts';
import type { FeatureConstants, FeatureSums } from './statistics.ts';
import { bufferingOf } from './strategy.ts';
import { without } from './without.ts';

/** A round that is over. */
export interface CommittedRound {
  readonly round: Round;
  readonly attempts: number;
  readonly digest: Digest;
  /** Payload digest of the version's model; that of the version unless more than the model is in it. */
  readonly modelDigest: Digest;
  readonly startedAt: EpochMs;
  readonly committedAt: EpochMs;
  readonly updates: readonly AcceptedUpdate[];
  /** What is known of the updates, by site. */
  readonly statistics: ReadonlyMap<SiteId, UpdateStatistics>;
  readonly evaluations: ReadonlyMap<SiteId, Evaluation>;
  readonly abandoned: readonly string[];
  /** Sites that there were, where the strategy has to know. */
  readonly population: number | undefined;
}

/** Where a job stands. `recruiting`: waiting for enough sites; `aggregating` lasts while the driver works. */
export type Phase = 'recruiting' | 'working' | 'aggregating' | 'evaluating' | 'ended';

/** A site of the current cohort. All but its name is volatile: it is learned anew after a restart. */
export interface Participant {
  readonly state: 'assigned' | 'working' | 'done' | 'declined' | 'failed';
  readonly progress: Progress | undefined;
  readonly reason: string | undefined;
}

/** The round and the attempt at it in which a site was asked to train; its base is the version before the round. */
export interface Outstanding {
  readonly round: Round;
  readonly attempt: Attempt;
}

/** A job as a value. Maps are never changed in place. */
export interface JobState {
  readonly id: JobId;
  readonly spec: Job;
  /** Of versions and updates: the model's tensors, and what travels with them. */
  readonly manifest: Manifest;
  /** The weights manifest that came with the job; undefined where none did. */
  readonly weightsManifest: WeightsManifest | undefined;
  /** Chunk of the versions' payload digests and downloads, in bytes; fixed for the life of the job. */
  readonly chunkBytes: number;
  readonly submittedAt: EpochMs;
  readonly phase: Phase;
  /** The current round; 0 is the statistics round. */
  readonly round: Round;
  readonly attempt: Attempt;
  /** The newest committed version of the weights and its payload digest. */
  readonly version: ModelVersion;
  readonly digest: Digest;
  readonly constants: readonly FeatureConstants[] | undefined;
  readonly participants: ReadonlyMap<SiteId, Participant>;
  /** The newest probe of the weights of each site; none where the job needs none. */
  readonly probes: ReadonlyMap<SiteId, TakenProbe>;
  /** Statistics taken in round 0. */
  readonly statistics: ReadonlyMap<SiteId, readonly FeatureSums[]>;
  /**
   * Updates that are in and in no version yet: those of the current round, over all its attempts. Of an asynchronous
   * job, those in the buffer, and while that is folded or its version evaluated, those that are in the next one already.
   */
  readonly accepted: ReadonlyMap<SiteId, AcceptedUpdate>;
  /** What sites were asked to train, and have not delivered: of an asynchronous job, where that outlives its round. */
  readonly outstanding: ReadonlyMap<SiteId, Outstanding>;
  /** Evaluations of the newest version. */
  readonly evaluations: ReadonlyMap<SiteId, Evaluation>;
  readonly roundStartedAt: EpochMs;
  /** When the current attempt began; undefined while it has not. */
  readonly attemptStartedAt: EpochMs | undefined;
  /** When it begins at the earliest, after one that was abandoned; undefined where nothing holds it back. */
  readonly retryAt: EpochMs | undefined;
  readonly abandoned: readonly string[];
  readonly history: readonly CommittedRound[];
  readonly revoked: ReadonlySet<SiteId>;
  readonly ended: { readonly outcome: Outcome; readonly reason: string; readonly at: EpochMs } | undefined;

  /** Payload digest of version 0, and of its model alone. */
  readonly initialDigest: Digest;
  readonly initialModelDigest: Digest;
  /** Sites that there are, where the strategy has to know; never shrinks. */
  readonly population: number | undefined;

  /** Volatile: when the current phase gives up; undefined until the first event after a start. */
  readonly deadlineAt: EpochMs | undefined;
  /** Volatile: until when recruiting waits for a whole cohort rather than take a mere quorum. */
  readonly patientUntil: EpochMs;
  /** Volatile: no attempt has begun since the start, so that sites are still expected to come (back). */
  readonly gathering: boolean;
  /** Volatile: since when sites are away that were connected before. */
  readonly away: ReadonlyMap<SiteId, EpochMs>;
  /** Volatile: sites that are connected, and what they offer. */
  readonly online: ReadonlyMap<SiteId, Presence>;
  /** Volatile: sites that were asked for a probe and have not answered. */
  readonly probing: ReadonlySet<SiteId>;
  /** Volatile: sites whose feature view or weights are not the job's, as they last declared them, and in what. */
  readonly excluded: ReadonlyMap<SiteId, Problem>;
}

/** The task that the current round's participants have. */
export function currentTask(state: JobState): Task {
  if (state.phase === 'evaluating') return 'evaluate';
  return state.round === 0 ? 'statistics' : 'train';
}

/** Updates or reports that are in for the current task. */
export function settledCount(state: JobState): number {
  if (state.phase === 'evaluating') return state.evaluations.size;
  return state.round === 0 ? state.statistics.size : state.accepted.size;
}

/** The state of a job that was just submitted. */
export function submittedState(record: Extract<JobRecord, { kind: 'submitted' }>): JobState {
  const { job, spec, digest, modelDigest = digest, chunkBytes, weightsManifest, at } = record;
  const counts = spec.statistics && spec.model.kind === 'mlp';
  return {
    id: job,
    spec,
    manifest: exchangedManifest(spec),
    weightsManifest,
    chunkBytes,
    submittedAt: at,
    phase: 'recruiting',
    round: counts ? 0 : 1,
    attempt: 1,
    version: 0,
    digest,
    constants: undefined,
    participants: new Map(),
    probes: new Map(),
    statistics: new Map(),
    accepted: new Map(),
    outstanding: new Map(),
    evaluations: new Map(),
    roundStartedAt: at,
    attemptStartedAt: undefined,
    retryAt: undefined,
    abandoned: [],
    history: [],
    revoked: new Set(),
    ended: undefined,
    initialDigest: digest,
    initialModelDigest: modelDigest,
    population: undefined,
    deadlineAt: undefined,
    patientUntil: 0,
    gathering: true,
    away: new Map(),
    online: new Map(),
    probing: new Set(),
    excluded: new Map(),
  };
}

/** The state after a record. Whether the record was right to make is decided in `step`, never here. */
export function apply(state: JobState, record: Exclude<JobRecord, { kind: 'submitted' }>): JobState {
  switch (record.kind) {
    case 'attempt-started':
      return {
        ...state,
        phase: 'working',
        attempt: record.attempt,
        population: record.population ?? state.population,
        participants: new Map(record.cohort.map((site) => [site, participantOf(state, site)])),
        outstanding: outstandingAfter(state, record),
        roundStartedAt: record.attempt === 1 ? record.at : state.roundStartedAt,
        attemptStartedAt: record.at,
        retryAt: undefined,
      };
    case 'participant-added':
      return {
        ...state,
        participants: new Map(state.participants).set(record.site, ASSIGNED),
        outstanding: asksToTrain(state)
          ? new Map(state.outstanding).set(record.site, { round: state.round, attempt: state.attempt })
          : state.outstanding,
      };
    case 'probe-taken':
      return { ...state, probes: new Map(state.probes).set(record.site, record.probe) };
    case 'statistics-taken':
      return {
        ...state,
        statistics: new Map(state.statistics).set(record.site, record.features),
        participants: new Map(state.participants).set(record.site, DONE),
      };
    case 'constants-settled':
      return nextRound({ ...state, constants: record.constants });
    case 'update-accepted': {
      const { site } = record.update.declaration.key;
      return {
        ...state,
        accepted: new Map(state.accepted).set(site, record.update),
        outstanding: without(state.outstanding, site),
        participants: new Map(state.participants).set(site, DONE),
      };
    }
    case 'attempt-abandoned':
      return {
        ...state,
        phase: 'recruiting',
        attempt: record.attempt + 1,
        participants: new Map(),
        accepted: new Map([...state.accepted].filter(([site]) => !record.dropped.includes(site))),
        abandoned: [...state.abandoned, record.reason],
        attemptStartedAt: undefined,
        retryAt: retryAt(state.spec, record.attempt, state.attemptStartedAt),
        deadlineAt: undefined,
      };
    case 'version-committed':
      return {
        ...state,
        phase: 'evaluating',
        version: record.version,
        digest: record.digest,
        participants: new Map(),
        accepted: new Map([...state.accepted].filter(([site]) => !record.contributors.includes(site))),
        // After the last version there is nothing to train for.
        outstanding: record.version < state.spec.rounds ? state.outstanding : new Map(),
        evaluations: new Map(),
        deadlineAt: undefined,
        history: [
          ...state.history,
          {
            round: state.round,
            attempts: state.attempt,
            digest: record.digest,
            modelDigest: record.modelDigest ?? record.digest,
            startedAt: state.roundStartedAt,
            committedAt: record.at,
            updates: record.contributors.flatMap((site) => state.accepted.get(site) ?? []),
            statistics: new Map(
              record.statistics?.map((known, place) => [record.contributors[place]!, known]) ?? [],
            ),
            evaluations: new Map(),
            abandoned: state.abandoned,
            population: state.population,
          },
        ],
      };
    case 'evaluation-taken': {
      const evaluations = new Map(state.evaluations).set(record.site, record.evaluation);
      const last = state.history.at(-1);
      return {
        ...state,
        evaluations,
        participants: new Map(state.participants).set(record.site, DONE),
        history: last ? [...state.history.slice(0, -1), { ...last, evaluations }] : state.history,
      };
    }
    case 'evaluated':
      return nextRound(state);
    case 'site-revoked':
      return {
        ...state,
        revoked: new Set(state.revoked).add(record.site),
        participants: without(state.participants, record.site),
        statistics: without(state.statistics, record.site),
        accepted: without(state.accepted, record.site),
        outstanding: without(state.outstanding, record.site),
      };
    case 'ended':
      return {
        ...state,
        phase: 'ended',
        deadlineAt: undefined,
        ended: { outcome: record.outcome, reason: record.reason, at: record.at },
      };
    default:
      return unreachable(record);
  }
}

/** A job's state from its journal: the first record is `submitted`. Volatile members are as after a start. */
export function recover(records: readonly JobRecord[]): JobState | undefined {
  const [first, ...rest] = records;
  if (first?.kind !== 'submitted') return undefined;
  return rest.reduce(
    (state, record) => (record.kind === 'submitted' ? state : apply(state, record)),
    submittedState(first),
  );
}

const ASSIGNED: Participant = { state: 'assigned', progress: undefined, reason: undefined };
const DONE: Participant = { state: 'done', progress: undefined, reason: undefined };

function participantOf(state: JobState, site: SiteId): Participant {
  return state.accepted.has(site) || (state.round === 0 && state.statistics.has(site)) ? DONE : ASSIGNED;
}

function nextRound(state: JobState): JobState {
  return {
    ...state,
    phase: 'recruiting',
    round: state.round + 1,
    attempt: 1,
    participants: new Map(),
    statistics: new Map(),
    attemptStartedAt: undefined,
    abandoned: [],
    deadlineAt: undefined,
  };
}

function asksToTrain({ round, spec }: JobState): boolean {
  return round > 0 && bufferingOf(spec.strategy) !== undefined;
}

/** What sites are asked for in a new attempt: those that are kept, what they were; those whose update is in, nothing. */
function outstandingAfter(
  state: JobState,
  { round, attempt, cohort, kept = [] }: Extract<JobRecord, { kind: 'attempt-started' }>,
): JobState['outstanding'] {
  if (!asksToTrain(state)) return state.outstanding;
  const asked = cohort.filter((site) => !state.accepted.has(site));
  return new Map(
    asked.map((site) => [site, (kept.includes(site) && state.outstanding.get(site)) || { round, attempt }]),
  );
}
