import type { Geometry } from '../geometry.ts';

/** What is known of an update before its bytes are read. */
export interface Contribution {
  /** Training rows that the site declared. */
  readonly sampleCount: number;
  /** Mean training loss of the base version at the site, where the site was asked for it. */
  readonly baseLoss: number | undefined;
  /** Versions that were committed since the update's base version; 0 unless said. */
  readonly staleness?: number | undefined;
}

/**
 * How a round's updates become one. Updates are named by their place in the round's order, which is that of the
 * sites' names, so that ties are the same everywhere.
 */
export type Combination =
  /**
   * The sum of each update times its weight, divided by `divisor`; weight 0 leaves an update out. `shares`: what each
   * update adds to the divisor, whole numbers, where a tensor that some lack may be divided by the shares of the others.
   */
  | {
      readonly kind: 'sum';
      readonly weights: readonly number[];
      readonly divisor: number;
      readonly shares?: readonly number[];
    }
  /** For each coordinate, the mean of the members' values without the `trim` least and greatest. */
  | { readonly kind: 'trimmed'; readonly members: readonly number[]; readonly trim: number }
  /** For each coordinate, the mean of the `count` members' values that are closest to their median. */
  | { readonly kind: 'closest'; readonly members: readonly number[]; readonly count: number };

/** A way of combining updates. */
export interface CombiningRule {
  /** What of the updates' geometry the rule decides by; more than `nothing` costs another reading of all updates. */
  readonly needs: 'nothing' | 'norms' | 'products';
  /** Decides. `geometry` holds what the rule needs. */
  combine(contributions: readonly Contribution[], geometry: Geometry): Combination;
}

/** The places of the `count` smallest values, the first of equals first, in ascending order of place. */
export function smallest(values: readonly number[], count: number): number[] {
  const places = values.map((_, place) => place);
  return places
    .sort((left, right) => values[left]! - values[right]! || left - right)
    .slice(0, count)
    .sort((left, right) => left - right);
}

/** The plain mean of some of `count` updates. */
export function meanOfMembers(members: readonly number[], count: number): Combination {
  const weights = Array.from({ length: count }, (_, place) => (members.includes(place) ? 1 : 0));
  return { kind: 'sum', weights, divisor: members.length };
}
