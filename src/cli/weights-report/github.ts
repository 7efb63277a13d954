import type { CheckReport, Finding } from '../../weights/checks/report.ts';
import { ruleOf } from '../../weights/checks/rules.ts';
import { sentenceOf } from './folded-findings.ts';

const COMMANDS = { error: 'error', warning: 'warning', note: 'notice' } as const;

/** A check as workflow commands of GitHub Actions, one line for each finding that counts. Source: GitHub, "Workflow commands". */
export function githubOf({ findings, candidate }: CheckReport): string {
  return findings
    .filter(({ ignored }) => ignored === undefined)
    .map((one) => {
      const title = `${one.rule} ${ruleOf(one.rule).name}`;
      return `::${COMMANDS[one.severity]} file=${property(candidate.file)},title=${property(title)}::${text(sentenceOf(one))}\n`;
    })
    .join('');
}

function text(value: Finding['message']): string {
  return value.replaceAll('%', '%25').replaceAll('\r', '%0D').replaceAll('\n', '%0A');
}

function property(value: string): string {
  return text(value).replaceAll(':', '%3A').replaceAll(',', '%2C');
}
