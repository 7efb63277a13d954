import type { JobView, RoundView } from '../protocol/views.ts';
import type { EpochMs } from '../vocabulary/ids.ts';
import { readableBytes, readableTime } from './output.ts';

/** Phases that take long enough to be worth a line. */
const ANNOUNCED: ReadonlySet<string> = new Set(['recruiting', 'counting', 'training']);

/**
 * What happened to a job between two views of it, as plain lines for a log or a pipe. The same view again says
 * nothing. `before` is undefined at the first view, which tells what has been so far in one line.
 */
export function describeChange(
  before: JobView | undefined,
  after: JobView,
  now: EpochMs = Date.now(),
): readonly string[] {
  const lines: string[] = [];
  const name = `job ${after.job}`;
  if (!before) lines.push(`${name}: ${after.state}, version ${after.version} of ${after.rounds} rounds`);
  const told = new Set(before?.history.map((round) => round.round));
  for (const round of after.history)
    if (before && !told.has(round.round)) lines.push(describeRound(after, round));
  const over =
    after.phase !== 'evaluating' && before?.phase === 'evaluating' ? after.history.at(-1) : undefined;
  const auc = mean(over?.evaluations.map((one) => one.metrics.auc) ?? []);
  if (over && auc !== undefined) {
    lines.push(
      `${name}: round ${over.round}/${after.rounds} evaluated: mean AUC ${auc.toFixed(4)} at ${over.evaluations.length} sites`,
    );
  }
  const moved =
    before?.phase !== after.phase || before?.round !== after.round || before?.attempt !== after.attempt;
  if (after.state === 'running' && moved && ANNOUNCED.has(after.phase)) {
    const attempt = after.attempt > 1 ? `, attempt ${after.attempt}` : '';
    const who = after.participants.map((participant) => participant.site).join(', ');
    lines.push(
      `${name}: round ${after.round}/${after.rounds}${attempt}, ${after.phase}${who ? ` (${who})` : ''}`,
    );
  }
  const wait = retryText(after, now);
  if (wait !== undefined && after.retryAt !== before?.retryAt) {
    lines.push(`${name}: round ${after.round}/${after.rounds} ${wait}: ${after.waitingFor}`);
  } else if (after.waitingFor !== null && after.waitingFor !== before?.waitingFor) {
    const until = after.deadlineAt === null ? '' : ` until ${readableTime(after.deadlineAt)}`;
    lines.push(`${name}: waiting${until}: ${after.waitingFor}`);
  }
  for (const { site, reason } of after.exclusions) {
    const known = before?.exclusions.some((one) => one.site === site && one.reason === reason);
    if (!known) lines.push(`${name}: ${site} left out: ${reason}`);
  }
  for (const participant of after.participants) {
    const earlier = before?.participants.find((one) => one.site === participant.site);
    const bad = participant.state === 'declined' || participant.state === 'failed';
    if (bad && earlier?.state !== participant.state) {
      lines.push(
        `${name}: ${participant.site} ${participant.state}: ${participant.reason ?? 'no reason given'}`,
      );
    }
  }
  if (after.state !== 'running' && before?.state !== after.state) {
    const model = after.state === 'failed' ? '' : `, model ${after.modelDigest}`;
    lines.push(`${name}: ${after.state}${after.reason ? `: ${after.reason}` : ''}${model}`);
  }
  return lines;
}

/** `tries again in 12 s` of a round whose attempt was abandoned; undefined where it is not to wait. */
export function retryText({ retryAt }: JobView, now: EpochMs = Date.now()): string | undefined {
  if (retryAt === null || retryAt === undefined) return undefined;
  return `tries again in ${Math.max(0, Math.ceil((retryAt - now) / 1000))} s`;
}

function describeRound(job: JobView, round: RoundView): string {
  const bytes = round.contributors.reduce((sum, one) => sum + one.bytes, 0);
  const loss = mean(round.contributors.map((one) => one.metrics.loss));
  const figures = [
    `${round.contributors.length} updates`,
    readableBytes(bytes),
    ...encodingsOf(round),
    ...(loss === undefined ? [] : [`loss ${loss.toFixed(4)}`]),
    ...(oldest(round) > 0 ? [`staleness up to ${oldest(round)}`] : []),
    ...(round.abandoned.length > 0 ? [`abandoned before: ${round.abandoned.join('; ')}`] : []),
  ];
  return `job ${job.job}: round ${round.round}/${job.rounds} committed as version ${round.version}: ${figures.join(', ')}`;
}

/** How the updates were encoded, where any of them was not float32: `int8`, or `int8 (2), float32 (lyon)`. */
function encodingsOf({ contributors }: RoundView): readonly string[] {
  const sites = new Map<string, string[]>();
  // Coordinators of before do not say it.
  for (const { site, encoding = 'float32' } of contributors)
    sites.set(encoding, [...(sites.get(encoding) ?? []), site]);
  const [only, ...others] = sites.keys();
  if (others.length === 0) return only === undefined || only === 'float32' ? [] : [only];
  return [[...sites].map(([encoding, own]) => `${encoding} (${own.join(', ')})`).join(', ')];
}

/** The most versions that an update of a round had missed. */
function oldest({ contributors }: RoundView): number {
  return Math.max(0, ...contributors.map(({ staleness }) => staleness));
}

/** The mean of those values that are known; undefined where none is. */
export function mean(values: readonly (number | undefined)[]): number | undefined {
  const known = values.filter((value): value is number => value !== undefined && Number.isFinite(value));
  return known.length === 0 ? undefined : known.reduce((sum, value) => sum + value, 0) / known.length;
}
