import type { PayloadEncoding } from '../../src/aggregation/encodings/payload-encoding.ts';
import { slowBfloat16, slowFloat16 } from '../aggregation/slow-encodings.ts';

/** Values that each encoding but top-k changes, int8 too, by the rounding of its scale: one of 130 is such. */
const VALUES = [
  0.9955757260322571, 0.9930914640426636, 0.992780864238739, 0.9925909042358398, 1.991682529449463,
];

/** What the site at a place adds in its slot where updates are encoded. */
export function trainedValue(place: number): number {
  return VALUES[place % VALUES.length]!;
}

/** What that value decodes to, alone among zeros; by other means than the encodings themselves. */
export function decodedValue(value: number, encoding: PayloadEncoding | undefined): number {
  switch (encoding?.name) {
    case 'float16':
      return slowFloat16(value, Number.MAX_VALUE);
    case 'bfloat16':
      return slowBfloat16(value, Number.MAX_VALUE);
    case 'int8':
      return Math.fround(127 * Math.fround(value / 127));
    default:
      return value;
  }
}
