import { z } from 'zod';
import { elementCount } from '../manifest.ts';
import { isSound } from './golden.ts';
import { PROBE_KINDS, planFault } from './probe-inputs.ts';

/** Elements of one probe's inputs beyond which no manifest goes. */
const ELEMENTS_MAX = 2 ** 26;

const extent = z
  .number()
  .int()
  .nonnegative()
  .max(2 ** 40);
const shape = z.array(extent).max(64);
const name = z.string().min(1).max(1000);
const tolerance = z.number().positive().max(1);

const golden = z
  .strictObject({
    shape,
    values: z.base64().optional().describe('all of it, float32 little-endian'),
    sketch: z.base64().optional().describe('32 sums under random signs, in place of many values'),
  })
  .describe('what is kept of an array');

/** Tolerances of outputs, each with a reason. */
export const outputTolerancesSchema = z
  .array(
    z.strictObject({
      layers: name.describe('a module, or output for the end of the model; * stands for any part of it'),
      relativeL2: tolerance.describe('largest relative L2 error of its output'),
      reason: z.string().min(1).describe('why; stands in every report'),
    }),
  )
  .describe('layers whose outputs may differ by more than 1e-5; each with a reason');

/** The `probe` member of a weights manifest: what goes into the model, and what has to come out of every layer. */
export const probeSectionSchema = z.strictObject({
  generator: z.literal('consilium-probe-1').describe('how inputs are made of the seed'),
  seed: z
    .number()
    .int()
    .min(0)
    .max(2 ** 32 - 1),
  batch: z.number().int().min(1).max(256).describe('rows of each probe'),
  inputs: z
    .array(
      z.strictObject({
        shape: z
          .array(
            z
              .number()
              .int()
              .positive()
              .max(2 ** 26),
          )
          .min(1)
          .max(5)
          .describe('of one row, channels first'),
        ids: z
          .number()
          .int()
          .min(2)
          .max(2 ** 24)
          .optional()
          .describe('the input is whole numbers below this one'),
        channelsFirst: z.boolean().default(false).describe('a channels-last engine takes its channels last'),
      }),
    )
    .min(1)
    .max(16),
  square: z.string().min(1).optional().describe('why the height of an input is its width'),
  kinds: z.array(z.enum(PROBE_KINDS)).min(1),
  model: z.string().min(1).max(1000).optional().describe('the code that built the model: module:factory'),
  recordedWith: z.string().min(1).max(200).describe('what computed the golden outputs'),
  relativeL2: tolerance.default(1e-5).describe('largest relative L2 error of an output'),
  tolerances: outputTolerancesSchema.default([]),
  golden: z
    .array(
      z.strictObject({
        kind: z.enum(PROBE_KINDS),
        inputs: z
          .array(z.string().regex(/^[0-9a-f]{64}$/))
          .min(1)
          .describe('SHA-256 of each input, float32 little-endian'),
        layers: z.array(z.strictObject({ layer: name, input: golden.optional(), output: golden })),
        outputs: z.array(golden).min(1),
      }),
    )
    .min(1)
    .describe('what the reference gives: for every layer in the order in which they run, and at the end'),
});

/** What a manifest says of probes. */
export type ProbeSection = z.infer<typeof probeSectionSchema>;

/**
 * What a probe section says that cannot be, as sentences without their full stop. Where the plan is looked at as well,
 * inputs are made for this.
 */
export function probeFaults(probe: ProbeSection, plan: boolean): readonly string[] {
  const { batch, inputs, kinds, golden: recorded, square } = probe;
  const elements = inputs.reduce((sum, input) => sum + batch * elementCount(input.shape), 0);
  if (elements > ELEMENTS_MAX) return [`its probes have ${elements} elements; ${ELEMENTS_MAX} are the most`];
  if (new Set(kinds).size < kinds.length) return ['a kind of probe is named twice'];
  if (recorded.map(({ kind }) => kind).join() !== kinds.join()) {
    return ['its golden outputs are not those of its kinds of probes'];
  }
  const fault = plan ? planFault(probe, square) : undefined;
  if (fault !== undefined) return [fault];
  for (const { kind, inputs: digests, layers, outputs } of recorded) {
    if (digests.length !== inputs.length) return [`the probe ${kind} has not the inputs of the model`];
    const kept = [...layers.flatMap(({ input, output }) => (input ? [input, output] : [output])), ...outputs];
    if (!kept.every(isSound))
      return [`a golden output of the probe ${kind} has not the numbers of its shape, all finite`];
    if (new Set(layers.map(({ layer }) => layer)).size < layers.length) {
      return [`the probe ${kind} names a layer twice`];
    }
  }
  return [];
}
