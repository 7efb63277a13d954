import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { readWeightsFile } from '../../src/cli/read-weights.ts';
import { tensorDigest } from '../../src/cli/tensor-digest.ts';
import { openWeightsFile } from '../../src/engines/open-weights-file.ts';
import { ConsiliumError } from '../../src/errors/problem.ts';
import { manifestOf } from '../../src/rounds/job.ts';
import { elementCount } from '../../src/weights/manifest.ts';
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
