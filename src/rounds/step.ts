import { problem } from '../errors/problem.ts';
import type { AssignmentId, EpochMs, SiteId } from '../vocabulary/ids.ts';
import { unreachable } from '../vocabulary/invariant.ts';
import { ok, refused } from '../vocabulary/result.ts';
import { compare, declineJob, declineProbe, takeProbe, welcome } from './admission.ts';
import { abandon, advance, aggregating, commit, end, refill } from './advance.ts';
import type { Presence, ReportResult } from './assignment.ts';
import { assignmentIdOf, probeAssignmentId } from './current-assignment.ts';
import type { Effects, JobEvent } from './job-event.ts';
import type { AcceptedUpdate } from './job-record.ts';
import { currentTask, type JobState } from './job-state.ts';
import { reportFault } from './judge-report.ts';
import { judgeUpdate } from './judge-update.ts';
import { patienceMs } from './patience.ts';
import { retryDelayMs } from './retry-delay.ts';
import { cut, REASON_LENGTH_MAX, shortText } from './short-text.ts';
import { Turn } from './turn.ts';
import { without, withoutMember } from './without.ts';

/** The next state of a job and what is to be done. Pure: the same state, event and time give the same answer. */
export function step(
  state: JobState,
  event: JobEvent,
  now: EpochMs,
): { readonly state: JobState; readonly effects: Effects } {
  const turn = new Turn(state, now);
  if (!state.ended || event.kind === 'update-arrived' || event.kind === 'reported') take(turn, event);
  return turn.outcome();
}

function take(turn: Turn, event: JobEvent): void {
  switch (event.kind) {
    case 'started':
      start(turn, event.online);
      break;
    case 'site-online':
      turn.change({
        online: new Map(turn.state.online).set(event.site, event.presence),
        away: without(turn.state.away, event.site),
      });
      compare(turn, event.site, event.presence);
      turn.tellVersion(event.site);
      welcome(turn, event.site);
      break;
    case 'site-offline':
      turn.change({
        online: without(turn.state.online, event.site),
        away: new Map(turn.state.away).set(event.site, turn.now),
        probing: withoutMember(turn.state.probing, event.site),
      });
      break;
    case 'site-revoked':
      // A sum in the making that holds the site's update is made again without it.
      if (turn.state.phase === 'aggregating' && turn.state.accepted.has(event.site)) {
        turn.change({ phase: 'working' });
        turn.armDeadline();
      }
      turn.record({ kind: 'site-revoked', site: event.site, at: turn.now });
      break;
    case 'answered':
      if (event.problem && event.assignment === probeAssignmentId(turn.state.id)) {
        declineProbe(turn, event.site, event.problem);
      }
      if (event.assignment !== assignmentIdOf(turn.state, event.site)) break;
      if (event.problem) {
        turn.giveUp(event.site, 'declined', shortText(event.problem));
        declineJob(turn, event.site, event.problem);
      } else turn.mark(event.site, { state: 'working' });
      break;
    case 'progressed':
      if (event.progress.assignment !== assignmentIdOf(turn.state, event.site)) break;
      turn.mark(event.site, { state: 'working', progress: event.progress });
      break;
    case 'reported':
      report(turn, event.site, event.assignment, event.result);
      break;
    case 'update-arrived':
      arrive(turn, event.update);
      break;
    case 'aggregated':
      if (aggregating(turn, event.round) && allIn(event.contributors, turn.state.accepted)) {
        commit(turn, event);
      }
      break;
    case 'aggregation-failed':
      if (aggregating(turn, event.round)) {
        abandon(turn, `the updates could not be summed: ${shortText(event.problem)}`, event.culprits);
      }
      break;
    case 'stop':
      end(turn, 'stopped', event.reason);
      break;
    case 'tick':
      break;
    default:
      unreachable(event);
  }
  advance(turn);
}

/** After a start nothing volatile is known: deadlines begin anew, and work in progress is handed out again. */
function start(turn: Turn, online: ReadonlyMap<SiteId, Presence>): void {
  const phase = turn.state.phase === 'aggregating' ? 'working' : turn.state.phase;
  const patientUntil = turn.now + patienceMs(turn.state);
  turn.change({
    phase,
    online,
    away: new Map(),
    probing: new Set(),
    gathering: true,
    deadlineAt: undefined,
    patientUntil,
    retryAt: shortenedRetry(turn),
  });
  for (const [site, presence] of online) compare(turn, site, presence);
  if (phase === 'working' || (phase === 'evaluating' && turn.evaluates())) {
    turn.armDeadline();
    for (const site of online.keys()) welcome(turn, site);
  }
}

/** A clock that was set back while the coordinator was away must not make a retry wait for longer than it was to. */
function shortenedRetry({ state: { retryAt, spec, attempt }, now }: Turn): EpochMs | undefined {
  return retryAt === undefined ? undefined : Math.min(retryAt, now + retryDelayMs(spec, attempt - 1));
}

function report(turn: Turn, site: SiteId, assignment: AssignmentId, result: ReportResult): void {
  // A report is taken once it can no longer change anything, too: the site must not send it for ever.
  const taken = { kind: 'report-taken', assignment } as const;
  if (assignment === probeAssignmentId(turn.state.id)) {
    takeProbe(turn, site, result);
    turn.tell(site, taken);
    return;
  }
  const { ended, participants, outstanding } = turn.state;
  const expected = outstanding.has(site) || (participants.get(site)?.state ?? 'done') !== 'done';
  if (ended || assignment !== assignmentIdOf(turn.state, site) || !expected) {
    turn.tell(site, taken);
    return;
  }
  const task = outstanding.has(site) ? 'train' : currentTask(turn.state);
  const fault = reportFault(turn.state, task, result);
  if (fault !== undefined) {
    turn.giveUp(site, 'failed', cut(fault, REASON_LENGTH_MAX));
    const refusal = problem('REPORT_MALFORMED', { reason: cut(fault, REASON_LENGTH_MAX) });
    turn.tell(site, { kind: 'problem', problem: refusal });
    turn.tell(site, taken);
    return;
  }
  if (result.kind === 'statistics') {
    turn.record({ kind: 'statistics-taken', site, features: result.features, at: turn.now });
  } else if (result.kind === 'evaluation') {
    const { metrics, sampleCount } = result;
    turn.record({ kind: 'evaluation-taken', site, evaluation: { metrics, sampleCount }, at: turn.now });
  } else if (result.kind === 'failure') {
    turn.giveUp(site, 'failed', shortText(result.problem));
  }
  turn.tell(site, taken);
}

function arrive(turn: Turn, update: AcceptedUpdate): void {
  const judgement = judgeUpdate(turn.state, update.declaration);
  if (judgement.verdict === 'take') {
    turn.record({ kind: 'update-accepted', update });
    turn.reply = ok(update.receipt);
    refill(turn);
  } else {
    turn.reply = judgement.verdict === 'held' ? ok(judgement.receipt) : refused(judgement.problem);
  }
}

/** Whether none of the updates that were folded has been taken out since, by a revocation, say. */
function allIn(sites: readonly SiteId[], accepted: ReadonlyMap<SiteId, AcceptedUpdate>): boolean {
  return sites.every((site) => accepted.has(site));
}
