import { encodedBytes } from '../aggregation/encodings/payload-encoding.ts';
import { type Problem, problem } from '../errors/problem.ts';
import type { SiteId } from '../vocabulary/ids.ts';
import { manifestDifference } from '../weights/manifest.ts';
import { parseVersion } from '../weights/schema/version.ts';
import { fillingRound } from './buffer.ts';
import { probeLack } from './cohort.ts';
import { versionDigest } from './current-assignment.ts';
import { earlierVersion, earlierVersionFault, lackedTensors } from './earlier-version.ts';
import type { AcceptedUpdate } from './job-record.ts';
import type { JobState } from './job-state.ts';
import { metricsFault } from './metrics.ts';
import { BASE_LOSS, bufferingOf, needsBaseLoss } from './strategy.ts';
import type { Receipt, UpdateDeclaration } from './update.ts';
import { ElementBounds } from './update-bounds.ts';
import { encodingRefusal } from './update-encoding.ts';

/** What a job says to an update: take it, it is in already, or why not. */
export type UpdateJudgement =
  | { readonly verdict: 'take' }
  | { readonly verdict: 'held'; readonly receipt: Receipt }
  | { readonly verdict: 'refuse'; readonly problem: Problem };

/** Chunks are at most this large, so that a chunk and its envelope fit a 4 MiB gRPC message. */
export const CHUNK_BYTES_MAX = 3 * 2 ** 20;

/**
 * Judges an update by its declaration. Asked when the transfer begins and again when it is complete: the round
 * may have moved on in between.
 */
export function judgeUpdate(state: JobState, declaration: UpdateDeclaration): UpdateJudgement {
  const { key } = declaration;
  const refuse = (occurrence: Problem): UpdateJudgement => ({ verdict: 'refuse', problem: occurrence });
  const { round, attempt } = key;
  const buffering = bufferingOf(state.spec.strategy);

  const earlier = heldUpdate(state, key.site, round);
  if (earlier?.declaration.digest === declaration.digest && sameWeight(earlier.declaration, declaration)) {
    return { verdict: 'held', receipt: earlier.receipt };
  }
  if (!Number.isSafeInteger(round) || round < 1 || round > state.spec.rounds) {
    return refuse(problem('ROUND_UNKNOWN', { job: state.id, round }));
  }
  if (earlier?.declaration.key.attempt === attempt)
    return refuse(problem('UPDATE_CONFLICT', { round, attempt }));
  if (state.ended) return refuse(problem('JOB_ENDED', { job: state.id, state: state.ended.outcome }));
  const untimely = buffering
    ? bufferObjection(state, buffering.stalenessMax, declaration)
    : roundObjection(state, declaration);
  if (untimely) return refuse(untimely);
  if (earlier) return refuse(problem('UPDATE_CONFLICT', { round, attempt }));
  if (!buffering && !state.participants.has(key.site))
    return refuse(problem('OUTSIDE_COHORT', { site: key.site, round, attempt }));
  const unprobed = probeLack(state, key.site);
  if (unprobed) return refuse(unprobed);
  const baseVersion = buffering ? round - 1 : state.version;
  const baseDigest = versionDigest(state, baseVersion);
  if (declaration.baseVersion !== baseVersion || declaration.baseDigest !== baseDigest) {
    return refuse(
      problem('UPDATE_BASE_MISMATCH', {
        theirs: `version ${declaration.baseVersion} (${declaration.baseDigest})`,
        ours: `version ${baseVersion} (${baseDigest})`,
      }),
    );
  }
  const { sampleCount } = declaration;
  if (!Number.isSafeInteger(sampleCount) || sampleCount < 1 || sampleCount > state.spec.sampleCountMax) {
    return refuse(problem('SAMPLE_COUNT_INVALID', { value: sampleCount, limit: state.spec.sampleCountMax }));
  }
  const encoding = encodingRefusal(state.spec, state.manifest, declaration.encoding);
  if (encoding) return refuse(encoding);
  const misshaped =
    shapeFault(state, declaration) ??
    versionFault(state, declaration) ??
    metricsFault(declaration.metrics) ??
    lossFault(state, declaration) ??
    normFault(state, declaration);
  return misshaped === undefined
    ? { verdict: 'take' }
    : refuse(problem('UPDATE_MISSHAPED', { reason: misshaped }));
}

/** Why a job that works in synchronous rounds does not take updates of this round and attempt now. */
function roundObjection(
  { round: currentRound, attempt: currentAttempt, phase }: JobState,
  { key: { round, attempt } }: UpdateDeclaration,
): Problem | undefined {
  if (round !== currentRound || attempt !== currentAttempt)
    return problem('UPDATE_STALE', { round, attempt, currentRound, currentAttempt });
  return phase === 'working' ? undefined : problem('UPDATE_LATE', { round });
}

/**
 * Why an asynchronous job cannot take an update now: it takes what it asked the site for, in whatever phase it is, until
 * too many versions were committed or none is left to come.
 */
function bufferObjection(
  state: JobState,
  stalenessMax: number,
  { key: { site, round, attempt } }: UpdateDeclaration,
): Problem | undefined {
  const filling = fillingRound(state);
  if (filling > state.spec.rounds) return problem('UPDATE_LATE', { round });
  const staleness = filling - round;
  if (staleness > stalenessMax) return problem('UPDATE_TOO_STALE', { round, staleness, limit: stalenessMax });
  const asked = state.outstanding.get(site);
  if (!asked) return problem('OUTSIDE_COHORT', { site, round, attempt });
  if (asked.round === round && asked.attempt === attempt) return undefined;
  const { round: currentRound, attempt: currentAttempt } = asked;
  return problem('UPDATE_STALE', { round, attempt, currentRound, currentAttempt });
}

function shapeFault(
  state: JobState,
  { manifest, encoding, payloadBytes: declared, chunkBytes }: UpdateDeclaration,
) {
  const difference = manifestDifference(state.manifest, manifest);
  if (difference !== undefined) return difference;
  const expected = encodedBytes(state.manifest, encoding);
  if (declared !== expected) return `it declares ${declared} bytes; the manifest makes ${expected}`;
  if (
    !Number.isSafeInteger(chunkBytes) ||
    chunkBytes < 4 ||
    chunkBytes % 4 !== 0 ||
    chunkBytes > CHUNK_BYTES_MAX
  ) {
    return `chunks of ${chunkBytes} bytes; a multiple of 4 up to ${CHUNK_BYTES_MAX} is needed`;
  }
  return undefined;
}

/** Zeros of a trainer that lacks tensors must not pass for "unchanged", nor those of one that has them for a lack. */
function versionFault(
  { spec, online }: JobState,
  { key, schemaVersion }: UpdateDeclaration,
): string | undefined {
  const lacked = lackedTensors(spec, schemaVersion).length;
  if (schemaVersion !== undefined) {
    if (!spec.weightSchema || lacked === 0)
      return `it is said to be of version ${schemaVersion}, which lacks nothing`;
    const fault =
      otherMajor(spec.weightSchema.version, schemaVersion) ?? earlierVersionFault(spec, schemaVersion);
    if (fault !== undefined) return fault;
  }
  const stated = earlierVersion(spec, online.get(key.site)?.trainers ?? []);
  if (lackedTensors(spec, stated).length <= lacked) return undefined;
  return `its trainer is of version ${stated}, and the update is said to hold tensors that came later`;
}

/** Tensors of another MAJOR have other meanings, whatever is zero. */
function otherMajor(own: string, declared: string): string | undefined {
  if (parseVersion(own)?.major === parseVersion(declared)?.major) return undefined;
  return `it is said to be of version ${declared}, which is of another MAJOR than ${own}`;
}

/** q-FedAvg weighs each update by how the base version does at its site. */
function lossFault({ spec }: JobState, { metrics }: UpdateDeclaration): string | undefined {
  if (!needsBaseLoss(spec.strategy)) return undefined;
  const loss = metrics[BASE_LOSS];
  if (loss !== undefined && loss >= 0) return undefined;
  return `strategy ${spec.strategy.name} needs the metric ${BASE_LOSS}, the mean training loss of the base version`;
}

/** A norm that no update of this job can have is refused before its bytes come. */
function normFault({ spec, manifest }: JobState, { norm = 0 }: UpdateDeclaration): string | undefined {
  const most = new ElementBounds(spec.updateBound, manifest).normMax * (1 + 2 ** -20);
  return norm >= 0 && norm <= most ? undefined : `it declares the norm ${norm}; 0 to ${most} are possible`;
}

/** The site's accepted update that a round asked for, current or past. */
function heldUpdate(state: JobState, site: SiteId, round: number): AcceptedUpdate | undefined {
  const sought = ({ declaration: { key } }: AcceptedUpdate) => key.site === site && key.round === round;
  const current = state.accepted.get(site);
  if (current && sought(current)) return current;
  // In an asynchronous job it may count in a later round than it was asked for in.
  const most = bufferingOf(state.spec.strategy)?.stalenessMax ?? 0;
  const committed = state.history.slice(Math.max(0, round - 1), Math.max(0, round + most));
  return committed.flatMap(({ updates }) => updates).find(sought);
}

function sameWeight(left: UpdateDeclaration, right: UpdateDeclaration): boolean {
  return (
    left.sampleCount === right.sampleCount &&
    left.baseDigest === right.baseDigest &&
    left.schemaVersion === right.schemaVersion
  );
}
