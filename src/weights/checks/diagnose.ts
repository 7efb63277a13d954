import { type Elements, emptyLike, setElements } from '../layouts/permute-axes.ts';
import { toEngine } from '../layouts/tensor-layout.ts';
import { pieceElements, type TensorRecipe } from '../layouts/tensor-recipe.ts';
import { elementCount } from '../manifest.ts';
import { type ChannelOrder, channelOrder } from './channel-order.ts';
import { type Cause, roundingCause } from './rounding.ts';
import { wordHash } from './word-hash.ts';
import { ordersOf, sameElements, wrongAxes } from './wrong-axes.ts';

/** A tensor whose values had only to be moved and are not those of the reference. All arrays are borrowed. */
export interface Mismatch {
  readonly tensor: string;
  /** Canonical. */
  readonly shape: readonly number[];
  /** Bits in canonical form. */
  readonly reference: Elements;
  readonly candidate: Elements;
  /** What the candidate holds of it, as stored, with the way that should have led there. */
  readonly held: readonly { readonly recipe: TensorRecipe; readonly bits: Elements }[];
  /** Both as numbers, where they are numbers of at most 32 bits. */
  readonly numbers: { readonly reference: Float32Array; readonly candidate: Float32Array } | undefined;
  /** Names of the reference's tensors by the hash of their bits. */
  readonly known: ReadonlyMap<string, readonly string[]>;
  /** Whether a tensor of that name is right in the candidate. */
  readonly passed: (tensor: string) => boolean;
}

/** Why a tensor is not what it should be. A new order of channels is told, for it may be that of several tensors. */
export interface Diagnosis extends Cause {
  readonly channels?: ChannelOrder;
}

/** A Linear of more inputs than this is not tried with every map that may have been flattened. */
const FEATURES_MAX = 2 ** 20;

/** The known mistake that explains every element of a mismatch, or none of them: then the values just differ. */
export function diagnose(mismatch: Mismatch): Diagnosis {
  return (
    axesCause(mismatch) ??
    blockCause(mismatch) ??
    otherTensor(mismatch) ??
    (mismatch.numbers && roundingCause(mismatch.numbers.reference, mismatch.numbers.candidate)) ??
    flattenCause(mismatch) ??
    channelCause(mismatch) ??
    scaledChannels(mismatch) ?? {
      rule: 'WC201',
      message: 'no known mistake explains the difference',
    }
  );
}

function axesCause({ reference, shape, held }: Mismatch): Diagnosis | undefined {
  for (const { recipe, bits } of held) {
    const [piece, ...others] = recipe.pieces;
    if (!piece || others.length > 0) continue;
    const row = reference.length / (shape[0] ?? 1);
    const [from, to] = piece.rows ?? [0, shape[0] ?? 1];
    const part = reference.subarray(from * row, to * row) as Elements;
    const { layout } = piece;
    // One of several parts of a tensor may be right.
    if (sameElements(toEngine(layout, part), bits)) continue;
    const wrong = wrongAxes(layout, part, bits);
    if (!wrong) continue;
    const due = `[${layout.order.join(', ')}]`;
    const axes = `[${wrong.axes.join(', ')}]`;
    if (wrong.kind === 'flipped') {
      const which =
        wrong.order.length === 1 ? `axis ${wrong.order[0]} runs` : `axes ${wrong.order.join(', ')} run`;
      return { rule: 'WC209', message: `${which} backwards` };
    }
    // What was flattened in the other order: all of the inputs follow the outputs, unmoved.
    const flattened = layout.axes.length > 2 && layout.shape.length === 2;
    const plain = [...wrong.order.slice(1).keys()].map((place) => place + 1).concat(0);
    if (flattened && wrong.order.join() === plain.join()) {
      const map = layout.axes.slice(1).join(', ');
      return {
        rule: 'WC205',
        message: `the inputs stand in the order of channel, height, width of the flattened map [${map}]`,
      };
    }
    if (wrong.kind === 'reshaped') {
      return {
        rule: 'WC203',
        message: `the bytes stand as in the reference; axes ${axes} are to be moved to ${due}`,
      };
    }
    return {
      rule: 'WC202',
      message: `axes ${axes} were moved to [${wrong.order.join(', ')}]; ${due} is due`,
    };
  }
  return undefined;
}

/** Gates of a recurrent layer, or query, key and value: equal blocks of rows in another order. */
function blockCause({ tensor, shape, reference, candidate }: Mismatch): Diagnosis | undefined {
  if (!/(?:weight|bias)_(?:ih|hh)_l\d+(?:_reverse)?$|in_proj_(?:weight|bias)$/.test(tensor)) return undefined;
  for (const count of [3, 4]) {
    if (shape[0]! % count !== 0) continue;
    const length = reference.length / count;
    const block = (at: number) => reference.subarray(at * length, (at + 1) * length) as Elements;
    for (const order of ordersOf(count)) {
      const moved = emptyLike(reference, reference.length);
      for (const [place, from] of order.entries()) setElements(moved, block(from), place * length);
      if (sameElements(moved, candidate)) {
        return {
          rule: 'WC204',
          message: `its ${count} blocks stand in the order ${order.join(', ')} of the reference's`,
        };
      }
    }
  }
  return undefined;
}

function otherTensor({ tensor, candidate, known, passed }: Mismatch): Diagnosis | undefined {
  const others = (known.get(wordHash(candidate)) ?? []).filter((name) => name !== tensor);
  const [other] = others;
  if (other === undefined) return undefined;
  const twice = others.find(passed);
  return twice === undefined
    ? { rule: 'WC206', message: `it holds the values of ${other}` }
    : { rule: 'WC103', message: `it holds the values of ${twice}, which are in their own place too` };
}

function channelCause({ shape, reference, candidate }: Mismatch): Diagnosis | undefined {
  const channels = channelOrder(shape, reference, candidate);
  if (!channels) return undefined;
  const moved = channels.order.filter((from, to) => from !== to).length;
  const which = channels.axis === 0 ? 'outputs' : 'inputs';
  return {
    rule: 'WC208',
    message: `${moved} of ${channels.order.length} ${which} stand in other places`,
    channels,
  };
}

/** Every output channel times a factor of its own, as a batch norm that was folded into the layer leaves it. */
function scaledChannels({ shape, numbers }: Mismatch): Diagnosis | undefined {
  const channels = shape[0] ?? 0;
  // Few numbers are times some factor by chance, and so is a channel that did not change.
  if (!numbers || channels < 2 || numbers.reference.length < 4 * channels) return undefined;
  const length = numbers.reference.length / channels;
  const factors = Array.from({ length: channels }, (_, channel) => {
    const part = (values: Float32Array) => values.subarray(channel * length, (channel + 1) * length);
    return factorOf(part(numbers.reference), part(numbers.candidate));
  });
  if (factors.some((factor) => factor === undefined)) return undefined;
  if (2 * factors.filter((factor) => Math.abs(factor! - 1) > 1e-4).length < channels) return undefined;
  const told = [Math.min(...(factors as number[])), Math.max(...(factors as number[]))];
  return {
    rule: 'WC211',
    message: `every output channel is that of the reference times a factor of its own, ${told.map((factor) => factor.toPrecision(3)).join(' to ')}`,
  };
}

/** The one factor between two runs of numbers, as far as float32 tells; undefined where there is none. */
function factorOf(reference: Float32Array, candidate: Float32Array): number | undefined {
  const largest = reference.reduce(
    (best, value, at) => (Math.abs(value) > Math.abs(reference[best]!) ? at : best),
    0,
  );
  const factor = candidate[largest]! / reference[largest]!;
  if (!Number.isFinite(factor) || factor === 0) return undefined;
  const within = 1e-5 * Math.abs(candidate[largest]!);
  return reference.every((value, at) => Math.abs(candidate[at]! - value * factor) <= within)
    ? factor
    : undefined;
}

/** A Linear that was treated as if a map had been flattened before it, where the mapping knows of none, or another. */
function flattenCause({ shape, reference, held }: Mismatch): Diagnosis | undefined {
  const [only, ...others] = held;
  const [outputs, inputs, ...more] = shape;
  if (!only || others.length > 0 || inputs === undefined || more.length > 0) return undefined;
  if (only.recipe.pieces.length !== 1 || pieceElements(only.recipe.pieces[0]!) !== elementCount(shape))
    return undefined;
  for (const map of mapsOf(inputs)) {
    const axes = [outputs!, ...map];
    const layout = { axes, order: [2, 1, 0], shape: [inputs, outputs!] };
    if (sameElements(toEngine(layout, reference), only.bits)) {
      return {
        rule: 'WC205',
        message: `the inputs stand as if a map of [${map.join(', ')}] had been flattened`,
      };
    }
  }
  return undefined;
}

/** Maps of channels and places with so many features, neither one channel nor one place. */
function* mapsOf(features: number): Generator<readonly [number, number]> {
  if (features > FEATURES_MAX) return;
  for (let channels = 2; channels < features; channels++) {
    if (features % channels === 0) yield [channels, features / channels];
  }
}
