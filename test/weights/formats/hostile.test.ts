import fc from 'fast-check';
import { expect, test } from 'vitest';
import { sourceInMemory } from '../../../src/weights/byte-source.ts';
import { hostileFiles, outcomeOf, watchingAllocations } from '../fixtures/hostile.ts';
import { HostileTally } from '../fixtures/hostile-tally.ts';

test('a hostile file of any format is read or refused by name, and never allocates beyond the limits', () => {
  const tally = new HostileTally();
  watchingAllocations(() =>
    fc.assert(
      fc.property(hostileFiles, (hostile) => tally.take(outcomeOf(hostile))),
      { numRuns: 1500 },
    ),
  );
  // Not all is refused at the door: the readers behind it are reached.
  const reached = ['read', 'MALFORMED', 'DAMAGED', 'TRUNCATED', 'TOO_LARGE', 'PATH_REFUSED', 'PART_MISSING'];
  for (const code of reached)
    expect(tally.of(code === 'read' ? code : `WEIGHTS_${code}`), code).toBeGreaterThan(0);
});

test('the watch over allocations sees one that is too large', () => {
  const large = () => watchingAllocations(() => new Uint8Array(2 ** 20).length);
  expect(large).toThrow('1048576 bytes were asked for at once');
  expect(sourceInMemory('x', new Uint8Array(2 ** 20)).size).toBe(2 ** 20);
});
