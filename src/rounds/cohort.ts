import { type Problem, problem, publicText } from '../errors/problem.ts';
import type { SiteId } from '../vocabulary/ids.ts';
import { needsProbe, probeStamp } from './fit-schema.ts';
import type { JobState } from './job-state.ts';
import { probeObjection, probeTolerance } from './probe-report.ts';
import { seededRandom, shuffled } from './seeded-random.ts';
import { hasControls } from './strategy.ts';
import { specForSite, updateBytesOf } from './update-encoding.ts';

/** Participants that an attempt wants: the updates it wants, times the over-selection, rounded up. */
export function wantedParticipants(state: JobState): number {
  return Math.ceil(state.spec.cohort.size * state.spec.cohort.overSelection);
}

/** What a connected site lacks to take part in the job, as the end of a sentence; undefined when it lacks nothing. */
export function lackOf(state: JobState, site: SiteId): string | undefined {
  const presence = state.online.get(site);
  const { dataset, trainer } = state.spec;
  if (!presence) return 'is not connected';
  if (state.revoked.has(site)) return 'is revoked';
  if (!presence.datasets.includes(dataset)) return `offers no dataset ${dataset}`;
  const objection = state.excluded.get(site);
  if (objection) return `is left out: ${publicText(objection).replace(/\.$/, '')}`;
  if (!presence.trainers.some(({ name }) => name === trainer.name))
    return `offers no trainer ${trainer.name}`;
  if (probeLack(state, site)) return 'has not answered the probe of the weights yet';
  const bytes = updateBytesOf(specForSite(state.spec, presence), state.manifest);
  return presence.updateBytesMax < bytes ? 'sends no updates of this size' : undefined;
}

/**
 * What a site lacks of the probe that the job needs: WEIGHTS_PROBE_MISSING where there is none of the trainer as the site
 * has it now, else what the coordinator has against its report. Undefined where it lacks nothing.
 */
export function probeLack(state: JobState, site: SiteId): Problem | undefined {
  const { id, spec, probes, online } = state;
  if (!needsProbe(spec)) return undefined;
  const taken = probes.get(site);
  const presence = online.get(site);
  const changed = presence && taken?.stamp !== probeStamp(spec, presence);
  if (!taken || changed) return problem('WEIGHTS_PROBE_MISSING', { site, job: id });
  return probeObjection(taken, probeTolerance(state));
}

/** Connected sites that can take part, in order of id. */
export function eligibleSites(state: JobState): readonly SiteId[] {
  return [...state.online.keys()].filter((site) => lackOf(state, site) === undefined).sort();
}

/**
 * How many sites there are, N in SCAFFOLD, where an attempt at training that begins now shows more than were known: the
 * most that could take part as any attempt began, and at least a whole cohort. Undefined where that is known, or no
 * strategy asks.
 */
export function grownPopulation(state: JobState): number | undefined {
  const { round, population = 0, spec } = state;
  if (!hasControls(spec.strategy) || round === 0) return undefined;
  const now = Math.max(eligibleSites(state).length, spec.cohort.size);
  return now > population ? now : undefined;
}

/**
 * The cohort of an attempt: the sites whose updates are in already or that go on with theirs, and a seeded sample of the other eligible
 * ones. The same seed, round, attempt and eligible sites give the same cohort.
 */
export function selectCohort(state: JobState, carried: readonly SiteId[]): readonly SiteId[] {
  const others = eligibleSites(state).filter((site) => !carried.includes(site));
  const random = seededRandom(state.spec.seed, 'cohort', state.round, state.attempt);
  // Who trains for an asynchronous job goes on with it while it is away, and holds no place meanwhile.
  const holding = carried.filter((site) => state.online.has(site) || !state.outstanding.has(site));
  const wanted = Math.max(0, wantedParticipants(state) - holding.length);
  return [...carried, ...shuffled(others, random).slice(0, wanted)].sort();
}
