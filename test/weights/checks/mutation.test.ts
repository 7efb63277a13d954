import { expect, test } from 'vitest';
import { checkFiles } from '../../../src/weights/checks/check-files.ts';
import type { CheckReport } from '../../../src/weights/checks/report.ts';
import type { Framework } from '../../../src/weights/layouts/layer.ts';
import type { Mutant } from './mutant.ts';
import { WEIGHT_MUTANTS } from './mutants.ts';
import {
  convertedSample,
  FLATTENED,
  heldLayers,
  layerNames,
  pytorchSample,
  type Sample,
  storedSample,
} from './sample-model.ts';

const HINTS = { flattened: FLATTENED };

function check(canonical: Sample, native: Sample, framework: Framework): CheckReport {
  return checkFiles(
    { stored: storedSample(canonical, 'reference', 'pytorch'), framework: 'pytorch' },
    { stored: storedSample(native, 'candidate', framework), framework },
    HINTS,
  );
}

const held = (framework: Framework) => pytorchSample(1, heldLayers(framework));

test.each(WEIGHT_MUTANTS.map((mutant) => [mutant.framework, mutant.name, mutant] as const))(
  'caught and named in %s: %s',
  (framework, _, { spoil, rule }: Mutant) => {
    const canonical = held(framework);
    const native = convertedSample(canonical, framework, heldLayers(framework));
    if (framework === 'pytorch') for (const [name, tensor] of canonical) native.set(name, tensor);
    spoil(native, canonical);
    const report = check(canonical, native, framework);
    expect(report.verdict).toBe('failed');
    expect(report.findings.map((finding) => finding.rule)).toContain(rule);
  },
);

test.each([
  [
    'keras',
    'GRU: gates left as r, z, n',
    'its blocks stand as r, z, n; z, r, n is due (Keras and ONNX call n h)',
  ],
  [
    'keras',
    'LSTM: gates in the order of ONNX',
    'its blocks stand as i, o, f, g; i, f, g, o is due (Keras and ONNX call g c)',
  ],
  ['onnx', 'LSTM: gates left as i, f, g, o', 'its blocks stand as i, f, g, o; i, o, f, g is due'],
  [
    'keras',
    'MHA: query and key exchanged',
    'its blocks stand as key, query, value; query, key, value is due',
  ],
  [
    'keras',
    'Linear: a square weight not transposed',
    'it was not transposed (the shape is square, so it fits)',
  ],
  ['keras', 'LSTM: kernel not transposed', 'it was reshaped and not transposed ('],
  [
    'keras',
    'Conv1d: bytes reshaped',
    'it was reshaped and not transposed: its axes of sizes 5, 6, 3 are to be put in the order 2, 1, 0, counted from 0',
  ],
  [
    'onnx',
    'Gemm: square weight transposed',
    'it was transposed, and is not to be (the shape is square, so it fits)',
  ],
  [
    'keras',
    'Conv1d: in and out exchanged',
    'its axes of sizes 5, 6, 3 were put in the order 2, 0, 1, counted from 0; 2, 1, 0 is due',
  ],
  [
    'keras',
    'MHA: heads and size exchanged',
    'its axes of sizes 2, 4, 8 were put in the order 2, 1, 0, counted from 0, which is not due',
  ],
] as const)('what is wrong is said in plain words: %s, %s', (framework, name, message) => {
  const { spoil } = WEIGHT_MUTANTS.find((one) => one.framework === framework && one.name === name)!;
  const canonical = held(framework);
  const native = convertedSample(canonical, framework, heldLayers(framework));
  spoil(native, canonical);
  const told = check(canonical, native, framework).findings.map((finding) => finding.message);
  expect(
    told.some((text) => text.includes(message)),
    told.join(),
  ).toBe(true);
});

test.each(['keras', 'tfjs', 'onnx', 'pytorch'] as const)(
  'a right conversion to %s passes, in both directions',
  (framework) => {
    const canonical = held(framework);
    const native = convertedSample(canonical, framework, heldLayers(framework));
    if (framework === 'pytorch') for (const [name, tensor] of canonical) native.set(name, tensor);
    const there = check(canonical, native, framework);
    expect(there.findings).toEqual([]);
    expect(there.verdict).toBe('passed');
    const back = checkFiles(
      { stored: storedSample(native, 'reference', framework), framework },
      { stored: storedSample(canonical, 'candidate', 'pytorch'), framework: 'pytorch' },
      HINTS,
    );
    expect(back.findings).toEqual([]);
  },
);

test('every layer of the sample is found, and every tensor compared', () => {
  const canonical = held('keras');
  const report = check(canonical, convertedSample(canonical, 'keras', heldLayers('keras')), 'keras');
  expect(report.mapping.layers.map(({ layer }) => layer)).toEqual(layerNames(canonical));
  const compared = report.tensors.flatMap(({ tensor }) => tensor.split(' + '));
  expect([...compared].sort()).toEqual(
    [...canonical.keys()].filter((name) => !name.includes('num_batches')).sort(),
  );
});

test('a variable that a file holds twice is one, while both copies are the same', () => {
  const canonical = held('keras');
  const native = convertedSample(canonical, 'keras', heldLayers('keras'));
  const twice = (values: Float32Array) => {
    const stored = storedSample(
      new Map([...native, ['again/0', { ...native.get('fc2/bias')!, values }]]),
      'candidate',
      'keras',
    );
    const labelled = stored.tensors.map((tensor) =>
      tensor.name === 'fc2/bias' || tensor.name === 'again/0' ? { ...tensor, label: 'fc2/bias' } : tensor,
    );
    return checkFiles(
      { stored: storedSample(canonical, 'reference', 'pytorch'), framework: 'pytorch' },
      { stored: { ...stored, tensors: labelled }, framework: 'keras' },
      HINTS,
    );
  };
  const same = native.get('fc2/bias')!.values;
  expect(twice(same).findings).toEqual([]);
  expect(twice(same.map((value) => value + 1)).findings.map(({ rule }) => rule)).toContain('WC102');
});
