import type { Problem } from '../errors/problem.ts';
import type { Clock } from '../ports/clock.ts';
import type { Random } from '../ports/random.ts';
import type { Assignment } from '../rounds/assignment.ts';
import type { HeldUpdate, SiteEvent } from '../rounds/site.ts';
import { type ClaimParts, claimReceipt } from './claims.ts';
import type { Connection } from './connection.ts';
import { insist, problemOf } from './insist.ts';
import type { Session } from './link.ts';
import { askFate, outgoing, sendUpdate } from './upload.ts';
import { failure, type WorkParts } from './work.ts';

/** What bringing updates to the coordinator needs of the site. */
export interface DeliveryParts extends ClaimParts {
  readonly connection: () => Connection;
  readonly clock: Clock;
  readonly random: Random;
}

/** Brings held updates to the coordinator, and finds out what became of them, over as many sessions as it takes. */
export class UpdateDelivery {
  readonly #parts: DeliveryParts;

  constructor(parts: DeliveryParts) {
    this.#parts = parts;
  }

  /**
   * Sends a held update until the coordinator has it, or will never take it, and gives what came of it; undefined where the
   * signal aborts.
   */
  async upload(
    assignment: Assignment,
    update: HeldUpdate,
    signal: AbortSignal,
  ): Promise<SiteEvent | undefined> {
    const { telemetry, reference } = this.#parts;
    const { id, job, round, attempt } = assignment;
    const about = { assignment: id, job, round, attempt };
    const out = outgoing(this.#parts, assignment, update);
    try {
      await this.insist(about)(
        async (session, moved) => sendUpdate(this.#parts, out, await session(), signal, moved),
        signal,
      );
    } catch (error) {
      if (signal.aborted) return undefined;
      const problem = problemOf(error, reference);
      telemetry.count('consilium_uploads_failed_total', { code: problem.code });
      const level = OVERTAKEN.has(problem.code) ? 'warn' : 'error';
      telemetry.log(level, 'the update was not taken', { ...about, problem, error });
      return uploadFailed(assignment, problem);
    }
    telemetry.count('consilium_updates_receipted_total');
    telemetry.log('info', 'the update is in', { ...about, bytes: out.declaration.payloadBytes });
    return { kind: 'receipted', assignment: id };
  }

  /** Asks for the receipt of an update that is over; undefined where there is no answer for good. */
  async claim(update: HeldUpdate, signal: AbortSignal): Promise<SiteEvent | undefined> {
    const { job, round } = update;
    const fate = await claimReceipt(this.#parts, this.insist({ job, round }), update, signal);
    return fate && { kind: 'answered', update, fate };
  }

  /** Finds out what became of earlier updates of a job before the next one goes on from their residuals. */
  async settleFates(
    assignment: Assignment,
    insisting: WorkParts['insist'],
    signal: AbortSignal,
  ): Promise<void> {
    for (const open of await this.#parts.feedback.open(assignment.job, assignment.round)) {
      await insisting(
        async (session) => askFate(this.#parts, assignment, open, await session(), signal),
        signal,
      );
    }
  }

  /** A way to try something that needs a session until it comes to an end; `about` is what the log says of it. */
  insist(about: object): WorkParts['insist'] {
    const { clock, random, telemetry, connection } = this.#parts;
    return (attempt, signal) => {
      let session: Session | undefined;
      const open = async () => {
        session = await connection().session(signal);
        return session;
      };
      return insist((moved) => attempt(open, moved), {
        clock,
        random,
        signal,
        onRetry: (problem, delayMs) => {
          if (session) connection().doubt(session, problem);
          telemetry.count('consilium_transfer_retries_total', { code: problem.code });
          telemetry.log('warn', 'a transfer was interrupted; trying again', { ...about, problem, delayMs });
        },
      });
    };
  }
}

/** The coordinator went on without the update, which is nobody's fault. */
const OVERTAKEN: ReadonlySet<string> = new Set(['UPDATE_LATE', 'UPDATE_STALE', 'UPDATE_TOO_STALE']);

/** A damaged copy of the site's own is a failure of its work; everything else is the coordinator's refusal. */
function uploadFailed({ id }: Assignment, problem: Problem): SiteEvent {
  return problem.code === 'STORE_CORRUPT' || problem.code === 'INTERNAL'
    ? { kind: 'worked', assignment: id, result: failure(problem) }
    : { kind: 'refused', assignment: id, problem };
}
