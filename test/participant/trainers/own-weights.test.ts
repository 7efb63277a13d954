import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { openWeightsFile } from '../../../src/engines/open-weights-file.ts';
import type { ConsiliumError } from '../../../src/errors/problem.ts';
import {
  type ProgramWeights,
  participantSchema,
  programWeightsSchema,
} from '../../../src/participant/config.ts';
import { resolvePaths } from '../../../src/participant/resolve-paths.ts';
import type { TrainerTask } from '../../../src/participant/trainer.ts';
import { globalNorm } from '../../../src/participant/trainers/clip-by-norm.ts';
import { CommandTrainer } from '../../../src/participant/trainers/command.ts';
import { OwnWeights } from '../../../src/participant/trainers/own-weights.ts';
import { type Job, manifestOf } from '../../../src/rounds/job.ts';
import { manifestElements, tensorSpans } from '../../../src/weights/manifest.ts';
import { float32Values } from '../../../src/weights/tensor-values.ts';
import { FIXTURES } from '../../weights/fixtures/fixtures.ts';
import { jobOf, startOf } from './jobs.ts';

const folder = mkdtempSync(join(tmpdir(), 'consilium-own-weights-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const job = jobOf({
  kind: 'cnn',
  input: { channels: 2, height: 5, width: 4 },
  convolutions: [{ channels: 3, pool: 2 }],
  hidden: [],
});

/** What every program begins with; `copy` hands the base back as what was trained. */
const PRELUDE = `
const fs = require('node:fs');
const path = require('node:path');
const folder = process.argv.at(-1);
const task = JSON.parse(fs.readFileSync(path.join(folder, 'task.json'), 'utf8'));
const { base, weights, update } = task.weights;
const done = () => fs.writeFileSync(path.join(folder, 'result.json'), '{"sampleCount": 12}');
const copy = (to) => fs.cpSync(path.join(folder, path.dirname(base), path.basename(base)), path.join(folder, to));
`;

let made = 0;
function trainerOf(source: string, weights: object) {
  made += 1;
  const directory = join(folder, `trainer-${made}`);
  mkdirSync(directory);
  const program = join(directory, 'program.cjs');
  writeFileSync(program, PRELUDE + source);
  const config = {
    kind: 'command' as const,
    command: [process.execPath, program],
    environment: {},
    timeoutMs: 60_000,
    weights: programWeightsSchema.parse(weights),
  };
  return { trainer: new CommandTrainer('script', config, { directory, minimumCount: 2 }), directory };
}

const taskOf = (spec: Job): TrainerTask => ({
  job: spec,
  manifest: manifestOf(spec),
  round: 1,
  base: spec.model.kind === 'external' ? new Float32Array(manifestElements(manifestOf(spec))) : startOf(spec),
  constants: undefined,
  dataset: { kind: 'opaque', path: folder, split: { trainShare: 0.5, seed: 1 } },
  signal: new AbortController().signal,
  onProgress: () => {},
});

const failure = async (source: string, weights: object, spec = job): Promise<ConsiliumError['problem']> => {
  const failed = await trainerOf(source, weights)
    .trainer.train(taskOf(spec))
    .catch((error) => error);
  return failed.problem;
};

const KERAS = { framework: 'keras', format: 'safetensors' };

describe('a program with a layout of its own', () => {
  test('finds the names and the layout of Keras, and what it trained comes back in canonical form', async () => {
    const { trainer, directory } = trainerOf(
      `
      const bytes = fs.readFileSync(path.join(folder, base));
      const head = Number(bytes.readBigUInt64LE(0));
      const header = JSON.parse(bytes.subarray(8, 8 + head));
      fs.writeFileSync(path.join(path.dirname(process.argv[1]), 'seen.json'), JSON.stringify({ weights: task.weights,
        tensors: Object.entries(header).flatMap(([name, { shape }]) => shape ? [[name, shape]] : []) }));
      // The kernel of Keras at row 2, column 0, input 1, output 2, and the dense one behind place 1, channel 2.
      const at = (name, index) => 8 + head + header[name].data_offsets[0] + 4 * index;
      bytes.writeFloatLE(100, at('conv/0/kernel', ((2 * 3 + 0) * 2 + 1) * 3 + 2));
      bytes.writeFloatLE(50, at('dense/0/kernel', 1 * 3 + 2));
      fs.writeFileSync(path.join(folder, weights), bytes);
      done();`,
      KERAS,
    );
    const task = taskOf(job);
    const { update } = await trainer.train(task);
    expect(JSON.parse(readFileSync(join(directory, 'seen.json'), 'utf8'))).toEqual({
      weights: {
        ...KERAS,
        base: 'base.safetensors',
        weights: 'weights.safetensors',
        update: 'update.safetensors',
      },
      tensors: [
        ['conv/0/kernel', [3, 3, 2, 3]],
        ['conv/0/bias', [3]],
        ['dense/0/kernel', [12, 1]],
        ['dense/0/bias', [1]],
      ],
    });
    const [convolution, , dense] = tensorSpans(task.manifest);
    const changed = [
      // OIHW: output 2, input 1, row 2, column 0.
      [convolution!.start + ((2 * 2 + 1) * 3 + 2) * 3 + 0, 100],
      // Channel 2 of four places, place 1.
      [dense!.start + 2 * 4 + 1, 50],
    ] as const;
    const expected = new Float32Array(update.length);
    for (const [at, value] of changed) expected[at] = value - task.base[at]!;
    expect(update).toEqual(expected);
  });

  test('is clipped by what its update is in canonical form', async () => {
    const { trainer } = trainerOf(
      `const bytes = fs.readFileSync(path.join(folder, base));
       bytes.fill(0, 8 + Number(bytes.readBigUInt64LE(0)));
       bytes.writeFloatLE(40, bytes.length - 4);
       fs.writeFileSync(path.join(folder, update), bytes);
       done();`,
      KERAS,
    );
    const { update } = await trainer.train(taskOf({ ...job, clippingNorm: 5 }));
    expect(globalNorm(update)).toBeLessThanOrEqual(5);
    expect(update.at(-1)).toBeCloseTo(5, 5);
  });

  test.each([
    ['npz', { framework: 'keras', format: 'npz' }],
    ['h5', { framework: 'keras', format: 'h5' }],
    ['npz of PyTorch', { framework: 'pytorch', format: 'npz' }],
  ])('gets and gives files of %s', async (_, weights) => {
    const { trainer } = trainerOf('copy(weights); done();', weights);
    const task = taskOf(job);
    expect((await trainer.train(task)).update).toEqual(new Float32Array(task.base.length));
    // The same file as an update is the base itself.
    const other = trainerOf('copy(update); done();', weights);
    expect((await other.trainer.train(task)).update).toEqual(task.base);
  });

  test('gets and gives a model.json of TensorFlow.js with its shards', async () => {
    const { trainer } = trainerOf(
      'fs.cpSync(path.join(folder, path.dirname(base)), path.join(folder, path.dirname(update)), { recursive: true }); done();',
      { framework: 'tfjs', format: 'tfjs' },
    );
    const task = taskOf(job);
    expect((await trainer.train(task)).update).toEqual(task.base);
  });

  test('gets the model of Keras that is its template, with the global weights in it', async () => {
    const pytorch = await openWeightsFile(join(FIXTURES, 'probe', 'image.pt'));
    const floats = pytorch.tensors.filter(({ dtype }) => dtype === 'float32');
    const image = jobOf(
      { kind: 'external', tensors: floats.map(({ name, shape }) => ({ name, shape: [...shape] })) },
      { initialWeights: { file: 'image.safetensors' } },
    );
    const base = new Float32Array(floats.flatMap((tensor) => [...float32Values(tensor)]));
    pytorch.close();
    const template = join(FIXTURES, 'probe', 'image.keras');
    const weights = programWeightsSchema.parse({
      framework: 'keras',
      format: 'keras',
      template,
      flatten: { fc1: [8, 4, 3] },
    });
    const own = await OwnWeights.plan(weights, image.model, manifestOf(image));
    const place = mkdtempSync(join(folder, 'keras-'));
    await own.write(place, 'base', base);
    const [written, theirs] = [
      await openWeightsFile(join(place, 'base.keras')),
      await openWeightsFile(template),
    ];
    // The template was saved from the same weights by Keras.
    expect(written.tensors.map((tensor) => [tensor.name, float32Values(tensor)])).toEqual(
      theirs.tensors.map((tensor) => [tensor.name, float32Values(tensor)]),
    );
    written.close();
    theirs.close();
  });
});

describe('what a program does wrong is told by the name of the tensor, and never by a path', () => {
  test.each<[string, object, string]>([
    ['done();', KERAS, 'it wrote neither update.safetensors nor weights.safetensors'],
    [
      'copy(weights); copy(update); done();',
      KERAS,
      'it wrote both update.safetensors and weights.safetensors',
    ],
    [
      "fs.symlinkSync('/etc/passwd', path.join(folder, weights)); done();",
      KERAS,
      'its weights.safetensors cannot be read: it is a link',
    ],
    [
      "fs.writeFileSync(path.join(folder, weights), 'nothing'); done();",
      KERAS,
      'its weights.safetensors cannot be read: weights.safetensors ',
    ],
    [
      `const bytes = fs.readFileSync(path.join(folder, base));
       fs.writeFileSync(path.join(folder, weights), Buffer.from(bytes.toString('latin1').replace('dense/0/kernel', 'dense/0/kernol'), 'latin1'));
       done();`,
      KERAS,
      'its weights.safetensors does not fit: tensor dense/0/kernel is missing',
    ],
    [
      `const bytes = fs.readFileSync(path.join(folder, base));
       bytes.writeFloatLE(NaN, bytes.length - 4);
       fs.writeFileSync(path.join(folder, weights), bytes);
       done();`,
      KERAS,
      'tensor dense.0.bias of its weights.safetensors is not finite at element 0',
    ],
  ])('%#', async (source, weights, reason) => {
    const problem = await failure(source, weights);
    expect(problem.code).toBe('TRAINER_FAILED');
    expect(problem.details.reason).toContain(`the program broke the contract: ${reason}`);
    expect(problem.details.reason).not.toContain(folder);
  });

  test('a map that may be flattened is asked for as the site has to say it, and [] says that there is none', async () => {
    const pooled = jobOf(
      {
        kind: 'external',
        tensors: [
          { name: 'stem.weight', shape: [8, 2, 3, 3] },
          { name: 'mix.weight', shape: [3, 16] },
          { name: 'mix.bias', shape: [3] },
        ],
      },
      { initialWeights: { file: 'start.safetensors' } },
    );
    const { details } = await failure('process.exit(3);', KERAS, pooled);
    expect(details.reason).toContain('say which, such as flatten: { mix: [8, 2] } or flatten: { mix: [] }');
    expect(details.reason).not.toContain('--');
    const rows = await Promise.all(
      [[], [8, 2]].map(async (mix) => {
        const weights = programWeightsSchema.parse({ ...KERAS, flatten: { mix } });
        const own = await OwnWeights.plan(weights, pooled.model, manifestOf(pooled));
        const place = mkdtempSync(join(folder, 'pooled-'));
        const values = Float32Array.from({ length: 144 + 48 + 3 }, (_, at) => at);
        await own.write(place, 'base', values);
        const written = await openWeightsFile(join(place, 'base.safetensors'));
        const kernel = float32Values(written.tensors.find(({ name }) => name === 'mix/kernel')!);
        written.close();
        // Where input 1 stood: the second of all, or channel 0 at place 1, which comes behind 8 channels at place 0.
        return [...kernel].indexOf(145) / 3;
      }),
    );
    expect(rows).toEqual([1, 8]);
  });

  test('a template and heads are asked for as the site has to say them', async () => {
    const onnx = { framework: 'onnx', format: 'safetensors' };
    expect((await failure('process.exit(3);', onnx)).details.reason).toContain(
      'name a manifest, or with template: the ONNX model whose weights are replaced',
    );
    const attention = jobOf(
      {
        kind: 'external',
        tensors: [
          { name: 'mix.in_proj_weight', shape: [12, 4] },
          { name: 'mix.in_proj_bias', shape: [12] },
          { name: 'mix.out_proj.weight', shape: [4, 4] },
          { name: 'mix.out_proj.bias', shape: [4] },
        ],
      },
      { initialWeights: { file: 'start.safetensors' } },
    );
    const { details } = await failure('process.exit(3);', KERAS, attention);
    expect(details.reason).toContain('say layers: { mix: { op: MultiheadAttention, count: HEADS } }');
  });

  test('a model that does not convert is refused before the program starts, with every reason', async () => {
    const attention = jobOf(
      {
        kind: 'external',
        tensors: [
          { name: 'attention.in_proj_weight', shape: [12, 4] },
          { name: 'attention.out_proj.weight', shape: [4, 4] },
        ],
      },
      { initialWeights: { file: 'start.safetensors' } },
    );
    expect(await failure('process.exit(3);', KERAS, attention)).toEqual({
      code: 'WEIGHTS_UNCONVERTIBLE',
      details: { framework: 'keras', reason: expect.stringContaining('attention: ') },
    });
  });
});

describe('the configuration', () => {
  const configured = (weights: object) =>
    participantSchema.safeParse({
      apiVersion: 'consilium/v1',
      site: 'a',
      federation: 'f',
      coordinator: 'localhost:1',
      authorityFingerprint: `sm3:${'0'.repeat(64)}`,
      trainers: { keras: { kind: 'command', command: ['python3'], weights } },
    });

  test('refuses a format that the framework has no weights in, and a model without its template', () => {
    const told = (weights: object) => configured(weights).error?.issues.map(({ message }) => message);
    expect(told({ framework: 'keras', format: 'onnx', template: 'm.onnx' })).toEqual([
      'keras has its weights in h5, keras, npz, safetensors',
    ]);
    expect(told({ framework: 'keras', format: 'keras' })).toEqual([
      'keras holds the model too: name one as template',
    ]);
  });

  test('names templates and manifests from its own folder', () => {
    const parsed = configured({
      framework: 'keras',
      format: 'h5',
      template: 'm.weights.h5',
      manifest: 'm.json',
    });
    expect(resolvePaths(parsed.data!, '/srv/site').trainers.keras).toMatchObject({
      weights: {
        template: '/srv/site/m.weights.h5',
        manifest: '/srv/site/m.json',
      } satisfies Partial<ProgramWeights>,
    });
  });

  test('a trainer whose template is not there is not offered', async () => {
    const { trainer } = trainerOf('done();', {
      framework: 'keras',
      format: 'h5',
      template: join(folder, 'none.weights.h5'),
    });
    await expect(trainer.backend()).rejects.toMatchObject({ problem: { code: 'WEIGHTS_UNREADABLE' } });
  });
});
