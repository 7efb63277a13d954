import fc from 'fast-check';
import { expect, test } from 'vitest';
import { canonicalSide } from '../../../src/weights/checks/canonical-side.ts';
import { equalityProof } from '../../../src/weights/checks/prove-equal.ts';
import { alike } from '../../../src/weights/layouts/layer.ts';
import {
  convLayout,
  depthwiseLayout,
  flattenedLinearLayout,
  linearLayout,
  type TensorLayout,
  toEngine,
  unchangedLayout,
} from '../../../src/weights/layouts/tensor-layout.ts';
import type { TensorRecipe } from '../../../src/weights/layouts/tensor-recipe.ts';
import { elementCount } from '../../../src/weights/manifest.ts';
import type { StoredTensors } from '../../../src/weights/stored-tensors.ts';
import { dtypeBytes, type TensorDtype } from '../../../src/weights/tensor-dtype.ts';

const EXPONENTS = { float16: 0x7c00n, bfloat16: 0x7f80n, float32: 0x7f800000n, float64: 0x7ff0000000000000n };
const WIDTHS = { 1: Uint8Array, 2: Uint16Array, 4: Uint32Array, 8: BigUint64Array } as const;

/** The bits of one tensor as a file that holds nothing else. */
function fileOf(dtype: TensorDtype, shape: readonly number[], bytes: Uint8Array): StoredTensors {
  const read = (start: number, into: Uint8Array) => {
    const at = start * dtypeBytes(dtype);
    into.set(bytes.subarray(at, at + into.length));
  };
  return {
    file: 'memory',
    format: 'safetensors',
    metadata: {},
    omitted: [],
    tensors: [{ file: 'memory', name: 'native', dtype, shape, read }],
  };
}

const sideOf = (
  dtype: TensorDtype,
  layout: TensorLayout,
  canonical: readonly number[],
  bytes: Uint8Array,
) => {
  const recipe: TensorRecipe = {
    name: 'native',
    shape: layout.shape,
    pieces: [{ tensor: 'weight', layout }],
    join: { concat: 0 },
  };
  return canonicalSide(fileOf(dtype, layout.shape, bytes), [recipe], new Map([['weight', canonical]]));
};

/** Bits that are no NaN and no infinity, of a seed. */
function finiteBits(dtype: TensorDtype, count: number, seed: number): Uint8Array {
  const width: number = dtypeBytes(dtype);
  const bytes = new Uint8Array(width * count);
  let state = seed | 1;
  for (let at = 0; at < bytes.length; at++) {
    state = (Math.imul(state, 1664525) + 1013904223) | 0;
    bytes[at] = state >>> 24;
  }
  // The uppermost bit of the exponent clear: no exponent is all ones.
  for (let at = width - 1; at < bytes.length; at += width) bytes[at]! &= 0xbf;
  return bytes;
}

const dtypes = fc.constantFrom<TensorDtype>(
  ...(['bool', 'uint8', 'int16', 'float16', 'bfloat16', 'int32', 'float32', 'int64', 'float64'] as const),
);
const shapes = fc.array(fc.integer({ min: 1, max: 19 }), { minLength: 0, maxLength: 4 });

test('tensors that stand alike are proved equal, and not when any single bit differs', () => {
  const proof = equalityProof();
  fc.assert(
    fc.property(dtypes, shapes, fc.integer(), fc.nat(), (dtype, shape, seed, flipped) => {
      const bytes = finiteBits(dtype, elementCount(shape), seed);
      const side = (of: Uint8Array) => sideOf(dtype, unchangedLayout(shape), shape, of);
      let seen = 0;
      const count = (piece: Uint8Array) => {
        seen += piece.length;
      };
      expect(proof.proves('weight', side(bytes), side(bytes.slice()), count)).toBe(true);
      expect(seen).toBe(bytes.length);
      const other = bytes.slice();
      other[flipped % bytes.length]! ^= 1 << (flipped % 8);
      expect(proof.proves('weight', side(bytes), side(other), count)).toBe(false);
    }),
  );
});

test('a value that is NaN or infinite is never proved, whatever its bits, and every other one is', () => {
  const proof = equalityProof();
  for (const [dtype, exponent] of Object.entries(EXPONENTS) as [keyof typeof EXPONENTS, bigint][]) {
    const width = dtypeBytes(dtype) as 2 | 4 | 8;
    fc.assert(
      fc.property(
        fc.bigInt(0n, 2n ** BigInt(8 * width) - 1n),
        fc.integer({ min: 0, max: 32 }),
        (bits, place) => {
          for (const value of [bits, bits | exponent]) {
            const words = new WIDTHS[width](33);
            words[place] = (width === 8 ? value : Number(value)) as never;
            const bytes = new Uint8Array(words.buffer);
            const side = sideOf(dtype, unchangedLayout([33]), [33], bytes);
            expect(proof.proves('weight', side, side, () => {})).toBe((value & exponent) !== exponent);
          }
        },
      ),
    );
  }
});

const extent = (most: number) => fc.integer({ min: 1, max: most });
const layouts: fc.Arbitrary<TensorLayout> = fc.oneof(
  fc.tuple(fc.integer({ min: 8, max: 41 }), fc.integer({ min: 8, max: 41 })).map(linearLayout),
  fc
    .tuple(fc.integer({ min: 8, max: 21 }), fc.integer({ min: 8, max: 11 }), extent(4), extent(3), extent(3))
    .chain((axes) => fc.constantFrom(axes.slice(0, 3), axes.slice(0, 4), axes).map(convLayout)),
  fc
    .tuple(fc.integer({ min: 4, max: 9 }), fc.constantFrom(1, 2), fc.integer({ min: 3, max: 5 }))
    .map(([channels, multiplier, size]) =>
      depthwiseLayout([2 * channels * multiplier, 1, size, size], multiplier),
    ),
  fc
    .tuple(fc.integer({ min: 8, max: 21 }), extent(9), fc.integer({ min: 3, max: 5 }))
    .map(([outputs, channels, size]) => flattenedLinearLayout(outputs, [channels, size, size])),
);
const floats = fc.constantFrom<keyof typeof EXPONENTS>('float16', 'bfloat16', 'float32', 'float64');

test('weights whose axes are moved are proved equal from either side, and not when a bit differs or a value is not finite', () => {
  const proof = equalityProof();
  fc.assert(
    fc.property(floats, layouts, fc.integer(), fc.nat(), (dtype, layout, seed, changed) => {
      const width = dtypeBytes(dtype) as 2 | 4 | 8;
      const shape = layout.axes;
      const canonical = finiteBits(dtype, elementCount(shape), seed);
      const words = (bytes: Uint8Array) => new WIDTHS[width](bytes.buffer as ArrayBuffer);
      const straight = (bytes: Uint8Array) => sideOf(dtype, unchangedLayout(shape), shape, bytes);
      const turned = (bytes: Uint8Array) =>
        sideOf(dtype, layout, shape, new Uint8Array(toEngine(layout, words(bytes)).buffer));
      const proves = (left: Uint8Array, right: Uint8Array) =>
        [
          [straight(left), turned(right)],
          [turned(left), straight(right)],
        ].map(([before, after]) => {
          let seen = 0;
          const proved = proof.proves('weight', before!, after!, (piece) => {
            seen += piece.length;
          });
          return proved && seen === canonical.length;
        });
      expect(proves(canonical, canonical)).toEqual([true, true]);
      const other = canonical.slice();
      other[changed % canonical.length]! ^= 1 << (changed % 8);
      expect(proves(canonical, other)).toEqual([false, false]);
      expect(proves(other, canonical)).toEqual([false, false]);
      const infinite = canonical.slice();
      const place = changed % (canonical.length / width);
      const bits = words(infinite);
      bits[place] = (width === 8 ? EXPONENTS[dtype] : Number(EXPONENTS[dtype])) as never;
      expect(proves(infinite, infinite)).toEqual([false, false]);
    }),
    { numRuns: 300 },
  );
});

test('whole numbers whose axes are moved are proved equal, and no bits of them are taken for NaN', () => {
  const proof = equalityProof();
  const layout = convLayout([9, 8, 3, 3]);
  for (const dtype of ['int16', 'int32', 'int64'] as const) {
    const words = new WIDTHS[dtypeBytes(dtype) as 2 | 4 | 8](elementCount(layout.axes));
    for (let at = 0; at < words.length; at++) words[at] = (dtype === 'int64' ? BigInt(-at) : -at) as never;
    const plain = sideOf(dtype, unchangedLayout(layout.axes), layout.axes, new Uint8Array(words.buffer));
    const turned = new Uint8Array(toEngine(layout, words).buffer);
    expect(proof.proves('weight', plain, sideOf(dtype, layout, layout.axes, turned), () => {})).toBe(true);
  }
});

test('tensors larger than a piece are compared to their last byte, straight and transposed', () => {
  const proof = equalityProof();
  for (const shape of [
    [257, 515],
    [5, 70_001],
  ]) {
    const words = new Uint32Array(finiteBits('float32', elementCount(shape), 7).buffer);
    const layout: TensorLayout = { axes: shape, order: [1, 0], shape: shape.toReversed() };
    const bytes = (of: Uint32Array) => new Uint8Array(of.buffer);
    const plain = (of: Uint32Array) => sideOf('float32', unchangedLayout(shape), shape, bytes(of));
    const moved = (of: Uint32Array) => sideOf('float32', layout, shape, bytes(toEngine(layout, of)));
    const other = words.slice();
    other[other.length - 1]! ^= 1;
    for (const side of [plain, moved]) {
      expect(proof.proves('weight', plain(words), side(words), () => {})).toBe(true);
      expect(proof.proves('weight', plain(words), side(other), () => {})).toBe(false);
    }
  }
});

test('what is held in pieces, in other orders or dtypes is left to the closer look', () => {
  const proof = equalityProof();
  // Three rows are no block, which is four by four.
  const shape = [3, 4, 2];
  const bytes = finiteBits('float32', 24, 1);
  const plain = sideOf('float32', unchangedLayout(shape), shape, bytes);
  const order = [2, 1, 0];
  const moved = sideOf('float32', { axes: shape, order, shape: [2, 4, 3] }, shape, bytes);
  const whole = sideOf('int32', unchangedLayout(shape), shape, bytes);
  const none = canonicalSide(fileOf('float32', shape, bytes), [alike('other', 'other', shape)], new Map());
  for (const side of [moved, whole, none]) expect(proof.proves('weight', plain, side, () => {})).toBe(false);
  expect(proof.proves('weight', moved, moved, () => {})).toBe(true);
});
