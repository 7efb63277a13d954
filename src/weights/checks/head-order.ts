import type { TensorRecipe } from '../layouts/tensor-recipe.ts';
import type { ChannelOrder } from './channel-order.ts';

/** The heads of an attention in another order, alike in all that belongs to them: the same function. */
export interface HeadOrder {
  /** The canonical tensors that follow the order. */
  readonly tensors: readonly string[];
  /** Place `n` holds what was head `order[n]`. */
  readonly order: readonly number[];
}

/**
 * Attention layers whose heads were permuted as wholes: query, key and value (rows of in_proj) and the inputs of out_proj
 * by one order. `orders` are those of the tensors that failed, `follows` asks of a tensor that may be there whether it went
 * that way too, `held` says how an engine lays them out: its heads, where it tells them, are what was moved; else the
 * largest runs that moved together are taken for them.
 */
export function headOrders(
  orders: ReadonlyMap<string, ChannelOrder>,
  follows: (tensor: string, order: readonly number[]) => boolean,
  held: readonly TensorRecipe[],
): readonly HeadOrder[] {
  return [...orders].flatMap(([tensor, { axis, order }]) => {
    const [, module] = /^(.*?\.?)in_proj_weight$/.exec(tensor) ?? [];
    if (module === undefined || axis !== 0) return [];
    const [query, ...others] = thirds(order);
    const bias = `${module}in_proj_bias`;
    const out = orders.get(`${module}out_proj.weight`);
    if (!query || out?.axis !== 1) return [];
    if ([...others, out.order].some((other) => other.join() !== query.join())) return [];
    if (!follows(bias, order)) return [];
    const heads = wholeHeads(query, headSize(tensor, held));
    if (!heads) return [];
    const tensors = [tensor, bias, `${module}out_proj.weight`].filter((name) => orders.has(name));
    return [{ tensors, order: heads }];
  });
}

/** The order within query, key and value, each of them; nothing where rows went from one to another. */
function thirds(order: readonly number[]): readonly (readonly number[])[] {
  const width = order.length / 3;
  const parts = [0, 1, 2].map((part) =>
    order.slice(part * width, (part + 1) * width).map((from) => from - part * width),
  );
  return parts.flat().every((from) => from >= 0 && from < width) ? parts : [];
}

/** Features of one head, where an engine's shape of a kernel, [features, heads, size], tells. */
function headSize(tensor: string, held: readonly TensorRecipe[]): number | undefined {
  return held
    .flatMap(({ pieces }) => pieces)
    .find((piece) => piece.tensor === tensor && piece.layout.shape.length === 3)?.layout.shape[2];
}

/** The order of the heads; undefined where one of them was not moved as a whole. */
function wholeHeads(order: readonly number[], size: number | undefined): readonly number[] | undefined {
  const sizes =
    size === undefined
      ? Array.from({ length: order.length >> 1 }, (_, at) => (order.length >> 1) - at).filter(
          (run) => run > 1 && order.length % run === 0,
        )
      : [size];
  const run = sizes.find((length) =>
    order.every(
      (from, place) =>
        from === order[place - (place % length)]! + (place % length) && from % length === place % length,
    ),
  );
  return run === undefined
    ? undefined
    : order.filter((_, place) => place % run === 0).map((from) => from / run);
}
