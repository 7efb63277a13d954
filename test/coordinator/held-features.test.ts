import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { HeldFeatures } from '../../src/coordinator/held-features.ts';
import { jobView } from '../../src/coordinator/job-view.ts';
import { coordinatorFeaturesSchema } from '../../src/features/coordinator-config.ts';
import { CoordinatorFeatures } from '../../src/features/coordinator-features.ts';
import { namedViewHash } from '../../src/features/views/named-view-hash.ts';
import type { Presence } from '../../src/rounds/assignment.ts';
import type { SiteId } from '../../src/vocabulary/ids.ts';
import { Lines } from '../participant/site-under-test.ts';
import { A, B, C, digest, JOB, jobOf, PRESENCE, Rehearsal } from '../rounds/federation.ts';

const VIEW = {
  name: 'vitals',
  columns: [
    { name: 'age', type: 'float', unit: 'years' },
    { name: 'chol', type: 'float', unit: 'mg/dL' },
    { name: 'sex', type: 'category', categories: ['female', 'male'] },
  ],
};
const spec = jobOf({ view: VIEW, statistics: true });
const viewHash = namedViewHash(spec.view!);
const views: Presence['views'] = [
  {
    dataset: 'cohort',
    view: 'vitals',
    schemaHash: digest('a'),
    columns: VIEW.columns.map(({ name, type, unit, categories }) => ({
      name,
      type: type as 'float',
      unit,
      categories,
    })),
  },
];

let folder: string;
let telemetry: Lines;
let held: HeldFeatures;

async function start(): Promise<void> {
  const features = await CoordinatorFeatures.open(coordinatorFeaturesSchema.parse({}), {
    federation: 'hearts',
    folder: join(folder, 'features'),
    baseDirectory: folder,
    environment: {},
    knows: (_, name) => [JOB, A, B, C].includes(name as SiteId),
  });
  telemetry = new Lines();
  held = new HeldFeatures(features, telemetry);
}
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'consilium-held-'));
  await start();
});
afterEach(async () => {
  await held.close();
  await rm(folder, { recursive: true, force: true });
});

/** The job with its constants settled by sums over `counts` patients of age and cholesterol at each of three sites. */
function settled(counts: readonly [number, number] = [10, 10], job = spec): Rehearsal {
  const run = new Rehearsal(job);
  for (const site of [A, B, C]) run.feed({ kind: 'site-online', site, presence: { ...PRESENCE, views } });
  const features = ['age', 'chol'].map((name, place) => {
    const count = counts[place]!;
    return { name, suppressed: false, count, missing: 0, sum: 2 * count, sumOfSquares: 5 * count };
  });
  for (const site of [A, B, C]) {
    const result = { kind: 'statistics', features } as const;
    run.feed({ kind: 'reported', site, assignment: `${JOB}/0/1/statistics` as never, result });
  }
  return run;
}

describe('the constants that a statistics round settled', () => {
  it('are published, and told to the participants of the job alone', async () => {
    const { state } = settled();
    held.noteJob(state, 'constants-settled');
    const expected = ['age', 'chol'].map((name) => ({ name, mean: 2, deviation: 1, count: 30 }));
    expect(await held.constants(A, state, viewHash)).toEqual({ ok: true, value: expected });
    expect(await held.constants('d' as SiteId, state, viewHash)).toMatchObject({
      refusal: { code: 'OUTSIDE_COHORT' },
    });
  });

  it('are told for the view that the job names alone', async () => {
    const { state } = settled();
    const other = namedViewHash({ ...spec.view!, columns: spec.view!.columns.slice(1) });
    expect(await held.constants(A, state, other)).toMatchObject({
      refusal: { code: 'FEATURE_VIEW_UNKNOWN' },
    });
    expect(await held.constants(A, undefined, viewHash)).toMatchObject({
      refusal: { code: 'FEATURE_VIEW_UNKNOWN' },
    });
  });

  it('are put in again where a crash kept them out: the journal of the job has them', async () => {
    const { state } = settled();
    expect(await held.holding('constants', JOB)).toMatchObject({ refusal: { code: 'FEATURES_UNAVAILABLE' } });
    expect(await held.constants(A, state, viewHash)).toMatchObject({ ok: true });
    expect(await held.holding('constants', JOB)).toMatchObject({ ok: true });
    await held.close();
    await start();
    expect(await held.holding('constants', JOB)).toMatchObject({ ok: true });
  });

  it('say nothing of a feature that fewer than five patients are behind, wherever they are', async () => {
    const { state } = settled([10, 1]);
    expect(state.constants).toContainEqual({ name: 'chol', mean: 2, deviation: 1, count: 3 });
    expect(await held.constants(A, state, viewHash)).toMatchObject({
      value: [
        { name: 'age', count: 30 },
        { name: 'chol', mean: 0, deviation: 1, count: 0 },
      ],
    });
    expect(jobView(state).constants).toContainEqual({ name: 'chol', mean: 0, deviation: 1, count: 0 });
  });

  it('are refused where too few are behind every one of them', async () => {
    const { state } = settled([1, 1]);
    expect(await held.constants(A, state, viewHash)).toMatchObject({ refusal: { code: 'COHORT_TOO_SMALL' } });
  });

  it('are not there before the round', async () => {
    const run = new Rehearsal(spec);
    for (const site of [A, B, C]) run.feed({ kind: 'site-online', site, presence: { ...PRESENCE, views } });
    expect(await held.constants(A, run.state, viewHash)).toMatchObject({
      refusal: { code: 'FEATURES_UNAVAILABLE' },
    });
  });
});

describe('what is kept of jobs and sites', () => {
  const content = (kind: string, name: string) =>
    expect.poll(async () => {
      const found = await held.holding(kind, name);
      return found.ok ? (found.value as { content: unknown }).content : found.refusal.code;
    });

  it('is the view of a job, its vocabulary, its rounds and their means', async () => {
    const run = settled();
    held.noteJob(run.state, 'submitted');
    await content('view', JOB).toMatchObject({ view: 'vitals', hash: viewHash });
    await content('vocabulary', JOB).toEqual([{ column: 'sex', categories: ['female', 'male'] }]);
    run.arrive(A).arrive(B).arrive(C).sum();
    held.noteJob(run.state, 'version-committed');
    await content('round', `${JOB}/1`).toMatchObject({ version: 1, contributors: 3, attempts: 1 });
    run.evaluate(A, B, C);
    held.noteJob(run.state, 'evaluated');
    await content('aggregate', `${JOB}/1`).toEqual({
      version: 1,
      count: 30,
      sites: 3,
      metrics: { auc: 0.5 },
    });
  });

  it('is what a site declared, also after a start, and the newest of it', async () => {
    held.noteSite(A, { ...PRESENCE, views });
    await expect.poll(() => held.site(A)).toMatchObject({ views: [{ view: 'vitals' }] });
    await held.close();
    await start();
    expect(await held.site(A)).toMatchObject({ software: 'test', views: [{ view: 'vitals' }] });
    held.noteSite(A, PRESENCE);
    await expect.poll(() => held.site(A)).toMatchObject({ views: [] });
    expect(await held.site('d' as SiteId)).toBeUndefined();
  });

  it('is the last word of a site that says a thousand things at once, for a write or two', async () => {
    for (let word = 0; word < 1_000; word++) held.noteSite(A, { ...PRESENCE, software: `word ${word}` });
    await expect.poll(() => held.site(A)).toMatchObject({ software: 'word 999' });
    expect(held.figures().writes).toBeLessThanOrEqual(2);
  });

  it('is nothing that may not be held: the log says so once, and the job does not hear of it', async () => {
    const person = [{ ...views[0]!, columns: [{ ...views[0]!.columns[0]!, name: 'ab'.repeat(16) }] }];
    held.noteSite(A, { ...PRESENCE, views: person });
    held.noteSite(A, { ...PRESENCE, views: person });
    await expect
      .poll(() => telemetry.lines.map(({ message }) => message))
      .toEqual(['the feature cache holds nothing about it']);
    expect(await held.site(A)).toBeUndefined();
  });
});
