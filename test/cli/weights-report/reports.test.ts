import { createRequire } from 'node:module';
import { Ajv } from 'ajv';
import addFormats from 'ajv-formats';
import { expect, test } from 'vitest';
import { githubOf } from '../../../src/cli/weights-report/github.ts';
import { gitlabOf } from '../../../src/cli/weights-report/gitlab.ts';
import { htmlOf } from '../../../src/cli/weights-report/html.ts';
import { junitOf } from '../../../src/cli/weights-report/junit.ts';
import { sarifOf } from '../../../src/cli/weights-report/sarif.ts';
import { stepSummaryOf } from '../../../src/cli/weights-report/step-summary.ts';
import { textOf } from '../../../src/cli/weights-report/text.ts';
import { checkFiles } from '../../../src/weights/checks/check-files.ts';
import { NO_SETTINGS, settledReport } from '../../../src/weights/checks/check-settings.ts';
import type { CheckReport } from '../../../src/weights/checks/report.ts';
import { RULES_ZH } from '../../../src/weights/checks/rule-texts-zh.ts';
import { RULES } from '../../../src/weights/checks/rules.ts';
import {
  convertedSample,
  heldLayers,
  pytorchSample,
  storedSample,
} from '../../weights/checks/sample-model.ts';
import { junitFaults, parseXml, type XmlElement } from './junit-grammar.ts';

/** A report with an error, an error that is ignored, a warning, and names that every format has to escape. */
function troubled(): CheckReport {
  const canonical = pytorchSample(1, heldLayers('keras'));
  const native = convertedSample(canonical, 'keras', heldLayers('keras'));
  native.set('fc2/kernel', { ...native.get('fc2/kernel')!, values: canonical.get('fc2.weight')!.values });
  native.set('odd <name> & "quotes" %\u0007\n::error', { shape: [1], values: Float32Array.of(1) });
  native.set('optimizer/step', { shape: [1], values: Float32Array.of(1) });
  const report = checkFiles(
    { stored: storedSample(canonical, 'models/reference.pt', 'pytorch'), framework: 'pytorch' },
    { stored: storedSample(native, 'models/a b.h5', 'keras'), framework: 'keras' },
    { flattened: { fc1: [6, 3, 4] } },
  );
  return settledReport(report, {
    ...NO_SETTINGS,
    ignore: [{ rule: 'WC102', tensors: 'optimizer/*', reason: 'the optimiser <stays>' }],
    severities: { WC203: 'warning' },
  }).report;
}

const report = troubled();
const named = report.findings.map(({ rule }) => rule).sort();

test('the sample has every kind of finding', () => {
  expect(named).toEqual(['WC102', 'WC102', 'WC203']);
  expect(report.counts).toEqual({ errors: 1, warnings: 1, ignored: 1 });
  expect(report.verdict).toBe('failed');
});

test('SARIF is valid against the schema of SARIF 2.1.0, and names every rule', () => {
  const schema = createRequire(import.meta.url)('@microsoft/jest-sarif/lib/schemas/sarif-2.1.0-rtm.5.json');
  const ajv = new Ajv({ strict: false, allErrors: true, unicodeRegExp: false });
  // The types of the package are those of its CommonJS form.
  (addFormats as unknown as (ajv: Ajv) => void)(ajv);
  const { id: _, ...rest } = schema as Record<string, unknown>;
  const validate = ajv.compile({ ...rest, $schema: 'http://json-schema.org/draft-07/schema#' });
  const sarif = JSON.parse(sarifOf(report));
  expect(validate(sarif), JSON.stringify(validate.errors)).toBe(true);
  const [run] = sarif.runs;
  expect(run.tool.driver.rules.map(({ id }: { id: string }) => id)).toEqual(Object.keys(RULES));
  for (const result of run.results) expect(run.tool.driver.rules[result.ruleIndex].id).toBe(result.ruleId);
  expect(run.results).toHaveLength(3);
  expect(run.results.filter(({ suppressions }: { suppressions?: unknown }) => suppressions)).toHaveLength(1);
  expect(run.results[0].locations[0].physicalLocation.artifactLocation.uri).toBe('models/a%20b.h5');
  expect(validate({ ...sarif, version: '9' })).toBe(false);
});

test('JUnit is what its schema allows, with one failure, one skip and a case for every tensor', () => {
  const document = parseXml(junitOf(report));
  expect(junitFaults(document)).toEqual([]);
  const cases: XmlElement[] = document.children.flatMap(({ children }) =>
    children.filter(({ name }) => name === 'testcase'),
  );
  const within = (name: string) =>
    cases.filter(({ children }) => children.some((child) => child.name === name));
  expect(cases).toHaveLength(report.tensors.length + 2);
  expect(within('failure')).toHaveLength(1);
  expect(within('skipped')).toHaveLength(1);
  expect(document.attributes).toMatchObject({ tests: String(cases.length), failures: '1' });
  const sum = (name: string) =>
    document.children.reduce((total, suite) => total + Number(suite.attributes[name]), 0);
  expect([sum('tests'), sum('failures'), sum('skipped')]).toEqual([cases.length, 1, 1]);
  // U+0007 cannot stand in XML; the rest is as it was.
  expect(within('failure')[0]!.attributes.name).toContain('odd <name> & "quotes" %\ufffd\n::error');
});

test('the grammar of JUnit refuses what is none', () => {
  const bad =
    '<?xml version="1.0" encoding="UTF-8"?><testsuites><testsuite name="a"><testcase/></testsuite></testsuites>';
  expect(junitFaults(parseXml(bad))).toEqual([
    'testsuites/testsuite lacks tests',
    'testsuites/testsuite lacks failures',
    'testsuites/testsuite lacks errors',
    'testsuites/testsuite/testcase lacks name',
  ]);
  expect(() => parseXml('<?xml version="1.0" encoding="UTF-8"?><a><b></a>')).toThrow('closes another');
});

test('GitHub annotations are one line each, whatever a tensor is called', () => {
  const lines = githubOf(report).split('\n').slice(0, -1);
  expect(lines).toHaveLength(2);
  for (const line of lines)
    expect(line).toMatch(/^::(?:error|warning) file=models\/a b\.h5,title=WC\d{3} [a-z0-9-]+::[^\r\n]+$/);
  expect(lines.join()).toContain('%25\u0007%0A::error');
});

test('GitLab gets its five members, a fingerprint of its own for each issue, and the same one again', () => {
  const issues = JSON.parse(gitlabOf(report)) as Record<string, unknown>[];
  expect(issues).toHaveLength(2);
  for (const issue of issues) {
    expect(Object.keys(issue)).toEqual(['description', 'check_name', 'fingerprint', 'severity', 'location']);
    expect(issue.location).toEqual({ path: 'models/a b.h5', lines: { begin: 1 } });
    expect(['info', 'minor', 'major', 'critical', 'blocker']).toContain(issue.severity);
  }
  expect(new Set(issues.map(({ fingerprint }) => fingerprint)).size).toBe(2);
  expect(JSON.parse(gitlabOf(troubled()))).toEqual(issues);
});

test('the step summary is Markdown in which no name makes a table, a tag or a line of its own', () => {
  const summary = stepSummaryOf(report);
  expect(summary).toMatch(/^## Weights: failed\n/);
  expect(summary).toContain('odd &lt;name> &amp; "quotes"');
  const rows = summary.split('\n').filter((line) => line.startsWith('| WC'));
  expect(rows).toHaveLength(3);
  for (const row of rows) expect(row.match(/(?<!\\)\|/g)).toHaveLength(5);
});

test('the page is one file that needs no other, with a bar for every tensor that differs and nothing unescaped', () => {
  const page = htmlOf(report);
  expect(page).not.toMatch(/(?:src|href)=/);
  expect(page).not.toContain('<name>');
  expect(page.match(/<rect class="fill"/g)).toHaveLength(1);
  expect(page).toContain('The weights differ');
  // Every rule says what to do, and every layer what it was paired with.
  expect(page).toContain(RULES.WC203.remedy);
  expect(page).toContain('What belongs together');
});

test('the page of two models that have nothing in common is folded rule by rule', () => {
  const page = htmlOf(unlike());
  expect(page.match(/<section class="card finding error">/g)).toHaveLength(3);
  expect(page).toContain('<summary>292 more</summary>');
  expect(page).toContain('No tensor was compared.');
});

test('the text has colours when they are wanted, a bar for what fails, and the verdict at its end', () => {
  const plain = textOf(report, { colour: false });
  expect(plain).not.toContain('\u001b[');
  expect(textOf(report, { colour: true })).toContain('\u001b[31m');
  expect(plain).toMatch(/fc2\.weight +\[8, 8\] +bit-exact +1\.\de\+0 +█{16}\n/);
  expect(plain).toContain('warning WC203 bytes-reshaped');
  expect(plain).toContain('ignored WC102');
  expect(plain.trimEnd().split('\n').at(-1)).toBe(
    'failed: 1 error (1 of WC102 tensor-extra), 1 warning, 1 ignored',
  );
});

test('in Chinese the text says what each finding means, and an English report stays as it was', () => {
  const chinese = textOf(report, { colour: false, language: 'zh' });
  for (const { rule, message } of report.findings) {
    expect(chinese).toContain(`${rule} ${RULES[rule].name} ${RULES_ZH[rule].title}`);
    expect(chinese).toContain(message);
  }
  expect(chinese).toContain(RULES_ZH.WC203.finds);
  expect(textOf(report, { colour: false })).not.toMatch(/\p{Script=Han}/u);
});

/** Two models that have nothing in common: 300 tensors are missing, and 2 are too many. */
function unlike(): CheckReport {
  const sample = (prefix: string, count: number) =>
    new Map(
      Array.from({ length: count }, (_, at) => [
        `${prefix}${at}.weight`,
        { shape: [1], values: Float32Array.of(at) },
      ]),
    );
  return checkFiles(
    { stored: storedSample(sample('left', 300), 'reference.pt', 'pytorch'), framework: 'pytorch' },
    { stored: storedSample(sample('right', 2), 'candidate.pt', 'pytorch'), framework: 'pytorch' },
  );
}

test('many findings of one rule are folded, the verdict counts them, and all of them can be had', () => {
  const told = unlike();
  const plain = textOf(told, { colour: false });
  expect(plain.split('\n').length).toBeLessThan(20);
  expect(plain).toContain('and 295 more of WC101 (--all or -o json has them)');
  expect(
    plain.match(/tensor-missing left\d+\.weight is not in the candidate|has no counterpart/g),
  ).toHaveLength(5);
  expect(plain.trimEnd().split('\n').at(-1)).toBe(
    'failed: 303 errors (300 of WC101 tensor-missing, 2 of WC102 tensor-extra, 1 of WC109 nothing-compared)',
  );
  expect(textOf(told, { colour: false, all: true }).match(/error WC101/g)).toHaveLength(300);
});

test('the summary of a step begins with the verdict and the count of each rule, and folds the rest away', () => {
  const summary = stepSummaryOf(unlike());
  const [shown = '', folded = ''] = summary.split('<details><summary>295 more findings</summary>');
  expect(shown).toContain(
    '300 of WC101 tensor-missing, 2 of WC102 tensor-extra, 1 of WC109 nothing-compared.',
  );
  expect(shown.match(/^\| WC/gm)).toHaveLength(8);
  expect(folded.match(/^\| WC101/gm)).toHaveLength(295);
});

test('a message that names a tensor by its file alone is given its name in the model', () => {
  const told = report.findings.find(({ rule }) => rule === 'WC203')!;
  expect(textOf(report, { colour: false })).toContain(`WC203 bytes-reshaped fc2.weight: ${told.message}`);
  expect(githubOf(report)).toContain(`::fc2.weight: ${told.message}`);
});
