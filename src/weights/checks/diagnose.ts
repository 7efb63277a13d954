import { type Elements, emptyLike, setElements } from '../layouts/permute-axes.ts';
import { type TensorLayout, toEngine } from '../layouts/tensor-layout.ts';
import { pieceElements, type TensorRecipe } from '../layouts/tensor-recipe.ts';
import { elementCount } from '../manifest.ts';
import { type ChannelOrder, channelOrder } from './channel-order.ts';
import { type Cause, roundingCause } from './rounding.ts';
import { wordHash } from './word-hash.ts';
import { ordersOf, sameElements, type WrongAxes, wrongAxes } from './wrong-axes.ts';

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
    return wrong.kind === 'reshaped'
      ? { rule: 'WC203', message: reshapedText(layout, wrong) }
      : { rule: 'WC202', message: permutedText(layout, wrong) };
  }
  return undefined;
}

function reshapedText({ order }: TensorLayout, { axes }: WrongAxes): string {
  if (isSquare(axes)) return 'it was not transposed (the shape is square, so it fits)';
  const due =
    axes.length === 2
      ? ''
      : `: its axes of sizes ${axes.join(', ')} are to be put in the order ${order.join(', ')}, counted from 0`;
  return `it was reshaped and not transposed${due}`;
}

function permutedText({ order }: TensorLayout, wrong: WrongAxes): string {
  if (isSquare(wrong.axes)) return 'it was transposed, and is not to be (the shape is square, so it fits)';
  // An axis that was split on the way has no place in the order that is due.
  const due = wrong.axes.length === order.length ? `; ${order.join(', ')} is due` : ', which is not due';
  return `its axes of sizes ${wrong.axes.join(', ')} were put in the order ${wrong.order.join(', ')}, counted from 0${due}`;
}

function isSquare([rows, columns, ...more]: readonly number[]): boolean {
  return rows === columns && more.length === 0;
}

/** What the equal blocks of rows of PyTorch's layers are. */
const GATES = {
  GRU: { names: ['r', 'z', 'n'], note: ' (Keras and ONNX call n h)' },
  LSTM: { names: ['i', 'f', 'g', 'o'], note: ' (Keras and ONNX call g c)' },
} as const;
const ATTENTION = { names: ['query', 'key', 'value'], note: '' } as const;

/** Gates of a recurrent layer, or query, key and value: equal blocks of rows in another order. */
function blockCause({ tensor, shape, reference, candidate, held }: Mismatch): Diagnosis | undefined {
  for (const { names, note } of blocksOf(tensor)) {
    const rows = shape[0]! / names.length;
    if (!Number.isInteger(rows)) continue;
    const length = reference.length / names.length;
    const block = (at: number) => reference.subarray(at * length, (at + 1) * length) as Elements;
    for (const order of ordersOf(names.length)) {
      const moved = emptyLike(reference, reference.length);
      for (const [place, from] of order.entries()) setElements(moved, block(from), place * length);
      if (!sameElements(moved, candidate)) continue;
      const due = blocksDue(tensor, rows, names.length, held);
      const text = (blocks: readonly number[]) => blocks.map((at) => names[at]).join(', ');
      const found = text(due.map((at) => order[at]!));
      return { rule: 'WC204', message: `its blocks stand as ${found}; ${text(due)} is due${note}` };
    }
  }
  return undefined;
}

function blocksOf(tensor: string) {
  if (/(?:weight|bias)_(?:ih|hh)_l\d+(?:_reverse)?$/.test(tensor)) return [GATES.GRU, GATES.LSTM];
  return /in_proj_(?:weight|bias)$/.test(tensor) ? [ATTENTION] : [];
}

/** The order in which an engine is to hold the blocks of a tensor, each `rows` long. */
function blocksDue(tensor: string, rows: number, count: number, held: Mismatch['held']): readonly number[] {
  const pieces = held.flatMap(({ recipe }) => recipe.pieces.filter((piece) => piece.tensor === tensor));
  const due = pieces.map((piece) => (piece.rows?.[0] ?? 0) / rows);
  // Blocks that keep their places are moved as one piece.
  return due.length === count ? due : Array.from({ length: count }, (_, at) => at);
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
