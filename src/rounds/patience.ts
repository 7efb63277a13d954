import type { EpochMs, SiteId } from '../vocabulary/ids.ts';
import type { JobState } from './job-state.ts';

const PATIENCE_SHARE = 0.25;
const PATIENCE_MS_MAX = 30_000;

/**
 * How long a job waits for sites that are not there, where it could do without them: for a first cohort beyond a mere
 * quorum, and for a participant that went away once a quorum is in. A quarter of the deadline, at most 30 seconds:
 * time enough to dial anew, also after a restart of the coordinator.
 */
export function patienceMs(state: JobState): number {
  return Math.min(state.spec.deadlineMs * PATIENCE_SHARE, PATIENCE_MS_MAX);
}

/** Participants of the current task that have neither answered nor given up. */
export function liveParticipants(state: JobState): readonly SiteId[] {
  return [...state.participants].flatMap(([site, one]) =>
    one.state === 'assigned' || one.state === 'working' ? [site] : [],
  );
}

/** When the patience with an absent participant ends; undefined while it is connected. */
export function patienceEndsAt(state: JobState, site: SiteId): EpochMs | undefined {
  if (state.online.has(site)) return undefined;
  const since = state.away.get(site);
  return since === undefined ? state.patientUntil : since + patienceMs(state);
}

/** Whether an attempt at the round was abandoned, and the next one is still to wait. */
export function waitsToRetry({ phase, retryAt }: JobState, now: EpochMs): boolean {
  return phase === 'recruiting' && retryAt !== undefined && now < retryAt;
}

/** When the job is next to be woken by a tick, if nothing else happens; undefined when nothing is due. */
export function wakeAt(state: JobState, now: EpochMs): EpochMs | undefined {
  if (state.ended) return undefined;
  // Also where it came since the last step: only a step takes note of it.
  if (state.phase === 'recruiting' && state.retryAt !== undefined) return state.retryAt;
  const patience = [
    state.patientUntil,
    ...liveParticipants(state).map((site) => patienceEndsAt(state, site)),
  ];
  const due = [state.deadlineAt, ...patience.filter((at) => at !== undefined && at > now)];
  const moments = due.filter((at) => at !== undefined);
  return moments.length > 0 ? Math.min(...moments) : undefined;
}
