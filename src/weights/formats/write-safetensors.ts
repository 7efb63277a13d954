import { fail } from '../../errors/problem.ts';
import { invariant } from '../../vocabulary/invariant.ts';
import type { ByteSink } from '../byte-sink.ts';
import type { StoredTensor } from '../stored-tensors.ts';
import { eachPiece, tensorBytes } from '../tensor-values.ts';
import { SAFETENSORS_DTYPES } from './open-safetensors.ts';

/** Bytes that are in memory at a time while values are copied. */
export const COPY_BYTES = 2 ** 22;

/**
 * Writes tensors as safetensors, in their order, bit for bit; a tensor that is another one is written again, since the
 * format knows no ties. Metadata keys are sorted: the same input gives the same bytes. Throws
 * WEIGHTS_DTYPE_UNSUPPORTED for complex128. Source: the safetensors README, "Format".
 */
export function writeSafetensors(
  sink: ByteSink,
  tensors: readonly StoredTensor[],
  metadata: Readonly<Record<string, string>>,
): void {
  const names = new Map(Object.entries(SAFETENSORS_DTYPES).map(([theirs, ours]) => [ours, theirs]));
  const sorted = Object.entries(metadata).sort(([left], [right]) => (left < right ? -1 : 1));
  const members = sorted.length === 0 ? [] : [member('__metadata__', Object.fromEntries(sorted))];
  let end = 0;
  for (const tensor of tensors) {
    const dtype = names.get(tensor.dtype as never);
    if (dtype === undefined) refuseDtype(tensor, 'safetensors');
    invariant(tensor.name !== '__metadata__', 'a tensor is named __metadata__');
    const begin = end;
    end += tensorBytes(tensor);
    members.push(member(tensor.name, { dtype, shape: tensor.shape, data_offsets: [begin, end] }));
  }
  const json = new TextEncoder().encode(`{${members.join(',')}}`);
  const head = new Uint8Array(8 + Math.ceil(json.length / 8) * 8).fill(0x20);
  new DataView(head.buffer).setBigUint64(0, BigInt(head.length - 8), true);
  head.set(json, 8);
  sink.write(head);
  for (const tensor of tensors) eachPiece(tensor, COPY_BYTES, (piece) => sink.write(piece));
}

/** Throws WEIGHTS_DTYPE_UNSUPPORTED for a tensor that `format` cannot hold. */
export function refuseDtype(tensor: StoredTensor, format: string): never {
  fail('WEIGHTS_DTYPE_UNSUPPORTED', { tensor: tensor.name, file: tensor.file, dtype: tensor.dtype, format });
}

function member(name: string, value: unknown): string {
  return `${JSON.stringify(name)}:${JSON.stringify(value)}`;
}
