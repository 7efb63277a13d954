import { elementCount } from '../manifest.ts';
import type { StoredTensor } from '../stored-tensors.ts';
import type { FoundLayer } from './canonical-layers.ts';
import type { NativeGroup } from './native-layers.ts';

/**
 * ONNX initialisers have no layers: those that bear a canonical name are that tensor, and a matrix that an exporter
 * transposed and numbered is that of the layer whose bias is added to its product. The others are W, R and B of recurrent
 * layers, as the nodes of the graph take them, or else as they stand one after the other.
 */
export function onnxGroups(
  layers: readonly FoundLayer[],
  tensors: readonly StoredTensor[],
): readonly NativeGroup[] {
  const byName = new Map(tensors.map((tensor) => [tensor.name, tensor]));
  const byBias = new Map(
    tensors.flatMap((tensor) => (tensor.addedTo === undefined ? [] : [[tensor.addedTo, tensor] as const])),
  );
  const named = layers.flatMap((layer) => {
    const leaves = new Map<string, StoredTensor>();
    for (const [part, name] of Object.entries(layer.names)) {
      const tensor = byName.get(name) ?? byBias.get(name.replace(/weight$/, 'bias'));
      if (tensor) leaves.set(part, tensor);
    }
    return leaves.size > 0 ? [{ name: layer.name, leaves }] : [];
  });
  const used = new Set(named.flatMap(({ leaves }) => [...leaves.values()]));
  const free = tensors.filter((tensor) => !used.has(tensor));
  return [
    ...named,
    ...groupsOfNodes(free),
    ...groupsInARow(free.filter(({ recurrent }) => !recurrent)),
    ...matricesAlone(free),
  ];
}

/** Matrices of layers without a bias, which an exporter numbered. */
function matricesAlone(tensors: readonly StoredTensor[]): readonly NativeGroup[] {
  return tensors.flatMap((tensor) =>
    tensor.multiplies === 'rows' || tensor.multiplies === 'columns'
      ? [{ name: tensor.name, leaves: new Map([['weight', tensor]]) }]
      : [],
  );
}

function groupsOfNodes(tensors: readonly StoredTensor[]): readonly NativeGroup[] {
  const nodes = new Map<number, Map<string, StoredTensor>>();
  for (const tensor of tensors) {
    if (!tensor.recurrent || tensor.recurrent.input === 'initial') continue;
    const { node, input } = tensor.recurrent;
    const leaves = nodes.get(node) ?? new Map<string, StoredTensor>();
    nodes.set(node, leaves.set(input, tensor));
  }
  return [...nodes.values()].map((leaves) => ({ name: [...leaves.values()][0]!.name, leaves }));
}

function groupsInARow(tensors: readonly StoredTensor[]): readonly NativeGroup[] {
  return tensors.flatMap((tensor, place) => {
    const [hidden, bias] = [tensors[place + 1], tensors[place + 2]];
    if (tensor.shape.length !== 3 || hidden?.shape.length !== 3) return [];
    const leaves = new Map([
      ['W', tensor],
      ['R', hidden],
    ]);
    if (bias?.shape.length === 2) leaves.set('B', bias);
    return [{ name: tensor.name, leaves }];
  });
}

/** A name that an exporter made up: onnx::MatMul_173 of the older one of PyTorch, val_17 of today's. */
const NUMBERED = /^(?:onnx::\w+_|val_)\d+$/;

/** What a graph holds beside weights: whole numbers, single numbers, and states before the first step. */
export function isGraphConstant({ name, dtype, shape, recurrent }: StoredTensor): boolean {
  if (/^(?:u?int|bool)/.test(dtype) || recurrent?.input === 'initial') return true;
  return NUMBERED.test(name) && elementCount(shape) === 1;
}
