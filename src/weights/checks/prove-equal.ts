import { PAGE_BYTES } from '../../wasm/instance.ts';
import { inverseOrder, mergedAxes, permuteAxes } from '../layouts/permute-axes.ts';
import { elementCount } from '../manifest.ts';
import type { StoredTensor } from '../stored-tensors.ts';
import { dtypeBytes, type TensorDtype } from '../tensor-dtype.ts';
import { tensorBytes } from '../tensor-values.ts';
import type { CanonicalSide } from './canonical-side.ts';
import { KERNEL_AT, SCAN_BYTES, startEqualityKernel } from './equality-kernel.ts';

/**
 * Bytes of each side that are compared at a time. Both stay in a processor's second cache, and there are so few that
 * what is done for each costs nothing.
 */
const PIECE_BYTES = 2 ** 19;

/** What a moved tensor may take in the kernel's memory, which ends at 4 GiB. */
const HELD_BYTES_MAX = 2 ** 31;

/** Lanes of a dtype, and what a magnitude has to be increased by for NaN and infinity to reach the sign bit. */
interface Lanes {
  readonly scan: 'scan16' | 'scan32' | 'scan64';
  readonly magnitude: bigint;
  readonly step: bigint;
}

const WHOLE: Lanes = { scan: 'scan64', magnitude: 0n, step: 0n };

/** Dtypes whose equality is proved here. Source: IEEE 754-2019, 3.4: exponents of 5, 8 and 11 bits. */
const LANES: Partial<Record<TensorDtype, Lanes>> = {
  bool: WHOLE,
  uint8: WHOLE,
  int8: WHOLE,
  uint16: WHOLE,
  int16: WHOLE,
  uint32: WHOLE,
  int32: WHOLE,
  uint64: WHOLE,
  int64: WHOLE,
  float16: { scan: 'scan16', magnitude: 0x7fffn, step: 0x0400n },
  bfloat16: { scan: 'scan16', magnitude: 0x7fffn, step: 0x0080n },
  float32: { scan: 'scan32', magnitude: 0x7fffffffn, step: 0x00800000n },
  float64: { scan: 'scan64', magnitude: 0x7fffffffffffffffn, step: 0x0010000000000000n },
};

/** Proves the equality of canonical tensors, one after the other, in a memory that the largest of them bounds. */
export interface EqualityProof {
  /**
   * Whether both sides hold the tensor with the same bits, none of them NaN or infinite. `seen` is given the bytes of
   * the reference as they are compared, piece by piece and borrowed. False says only that it was not proved: they
   * differ, or stand in a way that takes a closer look. Throws what reading throws.
   */
  proves(
    tensor: string,
    before: CanonicalSide,
    after: CanonicalSide,
    seen: (piece: Uint8Array) => void,
  ): boolean;
}

/** Starts a proof, whose memory is freed with it. */
export function equalityProof(): EqualityProof {
  const kernel = startEqualityKernel();
  let bytes = new Uint8Array(kernel.memory.buffer);
  let words = new Int32Array(kernel.memory.buffer);
  const room = (needed: number) => {
    const more = Math.ceil((needed - bytes.length) / PAGE_BYTES);
    if (more > 0) kernel.memory.grow(more);
    bytes = new Uint8Array(kernel.memory.buffer);
    words = new Int32Array(kernel.memory.buffer);
  };
  const begin = ({ magnitude, step }: Lanes, scan: Lanes['scan']) => {
    const pairs = new BigUint64Array(kernel.memory.buffer, 0, KERNEL_AT.data / 8);
    pairs.fill(0n);
    pairs.fill(repeated(magnitude, scan), KERNEL_AT.magnitude / 8, KERNEL_AT.magnitude / 8 + 2);
    pairs.fill(repeated(step, scan), KERNEL_AT.step / 8, KERNEL_AT.step / 8 + 2);
  };
  const clean = (scan: Lanes['scan']) => {
    const [even, odd] = SIGNS[scan];
    const [differing, notFinite] = [KERNEL_AT.differing / 4, KERNEL_AT.notFinite / 4];
    const differs = words[differing]! | words[differing + 1]! | words[differing + 2]! | words[differing + 3]!;
    const first = (words[notFinite]! | words[notFinite + 2]!) & even;
    const second = (words[notFinite + 1]! | words[notFinite + 3]!) & odd;
    return (differs | first | second) === 0;
  };

  const alike = (
    left: StoredTensor,
    right: StoredTensor,
    lanes: Lanes,
    seen: (piece: Uint8Array) => void,
  ) => {
    const [leftAt, rightAt] = [KERNEL_AT.data, KERNEL_AT.data + PIECE_BYTES];
    room(rightAt + PIECE_BYTES);
    begin(lanes, lanes.scan);
    const total = tensorBytes(left);
    const width = total / Math.max(1, elementCount(left.shape));
    for (let done = 0; done < total; done += PIECE_BYTES) {
      const length = Math.min(PIECE_BYTES, total - done);
      const reference = bytes.subarray(leftAt, leftAt + length);
      left.read(done / width, reference);
      right.read(done / width, bytes.subarray(rightAt, rightAt + length));
      const turns = Math.ceil(length / SCAN_BYTES);
      bytes.fill(0, leftAt + length, leftAt + turns * SCAN_BYTES);
      bytes.fill(0, rightAt + length, rightAt + turns * SCAN_BYTES);
      kernel[lanes.scan](leftAt, rightAt, turns);
      if (!clean(lanes.scan)) return false;
      seen(reference);
    }
    return true;
  };

  /** `straight` is a matrix in bands of rows; each of its columns is a row of `turned`, which is held whole. */
  const moved = (
    { straight, turned, rows, columnPlaces, referenceIsStraight }: Movement,
    seen: (piece: Uint8Array) => void,
  ) => {
    const columns = columnPlaces.length;
    const width = tensorBytes(straight) / (rows * columns);
    const scan = SCAN_BY_BYTES[width]!;
    const lanes = LANES[straight.dtype]!;
    const rowBytes = width * columns;
    // As many rows as fill a line of the cache in each column.
    const line = SCAN_BYTES / width;
    const most = Math.min(rows, Math.max(line, Math.floor(PIECE_BYTES / rowBytes / line) * line));
    const tableAt = KERNEL_AT.data + 16 * Math.ceil((most * rowBytes) / 16);
    const heldAt = tableAt + 16 * Math.ceil(columns / 4);
    const held = rowBytes * rows;
    room(heldAt + held);
    begin(lanes.step === 0n ? { ...WHOLE, scan } : lanes, scan);
    words.set(columnPlaces, tableAt / 4);
    turned.read(0, bytes.subarray(heldAt, heldAt + held));
    if (!referenceIsStraight) seen(bytes.subarray(heldAt, heldAt + held));
    const block = 16 / width;
    for (let row = 0; row < rows; row += most) {
      const count = Math.min(most, rows - row);
      const band = bytes.subarray(KERNEL_AT.data, KERNEL_AT.data + count * rowBytes);
      straight.read(row * columns, band);
      for (const { at, blocks } of blocksOf(count, block)) {
        for (const { at: column, blocks: columnBlocks } of blocksOf(columns, block)) {
          kernel[`scanColumns${BITS[scan]}`](
            KERNEL_AT.data + at * rowBytes + column * width,
            tableAt + 4 * column,
            rowBytes,
            heldAt + width * (row + at),
            blocks,
            columnBlocks,
          );
        }
      }
      if (!clean(scan)) return false;
      if (referenceIsStraight) seen(band);
    }
    return true;
  };

  return {
    proves(tensor, before, after, seen) {
      const [left, right] = [before.alone(tensor), after.alone(tensor)];
      if (!left || !right || left.stored.dtype !== right.stored.dtype) return false;
      const lanes = LANES[left.stored.dtype];
      if (!lanes || elementCount(left.stored.shape) !== elementCount(right.stored.shape)) return false;
      const [leftAxes, rightAxes] = [left, right].map(({ layout }) =>
        mergedAxes(layout.axes, layout.order),
      ) as [ReturnType<typeof mergedAxes>, ReturnType<typeof mergedAxes>];
      const moves = ({ order }: { readonly order: readonly number[] }) => order.length > 1;
      const sameOrder = leftAxes.order.join() === rightAxes.order.join();
      if (sameOrder && (!moves(leftAxes) || leftAxes.shape.join() === rightAxes.shape.join())) {
        return alike(left.stored, right.stored, lanes, seen);
      }
      if (moves(leftAxes) && moves(rightAxes)) return false;
      const referenceIsStraight = !moves(leftAxes);
      const movement = movementOf(
        referenceIsStraight ? left.stored : right.stored,
        referenceIsStraight ? right.stored : left.stored,
        referenceIsStraight ? rightAxes : leftAxes,
      );
      return movement !== undefined && moved({ ...movement, referenceIsStraight }, seen);
    },
  };
}

/** A matrix of `rows` by as many columns as have a place: the bytes of `turned` before each of them, a row there. */
interface Movement {
  readonly straight: StoredTensor;
  readonly turned: StoredTensor;
  readonly rows: number;
  readonly columnPlaces: Uint32Array;
  readonly referenceIsStraight: boolean;
}

/**
 * Axes in an order that puts the first of them last, and the others anyhow: transposes, and convolutions from [out, in,
 * space] to [space, in, out]. Undefined where it is another one, where elements are no lanes, or where there are too few
 * for a block.
 */
function movementOf(
  straight: StoredTensor,
  turned: StoredTensor,
  { shape, order }: ReturnType<typeof mergedAxes>,
): Omit<Movement, 'referenceIsStraight'> | undefined {
  const width = dtypeBytes(straight.dtype);
  const block = 16 / width;
  const [rows, ...others] = shape as [number, ...number[]];
  const columns = elementCount(others);
  if (order.at(-1) !== 0 || !SCAN_BY_BYTES[width] || tensorBytes(turned) > HELD_BYTES_MAX) return undefined;
  if (rows < block || columns < block) return undefined;
  const inner = order.slice(0, -1).map((axis) => axis - 1);
  const places = new Uint32Array(columns);
  for (let row = 0; row < columns; row++) places[row] = row * rows * width;
  const extents = inner.map((axis) => others[axis]!);
  return { straight, turned, rows, columnPlaces: permuteAxes(places, extents, inverseOrder(inner)) };
}

/** Blocks that cover `count` lines, at least one block: where not all are full, the last one lies over the one before. */
function blocksOf(count: number, block: number): readonly { readonly at: number; readonly blocks: number }[] {
  const whole = { at: 0, blocks: Math.floor(count / block) };
  return count % block === 0 ? [whole] : [whole, { at: count - block, blocks: 1 }];
}

/** The lanes that hold elements of so many bytes. */
const SCAN_BY_BYTES: Partial<Record<number, Lanes['scan']>> = { 2: 'scan16', 4: 'scan32', 8: 'scan64' };

/** The sign bits of the lanes in the first and in the second half of 64 bits. */
const SIGNS = {
  scan16: [0x80008000, 0x80008000],
  scan32: [0x80000000, 0x80000000],
  scan64: [0, 0x80000000],
} as const;
const BITS = { scan16: 16, scan32: 32, scan64: 64 } as const;

/** A lane's value in every lane of 64 bits. */
function repeated(value: bigint, scan: Lanes['scan']): bigint {
  let all = 0n;
  for (let shift = 0; shift < 64; shift += BITS[scan]) all |= value << BigInt(shift);
  return all;
}
