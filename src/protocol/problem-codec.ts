import { isErrorCode, type Problem, problem, publicText } from '../errors/problem.ts';
import { hasControls } from './field.ts';
import type { Problem__Output, Problem as WireProblem } from './generated/consilium/v1/Problem.ts';

const DETAILS_MAX = 16;
const TEXT_MAX = 500;

/** A problem as it travels: its code, its details and its public sentence in English. */
export function problemToWire(occurrence: Problem): WireProblem {
  return { code: occurrence.code, details: { ...occurrence.details }, message: publicText(occurrence) };
}

/**
 * A problem from the other side. Total: texts are cut to size and cleared of control characters, and a code that
 * this version does not know becomes PEER_REFUSED, which keeps the code and the sentence.
 */
export function problemFromWire({ code, details, message }: Problem__Output): Problem {
  if (!isErrorCode(code)) {
    return problem('PEER_REFUSED', { code: printable(code, 64) || '(none)', message: printable(message) });
  }
  const known = Object.entries(details).slice(0, DETAILS_MAX);
  return problem(
    code,
    Object.fromEntries(known.map(([key, value]) => [printable(key, 64), printable(value)])),
  );
}

/** The text, cut to size and cleared of control characters. */
export function printable(value: string, limit = TEXT_MAX): string {
  const cut = value.length > limit ? `${value.slice(0, limit - 1)}…` : value;
  return hasControls(cut) ? Array.from(cut, (unit) => (hasControls(unit) ? ' ' : unit)).join('') : cut;
}
