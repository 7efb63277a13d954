import { describe, expect, test } from 'vitest';
import { publicText } from '../../src/errors/problem.ts';
import { decodeCoordinatorMessage } from '../../src/protocol/coordinator-message-codec.ts';
import { encodeWire } from '../../src/protocol/schema.ts';
import { jobOf } from '../rounds/federation.ts';

/* What a coordinator of a later version says, to a site of this one. */

const jsonBytes = (value: unknown) => Buffer.from(JSON.stringify(value));

function heard(change: object, task: 'TASK_TRAIN' | 9 = 'TASK_TRAIN') {
  const message = decodeCoordinatorMessage(
    encodeWire('AttendResponse', {
      assignment: {
        ...{ id: 'job/2/1/train', job: 'job', round: 2, attempt: 1, task: task as 'TASK_TRAIN' },
        baseDigest: `sm3:${'0'.repeat(64)}`,
        jobJson: jsonBytes({ ...jobOf(), ...change }),
      },
    }),
  );
  if (!message.ok) throw new Error(publicText(message.refusal));
  return message.value;
}

test('an assignment of a job of this version is one', () => {
  expect(heard({})).toMatchObject({ kind: 'assignment', assignment: { spec: jobOf() } });
});

test.each<[string, object, string]>([
  ['a strategy', { strategy: { name: 'fedfuture' } }, 'strategy.name fedfuture'],
  ['a member', { personalisation: { layers: 2 } }, 'personalisation'],
  ['a member of a member', { cohort: { size: 3, region: 'north' } }, 'cohort.region'],
  ['a value that is no word', { updateBound: { tensors: { '*': { low: 1 } } } }, 'updateBound'],
  ['an api', { apiVersion: 'consilium/v2' }, 'apiVersion consilium/v2'],
  ['what does not go together here', { quorum: 9 }, 'quorum (quorum 9 is larger than cohort.size 3)'],
])('of a job with %s that this version does not know, the site hears which', (_, change, what) => {
  expect(heard(change)).toEqual({
    kind: 'assignment-beyond',
    assignment: 'job/2/1/train',
    problem: { code: 'JOB_UNSUPPORTED', details: { what } },
  });
});

test('a word that is long or would move the cursor of a terminal is cut and cleared', () => {
  const name = `\u001b[2J${'x'.repeat(1000)}`;
  const message = heard({ strategy: { name } });
  const what = message.kind === 'assignment-beyond' ? (message.problem.details.what ?? '') : '';
  expect(what).toHaveLength(200);
  expect(what).toMatch(/^strategy\.name {2}\[2Jx+…$/);
});

test('a task that this version does not know is named by its assignment', () => {
  expect(heard({}, 9)).toMatchObject({
    kind: 'assignment-beyond',
    problem: { details: { what: 'the task train' } },
  });
});

test('an inquiry about such a job can be answered', () => {
  const jobJson = jsonBytes({ ...jobOf(), strategy: { name: 'fedfuture' } });
  const bytes = encodeWire('AttendResponse', { inquiry: { id: 'inquiry-7', jobJson } });
  expect(decodeCoordinatorMessage(bytes)).toEqual({
    ok: true,
    value: {
      kind: 'inquiry-beyond',
      inquiry: 'inquiry-7',
      problem: { code: 'JOB_UNSUPPORTED', details: { what: 'strategy.name fedfuture' } },
    },
  });
});

describe('a kind of message that this version does not know', () => {
  test('is named by its number', () => {
    // Field 99, of two bytes; behind it field 100, a number.
    const bytes = Uint8Array.of(0x9a, 0x06, 2, 7, 7, 0xa0, 0x06, 1);
    expect(decodeCoordinatorMessage(bytes)).toEqual({ ok: true, value: { kind: 'unknown', field: 99 } });
  });

  test('beside a kind that it knows is passed over', () => {
    const known = encodeWire('AttendResponse', { reportTaken: { assignment: 'job/1/1/train' } });
    const bytes = Buffer.concat([known, Uint8Array.of(0x9a, 0x06, 2, 7, 7)]);
    expect(decodeCoordinatorMessage(bytes)).toMatchObject({ ok: true, value: { kind: 'report-taken' } });
  });

  test('is no message that says nothing, nor one that is broken', () => {
    expect(decodeCoordinatorMessage(new Uint8Array())).toMatchObject({
      refusal: { code: 'MESSAGE_MALFORMED' },
    });
    const broken = encodeWire('AttendResponse', { inquiry: { id: 'inquiry-7', jobJson: Buffer.from('{') } });
    expect(decodeCoordinatorMessage(broken)).toMatchObject({ refusal: { code: 'MESSAGE_MALFORMED' } });
  });
});
