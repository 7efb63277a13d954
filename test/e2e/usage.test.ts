import { existsSync } from 'node:fs';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { parse } from 'yaml';
import { build, consilium, endAll, launch, temporaryFolder } from './program.ts';

let folder: string;
beforeAll(async () => {
  await build();
  folder = await temporaryFolder();
});

afterAll(endAll);

test('keys are encrypted unless they are asked for plain, and a federation lives behind its passphrase', async () => {
  const folder = await temporaryFolder();
  const directory = join(folder, 'sealed');
  const make = ['init', directory, '--federation', 'sealed', '--listen', '127.0.0.1:0'];
  const without = await consilium(make);
  expect(without.code).toBe(2);
  expect(without.stderr).toContain('CONSILIUM_KEY_PASSPHRASE');
  expect(existsSync(directory)).toBe(false);
  const file = join(folder, 'passphrase');
  await writeFile(file, 'correct horse\nbattery staple\n');
  const said = { CONSILIUM_FEDERATION: directory };
  const environment = { ...said, CONSILIUM_KEY_PASSPHRASE: 'correct horse' };
  const fromFile = { ...said, CONSILIUM_KEY_PASSPHRASE_FILE: file };
  const made = await consilium(make, { environment: fromFile });
  expect(made.code, made.stderr).toBe(0);
  for (const member of ['authority', 'coordinator', 'operator']) {
    const key = await readFile(join(directory, 'keys', `${member}.key`), 'utf8');
    expect(key).toContain('BEGIN ENCRYPTED PRIVATE KEY');
  }
  const start = ['coordinator', 'start', '--config', join(directory, 'coordinator.yaml')];
  const locked = await consilium(start);
  expect(locked.code).toBe(2);
  expect(locked.stderr).toContain('the key is encrypted, and no passphrase was given');
  expect(locked.stderr).toContain('CONSILIUM_KEY_PASSPHRASE_FILE');
  const examined = await consilium(['doctor', '--config', join(directory, 'coordinator.yaml'), '-o', 'json']);
  expect(examined.code).toBe(1);
  const identity = /coordinator identity[^}]*/.exec(examined.stdout)?.[0];
  expect(identity).toContain('CONSILIUM_KEY_PASSPHRASE_FILE');
  expect(identity).not.toContain('Restore the key folder');
  const running = launch(start, { environment: fromFile });
  await running.ready;
  expect((await consilium(['site', 'list'], { environment: said })).code).toBe(2);
  expect((await consilium(['site', 'list'], { environment })).code).toBe(0);
  const renewed = await consilium(['renew', 'operator', '--new-key'], { environment });
  expect(renewed.code, renewed.stderr).toBe(0);
  expect(await readFile(join(directory, 'keys', 'operator.key'), 'utf8')).toContain('ENCRYPTED');
  const doctor = await consilium(['doctor', '--config', join(directory, 'coordinator.yaml')], {
    environment,
  });
  expect(doctor.stdout).toMatch(/status +ok|ok +status/);
  running.signal('SIGTERM');
  expect((await running.outcome).code).toBe(0);
});

test('help is exit code 0 on stdout, and names every command', async () => {
  const run = await consilium(['--help']);
  expect(run.code).toBe(0);
  expect(run.stderr).toBe('');
  for (const command of ['demo', 'init', 'coordinator', 'site', 'join', 'job', 'model', 'doctor', 'config']) {
    expect(run.stdout).toMatch(new RegExp(`^ {2}${command}\\b`, 'm'));
  }
});

test('an unknown command is exit code 2, with what was meant', async () => {
  const run = await consilium(['modle', 'list']);
  expect(run).toMatchObject({ code: 2, stdout: '' });
  expect(run.stderr).toContain('(Did you mean model?)');
});

test('an unknown option is exit code 2, with what was meant', async () => {
  const run = await consilium(['demo', '--ronuds', '3']);
  expect(run).toMatchObject({ code: 2, stdout: '' });
  expect(run.stderr).toContain('(Did you mean --rounds?)');
});

test('a missing argument and an unknown output format are exit code 2', async () => {
  expect((await consilium(['job', 'get'])).code).toBe(2);
  expect((await consilium(['config', 'schema', 'job', '-o', 'xml'])).stderr).toContain(
    '-o takes table, json, yaml, not xml',
  );
  expect((await consilium(['demo', '--rounds', 'many'])).code).toBe(2);
});

test('a demo whose options do not go together is exit code 2, says why, and makes no folder', async () => {
  const folder = join(await temporaryFolder(), 'run');
  const options = ['--strategy', 'scaffold', '--encoding', 'int8', '--run-dir', folder];
  const run = await consilium(['demo', ...options]);
  expect(run).toMatchObject({ code: 2, stdout: '' });
  expect(run.stderr).toContain('scaffold sends float32');
  expect(existsSync(folder)).toBe(false);
});

test('an operator command outside a federation folder says how to name one', async () => {
  const run = await consilium(['site', 'list'], { cwd: folder });
  expect(run.code).toBe(2);
  expect(run.stderr).toContain('--federation-dir');
});

test('a broken file is exit code 2, every fault by line and column, on stderr', async () => {
  const file = join(folder, 'job.yaml');
  await writeFile(file, 'apiVersion: consilium/v1\nname: heart\nronuds: 3\nmodel: { kind: mlp }\n');
  const run = await consilium(['config', 'validate', file]);
  expect(run).toMatchObject({ code: 2, stdout: '' });
  expect(run.stderr).toContain(`${file}:3:1: unknown key ronuds; did you mean rounds?`);
  expect(run.stderr).toContain(`${file}:4:8: model.features is missing`);
});

test('a coordinator with a broken file does not start, and says where it is broken', async () => {
  const file = join(folder, 'coordinator.yaml');
  await writeFile(file, 'apiVersion: consilium/v1\nfederation: demo\nlisten: [oops\n');
  const run = await consilium(['coordinator', 'start', '--config', file]);
  expect(run.code).toBe(2);
  expect(run.stderr).toMatch(new RegExp(`error: ${file}:\\d+:\\d+: `));
  expect(run.stderr).toContain('code: CONFIG_INVALID');
});

test('errors come in Chinese where the locale is Chinese, or when asked for', async () => {
  const asked = await consilium(['join', '--config', '/nowhere.yaml', '--language', 'zh']);
  const located = await consilium(['join', '--config', '/nowhere.yaml'], {
    environment: { LANG: 'zh_CN.UTF-8' },
  });
  expect(asked.code).toBe(2);
  expect(asked.stderr).toContain('错误: /nowhere.yaml：');
  expect(located.stderr).toBe(asked.stderr);
});

test('no stack is shown unless --verbose', async () => {
  const quiet = await consilium(['join', '--config', '/nowhere.yaml']);
  const loud = await consilium(['join', '--config', '/nowhere.yaml', '--verbose']);
  expect(quiet.stderr).not.toContain('    at ');
  expect(loud.stderr).toContain('    at ');
});

test('a schema is printed as JSON and as YAML, the same one', async () => {
  const [json, yaml] = await Promise.all(
    ['json', 'yaml'].map((format) => consilium(['config', 'schema', 'participant', '-o', format])),
  );
  expect(json?.code).toBe(0);
  expect(parse(yaml?.stdout ?? '')).toEqual(JSON.parse(json?.stdout ?? ''));
});

test('doctor works without any configuration', async () => {
  const run = await consilium(['doctor', '-o', 'json'], { cwd: folder.replace(/[^/]+$/, '') });
  const checks = JSON.parse(run.stdout) as { check: string; status: string }[];
  expect(checks.map(({ check }) => check)).toEqual([
    'node',
    'memory',
    'disk',
    'durability',
    'sm3',
    'sm2',
    'sm4',
    'tensor backend',
    'configuration',
  ]);
  expect(run.code).toBe(checks.some(({ status }) => status === 'fail') ? 1 : 0);
});

test('doctor fails with exit code 1 over a configuration that is broken', async () => {
  const run = await consilium(['doctor', '--config', join(folder, 'coordinator.yaml'), '-o', 'json']);
  expect(run.code).toBe(1);
  expect(run.stdout).toContain('coordinator.yaml');
});

test('init makes a folder with configuration, keys and tokens, and never overwrites it', async () => {
  const directory = join(folder, 'fed');
  const args = [
    'init',
    directory,
    '--plain-keys',
    '--federation',
    'demo',
    '--site',
    'bern',
    '--site',
    'lyon',
    '-o',
    'json',
  ];
  const first = await consilium(args);
  expect(first.code, first.stderr).toBe(0);
  const founded = JSON.parse(first.stdout) as { invitations: { site: string; token: string }[] };
  expect(founded.invitations.map(({ site }) => site)).toEqual(['bern', 'lyon']);
  expect((await readdir(join(directory, 'keys'))).filter((name) => name.endsWith('.key')).sort()).toEqual([
    'authority.key',
    'coordinator.key',
    'operator.key',
  ]);
  expect((await consilium(['config', 'validate', join(directory, 'coordinator.yaml')])).code).toBe(0);
  const again = await consilium(args);
  expect(again.code).toBe(2);
  expect(again.stderr).toContain('there is a federation here already');
});

test('a join token that was cut is exit code 2, and nothing is made', async () => {
  const home = join(folder, 'home');
  const run = await consilium([
    'site',
    'enroll',
    '--plain-keys',
    'consilium-join-v1.nonsense',
    '--home',
    home,
  ]);
  expect(run.code).toBe(2);
  expect(run.stderr).toContain('this is not a whole join token (was it cut while copying?)');
  await expect(readdir(home)).rejects.toThrow(/ENOENT/);
});

test('a ledger where no site lives is exit code 2', async () => {
  const run = await consilium(['site', 'ledger', '--home', folder]);
  expect(run).toMatchObject({ code: 2, stdout: '' });
  expect(run.stderr).toContain(`no site lives in ${folder}`);
});

test('config validate reads the weights manifest that a job names', async () => {
  const file = join(folder, 'external.yaml');
  const job = {
    ...{ apiVersion: 'consilium/v1', name: 'scans-1', dataset: 'scans', model: { kind: 'external' } },
    ...{ weightSchema: { manifest: 'none.weights.json' }, initialWeights: { file: 'net.safetensors' } },
    ...{ trainer: { name: 'scan-net' }, rounds: 1, cohort: { size: 1 }, quorum: 1 },
  };
  await writeFile(file, JSON.stringify(job));
  const run = await consilium(['config', 'validate', file]);
  expect(run).toMatchObject({ code: 2, stdout: '' });
  const manifest = join(folder, 'none.weights.json');
  expect(run.stderr).toBe(`${file}:1:1: ${manifest}: there is no such file\n`);
});

test('a command trainer that the policy does not name is warned of by config validate and by doctor', async () => {
  const file = join(folder, 'participant.yaml');
  const config = {
    apiVersion: 'consilium/v1',
    site: 'bern',
    federation: 'demo',
    coordinator: '127.0.0.1:1',
    authorityFingerprint: `sm3:${'0'.repeat(64)}`,
    trainers: {
      tfjs: { kind: 'tfjs' },
      torch: { kind: 'command', command: ['python3', 'train.py'] },
    },
  };
  await writeFile(file, JSON.stringify(config));
  const valid = await consilium(['config', 'validate', file]);
  expect(valid.code, valid.stderr).toBe(0);
  expect(valid.stderr).toContain('no job may use the command trainer torch');
  const doctor = await consilium(['doctor', '--config', file, '-o', 'json']);
  const checks = JSON.parse(doctor.stdout) as { check: string; status: string; found: string }[];
  expect(checks.filter(({ check }) => check.startsWith('trainer '))).toMatchObject([
    { check: 'trainer tfjs', status: 'ok', found: 'tfjs' },
    { check: 'trainer torch', status: 'warn', found: 'command: python3 train.py; no job may use it' },
  ]);
  await writeFile(file, JSON.stringify({ ...config, policy: { trainers: ['torch'] } }));
  expect((await consilium(['config', 'validate', file])).stderr).toBe('');
});

test('doctor looks at the federation folder that is named', async () => {
  const run = await consilium(['doctor', '-o', 'json'], {
    environment: { CONSILIUM_FEDERATION: join(folder, 'fed') },
  });
  expect(run.stdout).toContain(`${join(folder, 'fed', 'coordinator.yaml')} is valid`);
});

test('an error of the command line itself has a code and points to the help', async () => {
  const run = await consilium(['job', 'get']);
  expect(run).toMatchObject({ code: 2, stdout: '' });
  expect(run.stderr).toBe(
    "error: missing required argument 'job'\ncode: USAGE\nconsilium job get --help says more.\n",
  );
});
