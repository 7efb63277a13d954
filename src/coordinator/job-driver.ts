import type { UpdateStatistics } from '../aggregation/update-measure.ts';
import { type Problem, problem } from '../errors/problem.ts';
import type { Cancel, Clock } from '../ports/clock.ts';
import type { Journal, JournalStore } from '../ports/journal.ts';
import type { Telemetry } from '../ports/telemetry.ts';
import type { CoordinatorMessage, Presence } from '../rounds/assignment.ts';
import type { Aggregation, Effects, JobEvent } from '../rounds/job-event.ts';
import type { JobRecord } from '../rounds/job-record.ts';
import { type JobState, recover } from '../rounds/job-state.ts';
import { wakeAt } from '../rounds/patience.ts';
import { step } from '../rounds/step.ts';
import type { Receipt } from '../rounds/update.ts';
import type { Digest } from '../vocabulary/digest.ts';
import type { JobId, SiteId } from '../vocabulary/ids.ts';
import { invariant } from '../vocabulary/invariant.ts';
import { type Result, refused } from '../vocabulary/result.ts';
import { decodeRecord, encodeRecord } from './record-codec.ts';

/** What a driver needs of the world. */
export interface DriverPorts {
  readonly clock: Clock;
  readonly journals: JournalStore;
  readonly telemetry: Telemetry;
  /** Sends a message to a site, if it is connected. */
  readonly say: (site: SiteId, message: CoordinatorMessage) => void;
  /** Sites that are connected now. */
  readonly online: () => ReadonlyMap<SiteId, Presence>;
  /** Sums the updates onto the job's current version and stores the result durably as version `round`. */
  readonly aggregate: (state: JobState, aggregation: Aggregation) => Promise<Aggregated>;
  /** Destroys the key of a scope of staged updates, and discards them; best effort, and done again at the next start. */
  readonly forget: (job: JobId, scope: string) => Promise<void>;
  /** Called after every step, for whoever watches. */
  readonly changed: (state: JobState, records: readonly JobRecord[]) => void;
}

/** The outcome of an aggregation. */
export type Aggregated =
  | {
      readonly kind: 'stored';
      readonly digest: Digest;
      /** Payload digest of the model alone, where more than the model was stored. */
      readonly modelDigest?: Digest | undefined;
      /** The sites whose updates were combined, and what is known of each. */
      readonly contributors: readonly SiteId[];
      readonly statistics: readonly UpdateStatistics[];
    }
  | { readonly kind: 'damaged'; readonly problem: Problem; readonly culprits: readonly SiteId[] };

/** The journal of one job. */
export function journalName(job: JobId): string {
  return `job-${job}`;
}

const RETRY_MS_MIN = 100;
const RETRY_MS_MAX = 10_000;

/**
 * Drives one job: events go through `step` one at a time, and the effects of each are carried out in order before
 * the next event is looked at. State changes only after its records are durable. When the journal fails, the job
 * is read back from it, because what a failed append left behind is unknown; nothing that was accepted is lost.
 */
export class JobDriver {
  private readonly ports: DriverPorts;
  private readonly journal: () => Promise<Journal>;
  private open: Journal;
  private current: JobState;
  private queue: Promise<unknown> = Promise.resolve();
  private alarm: Cancel | undefined;
  /** Ends when no sum is under way: two of one round would write the same version. */
  private summing: Promise<void> = Promise.resolve();
  /** The sum that was asked for last; none before it counts any more. */
  private wanted: Aggregation | undefined;
  private closed = false;

  private constructor(ports: DriverPorts, job: JobId, open: Journal, state: JobState) {
    this.ports = ports;
    this.journal = () => ports.journals.open(journalName(job));
    this.open = open;
    this.current = state;
  }

  /** Begins a new job: its first record is durable when this resolves. */
  static async submit(
    ports: DriverPorts,
    record: Extract<JobRecord, { kind: 'submitted' }>,
  ): Promise<JobDriver> {
    const journal = await ports.journals.open(journalName(record.job));
    await journal.append([encodeRecord(record)]);
    const state = recover([record]);
    invariant(state, 'a submitted record makes a state');
    return new JobDriver(ports, record.job, journal, state);
  }

  /** Takes a job up again from its journal; undefined when its submission never became durable. */
  static async resume(ports: DriverPorts, job: JobId): Promise<JobDriver | undefined> {
    const journal = await ports.journals.open(journalName(job));
    const state = recover(await readRecords(journal));
    if (!state) {
      await journal.close();
      return undefined;
    }
    return new JobDriver(ports, job, journal, state);
  }

  /** The job as it stands; a value, never changed in place. */
  get state(): JobState {
    return this.current;
  }

  /** Gives the job its volatile beginning: who is connected, and fresh deadlines. */
  start(): Promise<void> {
    return this.post({ kind: 'started', online: this.ports.online() }).then(() => undefined);
  }

  /**
   * Feeds one event. Resolves with the answer, if the event has one, after its records are durable and its
   * messages are on their way. A store that fails answers STORE_UNAVAILABLE; the event may be fed again.
   */
  post(event: JobEvent): Promise<Result<Receipt, Problem> | undefined> {
    return this.enqueue(() => this.turn(event));
  }

  /**
   * Like `post`, for an event that is made from the state it meets: nothing else happens to the job between
   * `make` reading the state and the event taking effect. Undefined from `make` means no event.
   */
  postMade(
    make: (state: JobState) => Promise<JobEvent | undefined>,
  ): Promise<Result<Receipt, Problem> | undefined> {
    return this.enqueue(async () => {
      const event = await make(this.current);
      return event && (await this.turn(event));
    });
  }

  /** Lets go of the journal after what is under way; the job itself goes on when it is resumed. */
  async close(): Promise<void> {
    this.closed = true;
    this.alarm?.();
    await this.queue.catch(() => undefined);
    await this.open.close();
  }

  private enqueue<Value>(turn: () => Promise<Value>): Promise<Value> {
    const result = this.queue.then(turn);
    this.queue = result.catch(() => undefined);
    return result;
  }

  private async turn(event: JobEvent): Promise<Result<Receipt, Problem> | undefined> {
    if (this.closed) return refused(problem('SHUTTING_DOWN'));
    const { state, effects } = step(this.current, event, this.ports.clock.now());
    if (effects.persist.length > 0) {
      try {
        await this.open.append(effects.persist.map(encodeRecord));
      } catch (cause) {
        this.ports.telemetry.count('consilium_store_failures_total', { what: 'journal' });
        this.log('error', 'the journal failed; reading the job back from it', { cause });
        await this.readBack();
        return refused(problem('STORE_UNAVAILABLE', { what: 'the journal of the job' }));
      }
    }
    this.current = state;
    this.carryOut(effects);
    this.ports.changed(state, effects.persist);
    this.arm();
    return effects.reply;
  }

  private carryOut({ say, aggregate, forget }: Effects): void {
    for (const { site, message } of say) {
      if (message.kind === 'problem') this.noteRefusal(site, message.problem);
      if (message.kind === 'exclusion') this.noteExclusion(site, message.problem);
      this.ports.say(site, message);
    }
    for (const scope of forget) this.background(this.ports.forget(this.current.id, scope));
    if (aggregate) {
      this.wanted = aggregate;
      this.summing = this.summing
        .then(() => this.aggregate(aggregate))
        .catch((cause: unknown) => this.noteFailure(cause));
    }
  }

  private noteRefusal(site: SiteId, occurrence: Problem): void {
    const { code } = occurrence;
    this.ports.telemetry.count('consilium_reports_refused_total', { code });
    this.log('warn', 'a report was refused', { site, problem: occurrence });
  }

  private noteExclusion(site: SiteId, occurrence: Problem): void {
    this.ports.telemetry.count('consilium_sites_excluded_total', { code: occurrence.code });
    this.log('warn', 'the job goes on without a site', { site, problem: occurrence });
  }

  private async aggregate(aggregation: Aggregation): Promise<void> {
    const { round } = aggregation;
    for (let waitMs = RETRY_MS_MIN; ; waitMs = Math.min(2 * waitMs, RETRY_MS_MAX)) {
      const state = this.current;
      if (this.closed || state.phase !== 'aggregating' || state.round !== round) return;
      try {
        const outcome = await this.ports.aggregate(state, aggregation);
        // Void: neither its version counts nor that it failed, for want of what a revocation took from the spool, say.
        if (this.wanted !== aggregation) return;
        await this.post(
          outcome.kind === 'stored'
            ? { ...outcome, kind: 'aggregated', round }
            : { kind: 'aggregation-failed', round, problem: outcome.problem, culprits: outcome.culprits },
        );
        return;
      } catch (cause) {
        this.ports.telemetry.count('consilium_store_failures_total', { what: 'aggregation' });
        this.log('error', 'the updates could not be summed; trying again', { cause, round, waitMs });
        await this.pause(waitMs);
      }
    }
  }

  /** Reads the state back from the journal until that works; then everything volatile begins anew. */
  private async readBack(): Promise<void> {
    for (let waitMs = RETRY_MS_MIN; !this.closed; waitMs = Math.min(2 * waitMs, RETRY_MS_MAX)) {
      try {
        await this.open.close().catch(() => undefined);
        this.open = await this.journal();
        const state = recover(await readRecords(this.open));
        invariant(state, 'a running job has a submitted record');
        const begun = step(state, { kind: 'started', online: this.ports.online() }, this.ports.clock.now());
        // Nobody waits for an answer here, so a start that decides something is simply taken as the next turn.
        this.current = begun.effects.persist.length > 0 ? state : begun.state;
        if (begun.effects.persist.length > 0) this.background(this.start());
        else this.carryOut(begun.effects);
        this.arm();
        return;
      } catch (cause) {
        this.log('error', 'the journal cannot be read back; trying again', { cause, waitMs });
        await this.pause(waitMs);
      }
    }
  }

  /** Wakes the job when its next deadline is due. */
  private arm(): void {
    this.alarm?.();
    this.alarm = undefined;
    const now = this.ports.clock.now();
    const due = wakeAt(this.current, now);
    if (due === undefined || this.closed) return;
    this.alarm = this.ports.clock.after(Math.max(0, due - now), () => {
      this.background(this.post({ kind: 'tick' }));
    });
  }

  private pause(delayMs: number): Promise<void> {
    return new Promise((resolve) => {
      this.ports.clock.after(delayMs, resolve);
    });
  }

  private background(work: Promise<unknown>): void {
    work.catch((cause: unknown) => this.noteFailure(cause));
  }

  private noteFailure(cause: unknown): void {
    this.log('error', 'work in the background failed', { cause });
  }

  private log(
    level: 'info' | 'warn' | 'error',
    message: string,
    fields: Readonly<Record<string, unknown>>,
  ): void {
    const { id, round } = this.current;
    this.ports.telemetry.log(level, message, { job: id, round, ...fields });
  }
}

async function readRecords(journal: Journal): Promise<JobRecord[]> {
  const records: JobRecord[] = [];
  for await (const bytes of journal.read()) records.push(decodeRecord(bytes));
  return records;
}
