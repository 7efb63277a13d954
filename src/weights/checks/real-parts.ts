import type { CheckSide } from '../layouts/mapping.ts';
import type { StoredTensors } from '../stored-tensors.ts';
import type { TensorDtype } from '../tensor-dtype.ts';
import { finding } from './inventory.ts';
import type { Finding } from './report.ts';

/** What the two parts of a complex number are. */
const PARTS: Partial<Record<TensorDtype, TensorDtype>> = { complex64: 'float32', complex128: 'float64' };

/**
 * A side whose complex tensors are seen as pairs of real and imaginary parts, along an axis of 2 behind all others, as
 * torch.view_as_real sees them: the same bytes, which can be compared as numbers.
 */
export function realParts(side: CheckSide): CheckSide {
  const tensors = side.stored.tensors.map((tensor) => {
    const dtype = PARTS[tensor.dtype];
    if (dtype === undefined) return tensor;
    return {
      ...tensor,
      dtype,
      shape: [...tensor.shape, 2],
      read(start: number, into: Uint8Array) {
        const width = dtype === 'float32' ? 4 : 8;
        // The parts asked for may begin or end within a number.
        const [first, end] = [Math.floor(start / 2), Math.ceil((start + into.length / width) / 2)];
        const bytes = new Uint8Array((end - first) * 2 * width);
        tensor.read(first, bytes);
        const skipped = (start % 2) * width;
        into.set(bytes.subarray(skipped, skipped + into.length));
      },
    };
  });
  return { ...side, stored: { ...side.stored, tensors } };
}

/** Tensors that are complex on one side alone: as pairs they may look alike. */
export function complexOnOneSide(reference: StoredTensors, candidate: StoredTensors): readonly Finding[] {
  const dtypes = new Map(reference.tensors.map(({ name, dtype }) => [name, dtype]));
  return candidate.tensors.flatMap(({ name, dtype }) => {
    const before = dtypes.get(name);
    if (before === undefined || (PARTS[before] === undefined) === (PARTS[dtype] === undefined)) return [];
    const message = `${name} is ${dtype}; the reference is ${before}`;
    return [finding('WC106', message, { tensor: name, native: name })];
  });
}
