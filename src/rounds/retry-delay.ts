import type { EpochMs } from '../vocabulary/ids.ts';
import type { Job } from './job.ts';

/** The first delay as a share of the job's deadline, and at most. */
const FIRST_SHARE = 1 / 40;
const FIRST_MS_MAX = 15_000;
/** How many times longer each is than the one before. */
const GROWTH = 4;

/**
 * How long after the begin of an attempt the next one begins at the earliest: a fortieth of the deadline, at most 15 s,
 * after the first, four times as long after each further one, never longer than the deadline. What fails at once, such as a
 * program that is missing, is so given time to be mended; an attempt that took its time is followed at once.
 */
export function retryDelayMs({ deadlineMs }: Pick<Job, 'deadlineMs'>, attempt: number): number {
  const first = Math.min(deadlineMs * FIRST_SHARE, FIRST_MS_MAX);
  return Math.round(Math.min(first * GROWTH ** (attempt - 1), deadlineMs));
}

/** When the next attempt begins at the earliest; undefined where the abandoned one never began: it has waited enough. */
export function retryAt(
  spec: Pick<Job, 'deadlineMs'>,
  attempt: number,
  begunAt: EpochMs | undefined,
): EpochMs | undefined {
  return begunAt === undefined ? undefined : begunAt + retryDelayMs(spec, attempt);
}
