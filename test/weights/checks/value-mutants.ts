import { toBfloat16Bits, toFloat16 } from '../../../src/weights/checks/precision.ts';
import {
  bits,
  each,
  eachWord,
  everywhere,
  keras,
  type Mutant,
  on,
  oneUlp,
  onnx,
  pytorch,
  together,
  values,
} from './mutant.ts';
import { convertedSample, normals, pytorchSample } from './sample-model.ts';

/** Values that are not those of the reference. */
export const VALUE_MUTANTS: readonly Mutant[] = [
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
    'stored as bfloat16',
    'WC402',
    on('fc1/kernel', (tensor) => ({
      ...tensor,
      dtype: 'bfloat16',
      bytes: new Uint8Array(
        Uint16Array.from(new Uint32Array(tensor.values.buffer), (word) => toBfloat16Bits(word) >>> 16).buffer,
      ),
    })),
  ),
  keras(
    'stored as float64',
    'WC106',
    on('fc1/kernel', (tensor) => ({
      ...tensor,
      dtype: 'float64',
      bytes: new Uint8Array(Float64Array.from(tensor.values).buffer),
    })),
  ),
];
