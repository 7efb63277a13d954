import type { MappingHints, MappingTrouble } from '../layouts/infer-mapping.ts';
import { mapWeights } from '../layouts/map-weights.ts';
import type { CheckSide } from '../layouts/mapping.ts';
import { assembleReport } from './assemble-report.ts';
import { type CheckOptions, checkWeights } from './check-weights.ts';
import { finding } from './inventory.ts';
import { complexOnOneSide, realParts } from './real-parts.ts';
import type { CheckReport } from './report.ts';
import type { RuleId } from './rules.ts';

/** The rule that names what could not be mapped. */
const TROUBLES = {
  ambiguous: 'WC110',
  unrepresentable: 'WC111',
  prefixed: 'WC113',
} as const satisfies Record<MappingTrouble['kind'], RuleId>;

/**
 * Compares two sets of weights without a manifest: their names, shapes and order tell what belongs together. What
 * they do not tell fails the check; nothing is guessed.
 */
export function checkFiles(
  referenceGiven: CheckSide,
  candidateGiven: CheckSide,
  hints: MappingHints = {},
  options: CheckOptions = {},
): CheckReport {
  const [reference, candidate] = [realParts(referenceGiven), realParts(candidateGiven)];
  const { mapping, troubles } = mapWeights(reference, candidate, hints);
  const report = checkWeights(reference, candidate, mapping, options);
  const parted = complexOnOneSide(referenceGiven.stored, candidateGiven.stored);
  if (troubles.length === 0 && parted.length === 0) return report;
  const told = troubles.map(({ kind, layer, message }) =>
    finding(TROUBLES[kind], message, layer === '' ? {} : { tensor: layer }),
  );
  return assembleReport(reference, candidate, mapping, report.tensors, [
    ...told,
    ...parted,
    ...report.findings,
  ]);
}
