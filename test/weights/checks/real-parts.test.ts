import fc from 'fast-check';
import { expect, test } from 'vitest';
import { checkFiles } from '../../../src/weights/checks/check-files.ts';
import { realParts } from '../../../src/weights/checks/real-parts.ts';
import type { CheckSide } from '../../../src/weights/layouts/mapping.ts';
import type { TensorDtype } from '../../../src/weights/tensor-dtype.ts';
import { storedSample } from './sample-model.ts';

function side(dtype: TensorDtype, shape: readonly number[], parts: Float32Array | Float64Array): CheckSide {
  const bytes = new Uint8Array(parts.slice().buffer);
  const sample = new Map([['coils.weight', { shape, values: new Float32Array(0), dtype, bytes }]]);
  return { stored: storedSample(sample, 'coils.pt', 'pytorch'), framework: 'pytorch' };
}
const rules = (reference: CheckSide, candidate: CheckSide) =>
  checkFiles(reference, candidate).findings.map(({ rule }) => rule);

test.each([
  ['complex64', Float32Array.of(1, 2, 0, 3, -1, 0.5)],
  ['complex128', Float64Array.of(1, 2, 0, 3, -1, 0.5)],
] as const)('%s is compared part by part, bit for bit', (dtype, parts) => {
  const reference = side(dtype, [3], parts);
  expect(rules(reference, side(dtype, [3], parts))).toEqual([]);
  // Not the one number of its row that is not 0: that would be the row times a factor.
  const other = parts.slice();
  other[2] = 4;
  expect(rules(reference, side(dtype, [3], other))).toEqual(['WC201']);
});

test('pairs of floats are no complex numbers, though they are the same bytes', () => {
  const parts = Float32Array.of(1, 2, 0, 3);
  expect(rules(side('complex64', [2], parts), side('float32', [2, 2], parts))).toEqual(['WC106']);
});

test('the parts are read from any place on, to any place', () => {
  const parts = Float32Array.from({ length: 12 }, (_, at) => at);
  const [tensor] = realParts(side('complex64', [6], parts)).stored.tensors;
  fc.assert(
    fc.property(fc.nat({ max: 11 }), fc.nat({ max: 12 }), (start, most) => {
      const into = new Float32Array(Math.min(most, 12 - start));
      tensor!.read(start, new Uint8Array(into.buffer));
      expect([...into]).toEqual([...parts.subarray(start, start + into.length)]);
    }),
  );
});
