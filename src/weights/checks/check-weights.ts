import type { CheckSide, Mapping } from '../layouts/mapping.ts';
import { assembleReport, scientific } from './assemble-report.ts';
import { type CanonicalSide, canonicalSide, termsOf } from './canonical-side.ts';
import { compareTensor } from './compare-tensor.ts';
import { differenceOf } from './difference.ts';
import { explainFailures } from './explain-failures.ts';
import { foldedNorms } from './folded-norms.ts';
import { checkInventory, finding } from './inventory.ts';
import { nothingConverted } from './nothing-converted.ts';
import { fingerprint } from './precision.ts';
import { equalityProof } from './prove-equal.ts';
import type { CheckReport, TensorResult } from './report.ts';
import { differingSum } from './sum-cause.ts';

/** Relative L2 error of a tensor that may not be exceeded where a conversion computes. */
export const TENSOR_TOLERANCE = 1e-5;

/** What else a check may be told. */
export interface CheckOptions {
  /** Another tolerance for a tensor, with which it is compared as if the conversion computed. */
  readonly toleranceOf?: (tensor: string) => number | undefined;
}

/**
 * Compares two sets of weights, strictest first: what is there, then every tensor that is only moved bit for bit in
 * canonical form, then sums by their relative error. What does not agree is explained by the known mistake that gives
 * every element of it. Holds a few tensors in memory at a time. Throws what reading throws.
 */
export function checkWeights(
  reference: CheckSide,
  candidate: CheckSide,
  mapping: Mapping,
  { toleranceOf = () => undefined }: CheckOptions = {},
): CheckReport {
  const before = canonicalSide(reference.stored, mapping.reference, mapping.canonical);
  const after = canonicalSide(candidate.stored, mapping.candidate, mapping.canonical);
  const findings = checkInventory(reference, candidate, mapping);
  const results: TensorResult[] = [];
  const failed: string[] = [];
  const equality = equalityProof();
  const half = { counted: 0, float16: 0, bfloat16: 0 };
  const sums = new Map([...before.sums, ...after.sums]);

  for (const [tensor, shape] of mapping.canonical) {
    // Terms that only a sum is known of are compared as that sum.
    const [theirs, ours] = [before.holders(tensor), after.holders(tensor)];
    if (theirs.length === 0 || ours.length === 0) continue;
    const tolerance = toleranceOf(tensor);
    const compared = compareTensor(tensor, before, after, tolerance, half, equality);
    if (!compared) continue;
    const { difference, notFinite, dtypes } = compared;
    const passed = tolerance === undefined ? difference.differing === 0 : difference.relativeL2 <= tolerance;
    results.push({
      ...difference,
      tensor,
      reference: theirs.map(({ name }) => name),
      candidate: ours.map(({ name }) => name),
      shape,
      comparison: tolerance === undefined ? 'bit-exact' : 'arithmetic',
      tolerance: tolerance ?? 0,
      passed,
    });
    const native = ours.map(({ name }) => name).join(', ');
    if (dtypes[0] !== dtypes[1]) {
      findings.push(
        finding('WC106', `${native} is ${dtypes[1]}; the reference is ${dtypes[0]}`, { tensor, native }),
      );
    }
    if (notFinite.candidate > 0) {
      const also = notFinite.reference > 0 ? `; the reference holds ${notFinite.reference}` : '';
      findings.push(
        finding('WC107', `${native} holds ${notFinite.candidate} values that are NaN or infinite${also}`, {
          tensor,
          native,
        }),
      );
    }
    if (!passed && tolerance !== undefined) {
      findings.push(
        finding(
          'WC302',
          `${native} has relative L2 error ${scientific(difference.relativeL2)}; ${scientific(tolerance)} is allowed`,
          { tensor, native },
        ),
      );
    } else if (!passed) failed.push(tensor);
  }

  for (const [name, recipe] of sums) {
    const terms = termsOf(recipe);
    const [expected, found] = [before.readSum(terms), after.readSum(terms)];
    if (!expected || !found) continue;
    const difference = differenceOf(expected, found);
    const tolerance = toleranceOf(name) ?? TENSOR_TOLERANCE;
    const passed = difference.relativeL2 <= tolerance;
    const names = (side: CanonicalSide) => [
      ...new Set(terms.flatMap((term) => side.holders(term).map((one) => one.name))),
      ...(side.sums.has(name) ? [side.sums.get(name)!.name] : []),
    ];
    const native = names(after).join(', ');
    results.push({
      ...difference,
      tensor: name,
      reference: names(before),
      candidate: names(after),
      shape: recipe.shape,
      comparison: 'arithmetic',
      tolerance,
      passed,
    });
    if (fingerprint(found).notFinite > 0) {
      findings.push(finding('WC107', `${native} holds NaN or infinity`, { tensor: name, native }));
    }
    if (!passed) {
      const cause = differingSum(
        terms,
        expected,
        found,
        (term) => before.read(term, 'float32') as Float32Array,
      );
      findings.push(finding(cause.rule, `${native}: ${cause.message}`, { tensor: name, native }));
    }
  }

  findings.push(...explainFailures(failed, results, before, after, mapping));
  if (results.length === 0) findings.push(finding('WC109', 'no tensor of the two files was compared'));
  if (half.counted >= 64 && Math.max(half.float16, half.bfloat16) >= 0.999 * half.counted) {
    const dtype = half.bfloat16 >= 0.999 * half.counted ? 'bfloat16' : 'float16';
    findings.push(
      finding(
        'WC407',
        `${half.counted} float32 values of the reference that were looked at are all exact in ${dtype}`,
      ),
    );
  }
  return assembleReport(
    reference,
    candidate,
    mapping,
    results,
    foldedNorms(nothingConverted(findings, mapping, candidate), candidate),
  );
}
