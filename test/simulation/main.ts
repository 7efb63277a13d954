import { parseArgs } from 'node:util';
import { bufferedScenarioOf, encodedScenarioOf, type Scenario, scenarioOf } from './scenario.ts';
import { shrink } from './shrink.ts';
import { run } from './world.ts';

const { values } = parseArgs({
  options: {
    seeds: { type: 'string', default: '1000' },
    seed: { type: 'string' },
    from: { type: 'string', default: '0' },
    buffered: { type: 'boolean', default: false },
    encoded: { type: 'boolean', default: false },
    output: { type: 'string', short: 'o', default: 'text' },
  },
});

const first = Number(values.seed ?? values.from);
const count = values.seed === undefined ? Number(values.seeds) : 1;
if (!Number.isSafeInteger(first) || !Number.isSafeInteger(count) || count < 1) {
  console.error(
    'usage: npm run -s simulate -- [--seeds N] [--from SEED] [--seed SEED] [--buffered | --encoded] [-o json]',
  );
  process.exit(2);
}

const scenarioFor = values.encoded ? encodedScenarioOf : values.buffered ? bufferedScenarioOf : scenarioOf;
const started = performance.now();
const outcomes: Record<string, number> = {};
const failures: { seed: number; violations: readonly string[]; scenario: Scenario }[] = [];
let virtualMs = 0;
let stale = 0;
let partial = 0;
let encoded = 0;
for (let seed = first; seed < first + count; seed++) {
  const scenario = scenarioFor(seed);
  const result = await run(scenario);
  outcomes[result.outcome] = (outcomes[result.outcome] ?? 0) + 1;
  virtualMs += result.virtualMs;
  stale += result.stale;
  partial += result.partial;
  encoded += result.encoded;
  if (values.seed !== undefined && values.output !== 'json') console.error(result.trace);
  if (result.violations.length > 0) {
    const smallest = await shrink(scenario);
    failures.push({ seed, violations: (await run(smallest)).violations, scenario: smallest });
    console.error(`seed ${seed}: ${result.violations[0]}`);
  }
  if ((seed - first + 1) % 1000 === 0) console.error(`${seed - first + 1} of ${count} schedules`);
}
const seconds = Math.round(performance.now() - started) / 1000;
const summary = {
  schedules: count,
  violations: failures.length,
  seconds,
  virtualMs,
  stale,
  partial,
  encoded,
  outcomes,
  failures,
};
if (values.output === 'json') {
  console.log(JSON.stringify(summary));
} else {
  console.log(`${count} schedules, ${failures.length} violations, ${seconds} s (${virtualMs} virtual ms)`);
  if (values.buffered) console.log(`stale updates that count: ${stale}`);
  if (values.encoded) console.log(`encoded updates that count: ${encoded}`);
  console.log(`updates that count and lack tensors: ${partial}`);
  console.log(`outcomes: ${JSON.stringify(outcomes)}`);
  for (const failure of failures) console.log(JSON.stringify(failure, null, 2));
}
process.exitCode = failures.length > 0 ? 1 : 0;
