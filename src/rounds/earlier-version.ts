import { type TensorSpan, tensorSpans } from '../weights/manifest.ts';
import { compareVersions, parseVersion } from '../weights/schema/version.ts';
import type { TrainerOffer } from './assignment.ts';
import { type Job, manifestOf } from './job.ts';
import { listed } from './short-text.ts';
import type { Strategy } from './strategy.ts';
import type { DatedTensor } from './tensor-since.ts';

/*
 * Trainers that are behind the weight schema of a job by a MINOR. They train the tensors that they have, and compute as if
 * those that came later were at their defaults; what they lack is zero in their updates, and counts for nothing there
 * (docs/WEIGHTS.md, ADR 26).
 */

/** What of a job says which of its tensors a version lacks. */
type DatedJob = Pick<Job, 'model' | 'weightSchema'>;

/** The tensors of a job's model that came after a version of its weight schema, in order; none where no version is said. */
export function lackedTensors(
  { model }: Pick<Job, 'model'>,
  version: string | undefined,
): readonly DatedTensor[] {
  const own = version === undefined ? undefined : parseVersion(version);
  if (!own || model.kind !== 'external') return [];
  return model.tensors.filter(({ since }) => {
    const came = since === undefined ? undefined : parseVersion(since);
    return came !== undefined && compareVersions(came, own) > 0;
  });
}

/** Where those tensors lie in the update of a job that has no control variates. */
export function lackedSpans(
  job: Pick<Job, 'model' | 'schemaVersion' | 'weightSchema'>,
  version: string | undefined,
): readonly TensorSpan[] {
  const lacked = new Set(lackedTensors(job, version).map(({ name }) => name));
  return lacked.size === 0
    ? []
    : tensorSpans(manifestOf(job)).filter(({ tensor }) => lacked.has(tensor.name));
}

/**
 * The version of a job's weight schema that a trainer states under the job's name for it, where it lacks tensors of the
 * job; undefined where it lacks none.
 */
export function earlierVersion(
  job: DatedJob & { readonly trainer: Pick<Job['trainer'], 'name'> },
  offers: readonly TrainerOffer[],
): string | undefined {
  const offer = offers.find(({ name }) => name === job.trainer.name);
  const stated = offer?.schemas?.find(({ id }) => id === job.weightSchema?.id)?.version;
  return lackedTensors(job, stated).length > 0 ? stated : undefined;
}

/** A job as a trainer of an earlier version of its weight schema knows it: without the tensors that came since. */
export function jobOfVersion(job: Job, version: string): Job {
  const { model, weightSchema } = job;
  if (model.kind !== 'external' || !weightSchema) return job;
  const lacked = new Set(lackedTensors(job, version));
  const tensors = model.tensors.filter((tensor) => !lacked.has(tensor));
  return { ...job, model: { ...model, tensors }, weightSchema: { ...weightSchema, version } };
}

/**
 * Why a trainer that is behind by a MINOR cannot take part in a job, as a clause; undefined where it can. It can where
 * the job says which tensors came since and each of them has a default, and where updates are averaged in a way that
 * can leave a tensor out of one of them.
 */
export function earlierVersionFault(
  job: DatedJob & Pick<Job, 'strategy'>,
  version: string,
): string | undefined {
  if (job.weightSchema?.earlier === 'refused')
    return `the trainer is of ${version}, and the job refuses trainers of earlier versions`;
  const lacked = lackedTensors(job, version);
  const [major, minor] = version.split('.').map(Number);
  if (lacked.length === 0)
    return `the trainer has not the tensors that came with ${major}.${minor! + 1} or later, and none of the job's says since when it is there`;
  if (job.model.kind === 'external' && lacked.length === job.model.tensors.length)
    return `all tensors of the job came after ${version}`;
  const bare = lacked.filter((tensor) => tensor.default === undefined).map(({ name }) => name);
  if (bare.length > 0) return `the trainer lacks ${listed(bare)}, of which the job declares no default`;
  const names = listed(lacked.map(({ name }) => name));
  const fault = partialUpdateFault(job.strategy);
  return fault && `the trainer lacks ${names}, and ${job.strategy.name} ${fault}`;
}

/** Why a strategy cannot leave a tensor out of one update, as the end of a sentence; undefined where it can. */
function partialUpdateFault({ name }: Strategy): string | undefined {
  switch (name) {
    case 'fedavg':
    case 'fedprox':
    case 'fedavgm':
    case 'fedadam':
    case 'fedyogi':
    case 'fedadagrad':
    case 'fedbuff':
      return undefined;
    case 'scaffold':
      return 'corrects every tensor by the mean of all sites';
    case 'qfedavg':
      return 'divides by the length of whole updates';
    default:
      return 'compares whole updates with each other';
  }
}
