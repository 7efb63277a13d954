import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { blocksOf, loadHdf5 } from '../../src/engines/hdf5.ts';
import { startHdf5Thread } from '../../src/engines/hdf5-thread.ts';
import { openWeightsFile } from '../../src/engines/open-weights-file.ts';
import { openStoredTensors } from '../../src/weights/formats/open-stored-tensors.ts';
import { WEIGHTS_LIMITS } from '../../src/weights/limits.ts';
import { elementCount } from '../../src/weights/manifest.ts';
import type { StoredTensor } from '../../src/weights/stored-tensors.ts';
import { described, EXPECTED, FIXTURES, fixtureFolder, refusalOf } from '../weights/fixtures/fixtures.ts';
import { hostileHdf5, outcomeOf, TIGHT } from '../weights/fixtures/hostile.ts';

const hdf5 = await loadHdf5();
// h5wasm is an optional dependency; in CI it must be there.
const skip = !hdf5.loaded && process.env.CI !== 'true';
if (skip) console.warn('h5wasm is not installed: the tests of HDF5 files are skipped');

/** A tensor under the name that Keras has for it, as expected.json names them. */
const labelled = (tensor: StoredTensor) => ({ ...described(tensor), name: tensor.label ?? tensor.name });
const byName = (left: { readonly name: string }, right: { readonly name: string }) =>
  left.name < right.name ? -1 : 1;

describe.skipIf(skip)('files that Keras wrote', () => {
  test.each(['keras/net.keras', 'keras/net.weights.h5', 'keras/net.h5', 'keras/words.weights.h5'])(
    '%s has the weights that Keras has, under its names, bit for bit',
    async (file) => {
      const opened = await openWeightsFile(join(FIXTURES, file));
      try {
        expect(opened.tensors.map(labelled).sort(byName)).toEqual(EXPECTED.files[file]);
      } finally {
        opened.close();
      }
    },
  );

  test('a file says its framework, and what of it is no weight', async () => {
    const opened = await openWeightsFile(join(FIXTURES, 'keras/net.keras'));
    expect(opened).toMatchObject({
      format: 'keras',
      framework: `keras ${EXPECTED.versions['keras.src'] ?? EXPECTED.versions.keras}`,
      omitted: [{ name: 'optimizer', reason: 'optimizer state' }],
    });
    opened.close();
  });
});

describe.skipIf(skip)('files that h5py wrote', () => {
  test('packed, shuffled, big-endian and half-precision datasets are read bit for bit, links and texts left out', async () => {
    const opened = await openWeightsFile(join(FIXTURES, 'keras/plain.h5'));
    expect(opened.tensors.map(described).sort(byName)).toEqual(EXPECTED.files['keras/plain.h5']);
    expect(opened.omitted.map(({ name }) => name)).toEqual(['outside', 'text']);
    opened.close();
  });

  test('any part of a packed dataset is that part of the whole', async () => {
    const opened = await openWeightsFile(join(FIXTURES, 'keras/plain.h5'));
    const packed = opened.tensors.find(({ name }) => name === 'group/packed')!;
    const elements = elementCount(packed.shape);
    const whole = new Uint8Array(4 * elements);
    packed.read(0, whole);
    fc.assert(
      fc.property(fc.nat(elements), fc.nat(elements), (a, b) => {
        const [start, end] = [Math.min(a, b), Math.max(a, b)];
        const into = new Uint8Array(4 * (end - start));
        packed.read(start, into);
        expect(Buffer.compare(into, whole.subarray(4 * start, 4 * end))).toBe(0);
      }),
      { numRuns: 40 },
    );
    opened.close();
  });

  test('a dataset with one wrong bit is refused when it is read', async () => {
    const bytes = readFileSync(join(FIXTURES, 'keras/plain.h5'));
    // Inside of the first packed chunk (h5py: get_chunk_info(0).byte_offset is 5568), which has a Fletcher-32 checksum.
    bytes[5568 + 100]! ^= 4;
    const opened = openStoredTensors(
      fixtureFolder('keras/plain.h5', () => new Uint8Array(bytes)),
      WEIGHTS_LIMITS,
      hdf5.loaded ? hdf5.open : undefined,
    );
    const packed = opened.ok ? opened.value.tensors.find(({ name }) => name === 'group/packed')! : undefined;
    expect(() => packed!.read(0, new Uint8Array(4 * elementCount(packed!.shape)))).toThrow(
      /is not valid HDF5: at \/group\/packed, the HDF5 library says/,
    );
  });

  test('a chunk larger than the window is refused', () => {
    const opened = openStoredTensors(
      fixtureFolder('keras/plain.h5'),
      { ...WEIGHTS_LIMITS, windowBytes: 500 },
      hdf5.loaded ? hdf5.open : undefined,
    );
    expect(opened).toMatchObject({
      refusal: { code: 'WEIGHTS_TOO_LARGE', details: { where: 'a chunk of /group/packed' } },
    });
  });
});

test.skipIf(skip)('hostile HDF5 files are read or refused by name, in bounded memory', async () => {
  const started = await startHdf5Thread();
  if (!started.loaded) throw new Error(started.reason);
  const { thread } = started;
  fc.assert(
    fc.property(hostileHdf5, (hostile) => {
      const outcome = outcomeOf(hostile, thread.open);
      thread.closeFiles();
      expect(outcome).toMatch(/^(?:read|WEIGHTS_[A-Z_]+)$/);
    }),
    { numRuns: 150 },
  );
  expect(thread.heapBytes()).toBeLessThanOrEqual(2 ** 28);
  // They leave the library fit for a good file.
  const good = openStoredTensors(fixtureFolder('keras/net.h5'), TIGHT, thread.open);
  expect(good).toMatchObject({ ok: true });
  thread.end();
});

test.skipIf(skip)(
  'a library that files have confused so far that it cannot close them is ended',
  async () => {
    const started = await startHdf5Thread();
    if (!started.loaded) throw new Error(started.reason);
    const { thread } = started;
    // The soak found this seed: the last of these files cannot be closed.
    for (const hostile of fc.sample(hostileHdf5, { numRuns: 38, seed: 1286765513 })) {
      expect(thread.ended()).toBe(false);
      outcomeOf(hostile, thread.open);
      thread.closeFiles();
    }
    expect(thread.ended()).toBe(true);
  },
);

// The soak of hostile HDF5 files found them.
test.skipIf(skip).each([
  ['two bytes', { 2144: 0x14, 8884: 0x82 }],
  ['one byte', { 2096: 207 }],
])(
  'a file that sends the library round in circles by %s is refused, and only its thread ends',
  async (_, wrong) => {
    const looping = fixtureFolder('keras/net.weights.h5', (bytes) =>
      Object.assign(Uint8Array.from(bytes), wrong),
    );
    const started = await startHdf5Thread(1000);
    if (!started.loaded) throw new Error(started.reason);
    const refusal = {
      code: 'WEIGHTS_MALFORMED',
      details: { reason: 'the HDF5 library goes round in circles there' },
    };
    expect(openStoredTensors(looping, TIGHT, started.thread.open)).toMatchObject({ ok: false, refusal });
    expect(openStoredTensors(looping, TIGHT, started.thread.open)).toMatchObject({
      refusal: { details: { reason: 'the HDF5 library was ended' } },
    });
    expect(started.thread.ended()).toBe(true);
    const opened = await openWeightsFile(join(FIXTURES, 'keras/net.weights.h5'));
    expect(opened.tensors.length).toBeGreaterThan(0);
    opened.close();
  },
);

test('without h5wasm an HDF5 file is refused as one whose engine is missing', async () => {
  expect(refusalOf('keras/net.h5')).toMatchObject({ code: 'ENGINE_MISSING', details: { engine: 'h5wasm' } });
  expect(refusalOf('keras/net.keras')).toMatchObject({ code: 'ENGINE_MISSING' });
  expect(await loadHdf5('h5wasm-that-is-not-there')).toEqual({
    loaded: false,
    reason: 'it is an optional package and is not installed (npm install h5wasm)',
  });
});

test('boxes cover any run of a row-major array, in order, none larger than asked', () => {
  const runs = fc
    .array(fc.integer({ min: 1, max: 5 }), { maxLength: 4 })
    .chain((shape) =>
      fc.tuple(
        fc.constant(shape),
        fc.nat(elementCount(shape)),
        fc.nat(elementCount(shape)),
        fc.integer({ min: 1, max: 30 }),
      ),
    );
  fc.assert(
    fc.property(runs, ([shape, a, b, most]) => {
      const [start, end] = [Math.min(a, b), Math.max(a, b)];
      const seen: number[] = [];
      for (const { at, offset, count } of blocksOf(shape, start, end - start, most)) {
        expect(at).toBe(seen.length);
        expect(elementCount(count)).toBeLessThanOrEqual(most);
        // The slow twin: every index of the box, row-major.
        for (let element = 0; element < elementCount(count); element++) {
          let rest = element;
          let place = 0;
          let stride = 1;
          for (let axis = shape.length - 1; axis >= 0; axis--) {
            place += (offset[axis]! + (rest % count[axis]!)) * stride;
            rest = Math.floor(rest / count[axis]!);
            stride *= shape[axis]!;
          }
          seen.push(place);
        }
      }
      expect(seen).toEqual(Array.from({ length: end - start }, (_, place) => start + place));
    }),
  );
});
