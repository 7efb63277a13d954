import { type Problem, problem } from '../errors/problem.ts';
import type { EpochMs } from '../vocabulary/ids.ts';
import { outputToleranceIn } from '../weights/checks/check-settings.ts';
import type { ProbeSection } from '../weights/probes/probe-section.ts';
import type { WeightsManifest } from '../weights/schema/weights-manifest.ts';
import type { Job } from './job.ts';

type OutputTolerances = ProbeSection['tolerances'];

/** What a probe is judged by. */
export interface ProbeJudge {
  readonly spec: Pick<Job, 'weightSchema'>;
  readonly weightsManifest: WeightsManifest | undefined;
}

/** How far the output of one layer was from what it should be: relative L2 error, the worst over the probes. */
export interface ProbedLayer {
  /** The module, as PyTorch calls it; `output` is the end of the model. */
  readonly layer: string;
  /** Number.MAX_VALUE where the output has another shape, or is not finite. */
  readonly relativeL2: number;
  /** The kind of the worst probe. */
  readonly probe: string;
}

/** What came of a probe at a site, as the site reports it. */
export interface ProbeReport {
  /** What computed it, such as `pytorch 2.13.0`. */
  readonly engine: string;
  /** In the order in which they run, the end last. */
  readonly layers: readonly ProbedLayer[];
}

/** A report that the coordinator holds durably. */
export interface TakenProbe {
  /** What it holds for; see `probeStamp`. */
  readonly stamp: string;
  /** The report, or why there is none. */
  readonly result: ProbeReport | { readonly problem: Problem };
  readonly at: EpochMs;
}

/** The name of the end of a model among the layers of a probe. */
export const MODEL_END = 'output';

const LAYERS_MAX = 10_000;

/** What a probe assignment came to, as it is kept; a report that cannot be right is kept as REPORT_MALFORMED. */
export function probeResult(result: {
  readonly kind: string;
  readonly probe?: ProbeReport;
  readonly problem?: Problem;
}): TakenProbe['result'] {
  const { kind, probe } = result;
  if (result.problem) return { problem: result.problem };
  if (!probe) {
    const reason = `a report of ${kind} came where a probe was asked for`;
    return { problem: problem('REPORT_MALFORMED', { reason }) };
  }
  const reason = probeReportFault(probe);
  return reason === undefined ? probe : { problem: problem('REPORT_MALFORMED', { reason }) };
}

function probeReportFault({ layers }: ProbeReport): string | undefined {
  if (layers.length > LAYERS_MAX) return `the probe has ${layers.length} layers; ${LAYERS_MAX} are the most`;
  if (layers.at(-1)?.layer !== MODEL_END)
    return 'the probe does not say what came out at the end of the model';
  const wrong = layers.find(({ relativeL2 }) => !(relativeL2 >= 0));
  return wrong && `the error of ${wrong.layer} is ${wrong.relativeL2}`;
}

/** The relative L2 errors that outputs may have. */
export interface ProbeTolerance {
  /** Of every layer. */
  readonly relativeL2: number;
  /** Of layers that may have more, each with a reason. */
  readonly layers: OutputTolerances;
}

/** What a job allows, and for single layers the weights manifest that came with it. */
export function probeTolerance({ spec, weightsManifest }: ProbeJudge): ProbeTolerance {
  return { relativeL2: spec.weightSchema?.relativeL2 ?? 0, layers: weightsManifest?.probe?.tolerances ?? [] };
}

/** The largest relative L2 error that the output of one layer may have. */
export function allowedFor(layer: string, { relativeL2, layers }: ProbeTolerance): number {
  return Math.max(relativeL2, outputToleranceIn(layers)(layer) ?? 0);
}

/** The coordinator's own judgement of what it was told: WEIGHTS_PROBE_FAILED with the first layer that is off. */
export function probeObjection({ result }: TakenProbe, tolerance: ProbeTolerance): Problem | undefined {
  if ('problem' in result) return result.problem;
  const place = result.layers.findIndex(
    ({ layer, relativeL2 }) =>
      !(relativeL2 <= tolerance.relativeL2) && !(relativeL2 <= allowedFor(layer, tolerance)),
  );
  const off = result.layers[place];
  if (!off) return undefined;
  const { layer, relativeL2, probe } = off;
  const found =
    relativeL2 === Number.MAX_VALUE ? 'no finite output of the shape that is due' : errorText(relativeL2);
  return problem('WEIGHTS_PROBE_FAILED', {
    layer: place === result.layers.length - 1 ? 'the end of the model' : layer,
    found,
    probe,
    tolerance: allowedFor(layer, tolerance).toExponential(0),
    engine: result.engine,
  });
}

function errorText(relativeL2: number): string {
  return `a relative error of ${relativeL2.toExponential(1)}`;
}
