import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type Geometry, scaledGeometry, squaredDistances } from '../../src/aggregation/geometry.ts';
import { bufferedMean, stalenessWeight } from '../../src/aggregation/rules/buffered-mean.ts';
import { bulyan } from '../../src/aggregation/rules/bulyan.ts';
import type { Combination, Contribution } from '../../src/aggregation/rules/combination.ts';
import { fairMean } from '../../src/aggregation/rules/fair-mean.ts';
import { geometricMedian } from '../../src/aggregation/rules/geometric-median.ts';
import { multiKrum } from '../../src/aggregation/rules/krum.ts';
import { normFilter } from '../../src/aggregation/rules/norm-filter.ts';
import { MEDIAN, trimmedMean } from '../../src/aggregation/rules/trimmed-mean.ts';
import { WEIGHTED_MEAN } from '../../src/aggregation/rules/weighted-mean.ts';
import { seededRandom } from '../../src/rounds/seeded-random.ts';

type Vector = readonly number[];
const dot = (left: Vector, right: Vector) => left.reduce((sum, one, place) => sum + one * right[place]!, 0);

function geometryOf(updates: readonly Vector[]): Geometry {
  const products = Float64Array.from(updates.flatMap((one) => updates.map((other) => dot(one, other))));
  return { squares: updates.map((update) => dot(update, update)), products };
}
const contributionsOf = (count: number): Contribution[] =>
  Array.from({ length: count }, () => ({ sampleCount: 1, baseLoss: undefined }));

/** `count` updates about one direction, and the first `hostile` of them far off. */
function cohort(count: number, hostile: number, seed: number): Vector[] {
  const random = seededRandom(seed, 'rules');
  return Array.from({ length: count }, (_, place) =>
    Array.from({ length: 6 }, (_, axis) => (place < hostile ? -40 : 1) * (axis + 1) + random.unit()),
  );
}
const chosen = (combination: Combination): number[] =>
  combination.kind === 'sum'
    ? combination.weights.flatMap((weight, place) => (weight > 0 ? [place] : []))
    : [...combination.members];

function sumOf(combination: Combination) {
  if (combination.kind !== 'sum') throw new Error(`${combination.kind} is not a sum`);
  return combination;
}

describe('the weighted mean', () => {
  test('weighs each update by its sample count', () => {
    const counts = [100, 300].map((sampleCount) => ({ sampleCount, baseLoss: undefined }));
    expect(WEIGHTED_MEAN.combine(counts, geometryOf([]))).toEqual({
      kind: 'sum',
      weights: [100, 300],
      divisor: 400,
      shares: [100, 300],
    });
  });
});

describe('the buffered mean', () => {
  const buffer = fc.array(
    fc.record({
      sampleCount: fc.integer({ min: 1, max: 10 ** 9 }),
      baseLoss: fc.constant(undefined),
      staleness: fc.nat(1000),
    }),
    { minLength: 1, maxLength: 40 },
  );
  const exponent = fc.double({ min: 0, max: 2, noNaN: true });

  test('lets an update weigh 1 / sqrt(1 + staleness), in whole steps of 2^-30', () => {
    expect([0, 3, 8, 99].map((staleness) => stalenessWeight(staleness, 0.5))).toEqual([
      1,
      0.5,
      Math.round(2 ** 30 / 3) / 2 ** 30,
      Math.round(2 ** 30 / 10) / 2 ** 30,
    ]);
  });

  test('is the weighted mean of a buffer of fresh updates, and of any where staleness weighs nothing', () => {
    fc.assert(
      fc.property(buffer, exponent, (contributions, power) => {
        const fresh = contributions.map((one) => ({ ...one, staleness: 0 }));
        const mean = WEIGHTED_MEAN.combine(fresh, geometryOf([]));
        expect(bufferedMean(power).combine(fresh, geometryOf([]))).toEqual(mean);
        expect(bufferedMean(0).combine(contributions, geometryOf([]))).toEqual(mean);
      }),
    );
  });

  test('lets no update weigh more than its rows, nothing, or more the older it is', () => {
    fc.assert(
      fc.property(buffer, exponent, (contributions, power) => {
        const { weights, divisor } = sumOf(bufferedMean(power).combine(contributions, geometryOf([])));
        weights.forEach((weight, place) => {
          const { sampleCount, staleness } = contributions[place]!;
          expect(weight).toBeGreaterThan(0);
          expect(weight).toBeLessThanOrEqual(sampleCount);
          expect(stalenessWeight(staleness + 1, power)).toBeLessThanOrEqual(
            stalenessWeight(staleness, power),
          );
        });
        // What the bound of the fixed-point error stands on (fixed-point.ts).
        expect(divisor).toBeGreaterThanOrEqual(Math.max(...weights));
      }),
    );
  });
});

describe('the fair mean', () => {
  const updates = cohort(3, 0, 1);
  const told = [0.2, 0.9, 0.4].map((baseLoss) => ({ sampleCount: 7, baseLoss }));

  test('is the plain mean for q = 0', () => {
    const combination = fairMean(0, 0.1).combine(told, geometryOf(updates));
    expect(combination).toMatchObject({ weights: [10, 10, 10], divisor: 30 });
  });

  test('lets a site weigh more the worse the base version does there', () => {
    const { weights } = sumOf(fairMean(2, 0.1).combine(told, geometryOf(updates)));
    expect(weights[1]! / weights[0]!).toBeCloseTo((0.9 / 0.2) ** 2, 6);
    expect(weights[2]! / weights[0]!).toBeCloseTo((0.4 / 0.2) ** 2, 6);
  });

  test('demands the loss of every site', () => {
    const silent = [...told.slice(1), { sampleCount: 7, baseLoss: undefined }];
    expect(() => fairMean(1, 0.1).combine(silent, geometryOf(updates))).toThrow('told its loss');
  });
});

describe('the rules against hostile updates', () => {
  const near = [4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19];
  const geometry = geometryOf(cohort(20, 4, 3));
  const all = contributionsOf(20);

  test('Krum picks one of the honest updates, Multi-Krum all of them and no other', () => {
    const [picked] = chosen(multiKrum(4, () => 1).combine(all, geometry));
    expect(near).toContain(picked);
    expect(chosen(multiKrum(4, (count) => count - 4).combine(all, geometry))).toEqual(near);
  });

  test('Bulyan keeps n - 2f updates, hardly a hostile one, and averages n - 4f of each coordinate', () => {
    const combination = bulyan(4).combine(all, geometry);
    expect(combination).toMatchObject({ kind: 'closest', count: 4 });
    const members = chosen(combination);
    expect(members).toHaveLength(12);
    // A hostile one among the last that Krum picks is far from the median of the others in every coordinate.
    expect(members.filter((place) => !near.includes(place)).length).toBeLessThan((12 - 4) / 2);
  });

  test('the norm filter drops the longest updates', () => {
    expect(chosen(normFilter(4).combine(all, geometry))).toEqual(near);
  });

  test('the geometric median leaves the hostile ones next to no weight', () => {
    const { weights, divisor } = sumOf(geometricMedian(200).combine(all, geometry));
    expect(divisor).toBeCloseTo(1, 12);
    expect(weights.slice(0, 4).reduce((sum, weight) => sum + weight, 0)).toBeLessThan(0.01);
  });

  test('trimming leaves out f values at each end, and the median all but the middle', () => {
    expect(trimmedMean(4).combine(all, geometry)).toMatchObject({ kind: 'trimmed', trim: 4 });
    expect(MEDIAN.combine(all, geometry)).toMatchObject({ trim: 9 });
    expect(MEDIAN.combine(contributionsOf(7), geometry)).toMatchObject({ trim: 3 });
  });

  test('none of them takes fewer updates than it needs', () => {
    const few = (count: number) => [contributionsOf(count), geometryOf(cohort(count, 0, 5))] as const;
    expect(() => multiKrum(1, () => 1).combine(...few(4))).toThrow('as many updates as it needs');
    expect(() => bulyan(1).combine(...few(6))).toThrow('as many updates as it needs');
    expect(() => trimmedMean(1).combine(...few(2))).toThrow('left');
    expect(() => normFilter(1).combine(...few(2))).toThrow('left');
  });

  test('those without ties choose the same updates in whatever order these come', () => {
    fc.assert(
      fc.property(fc.nat(), fc.gen(), (seed, draw) => {
        const updates = cohort(11, seed % 3, seed);
        const keys = updates.map(() => draw(fc.nat));
        const order = updates.map((_, place) => place).sort((left, right) => keys[left]! - keys[right]!);
        const mixed = order.map((place) => updates[place]!);
        for (const rule of [multiKrum(2, () => 3), normFilter(2)]) {
          const straight = chosen(rule.combine(contributionsOf(11), geometryOf(updates)));
          const turned = chosen(rule.combine(contributionsOf(11), geometryOf(mixed)));
          expect(turned.map((place) => order[place]!).sort()).toEqual(straight.sort());
        }
      }),
    );
  });
});

describe('the geometry of a round', () => {
  test('knows distances, and is scaled as its updates are', () => {
    const vector = fc.array(fc.double({ min: -9, max: 9, noNaN: true }), { minLength: 4, maxLength: 4 });
    const factor = fc.double({ min: 0.01, max: 1, noNaN: true });
    fc.assert(
      fc.property(fc.array(fc.tuple(vector, factor), { minLength: 1, maxLength: 6 }), (pairs) => {
        const scaled = pairs.map(([update, by]) => update.map((value) => value * by));
        const geometry = scaledGeometry(
          geometryOf(pairs.map(([update]) => update)),
          pairs.map(([, by]) => by),
        );
        const distances = squaredDistances(geometry);
        scaled.forEach((left, row) => {
          expect(geometry.squares[row]).toBeCloseTo(dot(left, left), 8);
          scaled.forEach((right, column) => {
            const apart = left.map((value, place) => value - right[place]!);
            expect(distances[row * scaled.length + column]).toBeCloseTo(dot(apart, apart), 8);
          });
        });
      }),
    );
  });
});
