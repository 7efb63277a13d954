import { ConsiliumError, fail } from '../errors/problem.ts';
import type { Assignment } from '../rounds/assignment.ts';
import { exchangedManifest } from '../rounds/job.ts';
import type { Fate, HeldUpdate } from '../rounds/site.ts';
import type { UpdateDeclaration } from '../rounds/update.ts';
import { payloadEncodingOf } from '../rounds/update-encoding.ts';
import type { Attempt, SiteId } from '../vocabulary/ids.ts';
import { invariant } from '../vocabulary/invariant.ts';
import type { Manifest } from '../weights/manifest.ts';
import type { ControlVariates } from './control-variates.ts';
import type { ErrorFeedback, OpenUpdate } from './error-feedback.ts';
import type { HeldUpdates } from './held-updates.ts';
import type { Ledger } from './ledger.ts';
import type { Session } from './link.ts';
import type { ProgressBoard } from './progress-board.ts';
import type { Receipts } from './receipts.ts';

/** What sending an update needs of the site. */
export interface UploadParts {
  readonly site: SiteId;
  readonly address: string;
  readonly updates: HeldUpdates;
  readonly ledger: Ledger;
  readonly receipts: Receipts;
  readonly feedback: ErrorFeedback;
  readonly variates: ControlVariates;
  readonly progress: ProgressBoard;
}

/** An update on its way out. What is said of it was read while it was held: a commit may discard it meanwhile. */
export interface Outgoing {
  readonly assignment: Assignment;
  readonly update: HeldUpdate;
  readonly declaration: UpdateDeclaration;
}

/** What a site says of an update that it holds, under the assignment that asks for it. */
export function outgoing(
  { site, updates }: Pick<UploadParts, 'site' | 'updates'>,
  assignment: Assignment,
  update: HeldUpdate,
): Outgoing {
  const { attempt, spec } = assignment;
  const declaration = declarationOf({ site, updates }, update, attempt, exchangedManifest(spec));
  return { assignment, update, declaration };
}

/** What a site says of an update that it holds, to ask for its receipt. */
export function claimOf(parts: Pick<UploadParts, 'site' | 'updates'>, update: HeldUpdate): UpdateDeclaration {
  invariant(update.claim, 'only what can be declared is claimed');
  return declarationOf(parts, update, update.claim.attemptsMax, update.claim.manifest);
}

function declarationOf(
  { site, updates }: Pick<UploadParts, 'site' | 'updates'>,
  update: HeldUpdate,
  attempt: Attempt,
  manifest: Manifest,
): UpdateDeclaration {
  const cut = updates.cut(update);
  invariant(cut, 'an update is held as long as it is declared');
  return {
    key: { job: update.job, round: update.round, attempt, site },
    baseVersion: update.baseVersion,
    baseDigest: update.baseDigest,
    sampleCount: update.sampleCount,
    manifest,
    ...(update.encoding && { encoding: update.encoding }),
    ...cut,
    digest: update.digest,
    metrics: update.metrics,
    backend: update.backend,
    ...(update.schemaVersion !== undefined && { schemaVersion: update.schemaVersion }),
    norm: update.norm,
  };
}

/**
 * Sends an update once, from the first chunk that the coordinator lacks, and keeps the receipt, with which the control
 * variate that belongs to it is current. What leaves is in the
 * ledger before it leaves. `moved` is told of every chunk that went out.
 * Rejects with the coordinator's problem; with UPDATE_LATE where chunks are asked for that were discarded when their
 * round was over; with STORE_CORRUPT where the site's own copy is damaged; and with RECEIPT_INVALID where the receipt
 * does not hold.
 */
export async function sendUpdate(
  { address, updates, ledger, receipts, feedback, variates, progress }: UploadParts,
  { assignment, update, declaration }: Outgoing,
  session: Session,
  signal: AbortSignal,
  moved: () => void,
): Promise<void> {
  const { payloadBytes, chunkBytes } = declaration;
  const { job, round, attempt } = assignment;
  const about = { to: address, coordinator: session.coordinator.keyId, job, round, attempt };
  const { manifest: _, ...content } = declaration;
  await ledger.noteContent({ ...about, kind: 'declaration', content });

  let damage: unknown;
  async function* chunks(from: number): AsyncGenerator<Uint8Array> {
    let sent = Math.min(from * chunkBytes, payloadBytes);
    progress.set(assignment.id, 'uploading', share(sent, payloadBytes), { bytes: sent });
    if (sent < payloadBytes) {
      const bytes = payloadBytes - sent;
      await ledger.note({
        ...about,
        kind: 'update',
        bytes,
        digest: update.digest,
        ...(from > 0 && { fromChunk: from }),
      });
    }
    try {
      for await (const chunk of updates.chunks(update, declaration, from)) {
        signal.throwIfAborted();
        // Discarded meanwhile: its round is over.
        if (!updates.cut(update)) fail('UPDATE_LATE', { round });
        yield chunk;
        moved();
        sent += chunk.byteLength;
        progress.set(assignment.id, 'uploading', share(sent, payloadBytes), { bytes: sent });
      }
    } catch (error) {
      if (error instanceof ConsiliumError) damage = error;
      throw error;
    }
  }

  progress.set(assignment.id, 'uploading', 0);
  const receipt = await session.upload(declaration, chunks, signal).catch(async (error: unknown) => {
    const gone = !updates.cut(update);
    if (damage && gone) fail('UPDATE_LATE', { round }, error);
    if (damage) throw damage;
    const mismatch = error instanceof ConsiliumError && error.problem.code === 'PAYLOAD_DIGEST_MISMATCH';
    if (mismatch && !gone && !(await updates.intact(update, declaration))) {
      fail('STORE_CORRUPT', { what: `the update of round ${round}` }, error);
    }
    throw error;
  });
  await receipts.keep(receipt, declaration, session.coordinator);
  await variates.accept(update);
  await feedback.accepted(update);
}

/** What a coordinator says to a declaration of an earlier round, unless it holds the very update. */
const NOT_HELD = /^(?:UPDATE_|OUTSIDE_COHORT$|ROUND_UNKNOWN$|JOB_ENDED$)/;

/** Whether an update is in that the site has let go of; see `fateOf`. */
export async function isIn(...asked: Parameters<typeof fateOf>): Promise<boolean> {
  return (await fateOf(...asked)) === 'in';
}

/**
 * Declares an update once more without sending it: whoever holds it answers with its receipt, which is kept, anyone
 * else with a problem. Rejects with what may pass.
 */
export async function fateOf(
  { address, ledger, receipts }: Pick<UploadParts, 'address' | 'ledger' | 'receipts'>,
  declaration: UpdateDeclaration,
  session: Session,
  signal: AbortSignal,
): Promise<Fate> {
  const { manifest: _, ...content } = declaration;
  const { job, round } = declaration.key;
  const about = { to: address, coordinator: session.coordinator.keyId, job, round };
  await ledger.noteContent({ ...about, kind: 'declaration', content });
  // biome-ignore lint/correctness/useYield: there is nothing to send any more.
  async function* nothing(): AsyncGenerator<Uint8Array> {
    fail('UPDATE_LATE', { round });
  }
  const receipt = await session.upload(declaration, nothing, signal).catch((error: unknown) => {
    if (!(error instanceof ConsiliumError) || !NOT_HELD.test(error.problem.code)) throw error;
    return error.problem.code === 'JOB_ENDED' ? 'over' : 'out';
  });
  if (typeof receipt === 'string') return receipt;
  await receipts.keep(receipt, declaration, session.coordinator);
  return 'in';
}

/** Finds out whether an encoded update was accepted of which that is not known, and with it what it left behind. */
export async function askFate(
  parts: Omit<UploadParts, 'updates' | 'variates' | 'progress'>,
  { job, spec }: Assignment,
  { round, digest, ...said }: OpenUpdate,
  session: Session,
  signal: AbortSignal,
): Promise<void> {
  const manifest = exchangedManifest(spec);
  const encoding = payloadEncodingOf(spec, manifest);
  // Receipts of any attempt will do.
  const key = { job, round, attempt: spec.attemptsMax, site: parts.site };
  const declaration: UpdateDeclaration = {
    ...{ key, digest, ...said, ...(encoding && { encoding }), metrics: {}, backend: '', manifest },
  };
  const named = { job, round, digest };
  if (await isIn(parts, declaration, session, signal)) await parts.feedback.accepted(named);
  else await parts.feedback.refused(named);
}

function share(sent: number, of: number): number {
  return of === 0 ? 1 : sent / of;
}
