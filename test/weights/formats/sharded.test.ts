import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { zipSync } from 'fflate';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { openWeightsFile } from '../../../src/engines/open-weights-file.ts';
import { ConsiliumError } from '../../../src/errors/problem.ts';
import { sourceInMemory } from '../../../src/weights/byte-source.ts';
import { openStoredTensors } from '../../../src/weights/formats/open-stored-tensors.ts';
import { writeSafetensors } from '../../../src/weights/formats/write-safetensors.ts';
import { WEIGHTS_LIMITS } from '../../../src/weights/limits.ts';
import type { StoredTensor, StoredTensors } from '../../../src/weights/stored-tensors.ts';
import { weights } from '../../cli/run-weights.ts';
import { described, fixtureBytes, openFixture } from '../fixtures/fixtures.ts';

const INDEX = 'model.safetensors.index.json';
const whole = openFixture('safetensors/dtypes.safetensors');

function shardOf(tensors: readonly StoredTensor[]): Uint8Array {
  const pieces: Uint8Array[] = [];
  const write = (bytes: Uint8Array) => void pieces.push(Uint8Array.from(bytes));
  writeSafetensors({ write }, tensors, { format: 'pt' });
  return new Uint8Array(Buffer.concat(pieces));
}

/** A model in two files, and its index. */
function twoShards(tensors: readonly StoredTensor[], cut: number) {
  const names = ['model-00001-of-00002.safetensors', 'model-00002-of-00002.safetensors'] as const;
  const parts = [tensors.slice(0, cut), tensors.slice(cut)];
  const files = new Map<string, Uint8Array>(
    parts.flatMap((part, place) => (part.length > 0 ? [[names[place]!, shardOf(part)]] : [])),
  );
  const map = Object.fromEntries(
    tensors.map(({ name }, place) => [name, names[place < cut ? 0 : 1]] as [string, string]),
  );
  return { files, map, names };
}

function open(
  files: ReadonlyMap<string, Uint8Array>,
  index: unknown,
  limits = WEIGHTS_LIMITS,
): StoredTensors {
  const text = typeof index === 'string' ? index : JSON.stringify(index);
  const beside = (path: string) => {
    const bytes = files.get(path);
    return bytes && sourceInMemory(path, bytes);
  };
  const opened = openStoredTensors(
    { main: sourceInMemory(INDEX, new TextEncoder().encode(text)), beside },
    limits,
  );
  if (!opened.ok) throw new ConsiliumError(opened.refusal);
  return opened.value;
}

const metadata = { total_size: 1 };

test('a model in shards is the model in one file, wherever it is cut', () => {
  for (let cut = 0; cut <= whole.tensors.length; cut++) {
    const { files, map } = twoShards(whole.tensors, cut);
    const opened = open(files, { metadata, weight_map: map });
    expect(opened.tensors.map(described)).toEqual(whole.tensors.map(described));
    expect([opened.format, opened.framework]).toEqual(['safetensors', 'pytorch']);
    expect(opened.metadata.shards).toBe(String(files.size));
  }
});

test('shards that torch.save wrote are read as well', () => {
  const state = openFixture('pytorch/state_dict.pt');
  const map = Object.fromEntries(state.tensors.map(({ name }) => [name, 'pytorch_model-00001-of-00001.bin']));
  const files = new Map([['pytorch_model-00001-of-00001.bin', fixtureBytes('pytorch/state_dict.pt')]]);
  const opened = open(files, { metadata, weight_map: map });
  expect(opened.tensors.map(described)).toEqual(state.tensors.map(described));
  expect(opened.format).toBe('pytorch');
});

const { files, map, names } = twoShards(whole.tensors, 1);
const [first, second] = [whole.tensors[0]!.name, whole.tensors[1]!.name];
const both = new Map([...files, [names[1], shardOf(whole.tensors)]]);

test.each<[string, unknown, ReadonlyMap<string, Uint8Array>, string]>([
  ['a tensor that no file holds', { weight_map: { ...map, ghost: names[0] } }, files, 'does not hold it'],
  [
    'a tensor that the index does not name',
    { weight_map: { [first]: names[0], [second]: names[1] } },
    files,
    'which the index does not name',
  ],
  ['a tensor in two files', { weight_map: map }, both, `which the index looks for in ${names[0]}`],
  ['a tensor in the other file', { weight_map: { ...map, [first]: names[1] } }, files, 'does not hold it'],
  [
    'a file that is not there',
    { weight_map: { ...map, [first]: 'gone.safetensors' } },
    files,
    'gone.safetensors',
  ],
  ['a file outside', { weight_map: { ...map, [first]: '../secret.safetensors' } }, files, 'nothing outside'],
  ['an absolute file', { weight_map: { ...map, [first]: '/etc/passwd' } }, files, 'nothing outside'],
  ['a file of another system', { weight_map: { ...map, [first]: 'c:\\secret' } }, files, 'nothing outside'],
  ['no file', { weight_map: { ...map, [first]: 3 } }, files, 'is not text'],
  ['no map', { weight_map: [1] }, files, 'not a map'],
  ['an empty map', { weight_map: {} }, files, 'names no tensor'],
  ['a name twice', `{"weight_map":{"a":"${names[0]}","a":"${names[1]}"}}`, files, 'twice'],
  [
    'an index in a shard',
    { weight_map: { [first]: INDEX } },
    new Map([[INDEX, new TextEncoder().encode('{"weight_map":{}}')]]),
    'none of the weight formats',
  ],
  [
    'a pickle that calls',
    { weight_map: { [first]: 'a.bin' } },
    new Map([['a.bin', fixtureBytes('pytorch/attack.pt')]]),
    'posix.system',
  ],
  [
    'files of two formats',
    {
      weight_map: {
        ...map,
        ...Object.fromEntries(
          openFixture('pytorch/state_dict.pt').tensors.map(({ name }) => [name, 'x.bin']),
        ),
      },
    },
    new Map([...files, ['x.bin', fixtureBytes('pytorch/state_dict.pt')]]),
    'safetensors and pytorch',
  ],
  [
    'too many files',
    { weight_map: Object.fromEntries(Array.from({ length: 1001 }, (_, at) => [`t${at}`, `s${at}`])) },
    files,
    '1000 files',
  ],
])('refuses %s', (_, index, there, told) => {
  expect(() => open(there, index)).toThrow(told);
});

test('what shards hold beside tensors is bounded for all of them together', () => {
  // dict of names to torch.float32, as pickle protocol 2 writes it.
  const odd = Array.from({ length: 30 }, (_, at) => `X\x02\0\0\0${10 + at}ctorch\nfloat32\n`).join('');
  const pickle = Uint8Array.from(Buffer.from(`\x80\x02}(${odd}u.`, 'latin1'));
  const paths = ['a.bin', 'b.bin', 'c.bin', 'd.bin'];
  const there = new Map(paths.map((path) => [path, zipSync({ 'm/data.pkl': pickle })]));
  const index = { weight_map: Object.fromEntries(paths.map((path) => [path, path])) };
  expect(() => open(there, index, { ...WEIGHTS_LIMITS, itemsMax: 119 })).toThrow(
    '119 things that are no tensors',
  );
  expect(() => open(there, index, { ...WEIGHTS_LIMITS, itemsMax: 120 })).toThrow('does not hold it');
});

test('an index that is damaged anywhere is read as it was or refused by name', () => {
  const text = JSON.stringify({ metadata, weight_map: map });
  fc.assert(
    fc.property(fc.nat(text.length - 1), fc.integer({ min: 32, max: 126 }), (at, code) => {
      const damaged = text.slice(0, at) + String.fromCharCode(code) + text.slice(at + 1);
      let refused = false;
      try {
        expect(open(files, damaged).tensors.map(described)).toEqual(whole.tensors.map(described));
      } catch (error) {
        if (!(error instanceof ConsiliumError)) throw error;
        refused = error.problem.code.startsWith('WEIGHTS_');
        expect(refused).toBe(true);
      }
    }),
    { numRuns: 300 },
  );
});

let folder: string;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'consilium-shards-'));
  mkdirSync(join(folder, 'model'));
  for (const [name, bytes] of files) writeFileSync(join(folder, 'model', name), bytes);
  writeFileSync(join(folder, 'model', INDEX), JSON.stringify({ metadata, weight_map: map }));
  writeFileSync(join(folder, 'whole.safetensors'), fixtureBytes('safetensors/dtypes.safetensors'));
});

afterAll(() => rmSync(folder, { recursive: true, force: true }));

test('a command takes the folder or the index, and the check compares them with one file', async () => {
  const one = join(folder, 'whole.safetensors');
  for (const path of [join(folder, 'model'), join(folder, 'model', INDEX)]) {
    const { exit, out } = await weights('check', path, '--against', one, '-o', 'json');
    expect(exit).toBe(0);
    expect(JSON.parse(out)).toMatchObject({
      verdict: 'passed',
      candidate: { tensors: whole.tensors.length },
    });
  }
  const joined = join(folder, 'joined.safetensors');
  expect((await weights('convert', join(folder, 'model'), joined)).exit).toBe(0);
  expect((await weights('check', joined, '--against', one)).exit).toBe(0);
});

test('a shard that is a link out of the folder is refused, and nothing is read through it', async () => {
  const linked = join(folder, 'linked');
  mkdirSync(linked);
  for (const name of names) symlinkSync(join(folder, 'model', name), join(linked, name));
  writeFileSync(join(linked, INDEX), JSON.stringify({ weight_map: map }));
  await expect(openWeightsFile(linked)).rejects.toThrow('nothing outside of that folder is opened');
});
