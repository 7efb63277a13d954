import { describe, expect, test } from 'vitest';
import { standsOut } from '../../src/aggregation/outliers.ts';
import { measuredUpdate, reportUpdates } from '../../src/coordinator/update-watch.ts';
import type { Telemetry } from '../../src/ports/telemetry.ts';
import type { CommittedRound, JobState } from '../../src/rounds/job-state.ts';
import type { JobId, SiteId } from '../../src/vocabulary/ids.ts';

describe('an update', () => {
  test('stands out when it is several times as long as the others of its round', () => {
    expect(standsOut(5.1, [1, 1.2, 0.9], [])).toBe(
      "its norm is 5.1 times the median of the round's other updates",
    );
    expect(standsOut(4.9, [1, 1.2, 0.9], [])).toBeUndefined();
  });

  test("stands out when it is several times as long as the site's earlier ones", () => {
    expect(standsOut(9, [8, 9, 10], [1, 2, 1, 1])).toBe(
      "its norm is 9.0 times the median of the site's earlier updates",
    );
  });

  test('does not stand out where too little is known of what is usual', () => {
    expect(standsOut(100, [1, 1], [1, 1])).toBeUndefined();
    expect(standsOut(100, [0, 0, 0], [])).toBeUndefined();
  });
});

/** A job whose committed rounds had updates of these norms, each at a site of its own. */
function jobWith(...rounds: readonly (readonly number[])[]): Pick<JobState, 'id' | 'history'> {
  const known = (norm: number) => ({ norm, maxAbs: norm, zeroFraction: 0, cosine: undefined });
  const history = rounds.map((norms, place) => ({
    round: place + 1,
    statistics: new Map(norms.map((norm, site) => [`s${site}` as SiteId, known(norm)])),
  }));
  return { id: 'job' as JobId, history: history as unknown as CommittedRound[] };
}

test('the operator is told what each update is like, and counted which ones stand out', () => {
  const [lines, counts]: [string[], unknown[]] = [[], []];
  const telemetry: Telemetry = {
    count: (name, labels) => counts.push([name, labels]),
    log: (level, message, fields) => lines.push(`${level} ${message} ${fields?.round} ${fields?.site}`),
  };
  reportUpdates(telemetry, jobWith([1, 1, 1, 1]));
  expect(lines).toEqual([0, 1, 2, 3].map((place) => `info update measured 1 s${place}`));
  reportUpdates(telemetry, jobWith([1, 1, 1, 1], [1, 1, 20, 1]));
  expect(lines).toContain('warn an update stands out 2 s2');
  expect(counts).toEqual([['consilium_updates_standing_out_total', { site: 's2' }]]);
});

test('updates of trainers that lack tensors are counted by their sites', () => {
  const counts: unknown[] = [];
  const telemetry: Telemetry = { count: (name, labels) => counts.push([name, labels]), log: () => {} };
  const update = (site: string, schemaVersion: string | undefined) => ({
    declaration: { key: { site }, schemaVersion },
  });
  const past = {
    round: 1,
    statistics: new Map(),
    updates: [update('bern', undefined), update('lyon', '1.0.0')],
  };
  reportUpdates(telemetry, { id: 'job' as JobId, history: [past as unknown as CommittedRound] });
  expect(counts).toEqual([['consilium_updates_of_earlier_versions_total', { site: 'lyon' }]]);
});

test('an update is compared with what came before its round, not after it', () => {
  const job = jobWith([1], [1], [1], [6], [6], [6], [6]);
  const reason = (round: number) => measuredUpdate(job, job.history[round - 1]!, 's0' as SiteId)?.standsOut;
  expect([3, 4, 7].map(reason)).toEqual([
    undefined,
    "its norm is 6.0 times the median of the site's earlier updates",
    undefined,
  ]);
});
