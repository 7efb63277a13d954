import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { encodedBytes } from '../../src/aggregation/encodings/payload-encoding.ts';
import { exclusionViews, jobView } from '../../src/coordinator/job-view.ts';
import { problem } from '../../src/errors/problem.ts';
import type { JobEvent } from '../../src/rounds/job-event.ts';
import { type JobState, recover } from '../../src/rounds/job-state.ts';
import { wakeAt } from '../../src/rounds/patience.ts';
import type { AssignmentId, SiteId } from '../../src/vocabulary/ids.ts';
import { A, B, C, D, digest, FIRST_RELEASE, JOB, jobOf, PRESENCE, Rehearsal } from './federation.ts';

describe('a cohort', () => {
  test('waits a little for all of its sites, then goes on with a quorum', () => {
    const job = new Rehearsal().come(A, B);
    expect(job.state.phase).toBe('recruiting');
    job.wait(250);
    expect(job.state.phase).toBe('working');
    expect([...job.state.participants.keys()]).toEqual([A, B]);
  });

  test('is handed its assignments at once when everyone is there', () => {
    const job = new Rehearsal().come(A, B, C);
    expect(job.state.phase).toBe('working');
    expect(job.effects.say.map(({ site, message }) => [site, message.kind])).toEqual([
      [A, 'assignment'],
      [B, 'assignment'],
      [C, 'assignment'],
    ]);
    expect(job.records.at(-1)).toMatchObject({ kind: 'attempt-started', round: 1, cohort: [A, B, C] });
  });

  test('of SCAFFOLD notes how many sites there are, again when there are more, and over a restart', () => {
    const job = new Rehearsal(jobOf({ strategy: { name: 'scaffold' }, cohort: { size: 2 } }));
    job.come(A, B);
    expect(job.records.at(-1)).toMatchObject({ kind: 'attempt-started', population: 2 });
    job.come(C, D).wait(1000);
    expect(job.records.at(-1)).toMatchObject({ kind: 'attempt-started', attempt: 2, population: 4 });
    job.feed({ kind: 'site-offline', site: C }).wait(1000);
    expect(job.records.at(-1)).not.toHaveProperty('population');
    expect([job.state.population, recover(job.records)?.population]).toEqual([4, 4]);
    const plain = new Rehearsal().come(A, B, C);
    expect(plain.records.at(-1)).not.toHaveProperty('population');
  });

  test('is a seeded sample: the same seed chooses the same sites, and over-selection chooses more', () => {
    const cohortOf = (seed: number, overSelection = 1) => {
      const job = new Rehearsal(jobOf({ seed, cohort: { size: 2, overSelection } }));
      const online = new Map([A, B, C, D].map((site) => [site, PRESENCE]));
      job.feed({ kind: 'started', online });
      return [...job.state.participants.keys()];
    };
    expect(cohortOf(7)).toEqual(cohortOf(7));
    expect(new Set(Array.from({ length: 20 }, (_, seed) => cohortOf(seed).join())).size).toBeGreaterThan(2);
    expect(cohortOf(7, 1.5)).toHaveLength(3);
  });

  test('has no site that lacks the dataset or the trainer', () => {
    const job = new Rehearsal().come(A, B);
    job.feed({ kind: 'site-online', site: C, presence: { ...PRESENCE, datasets: ['other'] } });
    job.feed({ kind: 'site-online', site: D, presence: { ...PRESENCE, trainers: [] } });
    job.wait(250);
    expect([...job.state.participants.keys()]).toEqual([A, B]);
  });

  test('has no site that cannot send the encoding that the job insists on, and tells it and the operator why', () => {
    const encodings = ['int8'];
    const job = new Rehearsal(jobOf({ updateEncoding: { name: 'int8', fallback: 'none' } }));
    job.feed({ kind: 'site-online', site: A, presence: { ...PRESENCE, encodings: ['float16'] } });
    const refusal = { code: 'UPDATE_ENCODING_UNSUPPORTED', details: { encoding: 'int8' } };
    expect(job.effects.say).toMatchObject([
      { site: A, message: { kind: 'exclusion', job: JOB, problem: refusal } },
    ]);
    for (const site of [B, C]) job.feed({ kind: 'site-online', site, presence: { ...PRESENCE, encodings } });
    // Of an earlier release: it would not know the message.
    job.feed({ kind: 'site-online', site: D, presence: FIRST_RELEASE });
    expect(job.told(D)).toEqual([]);
    job.wait(250);
    expect([...job.state.participants.keys()]).toEqual([B, C]);
    expect(job.state.excluded.get(D)).toMatchObject(refusal);
    expect(exclusionViews(job.state)).toMatchObject([
      { site: A, ...refusal },
      { site: D, ...refusal },
    ]);
    // It was upgraded.
    job.feed({ kind: 'site-online', site: A, presence: { ...PRESENCE, encodings } });
    expect(job.told(A)).toEqual(['assignment']);
    expect(job.arrive(B).refusal).toBe('UPDATE_ENCODING_REFUSED');
    const encoding = { name: 'int8' } as const;
    const payloadBytes = encodedBytes(job.state.manifest, encoding);
    expect(job.arrive(B, { encoding, payloadBytes }).refusal).toBeUndefined();
  });

  test.each<[string, Record<string, unknown>]>([
    ['strategy scaffold', { strategy: { name: 'scaffold' } }],
    ['strategy fedbuff', { strategy: { name: 'fedbuff', bufferSize: 2 } }],
    ['updateBound by tensor', { updateBound: { tensors: { '*.bias': 1 } } }],
    ['batchNorm', { batchNorm: { policy: 'local', tensors: ['*.bias'] } }],
    [
      'model.convolutions.batchNorm',
      {
        model: {
          kind: 'cnn',
          input: { channels: 1, height: 4, width: 4 },
          convolutions: [{ channels: 2, batchNorm: true }],
        },
      },
    ],
  ])(
    'tells no site of the first release, which would end its session over it, of a job with %s',
    (what, change) => {
      const job = new Rehearsal(jobOf(change));
      job.feed({ kind: 'site-online', site: D, presence: FIRST_RELEASE });
      expect(job.effects.say).toEqual([]);
      job.come(A, B, C);
      expect([...job.state.participants.keys()]).toEqual([A, B, C]);
      expect(exclusionViews(job.state)).toMatchObject([
        { site: D, code: 'JOB_UNSUPPORTED', details: { what } },
      ]);
    },
  );

  test('goes on without a site that says that the job is beyond its version, until it comes as another', () => {
    const job = new Rehearsal(jobOf({ rounds: 3 })).come(A, B, C);
    const refusal = problem('JOB_UNSUPPORTED', { what: 'strategy.name fedfuture' });
    const assignment = `${JOB}/1/1/train` as AssignmentId;
    job.feed({ kind: 'answered', site: C, assignment, problem: refusal });
    expect(job.state.participants.get(C)?.state).toBe('declined');
    expect(exclusionViews(job.state)).toMatchObject([{ site: C, ...refusal }]);
    job.arrive(A).arrive(B).sum().evaluate(A, B);
    expect([...job.state.participants.keys()]).toEqual([A, B]);
    expect(job.told(C)).toEqual([]);
    job.come(C);
    expect(exclusionViews(job.state)).toEqual([]);
    expect(job.told(C)).toContain('assignment');
  });

  test('leaves no site of the first release out of a job whose words it knows', () => {
    const job = new Rehearsal(jobOf());
    for (const site of [A, B, C]) job.feed({ kind: 'site-online', site, presence: FIRST_RELEASE });
    expect([...job.state.participants.keys()]).toEqual([A, B, C]);
  });

  test('asks a site that cannot send the encoding for float32 where the job falls back to it', () => {
    const job = new Rehearsal(jobOf({ updateEncoding: { name: 'top-k', share: 0.5 } }));
    const presence = { ...PRESENCE, encodings: ['top-k'] };
    const asked = (site: SiteId) =>
      job.effects.say.flatMap((one) =>
        one.site === site && one.message.kind === 'assignment' ? [one.message.assignment.spec] : [],
      );
    job.feed({ kind: 'site-online', site: A, presence }).come(B).wait(250);
    expect(asked(A)).toEqual([job.state.spec]);
    expect(asked(B)).toEqual([jobOf()]);
    expect(job.arrive(B).refusal).toBeUndefined();
    const encoding = { name: 'top-k', kept: 2 } as const;
    const payloadBytes = encodedBytes(job.state.manifest, encoding);
    expect(job.arrive(A, { encoding: { name: 'top-k', kept: 3 }, payloadBytes: 20 }).refusal).toBe(
      'UPDATE_ENCODING_REFUSED',
    );
    expect(job.arrive(A, { encoding, payloadBytes }).refusal).toBeUndefined();
    expect(job.state.phase).toBe('aggregating');
  });

  test('takes in a site that comes while there is room', () => {
    const job = new Rehearsal().come(A, B).wait(250).come(C);
    expect(job.records.at(-1)).toMatchObject({ kind: 'participant-added', site: C });
    expect(job.told(C)).toEqual(['assignment']);
  });

  test('hands a site that returns its assignment again', () => {
    const job = new Rehearsal().come(A, B, C).feed({ kind: 'site-offline', site: B }).come(B);
    expect(job.told(B)).toEqual(['assignment']);
    job.arrive(B).feed({ kind: 'site-offline', site: B }).come(B);
    expect(job.told(B)).toEqual([]);
  });
});

describe('a round', () => {
  test('persists before it replies, and replies with the receipt', () => {
    const job = new Rehearsal().come(A, B, C).arrive(A);
    expect(job.effects.persist).toMatchObject([{ kind: 'update-accepted' }]);
    expect(job.effects.reply).toMatchObject({ ok: true });
    expect(job.effects.aggregate).toBeUndefined();
  });

  test('is summed when all updates are in, whatever their order', () => {
    const job = new Rehearsal().come(A, B, C).arrive(C).arrive(A).arrive(B);
    expect(job.state.phase).toBe('aggregating');
    expect(job.effects.aggregate?.updates.map((update) => update.declaration.key.site).sort()).toEqual([
      A,
      B,
      C,
    ]);
  });

  test('is summed at its deadline with a quorum, and the straggler is told', () => {
    const job = new Rehearsal().come(A, B, C).arrive(A).arrive(B);
    expect(job.state.phase).toBe('working');
    job.wait(1000);
    expect(job.state.phase).toBe('aggregating');
    expect(job.told(C)).toEqual(['withdrawal']);
    expect(job.arrive(C).refusal).toBe('UPDATE_LATE');
  });

  test('does not wait its whole deadline for a site that went away, once it has a quorum', () => {
    const job = new Rehearsal().come(A, B, C).arrive(A).arrive(B).feed({ kind: 'site-offline', site: C });
    expect(job.wait(249).state.phase).toBe('working');
    expect(job.wait(1).state.phase).toBe('aggregating');
  });

  test('waits for a site that comes back in time, and without a quorum for one that stays away', () => {
    const job = new Rehearsal().come(A, B, C).arrive(A).feed({ kind: 'site-offline', site: B });
    expect(job.wait(500).state.phase).toBe('working');
    job.come(B).arrive(C);
    expect(job.wait(400).state.phase).toBe('working');
    expect(job.arrive(B).state.phase).toBe('aggregating');
  });

  test('does not wait for a site that has left before it, beyond the first gathering', () => {
    const job = new Rehearsal().come(A, B, C).arrive(A).arrive(B).arrive(C).sum();
    job.feed({ kind: 'site-revoked', site: C }).feed({ kind: 'site-offline', site: C }).evaluate(A, B);
    expect(job.state).toMatchObject({ phase: 'working', round: 2 });
  });

  test('is not evaluated for long by a site that went away', () => {
    const job = new Rehearsal().come(A, B, C).arrive(A).arrive(B).arrive(C).sum().evaluate(A, B);
    job.feed({ kind: 'site-offline', site: C }).wait(250);
    expect(job.state).toMatchObject({ phase: 'working', round: 2 });
  });

  test('is abandoned at its deadline without a quorum, says why, and is tried again with what it has', () => {
    const job = new Rehearsal().come(A, B, C).arrive(A).wait(1000);
    expect(job.state).toMatchObject({ phase: 'working', round: 1, attempt: 2 });
    expect(job.state.abandoned).toEqual(['1 answers were in at the deadline, and the quorum is 2']);
    expect(job.told(A)).toEqual([]);
    expect(job.told(B)).toEqual(['withdrawal', 'assignment']);
    job.arrive(B);
    expect(job.state.accepted.size).toBe(2);
  });

  test('is abandoned early when a quorum can no longer come about', () => {
    const job = new Rehearsal(jobOf({ attemptsMax: 1 })).come(A, B, C);
    const assignment = `${JOB}/1/1/train` as never;
    const declined = { code: 'POLICY_DENIED', details: { what: 'this' } } as const;
    job.feed({ kind: 'answered', site: A, assignment, problem: declined });
    expect(job.state.ended).toBeUndefined();
    job.feed({ kind: 'reported', site: B, assignment, result: { kind: 'failure', problem: declined } });
    expect(job.state.ended).toMatchObject({ outcome: 'failed' });
    expect(job.state.ended?.reason).toContain("The site's policy does not allow this.");
  });

  test('that fails at once is tried again after a delay that grows, over a restart too', () => {
    const job = new Rehearsal(jobOf({ attemptsMax: 4, deadlineMs: 40_000 })).come(A, B, C);
    const failure = { kind: 'failure', problem: problem('TRAINER_FAILED', { reason: 'exit 1' }) } as const;
    const failAtOnce = () => {
      const assignment = `${JOB}/1/${job.state.attempt}/train` as AssignmentId;
      for (const site of [A, B]) job.feed({ kind: 'reported', site, assignment, result: failure });
    };
    const waits: number[] = [];
    for (const delay of [1000, 4000, 16_000]) {
      failAtOnce();
      const due = wakeAt(job.state, job.now) ?? 0;
      waits.push(due - job.now);
      // Over by the time the alarm is set: woken all the same.
      expect(wakeAt(job.state, due + 5)).toBe(due);
      expect(job.told(C)).toEqual(['withdrawal']);
      job.wait(delay - 1).come(C);
      expect(job.state.phase).toBe('recruiting');
      expect(recover(job.records)?.retryAt).toBe(due);
      job.wait(1);
      expect(job.state).toMatchObject({ phase: 'working', retryAt: undefined });
      expect(job.told(A)).toEqual(['assignment']);
    }
    expect(waits).toEqual([1000, 4000, 16_000]);
    failAtOnce();
    expect(job.state.ended).toMatchObject({ outcome: 'failed' });
    expect(wakeAt(job.state, job.now)).toBeUndefined();
  });

  test('waits the same after a restart, and no longer where the clock was set back meanwhile', () => {
    const job = new Rehearsal(jobOf({ deadlineMs: 40_000 })).come(A, B, C);
    const assignment = `${JOB}/1/1/train` as AssignmentId;
    for (const site of [A, B])
      job.feed({ kind: 'answered', site, assignment, problem: problem('POLICY_DENIED', { what: 'this' }) });
    const online = new Map([A, B, C].map((site) => [site, PRESENCE]));
    job.state = recover(job.records)!;
    job.now += 400;
    job.feed({ kind: 'started', online });
    expect(job.state.phase).toBe('recruiting');
    expect(wakeAt(job.state, job.now)).toBe(job.now + 600);
    expect(jobView(job.state)).toMatchObject({
      retryAt: job.now + 600,
      waitingFor: expect.stringContaining(
        'attempt 1 of 3 was abandoned because only 1 of 2 sites could still answer',
      ),
    });
    job.state = recover(job.records)!;
    job.now -= 86_400_000;
    job.feed({ kind: 'started', online });
    expect(wakeAt(job.state, job.now)).toBe(job.now + 1000);
  });

  test('that took longer than the delay is tried again at once', () => {
    const job = new Rehearsal(jobOf({ deadlineMs: 40_000 })).come(A, B, C).wait(5000);
    const assignment = `${JOB}/1/1/train` as AssignmentId;
    for (const site of [A, B])
      job.feed({ kind: 'answered', site, assignment, problem: problem('POLICY_DENIED', { what: 'this' }) });
    expect(job.state).toMatchObject({ phase: 'working', attempt: 2 });
  });

  test('fails its job after the last attempt', () => {
    const job = new Rehearsal(jobOf({ attemptsMax: 2 })).come(A, B, C).wait(1000).wait(1000);
    expect(job.state.ended).toMatchObject({ outcome: 'failed' });
    expect(job.wait(1000).effects.persist).toEqual([]);
  });

  test('leads to a version, its evaluation, and the next round', () => {
    const job = new Rehearsal().come(A, B, C).arrive(A).arrive(B).arrive(C).sum();
    expect(job.state).toMatchObject({ phase: 'evaluating', version: 1, digest: digest('e') });
    expect(job.told(A)).toEqual(['version-committed', 'assignment']);
    expect(job.effects.forget).toEqual(['1']);
    const receipts = job.state.history[0]!.updates.map(({ declaration }) => ({
      ...{ site: declaration.key.site, round: 1, attempt: 1, digest: declaration.digest },
    }));
    expect(receipts).toHaveLength(3);
    const committed = { kind: 'version-committed', version: 1, digest: digest('e'), receipts };
    expect(job.effects.say).toContainEqual({ site: A, message: expect.objectContaining(committed) });
    // Who was away hears of it when it comes back.
    job.feed({ kind: 'site-offline', site: A });
    job.come(A);
    expect(job.effects.say).toContainEqual({ site: A, message: expect.objectContaining(committed) });
    job.evaluate(A, B);
    expect(job.state.phase).toBe('evaluating');
    job.evaluate(C);
    expect(job.state).toMatchObject({ phase: 'working', round: 2, attempt: 1 });
    expect(job.state.history[0]?.evaluations.size).toBe(3);
    job.arrive(A).arrive(B).arrive(C).sum().evaluate(A, B, C);
    expect(job.state.ended).toMatchObject({ outcome: 'finished' });
  });

  test('goes on without evaluations that do not come', () => {
    const job = new Rehearsal().come(A, B, C).arrive(A).arrive(B).arrive(C).sum().evaluate(A).wait(1000);
    expect(job.state).toMatchObject({ phase: 'working', round: 2 });
  });

  test('is summed anew without a site that is revoked while it is summed', () => {
    const job = new Rehearsal().come(A, B, C).arrive(A).arrive(B).arrive(C);
    job.feed({ kind: 'site-revoked', site: C });
    expect(job.effects.aggregate?.updates).toHaveLength(2);
    job.sum([A, B, C]);
    expect(job.state.version).toBe(0);
    job.sum([A, B]);
    expect(job.state.version).toBe(1);
    expect(job.state.history[0]?.updates).toHaveLength(2);
  });

  test('drops exactly the updates that turn out to be damaged, and asks for them again', () => {
    const job = new Rehearsal().come(A, B, C).arrive(A).arrive(B).arrive(C);
    const corrupt = { code: 'STORE_CORRUPT', details: { what: 'b' } } as const;
    job.feed({ kind: 'aggregation-failed', round: 1, problem: corrupt, culprits: [B] });
    expect([...job.state.accepted.keys()]).toEqual([A, C]);
    job.wait(25);
    expect(job.told(B)).toEqual(['assignment']);
  });

  test('ends when the operator stops the job, and keeps its versions', () => {
    const job = new Rehearsal().come(A, B, C).arrive(A).arrive(B).arrive(C).sum();
    job.feed({ kind: 'stop', reason: 'the operator stopped it' });
    expect(job.state).toMatchObject({ version: 1, ended: { outcome: 'stopped' } });
    expect(job.told(A)).toEqual(['withdrawal']);
  });
});

describe('an update', () => {
  const working = () => new Rehearsal().come(A, B, C);

  test('that comes again gets the held receipt, also rounds later', () => {
    const job = working().arrive(A);
    const first = job.updateOf(A);
    const held = job.effects.reply;
    job.feed({ kind: 'update-arrived', update: { ...first, at: 1 } });
    expect(job.effects).toMatchObject({ persist: [], reply: held });
    job.arrive(B).arrive(C).sum().evaluate(A, B, C);
    job.feed({ kind: 'update-arrived', update: first });
    expect(job.effects.reply).toEqual(held);
  });

  test.each([
    ['UPDATE_CONFLICT', 'has other bytes under a key that is taken', A, { digest: digest('f') }],
    ['UPDATE_STALE', 'is for another attempt', B, { attempt: 2 }],
    ['UPDATE_STALE', 'is for a round to come', B, { round: 2 }],
    ['ROUND_UNKNOWN', 'is for a round that the job does not have', B, { round: 3 }],
    ['ROUND_UNKNOWN', 'is for no round at all', B, { round: -1 }],
    ['OUTSIDE_COHORT', 'is from a site outside the cohort', D, {}],
    ['UPDATE_BASE_MISMATCH', 'starts from another version', B, { baseVersion: 7 }],
    ['UPDATE_BASE_MISMATCH', 'starts from other weights', B, { baseDigest: digest('9') }],
    ['SAMPLE_COUNT_INVALID', 'claims no rows', B, { sampleCount: 0 }],
    ['SAMPLE_COUNT_INVALID', 'claims a negative count', B, { sampleCount: -5 }],
    ['SAMPLE_COUNT_INVALID', 'claims a fraction of a row', B, { sampleCount: 1.5 }],
    ['SAMPLE_COUNT_INVALID', 'claims NaN rows', B, { sampleCount: Number.NaN }],
    ['SAMPLE_COUNT_INVALID', 'claims more rows than the job allows', B, { sampleCount: 10 ** 8 }],
    ['SAMPLE_COUNT_INVALID', 'claims 2^53 rows', B, { sampleCount: 2 ** 53 }],
    ['UPDATE_MISSHAPED', 'declares another size', B, { payloadBytes: 8 }],
    ['UPDATE_MISSHAPED', 'has chunks that cut values in two', B, { chunkBytes: 15 }],
    ['UPDATE_MISSHAPED', 'has hostile chunks', B, { chunkBytes: 2 ** 53 }],
    ['UPDATE_MISSHAPED', 'has no tensors', B, { manifest: { schemaVersion: '1.0.0', tensors: [] } }],
    [
      'UPDATE_MISSHAPED',
      'has another weight schema',
      B,
      { manifest: { schemaVersion: '2.0.0', tensors: [] } },
    ],
  ])('is refused as %s when it %s', (code, _, site, change) => {
    const job = working().arrive(A).arrive(site, change);
    expect(job.refusal).toBe(code);
    expect(job.effects.persist).toEqual([]);
  });

  test('is refused after the end of its job', () => {
    const job = working().feed({ kind: 'stop', reason: 'enough' });
    expect(job.arrive(A).refusal).toBe('JOB_ENDED');
  });
});

describe('the statistics round', () => {
  const counting = () => new Rehearsal(jobOf({ statistics: true })).come(A, B, C);
  const assignment = `${JOB}/0/1/statistics` as never;
  const sums = (count: number, sum: number, sumOfSquares: number, suppressed = false) =>
    ['age', 'chol'].map((name) => ({ name, suppressed, count, missing: 0, sum, sumOfSquares }));

  test('settles the constants of the features before the first training round', () => {
    const job = counting();
    job.feed({
      kind: 'reported',
      site: A,
      assignment,
      result: { kind: 'statistics', features: sums(2, 4, 10) },
    });
    expect(job.told(A)).toEqual(['report-taken']);
    job.feed({
      kind: 'reported',
      site: B,
      assignment,
      result: { kind: 'statistics', features: sums(2, 8, 34) },
    });
    job.feed({
      kind: 'reported',
      site: C,
      assignment,
      result: { kind: 'statistics', features: sums(0, 0, 0, true) },
    });
    expect(job.state).toMatchObject({ round: 1, phase: 'working' });
    // 1, 3, 3, 5
    expect(job.state.constants?.[0]).toEqual({ name: 'age', mean: 3, deviation: Math.sqrt(2), count: 4 });
    const message = job.effects.say.find(({ site }) => site === A)?.message;
    expect(message).toMatchObject({
      kind: 'assignment',
      assignment: { task: 'train', constants: job.state.constants },
    });
  });

  test.each([
    ['too few features', sums(2, 4, 10).slice(1)],
    ['a sum that is not finite', sums(2, Number.NaN, 10)],
    ['sums that contradict each other', sums(2, 4, 1)],
    ['a count that is none', sums(-1, 4, 10)],
  ])('refuses a report with %s', (_, features) => {
    const job = counting();
    job.feed({ kind: 'reported', site: A, assignment, result: { kind: 'statistics', features } });
    expect(job.told(A)).toEqual(['problem', 'report-taken']);
    expect(job.state.statistics.size).toBe(0);
  });
});

describe('any history', () => {
  const sites = fc.constantFrom(A, B, C, D);
  const moves = fc.array(
    fc.oneof(
      sites.map((site) => (job: Rehearsal) => job.come(site)),
      sites.map((site) => (job: Rehearsal) => job.feed({ kind: 'site-offline', site })),
      sites.map((site) => (job: Rehearsal) => job.arrive(site)),
      sites.map((site) => (job: Rehearsal) => job.arrive(site, { attempt: 1, digest: digest('f') })),
      sites.map((site) => (job: Rehearsal) => job.evaluate(site)),
      fc.nat(1500).map((ms) => (job: Rehearsal) => job.wait(ms)),
      fc.constant((job: Rehearsal) => job.sum()),
      fc.constant((job: Rehearsal) =>
        job.feed({ kind: 'started', online: job.state.online } satisfies JobEvent),
      ),
    ),
    { maxLength: 80 },
  );
  const durable = (state: JobState) => {
    const { deadlineAt, patientUntil, gathering, away, online, participants, phase, ...rest } = state;
    return { ...rest, cohort: phase === 'evaluating' ? [] : [...participants.keys()].sort() };
  };

  test('can be read back from its records: the state is what the records say', () => {
    fc.assert(
      fc.property(moves, (list) => {
        const job = new Rehearsal(jobOf({ attemptsMax: 5 }));
        for (const move of list) move(job);
        const back = recover(job.records) as JobState;
        expect(durable(back)).toEqual(durable(job.state));
      }),
    );
  });

  test('ends: with nobody there, every job reaches a terminal state by its deadlines alone', () => {
    fc.assert(
      fc.property(moves, (list) => {
        const job = new Rehearsal(jobOf({ attemptsMax: 3 }));
        for (const move of list) move(job);
        for (const site of [A, B, C, D]) job.feed({ kind: 'site-offline', site });
        for (let ticks = 0; ticks < 40 && !job.state.ended; ticks++) {
          if (job.state.phase === 'aggregating') job.sum();
          else job.wait(1000);
        }
        expect(job.state.ended).toBeDefined();
      }),
    );
  });
});
