import { ColumnTile, TILE_COLUMNS } from '../aggregation/column-tile.ts';
import { type Geometry, scaledGeometry } from '../aggregation/geometry.ts';
import { sumOfSquares } from '../aggregation/lane-sum.ts';
import type { Combination, CombiningRule } from '../aggregation/rules/combination.ts';
import { UpdateMeasure, type UpdateStatistics } from '../aggregation/update-measure.ts';
import { UpdateMeter } from '../aggregation/update-meter.ts';
import { UpdateSum } from '../aggregation/update-sum.ts';
import type { Job } from '../rounds/job.ts';
import { BASE_LOSS, hasControls, ruleOf } from '../rounds/strategy.ts';
import type { Round } from '../vocabulary/ids.ts';
import type { Manifest } from '../weights/manifest.ts';
import { DamagedUpdate, type StagedUpdates } from './staged-updates.ts';
import { type TensorShare, tensorShares } from './tensor-shares.ts';

/** What combining stands on besides the updates. */
export interface CombiningTask {
  /** The round whose version is made. */
  readonly round: Round;
  readonly spec: Job;
  /** Of the updates. */
  readonly manifest: Manifest;
  /** Those of the model, which come first; what is behind them is a change of control variates. */
  readonly elements: number;
  /** The last global update, lent; undefined in the first round. */
  readonly previous: Float32Array | undefined;
}

/** Elements of a combined update that follow each other. */
export interface CombinedRun {
  /** Valid until the next run is asked for. */
  readonly update: Float64Array;
  /** No update has these elements, since every trainer lacks their tensors: they stay as they are. */
  readonly lacked: boolean;
}

/** The combined update of a round, run by run in the order of its elements. */
export type CombinedUpdate = AsyncIterable<CombinedRun>;

const MEAN_ELEMENTS = 2 ** 16;

/**
 * Combines a round's updates as the job's strategy says: clips what is longer than the clipping norm, then the rule.
 * What is measured and clipped is the update of the model; a change of control variates is summed beside it as it came.
 * What is known of each update, in their order, is in `statistics` once the combined update has been read. Updates
 * are read chunk by chunk, once for the sum or the columns and once before where the rule has to know how they lie to
 * each other. Reading the result throws DamagedUpdate.
 */
export async function combineUpdates(
  staged: StagedUpdates,
  task: CombiningTask,
): Promise<{ readonly combined: CombinedUpdate; readonly statistics: () => readonly UpdateStatistics[] }> {
  const { round, spec, elements } = task;
  const previous = task.previous?.subarray(0, elements);
  const rule = ruleOf(spec.strategy, spec.trainer.learningRate);
  const squares = previous && sumOfSquares(previous);
  const measures = staged.updates.map(() => new UpdateMeasure(previous, squares));
  const { clippingNorm } = spec;
  // The norms that were checked when the updates came in spare a reading where nothing else is asked.
  const norms = staged.updates.map(({ norm }) => (hasControls(spec.strategy) ? undefined : norm));
  const unknown = clippingNorm !== undefined && norms.includes(undefined);
  const surveyed = rule.needs !== 'nothing' || unknown;
  const geometry = surveyed ? await survey(staged, measures, rule.needs, elements) : NO_GEOMETRY;
  const factors = norms.map((norm, place) =>
    clippingNorm === undefined
      ? 1
      : Math.min(1, clippingNorm / (norm ?? Math.sqrt(geometry.squares[place]!))),
  );
  const contributions = staged.updates.map(({ declaration: { key, sampleCount, metrics } }) => ({
    sampleCount,
    baseLoss: metrics[BASE_LOSS],
    staleness: round - key.round,
  }));
  const combination = rule.combine(contributions, scaledGeometry(geometry, factors));
  const measured = surveyed ? undefined : measures;
  const combined =
    combination.kind === 'sum'
      ? await sumUp(staged, task, combination, factors, measured)
      : overColumns(staged, combination, factors, measured);
  return { combined, statistics: () => measures.map((measure) => measure.statistics()) };
}

const NO_GEOMETRY: Geometry = { squares: [], products: undefined };

/** Reads every update once, for its measure and what the rule needs. */
async function survey(
  staged: StagedUpdates,
  measures: readonly UpdateMeasure[],
  needs: CombiningRule['needs'],
  elements: number,
): Promise<Geometry> {
  const meter = new UpdateMeter();
  const squares = () => measures.map((measure) => measure.squares);
  if (needs !== 'products') {
    for (const [place, measure] of measures.entries()) {
      for await (const values of staged.chunks(place)) {
        meter.take(measure, values.subarray(0, elements - measure.elements));
      }
    }
    return { squares: squares(), products: undefined };
  }
  const count = measures.length;
  const tile = new ColumnTile(count);
  const products = new Float64Array(count ** 2);
  const everyone = measures.map((_, place) => place);
  for await (const columns of staged.columns(everyone, TILE_COLUMNS, (member) => tile.row(member))) {
    measures.forEach((measure, place) => {
      meter.take(measure, tile.row(place).subarray(0, columns));
    });
    tile.addProducts(columns, products);
  }
  return { squares: squares(), products };
}

/** Adds the updates one after the other; memory is the sum and a chunk, whatever their number. */
async function sumUp(
  staged: StagedUpdates,
  { spec, manifest, elements }: CombiningTask,
  combination: Extract<Combination, { kind: 'sum' }>,
  factors: readonly number[],
  measures: readonly UpdateMeasure[] | undefined,
): Promise<CombinedUpdate> {
  const { weights } = combination;
  const declarations = staged.updates.map(({ declaration }) => declaration);
  const shares = tensorShares(spec, manifest, declarations, combination);
  const sum = new UpdateSum({
    spans: shares.flatMap(({ start, end, terms, weightMax }) =>
      staged.bounds.within(start, end).map((span) => ({
        ...{ length: span.end - span.start, bound: span.bound, terms, weightMax },
      })),
    ),
    terms: weights.length,
    weightMax: Math.max(...weights),
    cells: spec.arithmetic,
  });
  for (const [place, weight] of weights.entries()) {
    if (weight === 0) continue;
    let offset = 0;
    for await (const values of staged.storedChunks(place)) {
      const update = values.subarray(0, Math.max(0, elements - offset));
      const change = values.subarray(update.length);
      const fault =
        sum.add(
          offset,
          update,
          weight * factors[place]!,
          update.length > 0 ? measures?.[place] : undefined,
        ) ?? sum.add(offset + update.length, change, weight);
      if (fault) throw new DamagedUpdate();
      offset += values.length;
    }
  }
  return meansOf(sum, shares);
}

async function* meansOf(sum: UpdateSum, shares: readonly TensorShare[]): AsyncGenerator<CombinedRun> {
  const means = new Float64Array(MEAN_ELEMENTS);
  for (const { start, end, divisor } of shares) {
    for (let offset = start; offset < end; offset += MEAN_ELEMENTS) {
      const update = means.subarray(0, Math.min(MEAN_ELEMENTS, end - offset));
      if (divisor > 0) sum.means(offset, divisor, update);
      else update.fill(0);
      yield { update, lacked: divisor === 0 };
    }
  }
}

/** Works column by column over all members at once; memory is a chunk and a row of a tile for each. */
async function* overColumns(
  staged: StagedUpdates,
  combination: Exclude<Combination, { kind: 'sum' }>,
  factors: readonly number[],
  measures: readonly UpdateMeasure[] | undefined,
): AsyncGenerator<CombinedRun> {
  const { members } = combination;
  const tile = new ColumnTile(members.length, combination.kind === 'trimmed' ? combination.trim : 0);
  const meter = measures && new UpdateMeter();
  for await (const columns of staged.columns(members, TILE_COLUMNS, (member) => tile.row(member))) {
    for (const [member, place] of members.entries()) {
      const row = tile.row(member).subarray(0, columns);
      if (measures) meter?.take(measures[place]!, row);
      const factor = factors[place]!;
      if (factor < 1) for (let column = 0; column < columns; column++) row[column]! *= factor;
    }
    if (combination.kind === 'trimmed') yield { update: tile.trimmedMeans(columns), lacked: false };
    else {
      tile.sort(columns);
      yield { update: tile.closest(columns, combination.count), lacked: false };
    }
  }
}
