import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { writeSampleFiles } from '../weights/checks/sample-files.ts';
import { build, consilium, endAll, temporaryFolder } from './program.ts';

// Several processes a test, each of which may wait long for a busy machine.
vi.setConfig({ testTimeout: 300_000, hookTimeout: 300_000 });

let folder: string;
beforeAll(async () => {
  await build();
  folder = await temporaryFolder();
  writeSampleFiles(folder);
});

afterAll(endAll);

const FLATTEN = ['fc1=6x3x4', 'fc2=none', 'fc3=none'].flatMap((map) => ['--flatten', map]);
const run = (...given: readonly string[]) => consilium(['weights', ...given], { cwd: folder });
const check = (candidate: string, ...given: readonly string[]) =>
  run('check', `${candidate}.safetensors`, '--against', 'reference.safetensors', ...given);

test('a right conversion is exit code 0, and says what belongs to what', async () => {
  const outcome = await check('good', ...FLATTEN);
  expect(outcome).toMatchObject({ code: 0, stderr: '' });
  expect(outcome.stdout).toContain('passed: ');
  expect(outcome.stdout).toMatch(
    /fc1 +Linear behind a flattened 6x3x4 +fc1\/kernel, fc1\/bias +the same name/,
  );
});

test('a wrong conversion is exit code 1, names the mistake, and writes every report that was asked for', async () => {
  const reports = ['junit', 'sarif', 'gitlab', 'markdown', 'html', 'json'];
  const outcome = await check(
    'bad',
    ...FLATTEN,
    ...reports.flatMap((name) => ['--report', `${name}=bad.${name}`]),
  );
  expect(outcome.code).toBe(1);
  expect(outcome.stdout).toContain('error WC203 bytes-reshaped fc2.weight: fc2/kernel:');
  const written = await Promise.all(reports.map((name) => readFile(join(folder, `bad.${name}`), 'utf8')));
  for (const text of written) expect(text).toContain('WC203');
});

test('-o json is the report, and a report on stdout takes the place of the output', async () => {
  const json = await check('bad', ...FLATTEN, '-o', 'json');
  expect(JSON.parse(json.stdout)).toMatchObject({ verdict: 'failed', counts: { errors: 1 } });
  const github = await check('bad', ...FLATTEN, '--report', 'github=-');
  expect(github.stdout).toMatch(/^::error file=bad\.safetensors,title=WC203 bytes-reshaped::[^\n]+\n$/);
});

test('a map that was taken to be flattened and was not fails, shows what it was taken for, and says what fits', async () => {
  const outcome = await check('good');
  expect(outcome.code).toBe(1);
  expect(outcome.stdout).toContain('Linear behind a flattened 4x18');
  expect(outcome.stdout).toContain('WC205 flatten-order');
  expect(outcome.stdout).toContain('as if a map of [6, 12] had been flattened');
});

test('a file that cannot be read, a missing reference and an unknown report are exit code 2', async () => {
  await writeFile(join(folder, 'damaged.safetensors'), 'no weights at all');
  expect((await check('damaged')).code).toBe(2);
  expect((await check('nobody')).code).toBe(2);
  expect((await run('check', 'good.safetensors')).code).toBe(2);
  expect((await check('good', '--report', 'pdf=x')).stderr).toContain('--report takes FORMAT=FILE');
  expect((await check('good', '--flatten', 'fc1=6xx')).stderr).toContain('--flatten takes');
  expect((await check('good', '--operators')).code).toBe(2);
});

test('an engine that is missing is exit code 6, never a pass', async () => {
  const outcome = await run('check', '--operators', '--live', '/no/such/python');
  expect(outcome.code).toBe(6);
  expect(outcome.stderr).toContain('code: ENGINE_MISSING');
});

test('the operators are run as they were recorded, and every one is in the table', async () => {
  const outcome = await run('check', '--operators', '-o', 'json');
  expect(outcome.code).toBe(0);
  const report = JSON.parse(outcome.stdout);
  expect(report).toMatchObject({ verdict: 'passed', tolerance: 1e-5 });
  expect(report.operators).toHaveLength(23);
});

test('settings ignore with a reason, and say what they ignored in vain', async () => {
  const settings = (ignore: string) =>
    writeFile(join(folder, 'settings.yaml'), `apiVersion: consilium/v1\nignore: [${ignore}]\n`);
  await settings('{ rule: WC203, tensors: fc2.*, reason: known }, { rule: WC101, reason: never there }');
  const outcome = await check('bad', ...FLATTEN, '--settings', 'settings.yaml');
  expect(outcome.code).toBe(0);
  expect(outcome.stdout).toContain('ignored WC203');
  expect(outcome.stderr).toContain('the ignore of WC101 of * matched nothing');
  await settings('{ rule: WC203, tensors: fc2.* }');
  const unreasoned = await check('bad', ...FLATTEN, '--settings', 'settings.yaml');
  expect(unreasoned).toMatchObject({ code: 2, stderr: expect.stringContaining('reason') });
});

test('a manifest takes the place of what was said by hand, and its version is held to its change', async () => {
  const subject = ['--id', 'sample', '--schema-version', '1.0.0', '--converted', 'good.safetensors'];
  const made = await run('manifest', 'reference.safetensors', ...subject, ...FLATTEN);
  expect(made).toMatchObject({ code: 0, stdout: 'sample.weights.json\n' });
  expect((await check('good', '--manifest', 'sample.weights.json')).code).toBe(0);
  const bad = await check('bad', '--manifest', 'sample.weights.json');
  expect(bad).toMatchObject({ code: 1, stdout: expect.stringContaining('WC203') });
  const text = await readFile(join(folder, 'sample.weights.json'), 'utf8');
  await writeFile(
    join(folder, 'next.json'),
    text.replace('"heads":2', '"heads":4').replace('1.0.0', '1.1.0'),
  );
  const breaking = await run('breaking', 'sample.weights.json', 'next.json');
  expect(breaking.code).toBe(1);
  expect(breaking.stdout).toContain('is MINOR, the change needs MAJOR');
  expect((await run('breaking', 'sample.weights.json', 'sample.weights.json')).code).toBe(0);
  const unsigned = await check('good', '--manifest', 'sample.weights.json', '--signed-by', 'abc');
  expect(unsigned).toMatchObject({ code: 2, stderr: expect.stringContaining('it is not signed') });
});

test('diff is exit code 1 where anything differs, and names it; explain knows ids and names', async () => {
  const differing = await run('diff', 'reference.safetensors', 'bad.safetensors', ...FLATTEN);
  expect(differing.code).toBe(1);
  expect(differing.stdout).toMatch(/fc2\.weight +\[8, 8\] +56 of 64/);
  expect((await run('diff', 'good.safetensors', 'good.safetensors')).code).toBe(0);
  const byName = await run('explain', 'gate-order');
  expect(byName.stdout).toBe((await run('explain', 'wc204')).stdout);
  expect((await run('explain', 'gate-oder')).stderr).toContain('did you mean gate-order?');
});
