import { BATCH_NORM } from '../rounds/batch-norm.ts';
import type { Model } from '../rounds/job.ts';
import { invariant } from '../vocabulary/invariant.ts';
import { type Manifest, tensorSpans } from '../weights/manifest.ts';
import type { LayerTrace, ProbeTrace } from '../weights/probes/model-trace.ts';
import type { ShapedArray } from '../weights/shaped-array.ts';

const BATCH_NORM_PARTS = ['weight', 'bias', 'running_mean', 'running_var'];

/** A model whose architecture stands in the job. */
export type DescribedModel = Exclude<Model, { kind: 'external' }>;

/**
 * What a job's network makes of one probe, by the plainest arithmetic there is: sums in float64 over the canonical
 * weights as they lie on the wire, no framework and no conversion, so that nobody's mistake can be shared. Layers with
 * weights before their activation, channels first, as float32; then the logits.
 */
export function referenceTrace(
  model: DescribedModel,
  manifest: Manifest,
  weights: Float32Array,
  input: ShapedArray,
): ProbeTrace {
  const tensors = new Map(
    tensorSpans(manifest).map(({ tensor, start, length }) => [
      tensor.name,
      weights.subarray(start, start + length),
    ]),
  );
  const of = (layer: string, what: string) => {
    const tensor = tensors.get(`${layer}.${what}`);
    invariant(tensor, 'the manifest is that of the model');
    return tensor;
  };
  const layers: LayerTrace[] = [];
  const rows = input.shape[0]!;
  let values: Float64Array = Float64Array.from(input.values);
  if (model.kind === 'cnn') {
    let [channels, height, width] = [model.input.channels, model.input.height, model.input.width];
    for (const [place, layer] of model.convolutions.entries()) {
      const name = `conv.${place}`;
      const map = { rows, channels, height, width };
      const convolved = convolution(values, map, of(name, 'weight'), of(name, 'bias'), layer);
      layers.push(traceOf(name, convolved.values, [rows, layer.channels, convolved.height, convolved.width]));
      let sums = convolved.values;
      if (layer.batchNorm) {
        const norm = `norm.${place}`;
        const [scale, offset, mean, variance] = BATCH_NORM_PARTS.map((part) => of(norm, part));
        const places = convolved.height * convolved.width;
        sums = sums.map((value, at) => {
          const channel = Math.floor(at / places) % layer.channels;
          const deviation = Math.sqrt(variance![channel]! + BATCH_NORM.eps);
          return ((value - mean![channel]!) / deviation) * scale![channel]! + offset![channel]!;
        });
        layers.push(traceOf(norm, sums, [rows, layer.channels, convolved.height, convolved.width]));
      }
      const pooled = maxPool(sums.map(relu), { ...map, ...convolved }, layer.pool);
      [values, channels, height, width] = [pooled.values, layer.channels, pooled.height, pooled.width];
    }
  }
  const activate = model.kind === 'mlp' && model.activation === 'tanh' ? Math.tanh : relu;
  for (const [place, units] of [...model.hidden, model.outputs].entries()) {
    const name = `dense.${place}`;
    if (place > 0) values = values.map(activate);
    values = linear(values, rows, units, of(name, 'weight'), of(name, 'bias'));
    layers.push(traceOf(name, values, [rows, units]));
  }
  return { layers, outputs: [{ shape: [rows, model.outputs], values: Float32Array.from(values) }] };
}

/** The shape of one row of input, channels first. */
export function inputShape(model: DescribedModel): readonly number[] {
  if (model.kind === 'mlp') return [model.features.length];
  const { channels, height, width } = model.input;
  return [channels, height, width];
}

/** The layers of a described model in the order in which they run, and what they are. */
export function describedLayers(model: DescribedModel) {
  const convolutions = model.kind === 'cnn' ? model.convolutions : [];
  return [
    ...convolutions.flatMap(({ batchNorm }, place) => [
      { name: `conv.${place}`, op: 'Conv2d' },
      ...(batchNorm ? [{ name: `norm.${place}`, op: 'BatchNorm' }] : []),
    ]),
    ...[...model.hidden, model.outputs].map((_, place) => ({ name: `dense.${place}`, op: 'Linear' })),
  ];
}

interface FeatureMap {
  readonly values: Float64Array;
  readonly height: number;
  readonly width: number;
}

/** A correlation, padded by half the kernel rounded down: out[o] = b[o] + sum over c, i, j of w[o, c, i, j] x[c, ...]. */
function convolution(
  values: Float64Array,
  map: { readonly rows: number; readonly channels: number; readonly height: number; readonly width: number },
  weight: Float32Array,
  bias: Float32Array,
  layer: { readonly channels: number; readonly kernel: number; readonly stride: number },
): FeatureMap {
  const { kernel, stride, channels: outputs } = layer;
  const pad = Math.floor(kernel / 2);
  const height = Math.floor((map.height + 2 * pad - kernel) / stride) + 1;
  const width = Math.floor((map.width + 2 * pad - kernel) / stride) + 1;
  const out = new Float64Array(map.rows * outputs * height * width);
  let place = 0;
  for (let row = 0; row < map.rows; row++) {
    for (let output = 0; output < outputs; output++) {
      for (let y = 0; y < height; y++) {
        for (let x = 0; x < width; x++) {
          let sum = bias[output]!;
          for (let channel = 0; channel < map.channels; channel++) {
            const plane = (row * map.channels + channel) * map.height;
            const filter = (output * map.channels + channel) * kernel;
            for (let i = 0; i < kernel; i++) {
              const top = y * stride - pad + i;
              if (top < 0 || top >= map.height) continue;
              for (let j = 0; j < kernel; j++) {
                const left = x * stride - pad + j;
                if (left < 0 || left >= map.width) continue;
                sum += weight[(filter + i) * kernel + j]! * values[(plane + top) * map.width + left]!;
              }
            }
          }
          out[place++] = sum;
        }
      }
    }
  }
  return { values: out, height, width };
}

/** The largest of each window of `size` by `size`; what does not fill a window is left out. */
function maxPool(values: Float64Array, map: Omit<FeatureMap, 'values'>, size: number): FeatureMap {
  if (size === 1) return { values, height: map.height, width: map.width };
  const planes = values.length / (map.height * map.width);
  const [height, width] = [Math.floor(map.height / size), Math.floor(map.width / size)];
  const out = new Float64Array(planes * height * width).fill(Number.NEGATIVE_INFINITY);
  for (let plane = 0; plane < planes; plane++) {
    for (let y = 0; y < height * size; y++) {
      for (let x = 0; x < width * size; x++) {
        const at = (plane * height + Math.floor(y / size)) * width + Math.floor(x / size);
        out[at] = Math.max(out[at]!, values[(plane * map.height + y) * map.width + x]!);
      }
    }
  }
  return { values: out, height, width };
}

/** out[r, o] = b[o] + sum over i of w[o, i] x[r, i]. */
function linear(
  values: Float64Array,
  rows: number,
  units: number,
  weight: Float32Array,
  bias: Float32Array,
): Float64Array {
  const width = values.length / rows;
  const out = new Float64Array(rows * units);
  for (let row = 0; row < rows; row++) {
    for (let unit = 0; unit < units; unit++) {
      let sum = bias[unit]!;
      for (let at = 0; at < width; at++) sum += weight[unit * width + at]! * values[row * width + at]!;
      out[row * units + unit] = sum;
    }
  }
  return out;
}

function relu(value: number): number {
  return Math.max(0, value);
}

function traceOf(layer: string, values: Float64Array, shape: readonly number[]): LayerTrace {
  return { layer, output: { shape, values: Float32Array.from(values) } };
}
