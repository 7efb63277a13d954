import type { AssignmentId, EpochMs, JobId, ModelVersion, SiteId } from '../vocabulary/ids.ts';
import { type Assignment, assignmentId, type Presence } from './assignment.ts';
import { needsGolden } from './job-manifest.ts';
import { currentTask, type JobState } from './job-state.ts';
import { specForSite } from './update-encoding.ts';

/** The id of what the current participants are asked to do. */
export function currentAssignmentId(state: JobState): AssignmentId {
  return assignmentId(state.id, state.round, state.attempt, currentTask(state));
}

/** The id of the probe of a job's weights; every site has it once, under the same id. */
export function probeAssignmentId(job: JobId): AssignmentId {
  return assignmentId(job, 0, 1, 'probe');
}

/** What a site is asked before it may take part: to run its trainer on the weights that the job starts from. */
export function probeAssignment(
  { id, spec, initialDigest, weightsManifest }: JobState,
  presence: Presence,
): Assignment {
  return {
    id: probeAssignmentId(id),
    job: id,
    round: 0,
    attempt: 1,
    task: 'probe',
    baseVersion: 0,
    baseDigest: initialDigest,
    remainingMs: spec.deadlineMs,
    spec: specForSite(spec, presence),
    constants: undefined,
    ...(needsGolden(spec) && { weightsManifest }),
  };
}

/**
 * The id of what a site is asked to do: what it was asked to train and has not delivered, or what the current
 * participants are asked. Answers under any other id are of the past.
 */
export function assignmentIdOf(state: JobState, site: SiteId): AssignmentId {
  const { id, outstanding } = state;
  const own = outstanding.get(site);
  return own ? assignmentId(id, own.round, own.attempt, 'train') : currentAssignmentId(state);
}

/** What a site that offers `presence` is asked to do, as it is said at `now`. */
export function assignmentOf(state: JobState, site: SiteId, presence: Presence, now: EpochMs): Assignment {
  const { id, spec, version, constants, deadlineAt } = state;
  const { round, attempt } = state.outstanding.get(site) ?? state;
  const baseVersion = state.outstanding.has(site) ? round - 1 : version;
  return {
    id: assignmentIdOf(state, site),
    job: id,
    round,
    attempt,
    task: state.outstanding.has(site) ? 'train' : currentTask(state),
    baseVersion,
    baseDigest: versionDigest(state, baseVersion),
    remainingMs: Math.max(0, (deadlineAt ?? now) - now),
    spec: specForSite(spec, presence),
    constants: spec.view ? undefined : constants,
  };
}

/** The payload digest of a committed version. */
export function versionDigest({ initialDigest, history }: JobState, version: ModelVersion) {
  return version === 0 ? initialDigest : history[version - 1]!.digest;
}
