import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import type { OpinionView, SiteHistoryView } from '../../src/protocol/views.ts';
import type { Job } from '../../src/rounds/job.ts';
import { manifestOf } from '../../src/rounds/job.ts';
import { JOB_MANIFEST_BYTES_MAX, jobManifest } from '../../src/rounds/job-manifest.ts';
import type { PayloadSource } from '../../src/transport/desk.ts';
import { payloadInMemory } from '../../src/transport/payload-source.ts';
import { canonicalJson } from '../../src/vocabulary/canonical-json.ts';
import { bytesOf } from '../../src/weights/float32-bytes.ts';
import { EXTERNAL_WEIGHTS, externalJob, externalManifest } from '../rounds/external-model.ts';
import { Consortium } from './consortium.ts';

/*
 * A model that no job describes, in real command trainers over real gRPC: what it has to compute comes with the job.
 */
const PROGRAM = fileURLToPath(new URL('./external-program.py', import.meta.url));
const skip = spawnSync('python3', ['-c', 'pass']).status !== 0 && process.env.CI !== 'true';
if (skip) console.warn('there is no python3: command trainers of an external model are skipped');

const site = (...mistakes: string[]) => siteOf('1.0.0', ...mistakes);
const siteOf = (version: string, ...mistakes: string[]) => ({
  datasets: { clinic: { kind: 'opaque', path: 'clinic.csv' } },
  trainers: {
    'tiny-net': {
      kind: 'command',
      command: ['python3', PROGRAM, ...mistakes],
      framework: 'pytorch',
      weightSchemas: { tiny: version },
    },
  },
  policy: { trainers: ['tiny-net'] },
});
const job = (change: Record<string, unknown> = {}) =>
  externalJob({ rounds: 400, deadlineMs: 120_000, evaluateEvery: 0, ...change });
const weightsOf = (spec: Job, values = EXTERNAL_WEIGHTS): PayloadSource =>
  payloadInMemory(manifestOf(spec), bytesOf(values), 4096);
const submission = (spec: Job, weightsManifest: unknown, initialWeights = weightsOf(spec)) =>
  ({ kind: 'submit-job', spec, dryRun: false, initialWeights, weightsManifest }) as const;

describe.skipIf(skip)('a job of an external model with its weights manifest', () => {
  it('leaves a site out that reads a square matrix transposed, and knows what is due after a restart', async () => {
    const consortium = await Consortium.open();
    await consortium.join('bern', site());
    const lyon = await consortium.join('lyon', site('transposed'));
    await consortium.online(2);
    const spec = job();
    // As large as one may be, for a coordinator whose messages are as small as may be.
    const layers = Array.from({ length: 800 }, (_, place) => ({
      name: `${place}${'x'.repeat(930)}`,
      op: 'Linear',
    }));
    const manifest = jobManifest(spec, externalManifest({ layers }));
    expect(JOB_MANIFEST_BYTES_MAX - canonicalJson(manifest).length).toBeLessThan(10_000);
    await consortium.ask(submission(spec, manifest));
    const before = await consortium.job('tiny-1', ({ probes }) => probes.length === 2);
    expect(before.probes.map(({ site: name, state }) => [name, state])).toEqual([
      ['bern', 'passed'],
      ['lyon', 'failed'],
    ]);
    expect(before).toMatchObject({
      phase: 'recruiting',
      weightSchema: { id: 'tiny', version: '1.0.0', manifest: { golden: { layers: ['first', 'last'] } } },
      exclusions: [
        { site: 'lyon', code: 'WEIGHTS_PROBE_FAILED', details: { layer: 'first', engine: 'plain python' } },
      ],
    });

    await lyon.participant.stop();
    await consortium.coordinator.stop(0);
    await consortium.serve();
    const again = await consortium.job('tiny-1', () => true);
    expect(again.probes).toEqual(before.probes);
    expect(again.weightSchema).toEqual(before.weightSchema);
    await consortium.start('lyon', site());
    const mended = await consortium.job('tiny-1', ({ version }) => version >= 1);
    expect(mended.history[0]?.contributors.map(({ site: name }) => name).sort()).toEqual(['bern', 'lyon']);
    const history = await consortium.ask<SiteHistoryView>({ kind: 'get-site', site: 'lyon' });
    expect(history.probes).toMatchObject([
      { state: 'passed', engine: 'plain python', layers: [{ layer: 'first', allowed: 1e-5 }, {}, {}] },
    ]);
    await consortium.ask({ kind: 'stop-job', job: 'tiny-1' });
  });

  it('goes through the conversion of a site whose program has another layout, and fails where that is wrong', async () => {
    const consortium = await Consortium.open();
    const keras = (...options: string[]) => {
      const { trainers, ...own } = site('keras', ...options);
      const weights = { framework: 'keras', format: 'safetensors' };
      return { ...own, trainers: { 'tiny-net': { ...trainers['tiny-net'], weights } } };
    };
    await consortium.join('bern', keras());
    await consortium.join('lyon', keras('transposed'));
    await consortium.online(2);
    const spec = job();
    await consortium.ask(submission(spec, jobManifest(spec, externalManifest())));
    const { probes } = await consortium.job('tiny-1', (view) => view.probes.length === 2);
    expect(probes.map(({ site: name, state }) => [name, state])).toEqual([
      ['bern', 'passed'],
      ['lyon', 'failed'],
    ]);
    await consortium.ask({ kind: 'stop-job', job: 'tiny-1' });
  });

  it.each([
    ['has no end', 'silent', { code: 'TRAINER_FAILED' }],
    [
      'is infinite',
      'endless',
      { code: 'WEIGHTS_PROBE_FAILED', details: { layer: 'the end of the model', probe: 'normal' } },
    ],
  ])('leaves a site out whose answer %s', async (_, mistake, exclusion) => {
    const consortium = await Consortium.open();
    await consortium.join('bern', site(mistake));
    await consortium.online(1);
    const spec = job();
    await consortium.ask(submission(spec, jobManifest(spec, externalManifest())));
    const view = await consortium.job('tiny-1', ({ exclusions }) => exclusions.length > 0);
    expect(view.exclusions).toMatchObject([{ site: 'bern', ...exclusion }]);
    await consortium.ask({ kind: 'stop-job', job: 'tiny-1' });
  });

  it.each([
    ['passes where they are at their defaults', 0, undefined],
    ['is left out with the layer where they have left them', 0.5, 'last'],
  ])('a site that is behind by tensors that the manifest dates %s', async (_, bias, layer) => {
    const consortium = await Consortium.open();
    await consortium.join('bern', siteOf('1.0.3'));
    await consortium.online(1);
    const weights = Float32Array.from(EXTERNAL_WEIGHTS).fill(bias, 28);
    const whole = externalManifest({ schema: { id: 'tiny', version: '1.1.0' } }, weights);
    const tensors = whole.tensors.map((tensor) =>
      tensor.name === 'last.bias' ? { ...tensor, default: 0, since: '1.1.0' } : tensor,
    );
    const manifest = { ...whole, tensors };
    const spec = externalJob({ deadlineMs: 120_000 }, manifest);
    await consortium.ask(submission(spec, jobManifest(spec, manifest), weightsOf(spec, weights)));
    const { probes, exclusions } = await consortium.job('tiny-1', (view) => view.probes.length > 0);
    expect(probes.map(({ state }) => state)).toEqual([layer === undefined ? 'passed' : 'failed']);
    expect(exclusions.map(({ details }) => details.layer)).toEqual(layer === undefined ? [] : [layer]);
    await consortium.ask({ kind: 'stop-job', job: 'tiny-1' });
  });

  it('tells a site of another MAJOR which tensors changed, as it joins and in a dry run', async () => {
    const consortium = await Consortium.open();
    await consortium.join('bern', site());
    await consortium.online(1);
    const changes = [
      { needs: 'major', about: 'first.weight', message: 'its shape was [3, 4] and is [4, 4]' },
    ];
    const manifest = externalManifest({
      schema: { id: 'tiny', version: '2.0.0' },
      history: [{ from: '1.0.0', to: '2.0.0', changes }],
    });
    const spec = externalJob({ deadlineMs: 120_000 }, manifest);
    const said = 'first.weight (its shape was [3, 4] and is [4, 4])';
    const submit = submission(spec, jobManifest(spec, manifest));
    const [opinion] = await consortium.askAll<OpinionView>({ ...submit, dryRun: true });
    expect(opinion?.objections.join(' ')).toContain(said);
    await consortium.ask(submit);
    const { exclusions } = await consortium.job('tiny-1', (view) => view.exclusions.length > 0);
    expect(exclusions).toMatchObject([{ site: 'bern', code: 'WEIGHT_SCHEMA_MISMATCH' }]);
    expect(exclusions[0]?.reason).toContain(said);
    await consortium.ask({ kind: 'stop-job', job: 'tiny-1' });
  });

  it('is refused where manifest, tensors and weights do not fit together, and a dry run says so too', async () => {
    const consortium = await Consortium.open();
    await consortium.join('bern', site());
    await consortium.online(1);
    const spec = job();
    const manifest = jobManifest(spec, externalManifest());
    const invalid = (reason: string) => ({
      problem: { code: 'JOB_INVALID', details: { reason: expect.stringContaining(reason) } },
    });
    const refused = (weightsManifest: unknown, reason: string, weights = weightsOf(spec)) =>
      expect(
        consortium.ask({ ...submission(spec, weightsManifest, weights), dryRun: true }),
      ).rejects.toMatchObject(invalid(`weightSchema.manifest: ${reason}`));
    await refused(undefined, 'it did not come with the job');
    await refused({ some: 'thing' }, 'it is no weights manifest');
    await refused({ ...manifest, schema: { id: 'tiny', version: '1.1.0' } }, 'it is of tiny 1.1.0');
    const [first, ...others] = manifest.tensors;
    await refused({ ...manifest, tensors: [...others, first] }, 'tensor first.weight is out of order');
    await refused({ ...manifest, probe: undefined }, 'it has no probes');
    const moved = EXTERNAL_WEIGHTS.map((value, place) => (place === 17 ? value + 1 : value));
    const reason =
      'its golden outputs are of other weights than the job starts from, first.bias has another SHA-256';
    await refused(manifest, reason, weightsOf(spec, moved));

    const opinions = await consortium.askAll<OpinionView>({ ...submission(spec, manifest), dryRun: true });
    expect(opinions).toMatchObject([{ site: 'bern', wouldJoin: true }]);
    const off = job({ weightSchema: { manifest: 'tiny.weights.json', probe: 'off' } });
    const unprobed = { ...submission(off, jobManifest(off, externalManifest()), weightsOf(off, moved)) };
    expect(await consortium.askAll({ ...unprobed, dryRun: true })).toMatchObject([{ wouldJoin: true }]);
  });
});
