import { dirname, resolve } from 'node:path';
import type { Command } from 'commander';
import { EXIT, type ExitCode } from '../../errors/catalogue.ts';
import type { JobSummaryView, JobView, OpinionView } from '../../protocol/views.ts';
import { act, type CommandContext } from '../context.ts';
import { ProgressDisplay } from '../demo/progress.ts';
import { connectOperator, type OperatorClient, withOperator } from '../operator.ts';
import { readableTime, renderStreamed } from '../output.ts';
import { renderProbes } from '../probe-table.ts';
import { readJob } from '../read-job.ts';
import { readWeightsFile } from '../read-weights.ts';
import { type Column, renderFields, renderTable } from '../table.ts';
import type { Terminal } from '../terminal.ts';
import { contributorText, untakenText } from '../update-text.ts';
import { watchAgain } from '../watch-again.ts';
import { mean, retryText } from '../watch-job.ts';

const SUMMARY: readonly Column<JobSummaryView>[] = [
  { title: 'JOB', cell: (job) => job.job },
  { title: 'STATE', cell: (job) => job.state },
  { title: 'PHASE', cell: (job) => job.phase },
  { title: 'ROUND', cell: (job) => `${job.round}/${job.rounds}`, align: 'right' },
  { title: 'VERSION', cell: (job) => job.version, align: 'right' },
  { title: 'SUBMITTED', cell: (job) => readableTime(job.submittedAt) },
  { title: 'ENDED', cell: (job) => readableTime(job.endedAt) },
  { title: 'REASON', cell: (job) => job.reason },
];

const OPINIONS: readonly Column<OpinionView>[] = [
  { title: 'SITE', cell: (opinion) => opinion.site },
  { title: 'ONLINE', cell: (opinion) => (opinion.online ? 'yes' : 'no') },
  { title: 'WOULD JOIN', cell: (opinion) => (opinion.wouldJoin ? 'yes' : 'no') },
  { title: 'OBJECTIONS', cell: (opinion) => opinion.objections.join(' ') },
];

/** `consilium job submit|list|get|watch|stop`. */
export function registerJob(program: Command, terminal: Terminal): void {
  const job = program.command('job').description('train a model');
  job
    .command('submit')
    .description('start the job that a file describes')
    .argument('<file>', 'a job file; its schema: consilium config schema job')
    .option('--dry-run', 'start nothing; say what each site would answer')
    .option('--watch', 'stay, and show the job until it ends')
    .action(
      act<{ dryRun?: boolean; watch?: boolean }>(terminal, (context, [file], options) =>
        withOperator(context, (client) => submit(context, client, file as string, options)),
      ),
    );
  job
    .command('list')
    .description('every job of the federation')
    .action(
      act(terminal, (context) =>
        withOperator(context, async (client) => {
          context.printRows(await client.list<JobSummaryView>({ kind: 'list-jobs' }), SUMMARY);
        }),
      ),
    );
  job
    .command('get')
    .description('one job, with its rounds')
    .argument('<job>')
    .action(
      act(terminal, (context, [name]) =>
        withOperator(context, async (client) => {
          const view = await client.ask<JobView>({ kind: 'get-job', job: name as string });
          context.print(view, () => drawJob(view));
        }),
      ),
    );
  job
    .command('watch')
    .description('show a job until it ends; exit code 1 when it fails or is stopped')
    .argument('<job>')
    .action(
      act(terminal, async (context, [name]) => {
        const display = displayOf(context, name as string);
        // The first time it must be there: a wrong address or a wrong name is told at once.
        const view = await withOperator(context, (client) =>
          client.ask<JobView>({ kind: 'get-job', job: name as string }),
        );
        return watch(context, view.job, display);
      }),
    );
  job
    .command('stop')
    .description('end a job; the model versions so far stay')
    .argument('<job>')
    .action(
      act(terminal, (context, [name]) =>
        withOperator(context, async (client) => {
          const job = name as string;
          const before = await client.ask<JobView>({ kind: 'get-job', job });
          const view = await client.ask<JobView>({ kind: 'stop-job', job });
          context.print(view, () => drawJob(view));
          context.say(
            before.state === 'running'
              ? `Job ${job} has ended: ${view.state}.`
              : `Job ${job} had ended before (${before.state}); nothing was stopped.`,
          );
        }),
      ),
    );
}

async function submit(
  context: CommandContext,
  client: OperatorClient,
  file: string,
  options: { readonly dryRun?: boolean; readonly watch?: boolean },
): Promise<ExitCode> {
  const { spec, weightsManifest } = await readJob(context, file);
  const from = spec.initialWeights;
  const initialWeights =
    from && 'file' in from ? await readWeightsFile(resolve(dirname(file), from.file), spec) : undefined;
  if (options.dryRun) {
    const opinions = await client.list<OpinionView>({
      kind: 'submit-job',
      spec,
      dryRun: true,
      initialWeights,
      weightsManifest,
    });
    context.printRows(opinions, OPINIONS);
    const willing = opinions.filter((opinion) => opinion.wouldJoin).length;
    context.say(`${willing} of ${opinions.length} sites would join; the job's quorum is ${spec.quorum}.`);
    return willing >= spec.quorum ? EXIT.ok : EXIT.checkFailed;
  }
  const view = await client.ask<JobView>({
    kind: 'submit-job',
    spec,
    dryRun: false,
    initialWeights,
    weightsManifest,
  });
  if (options.watch) return watch(context, view.job, displayOf(context, view.job));
  context.print(view, () => `${view.job}\n`);
  context.say(`Watch it: consilium job watch ${view.job}. End it: consilium job stop ${view.job}.`);
  return EXIT.ok;
}

/** The display of a job that is watched; whoever leaves is told that the job goes on. */
function displayOf({ terminal, ending }: CommandContext, job: string): ProgressDisplay {
  const display = new ProgressDisplay(terminal.stderr, terminal.environment);
  const leaving = () =>
    display.say(
      `The job goes on. consilium job watch ${job} shows it again, consilium job stop ${job} ends it.`,
    );
  ending.addEventListener('abort', leaving, { once: true });
  return display;
}

/** Shows a job until it ends: progress on stderr and the last view on stdout, or every view as data. */
async function watch(context: CommandContext, job: string, display: ProgressDisplay): Promise<ExitCode> {
  const format = context.format();
  let last: JobView | undefined;
  const lost = (error: Error) => display.say(`${error.message} Trying again.`);
  for await (const view of watchAgain(() => connectOperator(context), job, lost)) {
    if (format === 'table') display.show(view);
    else context.terminal.stdout.write(renderStreamed(view, format));
    last = view;
  }
  if (format === 'table' && last) context.terminal.stdout.write(drawJob(last));
  return last?.state === 'finished' ? EXIT.ok : EXIT.checkFailed;
}

function isSaid(text: string | null | undefined): text is string {
  return text !== null && text !== undefined;
}

/** A metric as the plain mean of what sites reported; hospitals count alike, however many rows they have. */
function meanOverSites(
  reports: readonly { readonly metrics: Readonly<Record<string, number>> }[],
  metric: string,
  decimals: number,
): string | undefined {
  return mean(reports.map(({ metrics }) => metrics[metric]))?.toFixed(decimals);
}

/** `cxr-cnn 1.1.0, probed: 5 probes of 12 layers as pytorch 2.13.0 gave them`; no row of a job without a schema. */
function weightSchemaRow({ weightSchema }: JobView): readonly (readonly [string, string])[] {
  if (!weightSchema) return [];
  const { id, version, probe, manifest } = weightSchema;
  const golden = manifest?.golden;
  const by = golden
    ? `: ${golden.probes.length} probes of ${golden.layers.length} layers as ${golden.recordedWith} gave them`
    : '';
  return [['weights', `${id} ${version}, ${probe === 'off' ? 'not probed' : `probed${by}`}`]];
}

function drawJob(view: JobView): string {
  const head = renderFields([
    ['job', view.job],
    ['state', view.reason ? `${view.state}: ${view.reason}` : view.state],
    ['phase', [view.phase, retryText(view), view.waitingFor].filter(isSaid).join(': ')],
    ['round', `${view.round}/${view.rounds}, attempt ${view.attempt}`],
    ['version', view.version],
    ['model', view.modelDigest],
    ['updates', `${view.acceptedUpdates} accepted, ${untakenText(view)}`],
    ...weightSchemaRow(view),
    ...(view.exclusions.length === 0
      ? []
      : [['left out', view.exclusions.map(({ site, reason }) => `${site}: ${reason}`).join(' ')] as const]),
    ['submitted', readableTime(view.submittedAt)],
    ['ended', readableTime(view.endedAt)],
  ]);
  const probes = view.probes.length === 0 ? '' : `\n${renderProbes(view.probes)}`;
  if (view.history.length === 0) return `${head}${probes}`;
  const rounds = renderTable(
    [
      { title: 'ROUND', cell: (round) => round.round, align: 'right' },
      { title: 'VERSION', cell: (round) => round.version, align: 'right' },
      { title: 'ATTEMPTS', cell: (round) => round.attempts, align: 'right' },
      { title: 'MEAN LOSS', cell: (round) => meanOverSites(round.contributors, 'loss', 4), align: 'right' },
      { title: 'MEAN AUC', cell: (round) => meanOverSites(round.evaluations, 'auc', 3), align: 'right' },
      {
        title: 'CONTRIBUTORS',
        cell: (round) => round.contributors.map(contributorText).sort().join(', '),
      },
      {
        title: 'STANDING OUT',
        cell: (round) =>
          round.contributors
            .filter(({ statistics }) => statistics?.standsOut)
            .map((one) => one.site)
            .sort()
            .join(', '),
      },
      { title: 'COMMITTED', cell: (round) => readableTime(round.committedAt) },
      { title: 'DIGEST', cell: (round) => round.digest.slice(0, 20) },
    ],
    view.history,
    false,
  );
  return `${head}${probes}\n${rounds}\nMean loss and mean AUC: over the sites that reported them, each counted once.\n`;
}
