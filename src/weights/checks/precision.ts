import { bitsOf } from './difference.ts';

/** What the bits of float32 values tell of their past. Shares are of the values that are finite and not zero. */
export interface Fingerprint {
  /** Values that count: finite, not zero. */
  readonly counted: number;
  /** Share whose low 13 bits are zero, as after float16 or TF32; about 1.2e-4 by chance. */
  readonly float16Share: number;
  /** Share whose low 16 bits are zero, as after bfloat16; about 1.5e-5 by chance. */
  readonly bfloat16Share: number;
  /** Low bits of the mantissa that are zero in every value; 23 where there is none. */
  readonly zeroBits: number;
  readonly zeros: number;
  readonly notFinite: number;
  /** Largest finite magnitude. */
  readonly largest: number;
}

/** Reads the fingerprint of float32 values. Source: IEEE 754-2019, 3.4: mantissas of 10, 7 and 23 bits. */
export function fingerprint(values: Float32Array): Fingerprint {
  const bits = bitsOf(values);
  let [counted, half, brain, any, zeros, notFinite, largest] = [0, 0, 0, 0, 0, 0, 0];
  for (let at = 0; at < bits.length; at++) {
    const word = bits[at]!;
    const magnitude = word & 0x7fffffff;
    if (magnitude >= 0x7f800000) notFinite += 1;
    else if (magnitude === 0) zeros += 1;
    else {
      counted += 1;
      any |= word;
      if ((word & 0x1fff) === 0) half += 1;
      if ((word & 0xffff) === 0) brain += 1;
      if (magnitude > largest) largest = magnitude;
    }
  }
  const share = (count: number) => (counted === 0 ? 0 : count / counted);
  return {
    counted,
    float16Share: share(half),
    bfloat16Share: share(brain),
    zeroBits: counted === 0 ? 0 : Math.min(23, trailingZeros(any)),
    zeros,
    notFinite,
    largest: new Float32Array(Uint32Array.of(largest).buffer)[0]!,
  };
}

/** The largest finite float16. */
export const FLOAT16_MAX = 65504;

/** The float16 nearest to a float32, ties to even, as a number. */
export function toFloat16(value: number): number {
  const magnitude = Math.abs(value);
  if (!(magnitude < 65520)) return Number.isNaN(value) ? value : Math.sign(value) * Number.POSITIVE_INFINITY;
  // Below 2^-14 the steps are those of subnormals, 2^-24.
  const exponent = Math.max(-14, Math.floor(Math.log2(magnitude === 0 ? 1 : magnitude)));
  const step = 2 ** (exponent - 10);
  const rounded = roundEven(magnitude / step) * step;
  return Object.is(Math.sign(value), -0) || value < 0 ? -rounded : rounded;
}

/**
 * Whether the float32 with the bits `found` is the float16 nearest to that with `bits`, ties to even; undefined where
 * that is no normal float16 and has to be looked at closer.
 */
export function isNearestFloat16(bits: number, found: number): boolean | undefined {
  const magnitude = bits & 0x7fffffff;
  // From 2^-14 to below what would be rounded up to infinity.
  if (magnitude < 0x38800000 || magnitude >= 0x477ff000) return undefined;
  return ((bits + 0xfff + ((bits >>> 13) & 1)) & 0xffffe000) === (found | 0);
}

/** The bfloat16 nearest to the float32 with these bits, ties to even, as bits of a float32. */
export function toBfloat16Bits(bits: number): number {
  if ((bits & 0x7fffffff) > 0x7f800000) return bits;
  return ((bits + 0x7fff + ((bits >>> 16) & 1)) & 0xffff0000) >>> 0;
}

function roundEven(value: number): number {
  const low = Math.floor(value);
  const rest = value - low;
  if (rest !== 0.5) return Math.round(value);
  return low % 2 === 0 ? low : low + 1;
}

function trailingZeros(word: number): number {
  return word === 0 ? 32 : 31 - Math.clz32(word & -word);
}
