import { NATIVE_CHECKSUMS } from './native-checksums.ts';
import { type Checksum, reflectedCrc } from './reflected-crc.ts';

const castagnoli: Checksum = NATIVE_CHECKSUMS?.crc32c ?? reflectedCrc(0x82f63b78);

/**
 * CRC-32C (Castagnoli; RFC 3720 appendix B.4) of `bytes` as an unsigned 32-bit number. With `before`, the checksum
 * goes on from that of the bytes before: `crc32c(b, crc32c(a))` is that of `a` followed by `b`. It finds accidents,
 * not attackers.
 */
export function crc32c(bytes: Uint8Array, before = 0): number {
  return castagnoli(bytes, before);
}
