import { fail } from '../errors/problem.ts';
import { invariant } from '../vocabulary/invariant.ts';
import { float8e4m3At, float16At, float16Value, float16Widened } from './float16.ts';
import { bytesOf } from './float32-bytes.ts';
import { elementCount } from './manifest.ts';
import type { StoredTensor } from './stored-tensors.ts';
import { dtypeBytes, type TensorDtype } from './tensor-dtype.ts';

/** Elements that are converted at a time. */
const PIECE_ELEMENTS = 2 ** 16;

type ElementReader = (view: DataView, at: number) => number;

/** How one element is read as a number; int64 beyond 2^53 and float64 are rounded. */
const ELEMENTS: Partial<Record<TensorDtype, ElementReader>> = {
  bool: (view, at) => (view.getUint8(at) === 0 ? 0 : 1),
  uint8: (view, at) => view.getUint8(at),
  int8: (view, at) => view.getInt8(at),
  float8_e4m3fn: (view, at) => float8e4m3At(view, at),
  // The upper byte of a float16.
  float8_e5m2: (view, at) => float16Value(view.getUint8(at) << 8),
  uint16: (view, at) => view.getUint16(at, true),
  int16: (view, at) => view.getInt16(at, true),
  float16: (view, at) => float16At(view, at),
  bfloat16: (view, at) => bfloat16At(view, at),
  uint32: (view, at) => view.getUint32(at, true),
  int32: (view, at) => view.getInt32(at, true),
  float32: (view, at) => view.getFloat32(at, true),
  uint64: (view, at) => Number(view.getBigUint64(at, true)),
  int64: (view, at) => Number(view.getBigInt64(at, true)),
  float64: (view, at) => view.getFloat64(at, true),
};

/** Elements of a stored tensor. */
export function tensorElements(tensor: StoredTensor): number {
  return elementCount(tensor.shape);
}

/** Bytes of a stored tensor's elements, as `read` gives them. */
export function tensorBytes(tensor: StoredTensor): number {
  return tensorElements(tensor) * dtypeBytes(tensor.dtype);
}

/**
 * Fills `into` with the elements from `start` on, as float32: bit for bit where they are float32, exactly from
 * smaller floats and small integers, rounded to nearest from wider dtypes. Throws WEIGHTS_DTYPE_UNSUPPORTED for complex
 * numbers, and what the tensor's `read` throws.
 */
export function readFloat32(tensor: StoredTensor, start: number, into: Float32Array): void {
  invariant(
    start >= 0 && start + into.length <= tensorElements(tensor),
    `elements ${start} to ${start + into.length} are not all in ${tensor.name}`,
  );
  if (tensor.dtype === 'float32') {
    const bytes = bytesOf(into);
    tensor.read(start, bytes);
    // On a big-endian machine the bytes are a copy.
    if (bytes.buffer !== into.buffer) {
      const view = new DataView(bytes.buffer, bytes.byteOffset);
      for (let at = 0; at < into.length; at++) into[at] = view.getFloat32(4 * at, true);
    }
    return;
  }
  const widen = WIDENED[tensor.dtype];
  const element = ELEMENTS[tensor.dtype];
  if (!element) {
    fail('WEIGHTS_DTYPE_UNSUPPORTED', {
      tensor: tensor.name,
      file: tensor.file,
      dtype: tensor.dtype,
      format: 'float32',
    });
  }
  const width = dtypeBytes(tensor.dtype);
  const piece = new Uint8Array(width * Math.min(PIECE_ELEMENTS, into.length));
  const view = new DataView(piece.buffer);
  const bits = new Uint32Array(into.buffer, into.byteOffset, into.length);
  for (let done = 0; done < into.length; done += PIECE_ELEMENTS) {
    const count = Math.min(PIECE_ELEMENTS, into.length - done);
    tensor.read(start + done, piece.subarray(0, width * count));
    if (widen) widen(view, bits.subarray(done, done + count));
    else for (let at = 0; at < count; at++) into[done + at] = element(view, width * at);
  }
}

/** All elements as float32; owned by the caller. Errors as in `readFloat32`. */
export function float32Values(tensor: StoredTensor): Float32Array {
  const values = new Float32Array(tensorElements(tensor));
  readFloat32(tensor, 0, values);
  return values;
}

/** Visits the bytes of a tensor from front to back, a piece of at most `bytesMax` at a time; the piece is borrowed. */
export function eachPiece(
  tensor: StoredTensor,
  bytesMax: number,
  visit: (piece: Uint8Array, start: number) => void,
): void {
  const width = dtypeBytes(tensor.dtype);
  const elements = tensorElements(tensor);
  const most = Math.max(1, Math.min(elements, Math.floor(bytesMax / width)));
  const piece = new Uint8Array(width * most);
  for (let start = 0; start < elements; start += most) {
    const part = piece.subarray(0, width * Math.min(most, elements - start));
    tensor.read(start, part);
    visit(part, start);
  }
}

/** Half precisions as the bits of float32, many at a time; the others go one by one. */
const WIDENED: Partial<Record<TensorDtype, (halves: DataView, bits: Uint32Array) => void>> = {
  bfloat16: (halves, bits) => {
    for (let at = 0; at < bits.length; at++) bits[at] = halves.getUint16(2 * at, true) << 16;
  },
  float16: (halves, bits) => {
    for (let at = 0; at < bits.length; at++) {
      const half = halves.getUint16(2 * at, true);
      const magnitude = half & 0x7fff;
      // A normal number keeps its fraction, and its exponent counts from 127 in place of 15.
      const normal = magnitude >= 0x0400 && magnitude < 0x7c00;
      bits[at] = normal ? ((half & 0x8000) << 16) | ((magnitude << 13) + 0x38000000) : float16Widened(half);
    }
  },
};

function bfloat16At(view: DataView, at: number): number {
  WORD.setUint32(0, view.getUint16(at, true) << 16);
  return WORD.getFloat32(0);
}

const WORD = new DataView(new ArrayBuffer(4));
