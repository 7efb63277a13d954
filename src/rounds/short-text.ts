import { type Problem, publicText } from '../errors/problem.ts';

/** Characters of one site's reason: what a site says of itself is repeated to all others. */
export const REASON_LENGTH_MAX = 200;
/** Characters of all reasons together. */
const REASONS_LENGTH_MAX = 600;

/** The public sentence of a problem, cut to what one site may say. */
export function shortText(occurrence: Problem): string {
  return cut(publicText(occurrence), REASON_LENGTH_MAX);
}

/** A text of at most `limit` characters, with a sign where it was longer. */
export function cut(text: string, limit: number): string {
  return text.length > limit ? `${text.slice(0, limit - 1)}…` : text;
}

/** Reasons of several sites, whole, as many as there is room for, and how many there are besides. */
export function wholeReasons(reasons: readonly string[]): string {
  let told = cut(reasons[0] ?? '', REASONS_LENGTH_MAX);
  for (const [nth, reason] of reasons.entries()) {
    if (nth === 0) continue;
    if (told.length + 1 + reason.length > REASONS_LENGTH_MAX)
      return `${told} and ${reasons.length - nth} more`;
    told += ` ${reason}`;
  }
  return told;
}

/** Names in a sentence: the first five, and how many there are besides. */
export function listed(names: readonly string[]): string {
  const few = names.slice(0, 5).join(', ');
  return names.length > 5 ? `${few} and ${names.length - 5} more` : few;
}
