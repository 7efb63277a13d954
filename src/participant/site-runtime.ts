import { type Problem, problem, publicText } from '../errors/problem.ts';
import type { Cancel } from '../ports/clock.ts';
import {
  type Assignment,
  assignmentId,
  type CoordinatorMessage,
  type HeardMessage,
  type SiteMessage,
} from '../rounds/assignment.ts';
import { earlierVersion } from '../rounds/earlier-version.ts';
import {
  type HeldUpdate,
  heldName,
  type SiteEffect,
  type SiteEvent,
  type SiteState,
  settledBy,
  siteState,
  siteStep,
} from '../rounds/site.ts';
import type { AssignmentId, Round } from '../vocabulary/ids.ts';
import { unreachable } from '../vocabulary/invariant.ts';
import { problemOf } from './insist.ts';
import { releasedProblem } from './permissions.ts';
import type { Policy } from './policy.ts';
import { SettledConstants } from './settled-constants.ts';
import { ProgramFailure } from './trainers/program-failure.ts';
import { UnknownKinds } from './unknown-kinds.ts';
import { type DeliveryParts, UpdateDelivery } from './update-delivery.ts';
import { failure, type WorkParts, work } from './work.ts';

/** What the runtime drives. */
export interface RuntimeParts extends DeliveryParts, Omit<WorkParts, 'insist' | 'constants' | 'settleFates'> {
  readonly policy: Policy;
  /** A name for an accident that is told of outside; what happened is in the log under it. */
  readonly reference: () => string;
}

/** Assignments that a site holds at one time; a coordinator has one for each job. */
const ASSIGNMENTS_MAX = 64;
/** After this time, an update from before the start that no assignment has asked for is of the past. */
const UNASKED_MS = 60_000;
/** Inquiries that are being answered at one time, and messages that wait for their turn. */
const WAITING_MAX = 256;

interface Task {
  readonly controller: AbortController;
  readonly done: Promise<void>;
}

/**
 * Drives `siteStep`: one event at a time, each event's effects in order. Work runs beside it, one assignment at a
 * time; uploads run beside that.
 */
export class SiteRuntime {
  readonly #parts: RuntimeParts;
  readonly #tasks = new Map<AssignmentId, Task>();
  readonly #running = new Set<Promise<void>>();
  readonly #constants: SettledConstants;
  readonly #delivery: UpdateDelivery;
  readonly #unknown: UnknownKinds;
  #state: SiteState;
  #events: Promise<void> = Promise.resolve();
  #workTurn: Promise<void> = Promise.resolve();
  readonly #stopping = new AbortController();
  /** Cancels the question after updates that nobody asks for; set from the first connection on. */
  #settling: Cancel | undefined;
  /** Events that wait for their turn, and inquiries that wait for their answer. */
  #waiting = 0;

  /** `receipted` are those of the held updates whose receipts are kept. */
  constructor(parts: RuntimeParts, held: readonly HeldUpdate[], receipted: ReadonlySet<HeldUpdate>) {
    this.#parts = parts;
    this.#delivery = new UpdateDelivery(parts);
    this.#state = siteState(held, (update) => receipted.has(update));
    this.#unknown = new UnknownKinds(parts.telemetry);
    this.#constants = new SettledConstants((query) => void parts.connection().say(query));
  }

  /** The stream is up. */
  connected(): void {
    void this.#post({ kind: 'connected' });
    this.#constants.connected();
    this.#settling ??= this.#parts.clock.after(UNASKED_MS, () => void this.#post({ kind: 'caught-up' }));
  }

  /** Takes what the coordinator says. Never throws; answers go out through the connection. */
  receive(message: HeardMessage): void {
    const { telemetry, policy, connection, trainers } = this.#parts;
    if (this.#waiting > WAITING_MAX) {
      // More than any federation has to say: whatever was dropped here is said again on the next connection.
      connection().drop(problem('OVERLOADED', { what: 'unread messages', limit: WAITING_MAX }));
      return;
    }
    switch (message.kind) {
      case 'assignment': {
        const { assignment } = message;
        void this.#postLater(async () => {
          const objection =
            this.#mismatch(assignment) ??
            this.#overload(assignment) ??
            (await policy.objection(assignment.spec));
          const { id, job, round, attempt, task } = assignment;
          telemetry.log('info', objection ? 'assignment declined' : 'assignment taken', {
            assignment: id,
            job,
            round,
            attempt,
            task,
            problem: objection,
          });
          const schemaVersion = earlierVersion(assignment.spec, trainers.offers);
          return { kind: 'assigned', assignment, objection, schemaVersion };
        });
        return;
      }
      case 'withdrawal':
        telemetry.log('info', 'assignment withdrawn', {
          assignment: message.assignment,
          reason: message.reason,
        });
        void this.#post({ kind: 'withdrawn', assignment: message.assignment });
        return;
      case 'report-taken':
        void this.#post({ kind: 'report-taken', assignment: message.assignment });
        return;
      case 'version-committed': {
        const { job, version, receipts } = message;
        const counted = receipts.flatMap(({ site, round }) => (site === this.#parts.site ? [round] : []));
        const ins = this.#noteVersion(message, counted);
        void this.#postLater(async () => {
          // A receipt that was lost on the way; where this fails, it is asked for later.
          for (const held of ins)
            await this.#parts.feedback.accepted(held).catch((error) => this.#accident(error));
          return { kind: 'committed', job, version, counted };
        });
        return;
      }
      case 'inquiry': {
        const { inquiry, spec } = message;
        this.#answer(async () => ({ kind: 'opinion', inquiry, objections: await policy.objections(spec) }));
        return;
      }
      case 'assignment-beyond': {
        const { assignment, problem } = message;
        telemetry.log('warn', 'assignment declined', { assignment, problem, reason: publicText(problem) });
        this.#answer(async () => ({ kind: 'answer', assignment, problem }));
        return;
      }
      case 'inquiry-beyond': {
        const { inquiry, problem } = message;
        this.#answer(async () => ({ kind: 'opinion', inquiry, objections: [problem] }));
        return;
      }
      case 'unknown':
        this.#unknown.note(message.field);
        return;
      case 'exclusion':
        telemetry.log('warn', 'the job goes on without this site', {
          job: message.job,
          problem: message.problem,
          reason: publicText(message.problem),
        });
        return;
      case 'constants':
        this.#constants.take(message);
        return;
      case 'heartbeat-seen':
      case 'revocation-list':
      case 'problem':
        return;
      default:
        unreachable(message);
    }
  }

  /** The policy judges the job by its specification: an assignment under another name would get round it. */
  #mismatch({ id, job, round, attempt, task, spec }: Assignment): Problem | undefined {
    if (spec.name === job && id === assignmentId(job, round, attempt, task)) return undefined;
    return problem('MESSAGE_MALFORMED', { reason: `assignment ${id} is not of the job ${spec.name}` });
  }

  #overload({ id }: Assignment): Problem | undefined {
    const { active } = this.#state;
    if (active.has(id) || active.size < ASSIGNMENTS_MAX) return undefined;
    return problem('OVERLOADED', { what: 'assignments', limit: ASSIGNMENTS_MAX });
  }

  /** Ends all work and uploads, and resolves when nothing runs any more. What is held stays held. */
  async stop(): Promise<void> {
    this.#stopping.abort(STOPPED);
    this.#settling?.();
    for (;;) {
      for (const { controller } of this.#tasks.values()) controller.abort(STOPPED);
      const running = [...this.#running];
      await Promise.all(running);
      await this.#events;
      if (this.#running.size === 0) return;
    }
  }

  #post(event: SiteEvent): Promise<void> {
    return this.#postLater(() => event);
  }

  /** Queues an event that is made when its turn comes; resolves when its effects have been done. */
  #postLater(make: () => SiteEvent | Promise<SiteEvent>): Promise<void> {
    this.#waiting++;
    const turn = this.#events.then(async () => {
      this.#waiting--;
      const { state, effects } = siteStep(this.#state, await make());
      this.#state = state;
      for (const effect of effects) if (!(await this.#perform(effect))) break;
    });
    this.#events = turn.catch((error: unknown) => this.#accident(error));
    return this.#events;
  }

  /** Does one effect. False where the rest must not be done. */
  async #perform(effect: SiteEffect): Promise<boolean> {
    const { updates, connection, telemetry } = this.#parts;
    switch (effect.kind) {
      case 'persist':
        try {
          await updates.persist(effect.update);
          return true;
        } catch (error) {
          // Not held, so it must not be sent: the work counts as failed, which also forgets the update.
          const { job, round } = effect.update;
          telemetry.log('error', 'the update could not be made durable', { job, round, error });
          const own = [...this.#state.active.values()].find((one) => one.job === job && one.task === 'train');
          const result = failure(problemOf(error, this.#parts.reference));
          if (own) void this.#post({ kind: 'worked', assignment: own.id, result });
          return false;
        }
      case 'discard':
        // What cannot be removed now is swept away at the next start.
        await this.#letGo(effect.update).catch((error: unknown) => {
          telemetry.log('warn', 'an update could not be removed', { job: effect.update.job, error });
        });
        return true;
      case 'claim':
        // The next training asks for itself what became of an update that is over.
        if (this.#state.claimed.has(heldName(effect.update))) await this.#release(effect.update);
        this.#claim(effect.update);
        return true;
      case 'answer':
        await connection().say(effect);
        return true;
      case 'report': {
        const { assignment, result } = effect;
        await connection().say({ kind: 'report', assignment, result });
        return true;
      }
      case 'cancel':
        this.#tasks.get(effect.assignment)?.controller.abort(CANCELLED);
        return true;
      case 'work':
        this.#start(effect.assignment, (signal) => this.#work(effect.assignment, signal));
        return true;
      case 'upload':
        this.#start(effect.assignment, (signal) => this.#upload(effect.assignment, effect.update, signal));
        return true;
      default:
        return unreachable(effect);
    }
  }

  async #letGo(update: HeldUpdate): Promise<void> {
    await this.#release(update);
    await this.#parts.updates.discard(update);
  }

  async #release(update: HeldUpdate): Promise<void> {
    const { updates, feedback } = this.#parts;
    const cut = updates.cut(update);
    if (cut) await feedback.released(update, cut);
  }

  #start(assignment: Assignment, run: (signal: AbortSignal) => Promise<void>): void {
    if (this.#stopping.signal.aborted) return;
    const controller = new AbortController();
    const done = run(controller.signal).finally(() => {
      if (this.#tasks.get(assignment.id)?.controller === controller) {
        this.#tasks.delete(assignment.id);
        this.#parts.progress.clear(assignment.id);
      }
    });
    this.#tasks.set(assignment.id, { controller, done });
    this.#track(done);
  }

  /** Answers beside the events, which the answer does not depend on. */
  #answer(make: () => Promise<SiteMessage>): void {
    if (this.#stopping.signal.aborted) return;
    this.#waiting++;
    const answered = make().then((message) => this.#parts.connection().say(message));
    this.#track(answered.finally(() => this.#waiting--));
  }

  #track(done: Promise<void>): void {
    const watched = done.catch((error: unknown) => this.#accident(error));
    this.#running.add(watched);
    void watched.then(() => this.#running.delete(watched));
  }

  /** Works on an assignment when its turn has come, to the point where the outcome has been dealt with. */
  #work(assignment: Assignment, signal: AbortSignal): Promise<void> {
    const turn = this.#workTurn.then(async () => {
      if (signal.aborted) return;
      const { id, job, round, attempt, task, spec } = assignment;
      const { telemetry, reference } = this.#parts;
      const about = { assignment: id, job, round, attempt, task };
      let event: SiteEvent;
      try {
        telemetry.log('info', 'working', about);
        const insisting = this.#delivery.insist(about);
        const parts: WorkParts = {
          ...this.#parts,
          insist: insisting,
          constants: this.#constants,
          settleFates: (own, until) => this.#delivery.settleFates(own, insisting, until),
        };
        event = { ...(await work(parts, assignment, signal)), assignment: id };
      } catch (error) {
        if (signal.aborted) return;
        const problem = problemOf(error, reference);
        telemetry.count('consilium_work_failed_total', { code: problem.code });
        if (problem.code === 'TRAINER_FAILED') {
          // It is the trainer that failed: our own frames say nothing of it.
          const output = error instanceof ProgramFailure ? error.output : undefined;
          telemetry.log('error', 'the work failed', { ...about, problem, output });
          telemetry.log('debug', 'where the trainer failed', { ...about, error });
        } else {
          telemetry.log('error', 'the work failed', { ...about, problem, error });
        }
        event = { kind: 'worked', assignment: id, result: failure(releasedProblem(problem, spec)) };
      }
      await this.#post(event);
    });
    this.#workTurn = turn.catch(() => {});
    return turn;
  }

  async #upload(assignment: Assignment, update: HeldUpdate, signal: AbortSignal): Promise<void> {
    const event = await this.#delivery.upload(assignment, update, signal);
    if (event) await this.#post(event);
  }

  #claim(update: HeldUpdate): void {
    const { signal } = this.#stopping;
    if (signal.aborted) return;
    this.#track(this.#delivery.claim(update, signal).then((event) => event && this.#post(event)));
  }

  /**
   * Says of the updates that a version settles whether they went into it, and gives those that did: the site holds none
   * that it was told of before.
   */
  #noteVersion(
    { job, version, digest, receipts }: Extract<CoordinatorMessage, { kind: 'version-committed' }>,
    counted: readonly Round[],
  ): readonly HeldUpdate[] {
    const { telemetry } = this.#parts;
    telemetry.log('info', 'version committed', { job, version, digest, receipts: receipts.length });
    // Coordinators of before do not name receipts.
    if (receipts.length === 0) return [];
    return [...this.#state.held.values()].filter((held) => {
      if (!settledBy(held, { job, version, counted })) return false;
      const isIn = receipts.some((receipt) => receipt.digest === held.digest);
      telemetry.count('consilium_updates_settled_total', { counted: String(isIn) });
      const about = { job, version, digest: held.digest };
      if (isIn) telemetry.log('info', 'the update is in the version', about);
      else telemetry.log('warn', 'the update is not in the version', about);
      return isIn;
    });
  }

  #accident(error: unknown): void {
    const problem = problemOf(error, this.#parts.reference);
    this.#parts.telemetry.log('error', 'something went wrong inside the participant', { problem, error });
  }
}

const CANCELLED = new Error('the assignment was withdrawn');
const STOPPED = new Error('the participant is stopping');
