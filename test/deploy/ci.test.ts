import { execFileSync, spawnSync } from 'node:child_process';
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { parse } from 'yaml';
import { build } from '../e2e/program.ts';
import { root } from '../tidy/source.ts';
import { writeSampleFiles } from '../weights/checks/sample-files.ts';

// Several processes a test, each of which may wait long for a busy machine.
vi.setConfig({ testTimeout: 300_000, hookTimeout: 300_000 });

const COMMAND = `${process.execPath} ${join(root, 'dist', 'cli', 'main.js')}`;
const FLATTEN = ['fc1=6x3x4', 'fc2=none', 'fc3=none'];
const read = (name: string) => readFileSync(join(root, 'deploy', 'ci', name), 'utf8');

let folder: string;
beforeAll(async () => {
  await build();
  folder = mkdtempSync(join(tmpdir(), 'consilium-ci-'));
  writeSampleFiles(folder);
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function shell(program: string, script: string, environment: Readonly<Record<string, string>>) {
  return spawnSync(program, ['-e', '-o', 'pipefail', '-c', script], {
    cwd: folder,
    encoding: 'utf8',
    env: { PATH: process.env.PATH ?? '', HOME: folder, ...environment },
  });
}

interface Action {
  readonly inputs: Readonly<Record<string, { readonly default?: string; readonly required?: boolean }>>;
  readonly runs: {
    readonly steps: readonly { readonly env: Record<string, string>; readonly run: string }[];
  };
}

/** Runs the one step of the action as GitHub would: its expressions filled in, its files there. */
function runAction(given: Readonly<Record<string, string>>) {
  const { inputs, runs } = parse(read('action.yml')) as Action;
  const [step] = runs.steps;
  const value = (name: string) => given[name] ?? inputs[name]?.default ?? '';
  const environment = Object.fromEntries(
    Object.entries(step!.env).map(([name, text]) => [
      name,
      text.replace(/\$\{\{ inputs\.(\w+) \}\}/g, (_, input: string) => value(input)),
    ]),
  );
  const files = { GITHUB_OUTPUT: 'output.txt', GITHUB_STEP_SUMMARY: 'summary.md', RUNNER_TEMP: folder };
  for (const name of ['output.txt', 'summary.md']) writeFileSync(join(folder, name), '');
  return shell('bash', step!.run, { ...environment, ...files });
}

test('unless told otherwise they start what the repository installed, and install nothing', () => {
  const action = parse(read('action.yml')) as Action;
  const gitlab = parse(read('weights-check.gitlab-ci.yml')) as Record<
    string,
    { variables: Record<string, string> }
  >;
  const installed = 'npx --no-install consilium';
  expect(action.inputs.command?.default).toBe(installed);
  expect(gitlab['.weights-check']?.variables.WEIGHTS_COMMAND).toBe(installed);
  expect(read('pre-commit')).toContain(`\${WEIGHTS_COMMAND:-${installed}} weights check`);
  const given = {
    reference: 'reference.safetensors',
    flatten: FLATTEN.join(' '),
    candidate: 'bad.safetensors',
  };
  const programs = join(folder, 'node_modules', '.bin');
  mkdirSync(programs, { recursive: true });
  writeFileSync(join(programs, 'consilium'), `#!/bin/sh\nexec ${COMMAND} "$@"\n`, { mode: 0o755 });
  const found = runAction(given);
  rmSync(join(folder, 'node_modules'), { recursive: true });
  expect(found.stdout).toMatch(/^::error file=bad\.safetensors,title=WC203/);
});

test('the package that a clone packs holds all that the program reads', () => {
  const told = execFileSync('npm', ['pack', '--dry-run', '--json', '--ignore-scripts'], {
    cwd: root,
    encoding: 'utf8',
  });
  const [{ files }] = JSON.parse(told) as [{ files: { path: string }[] }];
  const paths = files.map(({ path }) => path);
  for (const path of [
    'dist/cli/main.js',
    'proto/consilium/v1/coordinator.proto',
    'src/engines/models/run_model.py',
    'src/engines/operators/pytorch.safetensors',
    'src/engines/operators/record.py',
  ]) {
    expect(paths).toContain(path);
  }
  expect(paths.filter((path) => /^(test|node_modules|runs|federation)\//.test(path))).toEqual([]);
});

test('the GitHub action annotates, writes its summary and its reports, and fails where the check does', () => {
  const given = { command: COMMAND, reference: 'reference.safetensors', flatten: FLATTEN.join(' ') };
  const bad = runAction({ ...given, candidate: 'bad.safetensors' });
  expect(bad.status, bad.stderr).toBe(1);
  expect(bad.stdout).toMatch(/^::error file=bad\.safetensors,title=WC203/);
  expect(readFileSync(join(folder, 'summary.md'), 'utf8')).toContain('## Weights: failed');
  const outputs = readFileSync(join(folder, 'output.txt'), 'utf8').trim().split('\n');
  const sarif = outputs[0]!.replace('sarif=', '');
  expect(JSON.parse(readFileSync(sarif, 'utf8'))).toMatchObject({ version: '2.1.0' });
  expect(outputs[1]).toBe(`junit=${sarif.replace(/sarif$/, 'junit.xml')}`);
  const good = runAction({ ...given, candidate: 'good.safetensors' });
  expect([good.status, good.stdout]).toEqual([0, '']);
  // Two checks of one job have reports of their own.
  expect(readFileSync(join(folder, 'output.txt'), 'utf8')).not.toContain(sarif);
});

test('a check that could not be made is said by the GitHub action, and leaves no report of another', () => {
  const missing = runAction({ command: COMMAND, reference: 'reference.safetensors', candidate: 'none.h5' });
  expect(missing.status).toBe(2);
  expect(missing.stdout).toBe(
    '::error title=weights check::none.h5 was not checked (exit code 2); the log says why\n',
  );
  expect(readFileSync(join(folder, 'summary.md'), 'utf8')).toBe('## Weights: not checked (exit code 2)\n');
  const [sarif = ''] = readFileSync(join(folder, 'output.txt'), 'utf8').split('\n');
  expect(existsSync(sarif.replace('sarif=', ''))).toBe(false);
});

test('the GitLab template writes the reports that it names, and fails where the check does', () => {
  const template = parse(read('weights-check.gitlab-ci.yml')) as Record<
    string,
    {
      script: string[];
      artifacts: { paths: string[]; reports: Record<string, string> };
      variables: Record<string, string>;
    }
  >;
  const job = template['.weights-check']!;
  const run = (candidate: string) =>
    shell('bash', job.script.join('\n'), {
      ...job.variables,
      CANDIDATE: `${candidate}.safetensors`,
      REFERENCE: 'reference.safetensors',
      WEIGHTS_COMMAND: COMMAND,
      WEIGHTS_OPTIONS: FLATTEN.map((map) => `--flatten ${map}`).join(' '),
    });
  expect(run('bad').status).toBe(1);
  expect(run('good').status).toBe(0);
  for (const file of [...job.artifacts.paths, ...Object.values(job.artifacts.reports)]) {
    expect(readFileSync(join(folder, file), 'utf8')).not.toBe('');
  }
});

test('the git hook refuses a commit of a wrong conversion, and looks at staged pairs alone', () => {
  const git = (...given: string[]) =>
    spawnSync('git', ['-c', 'user.name=a', '-c', 'user.email=a@b', ...given], {
      cwd: folder,
      encoding: 'utf8',
      env: { PATH: process.env.PATH ?? '', HOME: folder, WEIGHTS_COMMAND: COMMAND },
    });
  execFileSync('git', ['init', '-q', '.'], { cwd: folder });
  const hook = join(folder, '.git', 'hooks', 'pre-commit');
  copyFileSync(join(root, 'deploy', 'ci', 'pre-commit'), hook);
  chmodSync(hook, 0o755);
  const options = FLATTEN.map((map) => `--flatten ${map}`).join(' ');
  writeFileSync(
    join(folder, 'weights-pairs.txt'),
    `# candidate reference options\ngood.safetensors reference.safetensors ${options}\nbad.safetensors good.safetensors\n`,
  );
  git('add', 'weights-pairs.txt');
  expect(git('commit', '-q', '-m', 'no weights staged').status).toBe(0);
  git('add', 'bad.safetensors');
  const refused = git('commit', '-q', '-m', 'a wrong one');
  expect(refused.status).toBe(1);
  expect(refused.stdout + refused.stderr).toContain('error WC');
  git('reset', '-q');
  git('add', 'reference.safetensors');
  expect(git('commit', '-q', '-m', 'a right one').status).toBe(0);

  // A model in shards, of which a shard alone is changed: the pair names its folder, or its index.
  mkdirSync(join(folder, 'shards'));
  const index = (of: string) =>
    JSON.stringify({
      weight_map: Object.fromEntries(namesIn(join(folder, of)).map((name) => [name, 'one.safetensors'])),
    });
  writeFileSync(join(folder, 'shards', 'model.safetensors.index.json'), index('reference.safetensors'));
  copyFileSync(join(folder, 'reference.safetensors'), join(folder, 'shards', 'one.safetensors'));
  for (const named of ['shards', 'shards/model.safetensors.index.json']) {
    writeFileSync(join(folder, 'weights-pairs.txt'), `${named} reference.safetensors\n`);
    copyFileSync(join(folder, 'reference.safetensors'), join(folder, 'shards', 'one.safetensors'));
    git('add', 'shards', 'weights-pairs.txt');
    expect(git('commit', '-q', '-m', 'whole').status).toBe(0);
    const bytes = readFileSync(join(folder, 'shards', 'one.safetensors'));
    bytes[bytes.length - 2]! ^= 1;
    writeFileSync(join(folder, 'shards', 'one.safetensors'), bytes);
    git('add', 'shards');
    expect(git('commit', '-q', '-m', 'damaged').status).toBe(1);
  }
});

/** Names of the tensors of a safetensors file. */
function namesIn(file: string): readonly string[] {
  const bytes = readFileSync(file);
  const header = JSON.parse(bytes.subarray(8, 8 + Number(bytes.readBigUInt64LE(0))).toString()) as object;
  return Object.keys(header).filter((name) => name !== '__metadata__');
}
