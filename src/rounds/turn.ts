import type { Problem } from '../errors/problem.ts';
import type { EpochMs, SiteId } from '../vocabulary/ids.ts';
import type { Result } from '../vocabulary/result.ts';
import type { CoordinatorMessage } from './assignment.ts';
import { probeLack } from './cohort.ts';
import { assignmentIdOf, assignmentOf, currentAssignmentId } from './current-assignment.ts';
import { earlierVersion } from './earlier-version.ts';
import type { Aggregation, Effects } from './job-event.ts';
import type { JobRecord } from './job-record.ts';
import { apply, type JobState, type Participant } from './job-state.ts';
import { spoolScopes } from './spool-scope.ts';
import type { Receipt } from './update.ts';
import { without } from './without.ts';

/**
 * One step in the making: records are applied as they are decided, effects are gathered. What the parts of a step (admission,
 * advance) have in common to do with a job and its sites.
 */
export class Turn {
  /** The job as it is so far. */
  state: JobState;
  readonly now: EpochMs;
  /** What is said to whoever sent the event. */
  reply: Result<Receipt, Problem> | undefined;
  /** The sum to make, where one is due. */
  aggregate: Aggregation | undefined;
  private readonly records: JobRecord[] = [];
  private readonly say: { site: SiteId; message: CoordinatorMessage }[] = [];
  /** Scopes of the spool that the job had a use for before. */
  private readonly scopes: ReadonlySet<string>;

  constructor(state: JobState, now: EpochMs) {
    this.state = state;
    this.now = now;
    this.scopes = spoolScopes(state);
  }

  /** What came of it. */
  outcome(): { readonly state: JobState; readonly effects: Effects } {
    const { records, reply, say, aggregate } = this;
    const scopes = spoolScopes(this.state);
    const forget = [...this.scopes].filter((scope) => !scopes.has(scope));
    return { state: this.state, effects: { persist: records, reply, say, aggregate, forget } };
  }

  /** Changes what a restart may forget. */
  change(change: Partial<JobState>): void {
    this.state = { ...this.state, ...change };
  }

  /** Says something to a site. */
  tell(site: SiteId, message: CoordinatorMessage): void {
    this.say.push({ site, message });
  }

  /** Decides: what is durable before anything is said. */
  record(record: Exclude<JobRecord, { kind: 'submitted' }>): void {
    this.records.push(record);
    this.state = apply(this.state, record);
  }

  /** Gives what is under way its time from now. */
  armDeadline(): void {
    this.change({ deadlineAt: this.now + this.state.spec.deadlineMs });
  }

  /** Whether that time is over. */
  overdue(): boolean {
    return this.state.deadlineAt !== undefined && this.now >= this.state.deadlineAt;
  }

  /** Notes how far a participant is that has not done its part yet. */
  mark(site: SiteId, change: Partial<Participant>): void {
    const participant = this.state.participants.get(site);
    if (!participant || participant.state === 'done') return;
    const participants = new Map(this.state.participants).set(site, { ...participant, ...change });
    this.change({ participants });
  }

  /** Nothing more comes of what a site was asked for; an asynchronous job asks it anew in the next attempt. */
  giveUp(site: SiteId, state: 'declined' | 'failed', reason: string): void {
    this.mark(site, { state, reason });
    if (this.state.outstanding.has(site)) this.change({ outstanding: without(this.state.outstanding, site) });
  }

  /** Hands a site what it is asked for and has not done yet. */
  assign(site: SiteId): void {
    const { state } = this.state.participants.get(site) ?? {};
    if (state !== 'assigned' && state !== 'working' && !this.state.outstanding.has(site)) return;
    const presence = this.state.online.get(site);
    if (!presence || probeLack(this.state, site)) return;
    const assignment = assignmentOf(this.state, site, presence, this.now);
    this.tell(site, { kind: 'assignment', assignment });
  }

  /** Takes the current task back from everyone who still works on it; what outlives its round is not of it. */
  withdraw(reason: string): void {
    const assignment = currentAssignmentId(this.state);
    for (const [site, { state }] of this.state.participants) {
      if ((state === 'assigned' || state === 'working') && !this.state.outstanding.has(site)) {
        this.tell(site, { kind: 'withdrawal', assignment, reason });
      }
    }
  }

  /** Takes back what outlives its round, from everyone unless said. */
  recall(reason: string, sites: Iterable<SiteId> = this.state.outstanding.keys()): void {
    for (const site of sites) {
      const assignment = assignmentIdOf(this.state, site);
      this.tell(site, { kind: 'withdrawal', assignment, reason });
    }
  }

  /** Tells a site of the newest version and the receipts that are in it. */
  tellVersion(site: SiteId): void {
    const { id, history } = this.state;
    const last = history.at(-1);
    if (!last) return;
    const { round, digest, updates } = last;
    const receipts = updates.map(({ declaration: { key, digest } }) => ({
      ...{ site: key.site, round: key.round, attempt: key.attempt, digest },
    }));
    const contributors = receipts.map((receipt) => receipt.site);
    const message = {
      kind: 'version-committed',
      job: id,
      version: round,
      digest,
      contributors,
      receipts,
    } as const;
    this.tell(site, message);
  }

  /**
   * Asks a site unless it trains for an asynchronous job, or has done so: that work is not interrupted; or unless its trainer
   * lacks tensors of the model, and would measure another one.
   */
  askToEvaluate(site: SiteId): void {
    if (earlierVersion(this.state.spec, this.state.online.get(site)?.trainers ?? []) !== undefined) {
      // One that was asked before its trainer was set back is not waited for.
      this.mark(site, { state: 'declined', reason: 'its trainer lacks tensors of the model' });
      return;
    }
    if (this.state.outstanding.has(site) || this.state.accepted.has(site)) return;
    if (!this.state.evaluations.has(site) && !this.state.participants.has(site)) {
      this.change({ participants: new Map(this.state.participants).set(site, FRESH) });
    }
    this.assign(site);
  }

  /** Whether the newest version is to be evaluated at the sites: every so many rounds, and the last one always. */
  evaluates(): boolean {
    const { evaluateEvery, rounds } = this.state.spec;
    return evaluateEvery > 0 && (this.state.round % evaluateEvery === 0 || this.state.round === rounds);
  }
}

const FRESH: Participant = { state: 'assigned', progress: undefined, reason: undefined };
