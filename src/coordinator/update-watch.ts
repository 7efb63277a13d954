import { standsOut } from '../aggregation/outliers.ts';
import type { UpdateStatistics } from '../aggregation/update-measure.ts';
import type { Telemetry } from '../ports/telemetry.ts';
import type { CommittedRound, JobState } from '../rounds/job-state.ts';
import { bufferingOf } from '../rounds/strategy.ts';
import type { SiteId } from '../vocabulary/ids.ts';

/** Earlier norms of a site that an update is compared with. */
const HISTORY_MAX = 20;

/** What is known of one update of a committed round. */
export interface MeasuredUpdate extends UpdateStatistics {
  /** Why it stands out, as a phrase; undefined where it does not. */
  readonly standsOut: string | undefined;
}

/**
 * What is known of a site's update in a committed round, beside the round's others and the site's own before it: all of
 * it is in the journal. Undefined where the site sent none, or before such was kept.
 */
export function measuredUpdate(
  { history }: Pick<JobState, 'history'>,
  { round, statistics }: Pick<CommittedRound, 'round' | 'statistics'>,
  site: SiteId,
): MeasuredUpdate | undefined {
  const own = statistics.get(site);
  if (!own) return undefined;
  const others = [...statistics].flatMap(([other, { norm }]) => (other === site ? [] : [norm]));
  const earlier = history
    .filter((past) => past.round < round)
    .flatMap((past) => past.statistics.get(site)?.norm ?? []);
  return { ...own, standsOut: standsOut(own.norm, others, earlier.slice(-HISTORY_MAX)) };
}

/** Counts the updates of the version that an asynchronous job committed last, by the versions that they had missed. */
export function reportStaleness(
  telemetry: Telemetry,
  { spec, history }: Pick<JobState, 'spec' | 'history'>,
): void {
  const past = history.at(-1);
  if (!past || !bufferingOf(spec.strategy)) return;
  for (const { declaration } of past.updates) {
    const staleness = String(past.round - declaration.key.round);
    telemetry.count('consilium_buffered_updates_total', { staleness });
  }
}

/** Tells the operator what is known of the updates of the round that was committed last, and which of them stand out. */
export function reportUpdates(telemetry: Telemetry, state: Pick<JobState, 'id' | 'history'>): void {
  const past = state.history.at(-1);
  for (const { declaration } of past?.updates ?? []) {
    if (declaration.schemaVersion !== undefined)
      telemetry.count('consilium_updates_of_earlier_versions_total', { site: declaration.key.site });
  }
  for (const site of past?.statistics.keys() ?? []) {
    const measured = past && measuredUpdate(state, past, site);
    if (!measured) continue;
    const { standsOut: reason, ...statistics } = measured;
    const about = { job: state.id, round: past.round, site };
    telemetry.log('info', 'update measured', { ...about, ...statistics });
    if (reason === undefined) continue;
    telemetry.count('consilium_updates_standing_out_total', { site });
    telemetry.log('warn', 'an update stands out', { ...about, reason });
  }
}
