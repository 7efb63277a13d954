import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import type { CommandContext } from '../../src/cli/context.ts';
import { readJob } from '../../src/cli/read-job.ts';
import { manifestText, type WeightsManifest } from '../../src/weights/schema/weights-manifest.ts';
import { EXTERNAL_TENSORS, externalJobFile, externalManifest } from '../rounds/external-model.ts';

const folder = mkdtempSync(join(tmpdir(), 'consilium-job-'));
afterAll(() => rmSync(folder, { recursive: true }));
const context = { language: 'en' } as CommandContext;
const JOB = join(folder, 'job.yaml');
const MANIFEST = join(folder, 'tiny.weights.json');
writeFileSync(JOB, JSON.stringify(externalJobFile()));

function read(manifest: WeightsManifest) {
  writeFileSync(MANIFEST, manifestText(manifest));
  return readJob(context, JOB);
}
const layers = (count: number) =>
  Array.from({ length: count }, (_, place) => ({
    ...{ name: `layer.${place}${'x'.repeat(900)}`, op: 'Linear' as const, attributes: {} },
  }));

test('a job is read with the weights manifest beside it', async () => {
  const { spec, weightsManifest } = await read(externalManifest());
  expect(spec.model).toEqual({ kind: 'external', tensors: EXTERNAL_TENSORS });
  expect(weightsManifest?.probe?.golden).toHaveLength(5);
  expect(weightsManifest?.probe?.golden[0]?.layers[0]).not.toHaveProperty('input');
});

test.each<[string, WeightsManifest, string, string]>([
  [
    'its signature does not verify',
    externalManifest({ signature: { algorithm: 'sm2', keyId: 'k', publicKey: '', value: '' } }),
    MANIFEST,
    'its signature does not verify',
  ],
  [
    'it contradicts itself',
    externalManifest({
      mapping: [
        {
          tensor: 'a',
          shape: [1],
          pieces: [{ tensor: 'none', axes: [1], order: [0], shape: [1] }],
          join: 'sum',
        },
      ],
    }),
    MANIFEST,
    'a is made of none, which is no tensor of the manifest',
  ],
  [
    'it is of other numbers',
    externalManifest({
      tensors: externalManifest().tensors.map((tensor) => ({ ...tensor, dtype: 'float16' })),
    }),
    JOB,
    'weightSchema.manifest: tensor first.weight is float16',
  ],
  [
    'more of it would travel than may',
    externalManifest({ layers: layers(850) }),
    MANIFEST,
    'and 786432 are the most',
  ],
])('that is refused where %s', async (_, manifest, where, reason) => {
  await expect(read(manifest)).rejects.toMatchObject({
    problem: { code: 'CONFIG_INVALID', details: { where, reason: expect.stringContaining(reason) } },
  });
});

test('that is refused where it is not there', async () => {
  rmSync(MANIFEST);
  await expect(readJob(context, JOB)).rejects.toMatchObject({
    problem: { code: 'CONFIG_INVALID', details: { where: MANIFEST, reason: 'there is no such file' } },
  });
});
