import type { Elements } from '../layouts/permute-axes.ts';
import type { StoredTensor } from '../stored-tensors.ts';
import { readFloat32, tensorElements } from '../tensor-values.ts';
import type { CanonicalSide } from './canonical-side.ts';
import { bitsOf, differenceMeter, differenceOf, noDifference } from './difference.ts';
import { fingerprint } from './precision.ts';
import type { EqualityProof } from './prove-equal.ts';
import type { Difference } from './report.ts';

/** Elements that are read at a time where both sides hold a tensor alike: two pieces stay in a processor's cache. */
const PIECE_ELEMENTS = 2 ** 16;

/** Elements of each piece that are looked at for a half precision in the past: a share needs no more. */
const HALF_SAMPLES = 512;

/** What came of comparing one canonical tensor. */
export interface Compared {
  readonly difference: Difference;
  readonly notFinite: { readonly reference: number; readonly candidate: number };
  readonly dtypes: readonly [string, string];
}

/** Float32 values of the reference that were seen so far, and how many are exact in a half precision. */
export interface HalfCount {
  counted: number;
  float16: number;
  bfloat16: number;
}

/** A canonical tensor of both sides: proved equal where that is so, else looked at in pieces, else whole. */
export function compareTensor(
  tensor: string,
  before: CanonicalSide,
  after: CanonicalSide,
  tolerance: number | undefined,
  half: HalfCount,
  equality: EqualityProof,
): Compared | undefined {
  const dtypeOf = (side: CanonicalSide) =>
    [...new Set(side.holders(tensor).map(({ dtype }) => dtype))].join(', ');
  const dtypes = [dtypeOf(before), dtypeOf(after)] as const;
  const notFinite = { reference: 0, candidate: 0 };
  const seen = { counted: 0, float16: 0, bfloat16: 0 };
  const look = (piece: Uint8Array) => {
    if (dtypes[0] === 'float32')
      countHalves(new Uint32Array(piece.buffer, piece.byteOffset, piece.length / 4), seen);
  };
  if (equality.proves(tensor, before, after, look)) {
    for (const count of ['counted', 'float16', 'bfloat16'] as const) half[count] += seen[count];
    const [holder] = before.holders(tensor);
    return { difference: noDifference(tensorElements(holder!)), notFinite, dtypes };
  }
  const count = (expected: Float32Array, found: Float32Array, same: boolean) => {
    const lost = notFiniteIn(expected);
    notFinite.reference += lost;
    notFinite.candidate += same ? lost : notFiniteIn(found);
    if (dtypes[0] === 'float32') countHalves(bitsOf(expected), half);
  };
  const floating = dtypes.every((dtype) => dtype === 'float32');
  const [left, right] = [before.asItIs(tensor), after.asItIs(tensor)];
  const reading = dtypes[0] === dtypes[1] && tolerance === undefined ? 'bits' : 'float32';
  if ((floating || reading === 'float32') && left && right) {
    const meter = differenceMeter();
    let equal = true;
    eachPair(left, right, (expected, found) => {
      const same = equalBits(expected, found);
      equal &&= same;
      count(expected, found, same);
      // What was cast differs nearly everywhere: widening it once is cheaper than reading on in hope.
      if (!floating) meter.add(expected, found);
    });
    if (!floating) return { difference: meter.result(), notFinite, dtypes };
    if (equal) return { difference: noDifference(tensorElements(left)), notFinite, dtypes };
    eachPair(left, right, meter.add);
    return { difference: meter.result(), notFinite, dtypes };
  }
  const [expected, found] = [before.read(tensor, reading), after.read(tensor, reading)];
  if (!expected || !found || expected.length !== found.length) return undefined;
  const numbers = (side: CanonicalSide, elements: Elements) =>
    floating && elements instanceof Uint32Array
      ? new Float32Array(elements.buffer, elements.byteOffset, elements.length)
      : (side.read(tensor, 'float32') as Float32Array);
  const [expectedNumbers, foundNumbers] = [numbers(before, expected), numbers(after, found)];
  const same = equalBits(expectedNumbers, foundNumbers);
  count(expectedNumbers, foundNumbers, same);
  const difference =
    floating && same ? noDifference(expected.length) : differenceOf(expectedNumbers, foundNumbers);
  if (floating || reading === 'float32') return { difference, notFinite, dtypes };
  // Wider dtypes may differ below what float32 shows.
  let differing = 0;
  let first = -1;
  for (let at = 0; at < expected.length; at++) {
    if (expected[at] === found[at]) continue;
    if (first < 0) first = at;
    differing += 1;
  }
  return { difference: { ...difference, differing, first }, notFinite, dtypes };
}

function equalBits(left: Float32Array, right: Float32Array): boolean {
  return bytesIn(left).equals(bytesIn(right));
}

/** The same memory, for a comparison that is not one of numbers. */
function bytesIn(values: Float32Array): Buffer {
  return Buffer.from(values.buffer, values.byteOffset, values.byteLength);
}

function notFiniteIn(values: Float32Array): number {
  const words = new Int32Array(values.buffer, values.byteOffset, values.length);
  const fours = words.length & ~3;
  // The sign bit is set where all bits of the exponent are. Four at a time, so that none waits for another.
  let [a, b, c, d] = [0, 0, 0, 0];
  for (let at = 0; at < fours; at += 4) {
    a |= (words[at]! & 0x7fffffff) + 0x00800000;
    b |= (words[at + 1]! & 0x7fffffff) + 0x00800000;
    c |= (words[at + 2]! & 0x7fffffff) + 0x00800000;
    d |= (words[at + 3]! & 0x7fffffff) + 0x00800000;
  }
  for (let at = fours; at < words.length; at++) a |= (words[at]! & 0x7fffffff) + 0x00800000;
  return (a | b | c | d) < 0 ? fingerprint(values).notFinite : 0;
}

function countHalves(words: Uint32Array, half: HalfCount): void {
  // An odd number of steps falls on every column of a matrix in turn.
  const stride = Math.floor(words.length / HALF_SAMPLES) | 1;
  for (let at = 0; at < words.length; at += stride) {
    const word = words[at]!;
    if ((word & 0x7fffffff) === 0 || (word & 0x7f800000) === 0x7f800000) continue;
    half.counted += 1;
    if ((word & 0x1fff) === 0) half.float16 += 1;
    if ((word & 0xffff) === 0) half.bfloat16 += 1;
  }
}

function eachPair(
  reference: StoredTensor,
  candidate: StoredTensor,
  visit: (reference: Float32Array, candidate: Float32Array) => void,
): void {
  const elements = tensorElements(reference);
  const most = Math.min(elements, PIECE_ELEMENTS);
  const [left, right] = [new Float32Array(most), new Float32Array(most)];
  for (let start = 0; start < elements; start += most) {
    const length = Math.min(most, elements - start);
    const [expected, found] = [left.subarray(0, length), right.subarray(0, length)];
    readFloat32(reference, start, expected);
    readFloat32(candidate, start, found);
    visit(expected, found);
  }
}
