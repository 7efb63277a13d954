import { ConsiliumError, type Problem, problem } from '../errors/problem.ts';
import type { Clock } from '../ports/clock.ts';
import type { Random } from '../ports/random.ts';
import type { Telemetry } from '../ports/telemetry.ts';
import type { HeardMessage, Presence, Progress, SiteMessage } from '../rounds/assignment.ts';
import type { EpochMs } from '../vocabulary/ids.ts';
import { Backoff } from './backoff.ts';
import { problemOf } from './insist.ts';
import type { Ledger } from './ledger.ts';
import { noteMessage } from './ledger-notes.ts';
import type { Attending, Link, Session } from './link.ts';
import { orAborted, pause } from './pause.ts';
import { SkewWatch } from './skew-watch.ts';

/** Heartbeats that may go unanswered before a connection counts as dead. */
const UNANSWERED_MAX = 3;
/** What a stream that takes nothing any more gets to say why. */
const LAST_WORD_MS = 1000;

/**
 * Problems that trying again cannot cure: someone has to act first. All of them are found here, or are the word of a
 * coordinator that has proved itself: nothing that another one in its place can bring about ends a participant, such as
 * COORDINATOR_UNTRUSTED or REFUSAL_UNPROVEN.
 */
const FOR_GOOD: ReadonlySet<string> = new Set([
  'PROTOCOL_VERSION_UNSUPPORTED',
  'IDENTITY_INVALID',
  'FEDERATION_MISMATCH',
  'SITE_UNKNOWN',
  'SITE_REVOKED',
  'SITE_IMPERSONATED',
  'PLAINTEXT_REFUSED',
  'CHANNEL_OFF_REFUSED',
  'CONFIG_INVALID',
]);

/** Problems that will hardly pass by themselves, though there is no knowing who is behind them. */
const NEEDS_ATTENTION: ReadonlySet<string> = new Set([
  'COORDINATOR_UNTRUSTED',
  'COORDINATOR_REVOKED',
  'REVOCATION_LIST_REFUSED',
  'REFUSAL_UNPROVEN',
  'CHANNEL_MISMATCH',
  'CHANNEL_BINDING_MISMATCH',
]);

/** Problems after which no stream of the session can be opened any more. */
const SESSION_OVER: ReadonlySet<string> = new Set([
  'SESSION_UNKNOWN',
  'CHANNEL_KEYS_OLD',
  'CERTIFICATE_REVOKED',
]);

/** What a connection needs of the site. */
export interface ConnectionParts {
  readonly link: Link;
  readonly clock: Clock;
  readonly random: Random;
  readonly telemetry: Telemetry;
  readonly ledger: Ledger;
  /** What the site offers, asked anew for each connection. */
  readonly presence: () => Promise<Presence>;
  /** How far the site's work is, asked for each heartbeat. */
  readonly progress: () => readonly Progress[];
  readonly reference: () => string;
  /** The stream is up and presence has been said. */
  readonly onConnected: () => void;
  /** Everything that the coordinator says, in order, but for what concerns the connection itself. */
  readonly onMessage: (message: HeardMessage) => void;
}

interface Up {
  readonly session: Session;
  readonly attending: Attending;
  /** Ends this connection; another one follows. */
  readonly drop: (reason: Problem) => void;
  /** Aborts when the connection ends. */
  readonly ending: AbortSignal;
}

/**
 * Keeps the site connected: dials, says what it offers, sends heartbeats, and dials again, for as long as it runs.
 * Whatever it says is in the ledger first.
 */
export class Connection {
  readonly #parts: ConnectionParts;
  readonly #waiting = new Set<(session: Session) => void>();
  readonly #skew: SkewWatch;
  #up: Up | undefined;
  #dialNoted = false;

  constructor(parts: ConnectionParts) {
    this.#parts = parts;
    this.#skew = new SkewWatch(parts.telemetry);
  }

  /** Resolves when `signal` aborts. Rejects with the problem for which there is no use in dialling again. */
  async run(signal: AbortSignal): Promise<void> {
    const { clock, random, telemetry, link, reference } = this.#parts;
    const backoff = new Backoff(random);
    while (!signal.aborted) {
      let reason: Problem | undefined;
      try {
        reason = await this.#attend(signal, backoff);
      } catch (error) {
        reason = problemOf(error, reference);
        if (reason.code === 'INTERNAL')
          telemetry.log('error', 'the connection failed', { problem: reason, error });
      }
      if (signal.aborted) return;
      if (reason && FOR_GOOD.has(reason.code)) throw new ConsiliumError(reason);
      const delayMs = backoff.next();
      telemetry.count('consilium_reconnects_total', { code: reason?.code ?? 'ENDED' });
      const level = reason && NEEDS_ATTENTION.has(reason.code) ? 'error' : 'warn';
      telemetry.log(level, 'not connected; trying again', {
        address: link.address,
        problem: reason,
        delayMs,
      });
      await pause(clock, delayMs, signal);
    }
  }

  /** The session, as soon as there is one. Rejects with the signal's reason. */
  session(signal: AbortSignal): Promise<Session> {
    if (this.#up) return Promise.resolve(this.#up.session);
    let arrived!: (session: Session) => void;
    const session = new Promise<Session>((resolve) => {
      arrived = resolve;
      this.#waiting.add(resolve);
    });
    return orAborted(session, signal).finally(() => this.#waiting.delete(arrived));
  }

  /** A transfer of `session` failed: one that the coordinator serves no more is of no use to the others either. */
  doubt(session: Session, reason: Problem): void {
    if (SESSION_OVER.has(reason.code) && this.#up?.session === session) this.drop(reason);
  }

  /** Ends the present connection; another one follows after a pause. */
  drop(reason: Problem): void {
    this.#up?.drop(reason);
  }

  /**
   * Says something, after noting it in the ledger. While there is no connection nothing is said: what matters is
   * said again on the next one. Never rejects; what cannot be noted is not said, and the connection begins anew.
   */
  async say(message: SiteMessage): Promise<void> {
    const up = this.#up;
    if (up) await this.#sayOn(up, message);
  }

  async #sayOn(up: Up, message: SiteMessage): Promise<void> {
    const { ledger, link, clock, reference } = this.#parts;
    try {
      await noteMessage(ledger, { to: link.address, coordinator: up.session.coordinator.keyId }, message);
      await orAborted(up.attending.say(message), up.ending);
    } catch (error) {
      // Why a stream is over (the site was revoked, say) counts for more than the message that failed for it.
      if (!(error instanceof ConsiliumError)) {
        await Promise.race([up.attending.ended, pause(clock, LAST_WORD_MS, up.ending)]);
      }
      up.drop(problemOf(error, reference));
    }
  }

  async #attend(signal: AbortSignal, backoff: Backoff): Promise<Problem | undefined> {
    const { link, ledger, presence, clock } = this.#parts;
    if (!this.#dialNoted) {
      await ledger.note({ to: link.address, kind: 'session', bytes: 0 });
      this.#dialNoted = true;
    }
    const session = await link.open(signal);
    this.#dialNoted = false;
    const ending = new AbortController();
    let dropped: Problem | undefined;
    const drop = (reason: Problem) => {
      dropped ??= reason;
      ending.abort();
    };
    const beats = new Heartbeats(this.#skew, clock);
    // Answers to what comes while presence is still on its way would overtake it.
    let early: HeardMessage[] | undefined = [];
    try {
      const attending = await session.attend((message) => {
        if (ending.signal.aborted) return;
        // A session stands once the coordinator has said anything in it but that it is over.
        if (message.kind !== 'problem') backoff.reset();
        if (message.kind === 'heartbeat-seen') beats.seen(message.coordinatorTime);
        else if (message.kind === 'problem') drop(message.problem);
        else if (early) early.push(message);
        else this.#parts.onMessage(message);
      });
      const up: Up = { session, attending, drop, ending: ending.signal };
      const stop = () => ending.abort();
      signal.addEventListener('abort', stop, { once: true });
      if (signal.aborted) stop();
      void attending.ended.then((reason) => drop(reason ?? problem('SHUTTING_DOWN')));
      try {
        await this.#sayOn(up, { kind: 'presence', presence: await presence() });
        if (!ending.signal.aborted) {
          this.#begin(up);
          const held = early;
          early = undefined;
          held.forEach(this.#parts.onMessage);
        }
        await this.#beat(up, beats);
      } finally {
        signal.removeEventListener('abort', stop);
      }
    } finally {
      this.#up = undefined;
      await session.close();
    }
    return dropped;
  }

  #begin(up: Up): void {
    const { telemetry, link, onConnected } = this.#parts;
    this.#up = up;
    const { coordinator, heartbeatMs } = up.session;
    telemetry.log('info', 'connected', {
      address: link.address,
      coordinatorKeyId: coordinator.keyId,
      heartbeatMs,
    });
    for (const arrived of this.#waiting) arrived(up.session);
    onConnected();
  }

  /** Sends heartbeats until the connection ends. */
  async #beat(up: Up, beats: Heartbeats): Promise<void> {
    const { clock, progress, link } = this.#parts;
    while (!up.ending.aborted) {
      if (beats.unanswered >= UNANSWERED_MAX) {
        const reason = `${beats.unanswered} heartbeats were not answered`;
        up.drop(problem('COORDINATOR_UNREACHABLE', { address: link.address, reason }));
        return;
      }
      beats.sent();
      // Not waited for: a network that takes nothing any more is found out by its silence.
      void this.#sayOn(up, { kind: 'heartbeat', sentAt: clock.now(), progress: progress() });
      await pause(clock, up.session.heartbeatMs, up.ending);
    }
  }
}

/** Pairs heartbeats with their answers. */
class Heartbeats {
  readonly #skew: SkewWatch;
  readonly #clock: Clock;
  readonly #sentAt: EpochMs[] = [];

  constructor(skew: SkewWatch, clock: Clock) {
    this.#skew = skew;
    this.#clock = clock;
  }

  get unanswered(): number {
    return this.#sentAt.length;
  }

  sent(): void {
    this.#sentAt.push(this.#clock.now());
  }

  seen(coordinatorTime: EpochMs): void {
    const sentAt = this.#sentAt.shift();
    if (sentAt !== undefined) this.#skew.measure(sentAt, coordinatorTime, this.#clock.now());
  }
}
