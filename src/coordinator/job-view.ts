import { encodingLabel } from '../aggregation/encodings/payload-encoding.ts';
import { publicText } from '../errors/problem.ts';
import type {
  EarlierVersionView,
  ExclusionView,
  JobSummaryView,
  JobView,
  ModelView,
  ParticipantView,
  ProbeView,
  RoundView,
  SiteHistoryView,
  UpdateStatisticsView,
} from '../protocol/views.ts';
import { localSpans } from '../rounds/batch-norm.ts';
import { fillingRound } from '../rounds/buffer.ts';
import { eligibleSites, lackOf } from '../rounds/cohort.ts';
import { earlierVersion, lackedTensors } from '../rounds/earlier-version.ts';
import { manifestOf } from '../rounds/job.ts';
import type { CommittedRound, JobState } from '../rounds/job-state.ts';
import { allowedFor, probeObjection, probeTolerance } from '../rounds/probe-report.ts';
import type { SiteId } from '../vocabulary/ids.ts';
import { payloadBytes } from '../weights/manifest.ts';
import { publishable } from './held-features.ts';
import { measuredUpdate } from './update-watch.ts';

/** Updates that were not taken since the coordinator started. */
export interface Untaken {
  readonly refused: number;
  /** Of a round, an attempt or a job that was over. */
  readonly late: number;
}

/** A job as the operator sees it. */
export function jobView(state: JobState, { refused, late }: Untaken = { refused: 0, late: 0 }): JobView {
  return {
    ...jobSummary(state),
    // A job that fails has none after its last.
    attempt: Math.min(state.attempt, state.spec.attemptsMax),
    modelDigest: state.history.at(-1)?.modelDigest ?? state.initialModelDigest,
    deadlineAt: state.deadlineAt ?? null,
    retryAt: state.ended ? null : (state.retryAt ?? null),
    waitingFor: waitingFor(state),
    acceptedUpdates: state.history.reduce((sum, past) => sum + past.updates.length, 0) + state.accepted.size,
    refusedUpdates: refused,
    lateUpdates: late,
    participants: [...new Set([...state.participants.keys(), ...state.outstanding.keys()])]
      .sort()
      .map((site) => participantView(state, site)),
    weightSchema: weightSchemaView(state),
    exclusions: exclusionViews(state),
    probes: probeViews(state),
    // As its sites are told them.
    constants: (state.spec.view && state.constants ? publishable(state) : state.constants) ?? null,
    history: state.history.map((past) => roundView(state, past)),
  };
}

/** What a job says of its tensors, and what the manifest that came with it has to compare with. */
function weightSchemaView({ spec, weightsManifest }: JobState): JobView['weightSchema'] {
  const { weightSchema } = spec;
  if (!weightSchema) return null;
  const { id, version, probe } = weightSchema;
  const section = weightsManifest?.probe;
  return {
    ...{ id, version, probe },
    manifest: weightsManifest
      ? {
          history: (weightsManifest.history ?? []).map(({ from, to }) => ({ from, to })),
          golden: section
            ? {
                recordedWith: section.recordedWith,
                probes: section.kinds,
                layers: section.golden[0]?.layers.map(({ layer }) => layer) ?? [],
                tolerances: section.tolerances,
              }
            : null,
        }
      : null,
  };
}

/** The sites that a job goes on without, in order of id. */
export function exclusionViews({ id, excluded }: JobState): readonly ExclusionView[] {
  return [...excluded].sort().map(([site, problem]) => ({
    job: id,
    site,
    ...problem,
    reason: publicText(problem),
  }));
}

/** The newest probe of each site, in order of id. */
export function probeViews(state: JobState): readonly ProbeView[] {
  const { id, probes } = state;
  const tolerance = probeTolerance(state);
  return [...probes].sort().map(([site, taken]): ProbeView => {
    const objection = probeObjection(taken, tolerance);
    const report = 'problem' in taken.result ? undefined : taken.result;
    return {
      job: id,
      site,
      state: objection ? 'failed' : 'passed',
      takenAt: taken.at,
      stated: JSON.parse(taken.stamp) as Record<string, string | null>,
      engine: report?.engine ?? null,
      tolerance: tolerance.relativeL2,
      layers: (report?.layers ?? []).map((one) => ({ ...one, allowed: allowedFor(one.layer, tolerance) })),
      reason: objection ? publicText(objection) : null,
    };
  });
}

/** One line of the job list. */
export function jobSummary(state: JobState): JobSummaryView {
  return {
    job: state.id,
    state: state.ended?.outcome ?? 'running',
    phase: phaseName(state),
    round: Math.min(state.round, state.spec.rounds),
    rounds: state.spec.rounds,
    version: state.version,
    submittedAt: state.submittedAt,
    endedAt: state.ended?.at ?? null,
    reason: state.ended?.reason ?? null,
  };
}

/** The committed versions of a job, oldest first. */
export function modelViews(state: JobState): readonly ModelView[] {
  const bytes = payloadBytes(manifestOf(state.spec));
  const own = localSpans(state.spec.batchNorm, state.manifest).map(({ tensor }) => tensor.name);
  const local = own.length > 0 ? { local: own } : {};
  const initial = {
    job: state.id,
    version: 0,
    digest: state.initialModelDigest,
    bytes,
    committedAt: state.submittedAt,
    contributors: [],
    ...local,
  };
  return [
    initial,
    ...state.history.map((past) => ({
      job: state.id,
      version: past.round,
      digest: past.modelDigest,
      bytes,
      committedAt: past.committedAt,
      contributors: past.updates.map((update) => update.declaration.key.site),
      ...local,
    })),
  ];
}

function waitingFor(state: JobState): string | null {
  if (state.phase !== 'recruiting' || state.ended) return null;
  const { spec, online, retryAt, attempt, abandoned } = state;
  if (retryAt !== undefined) {
    return `attempt ${attempt - 1} of ${spec.attemptsMax} was abandoned because ${abandoned.at(-1)}`;
  }
  const ready = eligibleSites(state);
  const lacking = [...online.keys()].sort().flatMap((site) => {
    const lack = lackOf(state, site);
    return lack === undefined ? [] : [`${site} ${lack}`];
  });
  const count = `${ready.length} of ${spec.cohort.size} sites are ready, and the quorum is ${spec.quorum}`;
  return [count, ...lacking].join('; ');
}

function phaseName({ phase, round }: JobState): string {
  if (phase === 'working') return round === 0 ? 'counting' : 'training';
  return phase;
}

function participantView(state: JobState, site: SiteId): ParticipantView {
  const participant = state.participants.get(site);
  const progress = participant?.progress;
  return {
    site,
    online: state.online.has(site),
    state: participant?.state ?? 'assigned',
    phase: progress?.phase ?? null,
    fraction: progress?.fraction ?? null,
    loss: progress?.loss ?? null,
    bytes: progress?.bytes ?? 0,
    reason: participant?.reason ?? null,
    staleness: state.outstanding.has(site) ? fillingRound(state) - state.outstanding.get(site)!.round : 0,
    ...earlierView(state, earlierVersion(state.spec, state.online.get(site)?.trainers ?? [])),
  };
}

function earlierView(
  { spec }: JobState,
  schemaVersion: string | undefined,
): { readonly earlier?: EarlierVersionView } {
  if (schemaVersion === undefined) return {};
  return { earlier: { schemaVersion, lackedTensors: lackedTensors(spec, schemaVersion).length } };
}

function roundView(state: JobState, past: CommittedRound): RoundView {
  return {
    round: past.round,
    attempts: past.attempts,
    version: past.round,
    digest: past.modelDigest,
    startedAt: past.startedAt,
    committedAt: past.committedAt,
    contributors: past.updates.map(({ declaration, at }) => ({
      site: declaration.key.site,
      sampleCount: declaration.sampleCount,
      bytes: declaration.payloadBytes,
      encoding: encodingLabel(declaration.encoding),
      acceptedAt: at,
      staleness: past.round - declaration.key.round,
      backend: declaration.backend,
      ...earlierView(state, declaration.schemaVersion),
      metrics: declaration.metrics,
      statistics: updateView(state, past, declaration.key.site),
    })),
    evaluations: [...past.evaluations].map(([site, { sampleCount, metrics }]) => ({
      site,
      sampleCount,
      metrics,
    })),
    abandoned: past.abandoned,
  };
}

function updateView(state: JobState, past: CommittedRound, site: SiteId): UpdateStatisticsView | null {
  const known = measuredUpdate(state, past, site);
  if (!known) return null;
  const { norm, maxAbs, zeroFraction, cosine = null, standsOut = null } = known;
  return { norm, maxAbs, zeroFraction, cosine, standsOut };
}

/** What is known of a site's updates in the committed rounds of a job, oldest first. */
export function siteUpdates(state: JobState, site: SiteId): SiteHistoryView['updates'] {
  return state.history.flatMap((past) => {
    const own = past.updates.find(({ declaration }) => declaration.key.site === site);
    const known = updateView(state, past, site);
    if (!own || !known) return [];
    const { sampleCount, schemaVersion } = own.declaration;
    const { round, committedAt } = past;
    return [
      { job: state.id, round, sampleCount, committedAt, ...known, ...earlierView(state, schemaVersion) },
    ];
  });
}
