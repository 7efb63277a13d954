import { plannedProbes } from '../engines/models/planned-probes.ts';
import { runModel } from '../engines/models/run-model.ts';
import type { OpenWeights } from '../engines/open-weights-file.ts';
import { fail } from '../errors/problem.ts';
import { checkGolden, checkOutputs } from '../weights/checks/check-outputs.ts';
import { type CheckSettings, outputToleranceIn } from '../weights/checks/check-settings.ts';
import type { CheckReport } from '../weights/checks/report.ts';
import { withOutputs } from '../weights/checks/with-outputs.ts';
import type { Framework } from '../weights/layouts/layer.ts';
import type { ModelTrace } from '../weights/probes/model-trace.ts';
import type { WeightsManifest } from '../weights/schema/weights-manifest.ts';
import type { CommandContext } from './context.ts';
import { type EngineOptions, modelToRun } from './probe-options.ts';

/** A file that is opened, and the path that it was opened by. */
export interface OpenedSide {
  readonly stored: OpenWeights;
  readonly path: string;
  readonly framework: Framework;
}

/** What a check by probes is asked for. */
export interface ProbeCheck {
  readonly manifest: WeightsManifest;
  readonly manifestFile: string;
  /** Whether the manifest's signature was asked for: only then the code that it names is run. */
  readonly trusted: boolean;
  /** Whether the reference is run as well. */
  readonly live: boolean;
  readonly engines: EngineOptions;
  readonly settings: CheckSettings;
}

/**
 * A report with what the candidate computes on the probes of its manifest, and, where it is asked for, what the reference
 * computes today. Throws USAGE where the manifest has no probes, and what running a model throws.
 */
export async function checkProbe(
  context: CommandContext,
  report: CheckReport,
  reference: OpenedSide,
  candidate: OpenedSide,
  { manifest, manifestFile, trusted, live, engines, settings }: ProbeCheck,
): Promise<CheckReport> {
  const { probe: section } = manifest;
  if (!section) {
    return fail('USAGE', {
      reason: `${manifestFile} has no probes; weights manifest writes them with --probe SHAPE`,
    });
  }
  const named = trusted && section.model !== undefined ? { model: section.model, ...engines } : engines;
  const probes = { inputs: section.inputs, probes: plannedProbes(section, manifestFile) };
  const run = <Value>({ stored, path, framework }: OpenedSide, use: (trace: ModelTrace) => Value) =>
    runModel(modelToRun(context, stored, path, framework, named), probes, manifest, use);
  const tolerances = outputToleranceIn([...settings.outputs, ...section.tolerances]);
  const checked = await run(candidate, (trace) => checkOutputs(manifest, section, trace, tolerances));
  const drift = live ? await run(reference, (trace) => checkGolden(manifest, section, trace)) : [];
  return withOutputs(report, checked, drift);
}
