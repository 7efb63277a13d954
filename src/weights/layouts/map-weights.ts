import type { StoredTensors } from '../stored-tensors.ts';
import { inferMapping, type MappingHints, type MappingTrouble } from './infer-mapping.ts';
import { alike, type Framework } from './layer.ts';
import { type CheckSide, type Mapping, mappingByNames } from './mapping.ts';
import { mappingBehindPrefix, namePrefixes } from './name-prefix.ts';
import { nativeLayers } from './native-layers.ts';
import { isGraphConstant } from './onnx-groups.ts';
import { GRAPH_CONSTANT, onnxPivot } from './onnx-pivot.ts';
import type { TensorRecipe } from './tensor-recipe.ts';

/** A mapping, and what could not be mapped. */
export interface FoundMapping {
  readonly mapping: Mapping;
  readonly troubles: readonly MappingTrouble[];
}

/** The last words of names that only Keras and TensorFlow.js use. */
const KERAS_LEAVES =
  /^(?:kernel|gamma|beta|moving_mean|moving_variance|embeddings|recurrent_kernel|depthwise_kernel)$/;

/** And those that only PyTorch uses. */
const PYTORCH_LEAVES =
  /^(?:weight|running_mean|running_var|in_proj_weight|weight_(?:ih|hh)_l\d+(?:_reverse)?)$/;

/** Whose layout a file has: its format tells, or else the names in it. Source of `pt` and `tf`: huggingface/safetensors. */
export function frameworkOf(stored: StoredTensors): Framework {
  if (stored.format === 'pytorch') return 'pytorch';
  if (stored.format === 'onnx') return 'onnx';
  if (stored.format === 'tfjs') return 'tfjs';
  if (['saved-model', 'keras', 'keras-h5'].includes(stored.format)) return 'keras';
  if (stored.metadata.format === 'tf') return 'keras';
  if (stored.metadata.format === 'pt') return 'pytorch';
  const leaves = nativeLayers(stored.tensors).flatMap((group) =>
    [...group.leaves.keys()].map((leaf) => leaf.split(/[/.]/).at(-1)!),
  );
  const votes = (names: RegExp) => leaves.filter((leaf) => names.test(leaf)).length;
  return votes(KERAS_LEAVES) > votes(PYTORCH_LEAVES) ? 'keras' : 'pytorch';
}

/** How the tensors of two files belong together, from their names, shapes and order. */
export function mapWeights(
  reference: CheckSide,
  candidate: CheckSide,
  hints: MappingHints = {},
): FoundMapping {
  const channelsLast = (side: CheckSide) => side.framework === 'keras' || side.framework === 'tfjs';
  if (reference.framework === candidate.framework || (channelsLast(reference) && channelsLast(candidate))) {
    return mappedByNames(reference.stored, candidate.stored);
  }
  if (reference.framework === 'pytorch') return mapped(reference, candidate, 'reference', hints);
  if (candidate.framework === 'pytorch') return mapped(candidate, reference, 'candidate', hints);
  const onnx = reference.framework === 'onnx' ? reference : candidate;
  const pivot = onnxPivot(onnx.stored);
  if (pivot.ok) {
    const own = { stored: { ...onnx.stored, tensors: pivot.value.canonical }, framework: onnx.framework };
    const { recipes, constants } = pivot.value;
    const [side, other] =
      onnx === reference ? (['reference', candidate] as const) : (['candidate', reference] as const);
    const { mapping, troubles } = mapped(own, other, side, hints, recipes);
    const dropped = constants.map((name) => ({ side, name, reason: GRAPH_CONSTANT }));
    return { mapping: { ...mapping, dropped: [...mapping.dropped, ...dropped] }, troubles };
  }
  const empty = { stored: { ...candidate.stored, tensors: [] }, framework: candidate.framework };
  const why = `${pivot.refusal.slice(0, 3).join('; ')}${pivot.refusal.length > 3 ? '; ...' : ''}`;
  return {
    mapping: mappingByNames(empty.stored, empty.stored),
    troubles: [
      {
        kind: 'ambiguous',
        layer: '',
        message: `names of ${reference.framework} and of ${candidate.framework} do not tell which belong together (${why}); check each against the PyTorch model`,
      },
    ],
  };
}

/** Two files of one framework: by equal names, or else by names that are equal behind one prefix. */
function mappedByNames(reference: StoredTensors, candidate: StoredTensors): FoundMapping {
  const [prefix, ...others] = namePrefixes(reference, candidate);
  if (!prefix) return { mapping: mappingByNames(reference, candidate), troubles: [] };
  const { side } = prefix;
  const [long, short] =
    side === 'reference' ? (['reference', 'candidate'] as const) : (['candidate', 'reference'] as const);
  if (others.length === 0) {
    return {
      mapping: mappingBehindPrefix(reference, candidate, prefix),
      troubles: [
        {
          kind: 'prefixed',
          layer: '',
          message: `the names of the ${long} are those of the ${short} behind ${prefix.prefix}`,
        },
      ],
    };
  }
  const option = side === 'reference' ? '--against-prefix' : '--prefix';
  const prefixes = [prefix, ...others].map((one) => one.prefix);
  const reason = 'which copy of the model is meant is not known';
  return {
    mapping: {
      origin: 'names',
      layers: [],
      canonical: new Map(),
      reference: [],
      candidate: [],
      dropped: (['reference', 'candidate'] as const).flatMap((of) =>
        (of === 'reference' ? reference : candidate).tensors.map(({ name }) => ({ side: of, name, reason })),
      ),
    },
    troubles: [
      {
        kind: 'ambiguous',
        layer: '',
        message: `the ${long} holds the model of the ${short} behind ${prefixes.join(' and behind ')}; say which, such as ${option} ${prefix.prefix}`,
      },
    ],
  };
}

function mapped(
  canonical: CheckSide,
  native: CheckSide,
  canonicalIs: 'reference' | 'candidate',
  hints: MappingHints,
  own: readonly TensorRecipe[] = canonical.stored.tensors.map(({ name, shape }) => alike(name, name, shape)),
): FoundMapping {
  const inferred = inferMapping(canonical.stored, native.stored, native.framework, hints);
  const nativeIs = canonicalIs === 'reference' ? 'candidate' : 'reference';
  // What belongs to a layer in trouble is named by that trouble alone.
  const open = inferred.troubles.map(({ layer }) => layer);
  const withinOpen = (name: string) =>
    open.some((layer) => name.startsWith(layer.replace(/_l\d+(?:_reverse)?$/, '')));
  const canonicalNames = new Set(canonical.stored.tensors.map(({ name }) => name));
  const used = new Set(inferred.recipes.map(({ name }) => name));
  return {
    mapping: {
      origin: 'inferred',
      layers: inferred.layers,
      canonical: new Map(canonical.stored.tensors.map(({ name, shape }) => [name, shape])),
      [canonicalIs as 'reference']: own,
      [nativeIs as 'candidate']: inferred.recipes,
      dropped: [
        ...Object.entries(inferred.dropped).map(([name, reason]) => ({ side: canonicalIs, name, reason })),
        ...canonical.stored.tensors.flatMap(({ name }) =>
          withinOpen(name) ? [{ side: canonicalIs, name, reason: 'its layer is not mapped' }] : [],
        ),
        ...native.stored.tensors.flatMap((tensor) =>
          native.framework === 'onnx' &&
          !used.has(tensor.name) &&
          !canonicalNames.has(tensor.name) &&
          isGraphConstant(tensor)
            ? [{ side: nativeIs, name: tensor.name, reason: GRAPH_CONSTANT } as const]
            : [],
        ),
        ...native.stored.tensors.flatMap(({ name }) =>
          open.length > 0 && !used.has(name)
            ? [{ side: nativeIs, name, reason: 'it may be of a layer that is not mapped' } as const]
            : [],
        ),
      ],
    },
    troubles: inferred.troubles,
  };
}
