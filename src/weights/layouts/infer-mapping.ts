import type { Result } from '../../vocabulary/result.ts';
import type { StoredTensor, StoredTensors } from '../stored-tensors.ts';
import { canonicalLayers, type FoundLayer } from './canonical-layers.ts';
import { flattenBefore, mapText } from './flatten-before.ts';
import { COMMAND_LINE, type HintWords } from './hint-words.ts';
import { BATCH_COUNT, type Framework, type Layer, type LayerOp, type NativeLayer } from './layer.ts';
import { nativeLayer } from './layer-rules.ts';
import type { MappedLayer } from './mapping.ts';
import { directionOf, inCountingOrder, type NativeGroup, nativeLayers, plainName } from './native-layers.ts';
import { onnxGroups } from './onnx-groups.ts';
import { linearLayout, unchangedLayout } from './tensor-layout.ts';
import type { TensorRecipe } from './tensor-recipe.ts';

/** What a person may say where the files do not tell. */
export interface MappingHints {
  /** The map that was flattened before a Linear, by the Linear's canonical name; an empty one says that none was. */
  readonly flattened?: Readonly<Record<string, readonly number[]>>;
  /** Whether a map that only seems to have been flattened is trouble: where nothing is compared, no mistake is seen. */
  readonly certain?: boolean;
  /** How hints are said where the troubles are read; as on the command line unless given. */
  readonly words?: HintWords;
}

/** A layer whose counterpart is not certain, or that the framework cannot hold, or names with a prefix; messages are clauses. */
export interface MappingTrouble {
  readonly kind: 'ambiguous' | 'unrepresentable' | 'prefixed';
  readonly layer: string;
  readonly message: string;
}

/** Which tensors of an engine's file belong to which layers of a PyTorch model. */
export interface InferredMapping {
  readonly layers: readonly MappedLayer[];
  /** By the names of the engine's file, over canonical names. */
  readonly recipes: readonly TensorRecipe[];
  /** Canonical tensors that the engine does not hold, with reasons. */
  readonly dropped: Readonly<Record<string, string>>;
  readonly troubles: readonly MappingTrouble[];
  /** What each layer was taken for, for the manifest. */
  readonly shaped: readonly ShapedLayer[];
}

/** A layer with what its rule was told. */
export interface ShapedLayer extends Omit<Layer, 'parts'> {
  readonly name: string;
}

/** One way to lay a PyTorch layer into a group of the engine's tensors. */
interface Fit {
  readonly layer: FoundLayer;
  readonly shaped: Layer;
  readonly group: NativeGroup;
  readonly recipes: readonly TensorRecipe[];
  readonly dropped: NativeLayer['dropped'];
  /** Whether every tensor is there with its shape; else only the names say that they belong together. */
  readonly exact: boolean;
}

/**
 * Finds the counterpart of every layer by names, then by shapes, then by order where the names of the engine count in
 * the order of the file. Values are never asked: a mapping that makes them fit would prove nothing. Where that leaves
 * a choice, the layer is reported as ambiguous and left out.
 */
export function inferMapping(
  canonical: StoredTensors,
  native: StoredTensors,
  framework: Framework,
  hints: MappingHints = {},
): InferredMapping {
  const layers = canonicalLayers(canonical.tensors, framework !== 'onnx');
  const groups = framework === 'onnx' ? onnxGroups(layers, native.tensors) : nativeLayers(native.tensors);
  const troubles: MappingTrouble[] = [];
  const fits = layers.map((layer, place) => {
    const flattened = flattenedOf(layers, place, hints, framework);
    if (flattened.trouble) troubles.push(flattened.trouble);
    return flattened.trouble ? [] : fitsOf(layer, flattened.map, groups, framework);
  });
  const told = new Set(troubles.map(({ layer }) => layer));
  const chosen = choose(layers, fits);
  for (const [place, layer] of layers.entries()) {
    if (told.has(layer.name) || chosen.has(place)) continue;
    const open = fits[place]!.filter(
      ({ group }) => ![...chosen.values()].some(({ fit }) => fit.group === group),
    );
    const trouble = troubleOf(layer, open, framework);
    if (trouble) troubles.push(trouble);
  }
  const pairs = [...chosen.entries()].sort(([left], [right]) => left - right).map(([, pair]) => pair);
  return {
    layers: pairs.map(({ fit, because }) => ({
      op: fit.shaped.flattened
        ? `${fit.shaped.op} behind a flattened ${mapText(fit.shaped.flattened)}`
        : fit.shaped.op,
      layer: fit.layer.name,
      tensors: fit.recipes.map(({ name }) => name),
      because,
    })),
    recipes: pairs.flatMap(({ fit }) => fit.recipes),
    dropped: Object.assign({}, ...pairs.map(({ fit }) => fit.dropped)) as Record<string, string>,
    troubles,
    shaped: pairs.map(({ fit }) => {
      const { parts: _, ...shaped } = fit.shaped;
      return { name: fit.layer.name, ...shaped };
    }),
  };
}

/** The map that was flattened before the Linear at `place`, or the trouble that it is not certain. */
export function flattenedOf(
  layers: readonly FoundLayer[],
  place: number,
  { flattened = {}, certain = false, words = COMMAND_LINE }: MappingHints,
  framework: Framework,
): { readonly map?: readonly number[]; readonly trouble?: MappingTrouble } {
  const { name, ops } = layers[place]!;
  // ONNX flattens as PyTorch does.
  if (ops[0] !== 'Linear' || framework === 'onnx' || framework === 'pytorch') return {};
  const said = flattened[name];
  if (said) return said.length === 0 ? {} : { map: said };
  const before = flattenBefore(layers, place, flattened);
  if (before.known && !(certain && before.map)) return before.map ? { map: before.map } : {};
  const found = before.known ? [before.map!] : before.choices;
  const choices = found.slice(0, 4).map(mapText).join(', ');
  const rival = before.known || !before.rival ? '' : `, for ${before.rival} may be the one behind it`;
  return {
    trouble: {
      kind: 'ambiguous',
      layer: name,
      message: `a map of ${choices}${found.length > 4 ? ', ...' : ''} (channels x places) or none at all may have been flattened before ${name}${rival}; say which, such as ${words.flatten(name, found[0]!)} or ${words.flatten(name, [])}`,
    },
  };
}

/** All ways to lay a layer into one of the groups, by the shapes of all of its tensors. */
function fitsOf(
  layer: FoundLayer,
  map: readonly number[] | undefined,
  groups: readonly NativeGroup[],
  framework: Framework,
): readonly Fit[] {
  return groups
    .filter((group) => mayBeOf(layer, directionOf(group, groups)))
    .flatMap((group) =>
      layer.ops.flatMap((op) => {
        const shaped: Layer = {
          op,
          parts: layer.parts,
          ...detailsOf(op, layer, group),
          ...(map ? { flattened: map } : {}),
        };
        const native =
          framework === 'onnx' && keepsEveryPart(layer, group)
            ? keptAsItIs(layer)
            : nativeLayer(framework, shaped);
        const laid = native.ok ? laidInto(native.value.recipes, layer, group) : undefined;
        if (!native.ok || !laid) return [];
        const dropped = Object.fromEntries(
          Object.entries(native.value.dropped).flatMap(([part, reason]) =>
            layer.names[part] === undefined ? [] : [[layer.names[part], reason]],
          ),
        );
        return [{ layer, shaped, group, dropped, ...laid }];
      }),
    );
}

/** Whether a layer may be that of a direction; where the engine names none, any may. */
function mayBeOf({ name }: FoundLayer, direction: ReturnType<typeof directionOf>): boolean {
  return direction === undefined || (direction === 'backward') === isReverse(name);
}

function isReverse(layer: string): boolean {
  return /_l\d+_reverse$/.test(layer);
}

/** Whether a graph holds every part of a layer under its own name and shape: it then reorders gates by nodes. */
function keepsEveryPart({ parts }: FoundLayer, { leaves }: NativeGroup): boolean {
  return Object.entries(parts).every(
    ([part, shape]) => part === BATCH_COUNT || leaves.get(part)?.shape.join() === shape.join(),
  );
}

function keptAsItIs({ parts }: FoundLayer): Result<NativeLayer, string> {
  return nativeLayer('onnx', { op: 'Parameter', parts });
}

/** What only the engine's shapes tell of a layer. */
function detailsOf(op: LayerOp, { parts }: FoundLayer, { leaves }: NativeGroup): Partial<Layer> {
  if (op.startsWith('Depthwise')) {
    const kernel = (leaves.get('depthwise_kernel') ?? leaves.get('kernel') ?? leaves.get('0'))?.shape;
    const multiplier = kernel?.at(-1) ?? 1;
    return multiplier > 0 && parts.weight![0]! % multiplier === 0 ? { multiplier } : {};
  }
  if (op === 'MultiheadAttention') {
    const heads = leaves.get('query/kernel')?.shape[1];
    return heads === undefined ? {} : { heads };
  }
  return {};
}

/** A rule's recipes under the names of the file and the model; undefined where no tensor bears a name of the rule's. */
function laidInto(
  recipes: readonly TensorRecipe[],
  layer: FoundLayer,
  { name: group, leaves }: NativeGroup,
): Pick<Fit, 'recipes' | 'exact'> | undefined {
  let exact = recipes.length === leaves.size;
  let found = 0;
  const laid = recipes.map((recipe, place) => {
    const stored = leafOf(leaves, recipe.name, place);
    if (stored) found += 1;
    const held = orientedByNode(recipe, stored, layer.parts);
    exact &&= stored?.shape.join() === held.shape.join();
    const pieces = held.pieces.map((piece) => ({ ...piece, tensor: layer.names[piece.tensor]! }));
    return { ...held, name: stored?.name ?? `${group}/${recipe.name}`, pieces };
  });
  return found === 0 ? undefined : { recipes: laid, exact };
}

/** A matrix of a graph stands as its node takes it, whatever exporters do most of the time. */
function orientedByNode(
  recipe: TensorRecipe,
  stored: StoredTensor | undefined,
  parts: FoundLayer['parts'],
): TensorRecipe {
  const [piece, ...others] = recipe.pieces;
  const shape = piece && parts[piece.tensor];
  if (!piece || others.length > 0 || piece.rows || shape?.length !== 2) return recipe;
  if (stored?.multiplies !== 'rows' && stored?.multiplies !== 'columns') return recipe;
  const layout =
    stored.multiplies === 'rows' ? unchangedLayout(shape) : linearLayout(shape as [number, number]);
  return { ...recipe, shape: layout.shape, pieces: [{ ...piece, layout }] };
}

/** A layer's tensor by the rule's name of it, by its number in a file that only counts, or by PyTorch's name of it. */
function leafOf(leaves: NativeGroup['leaves'], name: string, place: number): StoredTensor | undefined {
  const aliases = ALIASES[name] ?? [];
  return [name, String(place), ...aliases]
    .map((leaf) => leaves.get(leaf))
    .find((stored) => stored !== undefined);
}

/** Other names that a file may give to the tensor of a layer. */
const ALIASES: Readonly<Record<string, readonly string[]>> = {
  kernel: ['weight', 'weight_ih_l0'],
  recurrent_kernel: ['weight_hh_l0'],
  depthwise_kernel: ['kernel', 'weight'],
  embeddings: ['weight'],
  gamma: ['weight'],
  beta: ['bias'],
  moving_mean: ['running_mean'],
  moving_variance: ['running_var'],
};

/** Pairs each layer with one fit, by the strongest reason that leaves no choice. */
function choose(
  layers: readonly FoundLayer[],
  fits: readonly (readonly Fit[])[],
): ReadonlyMap<number, { readonly fit: Fit; readonly because: string }> {
  const chosen = new Map<number, { readonly fit: Fit; readonly because: string }>();
  const taken = new Set<NativeGroup>();
  const take = (place: number, fit: Fit, because: string) => {
    chosen.set(place, { fit, because });
    taken.add(fit.group);
  };
  const open = (place: number) => fits[place]!.filter(({ group }) => !taken.has(group));
  const named = (because: string, same: (layer: FoundLayer, group: NativeGroup) => boolean) => {
    for (const [place, layer] of layers.entries()) {
      if (chosen.has(place)) continue;
      const found = oneForEachGroup(open(place).filter(({ group }) => same(layer, group)));
      if (found.length === 1) take(place, found[0]!, because);
    }
  };
  const exactly = (place: number) => open(place).filter(({ exact }) => exact);
  named('the same name', (layer, group) => {
    const names = [group.name, ...[...group.leaves.keys()].map((leaf) => `${group.name}/${leaf}`)];
    return (layer.ops[0] === 'Parameter' ? names : names.slice(0, 1)).some(
      (name) => plainName(name) === plainName(layer.name),
    );
  });
  named('the same name and direction', (layer, group) =>
    sameDirection(plainName(layer.name), plainName(group.name)),
  );
  named(
    'the same last name',
    (layer, group) => endsAs(layer.name, group.name) || endsAs(group.name, layer.name),
  );
  // The only counterpart on both sides, until that settles nothing more.
  for (let settled = -1; settled !== chosen.size; ) {
    settled = chosen.size;
    for (const place of layers.keys()) {
      if (chosen.has(place)) continue;
      const found = oneForEachGroup(exactly(place));
      const [only] = found;
      const rivals = [...layers.keys()].filter(
        (other) =>
          other !== place && !chosen.has(other) && exactly(other).some(({ group }) => group === only?.group),
      );
      if (only && found.length === 1 && rivals.length === 0) take(place, only, 'the only one of such shapes');
    }
  }
  byOrder(layers, chosen, exactly, take);
  return chosen;
}

/** Whether the last words of `long` are `short`; a bare number is a word only between dots: `dense_2` is not called `2`. */
function endsAs(long: string, short: string): boolean {
  const [whole, end] = [plainName(long), plainName(short)];
  return whole.endsWith(`.${end}`) && !(/^\d+$/.test(end) && /[^./]\d+$/.test(long));
}

/** Whether an engine's name is that of the first step of a recurrent layer: `rnn`, or `rnn/backward_rnn` for its reverse. */
function sameDirection(layer: string, group: string): boolean {
  const [, base, reverse] = /^(.*)\.l0(\.reverse)?$/.exec(layer) ?? [];
  if (base === undefined) return false;
  return (
    (reverse === undefined && group === base) ||
    group.startsWith(`${base}.${reverse ? 'backward' : 'forward'}.`)
  );
}

/** Layers of one and the same shapes, paired in their order where the engine's names count in that order too. */
function byOrder(
  layers: readonly FoundLayer[],
  chosen: ReadonlyMap<number, unknown>,
  open: (place: number) => readonly Fit[],
  take: (place: number, fit: Fit, because: string) => void,
): void {
  const alike = new Map<string, number[]>();
  for (const place of layers.keys()) {
    if (chosen.has(place)) continue;
    const key = oneForEachGroup(open(place))
      .map(({ group }) => group.name)
      .join('\n');
    if (key !== '') alike.set(key, [...(alike.get(key) ?? []), place]);
  }
  for (const [key, places] of alike) {
    const names = key.split('\n');
    if (names.length !== places.length || !inCountingOrder(names)) continue;
    const own = places.map((place) => layers[place]!.name);
    // Which direction comes first is a matter of taste.
    if (!inCountingOrder(own) || new Set(own.map(isReverse)).size > 1) continue;
    for (const [nth, place] of places.entries()) {
      const fit = open(place).find(({ group }) => group.name === names[nth]);
      if (fit) take(place, fit, 'the same order among layers of such shapes');
    }
  }
}

/** The best fit for each group: an exact one, else the more usual operation. */
function oneForEachGroup(fits: readonly Fit[]): readonly Fit[] {
  const best = new Map<NativeGroup, Fit>();
  for (const fit of fits) {
    const known = best.get(fit.group);
    if (!known || (fit.exact && !known.exact)) best.set(fit.group, fit);
  }
  return [...best.values()];
}

function troubleOf(
  layer: FoundLayer,
  fits: readonly Fit[],
  framework: Framework,
): MappingTrouble | undefined {
  const refusals = layer.ops.map((op) =>
    nativeLayer(framework, { op, parts: layer.parts, heads: 1, multiplier: 1 }),
  );
  const [first] = refusals;
  if (first && refusals.every((one) => !one.ok) && !first.ok) {
    return { kind: 'unrepresentable', layer: layer.name, message: `${layer.name}: ${first.refusal}` };
  }
  const names = oneForEachGroup(fits.filter(({ exact }) => exact)).map(({ group }) => group.name);
  if (names.length < 2) return undefined;
  return {
    kind: 'ambiguous',
    layer: layer.name,
    message: `${layer.name} may be any of ${names.slice(0, 5).join(', ')}${names.length > 5 ? ', ...' : ''}`,
  };
}
