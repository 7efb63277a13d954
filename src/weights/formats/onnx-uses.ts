import type { ByteSource } from '../byte-source.ts';
import { checkLimit, type WeightsLimits } from '../limits.ts';
import type { MatrixUse, RecurrentUse } from '../stored-tensors.ts';
import { type ProtobufField, protobufFields, signedValue, textOfField } from './protobuf-fields.ts';
import { VarintElements } from './varint-elements.ts';

/** What a graph does with its initialisers, by their names; what is used in two ways is left out. */
export interface GraphUses {
  readonly matrices: ReadonlyMap<string, MatrixUse>;
  readonly recurrent: ReadonlyMap<string, RecurrentUse>;
  /** What is added to the product of each matrix: a bias, whose name tells whose matrix it is. */
  readonly added: ReadonlyMap<string, string>;
}

/** Inputs of a recurrent node that are looked at, by their places. */
const RECURRENT_INPUTS: readonly (readonly [number, RecurrentUse['input']])[] = [
  [1, 'W'],
  [2, 'R'],
  [3, 'B'],
  [5, 'initial'],
  [6, 'initial'],
];

/**
 * What the graph of an ONNX model does with what it takes as it is: names do not say whether a matrix is [outputs,
 * inputs], as Gemm with transB takes it, or the transpose, nor which of three numbered tensors is the W of an LSTM. Throws
 * WEIGHTS_MALFORMED or WEIGHTS_TOO_LARGE. Source: onnx.proto of ONNX 1.22, GraphProto, NodeProto, AttributeProto; ONNX
 * operators Gemm, MatMul, Add, Gather, Transpose, LSTM and GRU.
 */
export function graphUses(source: ByteSource, limits: WeightsLimits): GraphUses {
  const recurrent = new Map<string, RecurrentUse | 'several'>();
  const uses = new Map<string, MatrixUse | 'several'>();
  /** Outputs that are a matrix with its axes exchanged. */
  const turned = new Map<string, string>();
  /** Outputs that are a product with a matrix. */
  const products = new Map<string, string>();
  const added = new Map<string, string>();
  const add = (matrix: string, bias: string) => added.set(matrix, added.has(matrix) ? 'several' : bias);
  let nodes = 0;
  for (const graph of protobufFields(source, 0, source.size, 'ONNX')) {
    if (graph.number !== 7 || graph.wire !== 2) continue;
    for (const field of protobufFields(source, graph.at, graph.length, 'ONNX')) {
      if (field.number !== 1 || field.wire !== 2) continue;
      nodes += 1;
      checkLimit(source, 'its graph', nodes, limits.itemsMax, 'nodes');
      const { op, inputs, output, transB, perm } = nodeOf(source, field, limits);
      // Exporters put a Transpose between a weight and the MatMul that takes it.
      if (
        op === 'Transpose' &&
        inputs.length === 1 &&
        (perm === '' || perm === '1,0') &&
        !turned.has(inputs[0]!)
      ) {
        turned.set(output, inputs[0]!);
        continue;
      }
      if (op === 'LSTM' || op === 'GRU') {
        for (const [at, input] of RECURRENT_INPUTS) {
          const name = inputs[at];
          if (!name) continue;
          const before = recurrent.get(name);
          // One tensor of zeros may be both states, of several nodes.
          const again = typeof before === 'object' && before.input === 'initial' && input === 'initial';
          recurrent.set(name, before === undefined || again ? { node: nodes - 1, input } : 'several');
        }
      }
      const [left = '', right = '', bias] = inputs;
      const matrix = turned.get(right) ?? right;
      if (op === 'MatMul') products.set(output, matrix);
      if (op === 'Gemm' && bias) add(matrix, bias);
      if (op === 'Add') {
        const [one, other] = [products.get(left), products.get(right)];
        if (one !== undefined && other === undefined) add(one, right);
        if (other !== undefined && one === undefined) add(other, left);
      }
      const place = op === 'Gather' ? 0 : 1;
      for (const [at, input] of inputs.entries()) {
        const name = turned.get(input) ?? input;
        const use = at === place ? useOf(op, transB !== turned.has(input), turned.has(input)) : undefined;
        const before = uses.get(name);
        uses.set(name, use && (before === undefined || before === use) ? use : 'several');
      }
    }
  }
  return { matrices: usedOnce(uses), recurrent: usedOnce(recurrent), added: usedOnce(added) };
}

function usedOnce<Use>(uses: ReadonlyMap<string, Use | 'several'>): ReadonlyMap<string, Use> {
  return new Map(
    [...uses].flatMap(([name, use]) => (use === 'several' ? [] : [[name, use as Use] as const])),
  );
}

function useOf(op: string, byRows: boolean, turned: boolean): MatrixUse | undefined {
  if (op === 'Gemm' || op === 'MatMul') return byRows ? 'rows' : 'columns';
  return op === 'Gather' && !turned ? 'gathered' : undefined;
}

interface NodeRead {
  readonly op: string;
  readonly inputs: readonly string[];
  readonly output: string;
  readonly transB: boolean;
  /** The order of a Transpose, joined by commas; nothing where it is not said. */
  readonly perm: string;
}

function nodeOf(source: ByteSource, node: ProtobufField, limits: WeightsLimits): NodeRead {
  const inputs: string[] = [];
  let [op, output, perm] = ['', '', ''];
  let transB = false;
  for (const field of protobufFields(source, node.at, node.length, 'ONNX')) {
    if (field.wire !== 2) continue;
    if (field.number === 1) inputs.push(textOfField(source, field));
    if (field.number === 2) output = textOfField(source, field);
    if (field.number === 4) op = textOfField(source, field);
    if (field.number === 5) {
      const { name, number, numbers } = attributeOf(source, field);
      if (name === 'transB') transB = number !== 0;
      if (name === 'perm') perm = numbers.join();
    }
    checkLimit(source, 'a node of its graph', inputs.length, limits.itemsMax, 'inputs');
  }
  return { op, inputs, output, transB, perm };
}

/** AttributeProto: name 1, i 3, ints 8; of more numbers than a matrix has axes only the first are read. */
function attributeOf(source: ByteSource, attribute: ProtobufField) {
  let name = '';
  let number = 0;
  const numbers: number[] = [];
  for (const field of protobufFields(source, attribute.at, attribute.length, 'ONNX')) {
    if (field.number === 1 && field.length <= 8) name = textOfField(source, field);
    if (field.number === 3 && field.wire === 0) number = signedValue(field);
    if (field.number !== 8 || numbers.length > 2) continue;
    if (field.wire === 0) numbers.push(signedValue(field));
    else {
      const packed = new VarintElements(source, field);
      for (let at = 0; at < Math.min(3, packed.count); at++) numbers.push(Number(packed.at(at)));
    }
  }
  return { name, number, numbers };
}
