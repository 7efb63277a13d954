import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { expect, test } from 'vitest';
import { parse } from 'yaml';
import { jobSchema } from '../../src/rounds/job.ts';
import { root } from './source.ts';

const read = (path: string) => readFileSync(join(root, path), 'utf8');
const markdown = ['README.md', 'SECURITY.md', 'deploy/README.md'].concat(
  readdirSync(join(root, 'docs'), { recursive: true, encoding: 'utf8' })
    .filter((path) => path.endsWith('.md'))
    .map((path) => `docs/${path.replaceAll('\\', '/')}`),
);

test('every link of the documents leads somewhere', () => {
  const broken = markdown.flatMap((path) =>
    [...read(path).matchAll(/\]\((?!https?:|#)([^)#]+)[^)]*\)/g)]
      .map((match) => match[1] as string)
      .filter((target) => !existsSync(resolve(root, dirname(path), target)))
      .map((target) => `${path}: ${target}`),
  );
  expect(broken).toEqual([]);
});

test('every command of the README that npm runs is a script', () => {
  const { scripts } = JSON.parse(read('package.json')) as { scripts: Record<string, string> };
  const named = [...read('README.md').matchAll(/npm (?!pack|install)(?:run (?:-s )?)?([a-z:]+)/g)].map(
    (match) => match[1] as string,
  );
  expect(named).toEqual(expect.arrayContaining(['demo', 'test', 'check', 'test:long', 'simulate']));
  expect([...new Set(named)].filter((name) => scripts[name] === undefined)).toEqual([]);
});

test('the job in the README is a valid job', () => {
  const blocks = [...read('README.md').matchAll(/```yaml\n([\s\S]*?)```/g)].map(([, yaml]) => parse(yaml!));
  const jobs = blocks.filter((content) => 'rounds' in content);
  expect(jobs.map((job) => jobSchema.safeParse(job))).toMatchObject([{ success: true }]);
});

test('the diagram of a round knows the phases and the records that the code knows', () => {
  const code = ['job-state', 'job-record'].map((name) => read(`src/rounds/${name}.ts`)).join('\n');
  const phases = [...(/export type Phase = ([^;]+);/.exec(code)?.[1] ?? '').matchAll(/'([a-z]+)'/g)].map(
    (match) => match[1] as string,
  );
  const records = [
    ...(/export type JobRecord =([\s\S]*?)\n\n/.exec(code)?.[1] ?? '').matchAll(/kind: '([a-z-]+)'/g),
  ].map((match) => match[1] as string);
  const diagram =
    /```mermaid\nstateDiagram-v2\n([\s\S]*?)```/.exec(read('docs/ROUND_LIFECYCLE.md'))?.[1] ?? '';
  const drawn = [...diagram.matchAll(/^ +(\w+|\[\*\]) --> (\w+|\[\*\])/gm)].flatMap((match) => [
    match[1],
    match[2],
  ]);
  expect([...new Set(drawn)].filter((name) => name !== '[*]').sort()).toEqual([...phases].sort());
  const noted = [...diagram.matchAll(/\/ ([a-z-]+)$/gm)].map((match) => match[1]);
  expect(noted.length).toBeGreaterThan(0);
  expect(noted.filter((name) => !records.includes(name as string))).toEqual([]);
});

test('decisions are numbered without a gap, and each says its four things', () => {
  const decisions = readdirSync(join(root, 'docs', 'adr')).sort();
  expect(decisions.map((name) => Number(name.slice(0, 4)))).toEqual(decisions.map((_, place) => place + 1));
  const incomplete = decisions.filter((name) => {
    const headings = [...read(`docs/adr/${name}`).matchAll(/^## (.+)$/gm)].map((match) => match[1]);
    return headings.join() !== 'Context,Decision,Consequences,What would change our mind';
  });
  expect(incomplete).toEqual([]);
});
