import { expect, test } from 'vitest';
import { bufferedScenarioOf, encodedScenarioOf, scenarioOf } from './scenario.ts';
import { run } from './world.ts';

test('counts every receipted update exactly once, in 10,000 seeded schedules', async () => {
  const broken: string[] = [];
  for (let seed = 1_000; seed < 11_000; seed++) {
    const { violations } = await run(scenarioOf(seed));
    if (violations.length > 0)
      broken.push(`seed ${seed} (npm run simulate -- --seed ${seed}): ${violations[0]}`);
  }
  expect(broken).toEqual([]);
});

test('counts each once, in one version, in 5,000 of them where sites train asynchronously', async () => {
  const broken: string[] = [];
  for (let seed = 1_000; seed < 6_000; seed++) {
    const { violations } = await run(bufferedScenarioOf(seed));
    if (violations.length > 0)
      broken.push(`seed ${seed} (npm run simulate -- --buffered --seed ${seed}): ${violations[0]}`);
  }
  expect(broken).toEqual([]);
});

test('counts each as what it decodes to, in 3,000 of them where updates are encoded', async () => {
  const broken: string[] = [];
  for (let seed = 1_000; seed < 4_000; seed++) {
    const { violations } = await run(encodedScenarioOf(seed));
    if (violations.length > 0)
      broken.push(`seed ${seed} (npm run simulate -- --encoded --seed ${seed}): ${violations[0]}`);
  }
  expect(broken).toEqual([]);
});
