import { describe, expect, test } from 'vitest';
import { decodeRecord } from '../../src/coordinator/record-codec.ts';
import { KEPT } from './kept.ts';
import { bufferedScenarioOf, encodedScenarioOf, type Fault, scenarioOf } from './scenario.ts';
import { run } from './world.ts';

describe('a federation under faults', () => {
  test('counts every receipted update exactly once, in 1,000 seeded schedules', async () => {
    const broken: string[] = [];
    const outcomes = new Set<string>();
    let lacking = 0;
    for (let seed = 0; seed < 1000; seed++) {
      const { violations, outcome, partial } = await run(scenarioOf(seed));
      outcomes.add(outcome);
      lacking += partial;
      if (violations.length > 0)
        broken.push(`seed ${seed} (npm run simulate -- --seed ${seed}): ${violations[0]}`);
    }
    expect(broken).toEqual([]);
    expect([...outcomes].sort()).toEqual(['failed', 'finished', 'stopped']);
    // Updates of trainers that lack tensors, in a third of the schedules.
    expect(lacking).toBeGreaterThan(1000);
  });

  test('counts each once, in one version, in 200 of them where sites train asynchronously', async () => {
    const broken: string[] = [];
    let [stale, lacking] = [0, 0];
    for (let seed = 0; seed < 200; seed++) {
      const result = await run(bufferedScenarioOf(seed));
      stale += result.stale;
      lacking += result.partial;
      if (result.violations.length > 0)
        broken.push(`seed ${seed} (npm run simulate -- --buffered --seed ${seed}): ${result.violations[0]}`);
    }
    expect(broken).toEqual([]);
    expect(stale).toBeGreaterThan(130);
    expect(lacking).toBeGreaterThan(300);
  });

  test('counts each as what it decodes to, to the last bit, in 200 of them where updates are encoded', async () => {
    const broken: string[] = [];
    let encoded = 0;
    for (let seed = 0; seed < 200; seed++) {
      const result = await run(encodedScenarioOf(seed));
      encoded += result.encoded;
      if (result.violations.length > 0)
        broken.push(`seed ${seed} (npm run simulate -- --encoded --seed ${seed}): ${result.violations[0]}`);
    }
    expect(broken).toEqual([]);
    expect(encoded).toBeGreaterThan(800);
  });

  test('runs the same way twice, record for record', async () => {
    for (const scenario of [3, 14, 159].flatMap((seed) =>
      [scenarioOf, bufferedScenarioOf, encodedScenarioOf].map((of) => of(seed)),
    )) {
      const [first, second] = [await run(scenario), await run(scenario)];
      expect(second).toEqual(first);
      expect(first.trace).not.toBe('');
    }
  });

  test('does not use up its attempts at once where every trainer fails for good', async () => {
    const { faults: _, ...scenario } = scenarioOf(1);
    const faults = Array.from(
      { length: 60 },
      (_, count): Fault => ({
        ...{ at: 0, kind: 'trainer-fails', site: count % scenario.sites },
      }),
    );
    const { violations, outcome, trace } = await run({ ...scenario, attemptsMax: 4, faults });
    expect(outcome).toBe('failed');
    expect(violations).toEqual([
      expect.stringMatching(/^nothing was in the way, but: .* was abandoned 4 times/),
    ]);
    const records = trace.split('\n').map((line) => decodeRecord(new TextEncoder().encode(line)));
    const begun = records.flatMap((record) => (record.kind === 'attempt-started' ? [record.at] : []));
    expect(begun).toHaveLength(4);
    const waits = begun.slice(1).map((at, place) => at - begun[place]!);
    // A fortieth of 1,500 ms, and four times as long each time: 38, 150, 600.
    expect(waits[0]).toBeGreaterThanOrEqual(38);
    expect(waits[1]).toBeGreaterThanOrEqual(150);
    expect(waits[2]).toBeGreaterThanOrEqual(600);
  });

  test.each(KEPT)('stays right where it once was wrong: $was', async ({ scenario }) => {
    expect((await run(scenario)).violations).toEqual([]);
  });
});
