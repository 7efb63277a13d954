import { invariant } from '../vocabulary/invariant.ts';
import { float32AtMost, fractionBitsFor } from './fixed-point.ts';
import { inspectValues, type ValueFault } from './inspect-values.ts';
import { BLOCK_ELEMENTS } from './kernels/memory-map.ts';
import { type CellKind, SumShard } from './sum-shard.ts';
import type { UpdateMeasure } from './update-measure.ts';

/** A tensor's part of a sum. */
export interface SumSpan {
  /** Elements. */
  readonly length: number;
  /** No value of it is larger in magnitude. */
  readonly bound: number;
  /** Updates that have anything but zeros there at most, and the largest weight among them; those of the plan unless said. */
  readonly terms?: number;
  readonly weightMax?: number;
}

/** What a sum must know before its first term. */
export interface SumPlan {
  /** The tensors, in payload order. */
  readonly spans: readonly SumSpan[];
  /**
   * How many updates are added at most, those of merged sums included: a promise of the caller, without which cells
   * could wrap.
   */
  readonly terms: number;
  /** No update weighs more. */
  readonly weightMax: number;
  /** `exact` unless said. `float32` is faster and half as large, and its result depends on the order of addition. */
  readonly cells?: CellKind;
  /** The most bytes of memory that one shard may take; 1 GiB unless said. */
  readonly shardBytesMax?: number;
}

interface Run {
  readonly shard: SumShard;
  /** First cell of the run, within the shard. */
  readonly at: number;
  /** First and last element of the run and the one behind it, within the sum. */
  readonly start: number;
  readonly end: number;
  readonly bound: number;
  /** 2 ^ fraction bits; 1 in a float32 sum. */
  readonly unit: number;
}

/** Cells of one shard and one tensor, from `at` on. */
type Piece = Pick<Run, 'shard' | 'at' | 'bound' | 'unit'>;

const SHARD_BYTES = 2 ** 30;

/**
 * A weighted sum of float32 vectors, chunk by chunk in any order. Its cells are whole numbers of 64 bits: a term is
 * round(weight x value x 2^bits), ties to even, with bits per tensor from its bound, the number of terms and the
 * largest weight (fixed-point.ts). Whole numbers add exactly, so the order of terms, their interleaving, how they are
 * cut and how partial sums are merged cannot change one bit, and what was added can be taken out again without a
 * trace. The cells lie in shards, each a WebAssembly memory of its own.
 *
 * A float32 sum (`cells: 'float32'`) promises none of that but the checks.
 */
export class UpdateSum {
  readonly elements: number;
  readonly #plan: SumPlan;
  readonly #runs: readonly Run[];

  constructor(plan: SumPlan) {
    this.#plan = plan;
    this.#runs = runsOf(plan);
    this.elements = this.#runs.at(-1)?.end ?? 0;
  }

  /** Makes it the sum of nothing again, in the same memory: fresh pages cost more than the terms of a round. */
  clear(): void {
    for (const shard of new Set(this.#runs.map((run) => run.shard))) shard.clear();
  }

  /**
   * Adds `weight` times `values` (borrowed), consecutive elements of an update from `offset` on. When one of them is
   * not finite or beyond its tensor's bound, nothing is added, and the first such one is named. `measure` takes in
   * what is added, and is of no use any more after a fault; the chunks of its update come in order.
   */
  add(offset: number, values: Float32Array, weight: number, measure?: UpdateMeasure): ValueFault | undefined {
    const { weightMax } = this.#plan;
    invariant(weight >= 0 && weight <= weightMax, 'no term weighs more than the plan says');
    invariant(!measure || measure.elements === offset, 'an update is measured from its beginning');
    return this.#fold(offset, values, weight, measure) ? undefined : this.#faultIn(offset, values);
  }

  /** Takes out again exactly what `add` has added with the same arguments. */
  remove(offset: number, values: Float32Array, weight: number): void {
    invariant(this.#fold(offset, values, -weight), 'only what was added is taken out');
  }

  /** Adds the cells of another sum of the same plan, such as a replica's share, from element `offset` on. */
  merge(offset: number, cells: BigInt64Array): void {
    invariant(this.#plan.cells !== 'float32', 'whole numbers are merged');
    this.#pieces(offset, cells.length, cells.length, ({ shard, at }, from, count) => {
      shard.merge(at, cells.subarray(from, from + count));
      return true;
    });
  }

  /** Whole numbers of cells, a copy: what `merge` takes. */
  cells(offset: number, length: number): BigInt64Array {
    invariant(this.#plan.cells !== 'float32', 'whole numbers are read');
    const out = new BigInt64Array(length);
    this.#pieces(offset, length, length, ({ shard, at }, from, count) => {
      shard.read(at, out.subarray(from, from + count));
      return true;
    });
    return out;
  }

  /** The sum divided by `divisor`, from element `offset` on, for as many elements as `out` (lent) has room. */
  means(offset: number, divisor: number, out: Float64Array): void {
    invariant(divisor > 0, 'something was summed');
    this.#pieces(offset, out.length, BLOCK_ELEMENTS, ({ shard, at, unit }, from, count) => {
      out.set(shard.means(at, count, divisor * unit), from);
      return true;
    });
  }

  /** Adds block by block; where a value is at fault nothing is added, and the answer is false. */
  #fold(offset: number, values: Float32Array, weight: number, measure?: UpdateMeasure): boolean {
    let entered = 0;
    const enter = (sign: 1 | -1) => (piece: Piece, from: number, count: number) => {
      const { shard, at, bound, unit } = piece;
      entered = from + count;
      const entry = { scale: sign * weight * unit, bound };
      return shard.add(at, values.subarray(from, from + count), entry, sign === 1 ? measure : undefined);
    };
    if (this.#pieces(offset, values.length, BLOCK_ELEMENTS, enter(1))) return true;
    // A value at fault counted as zero, and does so again: the same blocks with the weight negated leave no trace.
    const undo = enter(-1);
    this.#pieces(offset, entered, BLOCK_ELEMENTS, (piece, from, count) => {
      undo(piece, from, count);
      return true;
    });
    return false;
  }

  #faultIn(offset: number, values: Float32Array): ValueFault | undefined {
    let fault: ValueFault | undefined;
    this.#pieces(offset, values.length, values.length, ({ bound }, from, count) => {
      const found = inspectValues(values.subarray(from, from + count), bound);
      fault = found && { ...found, place: from + found.place };
      return fault === undefined;
    });
    return fault;
  }

  /**
   * Cuts a run of elements at the borders of tensors and shards, and into pieces of at most `most`; `work` gets each
   * with its place in the run, until it gives false. Gives whether it never did.
   */
  #pieces(
    offset: number,
    length: number,
    most: number,
    work: (piece: Piece, from: number, count: number) => boolean,
  ): boolean {
    invariant(offset >= 0 && offset + length <= this.elements, 'the term lies inside the sum');
    let run = this.#runAt(offset);
    for (let from = 0; from < length; ) {
      const element = offset + from;
      while (this.#runs[run]!.end <= element) run++;
      const { shard, at, start, end, bound, unit } = this.#runs[run]!;
      const count = Math.min(length - from, end - element, most);
      if (!work({ shard, at: at + element - start, bound, unit }, from, count)) return false;
      from += count;
    }
    return true;
  }

  /** The run that holds an element. */
  #runAt(element: number): number {
    let [low, high] = [0, this.#runs.length - 1];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.#runs[middle]!.end > element) high = middle;
      else low = middle + 1;
    }
    return low;
  }
}

function runsOf({ spans, terms, weightMax, cells = 'exact', shardBytesMax = SHARD_BYTES }: SumPlan): Run[] {
  const elements = spans.reduce((sum, { length }) => sum + length, 0);
  const shardElements = SumShard.elementsWithin(shardBytesMax, cells);
  const shards = Array.from(
    { length: Math.ceil(elements / shardElements) },
    (_, place) => new SumShard(Math.min(shardElements, elements - place * shardElements), cells),
  );
  const runs: Run[] = [];
  let start = 0;
  for (const span of spans) {
    const { length } = span;
    // The kernel compares float32; the next float32 may be beyond the bound.
    const bound = float32AtMost(span.bound);
    const unit = cells === 'exact' ? 2 ** fractionBitsFor({ terms, weightMax, ...span }) : 1;
    const spanEnd = start + length;
    while (start < spanEnd) {
      const place = Math.floor(start / shardElements);
      const at = start - place * shardElements;
      const end = Math.min(spanEnd, (place + 1) * shardElements);
      const last = runs.at(-1);
      const shard = shards[place]!;
      // Neighbours of one bound and scale are folded as one.
      if (last?.shard === shard && last.bound === bound && last.unit === unit)
        runs[runs.length - 1] = { ...last, end };
      else runs.push({ shard, at, start, end, bound, unit });
      start = end;
    }
  }
  return runs;
}
