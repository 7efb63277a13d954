import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { combineUpdates } from '../../src/coordinator/combine-updates.ts';
import { StagedUpdates } from '../../src/coordinator/staged-updates.ts';
import { jobSchema, manifestOf } from '../../src/rounds/job.ts';
import { missOf } from '../aggregation/slow-sum.ts';
import { AggregationRounds } from './aggregation-rounds.ts';

/** dense.0.weight [4, 3], dense.0.bias [4], dense.1.weight [1, 4], dense.1.bias [1]. */
const SPANS = [12, 4, 4, 1];
const ELEMENTS = 21;
const BOUNDS = [1024, 2 ** -20, 0.75, 1];

const job = jobSchema.parse({
  apiVersion: 'consilium/v1',
  name: 'bounded',
  dataset: 'none',
  model: { kind: 'mlp', features: ['a', 'b', 'c'], hidden: [4] },
  trainer: { name: 'none' },
  rounds: 3,
  cohort: { size: 8 },
  quorum: 1,
  updateBound: {
    default: 1,
    tensors: { 'dense.0.w*': BOUNDS[0], 'dense.0.bias': BOUNDS[1], 'dense.1.weight': BOUNDS[2] },
  },
});
const boundOf = (element: number) => BOUNDS[SPANS.findIndex((_, tensor) => element < endOf(tensor))]!;
const endOf = (tensor: number) => SPANS.slice(0, tensor + 1).reduce((sum, length) => sum + length, 0);

const update = fc
  .array(fc.double({ min: -1, max: 1, noNaN: true }), { minLength: ELEMENTS, maxLength: ELEMENTS })
  .map((shares) => Float32Array.from(shares, (share, element) => Math.fround(share * boundOf(element))));
const sent = fc.array(fc.tuple(fc.integer({ min: 1, max: 10 ** 9 }), update), { minLength: 1, maxLength: 8 });

describe('a sum of tensors with bounds of their own', () => {
  test('misses the exact rational mean of each by at most its own bound x 2^-40, whatever the others are', async () => {
    await fc.assert(
      fc.asyncProperty(sent, async (updates) => {
        const rounds = await AggregationRounds.begin(job, new Float32Array(ELEMENTS), 20);
        const staged = await rounds.stage(
          updates.map(([sampleCount, values], place) => ({ site: `site-${place}`, sampleCount, values })),
        );
        const manifest = manifestOf(job);
        const { combined } = await combineUpdates(
          new StagedUpdates(rounds.store.staging, staged, job, manifest),
          { round: 1, spec: job, manifest, elements: ELEMENTS, previous: undefined },
        );
        const means: number[] = [];
        for await (const { update } of combined) means.push(...update);
        const terms = updates.map(([weight, values]) => ({ weight, values }));
        expect(means).toHaveLength(ELEMENTS);
        for (const [element, mean] of means.entries()) {
          expect(missOf(mean, terms, element)).toBeLessThanOrEqual(boundOf(element) * 2 ** -40);
        }
      }),
      { numRuns: 30 },
    );
  });

  test('names as damaged an update that is beyond the bound of one tensor and within those of others', async () => {
    const rounds = await AggregationRounds.begin(job, new Float32Array(ELEMENTS));
    const fine = new Float32Array(ELEMENTS);
    fine[0] = 1024;
    const beyond = new Float32Array(ELEMENTS);
    beyond[12] = 2 ** -19;
    const staged = await rounds.stage([
      { site: 'site-0', sampleCount: 3, values: fine },
      { site: 'site-1', sampleCount: 3, values: beyond },
    ]);
    expect(await rounds.aggregate(staged)).toMatchObject({ kind: 'damaged', culprits: ['site-1'] });
    expect(await rounds.aggregate(staged.slice(0, 1))).toMatchObject({ kind: 'stored' });
  });
});
