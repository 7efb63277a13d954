import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { readLedger } from '../../src/participant/ledger.ts';
import type { OpinionView, SiteHistoryView } from '../../src/protocol/views.ts';
import { jobSchema, manifestOf } from '../../src/rounds/job.ts';
import { payloadInMemory } from '../../src/transport/payload-source.ts';
import { bytesOf } from '../../src/weights/float32-bytes.ts';
import { Consortium } from './consortium.ts';
import { jobOf } from './fake-coordinator.ts';

const VERSIONED_PROGRAM = fileURLToPath(new URL('./versioned-program.cjs', import.meta.url));
const PROBED_PROGRAM = fileURLToPath(new URL('./probed-program.cjs', import.meta.url));

const spec = jobOf({
  trainer: { name: 'tfjs' },
  model: { kind: 'mlp', features: ['age', 'chol'], hidden: [512] },
  cohort: { size: 2 },
  quorum: 2,
  deadlineMs: 30_000,
});

describe('a federation of real parts', () => {
  it('counts, trains and evaluates to the end of a job', async () => {
    const consortium = await Consortium.open();
    const sites = [await consortium.join('bern'), await consortium.join('lyon')];
    await consortium.ask({ kind: 'submit-job', spec, dryRun: false, initialWeights: undefined });
    const job = await consortium.job('heart', ({ state }) => state !== 'running');
    expect(job).toMatchObject({ state: 'finished', version: 3, acceptedUpdates: 6, refusedUpdates: 0 });
    expect(job.history.map(({ evaluations }) => evaluations.length)).toEqual([2, 2, 2]);
    for (const { home, participant } of sites) {
      await participant.stop();
      const entries = await readLedger(home);
      const count = (wanted: string) => entries.filter(({ kind }) => kind === wanted).length;
      expect([count('statistics'), count('update'), count('evaluation')]).toEqual([1, 3, 3]);
    }
  });

  it('leaves a site out whose trainer fails the probe of the weights, until it is mended', async () => {
    const consortium = await Consortium.open();
    const program = (...mistake: string[]) => ({
      trainers: {
        tfjs: {
          kind: 'command',
          command: [process.execPath, PROBED_PROGRAM, ...mistake],
          framework: 'pytorch',
          weightSchemas: { 'consilium-mlp': '1.0.3' },
        },
      },
      policy: { trainers: ['tfjs'] },
    });
    await consortium.join('bern');
    const { participant } = await consortium.join('lyon', program('transposed'));
    await consortium.join('oslo', {
      trainers: { tfjs: program().trainers.tfjs },
      policy: { trainers: ['tfjs'] },
    });
    await consortium.online(3);
    const probed = {
      ...spec,
      model: { ...spec.model, hidden: [2] },
      weightSchema: { id: 'consilium-mlp', version: '1.0.0', probe: 'required', relativeL2: 1e-5 },
      cohort: { size: 3, overSelection: 1 },
      rounds: 400,
      deadlineMs: 120_000,
      evaluateEvery: 0,
    };
    await consortium.ask({
      kind: 'submit-job',
      spec: jobSchema.parse(probed),
      dryRun: false,
      initialWeights: undefined,
    });
    const going = await consortium.job('heart', ({ version }) => version >= 1);
    expect(going.exclusions).toMatchObject([
      { site: 'lyon', code: 'WEIGHTS_PROBE_FAILED', details: { layer: 'dense.0', engine: 'script 1.0' } },
    ]);
    expect(going.history[0]?.contributors.map(({ site }) => site).sort()).toEqual(['bern', 'oslo']);
    const lyon = await consortium.ask<SiteHistoryView>({ kind: 'get-site', site: 'lyon' });
    expect(lyon).toMatchObject({
      trainers: [{ framework: 'pytorch', schemas: [{ id: 'consilium-mlp', version: '1.0.3' }] }],
      exclusions: [{ job: 'heart' }],
      probes: [
        { job: 'heart', state: 'failed', engine: 'script 1.0', stated: { schema: 'consilium-mlp 1.0.3' } },
      ],
      updates: [],
    });
    await participant.stop();
    await consortium.start('lyon', program());
    const mended = await consortium.job('heart', ({ history }) =>
      history.some(({ contributors }) => contributors.some(({ site }) => site === 'lyon')),
    );
    expect(mended).toMatchObject({ exclusions: [], refusedUpdates: 0 });
    expect(mended.probes.map(({ site, state }) => [site, state])).toEqual([
      ['bern', 'passed'],
      ['lyon', 'passed'],
      ['oslo', 'passed'],
    ]);
    for (const { layers } of mended.probes) expect(layers.at(-1)?.relativeL2).toBeLessThan(1e-6);
    await consortium.ask({ kind: 'stop-job', job: 'heart' });
  });

  it('trains with a site whose trainer lacks tensors, and averages each tensor over those who have it', async () => {
    const consortium = await Consortium.open();
    const program = (version: string, ...args: string[]) => ({
      trainers: {
        net: {
          kind: 'command',
          command: [process.execPath, VERSIONED_PROGRAM, ...args],
          framework: 'pytorch',
          weightSchemas: { net: version },
        },
      },
      policy: { trainers: ['net'] },
    });
    await consortium.join('bern', program('1.2.0', '1', '30', 'stem,gate,head'));
    const lyon = await consortium.join('lyon', program('1.0.4', '-0.5', '90', 'stem,head'));
    await consortium.join('oslo', program('1.0.0', '-0.5', '90', 'stem,head'));
    await consortium.online(3);
    const tensors = [
      { name: 'stem', shape: [3, 2] },
      { name: 'gate', shape: [2], since: '1.2.0', default: 1 },
      { name: 'head', shape: [2] },
    ];
    const job = jobSchema.parse({
      ...{ ...spec, model: { kind: 'external', tensors }, trainer: { name: 'net' }, rounds: 2 },
      weightSchema: { id: 'net', version: '1.2.0', probe: 'off' },
      initialWeights: { file: 'w.safetensors' },
      cohort: { size: 3 },
      quorum: 3,
    });
    const start = Float32Array.of(0, 1, 2, 3, 4, 5, 1, 1, 6, 7);
    const initialWeights = payloadInMemory(manifestOf(job), bytesOf(start), 4096);
    await consortium.ask({ kind: 'submit-job', spec: job, dryRun: false, initialWeights });
    const ended = await consortium.job('heart', ({ state }) => state !== 'running');
    expect(ended).toMatchObject({ state: 'finished', version: 2, refusedUpdates: 0 });
    for (const { contributors, evaluations } of ended.history) {
      const earlier = contributors.map((one) => [one.site, one.earlier?.schemaVersion, one.metrics.loss]);
      expect(earlier.sort()).toEqual([
        ['bern', undefined, 2],
        ['lyon', '1.0.4', 0],
        ['oslo', '1.0.0', 0],
      ]);
      expect(contributors.find(({ site }) => site === 'lyon')?.earlier?.lackedTensors).toBe(1);
      expect(evaluations.map(({ site }) => site)).toEqual(['bern']);
    }
    // (30 x 1 - 180 x 0.5) / 210 in each round for what all have, and 1 for the gate that Bern has alone.
    const shared = (before: number) => expect.closeTo(before + (2 * (30 - 90)) / 210, 5);
    expect([...(await consortium.pull('heart', 2))]).toEqual([
      ...[0, 1, 2, 3, 4, 5].map(shared),
      ...[3, 3],
      ...[6, 7].map(shared),
    ]);
    const history = await consortium.ask<SiteHistoryView>({ kind: 'get-site', site: 'lyon' });
    expect(history.updates.map(({ earlier }) => earlier)).toEqual([
      { schemaVersion: '1.0.4', lackedTensors: 1 },
      { schemaVersion: '1.0.4', lackedTensors: 1 },
    ]);
    await lyon.participant.stop();
    const said = (await readLedger(lyon.home)).filter(({ kind }) => kind === 'declaration');
    expect(said.map(({ content }) => content)).toMatchObject([
      { schemaVersion: '1.0.4' },
      { schemaVersion: '1.0.4' },
    ]);
  });

  it('says in a dry run what each site would answer', async () => {
    const consortium = await Consortium.open();
    await consortium.join('bern');
    await consortium.join('lyon', { policy: { jobs: ['lung-*'], minimumCount: 90 } });
    await consortium.online(2);
    const opinions = await consortium.askAll<OpinionView>({
      kind: 'submit-job',
      spec,
      dryRun: true,
      initialWeights: undefined,
    });
    expect(opinions.map(({ site, wouldJoin }) => [site, wouldJoin])).toEqual([
      ['bern', true],
      ['lyon', false],
    ]);
    const text = opinions[1]?.objections.join(' ');
    expect(text).toContain('job heart');
    expect(text).toContain('<90');
  });

  it('goes on with a job when the coordinator was away in the middle of a round', async () => {
    const consortium = await Consortium.open();
    await consortium.join('bern');
    const { telemetry } = await consortium.join('lyon');
    const long = { ...spec, trainer: { ...spec.trainer, epochs: 40 } };
    await consortium.ask({ kind: 'submit-job', spec: long, dryRun: false, initialWeights: undefined });
    await consortium.job('heart', ({ version }) => version >= 1);
    await consortium.coordinator.stop(0);
    await consortium.serve();
    const job = await consortium.job('heart', ({ state }) => state !== 'running');
    expect(job).toMatchObject({ state: 'finished', version: 3 });
    expect(telemetry.counts.get('consilium_reconnects_total')).toBeGreaterThanOrEqual(1);
  });

  it('ends a site as revoked that is invited anew at once, whether it was there or away', async () => {
    const consortium = await Consortium.open();
    const bern = await consortium.join('bern');
    const lyon = await consortium.join('lyon');
    await consortium.online(2);
    await lyon.participant.stop();
    for (const site of ['bern', 'lyon']) {
      await consortium.ask({ kind: 'revoke-site', site, certificate: undefined });
      await consortium.ask({ kind: 'invite-site', site, ttlMs: undefined });
    }
    const revoked = { problem: { code: 'SITE_REVOKED' } };
    await expect(bern.participant.stopped).rejects.toMatchObject(revoked);
    await expect((await consortium.start('lyon')).participant.stopped).rejects.toMatchObject(revoked);
  });

  it('takes a site that left back at the current round', async () => {
    const consortium = await Consortium.open();
    await consortium.join('bern');
    const lyon = await consortium.join('lyon');
    const patient = { ...spec, quorum: 2, deadlineMs: 30_000, rounds: 6 };
    await consortium.ask({ kind: 'submit-job', spec: patient, dryRun: false, initialWeights: undefined });
    await consortium.job('heart', ({ version }) => version >= 1);
    await lyon.participant.stop();
    await consortium.start('lyon');
    const job = await consortium.job('heart', ({ state }) => state !== 'running');
    expect(job.state).toBe('finished');
    expect(job.history.at(-1)?.contributors.map(({ site }) => site)).toContain('lyon');
  });
});
