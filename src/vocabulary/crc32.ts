import { NATIVE_CHECKSUMS } from './native-checksums.ts';
import { type Checksum, reflectedCrc } from './reflected-crc.ts';

const ieee: Checksum = NATIVE_CHECKSUMS?.crc32 ?? reflectedCrc(0xedb88320);

/**
 * CRC-32 (ISO 3309, as zip archives use it) of `bytes` as an unsigned 32-bit number. With `before`, the checksum goes
 * on from that of the bytes before. It finds accidents, not attackers.
 */
export function crc32(bytes: Uint8Array, before = 0): number {
  return ieee(bytes, before);
}
