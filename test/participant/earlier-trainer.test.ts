import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { ProbeTask, Trainer, TrainerTask } from '../../src/participant/trainer.ts';
import { trainerOf } from '../../src/participant/trainers/earlier-trainer.ts';
import { type Job, manifestOf } from '../../src/rounds/job.ts';
import { tensorSpans } from '../../src/weights/manifest.ts';
import { jobOf } from './trainers/jobs.ts';

type Seen = Pick<TrainerTask, 'job' | 'manifest' | 'base'>;

/** A trainer that moves element n of what it is given by n + 1, and remembers what that was. */
function watched() {
  const seen: Seen[] = [];
  const watch = ({ job, manifest, base }: Seen) => {
    seen.push({ job, manifest, base: base.slice() });
  };
  const trainer = {
    train: async (task: TrainerTask) => {
      watch(task);
      return { update: task.base.map((_, at) => at + 1), sampleCount: 20, metrics: {}, backend: 'test' };
    },
    evaluate: async (task: TrainerTask) => {
      watch(task);
      return { metrics: {}, sampleCount: 20 };
    },
    probe: async (task: ProbeTask) => {
      watch(task);
      return { engine: 'test', channelsLast: false, probes: [] };
    },
  } as unknown as Trainer;
  return { seen, trainer };
}

function trainerAt(version: string, trainer: Trainer, job: Job) {
  const schemas = [{ id: 'net', version }];
  const offers = [{ name: 'tfjs', kind: 'command', backend: 'test', schemas } as const];
  return trainerOf({ ready: new Map([['tfjs', trainer]]), offers }, job)!;
}

const tensor = fc.record({ length: fc.integer({ min: 1, max: 4 }), minor: fc.nat({ max: 3 }) });
const jobWith = (tensors: readonly { readonly length: number; readonly minor: number }[]) =>
  jobOf(
    {
      kind: 'external',
      tensors: tensors.map(({ length, minor }, place) => ({
        ...{ name: `t${place}`, shape: [length], since: `1.${minor}.0`, default: 0 },
      })),
    },
    {
      weightSchema: { id: 'net', version: '1.3.0', probe: 'off' },
      initialWeights: { file: 'w.safetensors' },
    },
  );

describe('a trainer of an earlier version', () => {
  test('is given the tensors of its version for every task, and its update is zero in all others', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(tensor, { minLength: 1, maxLength: 7 }),
        fc.nat({ max: 3 }),
        async (tensors, minor) => {
          const job = jobWith(tensors);
          const manifest = manifestOf(job);
          const version = `1.${minor}.0`;
          const { seen, trainer } = watched();
          const found = trainerAt(version, trainer, job);
          const kept = tensorSpans(manifest).filter((_, place) => tensors[place]!.minor <= minor);
          const base = Float32Array.from(
            tensorSpans(manifest).flatMap(({ length, start }) =>
              Array.from({ length }, (_, at) => 100 + start + at),
            ),
          );
          const lent = base.slice();
          const task = { job, manifest, base } as unknown as TrainerTask & ProbeTask;
          const { update } = await found.trainer.train(task);
          await found.trainer.evaluate(task);
          await found.trainer.probe(task);
          const lacks = kept.length < tensors.length;
          expect(found.schemaVersion).toBe(lacks ? version : undefined);
          const due = kept.flatMap(({ start, length }) => [...base.subarray(start, start + length)]);
          expect(seen).toHaveLength(3);
          for (const one of seen) {
            expect([...one.base]).toEqual(due);
            expect(one.manifest.tensors).toEqual(kept.map(({ tensor: own }) => own));
            expect(one.manifest).toEqual(manifestOf(one.job));
            expect(one.job.weightSchema?.version).toBe(lacks ? version : '1.3.0');
          }
          const expected = new Float32Array(base.length);
          let nth = 0;
          for (const { start, length } of kept)
            for (let at = start; at < start + length; at++) expected[at] = ++nth;
          expect(update).toEqual(expected);
          expect(base).toEqual(lent);
        },
      ),
    );
  });

  test('gives what is not finite as it is: it is for the site to find', async () => {
    const job = jobWith([
      { length: 1, minor: 0 },
      { length: 1, minor: 2 },
    ]);
    const { trainer } = watched();
    trainer.train = async () => ({
      ...{ update: Float32Array.of(Number.NaN), sampleCount: 1, metrics: {}, backend: 'test' },
    });
    const task = { job, manifest: manifestOf(job), base: new Float32Array(2) } as unknown as TrainerTask;
    const { update } = await trainerAt('1.0.0', trainer, job).trainer.train(task);
    expect([...update]).toEqual([Number.NaN, 0]);
  });

  test('is not there where none is of that name', () => {
    expect(trainerOf({ ready: new Map(), offers: [] }, jobWith([{ length: 1, minor: 0 }]))).toBeUndefined();
  });
});
