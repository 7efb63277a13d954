import fc from 'fast-check';
import { expect, test } from 'vitest';
import { startHdf5Thread } from '../../src/engines/hdf5-thread.ts';
import { hostileHdf5, outcomeOf } from '../weights/fixtures/hostile.ts';
import { HostileTally } from '../weights/fixtures/hostile-tally.ts';

const hdf5 = await startHdf5Thread();
const skip = !hdf5.loaded && process.env.CI !== 'true';
if (skip) console.warn('h5wasm is not installed: hostile HDF5 files are skipped');

test.skipIf(skip)(
  '5,000 hostile HDF5 files are read or refused by name, in bounded memory',
  { timeout: 3_000_000 },
  () => {
    if (!hdf5.loaded) throw new Error(hdf5.reason);
    const { thread } = hdf5;
    const tally = new HostileTally();
    fc.assert(
      fc.property(hostileHdf5, (hostile) => {
        const outcome = outcomeOf(hostile, thread.open);
        thread.closeFiles();
        return tally.take(outcome);
      }),
      { numRuns: 5_000 },
    );
    tally.print('hostile HDF5 files and .keras archives');
    expect(tally.files).toBe(5_000);
    expect(tally.files - tally.of('read')).toBeGreaterThan(1_000);
    expect(thread.heapBytes()).toBeLessThanOrEqual(2 ** 28);
    // They leave the library fit for good files: one in twenty of the hostile ones is still whole.
    expect(tally.of('read')).toBeGreaterThan(250);
  },
);
