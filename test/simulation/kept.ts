import type { Scenario } from './scenario.ts';

/** Schedules that once broke something, shrunk; each is run in every test run. */
export const KEPT: readonly { readonly was: string; readonly scenario: Scenario }[] = [
  {
    was: 'a crash of the coordinator while it was down for the sites',
    scenario: {
      seed: 929,
      sites: 2,
      rounds: 1,
      cohortSize: 2,
      overSelection: 1,
      quorum: 2,
      attemptsMax: 40,
      faults: [{ at: 21, kind: 'crash-coordinator', write: 0, when: 'before', downMs: 728 }],
    },
  },
  {
    was: 'a site that fell silent on a slow link, whose stream nobody ended and nobody heard any more',
    scenario: {
      seed: 4409,
      sites: 3,
      rounds: 3,
      cohortSize: 3,
      overSelection: 1,
      quorum: 3,
      attemptsMax: 40,
      faults: [
        { at: 22, kind: 'store-fails', writes: 3, when: 'after' },
        { at: 285, kind: 'decline', site: 0 },
        { at: 566, kind: 'partition', site: 1, forMs: 1069 },
        { at: 622, kind: 'slow', site: 0, factor: 23, forMs: 924 },
        { at: 748, kind: 'replay', site: 0 },
        { at: 765, kind: 'slow', site: 0, factor: 26, forMs: 217 },
      ],
    },
  },
  {
    was: 'a journal that was read back while a sum was made: the next sum wrote over the version that the first one committed',
    scenario: {
      seed: 4583,
      sites: 5,
      rounds: 7,
      cohortSize: 3,
      overSelection: 1,
      quorum: 3,
      attemptsMax: 40,
      faults: [
        { at: 428, kind: 'crash-coordinator', write: 3, when: 'before', downMs: 193 },
        { at: 750, kind: 'store-fails', writes: 3, when: 'after' },
      ],
      buffering: { bufferSize: 3, stalenessMax: 3, paces: [9, 2, 1, 1, 2] },
    },
  },
  {
    was: 'a delay before the next attempt that was over by the time the alarm was set: the job was never woken again',
    scenario: {
      seed: 2046,
      sites: 3,
      minors: [0, 0, 0],
      rounds: 3,
      cohortSize: 1,
      overSelection: 1,
      quorum: 1,
      attemptsMax: 40,
      faults: [
        { at: 8, kind: 'slow', site: 2, factor: 10, forMs: 824 },
        { at: 78, kind: 'slow', site: 2, factor: 22, forMs: 1752 },
        { at: 112, kind: 'decline', site: 1 },
        { at: 150, kind: 'crash-coordinator', write: 3, when: 'before', downMs: 517 },
        { at: 269, kind: 'crash-site', site: 2, write: 0, when: 'after', downMs: 514 },
        { at: 749, kind: 'store-fails', writes: 4, when: 'before' },
        { at: 799, kind: 'crash-site', site: 1, write: 0, when: 'after', downMs: 62 },
      ],
    },
  },
];
