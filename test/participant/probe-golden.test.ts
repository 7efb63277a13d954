import { expect, test } from 'vitest';
import { probeGolden } from '../../src/participant/probe-golden.ts';
import type { ProbeTask } from '../../src/participant/trainer.ts';
import { manifestOf } from '../../src/rounds/job.ts';
import { jobManifest } from '../../src/rounds/job-manifest.ts';
import { permuteAxes } from '../../src/weights/layouts/permute-axes.ts';
import type { ModelTrace, ProbeTrace } from '../../src/weights/probes/model-trace.ts';
import {
  EXTERNAL_WEIGHTS,
  externalJob,
  externalManifest,
  externalTrace,
  tensorsOf,
} from '../rounds/external-model.ts';

const job = externalJob();
const manifest = jobManifest(job, externalManifest());
const task = {
  job,
  manifest: manifestOf(job),
  base: EXTERNAL_WEIGHTS,
  signal: new AbortController().signal,
};

/** What the layers of a trainer come to that answers with `change` of what is right, having misread weights. */
async function layersOf(
  change: (trace: ProbeTrace) => ProbeTrace,
  misread: (tensors: ReadonlyMap<string, Float32Array>) => void = () => {},
) {
  const trainer = {
    probe: async ({ base, probes }: ProbeTask): Promise<ModelTrace> => {
      const values = Float32Array.from(base);
      misread(tensorsOf(values));
      const traces = probes.map((probe) => change(externalTrace(values, probe)));
      return { engine: 'plain 1.0', channelsLast: false, probes: traces };
    },
  };
  const { engine, layers } = await probeGolden(trainer, task, manifest);
  expect(engine).toBe('plain 1.0');
  return layers;
}
const same = (trace: ProbeTrace) => trace;

test('a trainer that is right gives every layer and the end', async () => {
  const layers = await layersOf(same);
  expect(layers.map(({ layer, relativeL2 }) => [layer, relativeL2])).toEqual([
    ['first', 0],
    ['last', 0],
    ['output', 0],
  ]);
});

test('one that reads a square matrix transposed is off from that layer on', async () => {
  const layers = await layersOf(same, (tensors) => {
    const weight = tensors.get('first.weight')!;
    weight.set(permuteAxes(Float32Array.from(weight), [4, 4], [1, 0]));
  });
  for (const { relativeL2 } of layers) expect(relativeL2).toBeGreaterThan(0.01);
});

test('a layer may be left out, and what is no layer of the manifest says nothing', async () => {
  const layers = await layersOf(({ layers: [, last], outputs }) => ({
    layers: [last!, { layer: 'another', output: last!.output }],
    outputs,
  }));
  expect(layers.map(({ layer }) => layer)).toEqual(['last', 'output']);
});

test.each<[string, (trace: ProbeTrace) => ProbeTrace, string]>([
  ['an end that is missing', ({ layers }) => ({ layers, outputs: [] }), 'output'],
  ['an end more', ({ layers, outputs }) => ({ layers, outputs: [...outputs, ...outputs] }), 'output'],
  [
    'a layer of another shape',
    ({ layers: [first, last], outputs }) => ({
      layers: [{ ...first!, output: { shape: [6, 2], values: first!.output.values } }, last!],
      outputs,
    }),
    'first',
  ],
  [
    'a layer with one number that is none',
    ({ layers: [first, last], outputs }) => ({
      layers: [
        first!,
        { ...last!, output: { ...last!.output, values: last!.output.values.with(0, Number.NaN) } },
      ],
      outputs,
    }),
    'last',
  ],
])('%s is no error that a tolerance could allow', async (_, change, layer) => {
  const layers = await layersOf(change);
  expect(layers.filter(({ relativeL2 }) => relativeL2 > 0)).toEqual([
    { layer, relativeL2: Number.MAX_VALUE, probe: 'normal' },
  ]);
});

test('probes that the seed does not give here are not run', async () => {
  const other = { ...manifest, probe: { ...manifest.probe!, seed: 8 } };
  const trainer = { probe: () => Promise.reject(new Error('it was asked')) };
  await expect(probeGolden(trainer, task, other)).rejects.toMatchObject({
    problem: {
      code: 'CONFIG_INVALID',
      details: { reason: expect.stringContaining('is not what its seed gives') },
    },
  });
});
