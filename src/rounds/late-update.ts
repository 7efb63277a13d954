import type { Problem } from '../errors/problem.ts';

/**
 * Whether an update was not taken only because it came too late: its round or attempt is over, as is the way with stragglers,
 * or the last version stands. UPDATE_TOO_STALE is no such case: the job's own bound refuses it.
 */
export function isLate({ code, details }: Problem): boolean {
  if (code !== 'UPDATE_STALE') return code === 'UPDATE_LATE' || code === 'JOB_ENDED';
  const [round, attempt, currentRound, currentAttempt] = [
    'round',
    'attempt',
    'currentRound',
    'currentAttempt',
  ].map((name) => Number(details[name])) as [number, number, number, number];
  return round < currentRound || (round === currentRound && attempt < currentAttempt);
}
