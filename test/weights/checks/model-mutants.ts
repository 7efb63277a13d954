import { readFileSync, writeFileSync } from 'node:fs';
import { ConsiliumError } from '../../../src/errors/problem.ts';
import type { RuleId } from '../../../src/weights/checks/rules.ts';
import { permuteAxes } from '../../../src/weights/layouts/permute-axes.ts';
import { checkModel, sampleOf, type TargetFile, type WholeModel, writeModel } from './model-files.ts';
import type { Sample } from './sample-model.ts';

/** A whole model that is wrong, though every tensor of it has its name and shape. */
export interface ModelMutant {
  readonly name: string;
  readonly model: string;
  /** The rule that should name it. */
  readonly rule: RuleId;
  /** The rule that names it in another framework's layout. */
  readonly orRule?: RuleId;
  readonly spoil: (model: Sample) => void;
}

/** Takes the slices of an axis in another order; the axis may be part of one: `blocks` slices of equal length. */
function reorder(model: Sample, name: string, axis: number, order: readonly number[], blocks = order.length) {
  const { shape, values } = model.get(name)!;
  const outer = shape.slice(0, axis).reduce((product, extent) => product * extent, 1);
  const inner = values.length / outer / blocks;
  const next = new Float32Array(values.length);
  for (let at = 0; at < outer; at++) {
    for (const [place, from] of order.entries()) {
      const begin = (at * blocks + from) * inner;
      next.set(values.subarray(begin, begin + inner), (at * blocks + place) * inner);
    }
  }
  model.set(name, { shape, values: next });
}

const swap = (model: Sample, left: string, right: string) => {
  const [a, b] = [model.get(left)!, model.get(right)!];
  model.set(left, b);
  model.set(right, a);
};
const fill = (model: Sample, name: string, value: number) => {
  const { shape, values } = model.get(name)!;
  model.set(name, { shape, values: values.map(() => value) });
};
const bits = (model: Sample, name: string, change: (words: Uint32Array) => void) => {
  const { shape, values } = model.get(name)!;
  const copy = values.slice();
  change(new Uint32Array(copy.buffer));
  model.set(name, { shape, values: copy });
};

const EIGHT = [3, 1, 0, 2, 7, 4, 6, 5];
const TEN = [9, 2, 0, 4, 1, 3, 6, 5, 8, 7];
const FIVE = [4, 2, 0, 1, 3];
/** The hidden units of a gate, in every one of four. */
const gates = (order: readonly number[]) =>
  [0, 1, 2, 3].flatMap((gate) => order.map((unit) => gate * order.length + unit));

/** What is spoilt in the reference's form, before it is converted rightly into every format. */
export const MODEL_MUTANTS: readonly ModelMutant[] = [
  {
    name: 'channels permuted through convolution, norm, depthwise layer and flatten: the same function',
    model: 'image',
    rule: 'WC207',
    spoil(model) {
      const parts = ['weight', 'bias', 'running_mean', 'running_var'].map((part) => `bn1.${part}`);
      for (const name of ['conv1.weight', 'conv1.bias', ...parts, 'depthwise.weight', 'depthwise.bias']) {
        reorder(model, name, 0, EIGHT);
      }
      reorder(model, 'fc1.weight', 1, EIGHT);
    },
  },
  {
    name: 'hidden units permuted through two Linear: the same function',
    model: 'image',
    rule: 'WC207',
    spoil(model) {
      reorder(model, 'fc1.weight', 0, TEN);
      reorder(model, 'fc1.bias', 0, TEN);
      reorder(model, 'fc2.weight', 1, TEN);
    },
  },
  {
    name: 'channels of one convolution permuted alone',
    model: 'image',
    rule: 'WC208',
    spoil: (model) => reorder(model, 'conv1.weight', 0, EIGHT),
  },
  {
    name: 'stale statistics of a batch norm, as before training',
    model: 'image',
    rule: 'WC212',
    spoil(model) {
      fill(model, 'bn1.running_mean', 0);
      fill(model, 'bn1.running_var', 1);
    },
  },
  {
    name: 'statistics of the batch before',
    model: 'image',
    rule: 'WC212',
    spoil(model) {
      const { shape, values } = model.get('bn1.running_mean')!;
      model.set('bn1.running_mean', { shape, values: values.map((value, at) => 0.9 * value + 0.01 * at) });
    },
  },
  {
    name: 'mean and variance exchanged',
    model: 'image',
    rule: 'WC206',
    spoil: (model) => swap(model, 'bn1.running_mean', 'bn1.running_var'),
  },
  {
    name: 'biases of two layers of one width exchanged',
    model: 'image',
    rule: 'WC206',
    spoil: (model) => swap(model, 'conv1.bias', 'depthwise.bias'),
  },
  {
    name: 'height and width exchanged in a square kernel',
    model: 'image',
    rule: 'WC202',
    spoil(model) {
      const { shape, values } = model.get('conv1.weight')!;
      model.set('conv1.weight', { shape, values: permuteAxes(values, shape, [0, 1, 3, 2]) });
    },
  },
  {
    name: 'one ULP in the last layer',
    model: 'image',
    rule: 'WC406',
    spoil: (model) =>
      bits(model, 'fc2.weight', (words) => {
        words[7]! += 1;
      }),
  },
  {
    name: 'one sign bit in a bias',
    model: 'image',
    rule: 'WC210',
    spoil: (model) =>
      bits(model, 'fc1.bias', (words) => {
        words[3]! ^= 0x80000000;
      }),
  },
  {
    name: 'the whole model cut to bfloat16',
    model: 'image',
    rule: 'WC402',
    spoil(model) {
      for (const name of ['conv1.weight', 'depthwise.weight', 'fc1.weight', 'fc2.weight']) {
        bits(model, name, (words) => words.set(words.map((word) => (word & 0xffff0000) >>> 0)));
      }
    },
  },
  {
    name: 'hidden units permuted through a recurrent layer, a norm and the head: the same function',
    model: 'words',
    rule: 'WC208',
    spoil(model) {
      for (const name of ['weight_ih', 'weight_hh', 'bias_ih', 'bias_hh']) {
        reorder(model, `lstm.${name}_l0`, 0, gates(FIVE));
      }
      reorder(model, 'lstm.weight_hh_l0', 1, FIVE);
      reorder(model, 'norm.weight', 0, FIVE);
      reorder(model, 'norm.bias', 0, FIVE);
      reorder(model, 'head.weight', 1, FIVE);
    },
  },
  {
    name: 'gates in the order of ONNX throughout',
    model: 'words',
    rule: 'WC204',
    spoil(model) {
      for (const name of ['weight_ih', 'weight_hh', 'bias_ih', 'bias_hh']) {
        reorder(model, `lstm.${name}_l0`, 0, [0, 3, 1, 2]);
      }
    },
  },
  {
    name: 'words counted from one',
    model: 'words',
    rule: 'WC208',
    spoil: (model) =>
      reorder(
        model,
        'words.weight',
        0,
        Array.from({ length: 20 }, (_, at) => (at + 1) % 20),
      ),
  },
  {
    name: 'scale and shift of a norm exchanged',
    model: 'words',
    rule: 'WC206',
    spoil: (model) => swap(model, 'norm.weight', 'norm.bias'),
  },
  {
    name: 'a bias that was never written',
    model: 'words',
    rule: 'WC201',
    spoil: (model) => fill(model, 'head.bias', 0),
  },
  {
    name: 'NaN in one place',
    model: 'words',
    rule: 'WC107',
    spoil: (model) =>
      bits(model, 'head.weight', (words) => {
        words[0] = 0x7fc00000;
      }),
  },
  {
    name: 'hidden units of the feed-forward part permuted: the same function',
    model: 'block',
    rule: 'WC207',
    spoil(model) {
      const order = [5, 0, 1, 11, 2, 3, 4, 6, 10, 7, 8, 9];
      reorder(model, 'linear1.weight', 0, order);
      reorder(model, 'linear1.bias', 0, order);
      reorder(model, 'linear2.weight', 1, order);
    },
  },
  {
    name: 'the two heads exchanged throughout: the same function',
    model: 'block',
    rule: 'WC207',
    spoil(model) {
      // Query, key and value, two heads each.
      reorder(model, 'self_attn.in_proj_weight', 0, [1, 0, 3, 2, 5, 4]);
      reorder(model, 'self_attn.in_proj_bias', 0, [1, 0, 3, 2, 5, 4]);
      reorder(model, 'self_attn.out_proj.weight', 1, [1, 0]);
    },
  },
  {
    name: 'query and value exchanged',
    model: 'block',
    rule: 'WC204',
    spoil(model) {
      reorder(model, 'self_attn.in_proj_weight', 0, [2, 1, 0]);
      reorder(model, 'self_attn.in_proj_bias', 0, [2, 1, 0]);
    },
  },
  {
    name: 'the two norms exchanged',
    model: 'block',
    rule: 'WC206',
    spoil(model) {
      swap(model, 'norm1.weight', 'norm2.weight');
      swap(model, 'norm1.bias', 'norm2.bias');
    },
  },
  {
    name: 'the output projection not transposed',
    model: 'block',
    rule: 'WC202',
    // In Keras's layout these are the bytes of the reference.
    orRule: 'WC203',
    spoil(model) {
      const { shape, values } = model.get('self_attn.out_proj.weight')!;
      model.set('self_attn.out_proj.weight', { shape, values: permuteAxes(values, shape, [1, 0]) });
    },
  },
];

/** What a check of one file came to: refused files are caught as well. */
export interface FileVerdict {
  readonly caught: boolean;
  readonly rules: readonly string[];
}

/** A bias of each model, whose values stand in a row in every format that does not pack them. */
const IN_A_ROW: Readonly<Record<string, string>> = {
  image: 'conv1.bias',
  words: 'norm.bias',
  block: 'norm1.bias',
  shuffled: 'conv.bias',
};

/** Writes a model, spoilt or right, in a format and checks the file against the reference. */
export async function verdictOf(
  folder: string,
  model: WholeModel,
  target: TargetFile,
  spoil: (sample: Sample) => void = () => {},
  damage: (files: readonly string[], sample: Sample) => void = () => {},
): Promise<FileVerdict> {
  const reference = await model.open();
  const sample = sampleOf(reference);
  reference.close();
  spoil(sample);
  const files = await writeModel(folder, sample, target, model.hints);
  damage(files, sample);
  try {
    const { verdict, findings } = await checkModel(files[0]!, model);
    return { caught: verdict === 'failed', rules: findings.map(({ rule }) => rule) };
  } catch (error) {
    if (!(error instanceof ConsiliumError)) throw error;
    return { caught: true, rules: [error.problem.code] };
  }
}

/** What happens to files on their way, whatever their format. */
export const FILE_DAMAGES: Readonly<
  Record<string, (files: readonly string[], sample: Sample, model: string) => void>
> = {
  'one bit flipped in a bias, in the file': (files, sample, model) => {
    const { values } = sample.get(IN_A_ROW[model]!)!;
    const sought = Buffer.from(values.buffer, values.byteOffset, values.byteLength);
    for (const file of files) {
      const bytes = readFileSync(file);
      const at = bytes.indexOf(sought);
      if (at < 0) continue;
      bytes[at + 5]! ^= 0x10;
      writeFileSync(file, bytes);
      return;
    }
    throw new Error(`no file of ${files.join(', ')} holds these values in a row`);
  },
  'the last file cut short by a value': (files) => {
    const file = files.at(-1)!;
    const bytes = readFileSync(file);
    writeFileSync(file, bytes.subarray(0, bytes.length - 4));
  },
};
