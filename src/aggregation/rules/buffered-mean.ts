import type { CombiningRule } from './combination.ts';

/** Weights of staleness are whole multiples of 1 / STALENESS_STEPS, so that the last bit of a power is nobody's matter. */
const STALENESS_STEPS = 2 ** 30;

/**
 * What an update still weighs that was made against a version `staleness` versions older than the newest: (1 +
 * staleness)^-exponent to the nearest 2^-30, from above 0 to 1. A fresh update weighs exactly 1.
 * Source: Xie, Koyejo, Gupta, "Asynchronous Federated Optimization" (2019), section 5.2, the polynomial function; with
 * exponent 1/2 it is the 1 / sqrt(1 + staleness) of Nguyen et al. 2022.
 */
export function stalenessWeight(staleness: number, exponent: number): number {
  return Math.max(1, Math.round(STALENESS_STEPS * (1 + staleness) ** -exponent)) / STALENESS_STEPS;
}

/**
 * FedBuff: the sum of the buffer's updates, each weighted by its sample count and its staleness, divided by the sample
 * counts alone: a buffer of old updates makes a smaller step, as the division by K in the paper does, where every
 * update counts alike. A buffer of fresh updates makes the step of federated averaging, to the last bit.
 * Source: Nguyen, Malik, Zhan, Yousefpour, Rabbat, Malek, Huba, "Federated Learning with Buffered Asynchronous
 * Aggregation" (2022), algorithm 1.
 */
export function bufferedMean(exponent: number): CombiningRule {
  return {
    needs: 'nothing',
    combine: (contributions) => ({
      kind: 'sum',
      weights: contributions.map(
        ({ sampleCount, staleness = 0 }) => sampleCount * stalenessWeight(staleness, exponent),
      ),
      divisor: contributions.reduce((sum, { sampleCount }) => sum + sampleCount, 0),
      shares: contributions.map(({ sampleCount }) => sampleCount),
    }),
  };
}
