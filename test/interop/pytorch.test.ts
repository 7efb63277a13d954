import { spawnSync } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, test } from 'vitest';
import { openWeightsFile } from '../../src/engines/open-weights-file.ts';
import { openTensorBackend } from '../../src/engines/tensor-backend.ts';
import type { DatasetConfig } from '../../src/participant/config.ts';
import { openDataset } from '../../src/participant/datasets/open-dataset.ts';
import { splitRows } from '../../src/participant/datasets/split.ts';
import { UCI_FEATURES } from '../../src/participant/datasets/uci-heart-disease.ts';
import { probeWeights } from '../../src/participant/probe-weights.ts';
import type { TrainerTask } from '../../src/participant/trainer.ts';
import { globalNorm } from '../../src/participant/trainers/clip-by-norm.ts';
import { CommandTrainer } from '../../src/participant/trainers/command.ts';
import { logitsOf } from '../../src/participant/trainers/local-evaluation.ts';
import { shuffleSeed } from '../../src/participant/trainers/shuffle-seed.ts';
import { TfjsTrainer } from '../../src/participant/trainers/tfjs.ts';
import { type Job, manifestOf } from '../../src/rounds/job.ts';
import { seededRandom } from '../../src/rounds/seeded-random.ts';
import { hasControls } from '../../src/rounds/strategy.ts';
import { encodeSafetensors } from '../../src/weights/formats/safetensors.ts';
import { PROBE_KINDS, probesOf } from '../../src/weights/probes/probe-inputs.ts';
import { float32Values } from '../../src/weights/tensor-values.ts';
import { writeImages } from '../participant/trainers/images.ts';
import { jobOf, relativeL2, rowsFor, startOf } from '../participant/trainers/jobs.ts';

const EXAMPLE = fileURLToPath(new URL('../../examples/pytorch', import.meta.url));
const torch = spawnSync('python3', ['-c', 'import torch; print(torch.__version__)'], { encoding: 'utf8' });
// In CI a missing PyTorch fails the tests instead of skipping them.
const skip = torch.status !== 0 && process.env.CI !== 'true';
if (skip) console.warn('PyTorch is not installed for python3: its interoperability tests are skipped');

const folder = mkdtempSync(join(tmpdir(), 'consilium-pytorch-'));
const tfjs = new TfjsTrainer('tfjs', { kind: 'tfjs', backend: 'wasm' }, { minimumCount: 2 });
const command = { kind: 'command' as const, command: ['python3', 'train.py'], workingDirectory: EXAMPLE };
// Python keeps no compiled files beside the example.
const environment = { PYTHONDONTWRITEBYTECODE: '1' };
const pytorch = new CommandTrainer(
  'pytorch',
  { ...command, environment, timeoutMs: 300_000 },
  { directory: join(folder, 'trainer'), minimumCount: 2 },
);
afterAll(async () => {
  await Promise.all([tfjs.close(), pytorch.close()]);
  rmSync(folder, { recursive: true, force: true });
});

/** The example with a network of its own: a batch norm, layers that give several outputs, parameters at the root. */
function ownNet(name: string, more: string) {
  const program = join(folder, name);
  cpSync(EXAMPLE, program, { recursive: true });
  const source = readFileSync(join(program, 'net.py'), 'utf8');
  const [head, rest] = [source.indexOf('class Net'), source.indexOf('if __name__')];
  const net = `class Net(nn.Module):
    input_shape = (1, 10, 8)

    def __init__(self) -> None:
        super().__init__()
        self.start = nn.Parameter(torch.zeros(8))
        self.norm = nn.BatchNorm2d(1)
        self.memory = nn.GRU(8, 6, batch_first=True)
        self.mix = nn.MultiheadAttention(6, 2, batch_first=True)
        self.head = nn.Linear(6, 3)
        ${more}

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        seen, _ = self.memory(self.norm(rows + self.start)[:, 0])
        mixed, _ = self.mix(seen, seen, seen)
        return self.head(mixed[:, -1]) * self.scale

`;
  writeFileSync(join(program, 'net.py'), source.slice(0, head) + net + source.slice(rest));
  const config = { ...command, command: ['python3', 'own_model.py'], workingDirectory: program };
  const trainer = new CommandTrainer(
    name,
    { ...config, environment, timeoutMs: 300_000 },
    { directory: join(folder, `${name}-trainer`), minimumCount: 2 },
  );
  return { program, trainer };
}

const split = { trainShare: 0.66, seed: 1 };

/** A table like a hospital's: columns of different scales, values missing in several spellings. */
function writeTable(name: string, header: string, width: number, labels: number): string {
  const random = seededRandom(5, name);
  const missing = ['', '?', '-9'];
  const lines = Array.from({ length: 150 }, () => {
    const cells = Array.from({ length: width }, (_, column) => (random.unit() - 0.4) * 10 ** (column % 4));
    const label = Math.min(labels - 1, Math.max(0, Math.round(cells[0]! * 2 + random.unit())));
    const spelled = cells.map((cell) => (random.unit() < 0.15 ? missing[random.below(3)] : cell.toFixed(3)));
    return [...spelled, label].join(',');
  });
  const path = join(folder, name);
  writeFileSync(path, `${header}${lines.join('\n')}\n`);
  return path;
}

const uci: DatasetConfig = {
  kind: 'tabular',
  path: writeTable('processed.test.data', '', 13, 2),
  format: 'auto',
  split,
};
const csv: DatasetConfig = {
  kind: 'tabular',
  path: writeTable('classes.csv', 'f0,f1,f2,f3,f4,kind\n', 5, 3),
  format: 'csv',
  target: 'kind',
  split: { trainShare: 0.5, seed: 77 },
};

function taskOf(job: Job, dataset: DatasetConfig): TrainerTask {
  const features = job.model.kind === 'mlp' ? job.model.features : [];
  const random = seededRandom(6, 'correction');
  return {
    ...(hasControls(job.strategy) && { correction: startOf(job).map(() => 0.2 * (random.unit() - 0.5)) }),
    job,
    manifest: manifestOf(job),
    round: 4,
    base: startOf(job),
    constants: features.map((name, place) => ({
      name,
      mean: 0.1 * place,
      deviation: 3 * 10 ** (place % 4),
      count: 100,
    })),
    dataset,
    signal: new AbortController().signal,
    onProgress: () => {},
  };
}

const imageModel = {
  kind: 'cnn',
  input: { channels: 2, height: 9, width: 7 },
  convolutions: [
    { channels: 4, kernel: 3, pool: 2, batchNorm: true },
    { channels: 5, kernel: 2, stride: 2 },
  ],
  hidden: [6],
  outputs: 3,
};
const heart = { kind: 'mlp', features: [...UCI_FEATURES], hidden: [16] };
const classes = { kind: 'mlp', features: ['f3', 'f0', 'f1'], hidden: [6, 5], activation: 'tanh', outputs: 3 };

// Each run starts a Python that loads PyTorch, which takes seconds, and more on a busy machine.
describe.skipIf(skip)('the PyTorch example', { timeout: 600_000 }, () => {
  test('runs under a PyTorch that is there', () => {
    expect(torch).toMatchObject({ status: 0, stdout: expect.stringMatching(/^2\.13\.0/) });
  });

  test('gives on probes what the tfjs trainer gives, layer by layer', async () => {
    const job = jobOf(classes);
    const probes = probesOf({ seed: 3, batch: 2, inputs: [{ shape: [3] }], kinds: PROBE_KINDS });
    const { manifest, base, signal } = taskOf(job, csv);
    const task = { job, manifest, base, probes, signal };
    const [theirs, ours] = [await pytorch.probe(task), await tfjs.probe(task)];
    expect(theirs.engine).toMatch(/^pytorch 2\.13\.0/);
    for (const [nth, { layers, outputs }] of ours.probes.entries()) {
      expect(layers.map(({ layer }) => layer)).toEqual(['dense.0', 'dense.1', 'dense.2']);
      const pairs = layers.map(({ layer, output }) => {
        const own = theirs.probes[nth]!.layers.find((one) => one.layer === layer)!.output;
        return [own, output] as const;
      });
      for (const [own, other] of [...pairs, [theirs.probes[nth]!.outputs[0]!, outputs[0]!] as const]) {
        expect(own.shape).toEqual(other.shape);
        expect(relativeL2(own.values, other.values)).toBeLessThan(1e-5);
      }
    }
  });

  test('passes the probe of a cnn, and fails it at the layer that a conversion got wrong', async () => {
    const job = jobOf({
      kind: 'cnn',
      input: { channels: 2, height: 7, width: 6 },
      convolutions: [{ channels: 3, pool: 2 }],
      hidden: [5],
      outputs: 2,
    });
    const wrong = join(folder, 'wrong');
    cpSync(EXAMPLE, wrong, { recursive: true });
    const source = readFileSync(join(wrong, 'train.py'), 'utf8');
    const load = 'read_safetensors(folder / "base.safetensors")';
    expect(source).toContain(load);
    // The order of a channels-last framework, which the shape does not betray.
    const flatten = 'w["dense.0.weight"].reshape(5, 3, 3, 3).permute(0, 2, 3, 1).reshape(5, 27)';
    const misread = `(lambda w: {**w, "dense.0.weight": ${flatten}})(${load})`;
    writeFileSync(join(wrong, 'train.py'), source.replace(load, misread));
    const mistaken = new CommandTrainer(
      'mistaken',
      { ...command, workingDirectory: wrong, environment, timeoutMs: 300_000 },
      { directory: join(folder, 'mistaken'), minimumCount: 2 },
    );
    const task = { job, manifest: manifestOf(job), base: startOf(job), signal: new AbortController().signal };
    const right = await probeWeights(pytorch, task);
    expect(right.layers.map(({ layer }) => layer)).toEqual(['conv.0', 'dense.0', 'dense.1', 'output']);
    for (const { relativeL2 } of right.layers) expect(relativeL2).toBeLessThan(1e-5);
    const { layers } = await probeWeights(mistaken, task);
    await mistaken.close();
    expect(layers.find(({ relativeL2 }) => relativeL2 > 1e-5)?.layer).toBe('dense.0');
  });

  test.each<[string, DatasetConfig, Job]>([
    [
      'full batches on a UCI Heart Disease file',
      uci,
      jobOf(heart, { trainer: { batchSize: 1000, epochs: 5, learningRate: 0.3 } }),
    ],
    [
      'shuffled batches, weight decay and the proximal term',
      uci,
      jobOf(heart, {
        seed: 11,
        strategy: { name: 'fedprox', mu: 0.5 },
        trainer: { batchSize: 16, epochs: 3, learningRate: 0.1, weightDecay: 0.02 },
      }),
    ],
    [
      "SCAFFOLD's correction and weight decay",
      uci,
      jobOf(heart, {
        strategy: { name: 'scaffold' },
        trainer: { batchSize: 16, epochs: 3, learningRate: 0.1, weightDecay: 0.02 },
      }),
    ],
    [
      'three classes of a CSV file, columns in another order',
      csv,
      jobOf(classes, { trainer: { batchSize: 1000, epochs: 8, learningRate: 0.5 } }),
    ],
    [
      'a cnn with a batch norm on images',
      writeImages(join(folder, 'images.data'), [2, 9, 7], 90, 3),
      jobOf(imageModel, { trainer: { batchSize: 15, epochs: 3, learningRate: 0.3, weightDecay: 0.01 } }),
    ],
  ])('trains and evaluates as the tfjs trainer does: %s', async (_, dataset, job) => {
    const task = taskOf(job, dataset);
    const theirs = await pytorch.train(task);
    const ours = await tfjs.train(task);
    expect(theirs).toMatchObject({
      sampleCount: ours.sampleCount,
      localSteps: ours.localSteps,
      metrics: { loss: expect.closeTo(ours.metrics.loss!, 4) },
      backend: expect.stringMatching(/^pytorch 2\.13\.0/),
    });
    expect(relativeL2(theirs.update, ours.update)).toBeLessThanOrEqual(1e-4);
    // The weights did move: two trainers that do nothing agree as well.
    expect(globalNorm(ours.update) / globalNorm(task.base)).toBeGreaterThan(0.05);
    expect((await pytorch.train(task)).update).toEqual(theirs.update);

    const trained = { ...task, base: task.base.map((value, at) => value + ours.update[at]!) };
    const own = await tfjs.evaluate(trained);
    const other = await pytorch.evaluate(trained);
    expect(other.sampleCount).toBe(own.sampleCount);
    expect(other.metrics).toEqual(
      Object.fromEntries(
        Object.entries(own.metrics).map(([name, value]) => [name, expect.closeTo(value, 5)]),
      ),
    );
  });

  test('splits and shuffles rows as the site does, and reads the same numbers', async () => {
    const cases = [0, 1, 2, 3, 10, 303].flatMap((count) =>
      [0.1, 0.5, 0.66, 0.999].map((share) => ({ count, share, seed: count + 2 ** 32 - 5 })),
    );
    const task = taskOf(jobOf(heart), uci);
    const script = `
import json, sys
from rows import read_rows
from tabular import shuffled_indices, split_rows, splitmix32
asked = json.load(sys.stdin)
draw = splitmix32(asked["seed"])
print(json.dumps({
  "splits": [split_rows(one["count"], one["share"], one["seed"]) for one in asked["cases"]],
  "draws": [draw() for _ in range(5)],
  "train": read_rows(asked["task"], "train").inputs.tolist(),
  "test": read_rows(asked["task"], "test").targets.tolist(),
}))`;
    const seed = shuffleSeed(3, 2);
    const ran = spawnSync('python3', ['-c', script], {
      cwd: EXAMPLE,
      env: { ...process.env, ...environment },
      input: JSON.stringify({
        cases,
        seed,
        task: { job: task.job, dataset: { ...uci, name: 'heart' }, constants: task.constants },
      }),
      encoding: 'utf8',
    });
    expect(ran.stderr).not.toContain('Traceback');
    const answered = JSON.parse(ran.stdout);
    expect(answered.splits).toEqual(
      cases.map(({ count, share, seed }) => {
        const { train, test } = splitRows(count, share, seed);
        return [[...train], [...test]];
      }),
    );
    const rows = await openDataset(uci, task.job, task.constants);
    expect(Float32Array.from(answered.train)).toEqual(rows.train.inputs);
    expect(Float32Array.from(answered.test)).toEqual(rows.test.targets);
  });

  test('has the layouts that the tfjs network converts from: a CNN gives the same logits', async () => {
    const model = {
      kind: 'cnn',
      input: { channels: 2, height: 11, width: 9 },
      convolutions: [
        { channels: 5, kernel: 3, pool: 2 },
        { channels: 4, kernel: 4, stride: 2 },
      ],
      hidden: [7],
      outputs: 3,
    };
    const job = jobOf(model);
    const manifest = manifestOf(job);
    const rows = rowsFor(job.model, 6);
    const weights = join(folder, 'cnn.safetensors');
    writeFileSync(weights, encodeSafetensors(manifest, startOf(job)));
    const inputs = join(folder, 'images.safetensors');
    const images = { name: 'inputs', dtype: 'float32' as const, shape: [6, 2, 11, 9] };
    writeFileSync(inputs, encodeSafetensors({ schemaVersion: '1.0.0', tensors: [images] }, rows.inputs));
    const script = `
import json, sys
from pathlib import Path
import torch.nn.functional as F
from contract import read_safetensors
w = read_safetensors(Path(sys.argv[1]))
x = read_safetensors(Path(sys.argv[2]))["inputs"]
x = F.max_pool2d(F.relu(F.conv2d(x, w["conv.0.weight"], w["conv.0.bias"], padding=1)), 2)
x = F.relu(F.conv2d(x, w["conv.1.weight"], w["conv.1.bias"], stride=2, padding=2))
x = F.relu(F.linear(x.flatten(1), w["dense.0.weight"], w["dense.0.bias"]))
print(json.dumps(F.linear(x, w["dense.1.weight"], w["dense.1.bias"]).flatten().tolist()))`;
    const ran = spawnSync('python3', ['-c', script, weights, inputs], {
      cwd: EXAMPLE,
      env: { ...process.env, ...environment },
      encoding: 'utf8',
    });
    expect(ran.stderr).not.toContain('Traceback');
    const { tf } = await openTensorBackend('wasm');
    const logits = logitsOf(tf, job.model, manifest, startOf(job), rows, () => {});
    expect(relativeL2(logits, Float32Array.from(JSON.parse(ran.stdout) as number[]))).toBeLessThan(1e-5);
  });

  test('trains a network of its own by the tensors of the job, and leaves what a later version has more', async () => {
    const [same, ahead] = [
      ownNet('same', 'self.scale = 1'),
      ownNet('ahead', 'self.scale = nn.Parameter(torch.ones(3))'),
    ];
    const written = spawnSync('python3', ['net.py', 'net.safetensors'], {
      cwd: same.program,
      env: { ...process.env, ...environment },
      encoding: 'utf8',
    });
    expect(written.stderr).toBe('');
    const start = await openWeightsFile(join(same.program, 'net.safetensors'));
    const tensors = start.tensors.map(({ name, shape }) => ({ name, shape: [...shape] }));
    const base = new Float32Array(start.tensors.flatMap((tensor) => [...float32Values(tensor)]));
    start.close();
    expect(tensors.map(({ name }) => name)).not.toContain('norm.num_batches_tracked');
    const job = jobOf(
      { kind: 'external', tensors },
      {
        initialWeights: { file: 'net.safetensors' },
        trainer: { batchSize: 15, epochs: 2, learningRate: 0.3 },
      },
    );
    const dataset = writeImages(join(folder, 'series.safetensors'), [1, 10, 8], 60, 3);
    const task = { ...taskOf(jobOf(heart), dataset), job, manifest: manifestOf(job), base };
    const [update, later] = [await same.trainer.train(task), await ahead.trainer.train(task)];
    expect(globalNorm(update.update)).toBeGreaterThan(0.01);
    // What the later version has more was not trained: else the gradients of the others would differ.
    expect(later.update).toEqual(update.update);

    const probes = probesOf({ seed: 3, batch: 2, inputs: [{ shape: [1, 10, 8] }], kinds: PROBE_KINDS });
    const found = await ahead.trainer.probe({
      job,
      manifest: manifestOf(job),
      base,
      probes,
      signal: task.signal,
    });
    const shapes = found.probes[0]!.layers.map(({ layer, output }) => [layer, output.shape]);
    expect(Object.fromEntries(shapes)).toEqual({
      norm: [2, 1, 10, 8],
      memory: [2, 10, 6],
      mix: [2, 10, 6],
      head: [2, 3],
    });
  });

  test('tells progress up to the end', async () => {
    const told: [number, number | undefined][] = [];
    const job = jobOf(heart, { trainer: { batchSize: 10, epochs: 2 } });
    await pytorch.train({ ...taskOf(job, uci), onProgress: (...progress) => told.push(progress) });
    expect(told.length).toBeGreaterThan(5);
    expect(told.at(-1)).toEqual([1, expect.any(Number)]);
    expect(told.map(([fraction]) => fraction)).toEqual(
      told.map(([fraction]) => fraction).sort((a, b) => a - b),
    );
  });

  test('refuses a model that it does not know, in its own words, at the site', async () => {
    const job = jobOf(
      { kind: 'external', tensors: [{ name: 'weight', shape: [2] }] },
      { initialWeights: { file: 'start.safetensors' } },
    );
    const failed = await pytorch
      .train({ ...taskOf(jobOf(heart), uci), job, manifest: manifestOf(job), base: new Float32Array(2) })
      .catch((error) => error);
    expect(failed.problem).toMatchObject({ code: 'TRAINER_FAILED' });
    expect(failed.cause.message).toBe('this program trains mlp and cnn models, not external');
  });
});
