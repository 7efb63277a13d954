import { type Problem, problem } from '../errors/problem.ts';
import { type Digest, parseDigest } from '../vocabulary/digest.ts';
import {
  type AssignmentId,
  ID_RULE,
  type JobId,
  parseJobId,
  parseSiteId,
  type SiteId,
} from '../vocabulary/ids.ts';
import { ok, type Result, refused } from '../vocabulary/result.ts';

/** How a decoder leaves from deep inside a message; `decoding` turns it into a refusal. */
class FieldFault extends Error {
  readonly problem: Problem;

  constructor(occurrence: Problem) {
    super(occurrence.code);
    this.problem = occurrence;
  }
}

/** Runs a decoder made of the readers below; what they object to is the refusal. */
export function decoding<Value>(read: () => Value): Result<Value, Problem> {
  try {
    return ok(read());
  } catch (fault) {
    if (fault instanceof FieldFault) return refused(fault.problem);
    throw fault;
  }
}

/** Refuses the whole message with `occurrence`. */
export function refuse(occurrence: Problem): never {
  throw new FieldFault(occurrence);
}

/** Refuses the whole message: `where` is the field's path, `what` the end of the sentence. */
export function malformed(where: string, what: string): never {
  throw new FieldFault(problem('MESSAGE_MALFORMED', { reason: `${where} ${what}` }));
}

/** The member that must be there. */
export function present<Value>(value: Value | null | undefined, where: string): Value {
  return value ?? malformed(where, 'is missing');
}

/** A 64-bit integer of the wire, as proto-loader spells it: whole, not negative, exact as a number. */
export function wholeNumber(digits: string, where: string): number {
  const value = /^\d{1,16}$/.test(digits) ? Number(digits) : Number.NaN;
  if (!Number.isSafeInteger(value))
    malformed(where, `is ${digits.slice(0, 24)}; a whole number from 0 to 2^53 - 1 is needed`);
  return value;
}

/** A finite number. */
export function finiteNumber(value: number, where: string): number {
  return Number.isFinite(value) ? value : malformed(where, `is ${value}; it must be finite`);
}

/** A number from 0 to 1. */
export function share(value: number, where: string): number {
  return value >= 0 && value <= 1 ? value : malformed(where, `is ${value}; it must be from 0 to 1`);
}

/** A string of at most `limit` UTF-16 units, without control characters. */
export function text(value: string, where: string, limit = 1024): string {
  if (value.length > limit) malformed(where, `has ${value.length} characters; at most ${limit} are allowed`);
  if (hasControls(value)) malformed(where, 'holds control characters');
  return value;
}

/** Whether a terminal or a log could be misled by the text (C0, DEL and C1 controls). */
export function hasControls(value: string): boolean {
  for (let place = 0; place < value.length; place++) {
    const unit = value.charCodeAt(place);
    if (unit < 0x20 || (unit >= 0x7f && unit < 0xa0)) return true;
  }
  return false;
}

/** A byte string of exactly `length` bytes; a copy, so that it does not hold on to the message. */
export function bytesOf(value: Uint8Array, where: string, length: number): Uint8Array {
  if (value.length !== length) malformed(where, `has ${value.length} bytes; ${length} are needed`);
  return new Uint8Array(value);
}

/** A byte string of at most `limit` bytes; a copy. */
export function bytesUpTo(value: Uint8Array, where: string, limit: number): Uint8Array {
  if (value.length > limit) malformed(where, `has ${value.length} bytes; at most ${limit} are allowed`);
  return new Uint8Array(value);
}

/** A list of at most `limit` elements, each read by `read`. */
export function listOf<Wire, Value>(
  values: readonly Wire[],
  where: string,
  limit: number,
  read: (value: Wire, where: string) => Value,
): readonly Value[] {
  if (values.length > limit) malformed(where, `has ${values.length} entries; at most ${limit} are allowed`);
  return values.map((value, place) => read(value, `${where}[${place}]`));
}

/** Finite numbers by name. */
export function metricsOf(
  values: Readonly<Record<string, number>>,
  where: string,
): Readonly<Record<string, number>> {
  const entries = Object.entries(values);
  if (entries.length > 256) malformed(where, `has ${entries.length} entries; at most 256 are allowed`);
  return Object.fromEntries(
    entries.map(([name, value]) => [text(name, where, 128), finiteNumber(value, `${where}.${name}`)]),
  );
}

/** An SM3 digest, as `sm3:` and hexadecimal digits. */
export function digestOf(value: string, where: string): Digest {
  return parseDigest(value) ?? malformed(where, 'is not "sm3:" and 64 lower-case hexadecimal digits');
}

/** A job id. */
export function jobOf(value: string, where: string): JobId {
  return parseJobId(value) ?? malformed(where, `is not a job id (${ID_RULE})`);
}

/** A site id. */
export function siteOf(value: string, where: string): SiteId {
  return parseSiteId(value) ?? malformed(where, `is not a site id (${ID_RULE})`);
}

/** An assignment id: job, round, attempt and task. */
export function assignmentOf(value: string, where: string): AssignmentId {
  return /^[a-z0-9-]{1,63}\/\d{1,10}\/\d{1,10}\/[a-z]{1,16}$/.test(value)
    ? (value as AssignmentId)
    : malformed(where, 'is not an assignment id (job/round/attempt/task)');
}

/** One of a few words. */
export function wordOf<Word extends string>(value: string, words: readonly Word[], where: string): Word {
  return words.find((word) => word === value) ?? malformed(where, `is not one of ${words.join(', ')}`);
}

/** The JSON value in a byte string of UTF-8, of at most `limit` bytes. */
export function jsonUpTo(value: Uint8Array, where: string, limit: number): unknown {
  if (value.length > limit) malformed(where, `has ${value.length} bytes; at most ${limit} are allowed`);
  return jsonOf(value, where);
}

/** The JSON value in a byte string of UTF-8. */
export function jsonOf(value: Uint8Array, where: string): unknown {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(value));
  } catch {
    return malformed(where, 'is not JSON in UTF-8');
  }
}
