import fc from 'fast-check';
import { expect, test } from 'vitest';
import { isNearestFloat16, toFloat16 } from '../../../src/weights/checks/precision.ts';

const word = fc.integer({ min: 0, max: 2 ** 32 - 1 });
const numberOf = (bits: number) => new Float32Array(Uint32Array.of(bits).buffer)[0]!;
const bitsOf = (value: number) => new Uint32Array(Float32Array.of(value).buffer)[0]!;

test('the nearest float16 is told from the bits as from the numbers, ties, ends and signs included', () => {
  const near = fc
    .tuple(
      fc.integer({ min: 0x387fe000, max: 0x47800000 }),
      fc.boolean(),
      fc.constantFrom(0, 0xfff, 0x1000, 0x1001),
    )
    .map(([bits, negative, tail]) => (((bits & ~0x1fff) | tail) + (negative ? 0x80000000 : 0)) >>> 0);
  fc.assert(
    fc.property(fc.oneof(word, near), fc.constantFrom(-0x2000, 0, 0x2000), (bits, off) => {
      const nearest = bitsOf(toFloat16(numberOf(bits)));
      const found = (nearest + off) >>> 0;
      const told = isNearestFloat16(bits, found);
      const magnitude = Math.abs(numberOf(bits));
      const normal = magnitude >= 2 ** -14 && magnitude < 65520;
      expect(told).toBe(normal ? off === 0 : undefined);
    }),
    { numRuns: 2000 },
  );
});
