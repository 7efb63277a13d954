import type { Telemetry } from '../ports/telemetry.ts';
import type { Fate, HeldUpdate } from '../rounds/site.ts';
import { problemOf } from './insist.ts';
import { claimOf, fateOf, type UploadParts } from './upload.ts';
import type { WorkParts } from './work.ts';

/** What asking for receipts needs of the site. */
export interface ClaimParts extends UploadParts {
  readonly telemetry: Telemetry;
  readonly reference: () => string;
}

/**
 * Asks for the receipt of a held update that has a claim, and keeps it with what is current from then on. Insists until there is
 * an answer; undefined where there is none for good, or the signal aborted: then the next process asks again.
 */
export async function claimReceipt(
  parts: ClaimParts,
  insist: WorkParts['insist'],
  update: HeldUpdate,
  signal: AbortSignal,
): Promise<Fate | undefined> {
  const { telemetry, reference } = parts;
  const { job, round, digest } = update;
  const about = { job, round, digest };
  const declaration = claimOf(parts, update);
  try {
    const fate = await insist(async (session) => fateOf(parts, declaration, await session(), signal), signal);
    if (fate === 'in') {
      await parts.variates.accept(update);
      await parts.feedback.accepted(update);
    }
    telemetry.count('consilium_receipts_claimed_total', { fate });
    telemetry.log('info', 'asked for the receipt of an update', { ...about, fate });
    return fate;
  } catch (error) {
    if (signal.aborted) return undefined;
    const problem = problemOf(error, reference);
    telemetry.log('warn', 'the receipt of an update could not be had', { ...about, problem, error });
    return undefined;
  }
}
