import { expect, test } from 'vitest';
import { inferMapping } from '../../../src/weights/layouts/infer-mapping.ts';
import { frameworkOf, mapWeights } from '../../../src/weights/layouts/map-weights.ts';
import { inCountingOrder, plainName } from '../../../src/weights/layouts/native-layers.ts';
import { elementCount } from '../../../src/weights/manifest.ts';
import type { StoredTensors, WeightsFormat } from '../../../src/weights/stored-tensors.ts';

/** A file of zeros: names and shapes are all that inference sees. */
function file(
  shapes: Readonly<Record<string, readonly number[]>>,
  format: WeightsFormat = 'safetensors',
): StoredTensors {
  return {
    file: format,
    format,
    metadata: {},
    omitted: [],
    tensors: Object.entries(shapes).map(([name, shape]) => ({
      file: format,
      name,
      dtype: 'float32',
      shape,
      read: (_, into) => {
        if (into.length > 4 * elementCount(shape)) throw new Error('beyond the tensor');
        throw new Error('values are never asked');
      },
    })),
  };
}

const dense = (name: string, outputs: number, inputs: number) => ({
  [`${name}.weight`]: [outputs, inputs],
  [`${name}.bias`]: [outputs],
});
const kernel = (name: string, outputs: number, inputs: number) => ({
  [`${name}/kernel`]: [inputs, outputs],
  [`${name}/bias`]: [outputs],
});

const pairs = (canonical: StoredTensors, native: StoredTensors, flattened = {}) => {
  const { layers, troubles } = inferMapping(canonical, native, 'keras', { flattened });
  return {
    found: Object.fromEntries(
      layers.map(({ layer, tensors, because }) => [layer, `${tensors[0]}: ${because}`]),
    ),
    troubles: troubles.map(({ kind, layer }) => `${kind} ${layer}`),
  };
};

test('layers are found by name, however the two frameworks write it', () => {
  const canonical = file({ ...dense('block.fc_1', 4, 3), ...dense('model.fc2', 4, 3) });
  const native = file({ ...kernel('fc2', 4, 3), ...kernel('block/fc_1', 4, 3) });
  expect(pairs(canonical, native)).toEqual({
    found: { 'block.fc_1': 'block/fc_1/kernel: the same name', 'model.fc2': 'fc2/kernel: the same name' },
    troubles: [],
  });
});

test('the number that a framework appends to a name is no name: dense_2 is not the layer 2 of a Sequential', () => {
  const canonical = file({ ...dense('0', 8, 6), ...dense('2', 8, 8), ...dense('4', 1, 8) });
  const native = file({
    ...kernel('layers/dense', 8, 6),
    ...kernel('layers/dense_1', 8, 8),
    ...kernel('layers/dense_2', 1, 8),
  });
  const only = 'the only one of such shapes';
  expect(pairs(canonical, native)).toEqual({
    found: {
      0: `layers/dense/kernel: ${only}`,
      2: `layers/dense_1/kernel: ${only}`,
      4: `layers/dense_2/kernel: ${only}`,
    },
    troubles: [],
  });
  expect(
    pairs(file(dense('net.2', 8, 8)), file({ ...kernel('2', 8, 8), ...kernel('3', 8, 8) })).found,
  ).toEqual({
    'net.2': '2/kernel: the same last name',
  });
});

test('else by shapes, where only one fits on both sides', () => {
  const canonical = file({ ...dense('a', 4, 3), ...dense('b', 5, 4) });
  const native = file({ ...kernel('dense_7', 5, 4), ...kernel('dense_3', 4, 3) });
  expect(pairs(canonical, native).found).toEqual({
    a: 'dense_3/kernel: the only one of such shapes',
    b: 'dense_7/kernel: the only one of such shapes',
  });
});

test('else by order, where the names of both sides count in the order of their files', () => {
  const canonical = file({ ...dense('layer1', 4, 4), ...dense('layer2', 4, 4), ...dense('layer10', 4, 4) });
  const native = file({ ...kernel('dense', 4, 4), ...kernel('dense_1', 4, 4), ...kernel('dense_2', 4, 4) });
  expect(pairs(canonical, native).found).toEqual({
    layer1: 'dense/kernel: the same order among layers of such shapes',
    layer2: 'dense_1/kernel: the same order among layers of such shapes',
    layer10: 'dense_2/kernel: the same order among layers of such shapes',
  });
});

test('else not at all: equal layers out of order, or of another number, are ambiguous', () => {
  const canonical = file({ ...dense('layer1', 4, 4), ...dense('layer2', 4, 4) });
  const sorted = file({ ...kernel('dense_1', 4, 4), ...kernel('dense', 4, 4) });
  expect(pairs(canonical, sorted)).toEqual({ found: {}, troubles: ['ambiguous layer1', 'ambiguous layer2'] });
  const more = file({ ...kernel('a', 4, 4), ...kernel('b', 4, 4), ...kernel('c', 4, 4) });
  expect(pairs(canonical, more)).toEqual({ found: {}, troubles: ['ambiguous layer1', 'ambiguous layer2'] });
});

const conv = (name: string, outputs: number, inputs: number) => ({
  [`${name}.weight`]: [outputs, inputs, 3, 3],
});

test('the map before a Linear is that of the convolution that stands right before it', () => {
  const canonical = file({
    ...conv('c1', 4, 3),
    ...conv('c2', 8, 4),
    ...dense('fc', 2, 8 * 6),
    ...dense('head', 3, 2),
  });
  const native = file({
    'c1/kernel': [3, 3, 3, 4],
    'c2/kernel': [3, 3, 4, 8],
    ...kernel('fc', 2, 48),
    ...kernel('head', 3, 2),
  });
  const inferred = inferMapping(canonical, native, 'keras');
  expect(inferred.troubles).toEqual([]);
  expect(inferred.shaped.find(({ name }) => name === 'fc')).toMatchObject({ flattened: [8, 6] });
  expect(inferred.shaped.find(({ name }) => name === 'head')).not.toHaveProperty('flattened');
});

test('where another Linear may be the one behind it, as layers are declared in any order, it has to be said', () => {
  const canonical = file({
    ...conv('c1', 8, 1),
    ...dense('mix', 16, 16),
    ...dense('fc1', 16, 240),
    ...dense('out', 2, 16),
  });
  const native = file({
    'c1/kernel': [3, 3, 1, 8],
    ...kernel('fc1', 16, 240),
    ...kernel('mix', 16, 16),
    ...kernel('out', 2, 16),
  });
  const { troubles } = inferMapping(canonical, native, 'keras');
  expect(troubles.map(({ kind, message }) => `${kind}: ${message}`)).toEqual([
    'ambiguous: a map of 8x2 (channels x places) or none at all may have been flattened before mix, for fc1 may be the one behind it; say which, such as --flatten mix=8x2 or --flatten mix=none',
    'ambiguous: a map of 8x30 (channels x places) or none at all may have been flattened before fc1, for mix may be the one behind it; say which, such as --flatten fc1=8x30 or --flatten fc1=none',
  ]);
  const settled = inferMapping(canonical, native, 'keras', { flattened: { mix: [] } });
  expect(settled.troubles).toEqual([]);
  expect(settled.shaped.find(({ name }) => name === 'fc1')).toMatchObject({ flattened: [8, 30] });
  expect(settled.shaped.find(({ name }) => name === 'mix')).not.toHaveProperty('flattened');
  // One map does not say that there was no other.
  expect(pairs(canonical, native, { fc1: [8, 6, 5] }).troubles).toEqual(['ambiguous mix']);
});

test('Linears that each stand right behind a convolution of their own are told by their places', () => {
  const canonical = file({
    ...conv('a', 4, 3),
    ...dense('fa', 2, 48),
    ...conv('b', 8, 3),
    ...dense('fb', 2, 48),
  });
  const native = file({
    'a/kernel': [3, 3, 3, 4],
    ...kernel('fa', 2, 48),
    'b/kernel': [3, 3, 3, 8],
    ...kernel('fb', 2, 48),
  });
  const { troubles, shaped } = inferMapping(canonical, native, 'keras');
  expect(troubles).toEqual([]);
  expect(shaped.flatMap(({ name, flattened }) => (flattened ? [`${name} ${flattened}`] : []))).toEqual([
    'fa 4,12',
    'fb 8,6',
  ]);
});

test('where several convolutions may be before it, it has to be said, and is taken as it was said', () => {
  const canonical = file({
    ...dense('classifier', 2, 48),
    ...conv('features.0', 4, 3),
    ...conv('features.3', 8, 4),
  });
  const native = file({
    ...kernel('classifier', 2, 48),
    'features/0/kernel': [3, 3, 3, 4],
    'features/3/kernel': [3, 3, 4, 8],
  });
  expect(pairs(canonical, native).troubles).toEqual(['ambiguous classifier']);
  const { troubles } = inferMapping(canonical, native, 'keras');
  expect(troubles[0]!.message).toContain('--flatten classifier=4x12');
  expect(pairs(canonical, native, { classifier: [8, 2, 3] }).troubles).toEqual([]);
  expect(pairs(canonical, native, { classifier: [] }).found).toHaveProperty('classifier');
});

test('a global pool leaves nothing to say: as many inputs as channels', () => {
  const canonical = file({ ...conv('c1', 4, 3), ...conv('c2', 8, 4), ...dense('fc', 2, 8) });
  const native = file({ 'c1/kernel': [3, 3, 3, 4], 'c2/kernel': [3, 3, 4, 8], ...kernel('fc', 2, 8) });
  expect(pairs(canonical, native).troubles).toEqual([]);
});

test('what the framework cannot hold is unrepresentable, with its reason', () => {
  const canonical = file({
    'rnn.weight_ih_l0': [9, 2],
    'rnn.weight_hh_l0': [9, 3],
    'rnn.bias_ih_l0': [9],
    'rnn.bias_hh_l0': [9],
  });
  const native = file({ 'gru/gru_cell/kernel': [2, 9], 'gru/gru_cell/recurrent_kernel': [3, 9] });
  expect(inferMapping(canonical, native, 'tfjs').troubles).toMatchObject([
    { kind: 'unrepresentable', layer: 'rnn_l0', message: expect.stringContaining('reset_after') },
  ]);
});

test('ONNX initialisers without names of layers are found by what they are', () => {
  const canonical = file({
    ...dense('fc', 4, 3),
    'rnn.weight_ih_l0': [12, 2],
    'rnn.weight_hh_l0': [12, 3],
    'rnn.bias_ih_l0': [12],
    'rnn.bias_hh_l0': [12],
  });
  const native = file(
    {
      'fc.weight': [4, 3],
      'fc.bias': [4],
      'onnx::LSTM_88': [1, 12, 2],
      'onnx::LSTM_89': [1, 12, 3],
      'onnx::LSTM_90': [1, 24],
    },
    'onnx',
  );
  expect(inferMapping(canonical, native, 'onnx').layers).toMatchObject([
    { layer: 'fc', tensors: ['fc.weight', 'fc.bias'] },
    { layer: 'rnn_l0', tensors: ['onnx::LSTM_88', 'onnx::LSTM_89', 'onnx::LSTM_90'] },
  ]);
});

test('two files of which neither is PyTorch are not mapped by guess', () => {
  const keras = { stored: file(kernel('fc', 4, 3), 'keras-h5'), framework: 'keras' } as const;
  const onnx = { stored: file(dense('fc', 4, 3), 'onnx'), framework: 'onnx' } as const;
  expect(mapWeights(keras, onnx).troubles).toMatchObject([{ kind: 'ambiguous' }]);
  expect(mapWeights(keras, { ...keras, framework: 'tfjs' })).toMatchObject({
    mapping: { origin: 'names' },
    troubles: [],
  });
});

test('a file tells its framework by its format, by its metadata, or by its names', () => {
  expect(frameworkOf(file({}, 'onnx'))).toBe('onnx');
  expect(frameworkOf(file({}, 'tfjs'))).toBe('tfjs');
  expect(frameworkOf(file({}, 'saved-model'))).toBe('keras');
  expect(frameworkOf(file({}, 'pytorch'))).toBe('pytorch');
  expect(frameworkOf(file(kernel('fc', 4, 3)))).toBe('keras');
  expect(frameworkOf(file(dense('fc', 4, 3)))).toBe('pytorch');
  expect(frameworkOf({ ...file(dense('fc', 4, 3)), metadata: { format: 'tf' } })).toBe('keras');
  expect(frameworkOf({ ...file(kernel('fc', 4, 3)), metadata: { format: 'pt' } })).toBe('pytorch');
});

test('names are compared without what frameworks add, and counted as people count', () => {
  expect(plainName('model/Conv_1:0')).toBe(plainName('module.conv.1'));
  expect(inCountingOrder(['dense', 'dense_1', 'dense_2', 'dense_10'])).toBe(true);
  expect(inCountingOrder(['dense', 'dense_1', 'dense_10', 'dense_2'])).toBe(false);
});

const steps = (name: string, input: number, suffixes: readonly string[]) =>
  Object.fromEntries(
    suffixes.flatMap((suffix) => [
      [`${name}.weight_ih${suffix}`, [12, input]],
      [`${name}.weight_hh${suffix}`, [12, 3]],
      [`${name}.bias_ih${suffix}`, [12]],
      [`${name}.bias_hh${suffix}`, [12]],
    ]),
  );
const cell = (path: string, input: number) => ({
  [`${path}/lstm_cell/kernel`]: [input, 12],
  [`${path}/lstm_cell/recurrent_kernel`]: [3, 12],
  [`${path}/lstm_cell/bias`]: [12],
});

test('the directions of a bidirectional layer are told by name, whatever the wrapper is called and the file sorts first', () => {
  const canonical = file(steps('vitals', 2, ['_l0', '_l0_reverse']));
  const native = file({ ...cell('bi/backward_lstm', 2), ...cell('bi/forward_lstm', 2) });
  expect(pairs(canonical, native).found).toEqual({
    vitals_l0: 'bi/forward_lstm/lstm_cell/kernel: the only one of such shapes',
    vitals_l0_reverse: 'bi/backward_lstm/lstm_cell/kernel: the only one of such shapes',
  });
});

test('bidirectional layers over each other are paired by their order, each direction by itself', () => {
  const canonical = file(steps('rnn', 6, ['_l0', '_l0_reverse', '_l1', '_l1_reverse']));
  const native = file({
    ...cell('layers/bidirectional/backward_layer', 6),
    ...cell('layers/bidirectional/forward_layer', 6),
    ...cell('layers/bidirectional_1/backward_layer', 6),
    ...cell('layers/bidirectional_1/forward_layer', 6),
  });
  const { found, troubles } = pairs(canonical, native);
  expect(troubles).toEqual([]);
  expect(Object.entries(found).map(([layer, tensor]) => `${layer} ${tensor.split('/lstm')[0]}`)).toEqual([
    'rnn_l0 layers/bidirectional/forward_layer',
    'rnn_l0_reverse layers/bidirectional/backward_layer',
    'rnn_l1 layers/bidirectional_1/forward_layer',
    'rnn_l1_reverse layers/bidirectional_1/backward_layer',
  ]);
});

test('two cells of which none says its direction are not paired with both directions by their order', () => {
  const canonical = file(steps('rnn', 2, ['_l0', '_l0_reverse']));
  const native = file({ ...cell('a/lstm_1', 2), ...cell('a/lstm_2', 2) });
  expect(pairs(canonical, native)).toEqual({
    found: {},
    troubles: ['ambiguous rnn_l0', 'ambiguous rnn_l0_reverse'],
  });
});

test('a separable convolution is a depthwise layer and one over the channels', () => {
  const canonical = file({
    'dw.weight': [4, 1, 3, 3],
    'pw.weight': [6, 4, 1, 1],
    'pw.bias': [6],
  });
  const native = file({
    'separable/depthwise_kernel': [3, 3, 4, 1],
    'separable/pointwise_kernel': [1, 1, 4, 6],
    'separable/bias': [6],
  });
  const { layers, troubles } = inferMapping(canonical, native, 'keras');
  expect(troubles).toEqual([]);
  expect(layers.map(({ layer, op, tensors }) => `${layer} ${op} ${tensors.join(' ')}`)).toEqual([
    'dw DepthwiseConv2d separable/depthwise_kernel',
    'pw Conv2d separable/pointwise_kernel separable/bias',
  ]);
});

test('the node of a graph says which tensors are the W, R and B of one recurrent layer', () => {
  const canonical = file(steps('rnn', 6, ['_l0', '_l0_reverse', '_l1', '_l1_reverse']));
  const plain = file(
    {
      b0: [2, 24],
      w0: [2, 12, 6],
      r0: [2, 12, 3],
      b1: [2, 24],
      w1: [2, 12, 6],
      r1: [2, 12, 3],
    },
    'onnx',
  );
  const native = {
    ...plain,
    tensors: plain.tensors.map((tensor) => ({
      ...tensor,
      recurrent: { node: Number(tensor.name[1]), input: tensor.name[0]!.toUpperCase() as 'W' | 'R' | 'B' },
    })),
  };
  expect(
    inferMapping(canonical, native, 'onnx').layers.map(({ layer, tensors }) => [layer, ...tensors]),
  ).toEqual([
    ['rnn_l0', 'w0', 'r0', 'b0'],
    ['rnn_l1', 'w1', 'r1', 'b1'],
  ]);
});

test('what a graph holds beside weights is no tensor too many, and a number that bears a name is', () => {
  const canonical = { stored: file(dense('fc', 4, 3), 'pytorch'), framework: 'pytorch' } as const;
  const stored = file({ ...dense('fc', 4, 3), val_7: [2], val_9: [], scale: [], state: [1, 2, 3] }, 'onnx');
  const tensors = stored.tensors.map((tensor) => {
    if (tensor.name === 'val_7') return { ...tensor, dtype: 'int64' as const };
    if (tensor.name !== 'state') return tensor;
    return { ...tensor, recurrent: { node: 0, input: 'initial' as const } };
  });
  const { mapping } = mapWeights(canonical, { stored: { ...stored, tensors }, framework: 'onnx' });
  expect(mapping.dropped.map(({ name }) => name)).toEqual(['val_7', 'val_9', 'state']);
});
