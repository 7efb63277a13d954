import type { CombiningRule } from './combination.ts';

/**
 * Federated averaging: the mean of the updates, each weighted by its sample count.
 * Source: McMahan, Moore, Ramage, Hampson, Agüera y Arcas, "Communication-Efficient Learning of Deep Networks from
 * Decentralized Data" (2017), algorithm 1. FedProx (Li et al. 2020) combines the same way; its proximal term acts at
 * the sites.
 */
export const WEIGHTED_MEAN: CombiningRule = {
  needs: 'nothing',
  combine: (contributions) => {
    const weights = contributions.map(({ sampleCount }) => sampleCount);
    return {
      kind: 'sum',
      weights,
      divisor: weights.reduce((sum, weight) => sum + weight, 0),
      shares: weights,
    };
  },
};

/**
 * The mean of the updates, each as much as any other, whatever its sample count: the paper's objective is the mean of
 * the sites' own, and its control variates are right for no other.
 * Source: Karimireddy, Kale, Mohri, Reddi, Stich, Suresh, "SCAFFOLD: Stochastic Controlled Averaging for Federated
 * Learning" (2020), algorithm 1, line 16.
 */
export const PLAIN_MEAN: CombiningRule = {
  needs: 'nothing',
  combine: ({ length }) => ({ kind: 'sum', weights: Array.from({ length }, () => 1), divisor: length }),
};
