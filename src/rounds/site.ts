import type { PayloadEncoding } from '../aggregation/encodings/payload-encoding.ts';
import type { Problem } from '../errors/problem.ts';
import type { Digest } from '../vocabulary/digest.ts';
import type { AssignmentId, Attempt, JobId, ModelVersion, Round } from '../vocabulary/ids.ts';
import type { Manifest } from '../weights/manifest.ts';
import type { Assignment, ReportResult } from './assignment.ts';
import { lackedTensors } from './earlier-version.ts';
import { without, withoutMember } from './without.ts';

/**
 * What a participant does about an assignment, as a value. The participant's runtime and the simulation both drive
 * it: event in, effects out, in this order: persist, then drop, then say, then work.
 *
 * A trained update is made durable at the site before it is sent, so that hours of training survive the process;
 * it stays held until its round is over, and is sent again, untrained, when the round is tried again.
 */
export interface SiteState {
  /** Assignments that are being worked on. */
  readonly active: ReadonlyMap<AssignmentId, Assignment>;
  /** Those of them whose update is being sent. */
  readonly sending: ReadonlySet<AssignmentId>;
  /** Trained updates, by `job/round`. */
  readonly held: ReadonlyMap<string, HeldUpdate>;
  /** Held updates whose receipts are kept, by `job/round`. */
  readonly receipted: ReadonlySet<string>;
  /** Updates that are of no more use but to ask for their receipts, which the site lacks, by `job/round`. */
  readonly claimed: ReadonlyMap<string, HeldUpdate>;
  /** Reports that the coordinator has not taken yet. */
  readonly unsent: ReadonlyMap<AssignmentId, ReportResult>;
}

/** A trained update that lies at the site. Its bytes are in the site's store under `heldName`. */
export interface HeldUpdate {
  readonly job: JobId;
  readonly round: Round;
  readonly baseVersion: ModelVersion;
  readonly baseDigest: Digest;
  readonly digest: Digest;
  /** How its bytes are encoded; undefined is float32. */
  readonly encoding?: PayloadEncoding | undefined;
  readonly sampleCount: number;
  readonly metrics: Readonly<Record<string, number>>;
  readonly backend: string;
  /** Of the trainer, where that lacks tensors of the job. */
  readonly schemaVersion?: string | undefined;
  /** Global L2 norm; undefined in what an earlier release held. */
  readonly norm?: number | undefined;
  /**
   * How many versions may be committed before the update is of no more use, where its job is asynchronous; undefined
   * where the version of its own round ends it.
   */
  readonly stalenessMax?: number | undefined;
  /** What it is declared with once its assignment is over; undefined in what an earlier release held. */
  readonly claim?: Claim | undefined;
}

/** What a site has to know of an update, beside what is held anyway, to ask for its receipt. */
export interface Claim {
  readonly manifest: Manifest;
  /** Attempts at a round that its job allows: a receipt of any of them will do. */
  readonly attemptsMax: Attempt;
}

/** The name under which the bytes of a held update are kept. */
export function heldName(update: Pick<HeldUpdate, 'job' | 'round'>): string {
  return `${update.job}/${update.round}`;
}

/** What can happen to a participant. */
export type SiteEvent =
  /**
   * An assignment came; `objection` is what the site's policy has against it, `schemaVersion` that of its trainer, where
   * that lacks tensors of the job.
   */
  | {
      readonly kind: 'assigned';
      readonly assignment: Assignment;
      readonly objection: Problem | undefined;
      readonly schemaVersion?: string | undefined;
    }
  /** Training is done and the update's bytes are in the store. */
  | { readonly kind: 'trained'; readonly assignment: AssignmentId; readonly update: HeldUpdate }
  /** Counting or evaluating is done, or any task failed. */
  | { readonly kind: 'worked'; readonly assignment: AssignmentId; readonly result: ReportResult }
  | { readonly kind: 'report-taken'; readonly assignment: AssignmentId }
  /** The coordinator holds the update durably. */
  | { readonly kind: 'receipted'; readonly assignment: AssignmentId }
  /** The coordinator will never take the update under this assignment. */
  | { readonly kind: 'refused'; readonly assignment: AssignmentId; readonly problem: Problem }
  | { readonly kind: 'withdrawn'; readonly assignment: AssignmentId }
  /** A version stands, with the site's updates of these rounds in it: they are of no more use, nor are older ones. */
  | {
      readonly kind: 'committed';
      readonly job: JobId;
      readonly version: ModelVersion;
      readonly counted: readonly Round[];
    }
  /** The answer to a claim: `in` with its receipt, which is kept; `out`; or `over`, since its job ended without it. */
  | { readonly kind: 'answered'; readonly update: HeldUpdate; readonly fate: Fate }
  /** The long-lived stream is up again. */
  | { readonly kind: 'connected' }
  /** The process has been connected for a while: what nobody has asked for by now may be of the past. */
  | { readonly kind: 'caught-up' };

/** What became of an update, as the coordinator says when it is asked. */
export type Fate = 'in' | 'out' | 'over';

/** What a step asks of the participant's runtime. */
export type SiteEffect =
  /** Make the held update durable; everything after it waits for that. */
  | { readonly kind: 'persist'; readonly update: HeldUpdate }
  | { readonly kind: 'discard'; readonly update: HeldUpdate }
  /** Ask for the receipt of an update by declaring it once more, with nothing to send. */
  | { readonly kind: 'claim'; readonly update: HeldUpdate }
  | { readonly kind: 'answer'; readonly assignment: AssignmentId; readonly problem: Problem | undefined }
  | { readonly kind: 'report'; readonly assignment: AssignmentId; readonly result: ReportResult }
  /** Start the task. */
  | { readonly kind: 'work'; readonly assignment: Assignment }
  /** End the task or the upload. */
  | { readonly kind: 'cancel'; readonly assignment: AssignmentId }
  /** Send the held update under this attempt; goes on until receipted, refused for good, or cancelled. */
  | {
      readonly kind: 'upload';
      readonly assignment: Assignment;
      readonly update: HeldUpdate;
      readonly attempt: Attempt;
    };

/** A site that holds these updates, and the receipts of some, as found in its store after a start. */
export function siteState(
  held: readonly HeldUpdate[],
  receipted: (update: HeldUpdate) => boolean = () => false,
): SiteState {
  return {
    receipted: new Set(held.filter(receipted).map(heldName)),
    claimed: new Map(),
    active: new Map(),
    sending: new Set(),
    held: new Map(held.map((update) => [heldName(update), update])),
    unsent: new Map(),
  };
}

/** The next state and what is to be done, in order. */
export function siteStep(
  state: SiteState,
  event: SiteEvent,
): { readonly state: SiteState; readonly effects: readonly SiteEffect[] } {
  switch (event.kind) {
    case 'assigned':
      return assigned(state, event);
    case 'trained': {
      const assignment = state.active.get(event.assignment);
      const { update } = event;
      // Its bytes have taken the place of those that were held for the round, so these are gone too.
      if (!assignment) {
        const held = without(state.held, heldName(update));
        return { state: { ...state, held }, effects: [{ kind: 'discard', update }] };
      }
      return {
        state: {
          ...state,
          sending: new Set([...state.sending, assignment.id]),
          held: set(state.held, heldName(update), update),
        },
        effects: [
          { kind: 'persist', update },
          { kind: 'upload', assignment, update, attempt: assignment.attempt },
        ],
      };
    }
    case 'worked': {
      const assignment = state.active.get(event.assignment);
      if (!assignment) return { state, effects: [] };
      // A train task that fails with an update at hand could not send it: the site's copy is damaged or superseded.
      const spoilt = assignment.task === 'train' ? state.held.get(heldName(assignment)) : undefined;
      return {
        state: {
          ...ended(state, event.assignment),
          held: spoilt ? without(state.held, heldName(spoilt)) : state.held,
          unsent: set(state.unsent, event.assignment, event.result),
        },
        effects: [
          ...discards(spoilt ? [spoilt] : []),
          { kind: 'report', assignment: event.assignment, result: event.result },
        ],
      };
    }
    case 'report-taken':
      return { state: { ...state, unsent: without(state.unsent, event.assignment) }, effects: [] };
    case 'receipted': {
      const name = nameIn(event.assignment);
      const rest = ended(state, event.assignment);
      if (state.claimed.has(name)) return dropClaim(rest, name);
      return state.held.has(name)
        ? { state: { ...rest, receipted: new Set([...state.receipted, name]) }, effects: [] }
        : { state: rest, effects: [] };
    }
    case 'answered':
      return answered(state, event.update, event.fate);
    case 'refused': {
      const name = nameIn(event.assignment);
      if (state.claimed.has(name)) return dropClaim(ended(state, event.assignment), name);
      return refused(state, event.assignment, event.problem);
    }
    case 'withdrawn': {
      // What an asynchronous job withdraws it does not ask for again.
      const over = [...state.held.values()].filter(
        (own) => own.stalenessMax !== undefined && event.assignment.startsWith(`${heldName(own)}/`),
      );
      const effects: SiteEffect[] = discards(over);
      // What was being sent is asked after instead.
      const claimed = state.sending.has(event.assignment) && state.claimed.get(nameIn(event.assignment));
      if (claimed) effects.unshift({ kind: 'claim', update: claimed });
      if (state.active.has(event.assignment))
        effects.unshift({ kind: 'cancel', assignment: event.assignment });
      return {
        state: {
          ...ended(state, event.assignment),
          unsent: without(state.unsent, event.assignment),
          held: over.reduce((rest, own) => without(rest, heldName(own)), state.held),
        },
        effects,
      };
    }
    case 'committed': {
      const over = [...state.held.values()].filter((own) => settledBy(own, event));
      return settle(state, over, (own) => mayBeIn(own, event));
    }
    case 'caught-up': {
      const worked = new Set([...state.active.values()].map(heldName));
      const forgotten = [...state.held].filter(
        ([name, own]) => own.claim && !worked.has(name) && !state.receipted.has(name),
      );
      return { state, effects: forgotten.map(([, update]) => ({ kind: 'claim', update })) };
    }
    case 'connected':
      return {
        state,
        effects: [...state.unsent].map(([assignment, result]) => ({ kind: 'report', assignment, result })),
      };
  }
}

function assigned(
  state: SiteState,
  { assignment, objection, schemaVersion }: Extract<SiteEvent, { kind: 'assigned' }>,
) {
  const answer: SiteEffect = { kind: 'answer', assignment: assignment.id, problem: objection };
  if (objection) return { state, effects: [answer] };
  const result = state.unsent.get(assignment.id);
  if (result)
    return { state, effects: [answer, { kind: 'report', assignment: assignment.id, result } as const] };
  if (state.active.has(assignment.id)) return { state, effects: [answer] };

  // Work of an earlier attempt or round of the same job is of no use once a newer assignment is here. An update that is
  // being sent may be in already, and its receipt lost on the way: only another attempt at its round takes its place.
  const overtaken = [...state.active.values()].filter((own) => own.job === assignment.job);
  const { active, sending } = overtaken.reduce((rest, own) => ended(rest, own.id), state);
  const replaces = (own: Assignment) => assignment.task === 'train' && assignment.round === own.round;
  const useless = overtaken.filter((own) => !state.sending.has(own.id) || replaces(own));
  // A site that was away when a version was committed learns of it from what it is to start from.
  const { job, task, baseVersion } = assignment;
  const over = [...state.held.values()].filter((own) =>
    task === 'train'
      ? own.job === job && own.round <= baseVersion
      : settledBy(own, { job, version: baseVersion, counted: [] }),
  );
  const settled = settle(state, over, () => true);
  const { held } = settled.state;
  const effects: SiteEffect[] = [
    ...settled.effects,
    ...useless.map((own): SiteEffect => ({ kind: 'cancel', assignment: own.id })),
    answer,
  ];
  const own = held.get(heldName(assignment));
  const next = { ...settled.state, active: set(active, assignment.id, assignment) };
  const lacks = (version: string | undefined) => lackedTensors(assignment.spec, version).length;
  // An update of tensors that the trainer lacks by now would be refused: it trains anew.
  const fits = own?.baseDigest === assignment.baseDigest && lacks(own.schemaVersion) >= lacks(schemaVersion);
  if (assignment.task === 'train' && fits) {
    effects.push({ kind: 'upload', assignment, update: own, attempt: assignment.attempt });
    return { state: { ...next, sending: new Set([...sending, assignment.id]) }, effects };
  }
  effects.push({ kind: 'work', assignment });
  return { state: { ...next, sending }, effects };
}

/** Nothing is expected of an assignment any more. */
function ended(state: SiteState, id: AssignmentId): SiteState {
  const sending = new Set(state.sending);
  sending.delete(id);
  return { ...state, active: without(state.active, id), sending };
}

/**
 * Whether a held update is of no more use once a version stands: it is in the version, or so many versions came after
 * its base that it can be in none any more.
 */
export function settledBy(
  { job, round, stalenessMax = 0 }: Pick<HeldUpdate, 'job' | 'round' | 'stalenessMax'>,
  committed: Omit<Extract<SiteEvent, { kind: 'committed' }>, 'kind'>,
): boolean {
  if (job !== committed.job) return false;
  return round + stalenessMax <= committed.version || committed.counted.includes(round);
}

/** Whether an update that a version settles may be in it, or in one before it. */
function mayBeIn(
  { round, stalenessMax }: HeldUpdate,
  { version, counted }: Extract<SiteEvent, { kind: 'committed' }>,
): boolean {
  return counted.includes(round) || stalenessMax !== undefined || round < version;
}

/** Lets go of updates that are over; of those that may be in and have no receipt, once that has been asked for. */
function settle(
  state: SiteState,
  over: readonly HeldUpdate[],
  isPossible: (own: HeldUpdate) => boolean,
): { readonly state: SiteState; readonly effects: SiteEffect[] } {
  const sent = new Set([...state.sending].map(nameIn));
  let { held, claimed, receipted } = state;
  const effects: SiteEffect[] = [];
  for (const update of over) {
    const name = heldName(update);
    const lacks = update.claim !== undefined && !receipted.has(name) && isPossible(update);
    if (lacks) claimed = set(claimed, name, update);
    // What is being sent gets its receipt that way.
    if (!lacks) effects.push({ kind: 'discard', update });
    else if (!sent.has(name)) effects.push({ kind: 'claim', update });
    held = without(held, name);
    receipted = withoutMember(receipted, name);
  }
  return { state: { ...state, held, claimed, receipted }, effects };
}

/** A claim has its answer, or was refused: nothing keeps the update any more. */
function dropClaim(state: SiteState, name: string) {
  const update = state.claimed.get(name);
  const effects = discards(update ? [update] : []);
  return { state: { ...state, claimed: without(state.claimed, name) }, effects };
}

function answered(state: SiteState, update: HeldUpdate, fate: Fate) {
  const name = heldName(update);
  if (state.claimed.get(name)?.digest === update.digest) return dropClaim(state, name);
  if (state.held.get(name)?.digest !== update.digest || fate === 'out') return { state, effects: [] };
  if (fate === 'over')
    return { state: { ...state, held: without(state.held, name) }, effects: discards([update]) };
  return { state: { ...state, receipted: new Set([...state.receipted, name]) }, effects: [] };
}

/** The name of the update that an assignment asks for. */
function nameIn(id: AssignmentId): string {
  return id.split('/', 2).join('/');
}

function discards(over: readonly HeldUpdate[]): SiteEffect[] {
  return over.map((update) => ({ kind: 'discard', update }));
}

function refused(state: SiteState, id: AssignmentId, problem: Problem) {
  const assignment = state.active.get(id);
  if (!assignment) return { state, effects: [] };
  const rest = ended(state, id);
  const held = state.held.get(heldName(assignment));
  // A stale or late update may still fit the next attempt at its round; anything else is wrong for good.
  const keep =
    problem.code === 'UPDATE_STALE' || problem.code === 'UPDATE_LATE' || problem.code === 'OUTSIDE_COHORT';
  if (!held || keep) return { state: rest, effects: [] };
  return {
    state: { ...rest, held: without(state.held, heldName(held)) },
    effects: [{ kind: 'discard', update: held } as const],
  };
}

function set<Key, Value>(map: ReadonlyMap<Key, Value>, key: Key, value: Value): ReadonlyMap<Key, Value> {
  return new Map(map).set(key, value);
}
