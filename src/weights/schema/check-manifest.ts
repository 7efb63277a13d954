import { assembleReport } from '../checks/assemble-report.ts';
import { type CheckOptions, checkWeights } from '../checks/check-weights.ts';
import { finding, shapeText } from '../checks/inventory.ts';
import type { CheckReport, Finding } from '../checks/report.ts';
import type { Framework } from '../layouts/layer.ts';
import { type CheckSide, mappingByNames } from '../layouts/mapping.ts';
import type { StoredTensors } from '../stored-tensors.ts';
import { mappingOf, type TensorDigest } from './describe-weights.ts';
import type { WeightsManifest } from './weights-manifest.ts';

/**
 * Compares two sets of weights by a manifest: the reference has to be the one that it was written for, tensor by tensor
 * and digest by digest, and its mapping says what belongs together. Nothing is inferred. The manifest has to be one that
 * can tell of the two (`manifestMismatch`).
 */
export function checkByManifest(
  reference: CheckSide,
  candidate: CheckSide,
  manifest: WeightsManifest,
  digest: TensorDigest,
  options: CheckOptions = {},
): CheckReport {
  const nativeIs = nativeSide(reference.framework, candidate.framework, manifest.framework);
  const mapping =
    nativeIs === undefined
      ? mappingByNames(reference.stored, candidate.stored)
      : mappingOf(manifest, nativeIs);
  const findings = [
    ...(nativeIs === 'reference' ? [] : schemaFindings(reference.stored, manifest)),
    ...(nativeIs === 'reference' ? [] : digestFindings(reference.stored, manifest, digest)),
    ...(nativeIs === 'reference' ? schemaFindings(candidate.stored, manifest) : []),
  ];
  const report = checkWeights(reference, candidate, { ...mapping, origin: 'manifest' }, options);
  return assembleReport(reference, candidate, { ...mapping, origin: 'manifest' }, report.tensors, [
    ...findings,
    ...report.findings,
  ]);
}

/**
 * Why a manifest cannot say how the tensors of two files belong together, as a clause; undefined where it can. Files of
 * one framework need no mapping; else it has to be one to the framework of either.
 */
export function manifestMismatch(
  reference: CheckSide,
  candidate: CheckSide,
  { framework, mapping }: WeightsManifest,
): string | undefined {
  if (sameLayout(reference.framework, candidate.framework)) return undefined;
  const natives = [candidate, reference].filter((side) => side.framework !== 'pytorch');
  if (natives.some((side) => sameLayout(side.framework, framework))) return undefined;
  const [native] = natives;
  const maps = mapping.length === 0 ? 'has no mapping' : `maps to ${framework}`;
  return `the manifest ${maps}, and ${native!.stored.file} is of ${native!.framework}; a manifest holds one conversion: make one for this with weights manifest --converted ${native!.stored.file}`;
}

/** Which side the mapping of a manifest is about; undefined where both sides are of one framework. */
function nativeSide(
  reference: Framework,
  candidate: Framework,
  framework: Framework,
): 'reference' | 'candidate' | undefined {
  if (sameLayout(reference, candidate)) return undefined;
  return sameLayout(candidate, framework) ? 'candidate' : 'reference';
}

/** Whether two frameworks hold weights alike: TensorFlow.js has the layout of Keras. */
function sameLayout(left: Framework, right: Framework): boolean {
  return left === right || [left, right].every((one) => one === 'keras' || one === 'tfjs');
}

/** Where a file in canonical form has other tensors than the schema; those that may be filled in may be missing. */
function schemaFindings(stored: StoredTensors, { schema, tensors }: WeightsManifest): Finding[] {
  const due = new Map(tensors.map((tensor) => [tensor.name, tensor]));
  const there = new Map(stored.tensors.map((tensor) => [tensor.name, tensor]));
  const of = `${schema.id} ${schema.version}`;
  return [
    ...tensors.flatMap(({ name, default: value }) =>
      there.has(name) || value !== undefined
        ? []
        : [finding('WC702', `${stored.file} lacks ${name} of ${of}`, { tensor: name })],
    ),
    ...stored.tensors.flatMap(({ name, shape, dtype }) => {
      const known = due.get(name);
      if (!known) return [finding('WC702', `${name} is no tensor of ${of}`, { tensor: name })];
      if (known.shape.join() === shape.join() && known.dtype === dtype) return [];
      const is = `${dtype} ${shapeText(shape)}`;
      return [
        finding('WC702', `${name} is ${is}; ${of} has ${known.dtype} ${shapeText(known.shape)}`, {
          tensor: name,
        }),
      ];
    }),
  ];
}

function digestFindings(
  stored: StoredTensors,
  { tensors }: WeightsManifest,
  digest: TensorDigest,
): Finding[] {
  const due = new Map(tensors.map((tensor) => [tensor.name, tensor]));
  return stored.tensors.flatMap((tensor) => {
    const known = due.get(tensor.name);
    if (!known || (known.sha256 === undefined && known.sm3 === undefined)) return [];
    const found = digest(tensor);
    const differs = (['sha256', 'sm3'] as const).find(
      (name) => known[name] !== undefined && found[name] !== undefined && known[name] !== found[name],
    );
    return differs === undefined
      ? []
      : [
          finding(
            'WC701',
            `${tensor.name} has ${differs} ${found[differs]}; the manifest has ${known[differs]}`,
            {
              tensor: tensor.name,
            },
          ),
        ];
  });
}
