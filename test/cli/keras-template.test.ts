import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { loadHdf5 } from '../../src/engines/hdf5.ts';
import { openWeightsFile } from '../../src/engines/open-weights-file.ts';
import { writeWeightsFile } from '../../src/engines/write-weights-file.ts';
import { openDiskFolder } from '../../src/storage/disk/file-bytes.ts';
import type { Hdf5File } from '../../src/weights/formats/hdf5.ts';
import { WEIGHTS_LIMITS } from '../../src/weights/limits.ts';
import { type Sample, type SampleTensor, storedSample } from '../weights/checks/sample-model.ts';
import { FIXTURES } from '../weights/fixtures/fixtures.ts';
import { weights } from './run-weights.ts';

const folder = mkdtempSync(join(tmpdir(), 'consilium-template-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const fixture = (file: string) => join(FIXTURES, 'hospital', file);

async function reading<Value>(path: string, use: (file: Hdf5File) => Value): Promise<Value> {
  const hdf5 = await loadHdf5();
  if (!hdf5.loaded) throw new Error(hdf5.reason);
  const opened = openDiskFolder(path);
  try {
    return use(hdf5.open(opened.main, WEIGHTS_LIMITS));
  } finally {
    hdf5.close();
    opened.close();
  }
}

const average = ['--prefix', 'ema_state_dict.'];
const hints = ['--flatten', 'finding=6x4x3', '--layer', 'depthwise=DepthwiseConv2d'];

test.each(['scan.h5', 'scan.keras'])(
  'the weights of the template %s are replaced, and all else of it stays',
  async (name) => {
    const path = join(folder, name);
    const [checkpoint, template] = [fixture('scan-checkpoint.pt'), fixture(name)];
    const options = ['--to', 'keras', '--template', template, ...average, ...hints];
    expect(await weights('convert', checkpoint, path, ...options)).toMatchObject({ exit: 0 });
    const flatten = ['--flatten', 'finding=6x4x3'];
    const against = ['--against-prefix', 'ema_state_dict.', ...flatten];
    expect((await weights('check', path, '--against', checkpoint, ...against)).exit).toBe(0);
    expect((await weights('check', path, '--against', fixture('scan.pt'), ...flatten)).exit).toBe(1);
  },
);

test('an HDF5 model that was filled still says what it is, so that Keras loads it', async () => {
  const told = (path: string) =>
    reading(path, (file) => ({
      model: file.text('/', 'model_config'),
      layers: file.text('/model_weights', 'layer_names'),
      weights: file.text('/model_weights/norm', 'weight_names'),
      version: file.text('/', 'keras_version'),
    }));
  const before = await told(fixture('scan.h5'));
  expect(before.model).toContain('SeparableConv2D');
  expect(await told(join(folder, 'scan.h5'))).toEqual(before);
});

test('the state of a random generator that Keras 2 kept among its variables is no tensor of the model', async () => {
  const state: SampleTensor = {
    shape: [3],
    values: new Float32Array(0),
    dtype: 'int64',
    bytes: new Uint8Array(24),
  };
  const kernel: SampleTensor = { shape: [2], values: Float32Array.of(1, 2) };
  const sample: Sample = new Map([
    ['random_flip/random_flip/StateVar', state],
    ['dense/kernel', kernel],
    ['state/StateVariance', { ...kernel, shape: [2] }],
  ]);
  const path = join(folder, 'keras2.h5');
  const { tensors } = storedSample(sample, 'keras2', 'keras');
  const about = { metadata: {}, generatedBy: 'a test', template: undefined, force: true };
  await writeWeightsFile({ path, format: 'h5', tensors, ...about });
  const opened = await openWeightsFile(path);
  expect(opened.tensors.map(({ name }) => name)).toEqual(['dense/kernel', 'state/StateVariance']);
  expect(opened.omitted).toEqual([
    { name: 'random_flip/random_flip/StateVar', reason: 'the state of a random generator' },
  ]);
  opened.close();
});
