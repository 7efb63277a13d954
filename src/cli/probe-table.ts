import type { ProbeView } from '../protocol/views.ts';
import { readableTime } from './output.ts';
import { type Column, renderTable } from './table.ts';

const PROBES: readonly Column<ProbeView>[] = [
  { title: 'JOB', cell: ({ job }) => job },
  { title: 'SITE', cell: ({ site }) => site },
  { title: 'PROBE', cell: ({ state }) => state },
  { title: 'TAKEN', cell: ({ takenAt }) => readableTime(takenAt) },
  { title: 'SCHEMA', cell: ({ stated }) => stated.schema },
  { title: 'ENGINE', cell: ({ engine }) => engine },
  { title: 'LARGEST ERROR', cell: largestError },
  { title: 'REASON', cell: ({ reason }) => reason },
];

/** What came of probes of weights, a line each. */
export function renderProbes(probes: readonly ProbeView[]): string {
  return renderTable(PROBES, probes, false);
}

function largestError({ layers, tolerance }: ProbeView): string | undefined {
  const worst = layers.reduce<ProbeView['layers'][number] | undefined>(
    (most, one) => (most && most.relativeL2 >= one.relativeL2 ? most : one),
    undefined,
  );
  if (!worst) return undefined;
  const { relativeL2, layer, allowed } = worst;
  return `${relativeL2.toExponential(1)} (${layer}${allowed > tolerance ? `, ${allowed.toExponential(0)} allowed` : ''})`;
}
