import type { CheckReport } from '../../weights/checks/report.ts';
import { ruleOf } from '../../weights/checks/rules.ts';
import { fingerprintOf } from './fingerprint.ts';
import { sentenceOf } from './folded-findings.ts';

const SEVERITIES = { error: 'critical', warning: 'minor', note: 'info' } as const;

/** A check as GitLab's code quality report: a JSON array in the manner of Code Climate. Source: GitLab, "Code Quality". */
export function gitlabOf({ findings, candidate }: CheckReport): string {
  const counted = findings.filter(({ ignored }) => ignored === undefined);
  const issues = counted.map((one) => ({
    description: `${one.rule} ${ruleOf(one.rule).name}: ${sentenceOf(one)}`,
    check_name: one.rule,
    fingerprint: fingerprintOf(one),
    severity: SEVERITIES[one.severity],
    location: { path: candidate.file.replaceAll('\\', '/').replace(/^\.\//, ''), lines: { begin: 1 } },
  }));
  return `${JSON.stringify(issues, undefined, 2)}\n`;
}
