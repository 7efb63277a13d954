import { html, type Markup } from '../demo/report/markup.ts';

const ROW = 22;
const [LEFT, WIDTH, RIGHT] = [330, 520, 90];

/** One bar of a plot. */
export interface Bar {
  readonly name: string;
  readonly passed: boolean;
  /** From 0 to 1. */
  readonly share: number;
  readonly text: string;
}

/** Errors from 1e-8 to 1 as bars over a logarithmic scale. */
export function errorPlot(bars: readonly Bar[], label: string): Markup {
  const height = 30 + ROW * bars.length;
  const powers = [-8, -6, -4, -2, 0];
  const x = (power: number) => LEFT + (WIDTH * (power + 8)) / 8;
  return html`<svg viewBox="0 0 ${LEFT + WIDTH + RIGHT} ${height}" role="img" aria-label="${label}">
<g class="grid">${powers.map((power) => html`<line x1="${x(power)}" x2="${x(power)}" y1="22" y2="${height}"/><text x="${x(power)}" y="14" text-anchor="middle">1e${power}</text>`)}</g>
${bars.map((one, place) => {
  const y = 30 + ROW * place;
  const name = one.name.length > 44 ? `…${one.name.slice(-43)}` : one.name;
  const width = WIDTH * one.share;
  return html`<g class="series-${one.passed ? 2 : 6}"><text class="row-name" x="${LEFT - 10}" y="${y + 12}" text-anchor="end"><title>${one.name}</title>${name}</text><rect class="fill" x="${LEFT}" y="${y + 2}" width="${width}" height="${ROW - 8}" rx="3"/><text class="value" x="${LEFT + width + 8}" y="${y + 12}">${one.text}</text></g>`;
})}</svg>`;
}
