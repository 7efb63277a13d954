import { toBfloat16Bits, toFloat16 } from '../../../src/weights/checks/precision.ts';
import type { RuleId } from '../../../src/weights/checks/rules.ts';
import type { Framework } from '../../../src/weights/layouts/layer.ts';
import { permuteAxes } from '../../../src/weights/layouts/permute-axes.ts';
import { elementCount } from '../../../src/weights/manifest.ts';
import { convertedSample, normals, pytorchSample, type Sample, type SampleTensor } from './sample-model.ts';

/** A wrong conversion that a check has to catch. */
export interface Mutant {
  readonly name: string;
  /** Which correct conversion it spoils. */
  readonly framework: Framework;
  /** The rule that should name it. */
  readonly rule: RuleId;
  /** Changes the converted tensors; the canonical ones are there to be looked at. */
  readonly spoil: (native: Sample, canonical: Sample) => void;
}

type Change = (tensor: SampleTensor, canonical: Sample) => SampleTensor;

/** Changes one tensor. */
const on =
  (name: string, change: Change): Mutant['spoil'] =>
  (native, canonical) => {
    const tensor = native.get(name);
    if (!tensor) throw new Error(`the sample has no ${name}`);
    native.set(name, change(tensor, canonical));
  };

const values =
  (change: (values: Float32Array) => void): Change =>
  (tensor) => {
    const copy = tensor.values.slice();
    change(copy);
    return { ...tensor, values: copy };
  };
const each = (change: (value: number, at: number) => number): Change =>
  values((copy) => copy.set(copy.map(change)));

/** The axes of a canonical tensor in some order, under the shape that the engine has. */
const moved =
  (name: string, order: readonly number[], axes?: readonly number[]): Change =>
  (tensor, canonical) => {
    const from = canonical.get(name)!;
    return { ...tensor, values: permuteAxes(from.values, axes ?? from.shape, order) };
  };
const bytesOfCanonical =
  (name: string): Change =>
  (tensor, canonical) => ({ ...tensor, values: canonical.get(name)!.values.slice() });

/** Slices along an axis in another order. */
const along =
  (axis: number, order: (extent: number) => readonly number[]): Change =>
  (tensor) => {
    const { shape } = tensor;
    const others = shape.map((_, place) => place).filter((place) => place !== axis);
    const leading = permuteAxes(tensor.values, shape, [axis, ...others]);
    const length = elementCount(shape) / shape[axis]!;
    const next = new Float32Array(leading.length);
    for (const [place, from] of order(shape[axis]!).entries()) {
      next.set(leading.subarray(from * length, (from + 1) * length), place * length);
    }
    const back = shape.map((_, place) => [axis, ...others].indexOf(place));
    return {
      ...tensor,
      values: permuteAxes(
        next,
        [axis, ...others].map((one) => shape[one]!),
        back,
      ),
    };
  };
const backwards = (extent: number) => Array.from({ length: extent }, (_, at) => extent - 1 - at);
const turned = (extent: number) => Array.from({ length: extent }, (_, at) => (at + 1) % extent);
const blocksInOrder = (order: readonly number[]) => (extent: number) =>
  order.flatMap((block) =>
    Array.from({ length: extent / order.length }, (_, at) => (block * extent) / order.length + at),
  );

const bits = (change: (bits: Uint32Array) => void): Change =>
  values((copy) => change(new Uint32Array(copy.buffer, copy.byteOffset, copy.length)));
const eachWord = (change: (word: number) => number): Change => bits((words) => words.set(words.map(change)));
const oneUlp = (at: 'first' | 'middle' | 'last') =>
  bits((words) => {
    const place = at === 'first' ? 0 : at === 'last' ? words.length - 1 : words.length >> 1;
    words[place]! += 1;
  });
const everywhere =
  (change: Change): Mutant['spoil'] =>
  (native, canonical) => {
    for (const [name, tensor] of native) {
      if (tensor.dtype === undefined) native.set(name, change(tensor, canonical));
    }
  };
const swap =
  (left: string, right: string): Mutant['spoil'] =>
  (native) => {
    const [a, b] = [native.get(left)!, native.get(right)!];
    native.set(left, b);
    native.set(right, a);
  };
const together =
  (...changes: readonly Mutant['spoil'][]): Mutant['spoil'] =>
  (native, canonical) => {
    for (const change of changes) change(native, canonical);
  };

const keras = (name: string, rule: RuleId, spoil: Mutant['spoil']): Mutant => ({
  name,
  framework: 'keras',
  rule,
  spoil,
});
const onnx = (name: string, rule: RuleId, spoil: Mutant['spoil']): Mutant => ({
  name,
  framework: 'onnx',
  rule,
  spoil,
});
const pytorch = (name: string, rule: RuleId, spoil: Mutant['spoil']): Mutant => ({
  name,
  framework: 'pytorch',
  rule,
  spoil,
});

const LAYOUT: readonly Mutant[] = [
  keras('Linear: a square weight not transposed', 'WC203', on('fc2/kernel', bytesOfCanonical('fc2.weight'))),
  keras('Conv1d: bytes reshaped', 'WC203', on('line/kernel', bytesOfCanonical('line.weight'))),
  keras('Conv1d: in and out exchanged', 'WC202', on('line/kernel', moved('line.weight', [2, 0, 1]))),
  keras('Conv1d: kernel backwards', 'WC209', on('line/kernel', along(0, backwards))),
  keras('Conv2d: bytes reshaped', 'WC203', on('conv1/kernel', bytesOfCanonical('conv1.weight'))),
  keras(
    'Conv2d: H and W exchanged, square kernel',
    'WC202',
    on('conv2/kernel', moved('conv2.weight', [3, 2, 1, 0])),
  ),
  keras(
    'Conv2d: H and W exchanged, oblong kernel',
    'WC202',
    on('conv1/kernel', moved('conv1.weight', [3, 2, 1, 0])),
  ),
  keras('Conv2d: in and out exchanged', 'WC202', on('conv2/kernel', moved('conv2.weight', [2, 3, 0, 1]))),
  keras('Conv2d: kernel backwards in H', 'WC209', on('conv2/kernel', along(0, backwards))),
  keras('Conv2d: kernel backwards in W', 'WC209', on('conv1/kernel', along(1, backwards))),
  keras(
    'Conv2d: kernel backwards in H and W',
    'WC209',
    together(on('conv3/kernel', along(0, backwards)), on('conv3/kernel', along(1, backwards))),
  ),
  keras('Conv2d: input channels RGB read as BGR', 'WC208', on('conv1/kernel', along(2, backwards))),
  keras('Conv2d 1x1: in and out exchanged', 'WC203', on('point/kernel', moved('point.weight', [2, 3, 0, 1]))),
  keras('Conv3d: bytes reshaped', 'WC203', on('volume/kernel', bytesOfCanonical('volume.weight'))),
  keras('Conv3d: D and H exchanged', 'WC202', on('volume/kernel', moved('volume.weight', [3, 2, 4, 1, 0]))),
  keras('Conv3d: H and W exchanged', 'WC202', on('volume/kernel', moved('volume.weight', [2, 4, 3, 1, 0]))),
  keras('ConvTranspose: in and out exchanged', 'WC202', on('up/kernel', moved('up.weight', [2, 3, 0, 1]))),
  keras(
    'ConvTranspose: kernel backwards',
    'WC209',
    together(on('up/kernel', along(0, backwards)), on('up/kernel', along(1, backwards))),
  ),
  keras('ConvTranspose: H and W exchanged', 'WC202', on('up/kernel', moved('up.weight', [3, 2, 1, 0]))),
  keras(
    'depthwise: multiplier and channel exchanged',
    'WC202',
    on('depthwise/depthwise_kernel', moved('depthwise.weight', [2, 3, 1, 0], [2, 6, 3, 3])),
  ),
  keras(
    'depthwise: bytes reshaped',
    'WC203',
    on('depthwise/depthwise_kernel', bytesOfCanonical('depthwise.weight')),
  ),
  keras(
    'depthwise: H and W exchanged',
    'WC202',
    on('depthwise/depthwise_kernel', moved('depthwise.weight', [3, 2, 0, 1], [6, 2, 3, 3])),
  ),
  keras('Flatten -> Dense: plain transpose', 'WC205', on('fc1/kernel', moved('fc1.weight', [1, 0]))),
  keras(
    'Flatten -> Dense: H and W exchanged',
    'WC202',
    on('fc1/kernel', moved('fc1.weight', [3, 2, 1, 0], [8, 6, 3, 4])),
  ),
  keras(
    'Flatten -> Dense: a map of other channels',
    'WC205',
    on('fc1/kernel', moved('fc1.weight', [2, 1, 0], [8, 12, 6])),
  ),
  keras('Flatten -> Dense: bytes reshaped', 'WC203', on('fc1/kernel', bytesOfCanonical('fc1.weight'))),
  keras(
    'Dense without flatten treated as flattened',
    'WC205',
    on('fc3/kernel', moved('fc3.weight', [2, 3, 1, 0], [8, 2, 2, 2])),
  ),
  keras(
    'LSTM: gates in the order of ONNX',
    'WC204',
    together(
      ...['kernel', 'recurrent_kernel'].map((leaf) =>
        on(`lstm/lstm_cell/${leaf}`, along(1, blocksInOrder([0, 3, 1, 2]))),
      ),
    ),
  ),
  keras(
    'LSTM: c and f exchanged in the recurrent kernel',
    'WC204',
    on('lstm/lstm_cell/recurrent_kernel', along(1, blocksInOrder([0, 2, 1, 3]))),
  ),
  keras(
    'LSTM: kernel not transposed',
    'WC203',
    on('lstm/lstm_cell/kernel', bytesOfCanonical('lstm.weight_ih_l0')),
  ),
  keras(
    'LSTM: kernel and recurrent kernel exchanged',
    'WC206',
    swap('lstm/lstm_cell/kernel', 'lstm/lstm_cell/recurrent_kernel'),
  ),
  keras('LSTM: only bias_ih', 'WC301', on('lstm/lstm_cell/bias', bytesOfCanonical('lstm.bias_ih_l0'))),
  keras('LSTM: only bias_hh', 'WC301', on('lstm/lstm_cell/bias', bytesOfCanonical('lstm.bias_hh_l0'))),
  keras(
    'LSTM: one bias twice',
    'WC301',
    on('lstm/lstm_cell/bias', (tensor, canonical) => ({
      ...tensor,
      values: canonical.get('lstm.bias_ih_l0')!.values.map((one) => 2 * one),
    })),
  ),
  keras(
    'LSTM: unit_forget_bias added',
    'WC301',
    on(
      'lstm/lstm_cell/bias',
      each((value, at) => (at >= 6 && at < 12 ? value + 1 : value)),
    ),
  ),
  keras(
    'LSTM: bias in the gate order of ONNX',
    'WC301',
    on('lstm/lstm_cell/bias', along(0, blocksInOrder([0, 3, 1, 2]))),
  ),
  keras(
    'Bidirectional: the directions exchanged',
    'WC206',
    together(
      ...['kernel', 'recurrent_kernel', 'bias'].map((leaf) =>
        swap(
          `bidirectional/forward_lstm_1/lstm_cell/${leaf}`,
          `bidirectional/backward_lstm_1/lstm_cell/${leaf}`,
        ),
      ),
    ),
  ),
  keras('GRU: gates left as r, z, n', 'WC204', on('gru/gru_cell/kernel', along(1, blocksInOrder([1, 0, 2])))),
  keras(
    'GRU: recurrent gates left as r, z, n',
    'WC204',
    on('gru/gru_cell/recurrent_kernel', along(1, blocksInOrder([1, 0, 2]))),
  ),
  keras('GRU: rows of the bias exchanged', 'WC206', on('gru/gru_cell/bias', along(0, backwards))),
  keras(
    'GRU: both biases in one row',
    'WC201',
    on(
      'gru/gru_cell/bias',
      values((copy) => {
        for (let at = 0; at < 18; at++) {
          copy[at]! += copy[18 + at]!;
          copy[18 + at] = 0;
        }
      }),
    ),
  ),
  keras(
    'MHA: query and key exchanged',
    'WC204',
    together(
      swap('attention/query/kernel', 'attention/key/kernel'),
      swap('attention/query/bias', 'attention/key/bias'),
    ),
  ),
  keras('MHA: key and value exchanged', 'WC204', swap('attention/key/kernel', 'attention/value/kernel')),
  keras(
    'MHA: heads and size exchanged',
    'WC202',
    on('attention/query/kernel', (tensor, canonical) => ({
      ...tensor,
      values: permuteAxes(
        canonical.get('attention.in_proj_weight')!.values.slice(0, 64),
        [2, 4, 8],
        [2, 1, 0],
      ),
    })),
  ),
  keras(
    'MHA: projection not transposed',
    'WC203',
    on('attention/value/kernel', (tensor, canonical) => ({
      ...tensor,
      values: canonical.get('attention.in_proj_weight')!.values.slice(128),
    })),
  ),
  keras(
    'MHA: output projection not transposed',
    'WC203',
    on('attention/attention_output/kernel', bytesOfCanonical('attention.out_proj.weight')),
  ),
  keras('BatchNorm: mean and variance exchanged', 'WC206', swap('bn1/moving_mean', 'bn1/moving_variance')),
  keras('BatchNorm: gamma and beta exchanged', 'WC206', swap('bn1/gamma', 'bn1/beta')),
  keras(
    'BatchNorm: stale statistics',
    'WC201',
    together(
      on(
        'bn1/moving_mean',
        each(() => 0),
      ),
      on(
        'bn1/moving_variance',
        each(() => 1),
      ),
    ),
  ),
  keras(
    'BatchNorm: epsilon added to the variance',
    'WC211',
    on(
      'bn1/moving_variance',
      each((value) => value + 1e-3),
    ),
  ),
  keras('BatchNorm: deviation in place of variance', 'WC201', on('bn1/moving_variance', each(Math.sqrt))),
  keras(
    'BatchNorm: variance with the factor n / (n - 1)',
    'WC211',
    on(
      'bn1/moving_variance',
      each((value) => (value * 32) / 31),
    ),
  ),
  keras('LayerNorm: gamma and beta exchanged', 'WC206', swap('ln/gamma', 'ln/beta')),
  keras('GroupNorm: channels of another group', 'WC208', on('group/gamma', along(0, turned))),
  keras('Embedding: rows moved by one', 'WC208', on('words/embeddings', along(0, turned))),
  keras(
    'Embedding: padding row zeroed',
    'WC201',
    on(
      'words/embeddings',
      values((copy) => copy.fill(0, 0, 7)),
    ),
  ),
  keras(
    'Embedding: scaled by the root of its width',
    'WC211',
    on(
      'words/embeddings',
      each((value) => value * Math.sqrt(7)),
    ),
  ),
  keras('Parameter: rows backwards', 'WC208', on('token', along(1, backwards))),
  keras(
    'channels of two layers permuted alike',
    'WC207',
    together(
      on('conv2/kernel', along(3, turned)),
      on('conv2/bias', along(0, turned)),
      on('conv3/kernel', along(2, turned)),
    ),
  ),
  keras(
    'channels before a flatten permuted alike',
    'WC207',
    together(
      on('fc2/kernel', along(1, turned)),
      on('fc2/bias', along(0, turned)),
      on('fc3/kernel', along(0, turned)),
    ),
  ),
  keras('channels of one layer permuted alone', 'WC208', on('conv3/kernel', along(3, turned))),
  keras('channels exchanged in a bias', 'WC208', on('conv2/bias', along(0, backwards))),
  keras('nothing was converted', 'WC108', (native) => {
    native.clear();
    for (const [name, tensor] of convertedSample(pytorchSample(1), 'pytorch')) native.set(name, tensor);
  }),
  onnx(
    'LSTM: gates left as i, f, g, o',
    'WC204',
    on('onnx::LSTM_lstm_W', along(1, blocksInOrder([0, 2, 3, 1]))),
  ),
  onnx(
    'LSTM: gates of R left as i, f, g, o',
    'WC204',
    on('onnx::LSTM_lstm_R', along(1, blocksInOrder([0, 2, 3, 1]))),
  ),
  onnx(
    'LSTM: halves of B exchanged',
    'WC206',
    on('onnx::LSTM_lstm_B', along(1, blocksInOrder([4, 5, 6, 7, 0, 1, 2, 3]))),
  ),
  onnx('LSTM: W and R exchanged', 'WC206', (native) => {
    const [w, r] = [native.get('onnx::LSTM_lstm_W')!, native.get('onnx::LSTM_lstm_R')!];
    native.set('onnx::LSTM_lstm_W', r);
    native.set('onnx::LSTM_lstm_R', w);
  }),
  onnx('GRU: gates left as r, z, n', 'WC204', on('onnx::GRU_gru_W', along(1, blocksInOrder([1, 0, 2])))),
  onnx(
    'MHA: projection not transposed',
    'WC203',
    on('attention.out_proj.weight', bytesOfCanonical('attention.out_proj.weight')),
  ),
  onnx('Gemm: square weight transposed', 'WC202', on('fc2.weight', moved('fc2.weight', [1, 0]))),
  onnx('Conv: in and out exchanged', 'WC202', on('conv2.weight', moved('conv2.weight', [1, 0, 2, 3]))),
];

const VALUES: readonly Mutant[] = [
  ...(
    [
      'conv1/kernel',
      'fc1/kernel',
      'words/embeddings',
      'attention/key/kernel',
      'gru/gru_cell/bias',
      'bn1/moving_variance',
      'ln/gamma',
    ] as const
  ).map((name, place) =>
    keras(
      `one ULP in ${name}`,
      'WC406',
      on(name, oneUlp((['first', 'middle', 'last'] as const)[place % 3]!)),
    ),
  ),
  onnx('one ULP in B of an LSTM', 'WC406', on('onnx::LSTM_lstm_B', oneUlp('last'))),
  pytorch('one ULP between two PyTorch files', 'WC406', on('fc3.weight', oneUlp('middle'))),
  pytorch(
    'a count of batches that differs',
    'WC201',
    on('bn1.num_batches_tracked', (tensor) => ({
      ...tensor,
      bytes: new Uint8Array(BigUint64Array.of(9n).buffer),
    })),
  ),
  keras(
    'one sign bit',
    'WC210',
    on(
      'conv2/kernel',
      bits((words) => {
        words[17]! ^= 0x80000000;
      }),
    ),
  ),
  keras(
    'the sign of one bias',
    'WC210',
    on(
      'up/bias',
      bits((words) => {
        words[0]! ^= 0x80000000;
      }),
    ),
  ),
  keras(
    'every sign of a tensor',
    'WC210',
    on(
      'fc2/kernel',
      each((value) => -value),
    ),
  ),
  keras(
    'zero made minus zero',
    'WC210',
    together(
      on('conv1/bias', (tensor) => tensor),
      on(
        'token',
        bits((words) => {
          words[3]! ^= 0x80000000;
        }),
      ),
    ),
  ),
  keras(
    'one exponent bit',
    'WC201',
    on(
      'fc3/kernel',
      bits((words) => {
        words[40]! ^= 0x00800000;
      }),
    ),
  ),
  keras(
    'one high bit of a mantissa',
    'WC201',
    on(
      'conv3/kernel',
      bits((words) => {
        words[5]! ^= 0x00400000;
      }),
    ),
  ),
  keras('float16 and back, everything', 'WC401', everywhere(each(toFloat16))),
  keras('float16 and back, one tensor', 'WC401', on('fc1/kernel', each(toFloat16))),
  keras('bfloat16 and back, everything', 'WC402', everywhere(eachWord((word) => toBfloat16Bits(word)))),
  keras(
    'bfloat16 by truncation',
    'WC402',
    on(
      'attention/query/kernel',
      eachWord((word) => word & 0xffff0000),
    ),
  ),
  keras(
    'TF32: ten bits of mantissa',
    'WC403',
    on(
      'conv1/kernel',
      eachWord((word) => word & 0xffffe000),
    ),
  ),
  keras(
    'float32 truncated by eight bits',
    'WC403',
    on(
      'lstm/lstm_cell/kernel',
      eachWord((word) => word & 0xffffff00),
    ),
  ),
  keras(
    'printed with six digits',
    'WC403',
    on(
      'fc2/kernel',
      each((value) => Number(value.toPrecision(6))),
    ),
  ),
  keras(
    'small values flushed to zero',
    'WC404',
    on(
      'conv2/kernel',
      each((value) => (Math.abs(value) < 0.01 ? 0 : value)),
    ),
  ),
  keras(
    'large values clipped',
    'WC405',
    on(
      'conv2/kernel',
      each((value) => Math.max(-0.5, Math.min(0.5, value))),
    ),
  ),
  keras(
    'eight bits of quantisation',
    'WC201',
    on(
      'fc1/kernel',
      each((value) => Math.round(value * 127) / 127),
    ),
  ),
  keras(
    'times 1 + 1e-6',
    'WC406',
    on(
      'fc3/kernel',
      each((value) => value * (1 + 1e-6)),
    ),
  ),
  keras(
    'times 2',
    'WC211',
    on(
      'volume/kernel',
      each((value) => value * 2),
    ),
  ),
  keras(
    'relative noise of 1e-7',
    'WC406',
    on(
      'conv3/kernel',
      each((value, at) => value * (1 + (at % 2 === 0 ? 1 : -1) * 1.5e-7)),
    ),
  ),
  keras(
    'a training step later',
    'WC201',
    on(
      'conv3/kernel',
      values((copy) =>
        normals(77, copy.length, 1e-3).forEach((step, at) => {
          copy[at]! += step;
        }),
      ),
    ),
  ),
  keras('another seed', 'WC201', (native) => {
    for (const [name, tensor] of convertedSample(pytorchSample(2), 'keras')) native.set(name, tensor);
  }),
  keras(
    'all zero',
    'WC201',
    on(
      'fc1/kernel',
      each(() => 0),
    ),
  ),
  keras(
    'one NaN',
    'WC107',
    on(
      'conv2/kernel',
      values((copy) => {
        copy[3] = Number.NaN;
      }),
    ),
  ),
  keras(
    'one infinity',
    'WC107',
    on(
      'fc2/bias',
      values((copy) => {
        copy[0] = Number.POSITIVE_INFINITY;
      }),
    ),
  ),
  keras(
    'NaN in the sum of two biases',
    'WC107',
    on(
      'lstm/lstm_cell/bias',
      values((copy) => {
        copy[0] = Number.NaN;
      }),
    ),
  ),
  keras(
    'stored as float16',
    'WC106',
    on('fc1/kernel', (tensor) => ({
      ...tensor,
      dtype: 'float64',
      bytes: new Uint8Array(Float64Array.from(tensor.values).buffer),
    })),
  ),
];

const INVENTORY: readonly Mutant[] = [
  keras('a bias dropped', 'WC101', (native) => void native.delete('conv2/bias')),
  keras(
    'a bias of zeros',
    'WC201',
    on(
      'fc2/bias',
      each(() => 0),
    ),
  ),
  keras('a layer dropped', 'WC101', (native) => {
    native.delete('conv3/kernel');
    native.delete('conv3/bias');
  }),
  keras('statistics dropped', 'WC101', (native) => void native.delete('bn1/moving_mean')),
  keras(
    'an optimiser state left in',
    'WC102',
    (native) => void native.set('optimizer/iteration', { shape: [1], values: Float32Array.of(3) }),
  ),
  keras('a layer more', 'WC102', (native) => {
    native.set('fc4/kernel', { shape: [8, 8], values: normals(5, 64) });
    native.set('fc4/bias', { shape: [8], values: normals(6, 8) });
  }),
  keras(
    'names of two layers exchanged',
    'WC206',
    together(swap('fc2/kernel', 'fc3/kernel'), swap('fc2/bias', 'fc3/bias')),
  ),
  keras('names shifted by one layer', 'WC206', (native) => {
    const names = ['fc2', 'fc3'].flatMap((name) => [`${name}/kernel`]);
    const [a, b] = names.map((name) => native.get(name)!);
    native.set(names[0]!, b!);
    native.set(names[1]!, a!);
  }),
  keras(
    'one layer written twice',
    'WC103',
    (native) => void native.set('conv3/kernel', native.get('conv2/kernel')!),
  ),
  keras('a kernel with its axes in the shape of PyTorch', 'WC105', (native, canonical) => {
    native.set('conv1/kernel', canonical.get('conv1.weight')!);
  }),
  keras(
    'a kernel with an axis more',
    'WC105',
    on('fc2/kernel', (tensor) => ({ ...tensor, shape: [1, ...tensor.shape] })),
  ),
  keras(
    'a bias that was broadcast',
    'WC105',
    on('fc2/bias', (tensor) => ({
      shape: [2, 8],
      values: Float32Array.of(...tensor.values, ...tensor.values),
    })),
  ),
  pytorch('a tensor renamed', 'WC101', (native) => {
    native.set('fc2.kernel', native.get('fc2.weight')!);
    native.delete('fc2.weight');
  }),
  pytorch('a prefix left in', 'WC101', (native) => {
    for (const [name, tensor] of [...native]) {
      native.delete(name);
      native.set(`module.${name}`, tensor);
    }
  }),
  pytorch('two PyTorch layers exchanged', 'WC206', swap('conv2.weight', 'conv3.weight')),
  pytorch(
    'a transposed square weight between two PyTorch files',
    'WC202',
    on('fc2.weight', moved('fc2.weight', [1, 0])),
  ),
  pytorch('an empty file', 'WC109', (native) => native.clear()),
];

/** Every mutant of weights. */
export const WEIGHT_MUTANTS: readonly Mutant[] = [...LAYOUT, ...VALUES, ...INVENTORY];
