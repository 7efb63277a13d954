import { readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { type Problem, problem, publicText } from '../../src/errors/problem.ts';
import { namedViewHash } from '../../src/features/views/named-view-hash.ts';
import type { FeatureConstants } from '../../src/rounds/statistics.ts';
import type { JobId } from '../../src/vocabulary/ids.ts';
import { ok, refused } from '../../src/vocabulary/result.ts';
import { siteView } from '../features/views/views.ts';
import { writeVitalsSnapshot } from './datasets/vitals-snapshot.ts';
import { type FakeCoordinator, jobOf } from './fake-coordinator.ts';
import { SiteUnderTest } from './site-under-test.ts';

let site: SiteUnderTest;
let coordinator: FakeCoordinator;
beforeEach(async () => {
  site = await SiteUnderTest.make();
  coordinator = site.coordinator;
  await writeVitalsSnapshot(site.folder);
});

const VIEW = {
  name: 'vitals',
  columns: [
    { name: 'age', type: 'float', unit: 'years' },
    { name: 'glucose', type: 'float', unit: 'mmol/L' },
  ],
};
const job = jobOf({ view: VIEW, model: { kind: 'mlp', features: ['age', 'glucose'], hidden: [2048] } });
const clinic = { kind: 'features', path: 'features.yaml', snapshot: 'spring', target: 'sex' };
const start = (change: Record<string, unknown> = {}) =>
  site.start({ config: site.config({ datasets: { clinic }, ...change }) });
const CONSTANTS: readonly FeatureConstants[] = [
  { name: 'age', mean: 30, deviation: 17, count: 100 },
  { name: 'glucose', mean: 4, deviation: 2, count: 80 },
];
const viewHash = namedViewHash(job.view!);
const answer = (constants = CONSTANTS, about = job.name as JobId) =>
  coordinator.say({ kind: 'constants', job: about, viewHash, answer: ok(constants) });
const queries = () => coordinator.said.filter(({ kind }) => kind === 'constants-query');

async function changeUnit(): Promise<void> {
  const file = path.join(site.folder, 'vitals.yaml');
  await writeFile(file, (await readFile(file, 'utf8')).replace('mmol/L', 'mg/dL'));
}

describe('a site with a feature view', () => {
  it('declares it as it is at each join: names, types, units and categories, of the datasets that jobs may use', async () => {
    await start({
      datasets: { clinic, secret: clinic, csv: { kind: 'tabular', path: 'clinic.csv', target: 'sick' } },
      policy: { datasets: ['clinic', 'csv'] },
    });
    const { presence } = await coordinator.heard('presence');
    expect(presence.views).toEqual([
      {
        dataset: 'clinic',
        view: 'vitals',
        schemaHash: siteView().schemaHash,
        columns: [
          { name: 'age', type: 'float', unit: 'years', categories: undefined },
          { name: 'glucose', type: 'float', unit: 'mmol/L', categories: undefined },
          { name: 'visits', type: 'int', unit: undefined, categories: undefined },
          { name: 'sex', type: 'category', unit: undefined, categories: ['female', 'male'] },
          { name: 'note', type: 'string', unit: undefined, categories: undefined },
        ],
      },
    ]);
    await changeUnit();
    coordinator.crash();
    const again = await coordinator.heard(
      'presence',
      ({ presence: { views } }) => views[0]?.columns[1]?.unit === 'mg/dL',
    );
    expect(again.presence.views[0]?.schemaHash).not.toBe(siteView().schemaHash);
    expect(site.telemetry.lines.map(({ message }) => message)).toContain(
      'the feature view has changed since the snapshot was taken',
    );
  });

  it('joins without a view that it cannot read, and says so in its log', async () => {
    await start({ datasets: { clinic: { ...clinic, snapshot: 'autumn' } } });
    expect((await coordinator.heard('presence')).presence).toMatchObject({ datasets: ['clinic'], views: [] });
    const warning = site.telemetry.lines.find(({ message }) => message === 'feature view not declared');
    expect(warning?.level).toBe('warn');
    const { dataset, problem: occurrence, reason } = warning?.fields ?? {};
    expect(warning?.fields).toEqual({ dataset, problem: occurrence, reason });
    expect(dataset).toBe('clinic');
    expect(reason).toBe(publicText(occurrence as Problem));
  });

  it('declines a task itself where its view has changed since it joined', async () => {
    await start();
    await coordinator.heard('presence');
    await changeUnit();
    await coordinator.assign('train', { job });
    expect((await coordinator.heard('answer')).problem).toEqual(
      problem('FEATURE_VIEW_DRIFTED', {
        view: 'vitals',
        column: 'glucose',
        expected: 'float in mmol/L',
        found: 'float in mg/dL',
      }),
    );
    expect(site.trainer.trained).toBe(0);
  });

  it('has the same to say in a dry run, and that a table is no view', async () => {
    await start({ datasets: { clinic, csv: { kind: 'tabular', path: 'clinic.csv', target: 'sick' } } });
    await coordinator.heard('presence');
    coordinator.say({ kind: 'inquiry', inquiry: 'one', spec: job });
    const opinion = (inquiry: string) => coordinator.heard('opinion', (said) => said.inquiry === inquiry);
    expect((await opinion('one')).objections).toEqual([]);
    coordinator.say({ kind: 'inquiry', inquiry: 'two', spec: { ...job, dataset: 'csv' } });
    expect((await opinion('two')).objections.map(({ code }) => code)).toContain('FEATURE_VIEW_UNKNOWN');
  });

  it('notes that a job goes on without it', async () => {
    await start();
    await coordinator.heard('presence');
    const left = problem('FEATURE_VIEW_UNKNOWN', { view: 'vitals' });
    coordinator.say({ kind: 'exclusion', job: 'heart' as JobId, problem: left });
    await expect
      .poll(() => site.telemetry.lines)
      .toContainEqual(
        expect.objectContaining({ level: 'warn', message: 'the job goes on without this site' }),
      );
  });
});

describe('the constants of a job over a view', () => {
  it('are asked for by its hash, once for all its tasks', async () => {
    await start();
    await coordinator.heard('presence');
    await coordinator.assign('train', { job });
    expect(await coordinator.heard('constants-query')).toEqual({
      kind: 'constants-query',
      job: 'heart',
      viewHash,
    });
    expect(site.trainer.trained).toBe(0);
    answer();
    await coordinator.until(() => coordinator.accepted.size === 1, 'the update');
    coordinator.weights(job, 1);
    await coordinator.assign('evaluate', { job });
    await coordinator.heard('report', ({ result }) => result.kind === 'evaluation');
    expect(site.trainer.tasks.map(({ constants }) => constants)).toEqual([CONSTANTS, CONSTANTS]);
    expect(queries()).toHaveLength(1);
  });

  it('are asked for again on the next connection', async () => {
    await start();
    await coordinator.heard('presence');
    await coordinator.assign('train', { job });
    await coordinator.heard('constants-query');
    coordinator.crash();
    await coordinator.until(() => queries().length >= 2, 'the question again');
    answer();
    await coordinator.until(() => coordinator.accepted.size === 1, 'the update');
    expect(site.trainer.tasks[0]?.constants).toEqual(CONSTANTS);
  });

  it('are those that were asked for: an answer about another job or nobody asked for changes nothing', async () => {
    await start();
    await coordinator.heard('presence');
    answer(CONSTANTS.toReversed());
    await coordinator.assign('train', { job });
    await coordinator.heard('constants-query');
    answer(CONSTANTS.slice(1), 'another' as JobId);
    answer();
    await coordinator.until(() => coordinator.accepted.size === 1, 'the update');
    expect(site.trainer.tasks[0]?.constants).toEqual(CONSTANTS);
  });

  it('that the coordinator refuses end the task with its problem, and the next task asks anew', async () => {
    await start();
    await coordinator.heard('presence');
    await coordinator.assign('train', { job });
    await coordinator.heard('constants-query');
    const few = problem('COHORT_TOO_SMALL', { have: '< 5', minimum: 5 });
    coordinator.say({ kind: 'constants', job: 'heart' as JobId, viewHash, answer: refused(few) });
    await coordinator.heard(
      'report',
      ({ result }) => result.kind === 'failure' && result.problem.code === 'COHORT_TOO_SMALL',
    );
    await coordinator.assign('train', { job, attempt: 2 });
    await coordinator.until(() => queries().length === 2, 'the question again');
  });

  it('are waited for no longer than the task lasts', async () => {
    await start();
    await coordinator.heard('presence');
    const assignment = await coordinator.assign('train', { job });
    await coordinator.heard('constants-query');
    coordinator.say({ kind: 'withdrawal', assignment: assignment.id, reason: 'test' });
    const plain = jobOf({ name: 'plain', dataset: 'clinic', model: job.model });
    await coordinator.assign('train', { job: plain, constants: CONSTANTS });
    await coordinator.until(() => coordinator.accepted.has('plain/1/charite'), 'the next update');
    expect(site.trainer.tasks.map(({ job: { name } }) => name)).toEqual(['plain']);
  });
});
