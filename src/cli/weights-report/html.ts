import type { CheckReport, ProbeReport, TensorResult } from '../../weights/checks/report.ts';
import { html, Markup } from '../demo/report/markup.ts';
import { STYLE } from '../demo/report/style.ts';
import { errorShare, errorText, outputErrorText, outputShare } from './figures.ts';
import { counted } from './folded-findings.ts';
import { findingsSection } from './html-findings.ts';
import { errorPlot } from './html-plot.ts';

/** Tensors that the plot draws, the worst first; the table has all. */
const DRAWN_MAX = 200;
/** Of more tensors than this the plot draws those that differ alone. */
const DRAWN_EXACT_MAX = 40;
/** Longer tables are folded. */
const OPEN_ROWS_MAX = 40;

/** What a check has beside the sheet of all reports. */
const OWN_STYLE = `
.tiles .passed { background: color-mix(in srgb, var(--s2) 14%, var(--card)); border-color: transparent; } .tiles .passed dd { color: var(--s2); }
.tiles .failed { background: color-mix(in srgb, var(--s6) 14%, var(--card)); border-color: transparent; } .tiles .failed dd { color: var(--s6); }
.finding { margin-bottom: 1rem; border-left: 4px solid var(--s6); } .finding.warning { border-left-color: var(--s4); }
.finding.note, .finding.ignored { border-left-color: var(--s7); } .finding p.note { margin: 0.2rem 0 0.6rem; }
.finding .badge { margin-left: 0.4rem; } .finding.error .badge { background: color-mix(in srgb, var(--s6) 14%, var(--card)); color: var(--s6); }
.finding th, .finding td { vertical-align: top; overflow-wrap: anywhere; } .finding tbody th { white-space: normal; width: 34%; }
figure + .card { margin-top: 1rem; } .card > details:first-child { margin: 0; border: 0; padding: 0; }
@media print { details { display: block; } }
`;

/** A check as one HTML file that needs no other: findings by rule, errors as plots, every figure. */
export function htmlOf(report: CheckReport): string {
  const { verdict, reference, candidate, tensors, counts, probe } = report;
  const exact = tensors.filter(({ differing }) => differing === 0).length;
  const page = html`<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Weights: ${verdict}</title><style>${new Markup(STYLE + OWN_STYLE)}</style></head><body><main>
<header><p class="kicker">consilium weights check</p><h1>${verdict === 'passed' ? 'The weights are one model' : 'The weights differ'}</h1>
<p class="lede">${candidate.file} (${candidate.framework}) against ${reference.file} (${reference.framework})</p></header>
<dl class="tiles"><div class="${verdict}"><dt>Verdict</dt><dd>${verdict}</dd></div><div><dt>Tensors compared</dt><dd>${tensors.length}</dd></div>
<div><dt>Bit for bit the same</dt><dd>${exact}</dd></div><div><dt>Errors</dt><dd>${counts.errors}</dd></div><div><dt>Warnings</dt><dd>${counts.warnings}</dd></div><div><dt>Ignored</dt><dd>${counts.ignored}</dd></div></dl>
<h2>Findings</h2>${findingsSection(report)}
${probe ? outputsOf(probe) : undefined}<h2>Error by tensor</h2>${plotOf(tensors)}
<h2>All tensors</h2><div class="card">${folded(counted(tensors.length, 'tensor'), tensors.length, tensorTable(tensors))}</div>
${mappingOf(report)}</main></body></html>
`;
  return page.text;
}

function tensorTable(tensors: readonly TensorResult[]): Markup {
  return html`<table><thead><tr><th>Tensor</th><th>Comparison</th><th>Elements</th><th>Differing</th><th>Relative L2</th><th>Largest</th><th>ULP</th></tr></thead><tbody>
${tensors.map((one) => html`<tr><th scope="row">${one.tensor}</th><td>${one.comparison}</td><td>${one.elements}</td><td>${one.differing}</td><td>${errorText(one)}</td><td>${figure(one.maxAbs)}</td><td>${Number.isFinite(one.maxUlp) ? one.maxUlp : 'far'}</td></tr>`)}
</tbody></table>`;
}

/** The layers of the two sides, where the names did not say it all. */
function mappingOf({ mapping: { layers } }: CheckReport): Markup | undefined {
  if (layers.length === 0) return undefined;
  const table = html`<table class="trouble"><thead><tr><th>Layer</th><th>Operation</th><th>Held as</th><th>Because of</th></tr></thead><tbody>
${layers.map(({ layer, op, tensors, because }) => html`<tr><th scope="row">${layer}</th><td>${op}</td><td>${tensors.join(', ')}</td><td>${because}</td></tr>`)}
</tbody></table>`;
  return html`<h2>What belongs together</h2><div class="card">${folded(counted(layers.length, 'layer'), layers.length, table)}</div>`;
}

function folded(summary: string, rows: number, table: Markup): Markup {
  return rows > OPEN_ROWS_MAX
    ? html`<details><summary>${summary}</summary><div class="scroll">${table}</div></details>`
    : html`<div class="scroll">${table}</div>`;
}

/** The layers in the order in which they run: a plot of their errors, and every figure. */
function outputsOf({ engine, reference, probes, results }: ProbeReport): Markup {
  const bars = results.map((one) => ({
    name: one.layer,
    passed: one.passed,
    share: outputShare(one),
    text: outputErrorText(one.relativeL2),
  }));
  const table = html`<table><thead><tr><th>Layer</th><th>Worst probe</th><th>Input</th><th>Output</th><th>Largest</th><th>Allowed</th></tr></thead><tbody>
${results.map((one) => html`<tr><th scope="row">${one.layer}</th><td>${one.probe}</td><td>${outputErrorText(one.inputRelativeL2)}</td><td>${outputErrorText(one.relativeL2)}</td><td>${figure(one.maxAbs)}</td><td>${figure(one.tolerance)}</td></tr>`)}
</tbody></table>`;
  return html`<h2>Error by layer</h2><figure><figcaption><p>${engine} against ${reference}, the worst of ${probes.length} probes; layers in the order in which they run.</p></figcaption>
<div class="drawing">${bars.length > DRAWN_MAX ? html`<p class="note">Too many layers to draw.</p>` : errorPlot(bars, 'Relative error by layer')}</div></figure>
<div class="card">${folded(counted(results.length, 'layer'), results.length, table)}</div>
`;
}

/** The tensors with the largest errors; of many, those that differ alone. */
function plotOf(tensors: readonly TensorResult[]): Markup {
  const chosen =
    tensors.length > DRAWN_EXACT_MAX ? tensors.filter(({ differing }) => differing > 0) : tensors;
  const worst = [...chosen].sort((left, right) => right.relativeL2 - left.relativeL2).slice(0, DRAWN_MAX);
  if (worst.length === 0) {
    const told =
      tensors.length === 0 ? 'No tensor was compared.' : `All ${tensors.length} agree bit for bit.`;
    return html`<div class="card"><p class="note">${told}</p></div>`;
  }
  const bars = worst.map((one) => ({
    name: one.tensor,
    passed: one.passed,
    share: errorShare(one),
    text: errorText(one),
  }));
  const hidden = tensors.length - worst.length;
  const others = hidden === 0 ? '' : ` The table has ${hidden} more.`;
  return html`<figure><figcaption><p>Relative L2 error on a logarithmic scale, the largest first; what agrees bit for bit has no bar.${others}</p></figcaption>
<div class="drawing">${errorPlot(bars, 'Relative error by tensor')}</div></figure>`;
}

/** A size as people read it: three digits, and powers where there are many zeros. */
function figure(value: number): string {
  if (value === 0) return '0';
  return Math.abs(value) >= 0.001 && Math.abs(value) < 10_000 ? value.toPrecision(3) : value.toExponential(1);
}
