import { describe, expect, it } from 'vitest';
import { decodeRecord, encodeRecord } from '../../src/coordinator/record-codec.ts';
import { problem } from '../../src/errors/problem.ts';
import type { Presence, ReportResult } from '../../src/rounds/assignment.ts';
import { jobManifest } from '../../src/rounds/job-manifest.ts';
import { recover } from '../../src/rounds/job-state.ts';
import { allowedFor, probeTolerance } from '../../src/rounds/probe-report.ts';
import type { AssignmentId, SiteId } from '../../src/vocabulary/ids.ts';
import { externalJob, externalManifest } from './external-model.ts';
import { A, B, C, FIRST_RELEASE, JOB, jobOf, PRESENCE, Rehearsal } from './federation.ts';

const SCHEMA = { id: 'consilium-mlp', version: '1.0.0' };
const STATED: Presence = {
  ...PRESENCE,
  trainers: [{ ...PRESENCE.trainers[0]!, framework: 'tfjs', schemas: [SCHEMA] }],
};
const NEWER: Presence = { ...STATED, software: 'newer' };
const PROBE = `${JOB}/0/1/probe` as AssignmentId;

const job = () => new Rehearsal(jobOf({ weightSchema: SCHEMA }));
const come = (rehearsal: Rehearsal, site: SiteId, presence = STATED) =>
  rehearsal.feed({ kind: 'site-online', site, presence });
const report = (rehearsal: Rehearsal, site: SiteId, result: ReportResult) =>
  rehearsal.feed({ kind: 'reported', site, assignment: PROBE, result });
const answer = (first: number, end = first): ReportResult => ({
  kind: 'probe',
  probe: {
    engine: 'pytorch 2.13.0',
    layers: [
      { layer: 'dense.0', relativeL2: first, probe: 'wide' },
      { layer: 'output', relativeL2: end, probe: 'normal' },
    ],
  },
});
const pass = (rehearsal: Rehearsal, ...sites: SiteId[]) => {
  for (const site of sites) {
    come(rehearsal, site);
    report(rehearsal, site, answer(1e-7));
  }
  return rehearsal;
};
const refusalOf = (rehearsal: Rehearsal) => {
  const { reply } = rehearsal.effects;
  return reply && !reply.ok ? reply.refusal.code : undefined;
};

describe('a job that needs a probe', () => {
  it('asks each site for it before anything else, from the weights that it starts with', () => {
    const rehearsal = come(job(), A);
    expect(rehearsal.effects.say).toEqual([
      {
        site: A,
        message: {
          kind: 'assignment',
          assignment: expect.objectContaining({ id: PROBE, task: 'probe', baseVersion: 0 }),
        },
      },
    ]);
    expect(come(rehearsal, B).state.phase).toBe('recruiting');
    come(rehearsal, C);
    expect(rehearsal.state.participants.size).toBe(0);
    report(rehearsal, A, answer(1e-7));
    report(rehearsal, B, answer(1e-7));
    expect(rehearsal.state.phase).toBe('recruiting');
    report(rehearsal, C, answer(1e-7));
    expect([...rehearsal.state.participants.keys()]).toEqual([A, B, C]);
  });

  it('leaves a site out whose layer is off, names it, and goes on with the others', () => {
    const rehearsal = pass(job(), A, B);
    come(rehearsal, C);
    report(rehearsal, C, answer(0.7, 0.4));
    expect(rehearsal.told(C)).toEqual(['exclusion', 'report-taken']);
    expect(rehearsal.state.excluded.get(C)).toMatchObject({
      code: 'WEIGHTS_PROBE_FAILED',
      details: {
        layer: 'dense.0',
        found: 'a relative error of 7.0e-1',
        probe: 'wide',
        engine: 'pytorch 2.13.0',
      },
    });
    rehearsal.wait(500);
    expect([...rehearsal.state.participants.keys()]).toEqual([A, B]);
    rehearsal.arrive(A).arrive(B).sum();
    expect(rehearsal.state.version).toBe(1);
  });

  it('judges by its own tolerance', () => {
    const strict = report(come(job(), A), A, answer(2e-5));
    expect(strict.state.excluded.has(A)).toBe(true);
    const wide = new Rehearsal(jobOf({ weightSchema: { ...SCHEMA, relativeL2: 1e-3 } }));
    expect(report(come(wide, A), A, answer(2e-5)).state.excluded.has(A)).toBe(false);
  });

  it('judges names that sites make up in steps that do not multiply with the stars of a tolerance', () => {
    const layers = `${'*a'.repeat(200)}b`;
    const base = externalManifest();
    const tolerances = [{ layers, relativeL2: 1e-3, reason: 'half precision' }];
    const manifest = { ...base, probe: { ...base.probe!, tolerances } };
    const judge = { spec: externalJob(), weightsManifest: manifest };
    const named = (layer: string) => allowedFor(layer, probeTolerance(judge));
    expect([named('a'.repeat(512)), named(`${'a'.repeat(511)}b`)]).toEqual([1e-5, 1e-3]);
  });

  it('lets a site heal by coming anew, and then asks it no more', () => {
    const rehearsal = report(come(pass(job(), A), B), B, answer(0.7));
    come(rehearsal, B);
    expect(rehearsal.told(B)).toEqual(['assignment']);
    expect(rehearsal.state.excluded.has(B)).toBe(false);
    report(rehearsal, B, answer(1e-7));
    expect(rehearsal.state.probes.get(B)).toMatchObject({ result: { layers: [{ relativeL2: 1e-7 }, {}] } });
    rehearsal.feed({ kind: 'site-offline', site: B });
    come(rehearsal, B);
    expect(rehearsal.state.probing.size).toBe(0);
  });

  it('never counts an update of a site that has not passed as it is now', () => {
    const rehearsal = pass(job(), A, B, C);
    expect(rehearsal.state.phase).toBe('working');
    come(rehearsal, B, NEWER);
    expect(rehearsal.told(B)).toEqual(['assignment']);
    rehearsal.arrive(B);
    expect(refusalOf(rehearsal)).toBe('WEIGHTS_PROBE_MISSING');
    expect(rehearsal.state.accepted.size).toBe(0);
    report(rehearsal, B, answer(0.7));
    rehearsal.arrive(B);
    expect(refusalOf(rehearsal)).toBe('WEIGHTS_PROBE_FAILED');
    rehearsal.arrive(A).arrive(C);
    expect(rehearsal.effects.aggregate?.updates.map(({ declaration }) => declaration.key.site)).toEqual([
      A,
      C,
    ]);
  });

  it('hands a participant its task again once it has passed anew', () => {
    const rehearsal = pass(job(), A, B, C);
    come(rehearsal, B, NEWER);
    report(rehearsal, B, answer(1e-7));
    expect(rehearsal.told(B)).toEqual(['assignment', 'report-taken']);
    rehearsal.arrive(B);
    expect(rehearsal.state.accepted.has(B)).toBe(true);
  });

  it('keeps what came of probes durably, over a start of the coordinator', () => {
    const rehearsal = pass(job(), A, B);
    report(come(rehearsal, C), C, {
      kind: 'failure',
      problem: problem('TRAINER_FAILED', { reason: 'it knows no probe' }),
    });
    expect(rehearsal.state.excluded.get(C)?.code).toBe('TRAINER_FAILED');
    const again = recover(rehearsal.records)!;
    expect(again.probes).toEqual(rehearsal.state.probes);
    rehearsal.feed({
      kind: 'started',
      online: new Map([
        [A, STATED],
        [C, STATED],
      ]),
    });
    expect(rehearsal.told(A)).not.toContain('assignment');
    expect([...rehearsal.state.probing]).toEqual([C]);
  });

  it('leaves a site out that declines the probe, or answers it with something else', () => {
    const declined = come(job(), A).feed({
      kind: 'answered',
      site: A,
      assignment: PROBE,
      problem: problem('POLICY_DENIED', { what: 'job job' }),
    });
    expect(declined.state.excluded.get(A)?.code).toBe('POLICY_DENIED');
    const wrong: readonly ReportResult[] = [
      { kind: 'evaluation', metrics: {}, sampleCount: 10 },
      answer(Number.NaN),
      { kind: 'probe', probe: { engine: 'x', layers: [{ layer: 'dense.0', relativeL2: 0, probe: 'wide' }] } },
    ];
    for (const result of wrong) {
      expect(report(come(job(), A), A, result).state.excluded.get(A)?.code).toBe('REPORT_MALFORMED');
    }
  });

  it('leaves a site out that states no schema, without a message that it may not know', () => {
    const rehearsal = come(job(), A, FIRST_RELEASE);
    expect(rehearsal.effects.say).toEqual([]);
    expect(rehearsal.state.excluded.get(A)?.code).toBe('WEIGHT_SCHEMA_MISMATCH');
  });

  it('takes the probe back when it ends', () => {
    const rehearsal = come(job(), A).feed({ kind: 'stop', reason: 'enough' });
    expect(rehearsal.effects.say).toContainEqual({
      site: A,
      message: { kind: 'withdrawal', assignment: PROBE, reason: 'enough' },
    });
  });

  it('asks nobody where it says that there is to be none', () => {
    const rehearsal = new Rehearsal(jobOf({ weightSchema: { ...SCHEMA, probe: 'off' } }));
    for (const site of [A, B, C]) come(rehearsal, site);
    expect([...rehearsal.state.participants.keys()]).toEqual([A, B, C]);
  });
});

describe('a job whose external model came with a weights manifest', () => {
  const tolerances = [{ layers: 'las*', relativeL2: 1e-3, reason: 'tanh of another library' }];
  const manifest = externalManifest({ probe: { ...externalManifest().probe, tolerances } });
  const spec = externalJob({ name: JOB, dataset: 'cohort', trainer: { name: 'tfjs' } }, manifest);
  const stated: Presence = {
    ...STATED,
    trainers: [{ ...STATED.trainers[0]!, schemas: [{ id: 'tiny', version: '1.0.0' }] }],
  };
  const submitted = () => new Rehearsal(spec, jobManifest(spec, manifest));
  const told = (first: number, last: number, end: number): ReportResult => ({
    kind: 'probe',
    probe: {
      engine: 'pytorch 2.13.0',
      layers: [
        { layer: 'first', relativeL2: first, probe: 'wide' },
        { layer: 'last', relativeL2: last, probe: 'wide' },
        { layer: 'output', relativeL2: end, probe: 'normal' },
      ],
    },
  });
  const judged = (result: ReportResult) =>
    report(come(submitted(), A, stated), A, result).state.excluded.get(A)?.details;

  it('sends what is due with the probe, and with no other assignment', () => {
    const rehearsal = submitted();
    const sent = (site: SiteId) =>
      rehearsal.effects.say.flatMap(({ site: to, message }) =>
        to === site && message.kind === 'assignment' ? [message.assignment] : [],
      );
    come(rehearsal, A, stated);
    expect(sent(A)).toMatchObject([{ task: 'probe', weightsManifest: { schema: { id: 'tiny' } } }]);
    report(rehearsal, A, told(1e-7, 1e-7, 1e-7));
    come(rehearsal, B, stated);
    report(rehearsal, B, told(1e-7, 1e-7, 1e-7));
    const tasks = [...sent(A), ...sent(B)];
    expect(tasks.map(({ task }) => task)).toEqual(['train', 'train']);
    for (const task of tasks) expect(task).not.toHaveProperty('weightsManifest');
  });

  it('judges each layer by the tolerance that the manifest gives it with a reason, and else by its own', () => {
    expect(judged(told(1e-7, 9e-4, 1e-7))).toBeUndefined();
    expect(judged(told(9e-4, 1e-7, 1e-7))).toMatchObject({ layer: 'first', tolerance: '1e-5' });
    expect(judged(told(1e-7, 2e-3, 1e-7))).toMatchObject({ layer: 'last', tolerance: '1e-3' });
    expect(judged(told(1e-7, 9e-4, 9e-4))).toMatchObject({ layer: 'the end of the model' });
    expect(judged(told(1e-7, Number.MAX_VALUE, 0))).toMatchObject({
      layer: 'last',
      found: 'no finite output of the shape that is due',
    });
  });

  it('knows it again from its journal', () => {
    const rehearsal = come(submitted(), A, stated);
    const again = recover(rehearsal.records.map((record) => decodeRecord(encodeRecord(record))))!;
    expect(again.weightsManifest).toEqual(rehearsal.state.weightsManifest);
    expect(again.weightsManifest?.probe?.golden).toHaveLength(5);
  });

  it('tells a site of the first release nothing of it', () => {
    const old: Presence = { ...stated, encodings: undefined };
    const rehearsal = come(submitted(), A, old);
    expect(rehearsal.state.excluded.get(A)?.code).toBe('JOB_UNSUPPORTED');
    expect(rehearsal.told(A)).not.toContain('assignment');
  });
});
