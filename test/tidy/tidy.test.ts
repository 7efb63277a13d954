import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { basename, join, resolve, sep } from 'node:path';
import { expect, test } from 'vitest';
import { blankOut, readSources, resolveImport, root, type Source, typescriptFiles } from './source.ts';

/** The rooms of the house; imports point up this list only. */
const ROOMS = (
  'vocabulary errors wasm weights aggregation rounds sm protocol ports identity storage engines features ' +
  'transport flower coordinator participant telemetry dashboard cli'
).split(' ');
const PURE = ROOMS.slice(0, ROOMS.indexOf('protocol') + 1);

/** What a pure room may take from outside of the house. */
const PURE_PACKAGES: Readonly<Record<string, readonly string[]>> = {
  // Checksums by the instruction that the processor has for them, where npm installed the binary.
  vocabulary: ['@node-rs/crc32', 'node:module'],
  // Inflates the entries of zip archives, in plain JavaScript.
  weights: ['fflate', 'zod'],
  rounds: ['zod'],
  // The group of points; audited, and without dependencies of its own but its own hashes.
  sm: ['node:crypto', '@noble/curves/abstract/weierstrass.js'],
  // The wire contract is read once, from the package's own proto/, when the room is loaded.
  protocol: ['zod', '@grpc/proto-loader', 'node:url'],
};

/** Where a process begins; everything else is there because one of these needs it. */
const ENTRIES = [
  'cli/main.ts',
  // The store's second, simpler implementation: the contract suite and the simulation run over it.
  'storage/memory/memory-store.ts',
];

const TOP_LEVEL =
  'package.json tsconfig.json proto src deploy test README.md LICENSE docs examples ' +
  // What tools demand there.
  'package-lock.json vitest.config.ts biome.json .gitignore .gitattributes .ci .github SECURITY.md';

const sources = readSources();
const written = sources.filter(({ path }) => !path.includes('/generated/'));
const byPath = new Map(sources.map((source) => [source.path, source]));

function neighbours(source: Source): readonly string[] {
  return source.imports.flatMap((specifier) => resolveImport(source.path, specifier) ?? []);
}

test('every source file lives in a room of the house', () => {
  expect(sources.filter(({ room }) => !ROOMS.includes(room)).map(({ path }) => path)).toEqual([]);
});

test('imports point up the list of rooms only, name files that are there, and never leave src', () => {
  const faults = sources.flatMap((source) =>
    neighbours(source)
      .filter((target) => {
        const room = byPath.get(target)?.room;
        return room === undefined || ROOMS.indexOf(room) > ROOMS.indexOf(source.room);
      })
      .map((target) => `${source.path} imports ${target}`),
  );
  expect(faults).toEqual([]);
});

test('no file imports itself through others', () => {
  const done = new Set<string>();
  const cycles: string[] = [];
  const visit = (path: string, trail: readonly string[]) => {
    if (trail.includes(path)) cycles.push([...trail.slice(trail.indexOf(path)), path].join(' -> '));
    const source = byPath.get(path);
    if (done.has(path) || !source) return;
    done.add(path);
    for (const target of neighbours(source)) visit(target, [...trail, path]);
  };
  for (const { path } of sources) visit(path, []);
  expect(cycles).toEqual([]);
});

test('pure rooms know no time, no chance, no process, no file, no network and no waiting', () => {
  const impure =
    /\b(?:Date|Math\.random|performance|setTimeout|setInterval|setImmediate|queueMicrotask|fetch|async|await|Promise)\b|\b(?:globalThis|process|console)\./;
  const faults = written
    .filter(({ room }) => PURE.includes(room))
    .flatMap(({ path, room, code, imports }) => [
      ...code
        .split('\n')
        .flatMap((line, index) => (impure.test(line) ? [`${path}:${index + 1}: ${line.trim()}`] : [])),
      ...imports
        .filter((specifier) => !specifier.startsWith('.') && !PURE_PACKAGES[room]?.includes(specifier))
        .map((specifier) => `${path} imports ${specifier}`),
    ]);
  expect(faults).toEqual([]);
});

test('every source file is needed by an entry of a process', () => {
  const reached = new Set<string>();
  const visit = (path: string) => {
    const source = byPath.get(path);
    if (reached.has(path) || !source) return;
    reached.add(path);
    neighbours(source).forEach(visit);
  };
  ENTRIES.forEach(visit);
  expect(written.filter(({ path }) => !reached.has(path)).map(({ path }) => path)).toEqual([]);
});

test('files are named with words of the field, in kebab case', () => {
  const faults = [...sources.map(({ path }) => path), ...typescriptFiles('test')].filter((path) => {
    const name = basename(path).replace(/(?:\.long|\.soak)?(?:\.test|\.bench|\.contract)?\.ts$/, '');
    const words = path.replace(/\.ts$/, '').split(/[/.-]/);
    return (
      (!path.includes('generated/') && !/^[a-z0-9]+(?:-[a-z0-9]+)*$/.test(name)) ||
      words.some((word) => /^(?:utils?|helpers?|managers?|commons?|misc)$/.test(word))
    );
  });
  expect(faults).toEqual([]);
});

test('tests import nothing from outside of the repository', () => {
  const faults = typescriptFiles('test').flatMap((path) =>
    [...readFileSync(join(root, 'test', path), 'utf8').matchAll(/\bfrom '(\.[^']*)'/g)]
      .map((match) => resolve(root, 'test', path, '..', match[1] as string))
      .filter((target) => !target.startsWith(root.endsWith(sep) ? root : root + sep)),
  );
  expect(faults).toEqual([]);
});

test('the top level holds what the house says, and nothing else', () => {
  const tracked = execFileSync('git', ['ls-files', '-z'], { cwd: root, encoding: 'utf8' }).split('\0');
  const names = new Set(tracked.filter((path) => path !== '').map((path) => path.split('/')[0] as string));
  expect(names.has('package.json')).toBe(true);
  expect([...names].filter((name) => !TOP_LEVEL.split(' ').includes(name))).toEqual([]);
});

test('every export says what it is', () => {
  const faults = written.flatMap(({ path, text, code }) => {
    const lines = text.split('\n');
    const told = new Set<string>();
    return code.split('\n').flatMap((line, index) => {
      const name =
        /^export (?:default |declare |abstract |async )*(?:function\*?|const|let|class|interface|type) ?(\w+)/.exec(
          line,
        )?.[1];
      if (name === undefined || told.has(name)) return [];
      told.add(name);
      return lines[index - 1]?.trimEnd().endsWith('*/') ? [] : [`${path}:${index + 1}: ${name}`];
    });
  });
  expect(faults).toEqual([]);
});

test('the reader of sources blanks comments, strings, templates and regular expressions, and nothing else', () => {
  const text = `a('x') // y\n\`b\${c(\`d\${e}\`)}f\` /* g */ + /[/'h]/.test(i) / j`;
  const code = blankOut(text);
  expect(code).toHaveLength(text.length);
  expect(code.replace(/\s+/g, '')).toBe(`a('')\`\${c(\`\${e}\`)}\`+//.test(i)/j`);
});
