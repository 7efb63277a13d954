import type { Combination } from '../aggregation/rules/combination.ts';
import { lackedSpans } from '../rounds/earlier-version.ts';
import type { Job } from '../rounds/job.ts';
import type { UpdateDeclaration } from '../rounds/update.ts';
import { invariant } from '../vocabulary/invariant.ts';
import { type Manifest, tensorSpans } from '../weights/manifest.ts';

/** Elements of a sum that follow each other, and what is in them. */
export interface TensorShare {
  readonly start: number;
  readonly end: number;
  /** What the sum is divided by; 0 where no update has these elements. */
  readonly divisor: number;
  /** Updates that have them, and the largest weight among those; of all updates where none has them. */
  readonly terms: number;
  readonly weightMax: number;
}

/**
 * Who counts in which tensor of a sum. Where trainers lack tensors, each is divided by the shares of the updates that have
 * it, so that its mean is one of those who trained it, and its scale is theirs too: a small hospital alone is summed as
 * finely as many. One share of all elements where no update lacks anything.
 * Source: Diao, Ding, Tarokh, "HeteroFL: Computation and Communication Efficient Federated Learning for Heterogeneous
 * Clients" (2021), section 3, whose parts are of tensors, where ours are whole ones.
 */
export function tensorShares(
  spec: Job,
  manifest: Manifest,
  updates: readonly Pick<UpdateDeclaration, 'schemaVersion'>[],
  { weights, divisor, shares }: Extract<Combination, { kind: 'sum' }>,
): readonly TensorShare[] {
  const lacking = updates.map(
    ({ schemaVersion }) => new Set(lackedSpans(spec, schemaVersion).map(({ start }) => start)),
  );
  const all = { divisor, terms: weights.length, weightMax: Math.max(...weights) };
  const shareOf = (start: number) => {
    const without = lacking.flatMap((lacked, place) => (lacked.has(start) ? [place] : []));
    if (without.length === 0) return all;
    invariant(shares, 'the strategy divides by a sum over the updates');
    const rest = without.reduce((sum, place) => sum - shares[place]!, divisor);
    const having = weights.filter((_, place) => !lacking[place]!.has(start));
    if (having.length === 0) return { ...all, divisor: rest };
    return { divisor: rest, terms: having.length, weightMax: Math.max(...having) };
  };
  const found: TensorShare[] = [];
  for (const { start, length } of tensorSpans(manifest)) {
    const own = { ...shareOf(start), start, end: start + length };
    const last = found.at(-1);
    const same = (['divisor', 'terms', 'weightMax'] as const).every((name) => last?.[name] === own[name]);
    if (last && same) found[found.length - 1] = { ...last, end: own.end };
    else found.push(own);
  }
  return found;
}
