import pico from 'picocolors';
import type { CheckReport, Finding, OutputResult } from '../../weights/checks/report.ts';
import { RULES_ZH } from '../../weights/checks/rule-texts-zh.ts';
import { ruleOf } from '../../weights/checks/rules.ts';
import type { Language } from '../language.ts';
import { type Column, renderTable } from '../table.ts';
import { errorShare, errorText, outputErrorText, outputShare } from './figures.ts';
import { counted, errorsByRule, foldedFindings, sentenceOf } from './folded-findings.ts';

const BAR_CELLS = 16;
/** Layers and tensors that passed, and findings of one rule, that are shown unless all are asked for. */
const SHOWN = { rows: 40, findings: 5 };
const ALL = { rows: Number.POSITIVE_INFINITY, findings: Number.POSITIVE_INFINITY };
const WHERE = '(--all or -o json has them)';

/** How a check is written for a terminal. */
export interface TextStyle {
  readonly colour: boolean;
  readonly language?: Language;
  /** Whether every row and finding is written, and not only the first of many. */
  readonly all?: boolean;
}

/**
 * A check for a terminal: what belongs together, an error bar for each tensor, the findings, and at the end, where a person
 * looks, the verdict with the count of each rule. Long lists are folded. In Chinese a finding also says what its rule
 * finds; the message, which names what differs, is the same in every format.
 */
export function textOf(report: CheckReport, { colour, language = 'en', all = false }: TextStyle): string {
  const most = all ? ALL : SHOWN;
  const { bold, dim, red, yellow, green } = pico.createColors(colour);
  const { reference, candidate, mapping, tensors, findings, counts } = report;
  const parts = [
    `${bold(candidate.file)} (${candidate.framework}) against ${bold(reference.file)} (${reference.framework})\n`,
  ];
  if (mapping.origin === 'inferred' && mapping.layers.length > 0) {
    const columns: readonly Column<(typeof mapping.layers)[number]>[] = [
      { title: 'LAYER', cell: ({ layer }) => layer },
      { title: 'OPERATION', cell: ({ op }) => op },
      { title: 'HELD AS', cell: ({ tensors: names }) => shortened(names) },
      { title: 'BECAUSE OF', cell: ({ because }) => because },
    ];
    const shown = mapping.layers.slice(0, most.rows);
    parts.push(renderTable(columns, shown, colour));
    const hidden = mapping.layers.length - shown.length;
    if (hidden > 0) parts.push(dim(`and ${counted(hidden, 'more layer')} ${WHERE}\n`));
  }
  const failed = tensors.filter(({ passed }) => !passed);
  const shown = [
    ...failed.slice(0, most.rows),
    ...tensors.filter(({ passed }) => passed).slice(0, most.rows),
  ];
  const tint = (passed: boolean, text: string) => (passed ? green(text) : red(text));
  const columns: readonly Column<(typeof tensors)[number]>[] = [
    { title: 'TENSOR', cell: ({ tensor }) => tensor },
    { title: 'SHAPE', cell: ({ shape }) => `[${shape.join(', ')}]` },
    { title: 'COMPARED', cell: ({ comparison }) => comparison },
    { title: 'ERROR', cell: (one) => errorText(one), align: 'right' },
    { title: '1e-8 ........ 1', cell: (one) => tint(one.passed, bar(errorShare(one))) },
  ];
  if (shown.length > 0) parts.push(renderTable(columns, shown, colour));
  const hidden = tensors.length - shown.length;
  const hiddenFailed = Math.max(0, failed.length - most.rows);
  const which = hiddenFailed > 0 ? `, ${hiddenFailed} of which differ` : '';
  if (hidden > 0) parts.push(dim(`and ${counted(hidden, 'more tensor')}${which} ${WHERE}\n`));
  if (report.probe) {
    const outputs: readonly Column<OutputResult>[] = [
      { title: 'LAYER', cell: ({ layer }) => layer },
      { title: 'WORST PROBE', cell: ({ probe }) => probe },
      { title: 'INPUT', cell: ({ inputRelativeL2 }) => outputErrorText(inputRelativeL2), align: 'right' },
      { title: 'OUTPUT', cell: ({ relativeL2 }) => outputErrorText(relativeL2), align: 'right' },
      { title: '1e-8 ........ 1', cell: (one) => tint(one.passed, bar(outputShare(one))) },
    ];
    const { engine, reference: recorded, results, probes } = report.probe;
    parts.push(`${engine} against ${recorded}, the worst of ${probes.length} probes\n`);
    parts.push(renderTable(outputs, results, colour));
  }
  const tints = { error: red, warning: yellow, note: dim };
  const line = (one: Finding) => {
    const chinese = RULES_ZH[one.rule];
    const name = language === 'zh' ? `${ruleOf(one.rule).name} ${chinese.title}` : ruleOf(one.rule).name;
    const also = language === 'zh' ? dim(`  ${chinese.finds}\n`) : '';
    return one.ignored === undefined
      ? `${tints[one.severity](`${one.severity} ${one.rule}`)} ${bold(name)} ${sentenceOf(one)}\n${also}`
      : dim(`ignored ${one.rule} ${name} ${sentenceOf(one)} (${one.ignored})\n`);
  };
  const folded = foldedFindings(findings, most.findings).map(
    ({ rule, shown: first, more }) =>
      first.map(line).join('') + (more > 0 ? dim(`  and ${more} more of ${rule} ${WHERE}\n`) : ''),
  );
  if (folded.length > 0) parts.push(folded.join(''));
  const verdict =
    report.verdict === 'passed'
      ? green(`passed: ${counted(tensors.length, 'tensor')} ${report.probe ? 'and all outputs ' : ''}agree`)
      : red(`failed: ${counted(counts.errors, 'error')} (${errorsByRule(report)})`);
  const also = [
    counts.warnings > 0 ? counted(counts.warnings, 'warning') : '',
    counts.ignored > 0 ? `${counts.ignored} ignored` : '',
  ].filter((text) => text !== '');
  parts.push(`${verdict}${also.length > 0 ? `, ${also.join(', ')}` : ''}\n`);
  return parts.join('\n');
}

function bar(share: number): string {
  return '█'.repeat(Math.ceil(share * BAR_CELLS)).padEnd(BAR_CELLS, '·');
}

function shortened(names: readonly string[]): string {
  const text = names.join(', ');
  return text.length <= 60 ? text : `${names[0]} and ${names.length - 1} more`;
}
