import { permuteAxes } from '../../../src/weights/layouts/permute-axes.ts';
import {
  along,
  backwards,
  blocksInOrder,
  bytesOfCanonical,
  each,
  keras,
  type Mutant,
  moved,
  on,
  onnx,
  pytorch,
  swap,
  together,
  turned,
  values,
} from './mutant.ts';
import { convertedSample, pytorchSample } from './sample-model.ts';

/** Values in wrong places. */
export const LAYOUT_MUTANTS: readonly Mutant[] = [
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
  keras(
    'MHA: the two heads exchanged throughout: the same function',
    'WC207',
    together(
      ...['query', 'key', 'value'].flatMap((part) => [
        on(`attention/${part}/kernel`, along(1, backwards)),
        on(`attention/${part}/bias`, along(0, backwards)),
      ]),
      on('attention/attention_output/kernel', along(0, backwards)),
    ),
  ),
  keras(
    'MHA: features permuted throughout, across heads',
    'WC208',
    together(
      ...['query', 'key', 'value'].flatMap((part) => [
        on(`attention/${part}/kernel`, along(1, backwards)),
        on(`attention/${part}/kernel`, along(2, turned)),
        on(`attention/${part}/bias`, along(0, backwards)),
        on(`attention/${part}/bias`, along(1, turned)),
      ]),
      on('attention/attention_output/kernel', along(0, backwards)),
    ),
  ),
  keras(
    'MHA: heads of the query alone exchanged',
    'WC208',
    on('attention/query/kernel', along(1, backwards)),
  ),
  keras(
    'MHA: heads of the value and of the output exchanged, and of no other',
    'WC208',
    together(
      on('attention/value/kernel', along(1, backwards)),
      on('attention/value/bias', along(0, backwards)),
      on('attention/attention_output/kernel', along(0, backwards)),
    ),
  ),
  pytorch(
    'MHA: heads exchanged throughout between two PyTorch files',
    'WC207',
    together(
      on('attention.in_proj_weight', along(0, blocksInOrder([1, 0, 3, 2, 5, 4]))),
      on('attention.in_proj_bias', along(0, blocksInOrder([1, 0, 3, 2, 5, 4]))),
      on('attention.out_proj.weight', along(1, blocksInOrder([1, 0]))),
    ),
  ),
  pytorch(
    'MHA: heads exchanged, and not in the bias',
    'WC208',
    together(
      on('attention.in_proj_weight', along(0, blocksInOrder([1, 0, 3, 2, 5, 4]))),
      on('attention.out_proj.weight', along(1, blocksInOrder([1, 0]))),
    ),
  ),
  keras(
    'BatchNorm: statistics of an export in training mode',
    'WC212',
    together(
      on(
        'bn1/moving_mean',
        each((value, at) => 0.9 * value + 0.01 * at),
      ),
      on(
        'bn1/moving_variance',
        each((value, at) => 0.9 * value + 0.1 + 0.01 * at),
      ),
    ),
  ),
  keras(
    'BatchNorm: another norm altogether',
    'WC201',
    together(
      ...['gamma', 'moving_mean'].map((leaf) =>
        on(
          `bn1/${leaf}`,
          each((value, at) => 0.9 * value + 0.01 * at),
        ),
      ),
    ),
  ),
  keras('BatchNorm: mean and variance exchanged', 'WC206', swap('bn1/moving_mean', 'bn1/moving_variance')),
  keras('BatchNorm: gamma and beta exchanged', 'WC206', swap('bn1/gamma', 'bn1/beta')),
  keras(
    'BatchNorm: stale statistics',
    'WC212',
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
  keras('BatchNorm: deviation in place of variance', 'WC212', on('bn1/moving_variance', each(Math.sqrt))),
  keras(
    'BatchNorm: variance with the factor n / (n - 1)',
    'WC211',
    on(
      'bn1/moving_variance',
      each((value) => (value * 32) / 31),
    ),
  ),
  keras(
    'BatchNorm: folded into the convolution before it as well',
    'WC211',
    on('conv1/kernel', (tensor, canonical) => {
      const { values: variances } = canonical.get('bn1.running_var')!;
      const scaled = tensor.values.map((value, at) => value / Math.sqrt(variances[at % 6]! + 1e-5));
      return { ...tensor, values: scaled };
    }),
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
  keras(
    'channels of two layers permuted alike, and not in the bias between them',
    'WC208',
    together(on('conv2/kernel', along(3, turned)), on('conv3/kernel', along(2, turned))),
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
