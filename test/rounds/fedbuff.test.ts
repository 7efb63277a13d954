import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { jobView } from '../../src/coordinator/job-view.ts';
import type { JobEvent } from '../../src/rounds/job-event.ts';
import { type JobState, recover } from '../../src/rounds/job-state.ts';
import { spoolScopes } from '../../src/rounds/spool-scope.ts';
import { A, B, C, D, digest, JOB, jobOf, Rehearsal } from './federation.ts';

const FEDBUFF = { name: 'fedbuff', bufferSize: 2, stalenessMax: 2 };
const OVER = { cohort: { size: 3 }, quorum: 1, rounds: 5, evaluateEvery: 0 };
const rehearsal = (change: Record<string, unknown> = {}) =>
  new Rehearsal(jobOf({ strategy: FEDBUFF, ...OVER, ...change }));
/** The digest of version n in a rehearsal: the sums of all rounds have the same. */
const base = (round: number) => ({
  ...{ round, attempt: 1, baseVersion: round - 1, baseDigest: digest(round === 1 ? '0' : 'e') },
});
const asked = (job: Rehearsal, site: typeof A) => {
  const message = job.effects.say.find((one) => one.site === site && one.message.kind === 'assignment');
  return message?.message.kind === 'assignment' ? message.message.assignment : undefined;
};
/** A and B have made version 1; C still trains from version 0. */
const slowC = (change: Record<string, unknown> = {}) =>
  rehearsal(change).come(A, B, C).arrive(A).arrive(B).sum([A, B]);

describe('an asynchronous job', () => {
  test('makes a version as soon as its buffer is full, and asks who delivered to go on from it', () => {
    const job = slowC();
    expect(job.state).toMatchObject({ phase: 'working', round: 2, version: 1 });
    expect(asked(job, A)).toMatchObject({ id: `${JOB}/2/1/train`, baseVersion: 1, baseDigest: digest('e') });
    expect(asked(job, B)).toMatchObject({ round: 2, baseVersion: 1 });
  });

  test('takes nothing back from a site that trains on: its update counts in a later version, once', () => {
    const job = slowC();
    expect(job.told(C)).not.toContain('withdrawal');
    job.arrive(C, base(1));
    expect(job.refusal).toBeUndefined();
    expect([...job.state.accepted.keys()]).toEqual([C]);
    job.arrive(A, base(2));
    expect(job.effects.aggregate).toMatchObject({ round: 2 });
    job.sum([A, C]);
    const [, second] = jobView(job.state).history;
    expect(second?.contributors.map(({ site, staleness }) => [site, staleness])).toEqual([
      [A, 0],
      [C, 1],
    ]);
    // It comes again, and gets the receipt that is held.
    job.arrive(C, base(1));
    expect(job.effects).toMatchObject({ persist: [], reply: { ok: true } });
  });

  test('takes one update of a site into a buffer: who is fast waits for the version', () => {
    const job = rehearsal().come(A, B, C).arrive(A);
    expect(job.told(A)).toEqual([]);
    expect(job.state.phase).toBe('working');
    job.arrive(A, { digest: digest('f') });
    expect(job.refusal).toBe('UPDATE_CONFLICT');
    job.arrive(A, { attempt: 2 });
    expect(job.refusal).toBeUndefined();
    expect(job.state.accepted.size).toBe(1);
    expect(job.effects.persist).toEqual([]);
  });

  test('tells sites which receipts are in a version, and of which rounds', () => {
    const job = slowC().arrive(C, base(1)).arrive(A, base(2)).sum([A, C]);
    const message = job.effects.say.find(({ message }) => message.kind === 'version-committed')?.message;
    expect(message).toMatchObject({
      version: 2,
      receipts: [
        { site: A, round: 2 },
        { site: C, round: 1 },
      ],
    });
  });

  test('takes updates into the next buffer while one is folded or evaluated', () => {
    const job = rehearsal({ evaluateEvery: 1 }).come(A, B, C).arrive(A).arrive(B);
    expect(job.state.phase).toBe('aggregating');
    job.arrive(C, base(1));
    expect(job.refusal).toBeUndefined();
    job.sum([A, B]);
    expect(job.state.phase).toBe('evaluating');
    expect([...job.state.accepted.keys()]).toEqual([C]);
    // Who trains or has delivered again is not asked to evaluate.
    expect(asked(job, A)).toMatchObject({ task: 'evaluate' });
    expect(asked(job, C)).toBeUndefined();
    job.evaluate(A, B);
    expect(job.state).toMatchObject({ phase: 'working', round: 2 });
    job.arrive(B, base(2));
    expect(job.effects.aggregate?.updates.map(({ declaration }) => declaration.key.site)).toEqual([C, B]);
  });

  test('refuses an update that has missed too many versions, and has its site begin anew before', () => {
    const job = slowC();
    for (const round of [2, 3]) job.arrive(A, base(round)).arrive(B, base(round)).sum([A, B]);
    // The buffer of round 4 would be the third since C's base.
    expect(job.records.at(-1)).toMatchObject({ kind: 'attempt-started', round: 4, recalled: [C] });
    expect(job.told(C)).toEqual(['version-committed', 'withdrawal', 'assignment']);
    expect(asked(job, C)).toMatchObject({ round: 4, baseVersion: 3 });
    job.arrive(C, base(1));
    expect(job.refusal).toBe('UPDATE_TOO_STALE');
    job.arrive(C, base(4));
    expect(job.refusal).toBeUndefined();
  });

  test('refuses what it did not ask the site for', () => {
    const job = slowC();
    expect(job.arrive(C, { ...base(1), attempt: 2 }).refusal).toBe('UPDATE_STALE');
    expect(job.arrive(D, base(2)).refusal).toBe('OUTSIDE_COHORT');
    expect(job.arrive(C, { ...base(1), baseDigest: digest('9') }).refusal).toBe('UPDATE_BASE_MISMATCH');
    expect(job.arrive(C, base(2)).refusal).toBe('UPDATE_STALE');
    expect(job.state.accepted.size).toBe(0);
  });

  test('hands a site that returns what it was asked for, in whatever phase and after any restart', () => {
    const job = slowC({ evaluateEvery: 1 });
    expect(job.state.phase).toBe('evaluating');
    job.feed({ kind: 'site-offline', site: C }).come(C);
    expect(asked(job, C)).toMatchObject({ id: `${JOB}/1/1/train`, baseVersion: 0, baseDigest: digest('0') });
    job.evaluate(A, B);
    job.state = recover(job.records) as JobState;
    job.feed({ kind: 'started', online: new Map() }).come(C);
    expect(asked(job, C)).toMatchObject({ id: `${JOB}/1/1/train` });
    job.arrive(C, base(1));
    expect(job.refusal).toBeUndefined();
  });

  test('asks a site anew that has failed or declined, and not before the next attempt', () => {
    const job = rehearsal().come(A, B, C);
    const failed = {
      kind: 'failure',
      problem: { code: 'TRAINER_FAILED', details: { reason: 'no' } },
    } as const;
    job.feed({ kind: 'reported', site: C, assignment: `${JOB}/1/1/train` as never, result: failed });
    expect(job.told(C)).toEqual(['report-taken']);
    expect(job.arrive(C).refusal).toBe('OUTSIDE_COHORT');
    job.arrive(A).arrive(B).sum([A, B]);
    expect(asked(job, C)).toMatchObject({ round: 2 });
  });

  test('commits a buffer with its quorum at the deadline; without, the next attempt goes on with who trains', () => {
    const job = rehearsal().come(A, B, C).arrive(A).wait(1000);
    expect(job.effects.aggregate?.updates).toHaveLength(1);
    const short = rehearsal({ quorum: 2 }).come(A, B, C).arrive(A).wait(1000);
    expect(short.state).toMatchObject({ phase: 'working', round: 1, attempt: 2 });
    expect(short.records.at(-1)).toMatchObject({ kept: [B, C], cohort: [A, B, C] });
    expect(short.told(B)).not.toContain('withdrawal');
    short.arrive(B, base(1));
    expect(short.effects.aggregate?.updates).toHaveLength(2);
  });

  test('has a site begin anew that lets two attempts at a round pass', () => {
    const job = rehearsal({ quorum: 2 }).come(A, B, C).arrive(A).wait(1000).wait(1000);
    expect(job.records.at(-1)).toMatchObject({ attempt: 3, recalled: [B, C] });
    expect(asked(job, B)).toMatchObject({ id: `${JOB}/1/3/train` });
  });

  test('gives the place of a site that has delivered to another one, until the buffer is full', () => {
    const job = rehearsal({ cohort: { size: 2 } }).come(A, B, C, D);
    expect(job.state.participants.size).toBe(2);
    const [first] = [...job.state.participants.keys()];
    job.arrive(first!);
    expect(job.records.at(-1)).toMatchObject({ kind: 'participant-added' });
    expect(job.state.outstanding.size).toBe(2);
  });

  test('takes nothing more after its last version, and lets nobody train in vain', () => {
    const job = rehearsal({ rounds: 1 }).come(A, B, C).arrive(A).arrive(B);
    expect(job.arrive(C).refusal).toBe('UPDATE_LATE');
    job.sum([A, B]);
    expect(job.told(C)).toContain('withdrawal');
    expect(job.state.ended).toMatchObject({ outcome: 'finished' });
  });

  test('leaves out the update of a site that is revoked, in the buffer and while it is folded', () => {
    const job = rehearsal().come(A, B, C).arrive(A).arrive(B);
    job.feed({ kind: 'site-revoked', site: B });
    expect(job.state.phase).toBe('working');
    job.sum([A, B]);
    expect(job.state.version).toBe(0);
    job.arrive(C).sum([A, C]);
    expect(job.state.version).toBe(1);
    job.feed({ kind: 'site-revoked', site: A });
    expect(job.state.outstanding.has(A)).toBe(false);
  });

  test('has a key in the spool for each update, and needs it no longer than the update', () => {
    const job = slowC();
    expect(job.effects.forget).toEqual(['1.a', '1.b']);
    expect([...spoolScopes(job.state)].sort()).toEqual(['1.c', '2.a', '2.b']);
    job.arrive(C, base(1)).arrive(A, base(2)).sum([A, C]);
    expect([...job.effects.forget].sort()).toEqual(['1.c', '2.a']);
    job.feed({ kind: 'stop', reason: 'enough' });
    expect([...job.effects.forget].sort()).toEqual(['2.b', '3.a', '3.c']);
  });

  test('counts its statistics round by the cohort, not by the buffer', () => {
    const job = rehearsal({ statistics: true }).come(A, B, C);
    expect(job.state).toMatchObject({ phase: 'working', round: 0 });
    const features = ['age', 'chol'].map((name) => ({
      ...{ name, suppressed: false, count: 2, missing: 0, sum: 4, sumOfSquares: 10 },
    }));
    const assignment = `${JOB}/0/1/statistics` as never;
    for (const site of [A, B])
      job.feed({ kind: 'reported', site, assignment, result: { kind: 'statistics', features } });
    expect(job.state.round).toBe(0);
    job.feed({ kind: 'reported', site: C, assignment, result: { kind: 'statistics', features } });
    expect(job.state).toMatchObject({ phase: 'working', round: 1 });
    expect(job.state.outstanding.size).toBe(3);
  });
});

describe('any history of an asynchronous job', () => {
  const sites = fc.constantFrom(A, B, C, D);
  const round = fc.integer({ min: 1, max: 4 });
  const moves = fc.array(
    fc.oneof(
      sites.map((site) => (job: Rehearsal) => job.come(site)),
      sites.map((site) => (job: Rehearsal) => job.feed({ kind: 'site-offline', site })),
      // What the site was asked for, or anything else.
      sites.map((site) => (job: Rehearsal) => {
        const own = job.state.outstanding.get(site) ?? { round: 1, attempt: 1 };
        return job.arrive(site, { ...base(own.round), ...own });
      }),
      fc.tuple(sites, round).map(
        ([site, of]) =>
          (job: Rehearsal) =>
            job.arrive(site, base(of)),
      ),
      sites.map((site) => (job: Rehearsal) => job.evaluate(site)),
      sites.map((site) => (job: Rehearsal) => job.feed({ kind: 'site-revoked', site })),
      fc.nat(1500).map((ms) => (job: Rehearsal) => job.wait(ms)),
      fc.constant((job: Rehearsal) => {
        const { aggregate } = job.effects;
        return aggregate ? job.sum(aggregate.updates.map(({ declaration }) => declaration.key.site)) : job;
      }),
      fc.constant((job: Rehearsal) =>
        job.feed({ kind: 'started', online: job.state.online } satisfies JobEvent),
      ),
    ),
    { maxLength: 80 },
  );

  test('counts each update in one version at most, and none that missed too many', () => {
    fc.assert(
      fc.property(moves, (list) => {
        const job = rehearsal({ attemptsMax: 5, evaluateEvery: 2 });
        for (const move of list) move(job);
        const counted = job.state.history.flatMap(({ round: version, updates }) =>
          updates.map(({ declaration: { key, baseVersion } }) => {
            expect(baseVersion).toBe(key.round - 1);
            expect(version - key.round).toBeGreaterThanOrEqual(0);
            expect(version - key.round).toBeLessThanOrEqual(FEDBUFF.stalenessMax);
            return `${key.site}/${key.round}`;
          }),
        );
        expect(new Set(counted).size).toBe(counted.length);
      }),
    );
  });

  test('can be read back from its records: updates, versions and the cohort are what they say', () => {
    fc.assert(
      fc.property(moves, (list) => {
        const job = rehearsal({ attemptsMax: 5, evaluateEvery: 2 });
        for (const move of list) move(job);
        const { accepted, history, version, round, attempt, outstanding, revoked } = job.state;
        const back = recover(job.records) as JobState;
        expect(back).toMatchObject({ accepted, history, version, round, attempt, revoked });
        // Who has declined or failed is asked once more after a restart; nobody here did.
        expect(back.outstanding).toEqual(outstanding);
      }),
    );
  });
});
