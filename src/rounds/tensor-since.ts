import { z } from 'zod';
import { compareVersions, parseVersion, VERSION_PATTERN } from '../weights/schema/version.ts';

/** What a job says of a tensor that came with a later MINOR of its weight schema. */
export const tensorSinceFields = {
  since: z
    .string()
    .regex(VERSION_PATTERN, 'a semantic version such as 1.1.0')
    .optional()
    .describe(
      'The version of the weight schema that the tensor came with; unless said, every version of the MAJOR has it.',
    ),
  default: z
    .number()
    .optional()
    .describe(
      'What a trainer of before `since` computes as if every element of the tensor were; docs/WEIGHTS.md says what comes of it.',
    ),
};

/** A tensor, as far as it says with which version it came. */
export interface DatedTensor {
  readonly name: string;
  readonly since?: string | undefined;
  readonly default?: number | undefined;
}

/**
 * Why tensors cannot have come with the versions that a job says, as a sentence without its full stop; undefined where
 * they can. `version` is that of the job's weight schema, undefined where it names none.
 */
export function tensorSinceFault(
  tensors: readonly DatedTensor[],
  version: string | undefined,
): string | undefined {
  const own = version === undefined ? undefined : parseVersion(version);
  for (const { name, since, default: value } of tensors) {
    const came = since === undefined ? undefined : parseVersion(since);
    if (!came) {
      if (value !== undefined)
        return `${name} has a default, and does not say since which version it is there`;
      continue;
    }
    if (!own) return `${name} says since which version it is there, and the job names no weightSchema`;
    if (came.major !== own.major) {
      return `${name} is there since ${since}, and versions of another MAJOR than ${version} have other tensors`;
    }
    if (compareVersions(came, own) > 0)
      return `${name} is there since ${since}, and the job's version is ${version}`;
  }
  return undefined;
}
