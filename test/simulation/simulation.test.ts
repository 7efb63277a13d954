import { describe, expect, test } from 'vitest';
import { KEPT } from './kept.ts';
import { bufferedScenarioOf, scenarioOf } from './scenario.ts';
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

  test('runs the same way twice, record for record', async () => {
    for (const scenario of [3, 14, 159].flatMap((seed) => [scenarioOf(seed), bufferedScenarioOf(seed)])) {
      const [first, second] = [await run(scenario), await run(scenario)];
      expect(second).toEqual(first);
      expect(first.trace).not.toBe('');
    }
  });

  test.each(KEPT)('stays right where it once was wrong: $was', async ({ scenario }) => {
    expect((await run(scenario)).violations).toEqual([]);
  });
});
