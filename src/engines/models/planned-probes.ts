import { fail } from '../../errors/problem.ts';
import { type Probe, probesOf } from '../../weights/probes/probe-inputs.ts';
import type { ProbeSection } from '../../weights/probes/probe-section.ts';
import { digestOf } from './name-by-weights.ts';

/** The probes that a manifest plans. Throws as `plannedProbe` does. */
export function plannedProbes(section: ProbeSection, file: string): readonly Probe[] {
  return section.kinds.map((_, nth) => plannedProbe(section, nth, file));
}

/** One of them. Throws CONFIG_INVALID where it is not the one that the golden outputs were made of. */
export function plannedProbe(section: ProbeSection, nth: number, file: string): Probe {
  const kind = section.kinds[nth]!;
  const probe = probesOf({ ...section, kinds: [kind] })[0]!;
  const due = section.golden[nth]!.inputs;
  if (probe.inputs.some(({ values }, place) => digestOf(values) !== due[place])) {
    fail('CONFIG_INVALID', { where: file, reason: `its probe ${kind} is not what its seed gives` });
  }
  return probe;
}
