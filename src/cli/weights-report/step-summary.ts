import type { CheckReport, Finding } from '../../weights/checks/report.ts';
import { ruleOf } from '../../weights/checks/rules.ts';
import { errorText, outputErrorText } from './figures.ts';
import { counted, errorsByRule, foldedFindings } from './folded-findings.ts';

/** Tensors that the table of a summary names. */
const ROWS_MAX = 20;
/** Findings of one rule that are in sight, and those that are folded away below them: a summary has 1 MiB. */
const FINDINGS_MAX = 5;
const DETAILS_MAX = 500;

/** A check as Markdown, for the summary of a CI step. */
export function stepSummaryOf(report: CheckReport): string {
  const { verdict, reference, candidate, tensors, findings, counts } = report;
  const worst = [...tensors].sort((left, right) => right.relativeL2 - left.relativeL2).slice(0, ROWS_MAX);
  const lines = [
    `## Weights: ${verdict}`,
    '',
    `${cell(candidate.file)} (${candidate.framework}) against ${cell(reference.file)} (${reference.framework}): ${counted(tensors.length, 'tensor')} compared, ${counted(counts.errors, 'error')}, ${counted(counts.warnings, 'warning')}, ${counts.ignored} ignored.`,
    '',
    ...(counts.errors > 1 ? [`${errorsByRule(report)}.`, ''] : []),
  ];
  if (findings.length > 0) {
    const folded = foldedFindings(findings, FINDINGS_MAX);
    const rest = folded.reduce((sum, { more }) => sum + more, 0);
    const first = new Set(folded.flatMap(({ shown }) => shown));
    lines.push(...findingsTable([...first]));
    if (rest > 0) {
      const others = findings.filter((one) => !first.has(one));
      const told = others.slice(0, DETAILS_MAX);
      lines.push(`<details><summary>${counted(rest, 'more finding')}</summary>`, '', ...findingsTable(told));
      if (told.length < rest) lines.push(`And ${rest - told.length} more, which the other reports hold.`, '');
      lines.push('</details>', '');
    }
  }
  lines.push(
    '<details><summary>Largest errors</summary>',
    '',
    '| Tensor | Comparison | Relative L2 error |',
    '| --- | --- | ---: |',
  );
  for (const one of worst) {
    lines.push(`| ${cell(one.tensor)} | ${one.comparison} | ${errorText(one)} |`);
  }
  lines.push('', '</details>', '');
  if (report.probe) {
    const { engine, reference: recorded, results } = report.probe;
    lines.push(
      `<details><summary>Outputs: ${plain(engine)} against ${plain(recorded)}</summary>`,
      '',
      '| Layer | Worst probe | Relative L2 error |',
      '| --- | --- | ---: |',
      ...results.map((one) => `| ${cell(one.layer)} | ${one.probe} | ${outputErrorText(one.relativeL2)} |`),
      '',
      '</details>',
      '',
    );
  }
  return lines.join('\n');
}

function findingsTable(findings: readonly Finding[]): readonly string[] {
  const rows = findings.map((one) => {
    const said = one.ignored === undefined ? one.message : `${one.message} (ignored: ${one.ignored})`;
    const severity = one.ignored === undefined ? one.severity : 'ignored';
    return `| ${one.rule} ${ruleOf(one.rule).name} | ${severity} | ${cell(one.tensor ?? '')} | ${plain(said)} |`;
  });
  return ['| Rule | Severity | Tensor | Finding |', '| --- | --- | --- | --- |', ...rows, ''];
}

/** Text that Markdown and HTML leave alone. */
function plain(text: string): string {
  return text
    .replace(/[\\`*_[\]|~]/g, '\\$&')
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replace(/\s+/g, ' ');
}

function cell(name: string): string {
  return name === '' ? '' : plain(name);
}
