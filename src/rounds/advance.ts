import type { Round, SiteId } from '../vocabulary/ids.ts';
import { completeWith, keptSites } from './buffer.ts';
import { eligibleSites, grownPopulation, selectCohort, wantedParticipants } from './cohort.ts';
import { probeAssignmentId } from './current-assignment.ts';
import type { JobEvent } from './job-event.ts';
import { type JobState, settledCount } from './job-state.ts';
import { askedFeatures } from './judge-report.ts';
import { liveParticipants, patienceEndsAt, waitsToRetry } from './patience.ts';
import { seededRandom, shuffled } from './seeded-random.ts';
import { wholeReasons } from './short-text.ts';
import { combineStatistics } from './statistics.ts';
import { bufferingOf } from './strategy.ts';
import type { Turn } from './turn.ts';

/* How a job goes on: from recruiting to work, sum, evaluation and the next round, or to its end. */

/** Goes on as far as it goes without a further event. */
export function advance(turn: Turn): void {
  for (let before: JobState | undefined; before !== turn.state && !turn.state.ended; ) {
    before = turn.state;
    if (turn.state.phase === 'recruiting') recruit(turn);
    else if (turn.state.phase === 'working') collect(turn);
    else if (turn.state.phase === 'evaluating') listen(turn);
  }
}

/** The sum is durable: the version stands, every site hears of it, and is asked to evaluate it where that is due. */
export function commit(turn: Turn, event: Extract<JobEvent, { kind: 'aggregated' }>): void {
  const { digest, modelDigest, contributors, statistics } = event;
  const { round, online, spec } = turn.state;
  if (round === spec.rounds) turn.recall('the last version stands');
  turn.record({
    ...{ kind: 'version-committed', version: round, digest, contributors, statistics, at: turn.now },
    ...(modelDigest !== undefined && { modelDigest }),
  });
  for (const site of online.keys()) turn.tellVersion(site);
  if (turn.evaluates()) {
    turn.armDeadline();
    for (const site of eligibleSites(turn.state)) turn.askToEvaluate(site);
  }
}

/** While the buffer of an asynchronous job is not full, another site takes the place of one that has delivered. */
export function refill(turn: Turn): void {
  const { phase, spec, round, participants, accepted } = turn.state;
  if (phase !== 'working' || !bufferingOf(spec.strategy) || accepted.size >= completeWith(turn.state)) return;
  const idle = eligibleSites(turn.state).filter((site) => !participants.has(site));
  const random = seededRandom(spec.seed, 'refill', round, accepted.size);
  const room = wantedParticipants(turn.state) - liveParticipants(turn.state).length;
  for (const site of shuffled(idle, random).slice(0, Math.max(0, room))) {
    turn.record({ kind: 'participant-added', site, at: turn.now });
    turn.assign(site);
  }
}

/** Whether the sum of that round is awaited. */
export function aggregating(turn: Turn, round: Round): boolean {
  return turn.state.phase === 'aggregating' && round === turn.state.round;
}

/** Gives up an attempt at a round, and the job where it was the last one. `dropped`: whose updates cannot be used. */
export function abandon(turn: Turn, reason: string, dropped: readonly SiteId[] = []): void {
  const { round, attempt, spec } = turn.state;
  turn.withdraw(reason);
  turn.record({ kind: 'attempt-abandoned', round, attempt, reason, dropped, at: turn.now });
  if (attempt >= spec.attemptsMax) {
    const what = round === 0 ? 'the statistics round' : `round ${round}`;
    end(turn, 'failed', `${what} was abandoned ${attempt} times; the last time because ${reason}`);
  }
}

/** Ends the job: whatever is under way is taken back. */
export function end(turn: Turn, outcome: 'finished' | 'failed' | 'stopped', reason: string): void {
  turn.withdraw(reason);
  turn.recall(reason);
  const assignment = probeAssignmentId(turn.state.id);
  for (const site of turn.state.probing) turn.tell(site, { kind: 'withdrawal', assignment, reason });
  turn.record({ kind: 'ended', outcome, reason, at: turn.now });
}

function recruit(turn: Turn): void {
  const { round, attempt, spec, deadlineAt, gathering, patientUntil, accepted, statistics, outstanding } =
    turn.state;
  if (round > spec.rounds) {
    end(turn, 'finished', `all ${spec.rounds} rounds are done`);
    return;
  }
  if (waitsToRetry(turn.state, turn.now)) return;
  if (turn.state.retryAt !== undefined) turn.change({ retryAt: undefined });
  if (deadlineAt === undefined) turn.armDeadline();
  const kept = keptSites(turn.state);
  const carried = [...(round === 0 ? statistics : accepted).keys(), ...kept].sort();
  const cohort = selectCohort(turn.state, carried);
  const patient = gathering && turn.now < patientUntil && cohort.length < wantedParticipants(turn.state);
  if (cohort.length >= spec.quorum && !patient) {
    const population = grownPopulation(turn.state);
    const recalled = [...outstanding.keys()].filter((site) => !kept.includes(site)).sort();
    turn.recall('it has taken too long', recalled);
    turn.record({
      ...{ kind: 'attempt-started', round, attempt, cohort, at: turn.now },
      ...(kept.length > 0 && { kept }),
      ...(recalled.length > 0 && { recalled }),
      ...(population !== undefined && { population }),
    });
    turn.change({ gathering: false });
    turn.armDeadline();
    for (const site of cohort) turn.assign(site);
  } else if (turn.overdue()) {
    abandon(turn, `${cohort.length} sites were there, and the quorum is ${spec.quorum}`);
  }
}

function collect(turn: Turn): void {
  const { spec, round } = turn.state;
  const have = settledCount(turn.state);
  const live = liveParticipants(turn.state).length;
  const enough = have >= spec.quorum;
  if (have >= completeWith(turn.state) || (enough && (!worthWaiting(turn) || turn.overdue()))) {
    if (round === 0) {
      turn.withdraw('the statistics are complete');
      const constants = combineStatistics(askedFeatures(turn.state), turn.state.statistics);
      turn.record({ kind: 'constants-settled', constants, at: turn.now });
    } else {
      turn.withdraw(`round ${round} has the updates it needs`);
      turn.change({ phase: 'aggregating', deadlineAt: undefined });
      turn.aggregate = { job: turn.state.id, round, updates: [...turn.state.accepted.values()] };
    }
  } else if (have + live < spec.quorum) {
    abandon(turn, `only ${have + live} of ${spec.quorum} sites could still answer${lastReason(turn)}`);
  } else if (turn.overdue()) {
    abandon(turn, `${have} answers were in at the deadline, and the quorum is ${spec.quorum}`);
  }
}

function listen(turn: Turn): void {
  if (turn.evaluates() && (worthWaiting(turn) || expectsReturns(turn)) && !turn.overdue()) return;
  turn.withdraw('the evaluation is over');
  turn.record({ kind: 'evaluated', version: turn.state.version, at: turn.now });
}

/** Whether anyone who has not answered is there, or has not been away for long. */
function worthWaiting(turn: Turn): boolean {
  return liveParticipants(turn.state).some((site) => {
    const end = patienceEndsAt(turn.state, site);
    return end === undefined || turn.now < end;
  });
}

/** After a restart nobody is there to evaluate yet: whether a contributor may still come back. */
function expectsReturns(turn: Turn): boolean {
  const { history, evaluations, online, revoked } = turn.state;
  // Those whose trainer lacks tensors are not asked.
  const whole = history.at(-1)?.updates.filter(({ declaration }) => declaration.schemaVersion === undefined);
  const contributors = whole?.map(({ declaration }) => declaration.key.site) ?? [];
  return contributors.some((site) => {
    const absent = !online.has(site) && !revoked.has(site) && !evaluations.has(site);
    return absent && turn.now < (patienceEndsAt(turn.state, site) ?? 0);
  });
}

function lastReason(turn: Turn): string {
  const reasons = [...turn.state.participants].flatMap(([site, { reason }]) =>
    reason ? [`${site}: ${reason}`] : [],
  );
  return reasons.length > 0 ? ` (${wholeReasons(reasons)})` : '';
}
