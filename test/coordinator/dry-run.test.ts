import { afterEach, beforeEach, expect, test } from 'vitest';
import { Attendances } from '../../src/coordinator/attendances.ts';
import type { Jobs } from '../../src/coordinator/jobs.ts';
import { Roster } from '../../src/coordinator/roster.ts';
import { problem } from '../../src/errors/problem.ts';
import type { CoordinatorMessage, Presence } from '../../src/rounds/assignment.ts';
import { schemaObjection } from '../../src/rounds/fit-schema.ts';
import type { SiteId } from '../../src/vocabulary/ids.ts';
import { refused } from '../../src/vocabulary/result.ts';
import { A, B, digest, jobOf, PRESENCE } from '../rounds/federation.ts';
import { Counters, wallClock } from '../transport/parties.ts';

let roster: Roster;
let attendances: Attendances;
beforeEach(() => {
  roster = new Roster(wallClock, 60_000, () => {});
  attendances = new Attendances({
    clock: wallClock,
    telemetry: new Counters(),
    roster,
    jobs: { tellAll: async () => {} } as unknown as Jobs,
    heartbeatMs: 60_000,
    features: {
      noteSite: () => {},
      constants: async () => refused(problem('FEATURE_VIEW_UNKNOWN', { view: 'none' })),
    },
  });
});
afterEach(() => roster.close());

/** A site that answers every inquiry with no objection; what it was told is gathered. */
async function attend(
  site: SiteId,
  views: Presence['views'],
  encodings?: Presence['encodings'],
): Promise<readonly CoordinatorMessage[]> {
  const told: CoordinatorMessage[] = [];
  const stream = attendances.attend(site, (message) => {
    told.push(message);
    if (message.kind !== 'inquiry') return;
    void stream.receive({ kind: 'opinion', inquiry: message.inquiry, objections: [] });
  });
  await stream.receive({ kind: 'presence', presence: { ...PRESENCE, views, encodings } });
  return told;
}

const COLUMN = { name: 'age', type: 'float', unit: 'years' } as const;
const VIEWS = [
  {
    dataset: 'cohort',
    view: 'vitals',
    schemaHash: digest('a'),
    columns: [{ ...COLUMN, categories: undefined }],
  },
];

test('a site that declares no view is not asked about a job that names one, which it may not understand', async () => {
  const older = await attend(A, []);
  const newer = await attend(B, VIEWS);
  const model = { kind: 'mlp', features: ['age'], hidden: [] };
  const answers = await attendances.ask(jobOf({ model, view: { name: 'vitals', columns: [COLUMN] } }));
  expect(answers.get(A)?.map(({ code }) => code)).toEqual(['FEATURE_VIEW_UNKNOWN']);
  expect(answers.get(B)).toEqual([]);
  expect(older).toEqual([]);
  expect(newer.map(({ kind }) => kind)).toEqual(['inquiry']);
});

test('about any other job every site is asked', async () => {
  const told = [await attend(A, []), await attend(B, VIEWS)];
  expect([...(await attendances.ask(jobOf())).values()]).toEqual([[], []]);
  expect(told.map((list) => list.map(({ kind }) => kind))).toEqual([['inquiry'], ['inquiry']]);
});

test('a site of before is asked about a job with an encoding as it would be told of it: for float32, or not at all', async () => {
  const older = await attend(A, []);
  const newer = await attend(B, [], ['int8']);
  const falling = jobOf({ updateEncoding: { name: 'int8' } });
  expect([...(await attendances.ask(falling)).values()]).toEqual([[], []]);
  const specs = (told: readonly CoordinatorMessage[]) =>
    told.flatMap((message) => (message.kind === 'inquiry' ? [message.spec] : []));
  expect(specs(older)).toEqual([jobOf()]);
  expect(specs(newer)).toEqual([falling]);
  const answers = await attendances.ask(jobOf({ updateEncoding: { name: 'int8', fallback: 'none' } }));
  expect(answers.get(A)).toEqual([problem('UPDATE_ENCODING_UNSUPPORTED', { encoding: 'int8' })]);
  expect(answers.get(B)).toEqual([]);
  expect(specs(older).length).toBe(1);
});

test('what differs between two versions is told as the manifest of the job knows it, also where the site does not', async () => {
  const schema = (version: string) => ({ id: 'heart-net', version });
  const stated = [{ ...PRESENCE.trainers[0]!, schemas: [schema('1.0.0')] }];
  const job = jobOf({ weightSchema: { ...schema('2.0.0'), probe: 'off' } });
  const stream = attendances.attend(A, (message) => {
    if (message.kind !== 'inquiry') return;
    const own = schemaObjection(message.spec, stated)!;
    const other = problem('POLICY_DENIED', { what: 'job job' });
    void stream.receive({ kind: 'opinion', inquiry: message.inquiry, objections: [other, own] });
  });
  await stream.receive({ kind: 'presence', presence: { ...PRESENCE, trainers: stated } });
  const changes = [{ needs: 'major' as const, about: 'fc.weight', message: 'the tensor is gone' }];
  const answers = await attendances.ask(job, [{ from: '1.0.0', to: '2.0.0', changes }]);
  expect(answers.get(A)).toMatchObject([
    { code: 'POLICY_DENIED' },
    { details: { difference: expect.stringMatching(/: fc\.weight \(the tensor is gone\)$/) } },
  ]);
});
