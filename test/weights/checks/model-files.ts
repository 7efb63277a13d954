import { join } from 'node:path';
import { type OpenWeights, openWeightsFile } from '../../../src/engines/open-weights-file.ts';
import { type WrittenFormat, writeWeightsFile } from '../../../src/engines/write-weights-file.ts';
import { checkFiles } from '../../../src/weights/checks/check-files.ts';
import type { CheckReport } from '../../../src/weights/checks/report.ts';
import { convertedTensors } from '../../../src/weights/conversion/converted-tensors.ts';
import { type ConversionHints, planConversion } from '../../../src/weights/conversion/plan-conversion.ts';
import type { Framework } from '../../../src/weights/layouts/layer.ts';
import { frameworkOf } from '../../../src/weights/layouts/map-weights.ts';
import type { StoredTensors } from '../../../src/weights/stored-tensors.ts';
import { FIXTURES } from '../fixtures/fixtures.ts';
import { pytorchSample, type Sample, type SampleLayer, storedSample } from './sample-model.ts';

const fixture = (file: string) => join(FIXTURES, file);

/** What a candidate is written as. */
export interface TargetFile {
  readonly name: string;
  readonly framework: Framework;
  readonly format: WrittenFormat;
  readonly template?: string;
}

/** A whole model, its reference in PyTorch's form, and the files that are made of it. */
export interface WholeModel {
  readonly name: string;
  readonly hints: ConversionHints;
  readonly targets: readonly TargetFile[];
  /** The reference, as PyTorch wrote it or, for the block, would write it. */
  open(): Promise<OpenWeights>;
}

const PLAIN: readonly TargetFile[] = [
  { name: 'a.safetensors', framework: 'pytorch', format: 'safetensors' },
  { name: 'a.npz', framework: 'pytorch', format: 'npz' },
];
const filled = (of: string): readonly TargetFile[] => [
  { name: 'a.keras', framework: 'keras', format: 'keras', template: fixture(`probe/${of}.keras`) },
  { name: 'a.onnx', framework: 'onnx', format: 'onnx', template: fixture(`probe/${of}.onnx`) },
];
const H5: TargetFile = { name: 'a.h5', framework: 'keras', format: 'h5' };
const TFJS: TargetFile = { name: 'model.json', framework: 'tfjs', format: 'tfjs' };

const block = (op: SampleLayer['op'], name: string, parts: SampleLayer['parts']): SampleLayer => ({
  op,
  name,
  parts,
});
/** torch.nn.TransformerEncoderLayer(d_model=8, nhead=2, dim_feedforward=12). */
const BLOCK: readonly SampleLayer[] = [
  block('MultiheadAttention', 'self_attn', {
    in_proj_weight: [24, 8],
    in_proj_bias: [24],
    'out_proj.weight': [8, 8],
    'out_proj.bias': [8],
  }),
  block('Linear', 'linear1', { weight: [12, 8], bias: [12] }),
  block('Linear', 'linear2', { weight: [8, 12], bias: [8] }),
  block('LayerNorm', 'norm1', { weight: [8], bias: [8] }),
  block('LayerNorm', 'norm2', { weight: [8], bias: [8] }),
];

/** A model that declares `mix` before `fc1`, and runs it behind it: fc1 is the one behind the flattened map of 8x6x5. */
const SHUFFLED: readonly SampleLayer[] = [
  block('Conv2d', 'conv', { weight: [8, 3, 3, 3], bias: [8] }),
  block('Linear', 'mix', { weight: [16, 16], bias: [16] }),
  block('Linear', 'fc1', { weight: [16, 240], bias: [16] }),
  block('Linear', 'out', { weight: [2, 16], bias: [2] }),
];

/** A convolutional, a recurrent and a transformer model, and one whose layers are declared out of order. */
export const WHOLE_MODELS: readonly WholeModel[] = [
  {
    name: 'image',
    hints: {
      flattened: { fc1: [8, 4, 3], fc2: [] },
      layers: { depthwise: { op: 'DepthwiseConv2d' } },
    },
    targets: [...PLAIN, H5, TFJS, ...filled('image')],
    open: () => openWeightsFile(fixture('probe/image.pt')),
  },
  {
    name: 'words',
    hints: {
      flattened: { head: [] },
      layers: { words: { op: 'Embedding' } },
    },
    targets: [...PLAIN, H5, TFJS, ...filled('words')],
    open: () => openWeightsFile(fixture('probe/words.pt')),
  },
  {
    name: 'block',
    hints: {
      flattened: { linear1: [], linear2: [] },
      layers: { self_attn: { op: 'MultiheadAttention', count: 2 } },
    },
    targets: [...PLAIN, H5],
    open: async () => ({
      ...storedSample(pytorchSample(5, BLOCK), 'block.pt', 'pytorch'),
      close: () => {},
    }),
  },
  {
    name: 'shuffled',
    hints: { flattened: { fc1: [8, 6, 5], mix: [] } },
    targets: [H5],
    open: async () => ({
      ...storedSample(pytorchSample(6, SHUFFLED), 'shuffled.pt', 'pytorch'),
      close: () => {},
    }),
  },
];

/** The float32 tensors of a file in memory, and all others as they are. */
export function sampleOf({ tensors }: StoredTensors): Sample {
  return new Map(
    tensors.map(({ name, shape, dtype, read }) => {
      const values = new Float32Array(shape.reduce((product, extent) => product * extent, 1));
      const bytes = dtype === 'int64' ? new Uint8Array(8 * values.length) : new Uint8Array(values.buffer);
      read(0, bytes);
      return [name, dtype === 'float32' ? { shape, values } : { shape, values, dtype, bytes }];
    }),
  );
}

/** Writes a model, converted, into a folder; answers with the paths of its files, the main one first. */
export async function writeModel(
  folder: string,
  sample: Sample,
  { name, framework, format, template }: TargetFile,
  hints: ConversionHints,
): Promise<readonly string[]> {
  const source = { stored: storedSample(sample, 'made.pt', 'pytorch'), framework: 'pytorch' as const };
  const filledBy = template === undefined ? undefined : await openWeightsFile(template);
  try {
    let { tensors } = source.stored;
    if (framework !== 'pytorch') {
      const plan = planConversion(source, { framework, template: filledBy, hints });
      if (!plan.ok) throw new Error(plan.refusal.join('; '));
      ({ tensors } = convertedTensors(source, plan.value));
    }
    const path = join(folder, name);
    const about = { metadata: {}, generatedBy: 'a test', template, force: true };
    return await writeWeightsFile({ path, format, tensors, ...about });
  } finally {
    filledBy?.close();
  }
}

/** Checks a file against the reference of its model. */
export async function checkModel(path: string, model: WholeModel): Promise<CheckReport> {
  const reference = await model.open();
  try {
    const candidate = await openWeightsFile(path);
    try {
      return checkFiles(
        { stored: reference, framework: 'pytorch' },
        { stored: candidate, framework: frameworkOf(candidate) },
        model.hints,
      );
    } finally {
      candidate.close();
    }
  } finally {
    reference.close();
  }
}
