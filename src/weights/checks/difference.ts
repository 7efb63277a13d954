import { invariant } from '../../vocabulary/invariant.ts';
import type { Difference } from './report.ts';

/** Sums over two arrays that are read side by side, piece by piece. */
export interface DifferenceMeter {
  /** Takes the next piece of both; they are only read during the call. */
  add(reference: Float32Array, candidate: Float32Array): void;
  result(): Difference;
}

/**
 * Starts to compare two arrays of float32. Squares are summed in float64. Where the reference is all zero, the relative
 * error is 0 for zeros and Infinity for anything else; NaN on one side alone makes every error Infinity.
 */
export function differenceMeter(): DifferenceMeter {
  let [elements, differing, first, maxAbs, maxUlp] = [0, 0, -1, 0, 0];
  const sums = new Float64Array(4);
  return {
    add(reference, candidate) {
      const piece = addPiece(reference, candidate, sums);
      if (first < 0 && piece.differing > 0) first = elements + piece.first;
      elements += reference.length;
      differing += piece.differing;
      maxAbs = Math.max(maxAbs, piece.maxAbs);
      maxUlp = Math.max(maxUlp, piece.maxUlp);
    },
    result() {
      const [squares, referenceSquares, candidateSquares, product] = sums as unknown as Four;
      const relative = squares === 0 ? 0 : Math.sqrt(squares / referenceSquares);
      if (differing === 0) return noDifference(elements);
      const norms = Math.sqrt(referenceSquares * candidateSquares);
      const relativeL2 = Number.isNaN(relative) ? Number.POSITIVE_INFINITY : relative;
      const cosine = norms === 0 ? Number(referenceSquares === candidateSquares) : product / norms;
      return {
        elements,
        differing,
        first,
        relativeL2,
        maxAbs,
        maxUlp,
        cosine: Number.isNaN(cosine) ? 0 : Math.min(1, Math.max(-1, cosine)),
      };
    },
  };
}

type Four = readonly [number, number, number, number];

/**
 * Adds a piece to `sums`, the squares of the difference, of the reference and of the candidate, and the products of the
 * two, and says what else there is. A loop over variables of its own, which stay in registers: those of a closure do not.
 */
function addPiece(reference: Float32Array, candidate: Float32Array, sums: Float64Array) {
  invariant(reference.length === candidate.length, 'two arrays of one length are compared');
  const referenceBits = new Int32Array(reference.buffer, reference.byteOffset, reference.length);
  const candidateBits = new Int32Array(candidate.buffer, candidate.byteOffset, candidate.length);
  let [differing, first, maxAbs, maxUlp] = [0, -1, 0, 0];
  let [squares, referenceSquares, candidateSquares, product] = sums as unknown as Four;
  for (let at = 0; at < reference.length; at++) {
    const left = reference[at]!;
    const right = candidate[at]!;
    referenceSquares += left * left;
    candidateSquares += right * right;
    product += left * right;
    const leftBits = referenceBits[at]!;
    const rightBits = candidateBits[at]!;
    if (leftBits === rightBits) continue;
    if (differing === 0) first = at;
    differing += 1;
    const distance = Math.abs(right - left);
    squares += distance * distance;
    if (!(distance <= maxAbs)) maxAbs = Number.isNaN(distance) ? Number.POSITIVE_INFINITY : distance;
    // Numbers of one sign are as far apart as their bits.
    const ulps =
      (leftBits ^ rightBits) >= 0 && !Number.isNaN(distance)
        ? Math.abs(leftBits - rightBits)
        : ulpDistance(leftBits >>> 0, rightBits >>> 0);
    if (ulps > maxUlp) maxUlp = ulps;
  }
  sums.set([squares, referenceSquares, candidateSquares, product]);
  return { differing, first, maxAbs, maxUlp };
}

/** What there is to say of arrays that are equal bit for bit. */
export function noDifference(elements: number): Difference {
  return { elements, differing: 0, first: -1, relativeL2: 0, maxAbs: 0, maxUlp: 0, cosine: 1 };
}

/** How two arrays of float32 differ, at once. */
export function differenceOf(reference: Float32Array, candidate: Float32Array): Difference {
  const meter = differenceMeter();
  meter.add(reference, candidate);
  return meter.result();
}

/** Floats between two float32 given by their bits, -0 and 0 being one apart; Infinity where one is NaN. */
export function ulpDistance(left: number, right: number): number {
  if (isNaNBits(left) || isNaNBits(right)) return left === right ? 0 : Number.POSITIVE_INFINITY;
  return Math.abs(ordered(left) - ordered(right));
}

/** The bits of float32 values, as a view of the same memory. */
export function bitsOf(values: Float32Array): Uint32Array {
  return new Uint32Array(values.buffer, values.byteOffset, values.length);
}

function isNaNBits(bits: number): boolean {
  return (bits & 0x7fffffff) > 0x7f800000;
}

/** Whole numbers in the order of the floats: the lowest is -0x7f800001, -0 is -1 and 0 is 0. */
function ordered(bits: number): number {
  return bits < 0x80000000 ? bits : 0x7fffffff - bits;
}
