import type { RuleId } from '../../../src/weights/checks/rules.ts';
import type { Framework } from '../../../src/weights/layouts/layer.ts';
import { permuteAxes } from '../../../src/weights/layouts/permute-axes.ts';
import { elementCount } from '../../../src/weights/manifest.ts';
import type { Sample, SampleTensor } from './sample-model.ts';

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

/** What is done to one tensor. */
export type Change = (tensor: SampleTensor, canonical: Sample) => SampleTensor;

/** Changes one tensor. */
export const on =
  (name: string, change: Change): Mutant['spoil'] =>
  (native, canonical) => {
    const tensor = native.get(name);
    if (!tensor) throw new Error(`the sample has no ${name}`);
    native.set(name, change(tensor, canonical));
  };

export const values =
  (change: (values: Float32Array) => void): Change =>
  (tensor) => {
    const copy = tensor.values.slice();
    change(copy);
    return { ...tensor, values: copy };
  };
export const each = (change: (value: number, at: number) => number): Change =>
  values((copy) => copy.set(copy.map(change)));

/** The axes of a canonical tensor in some order, under the shape that the engine has. */
export const moved =
  (name: string, order: readonly number[], axes?: readonly number[]): Change =>
  (tensor, canonical) => {
    const from = canonical.get(name)!;
    return { ...tensor, values: permuteAxes(from.values, axes ?? from.shape, order) };
  };
export const bytesOfCanonical =
  (name: string): Change =>
  (tensor, canonical) => ({ ...tensor, values: canonical.get(name)!.values.slice() });

/** Slices along an axis in another order. */
export const along =
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
export const backwards = (extent: number) => Array.from({ length: extent }, (_, at) => extent - 1 - at);
export const turned = (extent: number) => Array.from({ length: extent }, (_, at) => (at + 1) % extent);
export const blocksInOrder = (order: readonly number[]) => (extent: number) =>
  order.flatMap((block) =>
    Array.from({ length: extent / order.length }, (_, at) => (block * extent) / order.length + at),
  );

export const bits = (change: (bits: Uint32Array) => void): Change =>
  values((copy) => change(new Uint32Array(copy.buffer, copy.byteOffset, copy.length)));
export const eachWord = (change: (word: number) => number): Change =>
  bits((words) => words.set(words.map(change)));
export const oneUlp = (at: 'first' | 'middle' | 'last') =>
  bits((words) => {
    const place = at === 'first' ? 0 : at === 'last' ? words.length - 1 : words.length >> 1;
    words[place]! += 1;
  });
export const everywhere =
  (change: Change): Mutant['spoil'] =>
  (native, canonical) => {
    for (const [name, tensor] of native) {
      if (tensor.dtype === undefined) native.set(name, change(tensor, canonical));
    }
  };
export const swap =
  (left: string, right: string): Mutant['spoil'] =>
  (native) => {
    const [a, b] = [native.get(left)!, native.get(right)!];
    native.set(left, b);
    native.set(right, a);
  };
export const together =
  (...changes: readonly Mutant['spoil'][]): Mutant['spoil'] =>
  (native, canonical) => {
    for (const change of changes) change(native, canonical);
  };

export const keras = (name: string, rule: RuleId, spoil: Mutant['spoil']): Mutant => ({
  name,
  framework: 'keras',
  rule,
  spoil,
});
export const onnx = (name: string, rule: RuleId, spoil: Mutant['spoil']): Mutant => ({
  name,
  framework: 'onnx',
  rule,
  spoil,
});
export const pytorch = (name: string, rule: RuleId, spoil: Mutant['spoil']): Mutant => ({
  name,
  framework: 'pytorch',
  rule,
  spoil,
});
