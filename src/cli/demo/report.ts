import type { JobView } from '../../protocol/views.ts';
import type { Job } from '../../rounds/job.ts';
import { readableBytes, readableTime } from '../output.ts';
import type { DemoScores, ModelScore } from './evaluator.ts';
import { bytesPlot } from './report/bytes-plot.ts';
import { linePlot } from './report/line-plot.ts';
import { type Content, html, type Markup } from './report/markup.ts';
import { figure, figureTable } from './report/plot-frame.ts';
import { scorePlot } from './report/score-plot.ts';
import { STYLE } from './report/style.ts';
import { timelinePlot } from './report/timeline-plot.ts';

/** What a demo's report tells. */
export interface ReportInput {
  readonly title: string;
  /** Where the rows came from; `name` says it in the reader's words, without a path. */
  readonly data: { readonly kind: 'generated' | 'real'; readonly name: string };
  readonly spec: Job;
  /** The job as it ended. */
  readonly job: JobView;
  readonly scores: DemoScores;
  readonly wallSeconds: number;
  /** Such as `consilium 0.1.0`. */
  readonly software: string;
  /** Refused updates by error code, where the caller counted them; `job.refusedUpdates` is their number. */
  readonly refusals?: Readonly<Record<string, number>>;
}

/**
 * The report of a demo as one HTML file that needs nothing else: no network, no script. Every value is escaped, so
 * names that came from a site or a file cannot become markup. The same input gives the same text.
 */
export function renderReport(input: ReportInput): string {
  const { job, scores } = input;
  const sites = sitesOf(input);
  const document = html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>${input.title}</title>
<style>`;
  const body = html`</style>
</head>
<body>
<main>
${heading(input, sites)}
<h2>What the federation gained</h2>
${results(scores, job)}
<h2>Round by round</h2>
${rounds(job, sites)}
<h2>What was computed from all sites without moving a row</h2>
${constants(job)}
<h2>The run</h2>
<div class="pair">
${facts(input, sites)}
${received(job, sites)}
</div>
${refusals(job)}
<footer>${input.software} · every figure of this page is an aggregate; no row of any hospital is in it.</footer>
</main>
</body>
</html>
`;
  return document.text + STYLE + body.text;
}

function sitesOf({ job, scores }: ReportInput): readonly string[] {
  const seen = new Set(Object.keys(scores.local));
  for (const round of job.history) for (const { site } of round.contributors) seen.add(site);
  return [...seen].sort();
}

function heading({ title, data, job, scores, wallSeconds }: ReportInput, sites: readonly string[]): Markup {
  const federated = scores.federated.pooledTest;
  const pooled = scores.pooled.pooledTest;
  const alone = Object.values(scores.local).flatMap((own) => own.pooledTest.auc ?? []);
  const bytes = job.history.flatMap((round) => round.contributors).reduce((sum, one) => sum + one.bytes, 0);
  const span = alone.length > 0 ? `${decimals(Math.min(...alone))}–${decimals(Math.max(...alone))}` : '–';
  return html`<header>
<p class="kicker">Consilium · federated training</p>
<h1>${title}</h1>
<p class="lede">${sites.length} hospitals trained one model together in ${job.history.length} rounds. Only weights and
sums left a hospital; every row stayed where it was.</p>
<p class="data">${
    data.kind === 'generated'
      ? html`<span class="badge generated">Generated data</span><span>${data.name}. No patient is behind these figures.</span>`
      : html`<span class="badge">Real data</span><span>${data.name}</span>`
  }</p>
<dl class="tiles">
${tile('Federated AUC', decimals(federated.auc), `on ${federated.rows} held-out patients`, true)}
${tile('AUC alone', span, 'each hospital by itself, on the same patients')}
${tile('Pooled AUC', decimals(pooled.auc), 'all rows in one place, for comparison only')}
${tile('Rounds', `${job.history.length} of ${job.rounds}`, `${job.acceptedUpdates} updates accepted`)}
${tile('Received', readableBytes(bytes), 'weights, never rows')}
${tile('Wall time', `${wallSeconds.toFixed(wallSeconds < 10 ? 1 : 0)} s`, `job ${job.state}`)}
</dl>
</header>`;
}

function tile(name: string, value: string, remark: string, main = false): Markup {
  return html`<div class="${main ? 'main' : 'plain'}"><dt>${name}</dt><dd>${value}<small>${remark}</small></dd></div>`;
}

function results(scores: DemoScores, job: JobView): Markup {
  const trained = new Map(
    job.history.flatMap((round) =>
      round.contributors.map(({ site, sampleCount }) => [site, sampleCount] as const),
    ),
  );
  const all = [...trained.values()].reduce((sum, rows) => sum + rows, 0);
  const sites = Object.keys(scores.local).sort();
  const row = (name: string, kind: string, rows: number | undefined, score: ModelScore): Markup =>
    html`<tr class="${kind}"><th scope="row">${name}</th><td>${rows}</td><td>${decimals(
      score.pooledTest.auc,
    )}</td><td>${percent(score.pooledTest.accuracy)}</td></tr>`;
  const own = (name: string, kind: string, score: ModelScore): Markup =>
    html`<tr class="${kind}"><th scope="row">${name}</th>${sites.map(
      (site) => html`<td>${decimals(score.siteTests[site]?.auc ?? null)}</td>`,
    )}</tr>`;
  const each = (
    make: (name: string, kind: string, site: string | undefined, score: ModelScore) => Markup,
  ) => [
    ...sites.map((site) => make(`${site} alone`, 'local', site, scores.local[site]!)),
    make('federated', 'federated', undefined, scores.federated),
    make('pooled, for comparison only', 'pooled', undefined, scores.pooled),
  ];
  const testRows = (site: string) => scores.federated.siteTests[site]?.rows ?? 0;
  return html`<div class="pair even">
<div class="card"><h3>Every model on the same held-out patients</h3>
<div class="drawing">${scorePlot(scores)}</div></div>
<div class="card"><div class="scroll"><table>
<thead><tr><th scope="col">Model</th><th scope="col">Training rows</th><th scope="col">AUC</th><th scope="col">Accuracy</th></tr></thead>
<tbody>${each((name, kind, site, score) => row(name, kind, site === undefined ? all : trained.get(site), score))}</tbody>
</table></div>
<p class="note">Scored on the ${scores.federated.pooledTest.rows} held-out patients of all hospitals together. Every model
has the same architecture, hyper-parameters and number of passes over its rows. Pooled training had all rows in one
place, which a federation never has.</p></div>
</div>
<div class="card wide"><h3>The same models, hospital by hospital</h3>
<p class="note">AUC on each hospital's own held-out patients. Where they are few or nearly all of one class, it says little.</p>
<div class="scroll"><table>
<thead><tr><th scope="col">Model</th>${sites.map(
    (site) => html`<th scope="col">at ${site} (${testRows(site)})</th>`,
  )}</tr></thead>
<tbody>${each((name, kind, _, score) => own(name, kind, score))}</tbody>
</table></div></div>`;
}

function rounds(job: JobView, sites: readonly string[]): Markup {
  const { history } = job;
  if (history.length === 0) return html`<p class="note">No round was committed.</p>`;
  const numbers = history.map((round) => round.round);
  const evaluated = (site: string, metric: string) =>
    history.map((round) => round.evaluations.find((one) => one.site === site)?.metrics[metric]);
  const contributed = (site: string) =>
    history.map((round) => round.contributors.find((one) => one.site === site));
  const aucs = sites.map((site) => ({ name: site, values: evaluated(site, 'auc') }));
  const losses = sites.map((site) => ({
    name: site,
    values: contributed(site).map((one) => one?.metrics.loss),
  }));
  const bars = history.flatMap((round) =>
    round.contributors.map(({ site, acceptedAt }) => ({
      round: round.round,
      site,
      assignedAt: (round.startedAt - job.submittedAt) / 1000,
      acceptedAt: (acceptedAt - job.submittedAt) / 1000,
    })),
  );
  return html`<div class="pair even">
${figure(
  linePlot(
    'AUC per round',
    'The global model after each round, evaluated by each site on its own held-out patients.',
    numbers,
    aucs,
  ),
)}
${figure(linePlot('Training loss per round', 'Mean loss at each site while it trained.', numbers, losses))}
</div>
<div class="wide timeline">${figure(timelinePlot(sites, bars))}</div>`;
}

function received({ history }: JobView, sites: readonly string[]): Markup | undefined {
  if (history.length === 0) return undefined;
  const bytes = sites.map((site) =>
    history.map((round) => round.contributors.find((one) => one.site === site)?.bytes ?? 0),
  );
  return figure(
    bytesPlot(
      history.map((round) => round.round),
      sites,
      bytes,
    ),
  );
}

function refusals(job: JobView): Markup {
  const abandoned = job.history.flatMap(({ round, abandoned }) =>
    abandoned.map((why): readonly Content[] => [round, why]),
  );
  return html`<div class="card trouble wide"><h3>What went wrong</h3>
<p class="note">${
    job.refusedUpdates === 0
      ? 'No update was refused.'
      : `${job.refusedUpdates} ${job.refusedUpdates === 1 ? 'update was' : 'updates were'} refused; the rounds went on without them.`
  } ${job.lateUpdates ? `${job.lateUpdates} came late, when ${job.lateUpdates === 1 ? 'its round was' : 'their rounds were'} over. ` : ''}${
    abandoned.length === 0
      ? 'No attempt at a round was abandoned.'
      : `${abandoned.length} ${abandoned.length === 1 ? 'attempt' : 'attempts'} at a round had to be repeated:`
  }${job.state === 'finished' || job.reason === null ? '' : ` The job ${job.state}: ${job.reason}.`}</p>
${
  abandoned.length === 0
    ? undefined
    : html`<div class="scroll">${figureTable({ columns: ['Round', 'Why'], rows: abandoned })}</div>`
}</div>`;
}

function constants(job: JobView): Markup {
  if (!job.constants || job.constants.length === 0) {
    return html`<p class="note">This job had no statistics round.</p>`;
  }
  const rows = job.constants.map(({ name, mean, deviation, count }): readonly Content[] =>
    count === 0 ? [name, 0, 'no site could answer', ''] : [name, count, figures(mean), figures(deviation)],
  );
  return html`<div class="card">
<p class="note">Missing values become the mean; values are scaled by mean and deviation. Each site sent a count, a sum and
a sum of squares over its training rows, and nothing for a feature that too few of its patients have.</p>
<div class="scroll">${figureTable({ columns: ['Feature', 'Known values', 'Mean', 'Deviation'], rows })}</div>
</div>`;
}

function facts(input: ReportInput, sites: readonly string[]): Markup {
  const { job, spec } = input;
  const backends = new Map(
    job.history.flatMap((round) => round.contributors.map(({ site, backend }) => [site, backend] as const)),
  );
  const codes = Object.entries(input.refusals ?? {}).map(([code, count]) => `${code} ${count}`);
  const fact = (name: string, value: Content) => html`<dt>${name}</dt><dd>${value}</dd>`;
  return html`<div class="card"><dl class="facts">
${fact('Model digest', html`<code>${job.modelDigest}</code>`)}
${fact('Model', `version ${job.version}, ${architecture(spec)}`)}
${fact('Strategy', strategyText(spec.strategy))}
${spec.updateEncoding ? fact('Updates', sentText(job)) : ''}
${fact(
  'Local training',
  `${spec.trainer.epochs} passes a round, batches of ${spec.trainer.batchSize}, learning rate ${spec.trainer.learningRate}, weight decay ${spec.trainer.weightDecay}`,
)}
${fact('Seed', spec.seed)}
${fact('Submitted', readableTime(job.submittedAt))}
${fact('Ended', readableTime(job.endedAt) ?? 'not yet')}
${fact('Refused updates', codes.length > 0 ? `${job.refusedUpdates} (${codes.join(', ')})` : job.refusedUpdates)}
${sites.map((site) => fact(`Backend at ${site}`, backends.get(site) ?? 'took part in no round'))}
</dl></div>`;
}

function architecture({ model }: Job): string {
  if (model.kind === 'mlp') return `MLP ${[model.features.length, ...model.hidden, model.outputs].join('-')}`;
  return model.kind === 'cnn' ? `CNN with ${model.convolutions.length} convolutions` : 'external';
}

/** How updates were sent, and what they came to: `int8, 317 bytes each`. */
function sentText({ history }: ReportInput['job']): string {
  const sent = history.flatMap(({ contributors }) =>
    contributors.map(({ encoding, bytes }) => `${encoding}, ${bytes} bytes each`),
  );
  return [...new Set(sent)].join('; ');
}

/** The strategy with its parameters, those within others too: `multi-krum, byzantine 4, optimiser adam, tau 0.001`. */
function strategyText({ name, ...parameters }: Job['strategy']): string {
  const said = (members: object): string[] =>
    Object.entries(members).flatMap(([key, value]) => {
      if (typeof value !== 'object') return [`${key} ${value}`];
      const { name: inner, ...rest } = value as { name?: string };
      return inner === undefined
        ? said(rest).map((text) => `${key} ${text}`)
        : [`${key} ${inner}`, ...said(rest)];
    });
  const text = [name, ...said(parameters)].join(', ');
  return name === 'fedavg' || name === 'fedprox' ? `${text}, weighted by training rows` : text;
}

function decimals(value: number | null): string {
  return value === null || !Number.isFinite(value) ? '–' : value.toFixed(3);
}

function percent(value: number): string {
  return Number.isFinite(value) ? `${(100 * value).toFixed(1)} %` : '–';
}

function figures(value: number): string {
  return Math.abs(value) >= 100 ? value.toFixed(1) : value.toFixed(3);
}
