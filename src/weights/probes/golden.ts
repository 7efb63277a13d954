import { invariant } from '../../vocabulary/invariant.ts';
import { bytesOf, float32Copy } from '../float32-bytes.ts';
import { elementCount } from '../manifest.ts';
import type { ShapedArray } from '../shaped-array.ts';
import { counterHash } from './counter-hash.ts';

/**
 * What is kept of an array, to compare another one with: all of it, or its sketch of 32 numbers. Both are float32
 * little-endian in base64.
 */
export interface Golden {
  readonly shape: number[];
  readonly values?: string | undefined;
  readonly sketch?: string | undefined;
}

/** Numbers of a sketch, a power of two. */
export const SKETCH_LENGTH = 32;

/** What is to be kept of an array: whole up to `wholeMax` elements. */
export function goldenOf(array: ShapedArray, wholeMax: number): Golden {
  const shape = [...array.shape];
  return array.values.length <= Math.max(wholeMax, SKETCH_LENGTH)
    ? { shape, values: base64Of(array.values) }
    : { shape, sketch: base64Of(sketchOf(array.values)) };
}

/** The numbers that a golden keeps, and those of an array of its shape that are to be compared with them. */
export function comparable(
  golden: Golden,
  { shape, values }: ShapedArray,
): readonly [Float32Array, Float32Array] {
  invariant(shape.join() === golden.shape.join(), 'an array is compared with one of another shape');
  return [goldenNumbers(golden), golden.values === undefined ? sketchOf(values) : values];
}

/** The numbers that a golden keeps; owned by the caller. */
export function goldenNumbers({ values, sketch = '' }: Golden): Float32Array {
  return numbersOf(values ?? sketch);
}

/** Whether a golden has the numbers that its shape asks for, all of them finite: nothing else can be compared with. */
export function isSound(golden: Golden): boolean {
  const { shape, values, sketch } = golden;
  if ((values === undefined) === (sketch === undefined)) return false;
  const length = values === undefined ? SKETCH_LENGTH : elementCount(shape);
  const isWhole = Buffer.from(values ?? sketch ?? '', 'base64').length === 4 * length;
  return isWhole && goldenNumbers(golden).every(Number.isFinite);
}

/**
 * 32 sums, each value being added to one of them, with a sign, both by a hash of its place: the relative error of two
 * sketches is that of the two arrays, give or take an eighth (Charikar, Chen and Farach-Colton 2002; Weinberger et al.
 * 2009, lemma 2). Sums are in float64.
 */
export function sketchOf(values: Float32Array): Float32Array {
  const sums = new Float64Array(SKETCH_LENGTH);
  for (let at = 0; at < values.length; at++) {
    const bits = counterHash(0, at);
    const value = values[at]!;
    sums[bits & (SKETCH_LENGTH - 1)]! += bits & 0x80 ? value : -value;
  }
  return Float32Array.from(sums);
}

function base64Of(values: Float32Array): string {
  return Buffer.from(bytesOf(values)).toString('base64');
}

function numbersOf(text: string): Float32Array {
  return float32Copy(Buffer.from(text, 'base64'));
}
