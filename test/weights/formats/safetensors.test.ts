import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  encodeSafetensors,
  float32Tensor,
  readSafetensors,
  safetensorsHead,
  valuesFor,
  weightsOf,
} from '../../../src/weights/formats/safetensors.ts';
import { type Manifest, manifestElements, type TensorSpec } from '../../../src/weights/manifest.ts';

const manifest: Manifest = {
  schemaVersion: '1.0.0',
  tensors: [
    { name: 'dense.0.weight', dtype: 'float32', shape: [2, 3] },
    { name: 'dense.0.bias', dtype: 'float32', shape: [2] },
    { name: 'scale', dtype: 'float32', shape: [] },
  ],
};
const values = Float32Array.of(1, -2, 3.5, 0, 1e-40, 6, 7, 8, 9);

function file(header: string, data: Uint8Array | number): Uint8Array {
  const body = typeof data === 'number' ? new Uint8Array(data) : data;
  const json = new TextEncoder().encode(header);
  const bytes = new Uint8Array(8 + json.length + body.length);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(json.length), true);
  bytes.set(json, 8);
  bytes.set(body, 8 + json.length);
  return bytes;
}

function refusal(bytes: Uint8Array): string {
  const read = readSafetensors(bytes);
  return read.ok ? 'it was read' : read.refusal;
}

function opened(bytes: Uint8Array) {
  const read = readSafetensors(bytes);
  if (!read.ok) throw new Error(read.refusal);
  return read.value;
}

test('a written file has the bytes that the format describes', () => {
  const one: Manifest = { schemaVersion: '1.0.0', tensors: [{ name: 'w', dtype: 'float32', shape: [2] }] };
  const bytes = encodeSafetensors(one, Float32Array.of(1, -2), { format: 'pt' });
  const header = '{"__metadata__":{"format":"pt"},"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}';
  const padded = header.padEnd(Math.ceil(header.length / 8) * 8);
  expect(bytes).toEqual(file(padded, Uint8Array.of(0, 0, 0x80, 0x3f, 0, 0, 0, 0xc0)));
  expect(safetensorsHead(one, { format: 'pt' })).toEqual(bytes.slice(0, -8));
});

test('what was written is read back, bit for bit, from any offset of a buffer', () => {
  const written = encodeSafetensors(manifest, values, { schemaVersion: '1.0.0' });
  const shifted = new Uint8Array(written.length + 3).subarray(3);
  shifted.set(written);
  const read = opened(shifted);
  expect(read.metadata).toEqual({ schemaVersion: '1.0.0' });
  expect(valuesFor(manifest, read)).toEqual({ ok: true, value: values });
  expect(weightsOf(read, '1.0.0')).toEqual({ ok: true, value: { manifest, values } });
  expect(float32Tensor(read, 'dense.0.bias')).toEqual({
    ok: true,
    value: { shape: [2], values: Float32Array.of(7, 8) },
  });
});

test('any manifest and values survive the file, in any order of its tensors', () => {
  const tensors = fc
    .uniqueArray(fc.string({ minLength: 1, unit: 'binary' }), { minLength: 1, maxLength: 5 })
    .filter((names) => !names.includes('__metadata__'))
    .chain((names) =>
      fc.tuple(
        ...names.map((name) =>
          fc
            .array(fc.integer({ min: 1, max: 3 }), { maxLength: 3 })
            .map((shape): TensorSpec => ({ name, dtype: 'float32', shape })),
        ),
      ),
    );
  fc.assert(
    fc.property(tensors, fc.nat(), fc.infiniteStream(fc.float()), (specs, turn, stream) => {
      const theirs: Manifest = { schemaVersion: '1.0.0', tensors: specs };
      const count = manifestElements(theirs);
      const numbers = Float32Array.from([...stream.take(count)]);
      const read = opened(encodeSafetensors(theirs, numbers));
      const back = weightsOf(read, '1.0.0');
      expect(back).toEqual({ ok: true, value: { manifest: theirs, values: numbers } });
      const places = specs.map((_, place) => (place + turn) % specs.length);
      const turned: Manifest = { schemaVersion: '1.0.0', tensors: places.map((place) => specs[place]!) };
      const reordered = valuesFor(turned, read);
      if (!reordered.ok) throw new Error(reordered.refusal);
      expect(opened(encodeSafetensors(turned, reordered.value)).entries.map(({ name }) => name)).toEqual(
        turned.tensors.map(({ name }) => name),
      );
      for (const { name } of specs) {
        expect(float32Tensor(opened(encodeSafetensors(turned, reordered.value)), name)).toEqual(
          float32Tensor(read, name),
        );
      }
    }),
  );
});

describe('a file is refused', () => {
  const entry = (shape: string, offsets: string, dtype = 'F32') =>
    `{"dtype":"${dtype}","shape":${shape},"data_offsets":${offsets}}`;

  test.each([
    ['that is too short', new Uint8Array(7), 'it has 7 bytes; a safetensors file has more'],
    [
      'that declares an absurd header',
      Uint8Array.of(255, 255, 255, 255, 255, 255, 255, 127),
      'it declares a header of 9223372036854775807 bytes; at most 100000000 are read',
    ],
    [
      'that ends within its header',
      Uint8Array.of(9, 0, 0, 0, 0, 0, 0, 0, 123),
      'it ends within its header of 9 bytes',
    ],
    ['whose header begins with a blank', file(' {}', 0), 'its header does not begin with {'],
    ['whose header is cut', file('{"a":', 0), 'its header is not JSON'],
    [
      'whose header is not UTF-8',
      Uint8Array.of(3, 0, 0, 0, 0, 0, 0, 0, 0x7b, 0xff, 0x7d),
      'its header is not UTF-8',
    ],
    [
      'that names a tensor twice',
      file(`{"a":${entry('[1]', '[0,4]')},"\\u0061" :${entry('[1]', '[4,8]')}}`, 8),
      'its header names a twice',
    ],
    [
      'that names a tensor twice behind many blanks',
      file(`{"a":${entry('[1]', '[0,4]')},"a"${' '.repeat(200)}:${entry('[1]', '[0,4]')}}`, 4),
      'its header names a twice',
    ],
    [
      'that says a shape twice',
      file('{"a":{"dtype":"F32","shape":[1],"shape":[2],"data_offsets":[0,8]}}', 8),
      'its header names shape twice',
    ],
    [
      'whose tensors overlap',
      file(`{"a":${entry('[2]', '[0,8]')},"b":${entry('[2]', '[4,12]')}}`, 12),
      'tensor b overlaps the tensor before it (it begins at byte 4, not 8)',
    ],
    [
      'whose tensors leave a gap',
      file(`{"a":${entry('[1]', '[0,4]')},"b":${entry('[1]', '[8,12]')}}`, 12),
      'tensor b leaves a gap before it (it begins at byte 8, not 4)',
    ],
    [
      'whose first tensor leaves a gap',
      file(`{"a":${entry('[1]', '[4,8]')}}`, 8),
      'tensor a leaves a gap before it (it begins at byte 4, not 0)',
    ],
    [
      'with bytes behind its tensors',
      file(`{"a":${entry('[1]', '[0,4]')}}`, 5),
      'its tensors end at byte 4 and its data at byte 5',
    ],
    [
      'whose data is cut',
      file(`{"a":${entry('[2]', '[0,8]')}}`, 7),
      'its tensors end at byte 8 and its data at byte 7',
    ],
    [
      'whose range is not shape times dtype',
      file(`{"a":${entry('[2]', '[0,4]')}}`, 4),
      'tensor a of shape [2] and dtype F32 needs 8 bytes, its range has 4',
    ],
    [
      'with a hostile shape',
      file(`{"a":${entry('[9007199254740991,9007199254740991]', '[0,4]')}}`, 4),
      'tensor a of shape [9007199254740991, 9007199254740991] and dtype F32 needs 3.2451855365842665e+32 bytes, its range has 4',
    ],
    [
      'with a negative extent',
      file(`{"a":${entry('[-1]', '[0,4]')}}`, 4),
      'the shape of tensor a is not a list of whole numbers',
    ],
    [
      'with an extent past 2^53',
      file(`{"a":${entry('[9007199254740992]', '[0,4]')}}`, 4),
      'the shape of tensor a is not a list of whole numbers',
    ],
    [
      'with a backward range',
      file(`{"a":${entry('[1]', '[4,0]')}}`, 4),
      'tensor a of shape [1] and dtype F32 needs 4 bytes, its range has -4',
    ],
    [
      'with one offset',
      file(`{"a":${entry('[1]', '[0]')}}`, 4),
      'the data_offsets of tensor a are not two whole numbers',
    ],
    [
      'with an unknown dtype',
      file(`{"a":${entry('[1]', '[0,4]', 'toString')}}`, 4),
      'tensor a has the dtype toString, which is not read here',
    ],
    [
      'with a field that the format lacks',
      file('{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4],"quantised":true}}', 4),
      'tensor a has a field quantised, which is not of the format',
    ],
    ['whose tensor is no object', file('{"a":[]}', 0), 'tensor a is not described by an object'],
    [
      'whose metadata holds a number',
      file('{"__metadata__":{"a":1}}', 0),
      'its __metadata__ is not a map from strings to strings',
    ],
  ])('%s', (_, bytes, reason) => {
    expect(refusal(bytes)).toBe(reason);
  });

  test('as weights where a tensor is not F32, and says which', () => {
    const halves = opened(file(`{"h":${entry('[2]', '[0,4]', 'F16')}}`, 4));
    const reason = 'tensor h has dtype F16; only F32 is read so far';
    expect(weightsOf(halves, '1.0.0')).toEqual({ ok: false, refusal: reason });
    expect(float32Tensor(halves, 'h')).toEqual({ ok: false, refusal: reason });
    expect(float32Tensor(halves, 'x')).toEqual({ ok: false, refusal: 'it has no tensor x' });
  });

  test('as the values of a manifest that it does not fit', () => {
    const without = { ...manifest, tensors: manifest.tensors.slice(1) };
    const misshaped = {
      ...manifest,
      tensors: [{ ...manifest.tensors[0]!, shape: [3, 2] }, ...without.tensors],
    };
    const written = opened(encodeSafetensors(manifest, values));
    expect(valuesFor(without, written)).toEqual({
      ok: false,
      refusal: 'tensor dense.0.weight is not part of the model',
    });
    expect(valuesFor(misshaped, written)).toEqual({
      ok: false,
      refusal: 'tensor dense.0.weight has shape [2, 3], not [3, 2]',
    });
    expect(valuesFor(manifest, opened(encodeSafetensors(without, values.subarray(6))))).toEqual({
      ok: false,
      refusal: 'tensor dense.0.weight is missing',
    });
  });
});

test('no flipped byte of a header makes a reader of weights throw', () => {
  const bytes = encodeSafetensors(manifest, values, { schemaVersion: '1.0.0' });
  fc.assert(
    fc.property(fc.nat(bytes.length - 1), fc.integer({ min: 1, max: 255 }), (at, flip) => {
      const damaged = bytes.slice();
      damaged[at]! ^= flip;
      const read = readSafetensors(damaged);
      if (read.ok) valuesFor(manifest, read.value);
    }),
  );
});
