import type { z } from 'zod';
import { type Problem, problem } from '../errors/problem.ts';
import { type Job, jobSchema } from '../rounds/job.ts';
import { canonicalJson } from '../vocabulary/canonical-json.ts';
import { ok, type Result, refused } from '../vocabulary/result.ts';
import { jsonOf } from './field.ts';
import { printable } from './problem-codec.ts';

/** What is quoted of a job that is not understood, in UTF-16 units. */
const WORD_LENGTH_MAX = 200;

/** A job as it travels: canonical JSON in UTF-8. */
export function jobToWire(spec: Job): Uint8Array {
  return new TextEncoder().encode(canonicalJson(spec));
}

/**
 * The job in a byte field; a reader for `decoding`, which refuses the whole message where it is no JSON. JOB_UNSUPPORTED, with the
 * first word that this version does not know, where it is JSON and no job of this version: the coordinator may be a later one.
 */
export function jobFromWire(json: Uint8Array, where: string): Result<Job, Problem> {
  const value = jsonOf(json, where);
  const parsed = jobSchema.safeParse(value);
  if (parsed.success) return ok(parsed.data);
  const what = printable(unknownWord(parsed.error.issues[0]!, value), WORD_LENGTH_MAX);
  return refused(problem('JOB_UNSUPPORTED', { what }));
}

/** Where the job says what is not known, and what that is if it is short. */
function unknownWord(issue: z.core.$ZodIssue, job: unknown): string {
  const { path } = issue;
  if (issue.code === 'unrecognized_keys') return [...path, issue.keys[0]].join('.');
  const place = path.join('.') || 'nothing';
  if (issue.code === 'custom') return `${place} (${issue.message})`;
  const said = path.reduce((value, key) => (value as Record<PropertyKey, unknown> | undefined)?.[key], job);
  return isShort(said) ? `${place} ${said}` : place;
}

function isShort(value: unknown): value is string | number | boolean {
  return typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean';
}
