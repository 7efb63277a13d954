import { type Problem, problem } from '../errors/problem.ts';
import type { Clock } from '../ports/clock.ts';
import type { SignatureVerifier } from '../ports/signer.ts';
import type { RevocationListBytes } from '../protocol/open-codec.ts';
import type { EpochMs } from '../vocabulary/ids.ts';
import { CLOCK_SKEW_LIMIT_MS } from './identity.ts';
import { checkRevocationList, type ListAuthority, type RevocationList } from './revocation-list.ts';

/** What a watch stands on. */
export interface RevocationWatchParts {
  readonly verifiers: readonly SignatureVerifier[];
  readonly clock: Clock;
  /** Milliseconds since some moment, of a clock that nobody sets; that of the process unless said. */
  readonly elapsedMs?: (() => number) | undefined;
  /** The list that was held before, signature and all; it may have run out. */
  readonly held?: RevocationList | undefined;
  /** Makes a list durable; what it rejects with goes to whoever had it heeded. */
  readonly keep?: ((list: RevocationListBytes) => Promise<void>) | undefined;
}

/**
 * What a dialling end knows of revoked certificates. It takes the authority's word alone, in force, and never a step back:
 * a list that leaves out what an earlier one had is refused, whoever shows it.
 */
export class RevocationWatch {
  readonly #parts: RevocationWatchParts;
  readonly #elapsedMs: () => number;
  /** A time that it was at least, and what had elapsed then. */
  #least: { readonly time: EpochMs; readonly elapsedMs: number } | undefined;
  #held: RevocationList | undefined;
  #revoked: ReadonlySet<string> = new Set();
  #turn: Promise<unknown> = Promise.resolve();

  constructor(parts: RevocationWatchParts) {
    this.#parts = parts;
    this.#elapsedMs = parts.elapsedMs ?? (() => performance.now());
    if (parts.held) this.#hold(parts.held);
  }

  /** Whether a certificate is known to be revoked, by its serial. */
  isRevoked(serial: string): boolean {
    return this.#revoked.has(serial);
  }

  /**
   * Takes a list of `authority`, durably where it is newer than the one held. REVOCATION_LIST_REFUSED where it is not
   * signed, not in force, or goes back behind the one held. Rejects where one that names another certificate cannot be kept.
   */
  heed(list: RevocationListBytes, authority: ListAuthority): Promise<Problem | undefined> {
    const turn = this.#turn.then(() => this.#heed(list, authority));
    this.#turn = turn.catch(() => {});
    return turn;
  }

  async #heed(bytes: RevocationListBytes, authority: ListAuthority): Promise<Problem | undefined> {
    const { verifiers, keep } = this.#parts;
    const checked = await checkRevocationList(bytes, authority, verifiers);
    const fault = checked.ok ? this.#fault(checked.value) : checked.refusal;
    if (fault !== undefined || !checked.ok) return problem('REVOCATION_LIST_REFUSED', { reason: `${fault}` });
    const list = checked.value;
    if (this.#held && list.number === this.#held.number && list.issuedAt <= this.#held.issuedAt)
      return undefined;
    const news = list.revoked.some(({ serial }) => !this.#revoked.has(serial));
    try {
      await keep?.(bytes);
    } catch (cause) {
      // A list that says nothing new need not be found again.
      if (news) throw cause;
    }
    this.#hold(list);
    return undefined;
  }

  #fault({ number, issuedAt, nextUpdate, revoked }: RevocationList): string | undefined {
    const own = this.#parts.clock.now();
    const now = Math.max(own, this.#leastNow());
    const at = (time: number) => new Date(time).toISOString();
    if (issuedAt - own > nextUpdate - issuedAt)
      return `it is of ${at(issuedAt)}, which is still to come here`;
    if (now - nextUpdate > CLOCK_SKEW_LIMIT_MS) {
      return `it ran out at ${at(nextUpdate)}, and a coordinator in order has a newer one`;
    }
    const held = this.#held;
    if (!held) return undefined;
    if (number < held.number) return `it has number ${number}, and number ${held.number} was shown before`;
    const serials = new Set(revoked.map(({ serial }) => serial));
    const missing = held.revoked.find(({ serial }) => !serials.has(serial));
    return missing && `it leaves out certificate ${missing.serial}, which was revoked`;
  }

  /**
   * The time that it is at least, whatever the clock of the site says: a list is no older than the authority's word of when it was
   * signed. A slow clock so makes no list last longer than from its signing to its arrival here. The coordinator's own word
   * of the time would not do: the one that shows an old list may be the one that was revoked.
   */
  #leastNow(): EpochMs {
    return this.#least ? this.#least.time + (this.#elapsedMs() - this.#least.elapsedMs) : 0;
  }

  #hold(list: RevocationList): void {
    this.#held = list;
    if (list.issuedAt > this.#leastNow()) {
      this.#least = { time: list.issuedAt, elapsedMs: this.#elapsedMs() };
    }
    this.#revoked = new Set(list.revoked.map(({ serial }) => serial));
  }
}
