import type { CheckReport, Finding } from '../../weights/checks/report.ts';
import { ruleOf } from '../../weights/checks/rules.ts';
import { html, type Markup } from '../demo/report/markup.ts';
import { counted, foldedFindings } from './folded-findings.ts';

/** Findings of one rule that are in sight; the others are folded away below them. */
const IN_SIGHT = 8;

/** Every finding, rule by rule: what the rule finds, what to do, and the tensors that it found. */
export function findingsSection({ findings }: CheckReport): Markup {
  if (findings.length === 0) return html`<div class="card"><p class="note">None.</p></div>`;
  return html`${foldedFindings(findings, Number.POSITIVE_INFINITY).map(({ rule, shown }) => {
    const { name, finds, remedy } = ruleOf(rule);
    const [first] = shown;
    const severity = first!.ignored === undefined ? first!.severity : 'ignored';
    const folded = shown.slice(IN_SIGHT);
    return html`<section class="card finding ${severity}"><h3>${rule} ${name} <span class="badge">${severity === 'ignored' ? `${shown.length} ignored` : counted(shown.length, severity)}</span></h3>
<p class="note">${finds} ${remedy}</p><div class="scroll">${rows(shown.slice(0, IN_SIGHT))}</div>${
      folded.length === 0
        ? undefined
        : html`<details><summary>${folded.length} more</summary><div class="scroll">${rows(folded)}</div></details>`
    }</section>`;
  })}`;
}

function rows(findings: readonly Finding[]): Markup {
  return html`<table class="trouble"><tbody>${findings.map(
    ({ tensor, message, ignored }) =>
      html`<tr><th scope="row">${tensor ?? 'the file'}</th><td>${withoutName(message, tensor)}${ignored === undefined ? undefined : html` <em>(ignored: ${ignored})</em>`}</td></tr>`,
  )}</tbody></table>`;
}

/** The sentence behind the tensor that it begins with, which stands beside it. */
function withoutName(message: string, tensor: string | undefined): string {
  return message.startsWith(`${tensor}: `) ? message.slice(`${tensor}: `.length) : message;
}
