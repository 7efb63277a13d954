import { fail } from '../../errors/problem.ts';
import { knownLayers } from '../../weights/checks/check-outputs.ts';
import { differenceOf } from '../../weights/checks/difference.ts';
import { isSpatial } from '../../weights/probes/canonical-array.ts';
import { goldenOf } from '../../weights/probes/golden.ts';
import type { ModelTrace } from '../../weights/probes/model-trace.ts';
import { type Probe, type ProbePlan, planFault, probesOf } from '../../weights/probes/probe-inputs.ts';
import type { ProbeSection } from '../../weights/probes/probe-section.ts';
import type { WeightsManifest } from '../../weights/schema/weights-manifest.ts';
import type { ModelToRun } from './model-to-run.ts';
import { digestOf } from './name-by-weights.ts';
import { runModel } from './run-model.ts';

/** Elements up to which an array is kept whole, so that its error is no estimate: of layers, and of the end. */
const WHOLE_ELEMENTS = { layer: 64, end: 4096 } as const;

/**
 * Runs the reference model on the probes of a plan and keeps what every layer gives, for the manifest. Throws USAGE for a
 * plan that would hide mistakes, CHECK_FAILED where the model does not depend on its input or gives what is not finite, and
 * what running it throws.
 */
export async function recordProbe(
  plan: ProbePlan,
  square: string | undefined,
  model: ModelToRun,
  manifest: WeightsManifest,
): Promise<ProbeSection> {
  const fault = planFault(plan, square);
  if (fault !== undefined) fail('USAGE', { reason: fault });
  const probes = probesOf(plan);
  const canonical = plan.inputs.map((input) => ({ ...input, channelsFirst: false }));
  return runModel(model, { inputs: canonical, probes }, manifest, (trace) => {
    checkFinite(probes, trace);
    checkDependence(trace);
    return sectionOf(plan, square, model, manifest, probes, trace);
  });
}

function sectionOf(
  plan: ProbePlan,
  square: string | undefined,
  { code }: ModelToRun,
  manifest: WeightsManifest,
  probes: readonly Probe[],
  trace: ModelTrace,
): ProbeSection {
  return {
    generator: 'consilium-probe-1',
    seed: plan.seed,
    batch: plan.batch,
    inputs: plan.inputs.map(({ shape, ids }, place) => ({
      shape: [...shape],
      ...(ids === undefined ? {} : { ids }),
      channelsFirst: ids === undefined && hasChannels(shape, place, probes, trace, manifest),
    })),
    ...(square === undefined ? {} : { square }),
    kinds: [...plan.kinds],
    ...(code === undefined ? {} : { model: code }),
    recordedWith: trace.engine,
    relativeL2: 1e-5,
    tolerances: [],
    golden: probes.map(({ kind, inputs }, nth) => ({
      kind,
      inputs: inputs.map(({ values }) => digestOf(values)),
      layers: trace.probes[nth]!.layers.map(({ layer, input, output }) => ({
        layer,
        ...(input ? { input: goldenOf(input, WHOLE_ELEMENTS.layer) } : {}),
        output: goldenOf(output, WHOLE_ELEMENTS.layer),
      })),
      outputs: trace.probes[nth]!.outputs.map((output) => goldenOf(output, WHOLE_ELEMENTS.end)),
    })),
  };
}

/** Images have channels; of two axes, only the layer that takes them says whether the first one counts channels. */
function hasChannels(
  { length: rank }: readonly number[],
  place: number,
  probes: readonly Probe[],
  trace: ModelTrace,
  manifest: WeightsManifest,
): boolean {
  if (rank !== 2) return rank > 2;
  const given = probes[0]!.inputs[place]!;
  const known = knownLayers(manifest);
  return trace.probes[0]!.layers.some(
    ({ layer, input }) =>
      isSpatial(known.get(layer)?.op ?? '') &&
      input?.shape.join() === given.shape.join() &&
      differenceOf(given.values, input.values).differing === 0,
  );
}

/** Throws CHECK_FAILED where every probe gives the same: such outputs would agree with anything. */
function checkDependence({ probes: [first, ...others] }: ModelTrace): void {
  const alike = others.every(({ outputs }) =>
    outputs.every(({ values }, place) => {
      const one = first!.outputs[place]!.values;
      return one.length === values.length && differenceOf(one, values).differing === 0;
    }),
  );
  if (others.length > 0 && alike) {
    fail('CHECK_FAILED', {
      reason: 'the model gives the same outputs on every probe, so that they would prove nothing',
    });
  }
}

/** Throws CHECK_FAILED where the model gives something that no other output can be compared with. */
function checkFinite(plan: readonly Probe[], { probes }: ModelTrace): void {
  for (const [nth, { layers, outputs }] of probes.entries()) {
    const ends = outputs.map((output) => ({ layer: 'the end of the model', output }));
    const wild = [...layers, ...ends].find(({ output }) => !output.values.every(Number.isFinite));
    if (!wild) continue;
    const reason = `${wild.layer} gives NaN or infinite values on the probe ${plan[nth]!.kind}, which nothing can be compared with`;
    fail('CHECK_FAILED', { reason });
  }
}
