import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, describe, expect, test, vi } from 'vitest';
import type { ModelToRun } from '../../../src/engines/models/model-to-run.ts';
import { runOnnx } from '../../../src/engines/models/onnx-runtime.ts';
import { recordProbe } from '../../../src/engines/models/record-probe.ts';
import { runModel } from '../../../src/engines/models/run-model.ts';
import { openWeightsFile } from '../../../src/engines/open-weights-file.ts';
import { runPython } from '../../../src/engines/python-child.ts';
import { createKeyFile } from '../../../src/identity/key-file.ts';
import { probesOf } from '../../../src/weights/probes/probe-inputs.ts';
import { breakingReport } from '../../../src/weights/schema/breaking.ts';
import { weightsManifestSchema } from '../../../src/weights/schema/weights-manifest.ts';
import { weights } from '../../cli/run-weights.ts';
import { FIXTURES } from '../../weights/fixtures/fixtures.ts';

const fixture = (name: string) => join(FIXTURES, 'probe', name);
const folder = mkdtempSync(join(tmpdir(), 'consilium-python-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const manifest = weightsManifestSchema.parse(JSON.parse(readFileSync(fixture('image.weights.json'), 'utf8')));
const probes = { inputs: manifest.probe!.inputs, probes: probesOf(manifest.probe!) };

async function opened(name: string, change: Partial<ModelToRun> = {}): Promise<ModelToRun> {
  const path = fixture(name);
  const stored = await openWeightsFile(path);
  return { stored, path, framework: 'pytorch', python: 'python3', timeLimitMs: 240_000, ...change };
}

test('a model that gives what is not finite is no reference', async () => {
  const onnx = readFileSync(fixture('image.onnx'));
  // The type of a node is field 4; the square root of what is negative is NaN.
  Buffer.from('\x22\x04Sqrt').copy(onnx, onnx.indexOf(Buffer.from('\x22\x04Relu')));
  const path = join(folder, 'image.onnx');
  writeFileSync(path, onnx);
  const stored = await openWeightsFile(path);
  const model = { stored, path, framework: 'onnx', python: 'python3', timeLimitMs: 240_000 } as const;
  const recorded = recordProbe(manifest.probe!, 'as it is', model, manifest);
  await expect(recorded).rejects.toMatchObject({
    problem: {
      code: 'CHECK_FAILED',
      details: { reason: expect.stringContaining('gives NaN or infinite values on the probe normal') },
    },
  });
  stored.close();
});

describe('a missing engine is told, never a pass', () => {
  test('ONNX Runtime', async () => {
    const model = await opened('image.onnx', { framework: 'onnx' });
    await expect(runOnnx(model, probes, manifest, 'no-such-onnxruntime')).rejects.toMatchObject({
      problem: { code: 'ENGINE_MISSING', details: { engine: 'ONNX Runtime' } },
    });
    model.stored.close();
  });

  test('PyTorch where there is no such Python, and Keras in a Python without it', async () => {
    const model = await opened('image.pt', { python: '/no/such/python', code: 'nets:Image' });
    await expect(runModel(model, probes, manifest, () => 'ran')).rejects.toMatchObject({
      problem: { code: 'ENGINE_MISSING', details: { reason: expect.stringContaining('install Python 3') } },
    });
    model.stored.close();
    const bare = join(folder, 'bare.py');
    writeFileSync(bare, 'import no_such_framework');
    const run = { python: 'python3', parameters: [bare], engine: 'Keras', timeLimitMs: 240_000 };
    await expect(runPython(run)).rejects.toMatchObject({
      problem: { code: 'ENGINE_MISSING', details: { reason: 'it has no module no_such_framework' } },
    });
    writeFileSync(bare, `raise ModuleNotFoundError("No module named 'keras'")`);
    await expect(runPython(run)).rejects.toMatchObject({
      problem: { details: { reason: 'it has no module keras (python3 -m pip install keras)' } },
    });
  });

  test('a file of weights that holds no model', async () => {
    const model = await opened('image.pt', { framework: 'tfjs' });
    await expect(runModel(model, probes, manifest, () => 'ran')).rejects.toMatchObject({
      problem: { code: 'USAGE' },
    });
    model.stored.close();
  });
});

describe('a Python program', () => {
  afterEach(() => vi.unstubAllEnvs());

  test('sees no token of the job that it runs in, and ends with all of its children when the command does', async () => {
    vi.stubEnv('DEPLOY_TOKEN', 'secret');
    const program = join(folder, 'sees.py');
    const child = join(folder, 'child.pid');
    writeFileSync(
      program,
      `import os, subprocess, sys
if "DEPLOY_TOKEN" in os.environ: sys.exit("it sees the token")
made = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(3600)"])
with open(${JSON.stringify(child)}, "w") as file: file.write(str(made.pid) + " ")
made.wait()`,
    );
    const ending = new AbortController();
    const run = { python: 'python3', parameters: [program], engine: 'Python', timeLimitMs: 240_000 };
    const ended = runPython({ ...run, signal: ending.signal });
    const started = () => existsSync(child) && readFileSync(child, 'utf8').endsWith(' ');
    await expect.poll(started).toBe(true);
    ending.abort();
    expect((await ended).code).toBeNull();
    const pid = Number(readFileSync(child, 'utf8'));
    await expect.poll(() => isRunning(pid)).toBe(false);
  });

  test('ends when its time is over', async () => {
    const program = join(folder, 'sleeps.py');
    writeFileSync(program, 'import time; time.sleep(3600)');
    const run = { python: 'python3', parameters: [program], engine: 'Python', timeLimitMs: 2000 };
    expect(await runPython(run)).toEqual({ code: null, said: 'it took longer than 2 s' });
  });
});

/** Whether a process runs; one that has ended and was not waited for does not. */
function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
  } catch {
    return false;
  }
  const { stdout } = spawnSync('ps', ['-o', 'stat=', '-p', String(pid)], { encoding: 'utf8' });
  return stdout.trim() !== '' && !stdout.trim().startsWith('Z');
}

const torch = spawnSync('python3', ['-c', 'import torch'], { encoding: 'utf8' });
// In CI a missing PyTorch fails the tests instead of skipping them.
const skip = torch.status !== 0 && process.env.CI !== 'true';
if (skip) console.warn('PyTorch is not installed for python3: models are not run in it');

describe.skipIf(skip)('a model in the PyTorch of this machine', () => {
  const about = ['--id', 'image', '--schema-version', '1.0.0'];

  test('gives what a manifest of another day says, and what a signed one of today says when it is run again', async () => {
    vi.stubEnv('PYTHONPATH', join(FIXTURES, 'probe'));
    const target = join(folder, 'now.weights.json');
    const probe = ['--probe', '3x16x12', '--converted', fixture('image.onnx'), '--model', 'nets:Image'];
    const key = join(folder, 'key.pem');
    await createKeyFile(key);
    const signed = ['--key', key, '--to', target];
    const made = await weights('manifest', fixture('image.pt'), ...about, ...probe, ...signed);
    expect(made.said).toContain('5 probes, 8 layers');
    const now = weightsManifestSchema.parse(JSON.parse(readFileSync(target, 'utf8')));
    expect(breakingReport(manifest, now).changes.filter(({ needs }) => needs !== 'patch')).toEqual([]);
    const files = ['check', fixture('image.onnx'), '--against', fixture('image.pt'), '--probe', '--live'];
    // The code that a manifest names is run where it is known whose manifest it is, and else not.
    const trusted = await weights(...files, '--manifest', target, '--signed-by', now.signature!.keyId);
    expect(trusted).toMatchObject({ exit: 0, problem: undefined });
    const unknown = await weights(...files, '--manifest', target);
    expect(unknown.problem).toMatchObject({
      code: 'USAGE',
      details: { reason: expect.stringContaining('--model module:factory') },
    });
    vi.unstubAllEnvs();
  });
});
