import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { FIXTURES } from '../weights/fixtures/fixtures.ts';
import { weights } from './run-weights.ts';

const folder = mkdtempSync(join(tmpdir(), 'consilium-part-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const [model, checkpoint] = ['scan.pt', 'scan-checkpoint.pt'].map((file) => join(FIXTURES, 'hospital', file));
const check = (...args: readonly string[]) => weights('check', ...args, '-o', 'json');

test('a part of a checkpoint is the model, once it is said which', async () => {
  const { out, exit } = await check(checkpoint!, '--against', model!, '--prefix', 'state_dict.module.');
  expect(exit).toBe(0);
  expect(JSON.parse(out)).toMatchObject({ verdict: 'passed', findings: [], candidate: { tensors: 10 } });
  const average = await check(checkpoint!, '--against', model!, '--prefix', 'ema_state_dict.');
  expect(average.exit).toBe(1);
  const back = await check(model!, '--against', checkpoint!, '--against-prefix', 'state_dict.module.');
  expect(back.exit).toBe(0);
});

test('the part is converted by itself, under the names of the model', async () => {
  const path = join(folder, 'scan.safetensors');
  const { exit } = await weights('convert', checkpoint!, path, '--prefix', 'state_dict.module.');
  expect(exit).toBe(0);
  expect((await check(path, '--against', model!)).exit).toBe(0);
});

test('a prefix left in is one finding, whose weight the settings may change', async () => {
  const path = join(folder, 'wrapped.safetensors');
  await weights('convert', checkpoint!, path, '--prefix', 'state_dict.');
  const { out, exit } = await check(path, '--against', model!);
  expect(exit).toBe(1);
  const { findings, tensors } = JSON.parse(out) as {
    findings: readonly { rule: string; message: string }[];
    tensors: readonly { passed: boolean }[];
  };
  expect(findings.map(({ rule, message }) => `${rule} ${message}`)).toEqual([
    'WC113 the names of the candidate are those of the reference behind module.',
  ]);
  expect(tensors.map(({ passed }) => passed)).toEqual(Array(10).fill(true));
});

test('a prefix that nothing has is refused, with the one that was meant', async () => {
  const { problem } = await check(checkpoint!, '--against', model!, '--prefix', 'state_dict.modul.');
  expect(problem).toMatchObject({ code: 'USAGE' });
  expect(problem!.details.reason).toContain('did you mean state_dict.module.?');
});
