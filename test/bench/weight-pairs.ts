import { closeSync, openSync, writeSync } from 'node:fs';
import { bfloat16Bits, float16Bits } from '../../src/aggregation/encodings/half-precision.ts';
import {
  convLayout,
  depthwiseLayout,
  linearLayout,
  type TensorLayout,
  toEngine,
  unchangedLayout,
} from '../../src/weights/layouts/tensor-layout.ts';
import { elementCount } from '../../src/weights/manifest.ts';
import { normals } from '../weights/checks/sample-model.ts';

type Stored = 'F32' | 'F16' | 'BF16';

/** Two files of the same layers, the reference under the names and in the layout of PyTorch. */
export interface Pair {
  readonly what: string;
  readonly layers: number;
  readonly layout: TensorLayout;
  /** What a layer of the candidate calls its weight. */
  readonly leaf: string;
  readonly dtypes: readonly [Stored, Stored];
  /** The order of the candidate's axes in the reference; empty where they are alike. */
  readonly order: readonly number[];
  readonly verdict: 'passed' | 'failed';
  /** Matrices of float32. */
  readonly plain: boolean;
}

/** What is checked: some 100 million parameters each, the depthwise layers 32 million. */
export function weightPairs(tiny: boolean): readonly Pair[] {
  const layers = (count: number) => (tiny ? 2 : count);
  const width = tiny ? 64 : 2048;
  const channels = tiny ? 32 : 512;
  const alike = unchangedLayout([width, width]);
  const turned = linearLayout([width, width]);
  const float32 = ['F32', 'F32'] as const;
  const passed = { dtypes: float32, verdict: 'passed', plain: false } as const;
  const convolutions = { ...passed, leaf: '/kernel', order: [3, 2, 0, 1] };
  return [
    {
      ...passed,
      what: 'bit for bit',
      layers: layers(24),
      layout: alike,
      leaf: '.weight',
      order: [],
      plain: true,
    },
    {
      ...passed,
      what: 'transposed',
      layers: layers(24),
      layout: turned,
      leaf: '/kernel',
      order: [1, 0],
      plain: true,
    },
    {
      ...convolutions,
      what: 'convolutions',
      layers: layers(42),
      layout: convLayout([channels, channels, 3, 3]),
    },
    {
      ...convolutions,
      what: 'transposed convolutions',
      layers: layers(42),
      layout: convLayout([2 * channels, channels / 2, 3, 3]),
    },
    {
      ...passed,
      what: 'depthwise convolutions',
      layers: layers(10),
      layout: depthwiseLayout([128 * channels, 1, 7, 7], 1),
      leaf: '/depthwise_kernel',
      order: [2, 3, 0, 1],
    },
    {
      ...passed,
      what: 'float16, transposed',
      layers: layers(24),
      layout: turned,
      leaf: '/kernel',
      dtypes: ['F16', 'F16'],
      order: [1, 0],
    },
    ...(['F16', 'BF16'] as const).map((dtype) => ({
      what: `${dtype === 'F16' ? 'float16' : 'bfloat16'} beside float32`,
      layers: layers(24),
      layout: alike,
      leaf: '.weight',
      dtypes: ['F32', dtype] as const,
      order: [],
      verdict: 'failed' as const,
      plain: false,
    })),
  ];
}

/** Writes both files; gives their bytes. */
export function writePair(
  { layers, layout, leaf, dtypes }: Pair,
  paths: { readonly reference: string; readonly candidate: string },
): number {
  const count = elementCount(layout.axes);
  // One tensor of numbers, moved on by one for each layer, is as good as many.
  const values = normals(1, count, 0.02);
  const sides = [
    { path: paths.reference, name: '.weight', shape: layout.axes, dtype: dtypes[0] },
    { path: paths.candidate, name: leaf, shape: layout.shape, dtype: dtypes[1] },
  ];
  let bytes = 0;
  for (const [side, { path, name, shape, dtype }] of sides.entries()) {
    const size = (dtype === 'F32' ? 4 : 2) * count;
    const entries = Array.from({ length: layers }, (_, at) => [
      `layer${at}${name}`,
      { dtype, shape, data_offsets: [at * size, (at + 1) * size] },
    ]);
    const text = Buffer.from(JSON.stringify(Object.fromEntries(entries)));
    const length = Buffer.alloc(8);
    length.writeBigUInt64LE(BigInt(text.length));
    const file = openSync(path, 'w');
    writeSync(file, length);
    writeSync(file, text);
    for (let at = 0; at < layers; at++) {
      const layer = new Float32Array(count);
      layer.set(values.subarray(at));
      layer.set(values.subarray(0, at), count - at);
      const canonical = cast(layer, dtype);
      const stored = side === 0 ? canonical : toEngine(layout, canonical);
      writeSync(file, new Uint8Array(stored.buffer, stored.byteOffset, stored.byteLength));
    }
    closeSync(file);
    bytes += layers * size;
  }
  return bytes;
}

function cast(values: Float32Array, dtype: Stored): Uint32Array | Uint16Array {
  const words = new Uint32Array(values.buffer);
  if (dtype === 'F32') return words;
  const half = dtype === 'F16' ? float16Bits : bfloat16Bits;
  return Uint16Array.from(words, (word) => ((word >>> 16) & 0x8000) | half(word));
}
