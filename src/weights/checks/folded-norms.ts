import type { CheckSide } from '../layouts/mapping.ts';
import { finding } from './inventory.ts';
import type { Finding } from './report.ts';

/** Parts of a batch norm, by the names of PyTorch. */
const PART = /^(.*)\.(?:weight|bias|running_mean|running_var|num_batches_tracked)$/;
/** Norms that the message names. */
const NAMED_MAX = 4;

/** One finding in place of many where batch norms are missing from a graph, into whose other layers they were folded. */
export function foldedNorms(findings: readonly Finding[], candidate: CheckSide): readonly Finding[] {
  if (candidate.framework !== 'onnx') return findings;
  const missing = findings.filter(({ rule }) => rule === 'WC101');
  const norms = new Set(
    missing.flatMap(({ tensor }) => (tensor?.endsWith('.running_mean') ? [PART.exec(tensor)![1]!] : [])),
  );
  if (norms.size === 0) return findings;
  const isTold = ({ rule, tensor }: Finding) =>
    rule === 'WC101' && norms.has(PART.exec(tensor ?? '')?.[1] ?? '');
  const names = [...norms].slice(0, NAMED_MAX).join(', ');
  const told = norms.size > NAMED_MAX ? `${names} and ${norms.size - NAMED_MAX} more` : names;
  return [finding('WC114', `the graph has no batch norm ${told}`), ...findings.filter((one) => !isTold(one))];
}
