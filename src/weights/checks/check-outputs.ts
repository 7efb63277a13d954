import { canonicalArray } from '../probes/canonical-array.ts';
import type { Golden } from '../probes/golden.ts';
import { differenceFromGolden } from '../probes/golden-distance.ts';
import type { ModelTrace, ProbeTrace } from '../probes/model-trace.ts';
import type { ProbeSection } from '../probes/probe-section.ts';
import type { WeightsManifest } from '../schema/weights-manifest.ts';
import type { ShapedArray } from '../shaped-array.ts';
import { scientific } from './assemble-report.ts';
import { finding, shapeText } from './inventory.ts';
import type { Finding, OutputResult, ProbeReport } from './report.ts';

/** The name of the end of a model among its layers. */
export const END = 'output';

/** What a model computed on the probes of a manifest, beside what it should have, and what is wrong with it. */
export interface CheckedOutputs {
  readonly probe: ProbeReport;
  readonly findings: readonly Finding[];
}

/** What is known of a layer of the manifest, by the name of its module. */
interface KnownLayer {
  readonly op: string;
  readonly flattened?: readonly number[] | undefined;
}

type Compared = Pick<OutputResult, 'relativeL2' | 'maxAbs' | 'probe'>;

/** One layer, the worst over all probes. */
interface LayerFigures {
  readonly layer: string;
  readonly tolerance: number;
  input?: Compared;
  output?: Compared;
  /** The shape that came where none was fitting. */
  misshapen?: string;
  /** The first probe that nothing fitting and finite came of. */
  broken?: string;
  notFinite: number;
}

/**
 * Compares what a model computed with the golden outputs of its manifest, layer by layer in the order in which the
 * reference runs them. Only the first layer that parts is a finding, for all behind it follow; the end of the model is
 * judged by itself. Errors are relative L2 errors, the worst over the probes; a layer whose input agrees and whose output
 * does not computes something else, any other stands behind something else.
 */
export function checkOutputs(
  manifest: WeightsManifest,
  section: ProbeSection,
  trace: ModelTrace,
  toleranceOf: (layer: string) => number | undefined,
): CheckedOutputs {
  const known = knownLayers(manifest);
  const figures = figuresOf(section, trace, known, (layer) => toleranceOf(layer) ?? section.relativeL2);
  const end = figures.pop()!;
  const findings: Finding[] = [];
  const first = figures.findIndex((one) => !agrees(one));
  const parted = figures[first];
  if (parted) findings.push(divergence(parted, figures.slice(0, first)));
  for (const { layer, misshapen, output } of figures) {
    if (output !== undefined || !(known.has(layer) || trace.engine.startsWith('pytorch'))) continue;
    const message = misshapen ?? `${layer} of the manifest was not seen when the candidate ran`;
    findings.push(finding('WC505', message, { tensor: layer }));
  }
  const wild = [...figures, end].find(({ notFinite }) => notFinite > 0);
  if (wild) {
    const message = `${wild.layer} gives ${wild.notFinite} values that are NaN or infinite`;
    findings.push(finding('WC506', message, { tensor: wild.layer }));
  }
  if (end.misshapen !== undefined) findings.push(finding('WC504', end.misshapen, { tensor: END }));
  else if (!agrees(end)) {
    const where = parted ? `; ${parted.layer} is the first layer that differs` : behindLast(figures);
    findings.push(
      finding('WC503', `${figuresText('the output', end, end.output!)}${where}`, { tensor: END }),
    );
  }
  return {
    probe: {
      engine: trace.engine,
      reference: section.recordedWith,
      probes: section.kinds,
      results: [...figures, end].flatMap(resultsOf),
    },
    findings,
  };
}

/** What a reference that was run again gives, against what the manifest says of it. */
export function checkGolden(
  manifest: WeightsManifest,
  section: ProbeSection,
  trace: ModelTrace,
): readonly Finding[] {
  const figures = figuresOf(section, trace, knownLayers(manifest), () => section.relativeL2);
  const drifted = figures.find((one) => one.misshapen !== undefined || !agrees(one));
  if (!drifted) return [];
  const text = drifted.misshapen ?? figuresText(drifted.layer, drifted, drifted.output!);
  const message = `the reference in ${trace.engine} does not give what ${section.recordedWith} gave: ${text}`;
  return [finding('WC703', message, { tensor: drifted.layer })];
}

/** How far the output of one layer is from its golden. */
export interface OutputError {
  /** The module; `output` for the end of the model, which comes last. */
  readonly layer: string;
  /** The worst over the probes; Number.MAX_VALUE where one has another shape, is missing at the end, or is not finite. */
  readonly relativeL2: number;
  /** The kind of that probe. */
  readonly probe: string;
}

/** The errors of the layers that a model shows, in the order in which the reference runs them, and of its end. */
export function outputErrors(
  manifest: WeightsManifest,
  section: ProbeSection,
  trace: ModelTrace,
): readonly OutputError[] {
  const figures = figuresOf(section, trace, knownLayers(manifest), () => section.relativeL2);
  return figures.flatMap(({ layer, broken, output }): OutputError[] => {
    if (broken !== undefined) return [{ layer, relativeL2: Number.MAX_VALUE, probe: broken }];
    if (!output) return [];
    const { relativeL2, probe } = output;
    return [{ layer, relativeL2: Math.min(relativeL2, Number.MAX_VALUE), probe }];
  });
}

/** The figures of every layer, and those of the end of the model last. */
function figuresOf(
  { golden, kinds }: ProbeSection,
  { channelsLast, probes }: ModelTrace,
  known: ReadonlyMap<string, KnownLayer>,
  toleranceOf: (layer: string) => number,
): LayerFigures[] {
  const figures = new Map<string, LayerFigures>();
  const of = (layer: string) => {
    const made = figures.get(layer) ?? { layer, tolerance: toleranceOf(layer), notFinite: 0 };
    figures.set(layer, made);
    return made;
  };
  const end: LayerFigures = { layer: END, tolerance: toleranceOf(END), notFinite: 0 };
  for (const [nth, { layers, outputs }] of golden.entries()) {
    const probe = kinds[nth]!;
    const ran: ProbeTrace = probes[nth] ?? { layers: [], outputs: [] };
    const seen = new Map(ran.layers.map((one) => [one.layer, one]));
    for (const { layer, input, output } of layers) {
      const one = of(layer);
      const there = seen.get(layer);
      if (!there) continue;
      const { op, flattened } = known.get(layer) ?? {};
      const given = input && there.input && fitted(there.input, input, { channelsLast, op, flattened });
      if (input && given) one.input = worse(one.input, input, given, probe);
      judge(one, there.output, output, { channelsLast, op }, probe);
    }
    if (ran.outputs.length !== outputs.length) {
      end.broken ??= probe;
      end.misshapen = `the model has ${ran.outputs.length} outputs; the manifest has ${outputs.length}`;
    }
    for (const [place, output] of outputs.entries()) {
      const there = ran.outputs[place];
      if (there) judge(end, there, output, { channelsLast }, probe);
    }
  }
  return [...figures.values(), end];
}

function judge(
  one: LayerFigures,
  array: ShapedArray,
  golden: Golden,
  origin: Parameters<typeof canonicalArray>[2],
  probe: string,
): void {
  const notFinite = array.values.reduce((sum, value) => sum + (Number.isFinite(value) ? 0 : 1), 0);
  one.notFinite += notFinite;
  const found = fitted(array, golden, origin);
  if (notFinite > 0 || !found) one.broken ??= probe;
  if (found) one.output = worse(one.output, golden, found, probe);
  else {
    const due = `${shapeText(golden.shape)} is due on the probe ${probe}`;
    one.misshapen = `the output of ${one.layer} is ${shapeText(array.shape)}; ${due}`;
  }
}

function fitted(array: ShapedArray, { shape }: Golden, origin: Parameters<typeof canonicalArray>[2]) {
  return canonicalArray(array, shape, origin);
}

function worse(before: Compared | undefined, golden: Golden, found: ShapedArray, probe: string): Compared {
  const { relativeL2, maxAbs } = differenceFromGolden(golden, found);
  return before && before.relativeL2 >= relativeL2 ? before : { relativeL2, maxAbs, probe };
}

/** Whether a layer gives what is due, as far as it can be compared. */
function agrees({ output, tolerance }: LayerFigures): boolean {
  return output === undefined || output.relativeL2 <= tolerance;
}

function divergence(parted: LayerFigures, before: readonly LayerFigures[]): Finding {
  const { layer, input, output, tolerance } = parted;
  const text = figuresText(layer, parted, output!);
  const about = { tensor: layer };
  const last = before.findLast((one) => one.output !== undefined)?.layer;
  const unseen = before.flatMap(({ misshapen }) => misshapen ?? []).at(-1);
  const also = unseen === undefined ? '' : `; not compared before it: ${unseen}`;
  if (input && input.relativeL2 > tolerance) {
    const where = last === undefined ? `before ${layer}` : `between ${last}, which agrees, and ${layer}`;
    return finding('WC502', `${where} something else is computed: ${text}${also}`, about);
  }
  const given = input ? 'on the same input, ' : 'its input not being seen, ';
  return finding('WC501', `${given}${text}${also}`, about);
}

function figuresText(what: string, { tolerance }: LayerFigures, { relativeL2, probe }: Compared): string {
  return `${what} has relative L2 error ${scientific(relativeL2)} on the probe ${probe}; ${scientific(tolerance)} is allowed`;
}

function behindLast(figures: readonly LayerFigures[]): string {
  const last = figures.findLast(({ output }) => output !== undefined)?.layer;
  return last === undefined
    ? '; no layer was compared'
    : `; every layer that was compared agrees, ${last} the last`;
}

function resultsOf({ layer, tolerance, input, output }: LayerFigures): OutputResult[] {
  if (!output) return [];
  const given = input ? { inputRelativeL2: input.relativeL2 } : {};
  return [{ layer, ...output, ...given, tolerance, passed: output.relativeL2 <= tolerance }];
}

/** What a manifest says of its layers, by their modules: the steps of a recurrent stack are one. */
export function knownLayers({ layers }: WeightsManifest): ReadonlyMap<string, KnownLayer> {
  return new Map(layers.map(({ name, op, flattened }) => [moduleOf(name, op), { op, flattened }]));
}

/** The module of a layer: `rnn` of `rnn_l0_reverse`. */
export function moduleOf(layer: string, op: string): string {
  return op === 'LSTM' || op === 'GRU' ? layer.replace(/_l\d+(?:_reverse)?$/, '') : layer;
}
