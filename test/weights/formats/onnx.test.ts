import { describe, expect, test } from 'vitest';
import { sourceInMemory } from '../../../src/weights/byte-source.ts';
import { openStoredTensors } from '../../../src/weights/formats/open-stored-tensors.ts';
import { protobufFields } from '../../../src/weights/formats/protobuf-fields.ts';
import { described, EXPECTED, fixtureFolder, openFixture, refusalOf } from '../fixtures/fixtures.ts';

describe('models that onnx wrote', () => {
  test.each(['onnx/initialisers.onnx', 'onnx/external.onnx'])(
    '%s has the initialisers that onnx reads from it, bit for bit',
    (file) => {
      expect(openFixture(file).tensors.map(described)).toEqual(EXPECTED.files[file]);
    },
  );

  test('a model says what made it and which operators it was made for', () => {
    expect(openFixture('onnx/initialisers.onnx')).toMatchObject({
      format: 'onnx',
      framework: 'consilium-fixtures',
      metadata: { ir_version: '9', opset: 'ai.onnx 17' },
    });
  });

  test('elements kept as varints are read from any place, forwards and back', () => {
    const tensor = openFixture('onnx/initialisers.onnx').tensors.find(({ name }) => name === 'typed.i64')!;
    const read = [4, 0, 5, 2].map((start) => {
      const into = new Uint8Array(8);
      tensor.read(start, into);
      return new DataView(into.buffer).getBigInt64(0, true);
    });
    expect(read).toEqual([-4n, 0n, 5n, 2n]);
  });

  test('external data outside of the folder is refused, not opened', () => {
    expect(refusalOf('onnx/escape.onnx')).toEqual({
      code: 'WEIGHTS_PATH_REFUSED',
      details: { file: 'onnx/escape.onnx', part: '../numpy/fortran.npy' },
    });
  });

  test('external data that is not there is asked for by name', () => {
    const { main } = fixtureFolder('onnx/external.onnx');
    expect(openStoredTensors({ main, beside: () => undefined })).toMatchObject({
      refusal: { code: 'WEIGHTS_PART_MISSING', details: { part: 'external.onnx.data' } },
    });
  });

  test('external data that is shorter than the model says is refused', () => {
    const { main } = fixtureFolder('onnx/external.onnx');
    const short = sourceInMemory('external.onnx.data', new Uint8Array(100));
    expect(openStoredTensors({ main, beside: () => short })).toMatchObject({
      refusal: { code: 'WEIGHTS_MALFORMED', details: { where: 'initialiser conv.weight' } },
    });
  });
});

describe('a model that repeats itself', () => {
  const opened = (...bytes: number[]) =>
    openStoredTensors({ main: sourceInMemory('m.onnx', Uint8Array.from(bytes)), beside: () => undefined });
  const times = (count: number, bytes: (at: number) => number[]) =>
    Array.from({ length: count }, (_, at) => bytes(at)).flat();

  test('imports as many operator sets as there can be domains, and no more', () => {
    const model = (sets: number) => [0x08, 9, 0x3a, 0, ...times(sets, () => [0x42, 2, 0x10, 17])];
    expect(opened(...model(1_000)).ok).toBe(true);
    expect(opened(...model(1_001))).toMatchObject({
      refusal: { code: 'WEIGHTS_TOO_LARGE', details: { asked: '1001 operator sets' } },
    });
  });

  test('says no more of external data than there can be to say', () => {
    const tensor = times(101, (at) => [0x6a, 3, 0x0a, 1, at]);
    const graph = [0x2a, ...[(tensor.length & 0x7f) | 0x80, tensor.length >> 7], ...tensor];
    expect(opened(0x08, 9, 0x3a, (graph.length & 0x7f) | 0x80, graph.length >> 7, ...graph)).toMatchObject({
      refusal: { code: 'WEIGHTS_TOO_LARGE', details: { asked: '101 entries of external data' } },
    });
  });
});

describe('a protobuf message', () => {
  const fieldsOf = (...bytes: number[]) => [
    ...protobufFields(sourceInMemory('m', Uint8Array.from(bytes)), 0, bytes.length, 'ONNX'),
  ];

  test('is read field by field, whatever the wire type', () => {
    // protobuf.dev, "Encoding": field 1 = 150; then a string, a fixed64 and a fixed32 laid out by its rules.
    expect(
      fieldsOf(0x08, 0x96, 0x01, 0x12, 2, 0x68, 0x69, 0x19, 1, 0, 0, 0, 0, 0, 0, 0, 0x25, 2, 0, 0, 0).map(
        ({ number, value, length }) => [number, value, length],
      ),
    ).toEqual([
      [1, 150n, 2],
      [2, 0n, 2],
      [3, 1n, 8],
      [4, 2n, 4],
    ]);
  });

  test.each([
    ['a field past its end', [0x12, 5, 1], 'goes on past the end'],
    ['half a number', [0x08, 0x80], 'ends within a field'],
    ['a number without an end', [0x08, ...Array.from({ length: 11 }, () => 0xff)], 'more than 10 bytes'],
    ['a group', [0x0b], 'wire type 3'],
    ['field 0', [0x00, 1], 'there is no field 0'],
  ])('with %s is refused', (_, bytes, reason) => {
    expect(() => fieldsOf(...bytes)).toThrow(reason);
  });
});
