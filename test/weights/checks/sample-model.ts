import { xoshiro128 } from '../../../src/rounds/seeded-random.ts';
import { bytesOf } from '../../../src/weights/float32-bytes.ts';
import { canonicalLayers } from '../../../src/weights/layouts/canonical-layers.ts';
import type { Framework, Layer, LayerOp } from '../../../src/weights/layouts/layer.ts';
import { nativeLayer } from '../../../src/weights/layouts/layer-rules.ts';
import { assemble } from '../../../src/weights/layouts/tensor-recipe.ts';
import { elementCount } from '../../../src/weights/manifest.ts';
import type { StoredTensors } from '../../../src/weights/stored-tensors.ts';
import { dtypeBytes, type TensorDtype } from '../../../src/weights/tensor-dtype.ts';

/** One tensor in memory; `values` are float32 unless `bytes` hold elements of another dtype. */
export interface SampleTensor {
  readonly shape: readonly number[];
  readonly values: Float32Array;
  readonly dtype?: TensorDtype;
  readonly bytes?: Uint8Array;
  readonly tiedTo?: string;
}

/** Tensors by name, in order. */
export type Sample = Map<string, SampleTensor>;

/** A layer of a sample model: what it is, what it is called in either framework, and the shapes of its parts. */
export interface SampleLayer {
  readonly op: LayerOp;
  readonly name: string;
  readonly parts: Readonly<Record<string, readonly number[]>>;
  readonly detail?: Partial<Layer>;
}

const conv = (op: LayerOp, name: string, weight: readonly number[], bias: number): SampleLayer => ({
  op,
  name,
  parts: { weight, bias: [bias] },
});
const linear = (name: string, outputs: number, inputs: number, detail?: Partial<Layer>): SampleLayer => ({
  op: 'Linear',
  name,
  parts: { weight: [outputs, inputs], bias: [outputs] },
  ...(detail ? { detail } : {}),
});
const norm = (op: LayerOp, name: string, features: number): SampleLayer => ({
  op,
  name,
  parts: { weight: [features], bias: [features] },
});
const recurrent = (
  op: 'LSTM' | 'GRU',
  name: string,
  input: number,
  hidden: number,
  suffix = '_l0',
): SampleLayer => {
  const rows = (op === 'LSTM' ? 4 : 3) * hidden;
  return {
    op,
    name,
    parts: {
      [`weight_ih${suffix}`]: [rows, input],
      [`weight_hh${suffix}`]: [rows, hidden],
      [`bias_ih${suffix}`]: [rows],
      [`bias_hh${suffix}`]: [rows],
    },
  };
};

/**
 * One layer of every kind that any framework holds, small and full of traps: square weights, equal layers, H other
 * than W, more than one channel and more than one place where a map is flattened.
 */
export const LAYERS: readonly SampleLayer[] = [
  conv('Conv2d', 'conv1', [6, 3, 3, 5], 6),
  {
    op: 'BatchNorm',
    name: 'bn1',
    parts: { weight: [6], bias: [6], running_mean: [6], running_var: [6], num_batches_tracked: [] },
  },
  conv('Conv2d', 'conv2', [6, 6, 3, 3], 6),
  conv('Conv2d', 'conv3', [6, 6, 3, 3], 6),
  {
    op: 'DepthwiseConv2d',
    name: 'depthwise',
    parts: { weight: [12, 1, 3, 3], bias: [12] },
    detail: { multiplier: 2 },
  },
  conv('Conv2d', 'point', [6, 12, 1, 1], 6),
  { op: 'ConvTranspose2d', name: 'up', parts: { weight: [6, 6, 3, 3], bias: [6] } },
  conv('Conv1d', 'line', [5, 6, 3], 5),
  conv('Conv3d', 'volume', [4, 2, 3, 3, 3], 4),
  norm('GroupNorm', 'group', 6),
  linear('fc1', 8, 72, { flattened: [6, 3, 4] }),
  linear('fc2', 8, 8),
  linear('fc3', 8, 8),
  norm('LayerNorm', 'ln', 8),
  { op: 'Embedding', name: 'words', parts: { weight: [11, 7] } },
  recurrent('LSTM', 'lstm', 6, 6),
  recurrent('GRU', 'gru', 6, 6),
  recurrent('LSTM', 'vitals', 5, 4),
  recurrent('LSTM', 'vitals', 5, 4, '_l0_reverse'),
  {
    op: 'MultiheadAttention',
    name: 'attention',
    parts: { in_proj_weight: [24, 8], in_proj_bias: [24], 'out_proj.weight': [8, 8], 'out_proj.bias': [8] },
    detail: { heads: 2 },
  },
  { op: 'Parameter', name: 'token', parts: { token: [1, 3, 8] } },
];

/** What a person has to say of the sample: which Linear stands behind a flattened map. */
export const FLATTENED = { fc1: [6, 3, 4], fc2: [], fc3: [] };

/** Standard normal numbers from a seed (Box and Muller 1958), as float32. */
export function normals(seed: number, count: number, deviation = 1): Float32Array {
  const next = xoshiro128([seed + 1, seed ^ 0x9e3779b9, 0x243f6a88, 0xb7e15162]);
  for (let at = 0; at < 16; at++) next();
  return Float32Array.from({ length: count }, () => {
    const radius = Math.sqrt(-2 * Math.log((next() + 1) / (2 ** 32 + 1)));
    return deviation * radius * Math.cos((2 * Math.PI * next()) / 2 ** 32);
  });
}

/** The name of a part in the PyTorch model. */
export function canonicalName({ op, name }: SampleLayer, part: string): string {
  return op === 'Parameter' ? name : `${name}.${part}`;
}

/** The model in PyTorch's form, trained by nobody: seeded values of the size that training gives. */
export function pytorchSample(seed: number, layers: readonly SampleLayer[] = LAYERS): Sample {
  const sample: Sample = new Map();
  let stream = seed * 1000;
  for (const layer of layers) {
    for (const [part, shape] of Object.entries(layer.parts)) {
      stream += 1;
      const count = elementCount(shape);
      const name = canonicalName(layer, part);
      if (part === 'num_batches_tracked') {
        const bytes = new Uint8Array(BigUint64Array.of(BigInt(seed) + 7n).buffer);
        sample.set(name, { shape, values: new Float32Array(1), dtype: 'int64', bytes });
        continue;
      }
      const values = normals(stream, count, 0.3);
      if (part === 'running_var') for (const [at, value] of values.entries()) values[at] = value ** 2 + 1e-3;
      if (part === 'weight' && layer.op.endsWith('Norm'))
        for (const [at, value] of values.entries()) values[at] = 1 + value;
      sample.set(name, { shape, values });
    }
  }
  return sample;
}

/** The model in an engine's form, by the rules; names as the engine gives them. Layers that it cannot hold are left out. */
export function convertedSample(
  canonical: Sample,
  framework: Framework,
  layers: readonly SampleLayer[] = LAYERS,
): Sample {
  const sample: Sample = new Map();
  for (const layer of layers) {
    const native = nativeLayer(framework, { op: layer.op, parts: layer.parts, ...layer.detail });
    if (!native.ok) continue;
    for (const recipe of native.value.recipes) {
      const values = assemble(recipe, (part) => canonical.get(canonicalName(layer, part))!.values);
      sample.set(nativeName(framework, layer, recipe.name), { shape: recipe.shape, values });
    }
  }
  return sample;
}

/** What an engine calls a tensor of a layer. */
export function nativeName(framework: Framework, layer: SampleLayer, leaf: string): string {
  if (layer.op === 'Parameter') return layer.name;
  if (framework === 'keras' || framework === 'tfjs') {
    const cell = layer.op === 'LSTM' ? '/lstm_cell' : layer.op === 'GRU' ? '/gru_cell' : '';
    return `${pathOf(layer)}${cell}/${leaf}`;
  }
  // Exporters give recurrent nodes and MatMul weights numbers for names.
  return /^[WRB]$/.test(leaf) ? `onnx::${layer.op}_${layer.name}_${leaf}` : `${layer.name}.${leaf}`;
}

/** The path of a layer; one of two directions stands within a wrapper, whose name is any. */
function pathOf({ name, parts }: SampleLayer): string {
  if (name !== 'vitals') return name;
  return `bidirectional/${'weight_ih_l0' in parts ? 'forward' : 'backward'}_lstm_1`;
}

/** Tensors in memory as an opened file. */
export function storedSample(sample: Sample, file: string, framework: Framework): StoredTensors {
  const formats = { pytorch: 'pytorch', keras: 'keras', tfjs: 'tfjs', onnx: 'onnx' } as const;
  return {
    file,
    format: formats[framework],
    metadata: {},
    omitted: [],
    tensors: [...sample].map(([name, { shape, values, dtype = 'float32', bytes, tiedTo }]) => {
      const content = bytes ?? bytesOf(values);
      const width = dtypeBytes(dtype);
      return {
        file,
        name,
        dtype,
        shape,
        ...(tiedTo === undefined ? {} : { tiedTo }),
        read: (start, into) => into.set(content.subarray(start * width, start * width + into.length)),
      };
    }),
  };
}

/** Layers that a framework cannot hold. */
export function heldLayers(framework: Framework): readonly SampleLayer[] {
  return LAYERS.filter(({ op, parts, detail }) => nativeLayer(framework, { op, parts, ...detail }).ok);
}

/** Names that inference gives to the layers of the sample, for a check that it finds them all. */
export function layerNames(sample: Sample): readonly string[] {
  const tensors = [...sample].map(([name, { shape }]) => ({ name, shape }));
  return canonicalLayers(tensors, true).map(({ name }) => name);
}
