import { type Result, refused } from '../../vocabulary/result.ts';
import { type TensorLayout, unchangedLayout } from './tensor-layout.ts';
import type { TensorRecipe } from './tensor-recipe.ts';

/** Whose layout a file of weights has. `keras` is TensorFlow too; `pytorch` is the canonical form. */
export const FRAMEWORKS = ['pytorch', 'keras', 'tfjs', 'onnx'] as const;
/** One of those. */
export type Framework = (typeof FRAMEWORKS)[number];

/** Layers that have weights, by the names of torch.nn. */
export const LAYER_OPS = [
  'Linear',
  'Conv1d',
  'Conv2d',
  'Conv3d',
  'DepthwiseConv1d',
  'DepthwiseConv2d',
  'ConvTranspose1d',
  'ConvTranspose2d',
  'ConvTranspose3d',
  'BatchNorm',
  'LayerNorm',
  'GroupNorm',
  'Embedding',
  'LSTM',
  'GRU',
  'MultiheadAttention',
  'Parameter',
] as const;
/** One of those. `Parameter` is a tensor on its own, which both sides hold alike. */
export type LayerOp = (typeof LAYER_OPS)[number];

/** One layer in canonical form, as a rule sees it. */
export interface Layer {
  readonly op: LayerOp;
  /** Shapes of its parts by their names within the layer: `weight`, `bias_ih_l0`, `out_proj.weight`. */
  readonly parts: Readonly<Record<string, readonly number[]>>;
  /** Channel, height, width (or channel, length) of the feature map that was flattened before a Linear. */
  readonly flattened?: readonly number[];
  /** Filters for each channel of a depthwise convolution; 1 unless said. */
  readonly multiplier?: number;
  /** Heads of a MultiheadAttention. */
  readonly heads?: number;
}

/**
 * How an engine holds a layer: its tensors by the names that the engine gives within a layer, in its own order, and
 * the parts that it does not hold. A refusal says why it cannot hold the layer, as a clause.
 */
export interface NativeLayer {
  readonly recipes: readonly TensorRecipe[];
  /** Parts that mean nothing to the engine, each with a reason. */
  readonly dropped: Readonly<Record<string, string>>;
}

/** The way from a canonical layer to an engine's. */
export type LayerRule = (layer: Layer) => Result<NativeLayer, string>;

/** The way to every kind of layer for one framework. */
export type FrameworkRules = Readonly<Record<LayerOp, LayerRule>>;

/** What an engine cannot hold; `reason` is a clause. */
export function unrepresentable(reason: string): LayerRule {
  return () => refused(reason);
}

/** A tensor from one whole part. */
export function whole(name: string, part: string, layout: TensorLayout): TensorRecipe {
  return { name, shape: layout.shape, pieces: [{ tensor: part, layout }], join: { concat: 0 } };
}

/** A tensor that both sides hold alike. */
export function alike(name: string, part: string, shape: readonly number[]): TensorRecipe {
  return whole(name, part, unchangedLayout(shape));
}

/** Equal blocks of the first axis of `part`, in another order, each in its own layout: gates, mostly. */
export function blocks(
  part: string,
  shape: readonly number[],
  order: readonly number[],
  layoutOf: (shape: readonly number[]) => TensorLayout,
): TensorRecipe['pieces'] {
  const rows = shape[0]! / order.length;
  const layout = layoutOf([rows, ...shape.slice(1)]);
  return order.map((block) => ({ tensor: part, rows: [block * rows, (block + 1) * rows], layout }));
}

/** What PyTorch counts for a batch norm without momentum, and nothing else has. */
export const BATCH_COUNT = 'num_batches_tracked';

/**
 * Whether a tensor is such a count: nothing that is trained, or that anybody averages. PyTorch has it as int64; programs
 * that write float32 alone make that of it.
 */
export function isBatchCount(tensor: { readonly name: string; readonly shape: readonly number[] }): boolean {
  return tensor.shape.length === 0 && tensor.name.split('.').at(-1) === BATCH_COUNT;
}

/** The parts of the first step of a recurrent layer, forward or backward, and its suffix in their names. */
export function recurrentSuffix(parts: Layer['parts']): string {
  return Object.keys(parts)
    .find((name) => name.startsWith('weight_ih'))!
    .slice('weight_ih'.length);
}
