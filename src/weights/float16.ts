/** The IEEE 754 binary16 value (little-endian) at byte `at`. Source: IEEE 754-2019, clause 3.4. */
export function float16At(view: DataView, at: number): number {
  return float16Value(view.getUint16(at, true));
}

/** The value of the 16 bits of a binary16. */
export function float16Value(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 0x1f;
  const fraction = bits & 0x3ff;
  if (exponent === 0x1f) return fraction === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

/** The same value as the bits of a float32, which has all of them. */
export function float16Widened(bits: number): number {
  const sign = (bits & 0x8000) << 16;
  const magnitude = bits & 0x7fff;
  if (magnitude >= 0x0400 && magnitude < 0x7c00) return sign | ((magnitude << 13) + 0x38000000);
  if (magnitude >= 0x7c00) return sign | 0x7f800000 | (magnitude << 13);
  if (magnitude === 0) return sign;
  // A subnormal one begins with its highest bit that is set, which a float32 does not write.
  const shift = Math.clz32(magnitude) - 21;
  return sign | ((113 - shift) << 23) | (((magnitude << shift) & 0x3ff) << 13);
}

/**
 * The 8-bit float with four bits of exponent and three of fraction at byte `at`, which has NaN and no infinity. Source:
 * Micikevicius and others, "FP8 Formats for Deep Learning" (2022), E4M3.
 */
export function float8e4m3At(view: DataView, at: number): number {
  const bits = view.getUint8(at);
  const sign = bits & 0x80 ? -1 : 1;
  const exponent = (bits >> 3) & 0xf;
  const fraction = bits & 0x7;
  if (exponent === 0xf && fraction === 0x7) return Number.NaN;
  if (exponent === 0) return sign * fraction * 2 ** -9;
  return sign * (1 + fraction / 8) * 2 ** (exponent - 7);
}
