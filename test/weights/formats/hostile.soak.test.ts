import fc from 'fast-check';
import { expect, test } from 'vitest';
import { hostileFiles, outcomeOf, watchingAllocations } from '../fixtures/hostile.ts';
import { HostileTally } from '../fixtures/hostile-tally.ts';

// With the 5,000 HDF5 files of test/engines/hdf5.soak.test.ts this makes 100,000 over all readers.
test('95,000 hostile files are read or refused by name, and none allocates beyond the limits', {
  timeout: 3_000_000,
}, () => {
  const tally = new HostileTally();
  watchingAllocations(() =>
    fc.assert(
      fc.property(hostileFiles, (hostile) => tally.take(outcomeOf(hostile))),
      { numRuns: 95_000 },
    ),
  );
  tally.print('hostile files of every format without an engine, models in shards among them');
  expect(tally.files).toBe(95_000);
  expect(tally.of('read')).toBeGreaterThan(1_000);
  expect(tally.files - tally.of('read')).toBeGreaterThan(40_000);
  for (const code of ['WEIGHTS_PATH_REFUSED', 'WEIGHTS_PART_MISSING', 'WEIGHTS_PICKLE_REFUSED']) {
    expect(tally.of(code), code).toBeGreaterThan(100);
  }
});
