import { openWeightsFile } from '../engines/open-weights-file.ts';
import { fail } from '../errors/problem.ts';
import { type Job, manifestOf } from '../rounds/job.ts';
import type { PayloadSource } from '../transport/desk.ts';
import { payloadInMemory } from '../transport/payload-source.ts';
import { bytesOf } from '../weights/float32-bytes.ts';
import { isBatchCount } from '../weights/layouts/layer.ts';
import { type Manifest, manifestDifference, manifestElements, tensorSpans } from '../weights/manifest.ts';
import type { StoredTensors, WeightsFormat } from '../weights/stored-tensors.ts';
import { readFloat32 } from '../weights/tensor-values.ts';

const CHUNK_BYTES = 2 ** 20;

/** The formats that hold PyTorch's layout under PyTorch's names, as a job's weights have them. */
const CANONICAL_FORMATS: ReadonlySet<WeightsFormat> = new Set(['safetensors', 'npz', 'pytorch']);

/**
 * Reads a file as the initial weights of a job: the very tensors that its model has, in whatever order; what PyTorch
 * counts for its batch norms is passed over. Fails with the WEIGHTS_* problem that refuses the file, and with
 * WEIGHTS_UNREADABLE, which says what is missing, extra or misshaped, or whose layout the file has.
 */
export async function readWeightsFile(file: string, job: Job): Promise<PayloadSource> {
  const opened = await openWeightsFile(file);
  try {
    if (!CANONICAL_FORMATS.has(opened.format)) {
      const reason =
        'jobs start from PyTorch’s layout: consilium weights convert FILE start.safetensors --to pytorch';
      fail('WEIGHTS_UNREADABLE', { file, reason });
    }
    const manifest = manifestOf(job);
    return payloadInMemory(manifest, bytesOf(valuesOf(opened, manifest, file)), CHUNK_BYTES);
  } finally {
    opened.close();
  }
}

function valuesOf({ tensors }: StoredTensors, manifest: Manifest, file: string): Float32Array {
  const due = new Set(manifest.tensors.map(({ name }) => name));
  const held = tensors.filter((tensor) => due.has(tensor.name) || !isBatchCount(tensor));
  const stored = new Map(held.map((one) => [one.name, one]));
  const names = manifest.tensors.map(({ name }) => name).filter((name) => stored.has(name));
  const strays = [...stored.keys()].filter((name) => !due.has(name));
  const theirs = [...names, ...strays].map((name) => stored.get(name)!);
  const unreadable = (reason: string) => fail('WEIGHTS_UNREADABLE', { file, reason });
  const other = theirs.find(({ dtype }) => dtype !== 'float32');
  if (other) unreadable(`tensor ${other.name} is ${other.dtype}, and jobs exchange float32`);
  const listed = theirs.map(({ name, shape }) => ({ name, shape, dtype: 'float32' as const }));
  const difference = manifestDifference(manifest, { schemaVersion: manifest.schemaVersion, tensors: listed });
  if (difference !== undefined) unreadable(difference);
  const values = new Float32Array(manifestElements(manifest));
  for (const { tensor, start, length } of tensorSpans(manifest)) {
    readFloat32(stored.get(tensor.name)!, 0, values.subarray(start, start + length));
  }
  return values;
}
