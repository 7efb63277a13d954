import { expect, test } from 'vitest';
import { problem } from '../../src/errors/problem.ts';
import { isLate } from '../../src/rounds/late-update.ts';

const stale = (round: number, attempt: number) =>
  problem('UPDATE_STALE', { round, attempt, currentRound: 3, currentAttempt: 2 });

test.each([
  ['after its round', problem('UPDATE_LATE', { round: 3 })],
  ['after the job', problem('JOB_ENDED', { job: 'heart', state: 'finished' })],
  ['of an earlier round', stale(2, 5)],
  ['of an earlier attempt', stale(3, 1)],
])('an update %s is late', (_, occurrence) => {
  expect(isLate(occurrence)).toBe(true);
});

test.each([
  ['of a round to come', stale(4, 1)],
  ['of an attempt to come', stale(3, 3)],
  [
    'that missed more versions than the job allows',
    problem('UPDATE_TOO_STALE', { round: 1, staleness: 4, limit: 3 }),
  ],
  ['under the key of another', problem('UPDATE_CONFLICT', { round: 3, attempt: 2 })],
])('an update %s is refused', (_, occurrence) => {
  expect(isLate(occurrence)).toBe(false);
});
