import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, it } from 'vitest';
import { readWeightsFile } from '../../src/cli/read-weights.ts';
import { tensorDigest } from '../../src/cli/tensor-digest.ts';
import { openWeightsFile } from '../../src/engines/open-weights-file.ts';
import { ConsiliumError } from '../../src/errors/problem.ts';
import { manifestOf } from '../../src/rounds/job.ts';
import { encodeSafetensors } from '../../src/weights/formats/safetensors.ts';
import { elementCount, manifestElements } from '../../src/weights/manifest.ts';
import { describeWeights } from '../../src/weights/schema/describe-weights.ts';
import { weightsManifestSchema } from '../../src/weights/schema/weights-manifest.ts';
import { readFloat32 } from '../../src/weights/tensor-values.ts';
import { externalJob } from '../rounds/external-model.ts';

const fixture = (name: string) =>
  fileURLToPath(new URL(`../weights/fixtures/hospital/${name}`, import.meta.url));
const scan = await openWeightsFile(fixture('scan.pt'));
const subject = { id: 'scan', version: '1.0.0', framework: 'pytorch' } as const;
const manifest = weightsManifestSchema.parse(describeWeights(subject, scan, undefined, tensorDigest));
const job = externalJob({ weightSchema: { manifest: 'scan.weights.json', probe: 'off' } }, manifest);
const folder = mkdtempSync(join(tmpdir(), 'consilium-start-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const refusalOf = async (file: string, of = job) => {
  const error = await readWeightsFile(file, of).catch((cause: unknown) => cause);
  return error instanceof ConsiliumError ? error.problem : undefined;
};

describe('the weights that a job starts from', () => {
  it('are read from a state_dict, without what PyTorch counts for its batch norms', async () => {
    const names = manifestOf(job).tensors.map(({ name }) => name);
    expect(manifest.tensors).toContainEqual(expect.objectContaining({ dtype: 'int64' }));
    expect(names).toEqual(
      scan.tensors.map(({ name }) => name).filter((name) => name !== 'norm.num_batches_tracked'),
    );
    const source = await readWeightsFile(fixture('scan.pt'), job);
    const chunks: Uint8Array[] = [];
    for await (const chunk of source.chunks(0)) chunks.push(chunk);
    const due = names.map((name) => {
      const tensor = scan.tensors.find((one) => one.name === name)!;
      const values = new Float32Array(elementCount(tensor.shape));
      readFloat32(tensor, 0, values);
      return Buffer.from(values.buffer);
    });
    expect(Buffer.concat(chunks).equals(Buffer.concat(due))).toBe(true);
  });

  it('are read without a count that a program wrote as float32, and with it where the job lists it', async () => {
    const due = manifestOf(job);
    const count = { name: 'norm.num_batches_tracked', dtype: 'float32' as const, shape: [] };
    const more = { ...due, tensors: [...due.tensors, count] };
    const values = new Float32Array(manifestElements(more)).fill(2);
    const file = join(folder, 'counted.safetensors');
    writeFileSync(file, encodeSafetensors(more, values));
    const bytesFor = async (of: typeof job) => {
      let bytes = 0;
      for await (const chunk of (await readWeightsFile(file, of)).chunks(0)) bytes += chunk.byteLength;
      return bytes;
    };
    expect(await bytesFor(job)).toBe(4 * (values.length - 1));
    const tensors = more.tensors.map(({ name, shape }) => ({ name, shape: [...shape] }));
    expect(await bytesFor({ ...job, model: { kind: 'external', tensors } })).toBe(4 * values.length);
  });

  it('are refused where they are in another layout, or of another model', async () => {
    expect(await refusalOf(fixture('scan.keras'))).toMatchObject({
      code: 'WEIGHTS_UNREADABLE',
      details: { reason: expect.stringContaining('weights convert') },
    });
    expect(await refusalOf(fixture('vitals.pt'))).toMatchObject({
      code: 'WEIGHTS_UNREADABLE',
      details: { reason: expect.stringContaining('is not part of the model') },
    });
    expect(await refusalOf(fixture('nothing.pt'))).toMatchObject({ code: 'WEIGHTS_UNREADABLE' });
  });
});
