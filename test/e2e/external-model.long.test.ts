import { spawnSync } from 'node:child_process';
import { cp, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { PulledModel } from '../../src/cli/pull-model.ts';
import type { JobView } from '../../src/protocol/views.ts';
import { writeImages } from '../participant/trainers/images.ts';
import { enrol, type Federation, startFederation, writeJob } from './federation.ts';
import { build, consilium, endAll, until } from './program.ts';

/*
 * Two hospitals train a network of PyTorch that no job describes. One of them reads its square matrix transposed: its shapes
 * are right, its numbers finite. It is left out with that layer named; the coordinator is killed, and knows what it asked for
 * and what it was told; the hospital mends its program, passes, and takes part from the first round on.
 */
const EXAMPLE = fileURLToPath(new URL('../../examples/pytorch', import.meta.url));
const LOAD = 'read_safetensors(folder / "base.safetensors")';
const MISTAKE =
  '{n: t.T if t.dim() == 2 and t.shape[0] == t.shape[1] else t for n, t in read_safetensors(folder / "base.safetensors").items()}';
const skip = spawnSync('python3', ['-c', 'import torch']).status !== 0 && process.env.CI !== 'true';
if (skip) console.warn('PyTorch is not installed for python3: no external model is trained');

const TRAINER = {
  trainers: {
    'scan-net': {
      kind: 'command',
      command: ['python3', 'own_model.py'],
      workingDirectory: 'program',
      environment: { PYTHONDONTWRITEBYTECODE: '1' },
      framework: 'pytorch',
      weightSchemas: { 'scan-net': '1.0.0' },
    },
  },
  policy: { trainers: ['scan-net'] },
};
const JOB = {
  apiVersion: 'consilium/v1',
  name: 'scans-1',
  dataset: 'scans',
  model: { kind: 'external' },
  weightSchema: { manifest: 'scan-net.weights.json' },
  initialWeights: { file: 'net.safetensors' },
  trainer: { name: 'scan-net', epochs: 1, batchSize: 20, learningRate: 0.05 },
  rounds: 2,
  cohort: { size: 2 },
  quorum: 2,
  deadlineMs: 600_000,
};
let federation: Federation;

async function writeProgram(folder: string, change: (source: string) => string): Promise<string> {
  const program = join(folder, 'program');
  await cp(EXAMPLE, program, { recursive: true });
  const source = await readFile(join(EXAMPLE, 'train.py'), 'utf8');
  expect(source).toContain(LOAD);
  await writeFile(join(program, 'train.py'), change(source));
  return program;
}

function python(...argv: string[]) {
  return spawnSync('python3', argv, {
    cwd: EXAMPLE,
    encoding: 'utf8',
    env: { ...process.env, PYTHONDONTWRITEBYTECODE: '1' },
  });
}

/** An operator's command. */
const operate = (...args: string[]) =>
  consilium(args, { environment: { CONSILIUM_FEDERATION: federation.directory } });

async function jobWhere(holds: (view: JobView) => boolean): Promise<JobView> {
  return until(async () => {
    const view = await federation.job('scans-1');
    return holds(view) ? view : undefined;
  });
}

beforeAll(async () => {
  if (skip) return;
  await build();
  federation = await startFederation({ sites: [] });
  for (const [place, site] of ['bern', 'lyon'].entries()) {
    const path = join(federation.folder, `${site}.safetensors`);
    writeImages(path, [2, 10, 8], 90, 3, { seed: place + 1 });
    await enrol(federation, site, '', { datasets: { scans: { kind: 'tensors', path } }, ...TRAINER });
    await writeProgram(federation.home(site), (source) =>
      site === 'lyon' ? source.replace(LOAD, MISTAKE) : source,
    );
    federation.join(site);
  }
  await until(async () => ((await federation.online()).length === 2 ? true : undefined));
});
afterAll(endAll);

test.skipIf(skip)(
  'a network of its own is probed before it counts, over a kill of the coordinator',
  async () => {
    const weights = join(federation.folder, 'net.safetensors');
    expect(python('net.py', weights).stderr).toBe('');
    const described = await consilium(
      [
        ...['weights', 'manifest', weights, '--id', 'scan-net', '--schema-version', '1.0.0'],
        ...[
          '--probe',
          '2x10x8',
          '--model',
          'net:Net',
          '--to',
          join(federation.folder, 'scan-net.weights.json'),
        ],
      ],
      { cwd: EXAMPLE, environment: { PYTHONDONTWRITEBYTECODE: '1' } },
    );
    expect(described.code, described.stderr).toBe(0);
    const file = await writeJob(federation, 'scans-1', JSON.stringify(JOB));
    const dry = await operate('job', 'submit', file, '--dry-run');
    expect(dry.stderr).toContain('2 of 2 sites would join');
    const submitted = await operate('job', 'submit', file);
    expect(submitted.code, submitted.stderr).toBe(0);

    const before = await jobWhere(({ probes }) => probes.length === 2);
    expect(before).toMatchObject({
      phase: 'recruiting',
      version: 0,
      exclusions: [{ site: 'lyon', code: 'WEIGHTS_PROBE_FAILED', details: { layer: 'mix' } }],
      weightSchema: { manifest: { golden: { layers: ['stem', 'norm', 'mix', 'head'] } } },
    });
    expect(before.probes.map(({ site, state }) => [site, state])).toEqual([
      ['bern', 'passed'],
      ['lyon', 'failed'],
    ]);

    federation.coordinator.signal('SIGKILL');
    await federation.coordinator.outcome;
    const mistaken = federation.participants.get('lyon')!;
    mistaken.signal('SIGTERM');
    await mistaken.outcome;
    await federation.startCoordinator();
    const again = await federation.job('scans-1');
    expect(again.probes).toEqual(before.probes);
    expect(again.weightSchema).toEqual(before.weightSchema);

    await writeProgram(federation.home('lyon'), (source) => source);
    federation.join('lyon');
    const done = await jobWhere(({ state }) => state !== 'running');
    expect(done).toMatchObject({ state: 'finished', refusedUpdates: 0, exclusions: [] });
    expect(done.probes.map(({ state }) => state)).toEqual(['passed', 'passed']);
    for (const { contributors } of done.history) {
      expect(contributors.map(({ site }) => site).sort()).toEqual(['bern', 'lyon']);
    }
    // The probe of the first site was taken once, and held over the kill.
    expect(done.probes[0]?.takenAt).toBe(before.probes[0]?.takenAt);

    const to = join(federation.folder, 'learned.safetensors');
    const pulled = await federation.operate<PulledModel>('model', 'pull', 'scans-1', '--to', to);
    const load =
      'import sys; from pathlib import Path; from contract import read_safetensors; from net import Net; Net().load_state_dict(read_safetensors(Path(sys.argv[1])))';
    expect(python('-c', load, pulled.file)).toMatchObject({ status: 0, stderr: '' });

    const next = { ...JOB, name: 'scans-2', initialWeights: { job: 'scans-1', version: 2 } };
    const stale = await operate('job', 'submit', await writeJob(federation, 'scans-2', JSON.stringify(next)));
    expect(stale.stderr).toContain('its golden outputs are of other weights than the job starts from');
    expect(stale.code).toBe(2);
  },
);
