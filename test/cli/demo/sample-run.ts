import type { DemoScores, ModelScore } from '../../../src/cli/demo/evaluator.ts';
import type { JobView } from '../../../src/protocol/views.ts';

export const SITES = ['cleveland', 'hungarian', 'switzerland', 'va'] as const;
const ROWS = [200, 194, 81, 132];
const SUBMITTED = Date.UTC(2026, 10, 20, 9, 30);

/** A finished job of four sites as an operator would see it; the figures are made up and always the same. */
export function sampleJob(rounds = 20): JobView {
  const history = Array.from({ length: rounds }, (_, index) => {
    const startedAt = SUBMITTED + 2400 + index * 1310;
    const learnt = 1 - Math.exp(-(index + 1) / 4);
    return {
      round: index + 1,
      attempts: index === 7 ? 2 : 1,
      version: index + 1,
      digest: `sm3:${String(index + 1).padStart(64, '0')}`,
      startedAt,
      committedAt: startedAt + 980,
      contributors: SITES.map((site, place) => ({
        site,
        sampleCount: ROWS[place]!,
        bytes: 964,
        encoding: 'float32',
        acceptedAt: startedAt + 420 + place * 130 + ((index * 37 + place * 53) % 170),
        staleness: 0,
        backend: 'tfjs-wasm 4.22.0',
        metrics: { loss: 0.72 - learnt * (0.3 + place * 0.04) + ((index + place) % 3) * 0.004 },
        statistics: null,
      })).filter(({ site }) => index !== 11 || site !== 'va'),
      evaluations: SITES.map((site, place) => ({
        site,
        sampleCount: Math.round(ROWS[place]! / 2),
        metrics: {
          auc: 0.52 + learnt * (0.37 - place * 0.05) + ((index * 5 + place * 3) % 4) * 0.004,
          accuracy: 0.5 + learnt * 0.3,
          loss: 0.7 - learnt * 0.25,
        },
      })),
      abandoned: index === 7 ? ['2 of 3 needed updates at the deadline'] : [],
    };
  });
  return {
    job: 'heart-disease',
    state: 'finished',
    phase: 'ended',
    round: rounds,
    rounds,
    attempt: 1,
    version: rounds,
    modelDigest: `sm3:${'a1b2c3d4'.repeat(8)}`,
    submittedAt: SUBMITTED,
    endedAt: SUBMITTED + 2400 + rounds * 1310 + 200,
    deadlineAt: null,
    waitingFor: null,
    reason: null,
    acceptedUpdates: rounds * 4 - 1,
    refusedUpdates: 1,
    participants: SITES.map((site) => ({
      site,
      online: true,
      state: 'done',
      phase: null,
      fraction: null,
      loss: null,
      bytes: 0,
      reason: null,
      staleness: 0,
    })),
    weightSchema: null,
    exclusions: [],
    probes: [],
    constants: [
      { name: 'age', mean: 53.412, deviation: 9.383, count: 607 },
      { name: 'chol', mean: 199.71, deviation: 110.42, count: 589 },
      { name: 'ca', mean: 0.671, deviation: 0.934, count: 197 },
      { name: 'unseen', mean: 0, deviation: 1, count: 0 },
    ],
    history,
  };
}

function score(auc: number, accuracy: number): ModelScore {
  const siteTests = SITES.map((site, place) => {
    const rows = [103, 100, 42, 68][place]!;
    return [site, { auc: site === 'switzerland' ? null : auc - place * 0.02, accuracy, rows }] as const;
  });
  return { pooledTest: { auc, accuracy, rows: 313 }, siteTests: Object.fromEntries(siteTests) };
}

export const SAMPLE_SCORES: DemoScores = {
  federated: score(0.8962, 0.8224),
  pooled: score(0.9016, 0.8243),
  local: {
    cleveland: score(0.811, 0.751),
    hungarian: score(0.8392, 0.772),
    switzerland: score(0.6942, 0.58),
    va: score(0.8386, 0.761),
  },
};
