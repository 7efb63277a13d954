import fc from 'fast-check';
import { expect, test } from 'vitest';
import { joinedSources, partOf, sourceInMemory } from '../../src/weights/byte-source.ts';
import { float16At, float16Value } from '../../src/weights/float16.ts';
import type { StoredTensor } from '../../src/weights/stored-tensors.ts';
import { dtypeBytes, type TensorDtype } from '../../src/weights/tensor-dtype.ts';
import { eachPiece, float32Values, readFloat32 } from '../../src/weights/tensor-values.ts';

function stored(dtype: TensorDtype, bytes: Uint8Array): StoredTensor {
  const width = dtypeBytes(dtype);
  return {
    file: 'memory',
    name: 'weight',
    dtype,
    shape: [bytes.length / width],
    read: (start, into) => into.set(bytes.subarray(start * width, start * width + into.length)),
  };
}

test('every float16 is read as its value', () => {
  // The slow twin moves bits: sign, exponent rebased from 15 to 127, fraction; subnormals shifted until normal.
  const widened = (bits: number): number => {
    const view = new DataView(new ArrayBuffer(4));
    let exponent = (bits >> 10) & 31;
    let fraction = bits & 0x3ff;
    if (exponent === 31) view.setUint32(0, ((bits & 0x8000) << 16) | 0x7f800000 | (fraction << 13));
    else if (exponent === 0 && fraction === 0) view.setUint32(0, (bits & 0x8000) << 16);
    else {
      if (exponent === 0) {
        exponent = 1;
        while ((fraction & 0x400) === 0) {
          fraction <<= 1;
          exponent -= 1;
        }
        fraction &= 0x3ff;
      }
      view.setUint32(0, ((bits & 0x8000) << 16) | ((exponent - 15 + 127) << 23) | (fraction << 13));
    }
    return view.getFloat32(0);
  };
  const view = new DataView(new ArrayBuffer(2));
  const wrong: number[] = [];
  for (let bits = 0; bits < 65_536; bits++) {
    view.setUint16(0, bits, true);
    if (!Object.is(float16At(view, 0), widened(bits))) wrong.push(bits);
  }
  expect(wrong).toEqual([]);
});

test.each<[TensorDtype, Uint8Array, number[]]>([
  ['bool', Uint8Array.of(0, 1, 2), [0, 1, 1]],
  ['int8', Uint8Array.of(0xff, 0x80), [-1, -128]],
  ['uint16', Uint8Array.of(0xff, 0xff), [65_535]],
  // As torch 2.13 widens them: the largest, the smallest, a half, minus zero, NaN.
  ['float8_e4m3fn', Uint8Array.of(0x7e, 0x01, 0x30, 0x80, 0x7f), [448, 2 ** -9, 0.5, -0, Number.NaN]],
  ['float8_e5m2', Uint8Array.of(0x7b, 0x01, 0x38, 0xfc), [57_344, 2 ** -16, 0.5, Number.NEGATIVE_INFINITY]],
  ['bfloat16', Uint8Array.of(0x80, 0x3f, 0x40, 0xc0), [1, -3]],
  [
    'float64',
    new Uint8Array(Float64Array.of(0.1, 1e300).buffer),
    [Math.fround(0.1), Number.POSITIVE_INFINITY],
  ],
  ['int64', new Uint8Array(BigInt64Array.of(-5n, 2n ** 40n).buffer), [-5, 2 ** 40]],
  ['float32', new Uint8Array(Float32Array.of(-0, 1.5).buffer), [-0, 1.5]],
])('%s is read as float32', (dtype, bytes, values) => {
  expect([...float32Values(stored(dtype, bytes))]).toEqual(values);
});

test('what float32 cannot hold is refused by name', () => {
  expect(() => float32Values(stored('complex64', new Uint8Array(8)))).toThrow(
    'Tensor weight of memory has the dtype complex64, which float32 does not hold here',
  );
});

test('reading past the end is a defect of the caller', () => {
  expect(() => readFloat32(stored('uint8', new Uint8Array(3)), 2, new Float32Array(2))).toThrow(
    'elements 2 to 4 are not all in weight',
  );
});

test('pieces come in order, cover everything and are no larger than asked', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 60 }), fc.integer({ min: 4, max: 40 }), (bytes, most) => {
      const whole = bytes.subarray(0, bytes.length - (bytes.length % 4));
      const seen: number[] = [];
      eachPiece(stored('float32', whole), most, (piece, start) => {
        expect(start * 4).toBe(seen.length);
        expect(piece.length).toBeLessThanOrEqual(most);
        seen.push(...piece);
      });
      expect(seen).toEqual([...whole]);
    }),
  );
});

test('parts and joints of sources are the bytes that they are made of', () => {
  const cuts = fc.array(fc.uint8Array({ maxLength: 9 }), { minLength: 1, maxLength: 5 });
  fc.assert(
    fc.property(cuts, fc.nat(40), fc.nat(40), (parts, a, b) => {
      const plain = Buffer.concat(parts);
      const joined = joinedSources(
        'x',
        parts.map((part) => sourceInMemory('x', part)),
      );
      const at = Math.min(a, plain.length);
      const into = new Uint8Array(Math.min(b, plain.length - at));
      partOf(joined, at, into.length).read(0, into);
      expect([...into]).toEqual([...plain.subarray(at, at + into.length)]);
    }),
  );
});

test.each(['float16', 'bfloat16'] as const)('every %s there is becomes the float32 that it is', (dtype) => {
  const halves = Uint16Array.from({ length: 65_536 }, (_, bits) => bits);
  const bytes = new Uint8Array(halves.buffer);
  const found = float32Values(stored(dtype, bytes));
  const due = Float32Array.from(halves, (bits) =>
    dtype === 'float16' ? float16Value(bits) : new Float32Array(Uint32Array.of(bits << 16).buffer)[0]!,
  );
  const unlike = due.findIndex((value, at) => !Object.is(value, found[at]));
  expect(unlike).toBe(-1);
});
