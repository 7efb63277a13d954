import type { ProbedLayer, ProbeReport } from '../rounds/probe-report.ts';
import { MODEL_END } from '../rounds/probe-report.ts';
import { invariant } from '../vocabulary/invariant.ts';
import { differenceOf } from '../weights/checks/difference.ts';
import { type ArrayOrigin, canonicalArray } from '../weights/probes/canonical-array.ts';
import type { ModelTrace, ProbeTrace } from '../weights/probes/model-trace.ts';
import { PROBE_KINDS, type Probe, probesOf } from '../weights/probes/probe-inputs.ts';
import type { ShapedArray } from '../weights/shaped-array.ts';
import { type DescribedModel, describedLayers, inputShape } from './reference-network.ts';
import { referenceTraces } from './reference-thread.ts';
import type { ProbeTask, Trainer } from './trainer.ts';

/** Rows of each probe: what is mixed up between rows shows, and few units stay silent on all of them. */
const ROWS = 4;

/**
 * Lets a trainer load weights its own way and run its network on seeded inputs, and compares what its layers give with
 * what the job's model has to give: relative L2 errors, the worst over the probes. Throws what the trainer throws. The
 * model is one that the job describes; an external one is probed by golden outputs (`probeGolden`).
 */
export async function probeWeights(
  trainer: Pick<Trainer, 'probe'>,
  task: Omit<ProbeTask, 'probes'>,
): Promise<ProbeReport> {
  const { model, seed } = task.job;
  invariant(model.kind !== 'external', 'what an external model has to compute comes with its assignment');
  const input = { shape: inputShape(model) };
  const probes = probesOf({ seed, batch: ROWS, inputs: [input], kinds: PROBE_KINDS });
  const inputs = probes.map((probe) => probe.inputs[0]!);
  const due = await referenceTraces(
    { model, manifest: task.manifest, weights: task.base, inputs },
    task.signal,
  );
  const found = await trainer.probe({ ...task, probes });
  return { engine: found.engine, layers: comparedLayers(model, probes, due, found) };
}

/** The figures of the layers that the trainer shows, in the order of the model, and of its end. */
function comparedLayers(
  model: DescribedModel,
  probes: readonly Probe[],
  due: readonly ProbeTrace[],
  { channelsLast, probes: found }: ModelTrace,
): readonly ProbedLayer[] {
  const worst = new Map<string, ProbedLayer>();
  const compare = (layer: string, probe: string, expected: ShapedArray, array: ShapedArray, op?: string) => {
    const relativeL2 = errorOf(expected, array, { channelsLast, op });
    if (!(relativeL2 <= (worst.get(layer)?.relativeL2 ?? -1))) worst.set(layer, { layer, relativeL2, probe });
  };
  const nothing: ShapedArray = { shape: [], values: new Float32Array(0) };
  for (const [nth, { kind }] of probes.entries()) {
    const seen = new Map(found[nth]?.layers.map(({ layer, output }) => [layer, output]));
    const outputs = new Map(due[nth]!.layers.map(({ layer, output }) => [layer, output]));
    for (const { name, op } of describedLayers(model)) {
      const output = seen.get(name);
      if (output) compare(name, kind, outputs.get(name)!, output, op);
    }
    compare(MODEL_END, kind, due[nth]!.outputs[0]!, found[nth]?.outputs[0] ?? nothing);
  }
  return [...describedLayers(model).map(({ name }) => name), MODEL_END].flatMap(
    (layer) => worst.get(layer) ?? [],
  );
}

function errorOf(expected: ShapedArray, array: ShapedArray, origin: ArrayOrigin): number {
  const canonical = canonicalArray(array, expected.shape, origin);
  const relativeL2 = canonical ? differenceOf(expected.values, canonical.values).relativeL2 : Number.NaN;
  return Number.isFinite(relativeL2) ? relativeL2 : Number.MAX_VALUE;
}
