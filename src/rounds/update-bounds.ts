import { z } from 'zod';
import { inspectValues, type ValueFault } from '../aggregation/inspect-values.ts';
import { closest } from '../vocabulary/closest.ts';
import { matchesGlob } from '../vocabulary/glob.ts';
import { ok, type Result, refused } from '../vocabulary/result.ts';
import { elementCount, type Manifest } from '../weights/manifest.ts';
import { listed } from './short-text.ts';

const bound = z
  .number()
  .positive()
  .finite()
  .max(2 ** 20);
const DEFAULT = 64;

/** How large an element of an update may be: one bound for all, or some tensors with bounds of their own. */
export const updateBoundSchema = z
  .union([
    bound,
    z.strictObject({
      default: bound.default(DEFAULT).describe('Of every tensor that no name or pattern below is for.'),
      tensors: z
        .record(z.string().min(1).max(512), bound)
        .describe('By the name of a tensor, or by a pattern in which * stands for any characters.'),
    }),
  ])
  .default(DEFAULT);

/** The bounds of a job's updates, as it says them. */
export type UpdateBound = z.output<typeof updateBoundSchema>;

/**
 * The bound of each tensor of a manifest, in its order. A name goes before patterns. Refused, in a sentence without its
 * full stop, where a name or pattern is for no tensor, or a tensor fits two patterns.
 */
export function tensorBounds(said: UpdateBound, { tensors }: Manifest): Result<readonly number[], string> {
  if (typeof said === 'number') return ok(tensors.map(() => said));
  const names = tensors.map(({ name }) => name);
  const patterns = Object.keys(said.tensors).filter((key) => key.includes('*') && !names.includes(key));
  for (const key of Object.keys(said.tensors)) {
    if (names.includes(key) || (patterns.includes(key) && names.some((name) => matchesGlob(key, name))))
      continue;
    const near = closest(key, names);
    const hint = near === undefined ? `there are ${listed(names)}` : `did you mean ${near}?`;
    return refused(`no tensor of an update is called ${key}: ${hint}`);
  }
  const bounds: number[] = [];
  for (const name of names) {
    const own = Object.hasOwn(said.tensors, name) ? said.tensors[name] : undefined;
    const fitting = patterns.filter((pattern) => matchesGlob(pattern, name));
    if (own === undefined && fitting.length > 1) {
      return refused(
        `${name} fits both ${fitting[0]} and ${fitting[1]}: name it, or make one of them narrower`,
      );
    }
    bounds.push(own ?? (fitting[0] === undefined ? said.default : said.tensors[fitting[0]]!));
  }
  return ok(bounds);
}

/** Elements of an update that follow each other and have one bound. */
export interface BoundSpan {
  readonly start: number;
  readonly end: number;
  readonly bound: number;
}

/** The bounds of an update's elements, in the order of its payload. */
export class ElementBounds {
  readonly spans: readonly BoundSpan[];

  /** `said` has been checked against the manifest: the job was taken with it. */
  constructor(said: UpdateBound, manifest: Manifest) {
    const bounds = tensorBounds(said, manifest);
    if (!bounds.ok) throw new RangeError(bounds.refusal);
    const spans: BoundSpan[] = [];
    let start = 0;
    for (const [place, { shape }] of manifest.tensors.entries()) {
      const end = start + elementCount(shape);
      const last = spans.at(-1);
      const own = bounds.value[place]!;
      if (last?.bound === own) spans[spans.length - 1] = { ...last, end };
      else spans.push({ start, end, bound: own });
      start = end;
    }
    this.spans = spans;
  }

  /** The global L2 norm of an update all of whose elements are at their bounds. */
  get normMax(): number {
    return Math.sqrt(this.spans.reduce((sum, { start, end, bound }) => sum + (end - start) * bound ** 2, 0));
  }

  /** The bounds of the elements from `start` to `end`, exclusive. */
  within(start: number, end: number): readonly BoundSpan[] {
    const cut = this.spans.map((span) => ({
      ...{ start: Math.max(start, span.start), end: Math.min(end, span.end), bound: span.bound },
    }));
    return cut.filter((span) => span.end > span.start);
  }

  /** The bound of an element. */
  at(element: number): number {
    return this.spans.find(({ end }) => element < end)?.bound ?? 0;
  }

  /** The first of `values` (borrowed), elements from `offset` on, that is not finite or beyond its bound. */
  faultIn(offset: number, values: Float32Array): ValueFault | undefined {
    for (const { start, end, bound } of this.spans) {
      const from = Math.max(start - offset, 0);
      const to = Math.min(end - offset, values.length);
      if (to <= from) continue;
      const fault = inspectValues(values.subarray(from, to), bound);
      if (fault) return { ...fault, place: from + fault.place };
    }
    return undefined;
  }
}
