import fc from 'fast-check';
import { expect, test } from 'vitest';
import { startHdf5Thread } from '../../src/engines/hdf5-thread.ts';
import { hostileHdf5, outcomeOf } from '../weights/fixtures/hostile.ts';
import { HostileTally } from '../weights/fixtures/hostile-tally.ts';

/** A file at which the library says nothing for so long costs a thread; the next one gets another. */
const SILENCE_MS_MAX = 10_000;

const first = await startHdf5Thread(SILENCE_MS_MAX);
const skip = !first.loaded && process.env.CI !== 'true';
if (skip) console.warn('h5wasm is not installed: hostile HDF5 files are skipped');

test.skipIf(skip)(
  '5,000 hostile HDF5 files are read or refused by name, in bounded memory',
  { timeout: 3_000_000 },
  async () => {
    if (!first.loaded) throw new Error(first.reason);
    let { thread } = first;
    let lost = 0;
    const tally = new HostileTally();
    const files = fc.asyncProperty(hostileHdf5, async (hostile) => {
      const outcome = outcomeOf(hostile, thread.open);
      thread.closeFiles();
      if (thread.ended()) {
        lost += 1;
        const next = await startHdf5Thread(SILENCE_MS_MAX);
        if (!next.loaded) throw new Error(next.reason);
        thread = next.thread;
      }
      expect(thread.heapBytes()).toBeLessThanOrEqual(2 ** 28);
      return tally.take(outcome);
    });
    await fc.assert(files, { numRuns: 5_000 });
    tally.print(`hostile HDF5 files and .keras archives, ${lost} of them at the cost of a thread`);
    expect(tally.files).toBe(5_000);
    expect(tally.files - tally.of('read')).toBeGreaterThan(1_000);
    // They leave the library fit for good files: one in twenty of the hostile ones is still whole.
    expect(tally.of('read')).toBeGreaterThan(250);
  },
);
