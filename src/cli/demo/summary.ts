import type { JobView } from '../../protocol/views.ts';
import { untakenText } from '../update-text.ts';
import { CHANNEL_OFF, type DemoOutcome } from './run-demo.ts';
import { renderScores } from './score-table.ts';

/** What `consilium demo -o json` prints: one object. */
export interface DemoSummary {
  readonly rounds: number;
  /** On the held-out rows of all hospitals together; null where these are all of one class. */
  readonly federatedAuc: number | null;
  readonly federatedAccuracy: number;
  /** Trained on all rows in one place, for comparison only. */
  readonly pooledAuc: number | null;
  readonly pooledAccuracy: number;
  /** Each hospital's own model on the same rows, by site. */
  readonly localAuc: Readonly<Record<string, number | null>>;
  readonly localAccuracy: Readonly<Record<string, number>>;
  readonly rejectedUpdates: number;
  /** Updates that came when their round or the job was over. */
  readonly lateUpdates: number;
  readonly modelDigest: string;
  readonly wallSeconds: number;
  readonly generatedData: boolean;
  /** What computed the updates, by site. */
  readonly backends: Readonly<Record<string, string>>;
  /** Whether what the processes said to each other was protected by SM4. */
  readonly channel: 'sm4' | 'off';
  readonly runDirectory: string;
}

/** The summary of a demo. */
export function summaryOf({
  job,
  scores,
  generated,
  modelDigest,
  wallSeconds,
  run,
  channel,
}: DemoOutcome): DemoSummary {
  const locals = Object.entries(scores.local);
  return {
    rounds: job.history.length,
    federatedAuc: scores.federated.pooledTest.auc,
    federatedAccuracy: scores.federated.pooledTest.accuracy,
    pooledAuc: scores.pooled.pooledTest.auc,
    pooledAccuracy: scores.pooled.pooledTest.accuracy,
    localAuc: Object.fromEntries(locals.map(([site, score]) => [site, score.pooledTest.auc])),
    localAccuracy: Object.fromEntries(locals.map(([site, score]) => [site, score.pooledTest.accuracy])),
    rejectedUpdates: job.refusedUpdates,
    lateUpdates: job.lateUpdates ?? 0,
    modelDigest,
    wallSeconds,
    generatedData: generated,
    backends: backendsOf(job),
    channel,
    runDirectory: run.folder,
  };
}

/** What computed the newest update of each site. */
function backendsOf({ history }: JobView): Readonly<Record<string, string>> {
  return Object.fromEntries(
    history.flatMap((round) => round.contributors.map(({ site, backend }) => [site, backend])),
  );
}

/** The final table of a demo, for a person. */
export function drawOutcome(outcome: DemoOutcome, colour: boolean): string {
  const { scores, generated, modelDigest, wallSeconds, run, job, channel } = outcome;
  const backends = [...new Set(Object.values(backendsOf(job)))].sort();
  const tested = scores.federated.pooledTest.rows;
  return [
    renderScores(scores, colour),
    `All scored on the same ${tested} held-out patients of all hospitals${generated ? ' (generated, not real patients)' : ''}.`,
    `${job.history.length} rounds, ${job.acceptedUpdates} updates accepted, ${untakenText(job)}, ${wallSeconds.toFixed(1)} s.`,
    `Tensors computed by ${backends.join(', ')}.`,
    channel === 'off' ? CHANNEL_OFF : 'Every message travelled inside the SM4 channel.',
    `Model ${modelDigest}`,
    `Report ${run.report}`,
    '',
  ].join('\n');
}
