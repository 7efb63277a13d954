import { setImmediate as others } from 'node:timers/promises';
import { plannedProbe } from '../engines/models/planned-probes.ts';
import type { ProbeReport } from '../rounds/probe-report.ts';
import { invariant } from '../vocabulary/invariant.ts';
import { outputErrors } from '../weights/checks/check-outputs.ts';
import type { Probe } from '../weights/probes/probe-inputs.ts';
import type { WeightsManifest } from '../weights/schema/weights-manifest.ts';
import type { ProbeTask, Trainer } from './trainer.ts';

/**
 * Lets a trainer load weights its own way and run its model on the probes of the job's weights manifest, and compares what
 * its layers give with the golden outputs, as `weights check --probe` does: relative L2 errors, the worst over the probes.
 * Throws what the trainer throws, and CONFIG_INVALID where the seed of the manifest gives other probes here.
 */
export async function probeGolden(
  trainer: Pick<Trainer, 'probe'>,
  task: Omit<ProbeTask, 'probes'>,
  manifest: WeightsManifest,
): Promise<ProbeReport> {
  const { probe } = manifest;
  invariant(probe, 'the manifest of a probe has golden outputs');
  const probes: Probe[] = [];
  for (const nth of probe.kinds.keys()) {
    // Heartbeats go on while large inputs are made.
    await others();
    task.signal.throwIfAborted();
    probes.push(plannedProbe(probe, nth, 'the weights manifest of the job'));
  }
  const found = await trainer.probe({ ...task, probes });
  return { engine: found.engine, layers: outputErrors(manifest, probe, found) };
}
