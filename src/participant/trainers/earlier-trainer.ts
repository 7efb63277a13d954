import { earlierVersion, jobOfVersion, lackedSpans } from '../../rounds/earlier-version.ts';
import { type Job, manifestOf } from '../../rounds/job.ts';
import { invariant } from '../../vocabulary/invariant.ts';
import { type Manifest, manifestElements, type TensorSpan } from '../../weights/manifest.ts';
import type { OpenTrainers } from '../open-trainers.ts';
import type { Trainer } from '../trainer.ts';

/** What a trainer is asked to do. */
type Tasks = Pick<Trainer, 'train' | 'evaluate' | 'probe'>;

/**
 * The trainer that a job names, as one for all tensors of the job. Where it is written for an earlier version of the
 * job's weight schema, each task is put to it as a job of that version, with the tensors that this has, and its updates
 * are zero in those that came later. `schemaVersion` is that version; undefined where the trainer lacks nothing.
 */
export function trainerOf(
  { ready, offers }: Pick<OpenTrainers, 'ready' | 'offers'>,
  job: Job,
): { readonly trainer: Tasks; readonly schemaVersion: string | undefined } | undefined {
  const trainer = ready.get(job.trainer.name);
  const schemaVersion = earlierVersion(job, offers);
  if (!trainer || schemaVersion === undefined) return trainer && { trainer, schemaVersion };
  return { trainer: earlierTrainer(trainer, job, schemaVersion), schemaVersion };
}

function earlierTrainer(trainer: Tasks, job: Job, version: string): Tasks {
  const lacked = lackedSpans(job, version);
  const manifest = manifestOf(jobOfVersion(job, version));
  const earlier = <
    Task extends { readonly job: Job; readonly manifest: Manifest; readonly base: Float32Array },
  >(
    task: Task,
  ): Task => {
    invariant(task.base.length === manifestElements(task.manifest), 'a base is one of all tensors');
    return { ...task, job: jobOfVersion(task.job, version), manifest, base: without(lacked, task.base) };
  };
  return {
    train: async (task) => {
      const trained = await trainer.train(earlier(task));
      return { ...trained, update: expanded(lacked, trained.update, task.base.length) };
    },
    evaluate: (task) => trainer.evaluate(earlier(task)),
    probe: (task) => trainer.probe(earlier(task)),
  };
}

/** The values (borrowed) of all tensors but those spans, which are in order; the caller's. */
function without(spans: readonly TensorSpan[], values: Float32Array): Float32Array {
  const kept = new Float32Array(values.length - lengthOf(spans));
  copyKept(spans, values.length, (from, to, at) => kept.set(values.subarray(from, to), at));
  return kept;
}

/** The same the other way round: `values` (borrowed) with zeros in those spans, `elements` in all. */
function expanded(spans: readonly TensorSpan[], values: Float32Array, elements: number): Float32Array {
  invariant(values.length === elements - lengthOf(spans), 'a trainer gives all tensors of its version');
  const whole = new Float32Array(elements);
  copyKept(spans, elements, (from, to, at) => whole.set(values.subarray(at, at + to - from), from));
  return whole;
}

/** Calls with each run of elements between the spans, and its place among what is kept. */
function copyKept(
  spans: readonly TensorSpan[],
  elements: number,
  copy: (from: number, to: number, at: number) => void,
): void {
  let [from, at] = [0, 0];
  for (const { start, length } of [...spans, { start: elements, length: 0 }]) {
    if (start > from) copy(from, start, at);
    at += start - from;
    from = start + length;
  }
}

function lengthOf(spans: readonly TensorSpan[]): number {
  return spans.reduce((sum, { length }) => sum + length, 0);
}
