import { ok, type Result, refused } from '../../vocabulary/result.ts';
import { checkInventory } from '../checks/inventory.ts';
import { canonicalLayers, type FoundLayer } from '../layouts/canonical-layers.ts';
import { COMMAND_LINE } from '../layouts/hint-words.ts';
import { flattenedOf, type MappingHints } from '../layouts/infer-mapping.ts';
import {
  alike,
  BATCH_COUNT,
  type Framework,
  type Layer,
  type LayerOp,
  type NativeLayer,
} from '../layouts/layer.ts';
import { nativeLayer } from '../layouts/layer-rules.ts';
import { mapWeights } from '../layouts/map-weights.ts';
import type { CheckSide, DroppedTensor, MappedLayer, Mapping } from '../layouts/mapping.ts';
import { nativeLayers } from '../layouts/native-layers.ts';
import { GRAPH_CONSTANT, onnxPivot } from '../layouts/onnx-pivot.ts';
import type { TensorRecipe } from '../layouts/tensor-recipe.ts';
import { mappingOf } from '../schema/describe-weights.ts';
import type { WeightsManifest } from '../schema/weights-manifest.ts';
import type { StoredTensor, StoredTensors } from '../stored-tensors.ts';

/** What a person says of layers whose shapes allow more than one: what each is, with heads or filters for each channel. */
export interface ConversionHints extends MappingHints {
  readonly layers?: Readonly<Record<string, { readonly op: LayerOp; readonly count?: number }>>;
}

/** Where a conversion goes to, and what tells its names. */
export interface ConversionTarget {
  readonly framework: Framework;
  readonly manifest?: WeightsManifest | undefined;
  /** A model of the target framework, whose weights are to be replaced. */
  readonly template?: StoredTensors | undefined;
  readonly hints: ConversionHints;
}

const isChannelsLast = (framework: Framework) => framework === 'keras' || framework === 'tfjs';

/**
 * How the tensors of a file become those of another framework: by the manifest, else by the model that is filled, else by
 * what the names and shapes of a PyTorch model leave no doubt about. The refusal is every reason why not, as clauses; what a
 * framework cannot hold is refused, and nothing is guessed: what is wrong here no check of the result would see.
 */
export function planConversion(
  source: CheckSide,
  target: ConversionTarget,
): Result<Mapping, readonly string[]> {
  const { framework, manifest, template, hints } = target;
  const { words = COMMAND_LINE } = hints;
  if (source.framework === framework)
    return refused([`${source.stored.file} has the layout of ${framework} already`]);
  const direct = isChannelsLast(source.framework) && isChannelsLast(framework);
  const through = !direct && source.framework !== 'pytorch' && framework !== 'pytorch';
  if (through && manifest) {
    return refused([`the manifest maps from pytorch; name the ${framework} model with ${words.template}`]);
  }
  if (manifest && !direct) return byManifest(source, framework, manifest);
  if (direct) return byNames(source, framework, template);
  if (template) return byTemplate(source, template, target);
  if (framework === 'keras' || framework === 'tfjs') return byShapes(source, target);
  const what = framework === 'onnx' ? 'ONNX model whose weights are replaced' : 'PyTorch model';
  return refused([
    `names of ${framework} are not in ${source.stored.file}: name a manifest, or with ${words.template} the ${what}`,
  ]);
}

function byManifest(
  source: CheckSide,
  to: Framework,
  manifest: WeightsManifest,
): Result<Mapping, readonly string[]> {
  const native = source.framework === 'pytorch' ? to : source.framework;
  if (manifest.framework !== native || manifest.mapping.length === 0) {
    return refused([`the manifest maps to ${manifest.framework}, and ${native} is asked for`]);
  }
  const mapping = mappingOf(manifest, source.framework === 'pytorch' ? 'candidate' : 'reference');
  return complete(source, mapping);
}

function byTemplate(
  source: CheckSide,
  template: StoredTensors,
  { framework, hints }: ConversionTarget,
): Result<Mapping, readonly string[]> {
  const { mapping, troubles } = mapWeights(
    source,
    { stored: template, framework },
    { ...hints, certain: true },
  );
  if (troubles.length > 0) return refused(troubles.map(({ message }) => message));
  const unfit = checkInventory(source, { stored: template, framework }, mapping).filter(({ rule }) =>
    ['WC101', 'WC102', 'WC105'].includes(rule),
  );
  if (unfit.length > 0) return refused(unfit.map(({ message }) => message));
  // PyTorch's side of an inferred mapping is all of its file: a count of batches that only it has is among them.
  return complete(source, mapping);
}

/** Keras and TensorFlow.js hold a layer alike, under one name; but not every one can be held by both. */
function byNames(
  { stored }: CheckSide,
  to: Framework,
  template: StoredTensors | undefined,
): Result<Mapping, readonly string[]> {
  const called = ({ label, name }: StoredTensor) => (label ?? name).replace(/:\d+$/, '');
  const troubles = to === 'tfjs' ? nativeLayers(stored.tensors).flatMap(unheldByTfjs) : [];
  const targets = template && new Map(template.tensors.map((tensor) => [called(tensor), tensor.name]));
  for (const tensor of stored.tensors) {
    if (targets && !targets.has(called(tensor))) troubles.push(`${called(tensor)} is not in the template`);
  }
  if (new Set(stored.tensors.map(called)).size < stored.tensors.length)
    troubles.push('two tensors have one name');
  if (troubles.length > 0) return refused(troubles);
  const recipes = (nameOf: (tensor: StoredTensor) => string) =>
    stored.tensors.map((tensor) => alike(nameOf(tensor), tensor.name, tensor.shape));
  return ok({
    origin: 'names',
    layers: [],
    canonical: new Map(stored.tensors.map(({ name, shape }) => [name, shape])),
    reference: recipes(({ name }) => name),
    candidate: recipes((tensor) => targets?.get(called(tensor)) ?? called(tensor)),
    dropped: [],
  });
}

/** A GRU whose bias has two rows computes with reset_after. */
function unheldByTfjs({ name, leaves }: ReturnType<typeof nativeLayers>[number]): string[] {
  const [hidden, bias] = [leaves.get('recurrent_kernel')?.shape, leaves.get('bias')?.shape];
  if (!hidden || hidden[1] !== 3 * hidden[0]! || bias?.length !== 2) return [];
  const why = nativeLayer('tfjs', { op: 'GRU', parts: {} });
  return why.ok ? [] : [`${name}: ${why.refusal}`];
}

/** Names that Keras would give, where there is only one way to hold each layer. */
function byShapes(
  source: CheckSide,
  { framework, hints }: ConversionTarget,
): Result<Mapping, readonly string[]> {
  const { tensors } = source.stored;
  const own = tensors.map(({ name, shape }) => alike(name, name, shape));
  const pivot =
    source.framework === 'onnx'
      ? onnxPivot(source.stored)
      : ok({ canonical: tensors, recipes: own, constants: [] });
  if (!pivot.ok) return pivot;
  const layers = canonicalLayers(pivot.value.canonical, true);
  const troubles: string[] = [];
  const mapped: MappedLayer[] = [];
  const recipes: TensorRecipe[] = [];
  const dropped: DroppedTensor[] = pivot.value.constants.map((name) => ({
    side: 'reference',
    name,
    reason: GRAPH_CONSTANT,
  }));
  for (const place of layers.keys()) {
    const layer = layers[place]!;
    const held = heldAs(layers, place, framework, hints);
    if (!held.ok) {
      troubles.push(held.refusal);
      continue;
    }
    const { op, native } = held.value;
    const named = native.recipes.map((recipe) => renamed(recipe, layer, op));
    recipes.push(...named);
    mapped.push({ op, layer: layer.name, tensors: named.map(({ name }) => name), because: 'its shapes' });
    for (const [part, reason] of Object.entries(native.dropped)) {
      const name = layer.names[part];
      if (name !== undefined) dropped.push({ side: 'reference', name, reason });
    }
  }
  for (const name of Object.keys(hints.layers ?? {})) {
    if (!layers.some((layer) => layer.name === name)) troubles.push(`there is no layer ${name}`);
  }
  if (troubles.length > 0) return refused(troubles);
  return ok({
    origin: 'inferred',
    layers: mapped,
    canonical: new Map(pivot.value.canonical.map(({ name, shape }) => [name, shape])),
    reference: pivot.value.recipes,
    candidate: recipes,
    dropped,
  });
}

function heldAs(
  layers: readonly FoundLayer[],
  place: number,
  framework: Framework,
  hints: ConversionHints,
): Result<{ readonly op: LayerOp; readonly native: NativeLayer }, string> {
  const layer = layers[place]!;
  const { words = COMMAND_LINE } = hints;
  const said = hints.layers?.[layer.name];
  if (said && !layer.ops.includes(said.op)) {
    return refused(`${layer.name} is no ${said.op}: it may be ${layer.ops.join(' or ')}`);
  }
  const ops = said ? [said.op] : layer.ops;
  const flattened = ops.includes('Linear')
    ? flattenedOf(layers, place, { ...hints, certain: true }, framework)
    : {};
  if (flattened.trouble) return refused(flattened.trouble.message);
  const shaped = (op: LayerOp): Layer => ({
    op,
    parts: layer.parts,
    ...(flattened.map && op === 'Linear' ? { flattened: flattened.map } : {}),
    ...(said?.count === undefined ? {} : { heads: said.count, multiplier: said.count }),
  });
  const ways = ops.map((op) => ({ op, native: nativeLayer(framework, shaped(op)) }));
  const [first] = ways;
  const other = ways.find(({ native }) => text(native) !== text(first!.native));
  if (other) {
    const choices = ops.map((op) => words.layer(layer.name, op)).join(' or ');
    return refused(`${layer.name} may be ${ops.join(' or ')}; say ${choices}`);
  }
  const { op, native } = first!;
  if (!native.ok) {
    const count = op === 'MultiheadAttention' && said?.count === undefined;
    return refused(
      `${layer.name}: ${native.refusal}${count ? `; say ${words.layer(layer.name, op, 'HEADS')}` : ''}`,
    );
  }
  return ok({ op, native: native.value });
}

/** What a way does, apart from what it is called. */
function text(native: Result<NativeLayer, string>): string {
  if (!native.ok) return native.refusal;
  return JSON.stringify(native.value.recipes.map(({ name: _, ...recipe }) => recipe));
}

function renamed(recipe: TensorRecipe, layer: FoundLayer, op: LayerOp): TensorRecipe {
  const path = layer.name.replaceAll('.', '/');
  const cell = op === 'LSTM' ? '/lstm_cell' : op === 'GRU' ? '/gru_cell' : '';
  return {
    ...recipe,
    name: op === 'Parameter' ? path : `${path}${cell}/${recipe.name}`,
    pieces: recipe.pieces.map((piece) => ({ ...piece, tensor: layer.names[piece.tensor]! })),
  };
}

/** Refuses what the source lacks, and what it has beyond the mapping; counts of batches may be filled in. */
function complete({ stored }: CheckSide, mapping: Mapping): Result<Mapping, readonly string[]> {
  const due = new Set(mapping.reference.map(({ name }) => name));
  const there = new Map(stored.tensors.map(({ name, shape }) => [name, shape]));
  const dropped = new Set(mapping.dropped.flatMap(({ side, name }) => (side === 'reference' ? [name] : [])));
  const troubles = [
    ...mapping.reference.flatMap(({ name, shape }) => {
      const found = there.get(name);
      if (!found) return name.endsWith(BATCH_COUNT) ? [] : [`${stored.file} lacks ${name}`];
      return found.join() === shape.join()
        ? []
        : [`${name} is [${found.join(', ')}], and [${shape.join(', ')}] is due`];
    }),
    ...stored.tensors.flatMap(({ name }) =>
      due.has(name) || dropped.has(name) ? [] : [`${name} has no counterpart`],
    ),
  ];
  return troubles.length > 0 ? refused(troubles) : ok(mapping);
}
