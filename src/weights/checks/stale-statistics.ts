import type { Elements } from '../layouts/permute-axes.ts';
import type { Diagnosis } from './diagnose.ts';

/** Means and variances of a batch norm, by the names of PyTorch and of Keras. */
const STATISTIC = /^(.*?)(?:(running_)(mean|var)|(moving_)(mean|variance))$/;

/**
 * Statistics of batch norms that no known mistake explains, where the scale and the shift of the same norm are right:
 * the model was run in between, or they were never copied.
 */
export function staleStatistics(
  diagnoses: ReadonlyMap<string, Diagnosis>,
  wrong: ReadonlySet<string>,
  candidate: (tensor: string) => Elements | undefined,
): ReadonlyMap<string, Diagnosis> {
  const found = new Map<string, Diagnosis>();
  for (const [tensor, { rule }] of diagnoses) {
    const [, norm, pytorch, mean, , keras] = STATISTIC.exec(tensor) ?? [];
    if (norm === undefined || rule !== 'WC201') continue;
    const trained = pytorch ? ['weight', 'bias'] : ['gamma', 'beta'];
    if (trained.some((part) => wrong.has(`${norm}${part}`))) continue;
    const first = (mean ?? keras) === 'mean' ? 0 : 1;
    const untouched = [...(candidate(tensor) ?? [])].every((value) => value === first);
    const message = untouched
      ? `every value is ${first}, as before training`
      : 'the statistics are of another time, for what was trained in this norm agrees';
    found.set(tensor, { rule: 'WC212', message });
  }
  return found;
}
