import { expect, test } from 'vitest';
import { describeChange } from '../../src/cli/watch-job.ts';
import type { JobView, ParticipantView } from '../../src/protocol/views.ts';

const participant = (
  site: string,
  state: ParticipantView['state'],
  reason: string | null = null,
): ParticipantView => ({
  site,
  online: true,
  state,
  phase: null,
  fraction: null,
  loss: null,
  bytes: 0,
  reason,
  staleness: 0,
});

const view = (changes: Partial<JobView>): JobView => ({
  job: 'heart',
  state: 'running',
  phase: 'training',
  round: 1,
  rounds: 3,
  attempt: 1,
  version: 0,
  modelDigest: 'sm3:aa',
  submittedAt: 0,
  endedAt: null,
  deadlineAt: null,
  waitingFor: null,
  reason: null,
  acceptedUpdates: 0,
  refusedUpdates: 0,
  participants: [participant('a', 'working'), participant('b', 'working')],
  weightSchema: null,
  exclusions: [],
  probes: [],
  constants: null,
  history: [],
  ...changes,
});

test('the same view twice says nothing', () => {
  expect(describeChange(view({}), view({}))).toEqual([]);
});

test('a committed round is told with its figures', () => {
  const committed = view({
    round: 2,
    history: [
      {
        round: 1,
        attempts: 1,
        version: 1,
        digest: 'sm3:bb',
        startedAt: 0,
        committedAt: 1,
        contributors: [
          {
            site: 'a',
            sampleCount: 5,
            bytes: 1024,
            encoding: 'float32',
            acceptedAt: 1,
            staleness: 0,
            backend: 'x',
            metrics: { loss: 0.5 },
            statistics: null,
          },
          {
            site: 'b',
            sampleCount: 5,
            bytes: 1024,
            encoding: 'float32',
            acceptedAt: 1,
            staleness: 0,
            backend: 'x',
            metrics: { loss: 0.7 },
            statistics: null,
          },
        ],
        evaluations: [{ site: 'a', sampleCount: 3, metrics: { auc: 0.8 } }],
        abandoned: [],
      },
    ],
  });
  expect(describeChange(view({}), committed)).toEqual([
    'job heart: round 1/3 committed as version 1: 2 updates, 2.0 KiB, loss 0.6000',
    'job heart: round 2/3, training (a, b)',
  ]);
  const [round] = committed.history;
  const sent = (...encodings: string[]) => {
    const contributors = round!.contributors.map((own, place) => ({ ...own, encoding: encodings[place]! }));
    return describeChange(view({}), { ...committed, history: [{ ...round!, contributors }] })[0];
  };
  expect(sent('int8', 'int8')).toContain('2 updates, 2.0 KiB, int8, loss');
  expect(sent('int8', 'float32')).toContain('2 updates, 2.0 KiB, int8 (a), float32 (b), loss');
  expect(describeChange({ ...committed, round: 1, phase: 'evaluating' }, committed)).toEqual([
    'job heart: round 1/3 evaluated: mean AUC 0.8000 at 1 sites',
    'job heart: round 2/3, training (a, b)',
  ]);
});

test('a participant that declines is told once, with its reason', () => {
  const declined = view({
    participants: [participant('a', 'working'), participant('b', 'declined', 'too few rows')],
  });
  expect(describeChange(view({}), declined)).toEqual(['job heart: b declined: too few rows']);
  expect(describeChange(declined, declined)).toEqual([]);
});

test('a failed job is told with its reason and without a model, which is not what was asked for', () => {
  expect(describeChange(view({}), view({ state: 'failed', phase: 'ended', reason: 'no quorum' }))).toEqual([
    'job heart: failed: no quorum',
  ]);
});

test('what a job waits for is said once', () => {
  const waitingFor = '1 of 3 sites are ready, and the quorum is 2; va offers no trainer tfjs';
  const waiting = view({ phase: 'recruiting', waitingFor, deadlineAt: 60_000 });
  const said = `job heart: waiting until 1970-01-01 00:01:00Z: ${waitingFor}`;
  expect(describeChange(view({ phase: 'recruiting' }), waiting)).toEqual([said]);
  expect(describeChange(waiting, waiting)).toEqual([]);
});

test('a finished job is told with its model', () => {
  expect(describeChange(view({}), view({ state: 'finished', phase: 'ended' }))).toEqual([
    'job heart: finished, model sm3:aa',
  ]);
});

test('a site that the job goes on without is told once, with the reason', () => {
  const exclusion = {
    job: 'heart',
    site: 'c',
    code: 'FEATURE_VIEW_DRIFTED',
    details: {},
    reason: 'Column glucose differs.',
  };
  const left = view({ exclusions: [exclusion] });
  expect(describeChange(view({}), left)).toEqual(['job heart: c left out: Column glucose differs.']);
  expect(describeChange(left, view({ exclusions: [exclusion] }))).toEqual([]);
});

test('a round that is to be tried again is told with the time until then, once, and why', () => {
  const why = 'attempt 1 of 3 was abandoned because only 0 of 2 sites could still answer';
  const waiting = view({ phase: 'recruiting', attempt: 2, retryAt: 62_400, waitingFor: why });
  const lines = describeChange(view({}), waiting, 50_000);
  expect(lines.at(-1)).toMatch(
    /^job heart: round \d+\/\d+ tries again in 13 s: attempt 1 of 3 was abandoned/,
  );
  expect(describeChange(waiting, waiting, 51_000)).toEqual([]);
});
