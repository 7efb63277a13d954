import type { CheckReport, Finding } from '../../weights/checks/report.ts';
import { type RuleId, ruleOf } from '../../weights/checks/rules.ts';

/** Findings of one rule that are shown, and how many more there are. */
export interface FoldedFindings {
  readonly rule: RuleId;
  readonly shown: readonly Finding[];
  readonly more: number;
}

/** Findings by their rule, in the order in which the rules first come; of each rule and severity the first `shownMax`. */
export function foldedFindings(findings: readonly Finding[], shownMax: number): readonly FoldedFindings[] {
  const groups = new Map<string, Finding[]>();
  for (const one of findings) {
    const key = `${one.rule} ${one.ignored === undefined ? one.severity : 'ignored'}`;
    groups.set(key, [...(groups.get(key) ?? []), one]);
  }
  return [...groups.values()].map((group) => ({
    rule: group[0]!.rule,
    // One alone is no longer than the line that says it is there.
    shown: group.length === shownMax + 1 ? group : group.slice(0, shownMax),
    more: group.length === shownMax + 1 ? 0 : Math.max(0, group.length - shownMax),
  }));
}

/** What a finding says, beginning with the tensor where the sentence does not name it: `conv1.weight: kernel:0 is ...`. */
export function sentenceOf({ tensor, message }: Finding): string {
  return tensor === undefined || message.includes(tensor) ? message : `${tensor}: ${message}`;
}

/** The errors that count, by rule: `10 of WC101 tensor-missing, 1 of WC109 nothing-compared`; empty where there are none. */
export function errorsByRule({ findings }: CheckReport): string {
  const counts = new Map<RuleId, number>();
  for (const { rule, severity, ignored } of findings) {
    if (severity === 'error' && ignored === undefined) counts.set(rule, (counts.get(rule) ?? 0) + 1);
  }
  return [...counts].map(([rule, count]) => `${count} of ${rule} ${ruleOf(rule).name}`).join(', ');
}

/** `1 error`, `3 errors`. */
export function counted(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`;
}
