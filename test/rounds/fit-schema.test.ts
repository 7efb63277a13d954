import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { TrainerOffer } from '../../src/rounds/assignment.ts';
import { needsProbe, probeStamp, schemaObjection } from '../../src/rounds/fit-schema.ts';
import { manifestOf } from '../../src/rounds/job.ts';
import { jobOf, PRESENCE } from './federation.ts';

const offerOf = (version: string, id = 'heart-net'): TrainerOffer => ({
  name: 'tfjs',
  kind: 'command',
  backend: 'test',
  framework: 'pytorch',
  schemas: [{ id, version }],
});
const jobWith = (version: string, more: object = {}) =>
  jobOf({ weightSchema: { id: 'heart-net', version, ...more } });
const part = fc.nat({ max: 5 });
const version = fc.tuple(part, part, part);

describe('the schemas of a job and of a trainer', () => {
  it('fit where MAJOR is the same and the trainer is not behind by a MINOR', () => {
    fc.assert(
      fc.property(version, version, (ours, theirs) => {
        const found = schemaObjection(jobWith(ours.join('.')), [offerOf(theirs.join('.'))]);
        const fits = ours[0] === theirs[0] && theirs[1] >= ours[1];
        expect(found === undefined).toBe(fits);
      }),
    );
  });

  it('do not depend on PATCH, nor on what else a trainer is written for', () => {
    fc.assert(
      fc.property(version, version, part, part, ([a, b, c], [d, e, f], g, h) => {
        const fits = (job: string, offer: TrainerOffer) =>
          schemaObjection(jobWith(job), [offer]) === undefined;
        const one = offerOf(`${d}.${e}.${f}`);
        const other = {
          ...one,
          schemas: [
            { id: 'another', version: '9.9.9' },
            { id: 'heart-net', version: `${d}.${e}.${h}` },
          ],
        };
        expect(fits(`${a}.${b}.${g}`, other)).toBe(fits(`${a}.${b}.${c}`, one));
      }),
    );
  });

  it('need the same version of MINOR where no probe shows what the defaults do', () => {
    fc.assert(
      fc.property(version, version, (ours, theirs) => {
        const job = jobWith(ours.join('.'), { probe: 'off' });
        const found = schemaObjection(job, [offerOf(theirs.join('.'))]);
        expect(found === undefined).toBe(ours[0] === theirs[0] && ours[1] === theirs[1]);
      }),
    );
  });

  it.each([
    ['2.0.0', '1.4.0', 'heart-net 1.4.0', 'MAJOR 1 is not 2'],
    ['1.3.0', '1.1.7', 'heart-net 1.1.7', 'the tensors that came with 1.2 or later'],
  ])('are told with both versions and what differs: %s and %s', (needs, has, found, difference) => {
    expect(schemaObjection(jobWith(needs), [offerOf(has)])).toMatchObject({
      code: 'WEIGHT_SCHEMA_MISMATCH',
      details: {
        trainer: 'tfjs',
        expected: `heart-net ${needs}`,
        found,
        difference: expect.stringContaining(difference),
      },
    });
  });

  it('are told where the trainer is written for others, or says nothing', () => {
    const job = jobWith('1.0.0');
    const other = schemaObjection(job, [offerOf('1.0.0', 'another')]);
    expect(other?.details).toMatchObject({
      found: 'another 1.0.0',
      difference: 'it is not written for this schema',
    });
    expect(schemaObjection(job, PRESENCE.trainers)?.details.found).toBe('none');
  });

  it('are no matter for jobs that name none, and for trainers that are not there', () => {
    expect(schemaObjection(jobOf(), PRESENCE.trainers)).toBeUndefined();
    expect(schemaObjection(jobWith('1.0.0'), [])).toBeUndefined();
  });
});

describe('a job that names a weight schema', () => {
  it('needs a probe unless it says otherwise, and gives its version to the manifest', () => {
    expect(needsProbe(jobOf())).toBe(false);
    expect(needsProbe(jobWith('1.2.0'))).toBe(true);
    expect(needsProbe(jobWith('1.2.0', { probe: 'off' }))).toBe(false);
    expect(manifestOf(jobWith('1.2.0')).schemaVersion).toBe('1.2.0');
    expect(manifestOf(jobOf()).schemaVersion).toBe('1.0.0');
  });
});

it('a passed probe holds for one trainer, backend, framework, schema and software', () => {
  const job = jobWith('1.0.0');
  const presence = { ...PRESENCE, trainers: [offerOf('1.0.0')] };
  const changes = [
    { ...presence, software: 'newer' },
    ...[
      { backend: 'other' },
      { framework: 'keras' },
      { schemas: [{ id: 'heart-net', version: '1.0.1' }] },
    ].map((change) => ({ ...presence, trainers: [{ ...offerOf('1.0.0'), ...change }] })),
  ];
  const stamps = [presence, ...changes].map((one) => probeStamp(job, one));
  expect(new Set(stamps).size).toBe(stamps.length);
  const more = {
    ...presence,
    datasets: ['other'],
    trainers: [...presence.trainers, { ...offerOf('2.0.0'), name: 'x' }],
  };
  expect(probeStamp(job, more)).toBe(stamps[0]);
});

describe('where the manifest of a job knows what changed', () => {
  const change = (needs: 'patch' | 'minor' | 'major', about: string, message: string) => ({
    ...{ needs, about, message },
  });
  const history = [
    {
      from: '1.0.0',
      to: '1.1.0',
      changes: [change('minor', 'norm.weight', 'the tensor is new, 1 by default')],
    },
    { from: '1.1.0', to: '1.1.1', changes: [{ needs: 'patch' as const, message: 'the mapping changed' }] },
    {
      from: '1.1.1',
      to: '2.0.0',
      changes: [
        change('major', 'fc.weight', 'its shape was [2, 8] and is [2, 16]'),
        change('major', 'norm', 'its attribute eps was 0.001 and is 0.00001'),
        change('minor', 'fc.scale', 'the tensor is new, 1 by default'),
        ...['a', 'b', 'c'].map((name) => change('major', name, 'the tensor is gone')),
      ],
    },
  ];
  const told = (job: string, site: string, known = history) =>
    schemaObjection(jobWith(job), [offerOf(site)], known)?.details.difference;

  it('a site of another MAJOR is told the first tensors and layers, and how many more', () => {
    expect(told('2.0.0', '1.1.0')).toBe(
      'MAJOR 1 is not 2, so tensors have another shape, order or meaning: fc.weight (its shape was [2, 8] and is [2, 16]), norm (its attribute eps was 0.001 and is 0.00001), a (the tensor is gone) and 2 more',
    );
  });

  it('a site that is behind by a MINOR is told the tensors that it lacks', () => {
    expect(told('1.1.1', '1.0.2', history.slice(0, 2))).toMatch(
      /: norm\.weight \(the tensor is new, 1 by default\)$/,
    );
  });

  it('nothing is made up for a site of before the history, or one that is ahead', () => {
    expect(told('2.0.0', '0.9.0')).toMatch(/order or meaning$/);
    expect(told('2.0.0', '3.0.0')).toMatch(/order or meaning$/);
  });

  it('a change of many words is cut, so that what differs can be read', () => {
    const long = [
      { from: '1.0.0', to: '2.0.0', changes: [change('major', 'x'.repeat(500), 'the tensor is gone')] },
    ];
    expect(told('2.0.0', '1.0.0', long)).toHaveLength(
      'MAJOR 1 is not 2, so tensors have another shape, order or meaning: '.length + 120,
    );
  });
});
