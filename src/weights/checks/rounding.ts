import { bitsOf } from './difference.ts';
import { FLOAT16_MAX, fingerprint, isNearestFloat16, toBfloat16Bits, toFloat16 } from './precision.ts';
import type { RuleId } from './rules.ts';

/** What happened to the values of a tensor one by one: the rule that names it, and a sentence without its full stop. */
export interface Cause {
  readonly rule: RuleId;
  readonly message: string;
}

/** Beyond this many units in the last place, values were not merely rounded. */
const ROUNDED_ULP_MAX = 16;

/** Known ways in which values change where they stand; undefined where none explains every element. */
export function roundingCause(reference: Float32Array, candidate: Float32Array): Cause | undefined {
  return (
    castToFloat16(reference, candidate) ??
    castToBfloat16(reference, candidate) ??
    flippedSigns(reference, candidate) ??
    flushed(reference, candidate) ??
    clipped(reference, candidate) ??
    truncated(reference, candidate) ??
    printed(reference, candidate) ??
    rounded(reference, candidate) ??
    affine(reference, candidate)
  );
}

/** Fewer changed elements than this may be exact in a half precision by chance. */
const CAST_MIN = 8;

function castToFloat16(reference: Float32Array, candidate: Float32Array): Cause | undefined {
  const before = bitsOf(reference);
  const after = bitsOf(candidate);
  let [changed, over, lost] = [0, 0, 0];
  for (let at = 0; at < reference.length; at++) {
    if (before[at] === after[at]) continue;
    const nearest = isNearestFloat16(before[at]!, after[at]!);
    if (nearest === false) return undefined;
    const value = reference[at]!;
    const found = candidate[at]!;
    if (nearest === undefined && Object.is(value, found)) continue;
    changed += 1;
    if (nearest) continue;
    const half = toFloat16(value);
    // Some casts saturate at the largest value, others overflow to infinity.
    const beyond = Math.abs(value) > FLOAT16_MAX;
    if (found !== half && !(beyond && found === Math.sign(value) * FLOAT16_MAX)) return undefined;
    if (beyond) over += 1;
    if (half === 0) lost += 1;
  }
  if (changed < Math.min(CAST_MIN, reference.length)) return undefined;
  const said = [
    `${changed} of ${reference.length} values are the float16 nearest to those of the reference`,
    lost > 0 ? `${lost} of them became 0` : '',
    over > 0 ? `${over} are out of its range` : '',
  ];
  return { rule: 'WC401', message: said.filter((text) => text !== '').join(', ') };
}

function castToBfloat16(reference: Float32Array, candidate: Float32Array): Cause | undefined {
  const before = bitsOf(reference);
  const after = bitsOf(candidate);
  let [cut, nearest, changed] = [true, true, 0];
  for (let at = 0; at < before.length && (cut || nearest); at++) {
    if (before[at] === after[at]) continue;
    changed += 1;
    cut &&= after[at] === (before[at]! & 0xffff0000) >>> 0;
    nearest &&= after[at] === toBfloat16Bits(before[at]!);
  }
  if ((!cut && !nearest) || changed < Math.min(CAST_MIN, before.length)) return undefined;
  const how = nearest ? 'the bfloat16 nearest to those' : 'the upper halves of those';
  return { rule: 'WC402', message: `${changed} of ${before.length} values are ${how} of the reference` };
}

function flippedSigns(reference: Float32Array, candidate: Float32Array): Cause | undefined {
  const before = bitsOf(reference);
  const after = bitsOf(candidate);
  let flipped = 0;
  for (let at = 0; at < before.length; at++) {
    const change = (before[at]! ^ after[at]!) >>> 0;
    if (change === 0x80000000) flipped += 1;
    else if (change !== 0) return undefined;
  }
  return { rule: 'WC210', message: `${flipped} of ${before.length} values differ in their sign alone` };
}

function flushed(reference: Float32Array, candidate: Float32Array): Cause | undefined {
  let count = 0;
  let largest = 0;
  for (let at = 0; at < reference.length; at++) {
    if (Object.is(reference[at], candidate[at])) continue;
    if (candidate[at] !== 0) return undefined;
    count += 1;
    largest = Math.max(largest, Math.abs(reference[at]!));
  }
  // Large values that became zero were not flushed; they are other values.
  let smallestKept = Number.POSITIVE_INFINITY;
  for (let at = 0; at < reference.length; at++) {
    if (candidate[at] !== 0) smallestKept = Math.min(smallestKept, Math.abs(candidate[at]!));
  }
  if (!(largest < smallestKept) || smallestKept === Number.POSITIVE_INFINITY) return undefined;
  return { rule: 'WC404', message: `${count} values of up to ${largest.toPrecision(3)} became 0` };
}

function clipped(reference: Float32Array, candidate: Float32Array): Cause | undefined {
  let bound: number | undefined;
  let count = 0;
  for (let at = 0; at < reference.length; at++) {
    if (Object.is(reference[at], candidate[at])) continue;
    const magnitude = Math.abs(candidate[at]!);
    bound ??= magnitude;
    const same = Math.sign(candidate[at]!) === Math.sign(reference[at]!);
    if (!same || magnitude !== bound || Math.abs(reference[at]!) <= bound) return undefined;
    count += 1;
  }
  // One element at a bound of its own is an element that differs.
  if (bound === undefined || (count === 1 && fingerprint(candidate).largest !== bound)) return undefined;
  return { rule: 'WC405', message: `${count} values were clipped to ${bound}` };
}

function truncated(reference: Float32Array, candidate: Float32Array): Cause | undefined {
  const { zeroBits, counted } = fingerprint(candidate);
  const before = fingerprint(reference).zeroBits;
  if (counted < 2 || zeroBits - before < 3) return undefined;
  const unit = 2 ** zeroBits;
  const from = bitsOf(reference);
  const to = bitsOf(candidate);
  for (let at = 0; at < from.length; at++) if (Math.abs(from[at]! - to[at]!) > unit) return undefined;
  return {
    rule: 'WC403',
    message: `the last ${zeroBits} bits of every mantissa are zero; in the reference ${before} are`,
  };
}

/** Digits that are too few for a float32; nine always suffice. */
const DIGITS = [3, 4, 5, 6, 7, 8];

function printed(reference: Float32Array, candidate: Float32Array): Cause | undefined {
  for (const digits of DIGITS) {
    const text = (value: number) => Math.fround(Number(value.toPrecision(digits)));
    // All but all of them are wrong at the first elements.
    if (reference.every((value, at) => Number.isFinite(value) && text(value) === candidate[at])) {
      return { rule: 'WC403', message: `every value was printed with ${digits} digits; a float32 needs 9` };
    }
  }
  return undefined;
}

function rounded(reference: Float32Array, candidate: Float32Array): Cause | undefined {
  const from = bitsOf(reference);
  const to = bitsOf(candidate);
  let count = 0;
  let largest = 0;
  for (let at = 0; at < from.length; at++) {
    const distance = Math.abs(from[at]! - to[at]!);
    if (distance === 0) continue;
    if (distance > ROUNDED_ULP_MAX) return undefined;
    count += 1;
    largest = Math.max(largest, distance);
  }
  return {
    rule: 'WC406',
    message: `${count} of ${from.length} values are off by at most ${largest} units in the last place`,
  };
}

/** Times a factor, or plus a number; fewer than three different values tell nothing. */
function affine(reference: Float32Array, candidate: Float32Array): Cause | undefined {
  const different = new Set(reference.subarray(0, 1000));
  if (different.size < 3) return undefined;
  const close = (left: number, right: number) => Math.abs(left - right) <= 1e-5 * Math.abs(right);
  const largest = reference.reduce(
    (best, value, at) => (Math.abs(value) > Math.abs(reference[best]!) ? at : best),
    0,
  );
  // Nearer to the reference than this, a factor cannot be told from other changes.
  const factor = candidate[largest]! / reference[largest]!;
  const shift = candidate[largest]! - reference[largest]!;
  const apart = Number.isFinite(factor) && factor !== 0 && Math.abs(factor - 1) > 1e-4;
  if (apart && reference.every((value, at) => close(candidate[at]!, value * factor))) {
    return { rule: 'WC211', message: `every value is that of the reference times ${factor.toPrecision(6)}` };
  }
  const scale = Math.abs(reference[largest]!);
  const shifted = reference.every(
    (value, at) => Math.abs(candidate[at]! - value - shift) <= 4e-7 * (scale + Math.abs(shift)),
  );
  // A shift below the resolution of the largest value says nothing.
  if (!Number.isFinite(shift) || !shifted || Math.abs(shift) < 4e-6 * scale) return undefined;
  return { rule: 'WC211', message: `every value is that of the reference plus ${shift.toPrecision(6)}` };
}
