import { execFile } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { afterAll, describe, expect, test } from 'vitest';
import type { ConsiliumError } from '../../../src/errors/problem.ts';
import type { DatasetConfig } from '../../../src/participant/config.ts';
import type { TrainerTask } from '../../../src/participant/trainer.ts';
import { globalNorm } from '../../../src/participant/trainers/clip-by-norm.ts';
import { type CommandSite, CommandTrainer } from '../../../src/participant/trainers/command.ts';
import { shuffleSeed } from '../../../src/participant/trainers/shuffle-seed.ts';
import { type Job, manifestOf } from '../../../src/rounds/job.ts';
import { encodeSafetensors, readSafetensors, valuesFor } from '../../../src/weights/formats/safetensors.ts';
import { probesOf } from '../../../src/weights/probes/probe-inputs.ts';
import { jobOf, startOf } from './jobs.ts';

const folder = mkdtempSync(join(tmpdir(), 'consilium-command-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const job = jobOf({ kind: 'mlp', features: ['a', 'b'], hidden: [] }, { seed: 9 });
const dataset: DatasetConfig = {
  kind: 'opaque',
  path: join(folder, 'rows'),
  split: { trainShare: 0.5, seed: 4 },
};

/** Lines that every test program begins with; `give` writes what a good program writes. */
const PRELUDE = `
const fs = require('node:fs');
const path = require('node:path');
const folder = process.argv.at(-1);
const at = (name) => path.join(folder, name);
const task = JSON.parse(fs.readFileSync(at('task.json'), 'utf8'));
const base = fs.readFileSync(at('base.safetensors'));
function give(name, values, result = { sampleCount: 12, metrics: { loss: 0.5 } }) {
  const out = Buffer.from(base);
  if (values) Buffer.from(Float32Array.from(values).buffer).copy(out, out.length - 4 * values.length);
  if (name) fs.writeFileSync(at(name), out);
  fs.writeFileSync(at('result.json'), typeof result === 'string' ? result : JSON.stringify(result));
}
`;

let made = 0;
function trainerOf(
  source: string,
  site: Partial<CommandSite> & { timeoutMs?: number; environment?: Record<string, string> } = {},
) {
  made += 1;
  const directory = join(folder, `trainer-${made}`);
  mkdirSync(directory);
  const program = join(directory, 'program.cjs');
  writeFileSync(program, PRELUDE + source);
  const { timeoutMs = 60_000, environment = {}, ...rest } = site;
  const config = { kind: 'command' as const, command: [process.execPath, program], environment, timeoutMs };
  const trainer = new CommandTrainer('script', config, { directory, minimumCount: 2, ...rest });
  return { trainer, directory };
}

function taskOf(parts: Partial<TrainerTask> = {}, spec: Job = job): TrainerTask {
  return {
    job: spec,
    manifest: manifestOf(spec),
    round: 3,
    base: startOf(spec),
    constants: undefined,
    dataset,
    signal: new AbortController().signal,
    onProgress: () => {},
    ...parts,
  };
}

const failure = (promise: Promise<unknown>): Promise<ConsiliumError> =>
  promise.then(
    () => {
      throw new Error('it did not fail');
    },
    (error) => error,
  );

async function reasonOf(source: string): Promise<string | undefined> {
  const { problem } = await failure(trainerOf(source).trainer.train(taskOf()));
  expect(problem.code).toBe('TRAINER_FAILED');
  return problem.details.reason?.replace(/^see \S+\.log at the site: /, '');
}

function outputOf(directory: string): string {
  const [name] = readdirSync(join(directory, 'output'));
  return readFileSync(join(directory, 'output', name!), 'utf8');
}

async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await pause(10);
}

function lives(pid: number): boolean {
  try {
    // A zombie that nobody has reaped yet is dead all the same.
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    if (existsSync('/proc/self/status')) return false;
    try {
      return process.kill(pid, 0);
    } catch {
      return false;
    }
  }
}

test('a program finds its task and the base weights, and its update comes back', async () => {
  const { trainer, directory } = trainerOf(`
    fs.writeFileSync(path.join(path.dirname(process.argv[1]), 'seen.json'), JSON.stringify({ task, base: base.toString('base64'),
      mode: fs.statSync(folder).mode & 0o777, files: fs.readdirSync(folder).sort() }));
    give('update.safetensors', [1, 2, 3], { sampleCount: 12, metrics: { loss: 0.5, auc: 0.75 }, backend: 'pytorch 2.13.0' });`);
  const constants = [{ name: 'a', mean: 1.5, deviation: 2, count: 7 }];
  const task = taskOf({ constants });
  expect(await trainer.train(task)).toEqual({
    update: Float32Array.of(1, 2, 3),
    sampleCount: 12,
    metrics: { loss: 0.5, auc: 0.75 },
    backend: 'pytorch 2.13.0',
  });
  const seen = JSON.parse(readFileSync(join(directory, 'seen.json'), 'utf8'));
  expect(seen.task).toEqual({
    contract: 1,
    task: 'train',
    round: 3,
    seed: shuffleSeed(9, 3),
    job: JSON.parse(JSON.stringify(job)),
    dataset: { name: 'data', ...dataset },
    constants,
    manifest: manifestOf(job),
    weights: {
      framework: 'pytorch',
      format: 'safetensors',
      base: 'base.safetensors',
      weights: 'weights.safetensors',
      update: 'update.safetensors',
    },
    frozen: [],
    minimumCount: 2,
  });
  expect(seen).toMatchObject({ mode: 0o700, files: ['base.safetensors', 'task.json'] });
  const base = readSafetensors(Buffer.from(seen.base, 'base64'));
  if (!base.ok) throw new Error(base.refusal);
  expect(valuesFor(task.manifest, base.value)).toEqual({ ok: true, value: task.base });
  expect(readdirSync(join(directory, 'tasks'))).toEqual([]);
});

test('weights come back as what they differ from the base', async () => {
  const base = startOf(job);
  const { trainer } = trainerOf("give('weights.safetensors', [4, 5, 6]);");
  const { update, backend } = await trainer.train(taskOf());
  expect(update).toEqual(Float32Array.of(4, 5, 6).map((value, at) => value - base[at]!));
  expect(backend).toMatch(/^command node/);
  expect(backend).toBe(await trainer.backend());
});

test('an update is clipped to the norm of the job', async () => {
  const { trainer } = trainerOf("give('update.safetensors', [30, 40, 0]);");
  const { update } = await trainer.train(taskOf({}, { ...job, clippingNorm: 5 }));
  expect(globalNorm(update)).toBeLessThanOrEqual(5);
  expect([...update]).toEqual([expect.closeTo(3, 5), expect.closeTo(4, 5), 0]);
});

test('an evaluation needs no weights back', async () => {
  const { trainer } = trainerOf(
    "give(undefined, undefined, { sampleCount: task.task === 'evaluate' ? 9 : 0, metrics: { auc: 1 } });",
  );
  expect(await trainer.evaluate(taskOf())).toEqual({ metrics: { auc: 1 }, sampleCount: 9 });
});

test('progress lines reach the task; everything else that the program says is kept at the site, for its people alone', async () => {
  const { trainer, directory } = trainerOf(`
    process.stdout.write('{"fraction":0.25,"loss":0.7}\\nhello\\n{"fraction":7}\\n{"frac');
    process.stderr.write('warned\\n');
    setTimeout(() => { process.stdout.write('tion":1}'); give('update.safetensors'); }, 50);`);
  const told: unknown[] = [];
  await trainer.train(taskOf({ onProgress: (fraction, loss) => told.push([fraction, loss]) }));
  expect(told).toEqual([
    [0.25, 0.7],
    [1, undefined],
  ]);
  expect(outputOf(directory).split('\n').sort()).toEqual(['', 'hello', 'warned', '{"fraction":7}']);
  const [name] = readdirSync(join(directory, 'output'));
  expect(statSync(join(directory, 'output', name!)).mode & 0o777).toBe(0o600);
  expect(name).toMatch(/^\d{8}T\d{9}Z-test-job-3-train\.log$/);
});

test('of endless output the beginning and the end are kept', async () => {
  const { trainer, directory } = trainerOf(`
    process.stderr.write('first\\n' + 'x'.repeat(3_000_000) + '\\nlast');
    give('update.safetensors');`);
  await trainer.train(taskOf());
  const kept = outputOf(directory);
  expect(kept.length).toBeLessThan(1_100_000);
  expect(kept).toMatch(/^first\nx+\n\[\d+ bytes left out\]\nx+\nlast$/);
});

test('a program that fails says why to the site, not to the federation', async () => {
  const { trainer, directory } = trainerOf("console.error('patient 77 has no age'); process.exit(3);");
  const failed = await failure(trainer.train(taskOf()));
  const [name] = readdirSync(join(directory, 'output'));
  expect(failed.problem).toEqual({
    code: 'TRAINER_FAILED',
    details: { reason: `see ${name} at the site: the program ended with exit code 3` },
  });
  expect(failed).toMatchObject({ output: join(directory, 'output', name!) });
  expect((failed.cause as Error).message).toBe('patient 77 has no age');
  expect(outputOf(directory)).toBe('patient 77 has no age\n');
  expect(readdirSync(join(directory, 'tasks'))).toEqual([]);
});

describe('a result that breaks the contract fails, naming what was wrong', () => {
  const broke = (what: string) => `the program broke the contract: ${what}`;

  test.each([
    ['no result', '', 'it wrote no result.json'],
    [
      'a result that is no JSON',
      "give('update.safetensors', undefined, '{NaN');",
      'its result.json is not JSON',
    ],
    [
      'a result without a count',
      "give('update.safetensors', undefined, { metrics: {} });",
      'its result.json is wrong (sampleCount: Invalid input: expected number, received undefined)',
    ],
    [
      'a count of nothing',
      "give('update.safetensors', undefined, { sampleCount: 0 });",
      'its result.json is wrong (sampleCount: Too small: expected number to be >=1)',
    ],
    [
      'half a row',
      "give('update.safetensors', undefined, { sampleCount: 1.5 });",
      'its result.json is wrong (sampleCount: Invalid input: expected int, received number)',
    ],
    [
      'an absurd count',
      "give('update.safetensors', undefined, { sampleCount: 1e8 });",
      "its sampleCount is above the job's limit of 10000000",
    ],
    [
      'a metric that is a text',
      "give('update.safetensors', undefined, { sampleCount: 3, metrics: { worst: 'patient 7' } });",
      'its result.json is wrong (metrics.worst: Invalid input: expected number, received string)',
    ],
    [
      'a result that is too large',
      "give('update.safetensors', undefined, ' '.repeat(70_000));",
      'its result.json has 70000 bytes; at most 65536 are read',
    ],
    ['no weights', 'give();', 'it wrote neither update.safetensors nor weights.safetensors'],
    [
      'both kinds of weights',
      "give('update.safetensors'); give('weights.safetensors');",
      'it wrote both update.safetensors and weights.safetensors',
    ],
    [
      'weights that are cut',
      "give(); fs.writeFileSync(at('update.safetensors'), base.subarray(0, -1));",
      'its update.safetensors cannot be read: its tensors end at byte 12 and its data at byte 11',
    ],
    [
      'a hole in the weights',
      "give('weights.safetensors', [1, NaN, 3]);",
      'tensor dense.0.weight of its weights.safetensors is not finite at element 1',
    ],
    [
      'an infinite update',
      "give('update.safetensors', [1, 2, -Infinity]);",
      'tensor dense.0.bias of its update.safetensors is not finite at element 0',
    ],
    [
      'a link instead of weights',
      "give(); fs.symlinkSync(at('base.safetensors'), at('update.safetensors'));",
      'its update.safetensors cannot be read: it is a link',
    ],
    [
      'a folder instead of weights',
      "give(); fs.mkdirSync(at('update.safetensors'));",
      'its update.safetensors is not a plain file',
    ],
  ])('%s', async (_, source, reason) => {
    const told = await reasonOf(source);
    expect([broke(reason), reason]).toContain(told);
  });

  test('weights of another model', async () => {
    const other = encodeSafetensors(
      { schemaVersion: '1.0.0', tensors: [{ name: 'other', dtype: 'float32', shape: [3] }] },
      Float32Array.of(1, 2, 3),
    );
    const text = JSON.stringify(Buffer.from(other).toString('base64'));
    expect(
      await reasonOf(`give(); fs.writeFileSync(at('update.safetensors'), Buffer.from(${text}, 'base64'));`),
    ).toBe(broke('its update.safetensors does not fit: tensor other is not part of the model'));
  });
});

test('fewer rows than the site asks for do not leave it', async () => {
  const { trainer } = trainerOf("give('update.safetensors');", { minimumCount: 13 });
  expect((await failure(trainer.train(taskOf()))).problem).toEqual({
    code: 'COHORT_TOO_SMALL',
    details: { have: '< 13', minimum: '13' },
  });
});

test('a program sees PATH, HOME, LANG, TMPDIR and what the site configured, and nothing else', async () => {
  process.env.CONSILIUM_TEST_SECRET = 'hush';
  const { trainer, directory } = trainerOf(
    `fs.writeFileSync(path.join(path.dirname(process.argv[1]), 'seen.json'), JSON.stringify(process.env)); give('update.safetensors');`,
    { environment: { CUDA_VISIBLE_DEVICES: '1' } },
  );
  await trainer.train(taskOf());
  const seen = JSON.parse(readFileSync(join(directory, 'seen.json'), 'utf8')) as Record<string, string>;
  expect(seen).toMatchObject({ PATH: process.env.PATH, CUDA_VISIBLE_DEVICES: '1' });
  const known = ['PATH', 'HOME', 'LANG', 'TMPDIR', 'CUDA_VISIBLE_DEVICES'];
  expect(Object.keys(seen).filter((name) => !known.includes(name))).toEqual([]);
});

/** A program that starts a child which starts a child; all of them ignore SIGTERM where `stubborn`. */
const FAMILY = (stubborn: boolean) => `
  const ignore = ${stubborn} ? "process.on('SIGTERM', () => {});" : '';
  const leaf = ignore + "console.log('pid ' + process.pid); setInterval(() => {}, 1000);";
  const middle = ignore + "require('node:child_process').spawn(process.execPath, ['-e', " + JSON.stringify(leaf) +
    "], { stdio: 'inherit' }); console.log('pid ' + process.pid); setInterval(() => {}, 1000);";
  require('node:child_process').spawn(process.execPath, ['-e', middle], { stdio: 'inherit' });
  if (${stubborn}) process.on('SIGTERM', () => {});
  console.log('pid ' + process.pid);
`;

/** The family's process numbers, once all three are up. */
async function familyOf(directory: string): Promise<number[]> {
  const pids = () => {
    try {
      return [...outputOf(directory).matchAll(/pid (\d+)/g)].map((match) => Number(match[1]));
    } catch {
      return [];
    }
  };
  await until(() => pids().length === 3);
  return pids();
}

describe('no process of a program survives', () => {
  test.each([
    ['that goes when asked', false],
    ['that ignores being asked', true],
  ])('a withdrawal, with a family %s', async (_, stubborn) => {
    const { trainer, directory } = trainerOf(`${FAMILY(stubborn)} setInterval(() => {}, 1000);`, {
      graceMs: 300,
    });
    const abort = new AbortController();
    const running = failure(trainer.train(taskOf({ signal: abort.signal })));
    const pids = await familyOf(directory);
    expect(pids.filter(lives)).toEqual(pids);
    abort.abort('its round is over');
    expect((await running).problem).toEqual({ code: 'WITHDRAWN', details: { reason: 'its round is over' } });
    await until(() => !pids.some(lives));
    expect(readdirSync(join(directory, 'tasks'))).toEqual([]);
  });

  test('the time that the site gives it', async () => {
    const { trainer, directory } = trainerOf(`${FAMILY(true)} setInterval(() => {}, 1000);`, {
      graceMs: 100,
      // The family has to be up before it is over, on a machine that is busy with something else too.
      timeoutMs: 15_000,
    });
    const running = failure(trainer.train(taskOf()));
    const pids = await familyOf(directory);
    expect((await running).problem).toEqual({ code: 'TRAINER_TIMED_OUT', details: { timeoutMs: '15000' } });
    await until(() => !pids.some(lives));
  });

  test('its own end, well done as it may be', async () => {
    const { trainer, directory } = trainerOf(`
      ${FAMILY(true)}
      const said = () => fs.readdirSync(path.join(path.dirname(process.argv[1]), 'output'))
        .map((name) => fs.readFileSync(path.join(path.dirname(process.argv[1]), 'output', name), 'utf8')).join('');
      const wait = setInterval(() => {
        if ((said().match(/pid/g) ?? []).length < 3) return;
        give('update.safetensors');
        process.exit(0);
      }, 10);`);
    const running = trainer.train(taskOf());
    const pids = await familyOf(directory);
    expect((await running).sampleCount).toBe(12);
    await until(() => !pids.some(lives));
  });

  test('the closing of the trainer, which refuses later tasks', async () => {
    const { trainer, directory } = trainerOf(`${FAMILY(true)} setInterval(() => {}, 1000);`, {
      graceMs: 100,
    });
    const running = failure(trainer.train(taskOf()));
    const pids = await familyOf(directory);
    await trainer.close();
    await trainer.close();
    expect((await running).problem).toEqual({
      code: 'WITHDRAWN',
      details: { reason: 'the site is shutting down' },
    });
    await until(() => !pids.some(lives));
    expect((await failure(trainer.train(taskOf()))).problem.code).toBe('WITHDRAWN');
  });

  test('the end of the participant', async () => {
    const { directory } = trainerOf(`${FAMILY(false)} setInterval(() => {}, 1000);`);
    const source = new URL('../../../src/participant/trainers/process-tree.ts', import.meta.url).href;
    mkdirSync(join(directory, 'output'));
    const log = join(directory, 'output', 'x.log');
    mkdirSync(join(directory, 'task'));
    writeFileSync(join(directory, 'task', 'task.json'), '{}');
    writeFileSync(join(directory, 'task', 'base.safetensors'), '');
    const script = `
      import { appendFileSync } from 'node:fs';
      import { runProgram } from ${JSON.stringify(source)};
      process.on('SIGTERM', () => process.exit(0));
      const keep = (chunk) => appendFileSync(${JSON.stringify(log)}, chunk);
      await runProgram({ command: [process.execPath, ${JSON.stringify(join(directory, 'program.cjs'))}, ${JSON.stringify(join(directory, 'task'))}],
        workingDirectory: '.', environment: {}, timeoutMs: 60000, graceMs: 100, signal: new AbortController().signal,
        withdrawal: () => new Error(), onStdout: keep, onStderr: keep });`;
    const participant = execFile(process.execPath, [
      '--import',
      'tsx',
      '--input-type=module',
      '--eval',
      script,
    ]);
    const ended = new Promise((resolve) => participant.once('exit', resolve));
    const pids = await familyOf(directory);
    participant.kill('SIGTERM');
    await ended;
    await until(() => !pids.some(lives));
  });
});

test('a program that is not there is found missing before any task, and fails one', async () => {
  const site = { directory: join(folder, 'absent'), minimumCount: 2 };
  const config = (command: string) => ({
    kind: 'command' as const,
    command: [command],
    environment: {},
    timeoutMs: 1000,
    workingDirectory: folder,
  });
  for (const command of ['consilium-no-such-program', './no-such-file', folder]) {
    const trainer = new CommandTrainer('gone', config(command), site);
    expect((await failure(trainer.backend())).problem).toMatchObject({
      code: 'ENGINE_MISSING',
      details: { engine: 'trainer gone', reason: expect.stringContaining('no program that can be executed') },
    });
  }
  const astray = { ...config(process.execPath), workingDirectory: join(folder, 'no-such-folder') };
  expect((await failure(new CommandTrainer('gone', astray, site).backend())).problem).toMatchObject({
    code: 'ENGINE_MISSING',
    details: { reason: 'its working directory is not there' },
  });
  const failed = await failure(new CommandTrainer('gone', config('./no-such-file'), site).train(taskOf()));
  expect(failed.problem.details.reason).toMatch(
    /^see \S+\.log at the site: the program no-such-file could not be started: it, or its working directory, is not there/,
  );
});

test('what an earlier participant left in its task folders is removed', async () => {
  const { trainer, directory } = trainerOf("give('update.safetensors');");
  mkdirSync(join(directory, 'tasks', 'task-left'), { recursive: true });
  await trainer.train(taskOf());
  expect(readdirSync(join(directory, 'tasks'))).toEqual([]);
});

test('two tasks at one time have a folder each', async () => {
  const { trainer } = trainerOf("setTimeout(() => give('update.safetensors', [task.round, 0, 0]), 100);");
  const results = await Promise.all([1, 2].map((round) => trainer.train(taskOf({ round }))));
  expect(results.map(({ update }) => update[0])).toEqual([1, 2]);
});

describe('a probe', () => {
  const probes = probesOf({ seed: 5, batch: 2, inputs: [{ shape: [2] }], kinds: ['normal', 'wide'] });
  const probeTask = () => {
    const { manifest, base, signal } = taskOf();
    return { job, manifest, base, signal, probes };
  };
  const PROBE = `
    const read = (name) => {
      const file = fs.readFileSync(at(name));
      const end = 8 + Number(file.readBigUInt64LE(0));
      const header = JSON.parse(file.subarray(8, end).toString());
      return (tensor) => new Float32Array(new Uint8Array(file.subarray(end + header[tensor].data_offsets[0], end + header[tensor].data_offsets[1])).buffer);
    };
    const write = (tensors) => {
      let place = 0;
      const header = {};
      for (const [name, { shape, values }] of Object.entries(tensors)) header[name] = { dtype: 'F32', shape, data_offsets: [place, place += 4 * values.length] };
      const text = Buffer.from(JSON.stringify(header));
      const length = Buffer.alloc(8);
      length.writeBigUInt64LE(BigInt(text.length));
      fs.writeFileSync(at('outputs.safetensors'), Buffer.concat([length, text, ...Object.values(tensors).map(({ values }) => Buffer.from(Float32Array.from(values).buffer))]));
    };`;

  test('comes with its inputs and without data, and what layers gave comes back', async () => {
    const { trainer } = trainerOf(`${PROBE}
      if (task.task !== 'probe' || task.dataset !== null || task.constants !== null) process.exit(3);
      const given = read('probe.safetensors');
      const answer = {};
      for (const kind of task.probes) {
        answer[kind + '/output/0'] = { shape: [2, 2], values: given(kind + '/input/0') };
        answer[kind + '/layer/dense.0'] = { shape: [2, 1], values: [1, 2] };
      }
      write(answer);
      fs.writeFileSync(at('result.json'), JSON.stringify({ backend: 'script 1.0' }));`);
    const trace = await trainer.probe(probeTask());
    expect(trace).toEqual({
      engine: 'script 1.0',
      channelsLast: false,
      probes: probes.map(({ inputs }) => ({
        layers: [{ layer: 'dense.0', output: { shape: [2, 1], values: Float32Array.of(1, 2) } }],
        outputs: [inputs[0]],
      })),
    });
  });

  test('that a program does not know, or answers in part, fails with what is missing', async () => {
    const reasonOfProbe = async (source: string) => {
      const { problem } = await failure(trainerOf(PROBE + source).trainer.probe(probeTask()));
      expect(problem.code).toBe('TRAINER_FAILED');
      return problem.details.reason;
    };
    expect(await reasonOfProbe(`give('update.safetensors', [1, 2, 3]);`)).toContain(
      'it wrote no outputs.safetensors',
    );
    expect(
      await reasonOfProbe(
        `write({ 'normal/output/0': { shape: [1], values: [1] } }); fs.writeFileSync(at('result.json'), '{}');`,
      ),
    ).toContain('has no tensor wide/output/0');
    expect(
      await reasonOfProbe(
        `write({ 'other/output/0': { shape: [1], values: [1] } }); fs.writeFileSync(at('result.json'), '{}');`,
      ),
    ).toContain('other/output/0, which is of no probe');
  });
});

describe('a task with a correction', () => {
  const correction = Float32Array.of(0.5, -1, 2);

  test('follows contract 2: the correction is a file, and the program says how many steps it took', async () => {
    const { trainer, directory } = trainerOf(`
      fs.writeFileSync(path.join(path.dirname(process.argv[1]), 'seen.json'), JSON.stringify({ contract: task.contract,
        correction: fs.readFileSync(at('correction.safetensors')).toString('base64') }));
      give('update.safetensors', [1, 2, 3], { sampleCount: 12, localSteps: 7 });`);
    expect(await trainer.train(taskOf({ correction }))).toMatchObject({ localSteps: 7 });
    const seen = JSON.parse(readFileSync(join(directory, 'seen.json'), 'utf8'));
    expect(seen.contract).toBe(2);
    const file = readSafetensors(Buffer.from(seen.correction, 'base64'));
    expect(file.ok && valuesFor(manifestOf(job), file.value)).toEqual({ ok: true, value: correction });
  });

  test.each([
    ["if (task.contract !== 1) process.exit(3); give('update.safetensors', [1, 2, 3]);", /exit code 3/],
    ["give('update.safetensors', [1, 2, 3]);", /lacks localSteps/],
  ])('fails where the program does not know of it: %s', async (source, reason) => {
    const { problem } = await failure(trainerOf(source).trainer.train(taskOf({ correction })));
    expect(problem).toMatchObject({
      code: 'TRAINER_FAILED',
      details: { reason: expect.stringMatching(reason) },
    });
  });

  test('leaves contract 1 as it is for every other task', async () => {
    const { trainer } = trainerOf(`
      if (task.contract !== 1 || fs.existsSync(at('correction.safetensors'))) process.exit(3);
      give('update.safetensors', [1, 2, 3]);`);
    expect(await trainer.train(taskOf())).toMatchObject({ sampleCount: 12 });
  });
});
