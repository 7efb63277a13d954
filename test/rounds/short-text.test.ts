import { expect, test } from 'vitest';
import { wholeReasons } from '../../src/rounds/short-text.ts';

test('of the reasons of many sites those are told that fit, each whole, and how many there are besides', () => {
  const reasons = ['a', 'b', 'c', 'd'].map((site) => `${site}: ${'x'.repeat(190)}`);
  expect(wholeReasons(reasons)).toBe(`${reasons.slice(0, 3).join(' ')} and 1 more`);
  expect(wholeReasons(reasons.slice(0, 2))).toBe(reasons.slice(0, 2).join(' '));
  expect(wholeReasons([reasons[0]!])).toBe(reasons[0]);
});
