import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { encodeUpdate } from '../../src/aggregation/encodings/encode-update.ts';
import type { PayloadEncoding } from '../../src/aggregation/encodings/payload-encoding.ts';
import { UpdateDecoder } from '../../src/aggregation/encodings/update-decoder.ts';
import { fractionBitsFor } from '../../src/aggregation/fixed-point.ts';
import { stalenessWeight } from '../../src/aggregation/rules/buffered-mean.ts';
import { lackedSpans } from '../../src/rounds/earlier-version.ts';
import { jobSchema, manifestOf } from '../../src/rounds/job.ts';
import { missOf, slowSum } from '../aggregation/slow-sum.ts';
import { AggregationRounds, type SentUpdate } from './aggregation-rounds.ts';

/** Thirteen elements: stem 0-4 in all versions, gate 5-6 since 1.1.0, head 7-9, skip 10-12 since 1.2.0. */
const TENSORS = [
  { name: 'stem', shape: [5] },
  { name: 'gate', shape: [2], since: '1.1.0', default: 1 },
  { name: 'head', shape: [3] },
  { name: 'skip', shape: [3], since: '1.2.0', default: 0 },
];
const ELEMENTS = 13;
/** What each version lacks, element by element: written down, not computed. */
const LACKS: Readonly<Record<string, readonly number[]>> = {
  '1.0.0': [5, 6, 10, 11, 12],
  '1.1.0': [10, 11, 12],
  '1.2.0': [],
};
const BOUND = 8;

function jobWith(change: object = {}) {
  return jobSchema.parse({
    apiVersion: 'consilium/v1',
    name: 'versions',
    dataset: 'none',
    model: { kind: 'external', tensors: TENSORS },
    initialWeights: { file: 'w.safetensors' },
    weightSchema: { id: 'net', version: '1.2.0', probe: 'off' },
    trainer: { name: 'none' },
    rounds: 9,
    cohort: { size: 8 },
    quorum: 1,
    updateBound: BOUND,
    ...change,
  });
}

const base = Float32Array.from({ length: ELEMENTS }, (_, at) => Math.fround(0.3 * at - 1));
const value = fc.float({ min: -BOUND, max: BOUND, noNaN: true });
const sentUpdate = fc.record({
  version: fc.constantFrom('1.0.0', '1.1.0', '1.2.0'),
  sampleCount: fc.integer({ min: 1, max: 10 ** 7 }),
  values: fc.array(value, { minLength: ELEMENTS, maxLength: ELEMENTS }),
  staleness: fc.nat({ max: 3 }),
});
const round = fc.array(sentUpdate, { minLength: 1, maxLength: 8 });

interface Sent {
  readonly version: string;
  readonly sampleCount: number;
  readonly values: readonly number[];
  readonly staleness: number;
}

/** As a site of that version sends it. */
function asSent({ version, sampleCount, values }: Sent, place: number): SentUpdate {
  const update = Float32Array.from(values, (one, at) => (LACKS[version]!.includes(at) ? 0 : one));
  const schemaVersion = LACKS[version]!.length > 0 ? { schemaVersion: version } : {};
  return { site: `site-${place}`, sampleCount, values: update, ...schemaVersion };
}

/** The next weights by whole numbers of BigInt: the sum over those who have a tensor, at their scale, divided by their samples. */
function nextWeights(sent: readonly Sent[], terms: readonly { weight: number; values: Float32Array }[]) {
  return base.map((before, at) => {
    const has = (place: number) => !LACKS[sent[place]!.version]!.includes(at);
    const having = terms.filter((_, place) => has(place));
    if (having.length === 0) return before;
    const weightMax = Math.max(...having.map(({ weight }) => weight));
    const bits = fractionBitsFor({ terms: having.length, weightMax, bound: BOUND });
    const column = having.map(({ weight, values }) => ({ weight, values: values.subarray(at, at + 1) }));
    const divisor = sent.reduce((sum, { sampleCount }, place) => sum + (has(place) ? sampleCount : 0), 0);
    return before + Number(slowSum(column, [bits])[0]) / (divisor * 2 ** bits);
  });
}

describe('a round in which trainers lack tensors', () => {
  test('has each tensor averaged over those who have it, to the last bit, in any order and cut', async () => {
    await fc.assert(
      fc.asyncProperty(round, fc.constantFrom(4, 12, 20, 1024), fc.boolean(), async (sent, cut, turned) => {
        const rounds = await AggregationRounds.begin(jobWith(), base, cut);
        const updates = sent.map(asSent);
        const weights = await rounds.round(turned ? updates.toReversed() : updates);
        const terms = updates.map(({ sampleCount: weight, values }) => ({ weight, values }));
        expect(weights).toEqual(nextWeights(sent, terms));
      }),
      { numRuns: 150 },
    );
  });

  test('misses the exact rational mean of those who have a tensor by at most the bound x 2^-40', async () => {
    await fc.assert(
      fc.asyncProperty(round, async (sent) => {
        const rounds = await AggregationRounds.begin(jobWith(), new Float32Array(ELEMENTS));
        const updates = sent.map(asSent);
        const weights = await rounds.round(updates);
        for (const [at, weight] of weights.entries()) {
          const having = updates.filter((_, place) => !LACKS[sent[place]!.version]!.includes(at));
          const terms = having.map(({ sampleCount, values }) => ({ weight: sampleCount, values }));
          // The weights are float32: half a unit in the last place of a value up to the bound.
          const most = BOUND * 2 ** -40 + Math.abs(weight) * 2 ** -24 + 2 ** -149;
          expect(terms.length === 0 ? weight : missOf(weight, terms, at)).toBeLessThanOrEqual(
            terms.length === 0 ? 0 : most,
          );
        }
      }),
    );
  });

  test('is the same after an update was taken out of it as if that had never been in', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(sentUpdate, { minLength: 2, maxLength: 6 }), async (sent) => {
        const rounds = await AggregationRounds.begin(jobWith(), base, 12);
        const staged = await rounds.stage(sent.map(asSent));
        expect(await rounds.aggregate(staged)).toMatchObject({ kind: 'stored' });
        expect(await rounds.aggregate(staged.slice(1))).toMatchObject({ kind: 'stored' });
        rounds.commit();
        const rest = sent.slice(1).map((one, place) => asSent(one, place + 1));
        const terms = rest.map(({ sampleCount: weight, values }) => ({ weight, values }));
        expect(await rounds.weights()).toEqual(nextWeights(sent.slice(1), terms));
      }),
      { numRuns: 40 },
    );
  });

  test.each<PayloadEncoding>([
    { name: 'int8' },
    { name: 'top-k', kept: 6 },
    { name: 'float16' },
    { name: 'bfloat16' },
  ])('has zeros stay zeros in $name, and is the mean of what the bytes decode to', async (encoding) => {
    const job = jobWith({
      updateEncoding: { name: encoding.name, ...(encoding.name === 'top-k' && { share: 0.45 }) },
    });
    const manifest = manifestOf(job);
    await fc.assert(
      fc.asyncProperty(round, async (sent) => {
        const rounds = await AggregationRounds.begin(job, base, 12);
        const updates = sent.map(asSent).map((one) => ({ ...one, encoding }));
        const terms = updates.map(({ sampleCount: weight, values, schemaVersion }) => {
          const decoded: number[] = [];
          const bytes = encodeUpdate(manifest, encoding, values, BOUND);
          for (const run of new UpdateDecoder(manifest, encoding).take(bytes)) decoded.push(...run);
          for (const { start, length } of lackedSpans(job, schemaVersion))
            expect(decoded.slice(start, start + length).every((one) => one === 0)).toBe(true);
          return { weight, values: Float32Array.from(decoded) };
        });
        expect(await rounds.round(updates)).toEqual(nextWeights(sent, terms));
      }),
      { numRuns: 40 },
    );
  });

  test('weighs old updates less, and divides by the sample counts of those who have a tensor, in a buffer', async () => {
    const job = jobWith({ strategy: { name: 'fedbuff', bufferSize: 1, stalenessMax: 5 } });
    await fc.assert(
      fc.asyncProperty(round, async (sent) => {
        const rounds = await AggregationRounds.begin(job, base, 12);
        const updates = sent.map((one, place) => ({ ...asSent(one, place), staleness: one.staleness }));
        const terms = updates.map(({ sampleCount, staleness, values }) => ({
          weight: sampleCount * stalenessWeight(staleness, 0.5),
          values,
        }));
        expect(await rounds.round(updates)).toEqual(nextWeights(sent, terms));
      }),
      { numRuns: 60 },
    );
  });

  test('clips an update by what it has, and divides by whole sample counts', async () => {
    const rounds = await AggregationRounds.begin(jobWith({ clippingNorm: 1 }), new Float32Array(ELEMENTS));
    const long = new Float32Array(ELEMENTS);
    long.set([0, 3, 0, 0, 4]);
    const short = new Float32Array(ELEMENTS).fill(0.25);
    const weights = await rounds.round([
      { site: 'behind', sampleCount: 1, values: long, schemaVersion: '1.0.0' },
      { site: 'whole', sampleCount: 3, values: short },
    ]);
    const close = (values: readonly number[]) => values.map((one) => expect.closeTo(one, 6));
    expect([...weights]).toEqual(
      close([0.1875, 0.3375, 0.1875, 0.1875, 0.3875, 0.25, 0.25, 0.1875, 0.1875, 0.1875, 0.25, 0.25, 0.25]),
    );
  });

  test('is the mean of those who have a tensor in float32 arithmetic too', async () => {
    const rounds = await AggregationRounds.begin(
      jobWith({ arithmetic: 'float32' }),
      new Float32Array(ELEMENTS),
    );
    const weights = await rounds.round([
      asSent({ version: '1.0.0', sampleCount: 1, values: Array(ELEMENTS).fill(4), staleness: 0 }, 0),
      asSent({ version: '1.2.0', sampleCount: 3, values: Array(ELEMENTS).fill(-4), staleness: 0 }, 1),
    ]);
    expect([...weights]).toEqual([-2, -2, -2, -2, -2, -4, -4, -2, -2, -2, -4, -4, -4]);
  });

  test('leaves what nobody has as it is, and what a server optimiser remembers of it', async () => {
    const strategy = { name: 'fedavgm', learningRate: 1, momentum: 0.5 };
    const rounds = await AggregationRounds.begin(jobWith({ strategy }), new Float32Array(ELEMENTS));
    const ones = Array(ELEMENTS).fill(1);
    const whole = asSent({ version: '1.2.0', sampleCount: 2, values: ones, staleness: 0 }, 0);
    const behind = asSent({ version: '1.0.0', sampleCount: 2, values: ones, staleness: 0 }, 1);
    const [stem, gate, skip] = [0, 5, 12];
    const seen: number[][] = [];
    for (const update of [whole, behind, whole]) {
      const weights = await rounds.round([update]);
      seen.push([weights[stem]!, weights[gate]!, weights[skip]!]);
    }
    // The velocity of the stem is 1, 1.5, 1.75; that of the others 1, 1 (not asked), 1.5.
    expect(seen).toEqual([
      [1, 1, 1],
      [2.5, 1, 1],
      [4.25, 2.5, 2.5],
    ]);
  });
});
