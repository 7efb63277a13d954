import type { EarlierVersionView, JobView, RoundView } from '../protocol/views.ts';

/**
 * A contributor of a round: `lyon`, or what is not as usual about its update: `lyon (stale by 1, int8)`, `oslo (1.0.0,
 * without 2 tensors)`.
 */
export function contributorText({
  site,
  staleness,
  encoding = 'float32',
  earlier,
}: Pick<RoundView['contributors'][number], 'site' | 'staleness' | 'earlier'> & {
  readonly encoding?: string;
}): string {
  const unusual = [
    ...(staleness > 0 ? [`stale by ${staleness}`] : []),
    ...(encoding === 'float32' ? [] : [encoding]),
    ...(earlier ? [earlierText(earlier)] : []),
  ];
  return unusual.length === 0 ? site : `${site} (${unusual.join(', ')})`;
}

/** Of which version of its job's weight schema an update is: `1.0.0, without 2 tensors`. */
export function earlierText({ schemaVersion, lackedTensors }: EarlierVersionView): string {
  return `${schemaVersion}, without ${lackedTensors} ${lackedTensors === 1 ? 'tensor' : 'tensors'}`;
}

/** Updates of a job that were not taken: `1 refused`, or with those that came too late `0 refused, 1 late`. */
export function untakenText({ refusedUpdates, lateUpdates = 0 }: JobView): string {
  return lateUpdates > 0 ? `${refusedUpdates} refused, ${lateUpdates} late` : `${refusedUpdates} refused`;
}
