import { type Problem, problem } from '../errors/problem.ts';
import type { Presence } from './assignment.ts';
import type { Job } from './job.ts';
import { needsGolden } from './job-manifest.ts';

/** What of a job says what a site of before would not understand. */
type Worded = Pick<Job, 'strategy' | 'model' | 'batchNorm' | 'updateBound' | 'weightSchema'>;

/** What a job says that sites of the first release do not know, in the words of its file; undefined where they know all. */
function newWord(spec: Worded): string | undefined {
  const { strategy, model, batchNorm, updateBound } = spec;
  if (strategy.name === 'scaffold' || strategy.name === 'fedbuff') return `strategy ${strategy.name}`;
  if (model.kind === 'cnn' && model.convolutions.some((layer) => layer.batchNorm !== undefined))
    return 'model.convolutions.batchNorm';
  if (batchNorm) return 'batchNorm';
  if (needsGolden(spec)) return 'a probe of an external model';
  return typeof updateBound === 'number' ? undefined : 'updateBound by tensor';
}

/**
 * Why a site is left out of a job: JOB_UNSUPPORTED where it is of the first release, which names no encodings as it joins, and
 * the job says what that does not know. Such a site takes a message with an unknown word for a broken one and ends its
 * session, that of its other jobs too, so it must not be told of the job. Later ones decline it themselves.
 */
export function releaseObjection(
  spec: Worded,
  { encodings }: Pick<Presence, 'encodings'>,
): Problem | undefined {
  const what = encodings === undefined ? newWord(spec) : undefined;
  return what === undefined ? undefined : problem('JOB_UNSUPPORTED', { what });
}
