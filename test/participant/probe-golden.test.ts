import { createHash } from 'node:crypto';
import { expect, test } from 'vitest';
import { probeGolden } from '../../src/participant/probe-golden.ts';
import type { ProbeTask } from '../../src/participant/trainer.ts';
import { encodeProbes } from '../../src/participant/trainers/probe-files.ts';
import { manifestOf } from '../../src/rounds/job.ts';
import { jobManifest, parseJobManifest } from '../../src/rounds/job-manifest.ts';
import { bytesOf } from '../../src/weights/float32-bytes.ts';
import { float32Tensor, readSafetensors } from '../../src/weights/formats/safetensors.ts';
import { permuteAxes } from '../../src/weights/layouts/permute-axes.ts';
import { goldenOf } from '../../src/weights/probes/golden.ts';
import type { ModelTrace, ProbeTrace } from '../../src/weights/probes/model-trace.ts';
import { PROBE_KINDS, type Probe, probesOf } from '../../src/weights/probes/probe-inputs.ts';
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

test('whole numbers below a bound reach a program as such, and a second input too', async () => {
  const inputs = [{ shape: [5], ids: 7 }, { shape: [2] }];
  const probes = probesOf({ seed: 3, batch: 2, inputs, kinds: PROBE_KINDS });
  // An embedding by squares, and the other input behind it.
  const answer = ({ inputs: [ids, other] }: Probe): ProbeTrace => {
    const squares = { shape: ids!.shape, values: ids!.values.map((id) => id * id) };
    return { layers: [{ layer: 'embedding', output: squares }], outputs: [squares, other!] };
  };
  const golden = probes.map((probe) => {
    const { layers, outputs } = answer(probe);
    return {
      kind: probe.kind,
      inputs: probe.inputs.map(({ values }) => createHash('sha256').update(bytesOf(values)).digest('hex')),
      layers: layers.map(({ layer, output }) => ({ layer, output: goldenOf(output, 64) })),
      outputs: outputs.map((output) => goldenOf(output, 64)),
    };
  });
  const section = { ...manifest.probe!, seed: 3, batch: 2, inputs, golden };
  const trainer = {
    probe: async (asked: ProbeTask): Promise<ModelTrace> => {
      const file = readSafetensors(encodeProbes(asked.probes));
      if (!file.ok) throw new Error(file.refusal);
      const read = asked.probes.map(({ kind }) => ({
        kind,
        inputs: [0, 1].map((place) => {
          const found = float32Tensor(file.value, `${kind}/input/${place}`);
          if (!found.ok) throw new Error(found.refusal);
          return found.value;
        }),
      }));
      for (const { inputs: given } of read) {
        expect(given[0]!.values.every((id) => Number.isInteger(id) && id >= 0 && id < 7)).toBe(true);
      }
      return { engine: 'plain 1.0', channelsLast: false, probes: read.map(answer) };
    },
  };
  const parsed = parseJobManifest({ ...manifest, probe: section });
  if (!parsed.ok) throw new Error(parsed.refusal);
  const { layers } = await probeGolden(trainer, task, parsed.value);
  expect(layers.map(({ layer, relativeL2 }) => [layer, relativeL2])).toEqual([
    ['embedding', 0],
    ['output', 0],
  ]);
});
