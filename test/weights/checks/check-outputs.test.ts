import { describe, expect, test } from 'vitest';
import { checkGolden, checkOutputs } from '../../../src/weights/checks/check-outputs.ts';
import { elementCount } from '../../../src/weights/manifest.ts';
import { placesFirst } from '../../../src/weights/probes/canonical-array.ts';
import { goldenOf } from '../../../src/weights/probes/golden.ts';
import type { ModelTrace } from '../../../src/weights/probes/model-trace.ts';
import type { ProbeSection } from '../../../src/weights/probes/probe-section.ts';
import { breakingReport } from '../../../src/weights/schema/breaking.ts';
import { type WeightsManifest, weightsManifestSchema } from '../../../src/weights/schema/weights-manifest.ts';
import type { ShapedArray } from '../../../src/weights/shaped-array.ts';
import { normals } from './sample-model.ts';

const filled = (seed: number, ...shape: number[]): ShapedArray => ({
  shape,
  values: normals(seed, elementCount(shape)),
});

/** A convolution, a Linear behind its flattened map, and a recurrent layer, as a PyTorch model ran them. */
const LAYERS = [
  { layer: 'conv', input: filled(1, 2, 3, 6, 4), output: filled(2, 2, 4, 3, 2) },
  { layer: 'fc', input: filled(3, 2, 24), output: filled(4, 2, 5) },
  { layer: 'rnn', input: filled(5, 2, 7, 5), output: filled(6, 2, 7, 3) },
];
const OUTPUT = filled(7, 2, 4);

const section = {
  generator: 'consilium-probe-1',
  seed: 1,
  batch: 2,
  inputs: [{ shape: [3, 6, 4], channelsFirst: true }],
  kinds: ['normal'],
  recordedWith: 'pytorch 2.13.0',
  relativeL2: 1e-5,
  tolerances: [],
  golden: [
    {
      kind: 'normal',
      inputs: ['0'.repeat(64)],
      layers: LAYERS.map(({ layer, input, output }) => ({
        layer,
        input: goldenOf(input, 1000),
        output: goldenOf(output, 1000),
      })),
      outputs: [goldenOf(OUTPUT, 1000)],
    },
  ],
} satisfies ProbeSection;

const manifest: WeightsManifest = weightsManifestSchema.parse({
  apiVersion: 'consilium/v1',
  schema: { id: 'a', version: '1.0.0' },
  framework: 'keras',
  tensors: [{ name: 'conv.weight', shape: [1], dtype: 'float32' }],
  layers: [
    { name: 'conv', op: 'Conv2d' },
    { name: 'fc', op: 'Linear', flattened: [4, 3, 2] },
    { name: 'rnn_l0', op: 'LSTM' },
  ],
  probe: section,
});

type Change = Partial<Record<string, { input?: ShapedArray; output?: ShapedArray }>>;

/** What a channels-last engine gives: the same but for what is said. */
function trace(
  change: Change = {},
  output: ShapedArray = OUTPUT,
  without: readonly string[] = [],
): ModelTrace {
  const [conv, fc, rnn] = LAYERS.map((one) => ({ ...one, ...change[one.layer] }));
  const layers = [
    { ...conv!, input: placesFirst(conv!.input), output: placesFirst(conv!.output) },
    { ...fc!, input: flattenedLast(fc!.input) },
    rnn!,
  ];
  const kept = layers.filter(({ layer }) => !without.includes(layer));
  return { engine: 'keras 3', channelsLast: true, probes: [{ layers: kept, outputs: [output] }] };
}

/** Features that count channel, place -> place, channel. */
function flattenedLast({ shape, values }: ShapedArray): ShapedArray {
  const map = placesFirst({ shape: [shape[0]!, 4, 3, 2], values });
  return { shape, values: map.values };
}

const off = ({ shape, values }: ShapedArray, by: number): ShapedArray => ({
  shape,
  values: values.map((value) => value * (1 + by)),
});

const check = (...given: Parameters<typeof trace>) =>
  checkOutputs(manifest, section, trace(...given), () => undefined);
const rules = (...given: Parameters<typeof trace>) =>
  check(...given).findings.map(({ rule, tensor }) => `${rule} ${tensor}`);

describe('outputs of a model beside the golden ones', () => {
  test('agree in another layout, the map that is flattened included', () => {
    const { findings, probe } = check();
    expect(findings).toEqual([]);
    expect(probe.results.map(({ layer, relativeL2 }) => [layer, relativeL2])).toEqual([
      ['conv', 0],
      ['fc', 0],
      ['rnn', 0],
      ['output', 0],
    ]);
    expect(probe.results.slice(0, 3).map(({ inputRelativeL2 }) => inputRelativeL2)).toEqual([0, 0, 0]);
  });

  test('rounding is no finding, and one part in 50,000 is', () => {
    expect(rules({ fc: { output: off(LAYERS[1]!.output, 1e-6) } })).toEqual([]);
    expect(rules({ fc: { output: off(LAYERS[1]!.output, 2e-5) } })).toEqual(['WC501 fc']);
  });

  test('the first layer that differs is named alone, with whether it or what stands before it does', () => {
    const later = { rnn: { input: filled(8, 2, 7, 5), output: filled(9, 2, 7, 3) } };
    expect(rules({ fc: { output: filled(9, 2, 5) }, ...later })).toEqual(['WC501 fc']);
    expect(rules({ ...later }, filled(9, 2, 4))).toEqual(['WC502 rnn', 'WC503 output']);
    expect(check({ ...later }).findings[0]?.message).toMatch(/^between fc, which agrees, and rnn /);
    expect(rules({ conv: { input: filled(9, 2, 3, 6, 4), output: filled(9, 2, 4, 3, 2) } })).toEqual([
      'WC502 conv',
    ]);
  });

  test('an end that differs behind layers that agree is said to be behind the last', () => {
    const [only] = check({}, filled(9, 2, 4)).findings;
    expect(only).toMatchObject({ rule: 'WC503', tensor: 'output' });
    expect(only?.message).toContain('every layer that was compared agrees, rnn the last');
  });

  test('another shape at the end is an error, in a layer a warning', () => {
    expect(rules({}, filled(7, 2, 5))).toEqual(['WC504 output']);
    expect(rules({ rnn: { output: filled(7, 2, 3) } })).toEqual(['WC505 rnn']);
    expect(rules({}, OUTPUT, ['rnn'])).toEqual(['WC505 rnn']);
  });

  test('NaN is an error of its own, at the first layer that gives it', () => {
    const wild = off(LAYERS[1]!.output, 0);
    wild.values[3] = Number.NaN;
    expect(rules({ fc: { output: wild } })).toEqual(['WC501 fc', 'WC506 fc']);
  });

  test('nothing that ran is nothing that passes', () => {
    const empty: ModelTrace = { engine: 'keras 3', channelsLast: true, probes: [] };
    const { findings } = checkOutputs(manifest, section, empty, () => undefined);
    expect(findings.map(({ rule }) => rule)).toContain('WC504');
  });

  test('a tolerance of a layer is that layer’s alone', () => {
    const given = trace({
      conv: { output: off(LAYERS[0]!.output, 1e-3) },
      fc: { output: off(LAYERS[1]!.output, 1e-3) },
    });
    const { findings } = checkOutputs(manifest, section, given, (layer) =>
      layer === 'conv' ? 1e-2 : undefined,
    );
    expect(findings.map(({ rule, tensor }) => `${rule} ${tensor}`)).toEqual(['WC501 fc']);
  });

  test('a reference that gives something else than the manifest says is told', () => {
    expect(checkGolden(manifest, section, trace())).toEqual([]);
    const drifted = trace({ fc: { output: off(LAYERS[1]!.output, 1e-3) } });
    expect(checkGolden(manifest, section, drifted)).toMatchObject([{ rule: 'WC703', tensor: 'fc' }]);
  });
});

describe('the version of a schema whose probes changed', () => {
  const next = (output: ShapedArray): WeightsManifest => ({
    ...manifest,
    schema: { id: 'a', version: '1.0.1' },
    probe: { ...section, golden: [{ ...section.golden[0]!, outputs: [goldenOf(output, 1000)] }] },
  });

  test('is MAJOR where the same weights give other outputs, and PATCH where only rounding differs', () => {
    expect(breakingReport(manifest, next(off(OUTPUT, 1e-6)))).toMatchObject({
      needed: 'patch',
      verdict: 'passed',
    });
    const report = breakingReport(manifest, next(off(OUTPUT, 1e-3)));
    expect(report).toMatchObject({ needed: 'major', verdict: 'failed' });
    expect(report.changes[0]?.message).toContain('the same weights give other outputs');
  });

  test('is none where other weights have golden outputs of their own', () => {
    const sha256 = '1'.repeat(64);
    const moved = { ...next(off(OUTPUT, 1)), tensors: manifest.tensors.map((one) => ({ ...one, sha256 })) };
    const anew = { ...moved, schema: manifest.schema, probe: { ...moved.probe!, recordedWith: 'torch 9' } };
    expect(breakingReport(manifest, anew)).toMatchObject({ needed: 'none', verdict: 'passed', changes: [] });
    const other = { ...anew, probe: { ...anew.probe, seed: section.seed + 1 } };
    expect(breakingReport(manifest, other)).toMatchObject({ needed: 'patch', verdict: 'failed' });
  });
});
