import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { problemOf } from '../../../src/errors/problem.ts';
import { asFloat32 } from '../../../src/weights/as-float32.ts';
import type { SinkFolder } from '../../../src/weights/byte-sink.ts';
import { sourceInMemory } from '../../../src/weights/byte-source.ts';
import { openStoredTensors } from '../../../src/weights/formats/open-stored-tensors.ts';
import { writeNpz } from '../../../src/weights/formats/write-npz.ts';
import { writeOnnx } from '../../../src/weights/formats/write-onnx.ts';
import { writeSafetensors } from '../../../src/weights/formats/write-safetensors.ts';
import { readTfjsTemplate, writeTfjs } from '../../../src/weights/formats/write-tfjs.ts';
import { WEIGHTS_LIMITS } from '../../../src/weights/limits.ts';
import { elementCount } from '../../../src/weights/manifest.ts';
import type { StoredTensor } from '../../../src/weights/stored-tensors.ts';
import { dtypeBytes, TENSOR_DTYPES, type TensorDtype } from '../../../src/weights/tensor-dtype.ts';
import { described, fixtureBytes, fixtureFolder, openFixture } from '../fixtures/fixtures.ts';

/** A folder in memory that is written, and read afterwards. */
function memoryFolder() {
  const files = new Map<string, Uint8Array[]>();
  const begin = (name: string) => {
    const pieces: Uint8Array[] = [];
    files.set(name, pieces);
    return { write: (bytes: Uint8Array) => void pieces.push(Uint8Array.from(bytes)) };
  };
  const sinks: SinkFolder = { main: begin('main'), beside: begin };
  const bytesOf = (name: string) => new Uint8Array(Buffer.concat(files.get(name) ?? []));
  const open = () => {
    const beside = (name: string) => (files.has(name) ? sourceInMemory(name, bytesOf(name)) : undefined);
    const opened = openStoredTensors({ main: sourceInMemory('main', bytesOf('main')), beside });
    if (!opened.ok) throw new Error(JSON.stringify(opened.refusal));
    return opened.value;
  };
  return { sinks, open, files, bytesOf };
}

function tensorOf(name: string, dtype: TensorDtype, shape: readonly number[], seed: number): StoredTensor {
  const bytes = new Uint8Array(elementCount(shape) * dtypeBytes(dtype));
  // Any bytes are elements, but for booleans.
  for (let at = 0; at < bytes.length; at += 32) {
    bytes.set(
      createHash('sha256')
        .update(`${seed} ${at}`)
        .digest()
        .subarray(0, bytes.length - at),
      at,
    );
  }
  if (dtype === 'bool') bytes.set(bytes.map((byte) => byte & 1));
  const width = dtypeBytes(dtype);
  return {
    file: 'memory',
    name,
    dtype,
    shape,
    read: (start, into) => into.set(bytes.subarray(start * width, start * width + into.length)),
  };
}

function anyTensors(dtypes: readonly TensorDtype[]) {
  const one = fc.record({
    name: fc.stringMatching(/^[a-zA-Zäß0-9_./-]{1,12}$/).filter((name) => name !== '__proto__'),
    dtype: fc.constantFrom(...dtypes),
    shape: fc.array(fc.integer({ min: 0, max: 6 }), { maxLength: 4 }),
    seed: fc.nat(1000),
  });
  return fc
    .uniqueArray(one, { selector: ({ name }) => name, minLength: 1, maxLength: 6 })
    .map((all) => all.map(({ name, dtype, shape, seed }) => tensorOf(name, dtype, shape, seed)));
}

const nameOf = ({ name }: StoredTensor) => name;
const byName = (left: { readonly name: string }, right: { readonly name: string }) =>
  left.name < right.name ? -1 : 1;
const hasElements = ({ shape }: StoredTensor) => elementCount(shape) > 0;

const every = Object.keys(TENSOR_DTYPES) as TensorDtype[];
const without = (...left: TensorDtype[]) => every.filter((dtype) => !left.includes(dtype));

describe('what is written is read back bit for bit', () => {
  test.each<[string, TensorDtype[], (sinks: SinkFolder, tensors: readonly StoredTensor[]) => void]>([
    [
      'safetensors',
      without('complex128'),
      ({ main }, tensors) => writeSafetensors(main, tensors, { b: '1', a: 'ü' }),
    ],
    [
      'npz',
      without('bfloat16', 'float8_e4m3fn', 'float8_e5m2'),
      ({ main }, tensors) => writeNpz(main, tensors),
    ],
    [
      'tfjs',
      ['float32', 'int32', 'bool', 'uint8', 'uint16', 'complex64'],
      (sinks, tensors) => writeTfjs(sinks, tensors, 'x', undefined),
    ],
  ])('%s, any tensors of the dtypes that it has', (_, dtypes, write) => {
    fc.assert(
      fc.property(anyTensors(dtypes), (tensors) => {
        const folder = memoryFolder();
        write(folder.sinks, tensors);
        const read = folder.open().tensors;
        expect(read.map(described).sort(byName)).toEqual(tensors.map(described).sort(byName));
        // Safetensors orders by place in the data: tensors without elements have no order there.
        expect(read.filter(hasElements).map(nameOf)).toEqual(tensors.filter(hasElements).map(nameOf));
      }),
      { numRuns: 60 },
    );
  });

  test.each<[string, TensorDtype]>([
    ['safetensors', 'complex128'],
    ['npz', 'bfloat16'],
    ['tfjs', 'int64'],
  ])('%s refuses %s, which it has no name for', (format, dtype) => {
    const folder = memoryFolder();
    const tensors = [tensorOf('weight', dtype, [2], 1)];
    const write = () => {
      if (format === 'safetensors') writeSafetensors(folder.sinks.main, tensors, {});
      else if (format === 'npz') writeNpz(folder.sinks.main, tensors);
      else writeTfjs(folder.sinks, tensors, 'x', undefined);
    };
    expect(write).toThrow(`Tensor weight of memory has the dtype ${dtype}`);
  });

  test('shards of tfjs weights are cut at 4 MiB, in the middle of a tensor where need be', () => {
    const folder = memoryFolder();
    const large = tensorOf('large', 'float32', [1_100_000], 3);
    writeTfjs(folder.sinks, [tensorOf('first', 'uint8', [5], 2), large], 'x', undefined);
    expect([...folder.files.keys()]).toEqual(['main', 'group1-shard1of2.bin', 'group1-shard2of2.bin']);
    expect(folder.bytesOf('group1-shard1of2.bin')).toHaveLength(2 ** 22);
    expect(folder.open().tensors.map(described)[1]).toEqual(described(large));
  });

  test('a model.json as template keeps all but its weights', () => {
    const folder = memoryFolder();
    const { main } = fixtureFolder('tfjs/uint8/model.json');
    const template = { ...readTfjsTemplate(main, WEIGHTS_LIMITS), modelTopology: { layers: [1] } };
    const { tensors } = openFixture('tfjs/uint8/model.json');
    writeTfjs(folder.sinks, tensors, 'x', template);
    expect(JSON.parse(Buffer.from(folder.bytesOf('main')).toString())).toMatchObject({
      convertedBy: 'TensorFlow.js Converter v4.22.0',
      modelTopology: { layers: [1] },
    });
    expect(folder.open().tensors.map(described)).toEqual(tensors.map(described));
  });
});

describe('an ONNX model with other weights', () => {
  const replaced = (tensors: readonly StoredTensor[], file = 'onnx/initialisers.onnx') => {
    const folder = memoryFolder();
    writeOnnx(folder.sinks.main, tensors, fixtureFolder(file), WEIGHTS_LIMITS);
    return folder;
  };

  test('has those that were given and keeps the others', () => {
    const kernel = tensorOf('conv.weight', 'float32', [3, 2, 3, 2], 5);
    const typed = tensorOf('typed.i64', 'int64', [2, 3], 6);
    const before = openFixture('onnx/initialisers.onnx').tensors.map(described);
    expect(replaced([kernel, typed]).open().tensors.map(described)).toEqual(
      before.map(
        (tensor) => [kernel, typed].map(described).find(({ name }) => name === tensor.name) ?? tensor,
      ),
    );
  });

  test('is the same model around them: names of inputs, nodes and operators stay byte for byte', () => {
    const before = Buffer.from(fixtureBytes('onnx/initialisers.onnx'));
    const after = Buffer.from(replaced([]).bytesOf('main'));
    const node = before.subarray(before.indexOf('conv.weight') - 3, before.indexOf('Conv') + 6);
    expect(node.length).toBeGreaterThan(20);
    expect(after.includes(node)).toBe(true);
  });

  test('needs no file beside it any more', () => {
    const folder = replaced([], 'onnx/external.onnx');
    expect(folder.open().tensors.map(described)).toEqual(
      openFixture('onnx/external.onnx').tensors.map(described),
    );
  });

  test.each([
    ['a name that the model has not', tensorOf('conv.kernel', 'float32', [3], 1), '-'],
    [
      'another shape of as many elements',
      tensorOf('conv.weight', 'float32', [2, 3, 3, 2], 1),
      'float32 [3, 2, 3, 2]',
    ],
    ['another dtype', tensorOf('conv.bias', 'float16', [3], 1), 'float32 [3]'],
  ])('refuses %s', (_, tensor, ours) => {
    let thrown: unknown;
    try {
      replaced([tensor]);
    } catch (error) {
      thrown = error;
    }
    expect(problemOf(thrown, 'x')).toMatchObject({ code: 'WEIGHTS_REPLACEMENT_UNFIT', details: { ours } });
  });
});

test('float16 and bfloat16 become float32 without rounding, and every other dtype stays', () => {
  const [half, brain, single, whole] = (['float16', 'bfloat16', 'float32', 'int64'] as const).map((dtype) =>
    tensorOf(dtype, dtype, [40], 9),
  );
  // What comes back when the low bits are cut off again: exactly what there was. NaNs may change their payload.
  const again = new Uint8Array(80);
  const widened = new Uint8Array(160);
  asFloat32(brain!).read(0, widened);
  for (let at = 0; at < 40; at++) again.set(widened.subarray(4 * at + 2, 4 * at + 4), 2 * at);
  const before = new Uint8Array(80);
  brain!.read(0, before);
  expect([...again]).toEqual([...before]);
  expect(asFloat32(half!).dtype).toBe('float32');
  expect(asFloat32(single!)).toBe(single);
  expect(asFloat32(whole!)).toBe(whole);
});
