import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { problem } from '../../src/errors/problem.ts';
import { decodeCoordinatorMessage } from '../../src/protocol/coordinator-message-codec.ts';
import { encodeWire } from '../../src/protocol/schema.ts';
import { type Assignment, assignmentId } from '../../src/rounds/assignment.ts';
import type { Job } from '../../src/rounds/job.ts';
import type { Digest } from '../../src/vocabulary/digest.ts';
import type { JobId } from '../../src/vocabulary/ids.ts';
import { type FakeCoordinator, jobOf } from './fake-coordinator.ts';
import { SiteUnderTest } from './site-under-test.ts';

/*
 * A coordinator that turns on its sites. What it may say is bounded by the codec, what it may have done by the site's
 * own policy, and what it learns by what the site lets out.
 */
let site: SiteUnderTest;
let coordinator: FakeCoordinator;
beforeEach(async () => {
  site = await SiteUnderTest.make();
  coordinator = site.coordinator;
});

/** An assignment of a job, whose weights are never made. */
function assignmentOf(spec: Job, change: Partial<Assignment> = {}): Assignment {
  const job = spec.name as JobId;
  return {
    id: assignmentId(job, 1, 1, 'train'),
    job,
    round: 1,
    attempt: 1,
    task: 'train',
    baseVersion: 0,
    baseDigest: `sm3:${'0'.repeat(64)}` as Digest,
    remainingMs: 60_000,
    spec,
    constants: undefined,
    ...change,
  };
}

/** What the site answers to an assignment. */
async function answerTo(assignment: Assignment) {
  coordinator.say({ kind: 'assignment', assignment });
  const { problem } = await coordinator.heard('answer', (answer) => answer.assignment === assignment.id);
  return problem;
}

describe('a job that no site understands', () => {
  const spec = (change: object) => ({ ...jobOf(), ...change });
  const decoded = (change: object, constants?: unknown) => {
    const bytes = encodeWire('AttendResponse', {
      assignment: {
        id: 'heart/1/1/train',
        job: 'heart',
        round: 1,
        attempt: 1,
        task: 'TASK_TRAIN',
        baseDigest: `sm3:${'0'.repeat(64)}`,
        jobJson: Buffer.from(JSON.stringify(spec(change))),
        ...(constants !== undefined && { constantsJson: Buffer.from(JSON.stringify(constants)) }),
      },
    });
    const message = decodeCoordinatorMessage(bytes);
    if (!message.ok) return message.refusal.code;
    return message.value.kind === 'assignment-beyond' ? message.value.problem.code : 'taken';
  };
  const mlp = (change: object) => ({ model: { kind: 'mlp', features: ['age'], hidden: [4], ...change } });
  const constant = (change: object) => [{ name: 'age', mean: 0, deviation: 1, count: 1, ...change }];

  it('is taken where it is honest', () => {
    expect(decoded({}, constant({}))).toBe('taken');
  });

  it.each<[string, object]>([
    ['a dataset that is a path', { dataset: '../../etc/passwd' }],
    ['a trainer that is a command line', { trainer: { name: 'sh -c id' } }],
    ['a command beside the trainer', { trainer: { name: 'tfjs', command: ['id'] } }],
    ['a path beside the dataset', { path: '/etc/passwd' }],
    ['a minimum count of its own', { minimumCount: 1 }],
    ['a policy of its own', { policy: { minimumCount: 1 } }],
    ['a split of its own', { split: { seed: 2 } }],
    [
      '2^40 parameters and more',
      {
        model: { kind: 'external', tensors: [{ name: 'w', shape: [2 ** 21, 2 ** 20] }] },
        initialWeights: { job: 'heart', version: 0 },
      },
    ],
    [
      'an extent of 2^53',
      {
        model: { kind: 'external', tensors: [{ name: 'w', shape: [2 ** 53] }] },
        initialWeights: { job: 'heart', version: 0 },
      },
    ],
    ['seventeen hidden layers', mlp({ hidden: Array(17).fill(65_536) })],
    ['a hundred thousand features', mlp({ features: Array.from({ length: 100_000 }, (_, at) => `f${at}`) })],
    [
      'a map of no extent',
      {
        model: {
          kind: 'cnn',
          input: { channels: 1, height: 4, width: 4 },
          convolutions: [{ channels: 1, pool: 8 }],
        },
      },
    ],
  ])('is declined: one with %s', (_, change) => {
    expect(decoded(change)).toBe('JOB_UNSUPPORTED');
  });

  it.each([
    ['a deviation of zero', constant({ deviation: 0 })],
    ['a deviation that is no number', constant({ deviation: null })],
    ['a mean that is no number', constant({ mean: 'NaN' })],
  ])('is no message: one with %s', (_, constants) => {
    expect(decoded({}, constants)).toBe('MESSAGE_MALFORMED');
  });
});

describe('a site', () => {
  it('declines a model beyond its policy before it makes room for it', async () => {
    await site.start();
    await coordinator.heard('presence');
    const before = process.memoryUsage().arrayBuffers;
    const wide = jobOf({ model: { kind: 'mlp', features: ['age'], hidden: Array(16).fill(65_536) } });
    expect(await answerTo(assignmentOf(wide))).toMatchObject({ code: 'UPDATE_TOO_LARGE' });
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(2 ** 28);
    expect(coordinator.downloadsFrom).toEqual([]);
  });

  it('takes no job under the name of another: its policy would judge the wrong one', async () => {
    await site.start();
    await coordinator.heard('presence');
    const masked = assignmentOf(jobOf(), {
      job: 'lung' as JobId,
      id: assignmentId('lung' as JobId, 1, 1, 'train'),
    });
    expect(await answerTo(masked)).toMatchObject({ code: 'MESSAGE_MALFORMED' });
    const renumbered = assignmentOf(jobOf(), { round: 2 });
    expect(await answerTo(renumbered)).toMatchObject({ code: 'MESSAGE_MALFORMED' });
    expect(site.trainer.trained).toBe(0);
  });

  it('says in its log once of each kind of message that it does not know, and goes on', async () => {
    await site.start();
    await coordinator.heard('presence');
    for (const field of [99, 99, 100, 99]) coordinator.say({ kind: 'unknown', field });
    expect(await answerTo(assignmentOf(jobOf()))).toBeUndefined();
    const told = site.telemetry.lines.filter(({ message }) => message.includes('does not know'));
    expect(told.map(({ fields }) => fields)).toEqual([{ field: 99 }, { field: 100 }]);
    expect(site.telemetry.counts.get('consilium_messages_unknown_total')).toBe(4);
    expect(coordinator.sessions).toBe(1);
  });

  it('holds a storm of inquiries about jobs that it does not know within bounds', async () => {
    await site.start();
    await coordinator.heard('presence');
    const refusal = problem('JOB_UNSUPPORTED', { what: 'strategy.name fedfuture' });
    for (let storm = 0; storm < 5000; storm++) {
      coordinator.say({ kind: 'inquiry-beyond', inquiry: `inquiry-${storm}`, problem: refusal });
    }
    await coordinator.until(() => coordinator.sessions >= 2, 'another session');
    expect(coordinator.said.filter(({ kind }) => kind === 'opinion').length).toBeLessThanOrEqual(257);
  });

  it('holds a storm of assignments within bounds, begins anew, and then serves an honest one', async () => {
    site.trainer.gate = new Promise(() => {});
    await site.start();
    await coordinator.heard('presence');
    for (let storm = 0; storm < 5000; storm++) {
      const spec = { ...jobOf(), name: `storm-${storm}` };
      coordinator.say({ kind: 'assignment', assignment: assignmentOf(spec) });
    }
    await coordinator.until(() => coordinator.sessions >= 2, 'another session');
    const taken = coordinator.said.filter((said) => said.kind === 'answer' && said.problem === undefined);
    expect(taken.length).toBeLessThanOrEqual(64);
    site.trainer.gate = Promise.resolve();
    await coordinator.until(
      () => coordinator.said.filter(({ kind }) => kind === 'presence').length >= 2,
      'presence on the new session',
    );
    await coordinator.assign('statistics', { round: 0 });
    const { problem } = await coordinator.heard(
      'answer',
      ({ assignment }) => assignment === 'heart/0/1/statistics',
    );
    expect([undefined, 'OVERLOADED']).toContain(problem?.code);
  });

  it('does not say whose target a job has no class for, however many classes jobs ask about', async () => {
    const rows = Array.from(
      { length: 100 },
      (_, row) => `${30 + row},${180 + row},${row === 41 ? 3 : row % 2}`,
    );
    await writeFile(path.join(site.folder, 'clinic.csv'), ['age,chol,sick', ...rows, ''].join('\n'));
    await site.start();
    await coordinator.heard('presence');
    for (const outputs of [1, 2, 3]) {
      const spec = jobOf({
        name: `ask-${outputs}`,
        model: { kind: 'mlp', features: ['age', 'chol'], outputs },
      });
      const problem = await answerTo(assignmentOf(spec));
      expect(problem).toMatchObject({ code: 'DATASET_UNREADABLE', details: { dataset: 'clinic' } });
      expect(JSON.stringify(problem)).not.toMatch(/\d/);
    }
  });

  it('does not say which patient has a value that is no number', async () => {
    const rows = Array.from(
      { length: 100 },
      (_, row) => `${30 + row},${row === 41 ? 'high' : 180 + row},${row % 2}`,
    );
    await writeFile(path.join(site.folder, 'clinic.csv'), ['age,chol,sick', ...rows, ''].join('\n'));
    await site.start();
    await coordinator.heard('presence');
    const problem = await answerTo(assignmentOf(jobOf()));
    expect(problem?.details.reason).toBe("a row of it does not fit the job; the site's own log says which");
  });

  it('gives the same sums to whoever asks again under other names, seeds and models: there is nothing to subtract', async () => {
    await site.start();
    await coordinator.heard('presence');
    const answers: unknown[] = [];
    for (const [place, features] of [['age', 'chol'], ['age'], ['chol', 'age']].entries()) {
      const spec = jobOf({
        name: `count-${place}`,
        seed: place,
        model: { kind: 'mlp', features, hidden: [place + 1] },
      });
      const id = assignmentId(spec.name as JobId, 0, 1, 'statistics');
      await answerTo(assignmentOf(spec, { id, round: 0, task: 'statistics' }));
      const { result } = await coordinator.heard('report', ({ assignment }) => assignment === id);
      if (result.kind !== 'statistics') throw new Error(`a ${result.kind} came`);
      answers.push(result.features.find(({ name }) => name === 'age') ?? result.features);
    }
    expect(answers).toEqual([answers[0], answers[0], answers[0]]);
    expect(answers[0]).toMatchObject({ name: 'age', count: 66 });
  });
});
