import { describe, expect, it } from 'vitest';
import { demoJob } from '../../../src/cli/demo/job.ts';
import { type ReportInput, renderReport } from '../../../src/cli/demo/report.ts';
import { SAMPLE_SCORES, SITES, sampleJob } from './sample-run.ts';

function sample(more: Partial<ReportInput> = {}): ReportInput {
  return {
    title: 'Heart disease at four hospitals',
    data: { kind: 'generated', name: 'Drawn from published figures' },
    spec: demoJob({ rounds: 20, seed: 1, sites: 4 }),
    job: sampleJob(),
    scores: SAMPLE_SCORES,
    wallSeconds: 41.3,
    software: 'consilium 0.1.0',
    ...more,
  };
}

/** The elements of a well-formed page must close in the order in which they opened. */
function unclosed(page: string): readonly string[] {
  const alone = new Set(['meta', '!doctype']);
  const open: string[] = [];
  for (const [, end, name, self] of page.matchAll(/<(\/?)([a-z!][a-z0-9]*)(?:\s[^<>]*?)?(\/?)>/gi)) {
    if (alone.has(name!.toLowerCase()) || self) continue;
    if (!end) open.push(name!);
    else if (open.pop() !== name) return [...open, `</${name}>`];
  }
  return open;
}

describe('the report', () => {
  it('is one well-formed page that loads nothing and runs nothing', () => {
    const page = renderReport(sample());
    expect(unclosed(page)).toEqual([]);
    expect(page).not.toMatch(/<script|<link|<img|<iframe|@import|url\(|\ssrc=|\shref=|https?:/i);
    expect(page).toContain("default-src 'none'");
  });

  it('is the same text for the same input', () => {
    expect(renderReport(sample())).toBe(renderReport(sample()));
  });

  it('says of late updates what they are', () => {
    const page = renderReport(sample({ job: { ...sampleJob(), refusedUpdates: 0, lateUpdates: 1 } }));
    expect(page).toContain('No update was refused. 1 came late, when its round was over.');
  });

  it('tells every site, score, digest, backend, refusal and constant', () => {
    const page = renderReport(sample({ refusals: { UPDATE_STALE: 1 } }));
    const told = [
      ...SITES,
      'federated',
      'for comparison only',
      '0.896',
      '82.2 %',
      '0.902',
      '0.811',
      sampleJob().modelDigest,
      'tfjs-wasm 4.22.0',
      '1 update was refused',
      'UPDATE_STALE 1',
      '2 of 3 needed updates at the deadline',
      '53.412',
      'no site could answer',
    ];
    for (const text of told) expect(page).toContain(text);
  });

  it('says whether a patient is behind the figures', () => {
    expect(renderReport(sample())).toContain('Generated data');
    const real = renderReport(sample({ data: { kind: 'real', name: 'UCI Heart Disease' } }));
    expect(real).toContain('Real data');
    expect(real).not.toContain('Generated data');
  });

  it('gives every plot a description and the same figures as a table', () => {
    const page = renderReport(sample());
    const figures = page.match(/<figure>.*?<\/figure>/gs) ?? [];
    expect(figures).toHaveLength(4);
    for (const figure of figures) {
      expect(figure).toMatch(/<svg[^>]* role="img" aria-label="[^"]{20,}"/);
      expect(figure).toMatch(/<details>.*<table>.*<\/table>.*<\/details>/s);
    }
    const [auc] = figures;
    for (const { evaluations } of sampleJob().history) {
      for (const { metrics } of evaluations) expect(auc).toContain(`<td>${metrics.auc!.toFixed(4)}</td>`);
    }
  });

  it('escapes whatever came from a site, a file or a person', () => {
    const nasty = `<script>alert("x")</script>&'`;
    const job = sampleJob();
    const page = renderReport(
      sample({
        title: nasty,
        data: { kind: 'real', name: nasty },
        software: nasty,
        refusals: { [nasty]: 1 },
        scores: { ...SAMPLE_SCORES, local: { [nasty]: SAMPLE_SCORES.pooled } },
        job: {
          ...job,
          reason: nasty,
          modelDigest: nasty,
          constants: [{ name: nasty, mean: 1, deviation: 1, count: 9 }],
          history: job.history.map((round) => ({
            ...round,
            abandoned: [nasty],
            contributors: round.contributors.map((one) => ({ ...one, site: nasty, backend: nasty })),
            evaluations: round.evaluations.map((one) => ({ ...one, site: nasty })),
          })),
        },
      }),
    );
    expect(page).not.toContain('<script');
    expect(page).not.toContain('alert("x")');
    expect(unclosed(page)).toEqual([]);
    expect(page).toContain('&lt;script&gt;alert(&quot;x&quot;)&lt;/script&gt;&amp;&#39;');
  });

  it('copes with a job that never committed a round', () => {
    const page = renderReport(
      sample({ job: { ...sampleJob(), history: [], constants: null, state: 'failed', reason: 'no quorum' } }),
    );
    expect(unclosed(page)).toEqual([]);
    expect(page).toContain('No round was committed.');
    expect(page).not.toMatch(/NaN|Infinity|undefined/);
  });

  it('draws no coordinate that is not a number, for one round as for two hundred', () => {
    for (const rounds of [1, 2, 200]) {
      const page = renderReport(sample({ job: sampleJob(rounds) }));
      expect(page).not.toMatch(/NaN|Infinity|undefined/);
      expect(unclosed(page)).toEqual([]);
    }
  });
});
