import { expect, test } from 'vitest';
import { type Node, onnxModel } from '../../../src/engines/operators/onnx-message.ts';
import { sourceInMemory } from '../../../src/weights/byte-source.ts';
import { checkFiles } from '../../../src/weights/checks/check-files.ts';
import { graphUses } from '../../../src/weights/formats/onnx-uses.ts';
import { openOnnx } from '../../../src/weights/formats/open-onnx.ts';
import { onnxPivot } from '../../../src/weights/layouts/onnx-pivot.ts';
import { WEIGHTS_LIMITS } from '../../../src/weights/limits.ts';
import { normals, storedSample } from '../checks/sample-model.ts';

const square = { shape: [4, 4], values: normals(1, 16) };
const transposed = Float32Array.from(
  square.values,
  (_, at) => square.values[(at % 4) * 4 + Math.floor(at / 4)]!,
);
const bias = { shape: [4], values: normals(2, 4) };

function modelOf(nodes: readonly Node[], weights = { 'fc.weight': square, 'fc.bias': bias }) {
  const bytes = onnxModel({ nodes, weights, integers: { axes: [1] }, rank: 2 });
  const source = sourceInMemory('fc.onnx', bytes);
  return { source, stored: openOnnx({ main: source, beside: () => undefined }, WEIGHTS_LIMITS) };
}

const node = (op: string, inputs: readonly string[], attributes: Node['attributes'] = {}): Node => ({
  op,
  inputs,
  outputs: ['y'],
  attributes,
});
const turn = (attributes: Node['attributes']): Node => ({
  ...node('Transpose', ['fc.weight'], attributes),
  outputs: ['t'],
});
const gemm = (transB: number) => [
  node('Gemm', ['x', 'fc.weight', 'fc.bias'], { transB, alpha: { float: 1 } }),
];
const matMul = [node('MatMul', ['x', 'fc.weight']), node('Add', ['y', 'fc.bias'])];

test.each([
  ['Gemm with transB', gemm(1), 'rows'],
  ['Gemm without', gemm(0), 'columns'],
  ['MatMul', matMul, 'columns'],
  ['Gather', [node('Gather', ['fc.weight', 'x'])], 'gathered'],
  ['Gather of its rows and columns, both', [...matMul, node('Gather', ['fc.weight', 'x'])], undefined],
  ['MatMul on the left', [node('MatMul', ['fc.weight', 'x'])], undefined],
  ['MatMul with itself', [node('MatMul', ['fc.weight', 'fc.weight'])], undefined],
  ['a Transpose before MatMul', [turn({}), { ...node('MatMul', ['x', 't']) }], 'rows'],
  ['a Transpose that says its order', [turn({ perm: [1, 0] }), node('Gemm', ['x', 't'])], 'rows'],
  ['a Transpose before Gemm with transB', [turn({}), node('Gemm', ['x', 't'], { transB: 1 })], 'columns'],
  ['a Transpose that moves nothing', [turn({ perm: [0, 1] }), node('MatMul', ['x', 't'])], undefined],
  ['a Transpose before Gather', [turn({}), node('Gather', ['t', 'x'])], undefined],
  ['a Transpose and MatMul beside MatMul', [turn({}), node('MatMul', ['x', 't']), ...matMul], undefined],
  ['a Transpose alone', [turn({})], undefined],
  ['no node', [], undefined],
] as const)('%s tells how a matrix stands', (_, nodes, use) => {
  const { source, stored } = modelOf(nodes);
  expect(graphUses(source, WEIGHTS_LIMITS).matrices.get('fc.weight')).toBe(use);
  expect(stored.tensors.find(({ name }) => name === 'fc.weight')?.multiplies).toBe(use);
  expect(onnxPivot(stored).ok).toBe(use !== undefined);
});

test('a recurrent node tells which tensors are its W, R and B; what two nodes take is told by none', () => {
  const three = (place: number) => ({ shape: [1, 8, 2], values: normals(place, 16) });
  const weights = { w: three(3), r: three(4), b: { shape: [1, 16], values: normals(5, 16) }, v: three(6) };
  const nodes = [
    node('Relu', ['x']),
    node('LSTM', ['x', 'w', 'r', 'b']),
    { ...node('LSTM', ['y', 'v', 'r']), outputs: ['z'] },
  ];
  const bytes = onnxModel({ nodes, weights, integers: {}, rank: 3 });
  const source = sourceInMemory('lstm.onnx', bytes);
  const { tensors } = openOnnx({ main: source, beside: () => undefined }, WEIGHTS_LIMITS);
  expect(tensors.map(({ name, recurrent }) => [name, recurrent])).toEqual([
    ['w', { node: 1, input: 'W' }],
    ['r', undefined],
    ['b', { node: 1, input: 'B' }],
    ['v', { node: 2, input: 'W' }],
  ]);
});

test('what is added to a product tells whose matrix it is, and a residual does not', () => {
  const weights = { val_0: square, 'fc.bias': bias, val_1: square, val_2: square };
  const product = (matrix: string, output: string) => ({
    ...node('MatMul', ['x', matrix]),
    outputs: [output],
  });
  const sum = (...inputs: string[]) => ({ ...node('Add', inputs), outputs: [`${inputs.join('')}`] });
  const nodes = [
    product('val_0', 'a'),
    sum('fc.bias', 'a'),
    product('val_1', 'b'),
    sum('b', 'x'),
    product('val_2', 'c'),
    sum('c', 'fc.bias'),
    sum('c', 'x'),
  ];
  const bytes = onnxModel({ nodes, weights, integers: {}, rank: 2 });
  const source = sourceInMemory('fc.onnx', bytes);
  const { tensors } = openOnnx({ main: source, beside: () => undefined }, WEIGHTS_LIMITS);
  const told = Object.fromEntries(tensors.map(({ name, addedTo }) => [name, addedTo]));
  expect(told).toEqual({ val_0: 'fc.bias', val_1: undefined, val_2: undefined, 'fc.bias': undefined });
});

/** A square kernel of Keras, whose shape says nothing, against an ONNX model. */
function rulesOf(nodes: readonly Node[], kernel: Float32Array): readonly string[] {
  const native = new Map([
    ['fc/kernel', { shape: [4, 4], values: kernel }],
    ['fc/bias', bias],
  ]);
  const { findings } = checkFiles(
    { stored: modelOf(nodes).stored, framework: 'onnx' },
    { stored: storedSample(native, 'fc.h5', 'keras'), framework: 'keras' },
    { flattened: { fc: [] } },
  );
  return findings.map(({ rule }) => rule);
}

test('a square matrix is compared as its node takes it, and only so', () => {
  expect(rulesOf(gemm(1), transposed)).toEqual([]);
  expect(rulesOf(gemm(1), square.values)).not.toEqual([]);
  expect(rulesOf(gemm(0), square.values)).toEqual([]);
  expect(rulesOf(matMul, square.values)).toEqual([]);
  expect(rulesOf(matMul, transposed)).not.toEqual([]);
  expect(rulesOf([node('MatMul', ['fc.weight', 'x'])], square.values)).toContain('WC110');
});

test('what an exporter numbered is asked for by name, never guessed', () => {
  const { stored } = modelOf(matMul, {
    'fc.weight': square,
    'fc.bias': bias,
    'onnx::MatMul_7': square,
  } as never);
  const pivot = onnxPivot(stored);
  expect(pivot).toMatchObject({ ok: false });
  expect(JSON.stringify(pivot)).toContain('onnx::MatMul_7 bears no name of a PyTorch layer');
});
