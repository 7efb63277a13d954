import fc from 'fast-check';
import { expect, it } from 'vitest';
import { crc32 } from '../../src/vocabulary/crc32.ts';
import { crc32c } from '../../src/vocabulary/crc32c.ts';
import { NATIVE_CHECKSUMS, nativeOr } from '../../src/vocabulary/native-checksums.ts';
import { reflectedCrc } from '../../src/vocabulary/reflected-crc.ts';

it.each([
  ['CRC-32', 0xedb88320, 'cbf43926', crc32],
  ['CRC-32C', 0x82f63b78, 'e3069283', crc32c],
] as const)(
  '%s without the binary is that of the binary, from any place on',
  (_, polynomial, check, native) => {
    const plain = reflectedCrc(polynomial);
    // The check value of the catalogue of parametrised CRC algorithms.
    expect(plain(Buffer.from('123456789')).toString(16)).toBe(check);
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 100 }), fc.nat({ max: 2 ** 32 - 1 }), (bytes, before) => {
        expect(plain(bytes, before)).toBe(native(bytes, before));
      }),
    );
  },
);

it('a binary that npm left out is done without', () => {
  expect(NATIVE_CHECKSUMS).toBeDefined();
  const missing = () => {
    throw new Error('Cannot find native binding');
  };
  expect(nativeOr(missing)).toBeUndefined();
});
