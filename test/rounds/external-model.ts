import { createHash } from 'node:crypto';
import { type JobFile, jobFileSchema, jobOfFile } from '../../src/rounds/job-file.ts';
import { bytesOf } from '../../src/weights/float32-bytes.ts';
import { elementCount } from '../../src/weights/manifest.ts';
import { goldenOf } from '../../src/weights/probes/golden.ts';
import type { ProbeTrace } from '../../src/weights/probes/model-trace.ts';
import { PROBE_KINDS, type Probe, probesOf } from '../../src/weights/probes/probe-inputs.ts';
import { type WeightsManifest, weightsManifestSchema } from '../../src/weights/schema/weights-manifest.ts';
import type { ShapedArray } from '../../src/weights/shaped-array.ts';

/*
 * A model that no job describes: four features, a square layer, its tanh, and two outputs.
 */
export const EXTERNAL_TENSORS = [
  { name: 'first.weight', shape: [4, 4] },
  { name: 'first.bias', shape: [4] },
  { name: 'last.weight', shape: [2, 4] },
  { name: 'last.bias', shape: [2] },
];
const INPUTS = [{ shape: [4] }];
const BATCH = 3;

export const EXTERNAL_WEIGHTS = Float32Array.from({ length: 30 }, (_, place) => Math.sin(1 + place));

/** The tensors of payload-ordered values, by name. */
export function tensorsOf(values: Float32Array): ReadonlyMap<string, Float32Array> {
  let place = 0;
  return new Map(
    EXTERNAL_TENSORS.map(({ name, shape }) => {
      const start = place;
      place += elementCount(shape);
      return [name, values.subarray(start, place)];
    }),
  );
}

/** What the model makes of a probe, in plain sums. */
export function externalTrace(values: Float32Array, { inputs: [input] }: Probe): ProbeTrace {
  const tensors = tensorsOf(values);
  const linear = ({ shape: [rows = 0, width = 0], values: given }: ShapedArray, layer: string) => {
    const [weight, bias] = [tensors.get(`${layer}.weight`)!, tensors.get(`${layer}.bias`)!];
    const units = bias.length;
    const sums = Float32Array.from({ length: rows * units }, (_, at) => {
      const [row, unit] = [Math.floor(at / units), at % units];
      let sum = bias[unit]!;
      for (let n = 0; n < width; n++) sum += weight[unit * width + n]! * given[row * width + n]!;
      return sum;
    });
    return { shape: [rows, units], values: sums };
  };
  const first = linear(input!, 'first');
  const last = linear({ ...first, values: first.values.map(Math.tanh) }, 'last');
  return {
    layers: [
      { layer: 'first', input: input!, output: first },
      { layer: 'last', output: last },
    ],
    outputs: [last],
  };
}

/** The manifest of the model with these weights, golden outputs included; changed as said. */
export function externalManifest(
  change: Record<string, unknown> = {},
  weights: Float32Array = EXTERNAL_WEIGHTS,
): WeightsManifest {
  const values = tensorsOf(weights);
  const probes = probesOf({ seed: 7, batch: BATCH, inputs: INPUTS, kinds: PROBE_KINDS });
  const sha256 = (array: Float32Array) => createHash('sha256').update(bytesOf(array)).digest('hex');
  return weightsManifestSchema.parse({
    apiVersion: 'consilium/v1',
    schema: { id: 'tiny', version: '1.0.0' },
    framework: 'pytorch',
    tensors: EXTERNAL_TENSORS.map((tensor) => ({
      ...tensor,
      dtype: 'float32',
      sha256: sha256(values.get(tensor.name)!),
    })),
    probe: {
      generator: 'consilium-probe-1',
      seed: 7,
      batch: BATCH,
      inputs: INPUTS,
      kinds: [...PROBE_KINDS],
      recordedWith: 'plain sums',
      golden: probes.map((probe) => {
        const { layers, outputs } = externalTrace(weights, probe);
        return {
          kind: probe.kind,
          inputs: probe.inputs.map((input) => sha256(input.values)),
          layers: layers.map(({ layer, input, output }) => ({
            layer,
            ...(input && { input: goldenOf(input, 64) }),
            output: goldenOf(output, 64),
          })),
          outputs: outputs.map((output) => goldenOf(output, 4096)),
        };
      }),
    },
    ...change,
  });
}

/** The file of a job that trains the model; its tensors stand in the manifest that it names. */
export function externalJobFile(change: Record<string, unknown> = {}): JobFile {
  return jobFileSchema.parse({
    apiVersion: 'consilium/v1',
    name: 'tiny-1',
    dataset: 'clinic',
    model: { kind: 'external' },
    weightSchema: { manifest: 'tiny.weights.json' },
    initialWeights: { file: 'tiny.safetensors' },
    trainer: { name: 'tiny-net' },
    rounds: 2,
    cohort: { size: 2 },
    quorum: 2,
    ...change,
  });
}

/** The job of that file with that manifest. */
export function externalJob(change: Record<string, unknown> = {}, manifest = externalManifest()) {
  const job = jobOfFile(externalJobFile(change), manifest);
  if (!job.ok) throw new Error(job.refusal);
  return job.value;
}
