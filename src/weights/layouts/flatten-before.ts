import { elementCount } from '../manifest.ts';
import type { FoundLayer } from './canonical-layers.ts';

/** What is in front of a Linear: nothing that matters, a known flattened map, or one of several. */
export type FlattenBefore =
  | { readonly known: true; readonly map?: readonly number[] }
  | {
      readonly known: false;
      readonly choices: readonly (readonly number[])[];
      /** The Linear that may stand behind the map in place of this one. */
      readonly rival?: string;
    };

/**
 * Whether a feature map was flattened before the Linear at `place`, and how many channels it had. Height and width need
 * not be told apart: the places of a map keep their order, and only channels move. No check of weights alone would see
 * a wrong answer, so it is unknown where layers of different channels may be in front, and where another Linear may be
 * the one behind the map: a model need not declare its layers in the order in which it runs them. `said` are the maps
 * that a person named, an empty one for none.
 */
export function flattenBefore(
  layers: readonly FoundLayer[],
  place: number,
  said: Readonly<Record<string, readonly number[]>> = {},
): FlattenBefore {
  const { behind, near, choices } = readingOf(layers, place);
  const [only] = choices;
  if (!only) return { known: true };
  if (near.length > 1) return { known: false, choices };
  const rival = layers.find(({ name, ops }, at) => {
    if (at === place || ops[0] !== 'Linear' || said[name]?.length === 0) return false;
    const other = readingOf(layers, at);
    // Linears that each stand right behind a convolution are told by their places.
    return other.choices.length > 0 && !(behind && other.behind);
  });
  return rival ? { known: false, choices, rival: rival.name } : { known: true, map: only };
}

/** The layers that may have given a Linear a map, whether one of them stands right before it, and the maps that fit. */
function readingOf(layers: readonly FoundLayer[], place: number) {
  const inputs = layers[place]!.parts.weight![1]!;
  const before = layers.slice(0, place).findLast(({ ops }) => !isNorm(ops));
  if (before && featuresOf(before) === inputs) return { behind: false, near: [], choices: [] };
  const convolutions = layers.filter(({ ops }) => ops.some((op) => /^(?:Depthwise)?Conv/.test(op)));
  const behind = before !== undefined && convolutions.includes(before);
  // The one that is stored last before the Linear, else any: some files are sorted by name.
  const near = behind ? [before] : convolutions;
  const maps = near.flatMap((layer) => {
    const channels = featuresOf(layer)!;
    const places = inputs / channels;
    return Number.isInteger(places) && places > 1 ? [[channels, [channels, places]] as const] : [];
  });
  return { behind, near, choices: [...new Map<number, readonly number[]>(maps).values()] };
}

/** Features that a layer gives out, where its shapes tell. */
function featuresOf({ ops, parts }: FoundLayer): number | undefined {
  const [op] = ops;
  if (op === 'LSTM' || op === 'GRU') {
    return Object.entries(parts).find(([part]) => part.startsWith('weight_hh'))?.[1][1];
  }
  if (op === 'MultiheadAttention') return parts['out_proj.weight']?.[0];
  if (op?.startsWith('ConvTranspose')) return parts.weight![1];
  return ops.includes('Embedding') && !ops.includes('Linear') ? parts.weight?.[1] : parts.weight?.[0];
}

function isNorm(ops: FoundLayer['ops']): boolean {
  return ops.some((op) => op === 'BatchNorm' || op === 'LayerNorm') && !ops.includes('Linear');
}

/** A map as people write it: 16x7x7. */
export function mapText(map: readonly number[]): string {
  return map.join('x');
}

/** The map in `text`, or undefined when it is none: `16x7x7`. */
export function parseMap(text: string): readonly number[] | undefined {
  const map = text.split('x').map(Number);
  const whole = map.every((extent) => Number.isSafeInteger(extent) && extent > 0);
  return whole && map.length >= 2 && map.length <= 4 && elementCount(map) < 2 ** 31 ? map : undefined;
}
