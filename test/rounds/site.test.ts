import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { problem } from '../../src/errors/problem.ts';
import { type Assignment, assignmentId, type ReportResult, type Task } from '../../src/rounds/assignment.ts';
import { jobSchema } from '../../src/rounds/job.ts';
import {
  type HeldUpdate,
  heldName,
  type SiteEffect,
  type SiteEvent,
  type SiteState,
  siteState,
  siteStep,
} from '../../src/rounds/site.ts';
import type { Digest } from '../../src/vocabulary/digest.ts';
import type { JobId } from '../../src/vocabulary/ids.ts';

const job = (name: string) => name as JobId;
const digest = (name: string) => `sm3:${name.padEnd(64, '0')}` as Digest;
const spec = jobSchema.parse({
  apiVersion: 'consilium/v1',
  name: 'heart',
  dataset: 'clinic',
  model: { kind: 'mlp', features: ['age'] },
  trainer: { name: 'tfjs' },
  rounds: 5,
  cohort: { size: 2 },
  quorum: 1,
});

function assignment(task: Task, round = 1, attempt = 1, name = 'heart'): Assignment {
  const baseVersion = task === 'evaluate' ? round : Math.max(0, round - 1);
  return {
    id: assignmentId(job(name), round, attempt, task),
    job: job(name),
    round,
    attempt,
    task,
    baseVersion,
    baseDigest: digest(`b${baseVersion}`),
    remainingMs: 1000,
    spec,
    constants: undefined,
  };
}

function update(round = 1, name = 'heart', base = `b${round - 1}`): HeldUpdate {
  return {
    job: job(name),
    round,
    baseVersion: round - 1,
    baseDigest: digest(base),
    digest: digest(`d${round}`),
    sampleCount: 10,
    metrics: {},
    backend: 'test',
  };
}

/** The state and all effects after a run of events. */
function run(start: SiteState, ...events: SiteEvent[]): { state: SiteState; effects: SiteEffect[] } {
  const effects: SiteEffect[] = [];
  let state = start;
  for (const event of events) {
    const next = siteStep(state, event);
    state = next.state;
    effects.push(...next.effects);
  }
  return { state, effects };
}

const assigned = (own: Assignment): SiteEvent => ({
  kind: 'assigned',
  assignment: own,
  objection: undefined,
});
const kinds = (effects: readonly SiteEffect[]) => effects.map(({ kind }) => kind);
const failure: ReportResult = { kind: 'failure', problem: problem('TRAINER_FAILED', { reason: 'no' }) };

describe('a site whose trainer lacks tensors', () => {
  const external = jobSchema.parse({
    ...spec,
    model: {
      kind: 'external',
      tensors: [
        { name: 'stem', shape: [2] },
        { name: 'gate', shape: [2], since: '1.1.0', default: 1 },
      ],
    },
    initialWeights: { file: 'w.safetensors' },
    weightSchema: { id: 'net', version: '1.1.0', probe: 'off' },
    statistics: false,
  });

  it.each([
    ['trains anew where a later trainer made what it holds', undefined, '1.0.0', 'work'],
    ['sends what one of its version made', '1.0.0', '1.0.3', 'upload'],
    ['sends what an earlier one made', '1.0.0', undefined, 'upload'],
  ])('%s', (_, held, now, task) => {
    const own = { ...update(), ...(held && { schemaVersion: held }) };
    const event: SiteEvent = {
      kind: 'assigned',
      assignment: { ...assignment('train'), spec: external },
      objection: undefined,
      schemaVersion: now,
    };
    expect(kinds(run(siteState([own]), event).effects)).toEqual(['answer', task]);
  });
});

describe('a site', () => {
  it('answers an assignment before it starts the work', () => {
    expect(kinds(run(siteState([]), assigned(assignment('train'))).effects)).toEqual(['answer', 'work']);
  });

  it('declines with its objection and does nothing else', () => {
    const objection = problem('POLICY_DENIED', { what: 'job heart' });
    const { state, effects } = run(siteState([]), {
      kind: 'assigned',
      assignment: assignment('train'),
      objection,
    });
    expect(effects).toEqual([{ kind: 'answer', assignment: assignment('train').id, problem: objection }]);
    expect(state.active.size).toBe(0);
  });

  it('makes a trained update durable before it sends it', () => {
    const { effects } = run(siteState([]), assigned(assignment('train')), {
      kind: 'trained',
      assignment: assignment('train').id,
      update: update(),
    });
    expect(kinds(effects)).toEqual(['answer', 'work', 'persist', 'upload']);
  });

  it('sends a held update under the next attempt without training again', () => {
    const { effects } = run(siteState([update()]), assigned(assignment('train', 1, 2)));
    expect(effects[1]).toMatchObject({ kind: 'upload', attempt: 2, update: update() });
    expect(kinds(effects)).toEqual(['answer', 'upload']);
  });

  it('trains anew where the held update starts from other weights', () => {
    const { effects } = run(siteState([update(1, 'heart', 'other')]), assigned(assignment('train')));
    expect(kinds(effects)).toEqual(['answer', 'work']);
  });

  it('cancels what a newer assignment of the same job overtakes, and leaves other jobs alone', () => {
    const other = assignment('train', 1, 1, 'lung');
    const { state, effects } = run(
      siteState([]),
      assigned(other),
      assigned(assignment('train', 1, 1)),
      assigned(assignment('train', 1, 2)),
    );
    expect(kinds(effects).slice(4)).toEqual(['cancel', 'answer', 'work']);
    expect([...state.active.keys()]).toEqual([other.id, assignment('train', 1, 2).id]);
  });

  it.each([
    ['the next round', assignment('train', 2, 1)],
    ['the evaluation of its own round', assignment('evaluate', 1, 1)],
  ])('goes on asking for the receipt of what it sent when %s overtakes it', (_, newer) => {
    const trains = assignment('train', 1, 1);
    const { state, effects } = run(
      siteState([]),
      assigned(trains),
      { kind: 'trained', assignment: trains.id, update: update() },
      { kind: 'committed', job: trains.job, version: trains.round, counted: [] },
      assigned(newer),
    );
    expect(kinds(effects).slice(4)).toEqual(['discard', 'answer', 'work']);
    expect([[...state.active.keys()], [...state.sending]]).toEqual([[newer.id], []]);
  });

  it('sends an update under the newer attempt alone', () => {
    const trains = assignment('train', 1, 1);
    const { state, effects } = run(
      siteState([]),
      assigned(trains),
      { kind: 'trained', assignment: trains.id, update: update() },
      assigned(assignment('train', 1, 2)),
    );
    expect(kinds(effects).slice(4)).toEqual(['cancel', 'answer', 'upload']);
    expect([...state.sending]).toEqual([assignment('train', 1, 2).id]);
  });

  it('says a report again on every connection until it is taken', () => {
    const evaluate = assignment('evaluate');
    const worked: SiteEvent = { kind: 'worked', assignment: evaluate.id, result: failure };
    const before = run(siteState([]), assigned(evaluate), worked, { kind: 'connected' });
    expect(kinds(before.effects)).toEqual(['answer', 'work', 'report', 'report']);
    const after = run(before.state, { kind: 'report-taken', assignment: evaluate.id }, { kind: 'connected' });
    expect(after.effects).toEqual([]);
  });

  it('throws away work of an assignment that was withdrawn', () => {
    const train = assignment('train');
    const { state, effects } = run(
      siteState([]),
      assigned(train),
      { kind: 'withdrawn', assignment: train.id },
      { kind: 'trained', assignment: train.id, update: update() },
    );
    expect(kinds(effects)).toEqual(['answer', 'work', 'cancel', 'discard']);
    expect(state.held.size).toBe(0);
  });

  it('does not count on a held update whose place withdrawn work has taken', () => {
    const late: SiteEvent = { kind: 'trained', assignment: assignment('train').id, update: update() };
    const { state } = run(siteState([update(1, 'heart', 'other')]), late);
    expect(state.held.size).toBe(0);
  });

  it('drops a held update that it could not send and reports the failure', () => {
    const train = assignment('train');
    const { state, effects } = run(siteState([update()]), assigned(train), {
      kind: 'worked',
      assignment: train.id,
      result: failure,
    });
    expect(kinds(effects)).toEqual(['answer', 'upload', 'discard', 'report']);
    const again = run(state, assigned(assignment('train', 1, 2)));
    expect(kinds(again.effects)).toEqual(['answer', 'work']);
  });

  it('keeps a late update for the next attempt and drops a misshaped one', () => {
    const train = assignment('train');
    const late = run(siteState([update()]), assigned(train), {
      kind: 'refused',
      assignment: train.id,
      problem: problem('UPDATE_LATE'),
    });
    expect(late.state.held.size).toBe(1);
    const misshaped = run(siteState([update()]), assigned(train), {
      kind: 'refused',
      assignment: train.id,
      problem: problem('UPDATE_MISSHAPED', { reason: 'no' }),
    });
    expect(misshaped.state.held.size).toBe(0);
    expect(kinds(misshaped.effects)).toEqual(['answer', 'upload', 'discard']);
  });

  it('holds what an asynchronous job may still take: until it counts, is too old, withdrawn, or asked anew', () => {
    const own: HeldUpdate = { ...update(3), stalenessMax: 2 };
    const committed = (version: number, counted: readonly number[] = []): SiteEvent => ({
      ...{ kind: 'committed', job: job('heart'), version, counted },
    });
    const start = siteState([own]);
    expect(run(start, committed(3), committed(4)).effects).toEqual([]);
    expect(run(start, committed(5)).effects).toEqual([{ kind: 'discard', update: own }]);
    expect(run(start, committed(4, [3])).effects).toEqual([{ kind: 'discard', update: own }]);
    // Asked for the same again, it is sent and not trained; a task on a newer version ends it.
    expect(kinds(run(start, committed(4), assigned(assignment('train', 3))).effects)).toEqual([
      'answer',
      'upload',
    ]);
    expect(kinds(run(start, assigned(assignment('train', 5))).effects)).toEqual([
      'discard',
      'answer',
      'work',
    ]);
    expect(kinds(run(start, assigned(assignment('evaluate', 4))).effects)).toEqual(['answer', 'work']);
    const withdrawn: SiteEvent = { kind: 'withdrawn', assignment: assignment('train', 3).id };
    expect(run(start, withdrawn).effects).toEqual([{ kind: 'discard', update: own }]);
    expect(run(siteState([update(3)]), withdrawn).effects).toEqual([]);
  });

  it('discards held updates of committed rounds of that job only', () => {
    const held = [update(1), update(2), update(1, 'lung')];
    const { state, effects } = run(siteState(held), {
      kind: 'committed',
      job: job('heart'),
      version: 1,
      counted: [],
    });
    expect(effects).toEqual([{ kind: 'discard', update: update(1) }]);
    expect([...state.held.keys()]).toEqual(['heart/2', 'lung/1']);
  });

  it('discards an old update when it was away at the commit and sees a later version in an assignment', () => {
    const { state, effects } = run(
      siteState([update(1), update(1, 'lung')]),
      assigned(assignment('train', 2)),
    );
    expect(kinds(effects)).toEqual(['discard', 'answer', 'work']);
    expect([...state.held.keys()]).toEqual(['lung/1']);
  });
});

const anyAssignment = fc
  .tuple(
    fc.constantFrom<Task>('statistics', 'train', 'evaluate'),
    fc.integer({ min: 1, max: 3 }),
    fc.integer({ min: 1, max: 2 }),
    fc.constantFrom('heart', 'lung'),
  )
  .map(([task, round, attempt, name]) => assignment(task, round, attempt, name));

const anyEvent: fc.Arbitrary<SiteEvent> = fc.oneof(
  anyAssignment.map(assigned),
  anyAssignment.map((own): SiteEvent => {
    const trained = update(Math.max(1, own.round), own.job);
    return own.task === 'train'
      ? { kind: 'trained', assignment: own.id, update: trained }
      : { kind: 'worked', assignment: own.id, result: failure };
  }),
  anyAssignment.map((own): SiteEvent => ({ kind: 'worked', assignment: own.id, result: failure })),
  anyAssignment.map((own): SiteEvent => ({ kind: 'report-taken', assignment: own.id })),
  anyAssignment.map((own): SiteEvent => ({ kind: 'receipted', assignment: own.id })),
  anyAssignment.map((own): SiteEvent => ({ kind: 'withdrawn', assignment: own.id })),
  anyAssignment.map(
    (own): SiteEvent => ({ kind: 'refused', assignment: own.id, problem: problem('UPDATE_LATE') }),
  ),
  anyAssignment.map(
    (own): SiteEvent => ({ kind: 'committed', job: own.job, version: own.round, counted: [] }),
  ),
  fc.constant<SiteEvent>({ kind: 'connected' }),
);

describe('whatever happens to a site', () => {
  it('it only ever sends what it has made durable and not discarded', () => {
    fc.assert(
      fc.property(fc.array(anyEvent, { maxLength: 40 }), (events) => {
        const durable = new Set<string>();
        let state = siteState([]);
        for (const event of events) {
          const next = siteStep(state, event);
          state = next.state;
          for (const effect of next.effects) {
            if (effect.kind === 'persist') durable.add(heldName(effect.update));
            if (effect.kind === 'discard') durable.delete(heldName(effect.update));
            expect(effect.kind !== 'upload' || durable.has(heldName(effect.update))).toBe(true);
          }
          expect(new Set(state.held.keys())).toEqual(durable);
        }
      }),
    );
  });

  it('it works on at most one assignment of a job, and starts and ends in turns', () => {
    fc.assert(
      fc.property(fc.array(anyEvent, { maxLength: 40 }), (events) => {
        let state = siteState([]);
        for (const event of events) {
          const next = siteStep(state, event);
          const cancelled = new Set(
            next.effects.flatMap((effect) => (effect.kind === 'cancel' ? [effect.assignment] : [])),
          );
          for (const id of cancelled) expect(state.active.has(id)).toBe(true);
          state = next.state;
          const jobs = [...state.active.values()].map((own) => own.job);
          expect(new Set(jobs).size).toBe(jobs.length);
          for (const effect of next.effects) {
            const started = effect.kind === 'work' || effect.kind === 'upload';
            expect(!started || state.active.has(effect.assignment.id)).toBe(true);
          }
        }
      }),
    );
  });
});

describe('a site that lacks the receipt of an update whose round is over', () => {
  const claim = { manifest: { schemaVersion: '1.0.0', tensors: [] }, attemptsMax: 5 };
  const own = { ...update(1), claim };
  const committed = (version: number, ...counted: number[]): SiteEvent => ({
    ...{ kind: 'committed', job: job('heart'), version, counted },
  });
  const claimed: SiteEffect = { kind: 'claim', update: own };
  const discarded: SiteEffect = { kind: 'discard', update: own };

  it('asks for it before it lets go of the update, once, whatever else comes', () => {
    const { state, effects } = run(
      siteState([own]),
      committed(1, 1),
      committed(2),
      assigned(assignment('train', 3)),
    );
    expect(effects.filter(({ kind }) => kind === 'claim')).toEqual([claimed]);
    expect(kinds(effects)).not.toContain('discard');
    const after = run(state, { kind: 'answered', update: own, fate: 'in' });
    expect(after.effects).toEqual([discarded]);
    expect(run(after.state, { kind: 'answered', update: own, fate: 'in' }).effects).toEqual([]);
  });

  it.each<[string, SiteEvent]>([
    ['a later version', committed(2)],
    ['an assignment of a later round', assigned(assignment('train', 2))],
  ])('asks where %s is all that it hears', (_, event) => {
    expect(run(siteState([own]), event).effects).toContainEqual(claimed);
  });

  it.each<[string, SiteEvent]>([
    ['the version of its round stands without it', committed(1)],
    ['its job ended without it', { kind: 'answered', update: own, fate: 'over' }],
  ])('asks nothing more where %s', (_, event) => {
    expect(run(siteState([own]), event).effects).toEqual([discarded]);
  });

  it('asks nothing where it has the receipt, and of an earlier release has too little to ask with', () => {
    const trained = assignment('train');
    const sent = run(siteState([]), assigned(trained), {
      kind: 'trained',
      assignment: trained.id,
      update: own,
    });
    const receipted = run(sent.state, { kind: 'receipted', assignment: trained.id });
    expect(run(receipted.state, committed(1, 1)).effects).toEqual([discarded]);
    expect(
      run(
        siteState([own], () => true),
        committed(1, 1),
      ).effects,
    ).toEqual([discarded]);
    const older = update(1);
    expect(run(siteState([older]), committed(1, 1)).effects).toEqual([{ kind: 'discard', update: older }]);
  });

  it('waits for the receipt of what is being sent, and asks where that is taken back', () => {
    const trained = assignment('train');
    const sent = run(siteState([]), assigned(trained), {
      kind: 'trained',
      assignment: trained.id,
      update: own,
    });
    const over = run(sent.state, committed(1, 1));
    expect(over.effects).toEqual([]);
    expect(run(over.state, { kind: 'receipted', assignment: trained.id }).effects).toEqual([discarded]);
    expect(run(over.state, { kind: 'withdrawn', assignment: trained.id }).effects).toEqual([
      { kind: 'cancel', assignment: trained.id },
      claimed,
    ]);
  });

  it('asks after what nobody has asked it for since it started, and keeps that while it may still count', () => {
    const { state, effects } = run(siteState([own]), { kind: 'caught-up' });
    expect(effects).toEqual([claimed]);
    expect(run(state, { kind: 'answered', update: own, fate: 'out' }).state.held.size).toBe(1);
    const known = run(state, { kind: 'answered', update: own, fate: 'in' });
    expect(run(known.state, committed(1, 1)).effects).toEqual([discarded]);
    expect(
      run(siteState([own]), assigned(assignment('train')), { kind: 'caught-up' }).effects,
    ).not.toContainEqual(claimed);
  });
});
