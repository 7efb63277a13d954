import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { digestOf } from '../../src/sm/sm3.ts';
import { atLeast, type Bench, type Mark, median, type Row } from './bench.ts';
import { type Pair, weightPairs, writePair } from './weight-pairs.ts';

interface Cost {
  readonly verdict: string;
  readonly tensors: number;
  readonly cpuSeconds: number;
  readonly rssBytes: number;
}

/** Who checks a pair of files: this project, and NumPy in the ways that weights_numpy.py describes. */
const WAYS = { numpy: 'mapped', 'numpy that loads': 'loaded', 'numpy within bounds': 'bounded' } as const;

const RUNS = 5;
const here = (name: string) => fileURLToPath(new URL(name, import.meta.url));

/**
 * The check of two files of the same 100 million parameters, alike or in the layouts and precisions of two frameworks,
 * beside NumPy, which maps both files; where they are float32 matrices also beside NumPy that loads them, and that keeps
 * to the check's bounds and does all that it does: GB of both files per CPU-second, and the largest resident memory.
 * Each run is a process of its own; they take turns.
 */
export const weights: Bench = async ({ tiny, say }) => {
  const folder = mkdtempSync(join(tmpdir(), 'consilium-bench-'));
  const rows: Row[] = [];
  const marks: Mark[] = [];
  try {
    const pairs = weightPairs(tiny);
    for (const pair of pairs) {
      const paths = { reference: join(folder, 'reference'), candidate: join(folder, 'candidate') };
      const bytes = writePair(pair, paths);
      const speeds = new Map<string, number>();
      for (const [who, costs] of costsOf(pair, paths, tiny ? 1 : RUNS)) {
        if (costs.length === 0) {
          say(`${who} is not there`);
          continue;
        }
        if (costs.some(({ verdict, tensors }) => verdict !== pair.verdict || tensors !== pair.layers)) {
          throw new Error(`${who} does not say ${pair.verdict} of ${pair.what}`);
        }
        const value = bytes / 1e9 / median(costs.map(({ cpuSeconds }) => cpuSeconds));
        const rssMiB = Math.round(Math.max(...costs.map(({ rssBytes }) => rssBytes)) / 2 ** 20);
        speeds.set(who, value);
        rows.push({ name: `${who}, ${pair.what}`, value, unit: 'GB/s', rssMiB, runs: costs.length });
      }
      for (const who of Object.keys(WAYS)) {
        if (who !== 'numpy' && !pair.plain) continue;
        const beside = (speeds.get('consilium') ?? 0) / (speeds.get(who) ?? Number.POSITIVE_INFINITY);
        marks.push(atLeast(1, `${pair.what}, beside ${who}`, beside, 'times'));
      }
    }
    const checked = pairs.map(({ what, layers, verdict }) => `${layers} tensors ${what} ${verdict}`);
    return { rows, marks, resultHash: digestOf(new TextEncoder().encode(checked.join('; '))) };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
};

function costsOf(
  { plain, order }: Pair,
  { reference, candidate }: { readonly reference: string; readonly candidate: string },
  runs: number,
): ReadonlyMap<string, readonly Cost[]> {
  const ours = [process.execPath, '--import', 'tsx', here('weights-worker.ts'), candidate, reference];
  const theirs = ['python3', here('weights_numpy.py'), candidate, reference];
  const turned = order.length > 0 ? [order.join(',')] : [];
  const contenders = new Map<string, readonly string[]>([
    ['consilium', ours],
    ...Object.entries(WAYS)
      .filter(([who]) => plain || who === 'numpy')
      .map(([who, how]) => [who, [...theirs, how, ...turned]] as const),
  ]);
  const costs = new Map([...contenders.keys()].map((who) => [who, [] as Cost[]]));
  for (let turn = 0; turn < runs; turn++) {
    for (const [who, command] of contenders) {
      const cost = run(command);
      if (cost) costs.get(who)!.push(cost);
    }
  }
  return costs;
}

function run([program, ...parameters]: readonly string[]): Cost | undefined {
  const ran = spawnSync(program!, parameters, { encoding: 'utf8' });
  if (ran.status !== 0) return undefined;
  return JSON.parse(ran.stdout.trim().split('\n').at(-1)!) as Cost;
}
