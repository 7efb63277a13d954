import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { encodeSafetensors } from '../../src/weights/formats/safetensors.ts';
import { elementCount } from '../../src/weights/manifest.ts';
import { weights } from './run-weights.ts';

const folder = mkdtempSync(join(tmpdir(), 'consilium-manifest-'));
afterAll(() => rmSync(folder, { recursive: true }));
const at = (name: string) => join(folder, name);

function write(name: string, shapes: Readonly<Record<string, readonly number[]>>): string {
  const tensors = Object.entries(shapes).map(
    ([tensor, shape]) => ({ name: tensor, dtype: 'float32', shape }) as const,
  );
  const elements = tensors.reduce((sum, { shape }) => sum + elementCount(shape), 0);
  const values = Float32Array.from({ length: elements }, (_, place) => Math.sin(place));
  writeFileSync(at(name), encodeSafetensors({ schemaVersion: '1.0.0', tensors }, values));
  return at(name);
}

const first = write('first.safetensors', { 'fc.weight': [2, 4] });
const second = write('second.safetensors', { 'fc.weight': [2, 4], 'fc.bias': [2] });
const manifest = (file: string, version: string, to: string, ...more: string[]) =>
  weights('manifest', file, '--id', 'cxr', '--schema-version', version, '--to', at(to), ...more);

test('weights manifest --previous tells what changed, and weights breaking agrees', async () => {
  await manifest(first, '1.0.0', 'old.json');
  const made = await manifest(
    second,
    '1.1.0',
    'new.json',
    '--previous',
    at('old.json'),
    '--default',
    'fc.bias=0',
  );
  expect(made.problem).toBeUndefined();
  expect(made.said).toContain('cxr 1.0.0 -> cxr 1.1.0 is MINOR, the change needs MINOR');
  const written = JSON.parse(readFileSync(at('new.json'), 'utf8'));
  expect(written.history).toEqual([
    {
      from: '1.0.0',
      to: '1.1.0',
      changes: [{ needs: 'minor', about: 'fc.bias', message: 'the tensor is new, 0 by default' }],
    },
  ]);
  expect(written.tensors[1]).toMatchObject({ name: 'fc.bias', default: 0, since: '1.1.0' });
  expect((await weights('breaking', at('old.json'), at('new.json'))).exit).toBe(0);
});

test.each([
  [
    'a step that is too small',
    ['--previous', 'old.json'],
    'CHECK_FAILED',
    'is MINOR, the change needs MAJOR',
  ],
  ['a default of no tensor', ['--default', 'fc.scale=1'], 'USAGE', 'fc.scale, which is no tensor of'],
  ['a default that is no number', ['--default', 'fc.bias=none'], 'USAGE', 'not fc.bias=none'],
])('weights manifest refuses %s', async (_, options, code, reason) => {
  await manifest(first, '1.0.0', 'old.json');
  const named = options.map((one) => (one.endsWith('.json') ? at(one) : one));
  const { problem } = await manifest(second, '1.1.0', 'none.json', ...named);
  expect(problem?.code).toBe(code);
  expect(problem?.details.reason).toContain(reason);
});

test('weights manifest refuses a predecessor of another schema', async () => {
  await manifest(first, '1.0.0', 'old.json');
  const { problem } = await weights(
    ...['manifest', second, '--id', 'mri', '--schema-version', '1.1.0', '--to', at('none.json')],
    ...['--previous', at('old.json')],
  );
  expect(problem).toMatchObject({ code: 'USAGE', details: { reason: expect.stringContaining('is of cxr') } });
});
