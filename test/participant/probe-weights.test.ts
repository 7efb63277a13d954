import { setTimeout as pause } from 'node:timers/promises';
import { afterAll, describe, expect, test } from 'vitest';
import type { ConsiliumError } from '../../src/errors/problem.ts';
import { probeWeights } from '../../src/participant/probe-weights.ts';
import type { ProbeTask } from '../../src/participant/trainer.ts';
import { TfjsTrainer } from '../../src/participant/trainers/tfjs.ts';
import { type Job, manifestOf } from '../../src/rounds/job.ts';
import { permuteAxes } from '../../src/weights/layouts/permute-axes.ts';
import { tensorSpans } from '../../src/weights/manifest.ts';
import { jobOf, startOf } from './trainers/jobs.ts';

const tfjs = new TfjsTrainer('tfjs', { kind: 'tfjs', backend: 'cpu' }, { minimumCount: 2 });
afterAll(() => tfjs.close());

const images = { channels: 2, height: 7, width: 6 };
const cnn = jobOf({
  kind: 'cnn',
  input: images,
  convolutions: [
    { channels: 4, kernel: 3, pool: 2 },
    { channels: 4, kernel: 3, stride: 2, batchNorm: true },
  ],
  hidden: [6, 6],
  outputs: 3,
});
const square = jobOf({
  kind: 'cnn',
  input: { channels: 3, height: 8, width: 8 },
  convolutions: [{ channels: 3, kernel: 5, pool: 3 }],
  outputs: 1,
});
const mlp = jobOf({ kind: 'mlp', features: ['a', 'b', 'c'], hidden: [5, 5], activation: 'tanh', outputs: 2 });

const taskOf = (job: Job) => ({
  job,
  manifest: manifestOf(job),
  base: startOf(job),
  signal: new AbortController().signal,
});

/** A trainer that misreads one tensor on the way into its network, and is right in everything else. */
const misreading = (tensor: string, change: (values: Float32Array) => Float32Array) => ({
  probe: (task: ProbeTask) => {
    const base = Float32Array.from(task.base);
    const span = tensorSpans(task.manifest).find((one) => one.tensor.name === tensor)!;
    base.set(change(base.slice(span.start, span.start + span.length)), span.start);
    return tfjs.probe({ ...task, base });
  },
});

async function firstOff(job: Job, trainer: Parameters<typeof probeWeights>[0]): Promise<string | undefined> {
  const { layers } = await probeWeights(trainer, taskOf(job));
  return layers.find(({ relativeL2 }) => relativeL2 > 1e-5)?.layer;
}

/** Threads of this process beside its main one. */
const threads = () => (process.report.getReport() as unknown as { workers: unknown[] }).workers.length;

describe('the probe of the weights', () => {
  test.each([
    ['a perceptron', mlp, ['dense.0', 'dense.1', 'dense.2', 'output']],
    [
      'a convolutional network',
      cnn,
      ['conv.0', 'conv.1', 'norm.1', 'dense.0', 'dense.1', 'dense.2', 'output'],
    ],
    ['one of square images', square, ['conv.0', 'dense.0', 'output']],
  ])('passes where the trainer is right: %s', async (_, job, names) => {
    const { engine, layers } = await probeWeights(tfjs, taskOf(job));
    expect(engine).toMatch(/^tfjs-cpu/);
    expect(layers.map(({ layer }) => layer)).toEqual(names);
    for (const { relativeL2 } of layers) expect(relativeL2).toBeLessThan(1e-6);
  });

  test.each<[string, Job, string, (values: Float32Array) => Float32Array, string]>([
    [
      'a square matrix transposed',
      cnn,
      'dense.1.weight',
      (values) => permuteAxes(values, [6, 6], [1, 0]),
      'dense.1',
    ],
    ['one of tanh', mlp, 'dense.1.weight', (values) => permuteAxes(values, [5, 5], [1, 0]), 'dense.1'],
    [
      'height and width of a kernel exchanged',
      cnn,
      'conv.0.weight',
      (values) => permuteAxes(values, [4, 2, 3, 3], [0, 1, 3, 2]),
      'conv.0',
    ],
    [
      'inputs and outputs of a kernel exchanged',
      cnn,
      'conv.1.weight',
      (values) => permuteAxes(values, [4, 4, 3, 3], [1, 0, 2, 3]),
      'conv.1',
    ],
    [
      'a map flattened channels last',
      square,
      'dense.0.weight',
      (values) => permuteAxes(values, [1, 3, 2, 2], [0, 2, 3, 1]),
      'dense.0',
    ],
    ['a batch norm whose scale is lost', cnn, 'norm.1.weight', (values) => values.fill(0.5), 'norm.1'],
    ['a bias left out', cnn, 'conv.1.bias', (values) => values.fill(0), 'conv.1'],
    ['one sign flipped', cnn, 'conv.0.weight', (values) => values.with(3, -values[3]!), 'conv.0'],
  ])('names the layer: %s', async (_, job, tensor, change, layer) => {
    expect(await firstOff(job, misreading(tensor, change))).toBe(layer);
  });

  test('is failed by an end that is missing, misshapen or not finite, even where no layer is shown', async () => {
    const answering = (values: Float32Array, shape: number[]) => ({
      probe: async ({ probes }: ProbeTask) => ({
        engine: 'mute',
        channelsLast: false,
        probes: probes.map(() => ({ layers: [], outputs: values.length > 0 ? [{ shape, values }] : [] })),
      }),
    });
    const before = threads();
    for (const trainer of [
      answering(new Float32Array(0), []),
      answering(new Float32Array(2), [1, 2]),
      answering(new Float32Array(8).fill(Number.NaN), [4, 2]),
    ]) {
      const { layers } = await probeWeights(trainer, taskOf(mlp));
      expect(layers).toEqual([{ layer: 'output', relativeL2: Number.MAX_VALUE, probe: 'normal' }]);
    }
    expect(threads(), 'threads left behind').toBe(before);
  });

  test('leaves the process to its heartbeats while a large convolution is computed, and ends with its signal', async () => {
    // Filters far beyond the bounds of a job: in plain JavaScript this layer takes an hour.
    const model = {
      ...square.model,
      input: { channels: 1, height: 700, width: 700 },
      convolutions: [{ channels: 8, kernel: 401, stride: 1, pool: 350, batchNorm: false }],
    };
    const large = { ...square, model } as Job;
    const before = threads();
    const abort = new AbortController();
    let asked = 0;
    const trainer = {
      probe: async () => {
        asked += 1;
        return { engine: 'mute', channelsLast: false, probes: [] };
      },
    };
    const probing = probeWeights(trainer, { ...taskOf(large), signal: abort.signal });
    const ended = probing.catch((error: ConsiliumError) => error.problem);
    for (let beat = 0; beat < 20; beat++) await pause(10);
    abort.abort('its job is over');
    expect(await ended).toEqual({ code: 'WITHDRAWN', details: { reason: 'its job is over' } });
    expect(asked).toBe(0);
    expect(threads(), 'threads left behind').toBe(before);
  });
});
