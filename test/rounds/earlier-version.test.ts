import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Presence } from '../../src/rounds/assignment.ts';
import {
  earlierVersion,
  earlierVersionFault,
  jobOfVersion,
  lackedSpans,
} from '../../src/rounds/earlier-version.ts';
import { schemaObjection } from '../../src/rounds/fit-schema.ts';
import { manifestOf } from '../../src/rounds/job.ts';
import { recover } from '../../src/rounds/job-state.ts';
import { STRATEGY_NAMES, type Strategy, strategySchema } from '../../src/rounds/strategy.ts';
import type { SiteId } from '../../src/vocabulary/ids.ts';
import { A, B, C, digest, jobOf, PRESENCE, Rehearsal } from './federation.ts';

const TENSORS = [
  { name: 'stem', shape: [2, 3] },
  { name: 'gate', shape: [4], since: '1.1.0', default: 1 },
  { name: 'head', shape: [2] },
  { name: 'skip', shape: [5], since: '1.2.0', default: 0 },
];
const jobWith = (change: object = {}, tensors: readonly object[] = TENSORS) =>
  jobOf({
    model: { kind: 'external', tensors },
    initialWeights: { file: 'w.safetensors' },
    weightSchema: { id: 'net', version: '1.2.0', probe: 'off' },
    cohort: { size: 3 },
    ...change,
  });
const offersOf = (version: string): Presence['trainers'] => [
  { name: 'tfjs', kind: 'command', backend: 'test', schemas: [{ id: 'net', version }] },
];
const objectionTo = (version: string, job = jobWith()) =>
  schemaObjection(job, offersOf(version))?.details.difference;

describe('a trainer that is behind by a MINOR', () => {
  test('fits where what it lacks has defaults, and knows the job without that', () => {
    const job = jobWith();
    for (const [version, names, lacked] of [
      ['1.0.0', ['stem', 'head'], [6, 12]],
      ['1.1.7', ['stem', 'gate', 'head'], [12]],
    ] as const) {
      expect(objectionTo(version)).toBeUndefined();
      expect(earlierVersion(job, offersOf(version))).toBe(version);
      expect(lackedSpans(job, version).map(({ start }) => start)).toEqual(lacked);
      expect(manifestOf(jobOfVersion(job, version))).toMatchObject({
        schemaVersion: version,
        tensors: names.map((name) => ({ name })),
      });
    }
    expect(earlierVersion(job, offersOf('1.2.0'))).toBeUndefined();
    expect(earlierVersion(job, offersOf('1.2.4'))).toBeUndefined();
  });

  test('is left out where a tensor that it lacks has no default, by its name', () => {
    const bare = TENSORS.map(({ name, shape, since }) => ({ name, shape, since }));
    const job = jobWith({}, bare);
    expect(objectionTo('1.1.0', job)).toBe('the trainer lacks skip, of which the job declares no default');
    expect(objectionTo('1.0.0', job)).toContain('the trainer lacks gate, skip, of which');
    expect(objectionTo('1.2.0', job)).toBeUndefined();
  });

  test('is told what it lacks once, also where the job remembers what changed', () => {
    const job = jobWith({ strategy: { name: 'median' } });
    const changes = [{ needs: 'minor' as const, about: 'skip', message: 'the tensor is new, 0 by default' }];
    const history = [{ from: '1.1.0', to: '1.2.0', changes }];
    expect(schemaObjection(job, offersOf('1.1.0'), history)?.details.difference).toBe(
      'the trainer lacks skip, and median compares whole updates with each other',
    );
  });

  test('is left out where the job does not say which tensors came, or all of them did', () => {
    const unsaid = TENSORS.map(({ name, shape }) => ({ name, shape }));
    expect(objectionTo('1.0.0', jobWith({}, unsaid))).toContain(
      "none of the job's says since when it is there",
    );
    const all = TENSORS.map((tensor) => ({ ...tensor, since: '1.2.0', default: 0 }));
    expect(objectionTo('1.0.0', jobWith({}, all))).toBe('all tensors of the job came after 1.0.0');
  });

  test('is left out where the job refuses such, and one of another PATCH that lacks nothing is not', () => {
    const job = jobWith({ weightSchema: { id: 'net', version: '1.2.3', probe: 'off', earlier: 'refused' } });
    expect(objectionTo('1.1.0', job)).toBe(
      'the trainer is of 1.1.0, and the job refuses trainers of earlier versions',
    );
    expect(objectionTo('1.2.0', job)).toBeUndefined();
    const said = { id: 'net', version: '1.2.3', probe: 'off', earlier: 'admitted' };
    expect(objectionTo('1.1.0', jobWith({ weightSchema: said }))).toBeUndefined();
  });

  test('takes part with the strategies that average updates, and is told why not with every other', () => {
    const byzantine = { byzantine: 0 };
    const said: Partial<Record<Strategy['name'], object>> = {
      fedprox: { mu: 1 },
      fedbuff: { bufferSize: 2 },
      'trimmed-mean': byzantine,
      krum: byzantine,
      'multi-krum': byzantine,
      bulyan: byzantine,
      'norm-filter': byzantine,
    };
    const why = STRATEGY_NAMES.map((name) => {
      const strategy = strategySchema.parse({ name, ...said[name] });
      return [name, earlierVersionFault({ ...jobWith(), strategy }, '1.0.0')] as const;
    });
    expect(why.filter(([, fault]) => fault === undefined).map(([name]) => name)).toEqual([
      'fedavg',
      'fedprox',
      'fedavgm',
      'fedadam',
      'fedyogi',
      'fedadagrad',
      'fedbuff',
    ]);
    const faults = new Map(why);
    expect(faults.get('krum')).toBe(
      'the trainer lacks gate, skip, and krum compares whole updates with each other',
    );
    expect(faults.get('scaffold')).toContain('scaffold corrects every tensor by the mean of all sites');
    expect(faults.get('qfedavg')).toContain('qfedavg divides by the length of whole updates');
  });

  test('is given tensors of its version alone, whatever the job has: those that are left make its manifest', () => {
    const part = fc.nat({ max: 4 });
    const since = fc.option(fc.tuple(fc.nat({ max: 3 }), part), { nil: undefined });
    fc.assert(
      fc.property(fc.array(since, { minLength: 1, maxLength: 6 }), part, part, (sinces, minor, patch) => {
        const tensors = sinces.map((one, place) => ({
          name: `t${place}`,
          shape: [place + 1],
          ...(one && { since: `1.${one.join('.')}`, default: 0 }),
        }));
        const job = jobWith({ weightSchema: { id: 'net', version: '1.9.0', probe: 'off' } }, tensors);
        const version = `1.${minor}.${patch}`;
        const has = sinces.map((one) => !one || one[0] < minor || (one[0] === minor && one[1] <= patch));
        const kept = manifestOf(jobOfVersion(job, version)).tensors.map(({ name }) => name);
        expect(kept).toEqual(tensors.filter((_, place) => has[place]).map(({ name }) => name));
        expect(lackedSpans(job, version).map(({ tensor }) => tensor.name)).toEqual(
          tensors.filter((_, place) => !has[place]).map(({ name }) => name),
        );
      }),
    );
  });
});

/** A and B have all tensors, C lacks two. */
function rehearsal(change: object = {}) {
  const job = new Rehearsal(jobWith(change));
  const come = (site: SiteId, version: string) =>
    job.feed({ kind: 'site-online', site, presence: { ...PRESENCE, trainers: offersOf(version) } });
  come(A, '1.2.0');
  come(B, '1.2.1');
  come(C, '1.0.0');
  return { job, come };
}

describe('a job with a site that is behind', () => {
  test('takes its update as one of its version, over a restart too', () => {
    const { job } = rehearsal();
    expect([...job.state.participants.keys()]).toEqual([A, B, C]);
    expect(job.arrive(C, { schemaVersion: '1.0.0' }).refusal).toBeUndefined();
    const told = ({ accepted }: Pick<typeof job.state, 'accepted'>) =>
      accepted.get(C)?.declaration.schemaVersion;
    expect([told(job.state), told(recover(job.records)!)]).toEqual(['1.0.0', '1.0.0']);
    // The same update once more, and the same bytes as of all tensors.
    expect(job.arrive(C, { schemaVersion: '1.0.0' }).refusal).toBeUndefined();
    expect(job.arrive(C).refusal).toBe('UPDATE_CONFLICT');
  });

  test('takes no zeros for "unchanged", and no update as of a version that lacks nothing', () => {
    const { job } = rehearsal();
    const said = (site: SiteId, schemaVersion: string | undefined) => {
      const { reply } = job.arrive(site, { schemaVersion, digest: digest('f') }).effects;
      return reply?.ok === false ? reply.refusal.details.reason : undefined;
    };
    expect(said(C, undefined)).toContain('its trainer is of version 1.0.0');
    expect(said(C, '1.1.0')).toContain('its trainer is of version 1.0.0');
    for (const version of ['1.2.0', '1.3.0', '2.0.0', 'x'])
      expect(said(A, version)).toContain(`version ${version}, which lacks nothing`);
    expect(said(A, '0.9.0')).toBe('it is said to be of version 0.9.0, which is of another MAJOR than 1.2.0');
    // What it trained before it was brought up to date.
    expect(said(A, '1.1.0')).toBeUndefined();
  });

  test('has it not evaluate: it would measure another function', () => {
    const { job } = rehearsal();
    for (const site of [A, B]) job.arrive(site);
    job.arrive(C, { schemaVersion: '1.0.0' });
    job.sum();
    expect(job.state.phase).toBe('evaluating');
    const tasks = (site: SiteId) =>
      job.effects.say.flatMap(({ site: to, message }) =>
        to === site && message.kind === 'assignment' ? [message.assignment.task] : [],
      );
    expect([tasks(A), tasks(B), tasks(C)]).toEqual([['evaluate'], ['evaluate'], []]);
    job.evaluate(A, B);
    expect(job.state.round).toBe(2);
    expect(tasks(C)).toEqual(['train']);
  });

  test('does not wait for one that was set back while it evaluated', () => {
    const { job, come } = rehearsal();
    for (const site of [A, B]) job.arrive(site);
    job.arrive(C, { schemaVersion: '1.0.0' });
    job.sum();
    job.feed({ kind: 'site-offline', site: B });
    come(B, '1.1.0');
    job.evaluate(A);
    expect(job.state).toMatchObject({ round: 2, phase: 'working' });
  });

  test('goes on without evaluations where all sites are behind', () => {
    const job = new Rehearsal(jobWith());
    for (const site of [A, B, C])
      job.feed({ kind: 'site-online', site, presence: { ...PRESENCE, trainers: offersOf('1.1.0') } });
    for (const site of [A, B, C]) job.arrive(site, { schemaVersion: '1.1.0' });
    job.sum();
    expect(job.state).toMatchObject({ round: 2, phase: 'working' });
  });

  test('has it evaluate once it has caught up', () => {
    const { job, come } = rehearsal();
    for (const site of [A, B]) job.arrive(site);
    job.arrive(C, { schemaVersion: '1.0.0' });
    job.sum();
    come(C, '1.2.0');
    expect(job.told(C)).toEqual(['version-committed', 'assignment']);
  });
});
