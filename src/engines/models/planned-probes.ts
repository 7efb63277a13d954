import { fail } from '../../errors/problem.ts';
import { type Probe, probesOf } from '../../weights/probes/probe-inputs.ts';
import type { ProbeSection } from '../../weights/probes/probe-section.ts';
import { digestOf } from './name-by-weights.ts';

/** The probes that a manifest plans. Throws CONFIG_INVALID where they are not those that its golden outputs were made of. */
export function plannedProbes(section: ProbeSection, file: string): readonly Probe[] {
  const probes = probesOf(section);
  for (const [nth, { kind, inputs }] of probes.entries()) {
    const due = section.golden[nth]!.inputs;
    if (inputs.some(({ values }, place) => digestOf(values) !== due[place])) {
      fail('CONFIG_INVALID', { where: file, reason: `its probe ${kind} is not what its seed gives` });
    }
  }
  return probes;
}
