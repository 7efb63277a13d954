import { canonicalJson } from '../../vocabulary/canonical-json.ts';
import { goldenDistance } from '../probes/golden-distance.ts';
import { covers, parseVersion, stepBetween, type VersionStep } from './version.ts';
import type { WeightsManifest } from './weights-manifest.ts';

/** One change between two versions of a weight schema, and the step that it needs. */
export interface SchemaChange {
  readonly needs: Exclude<VersionStep, 'none'>;
  /** A tensor, a layer, or nothing where it is about the whole. */
  readonly about?: string;
  /** A clause. */
  readonly message: string;
}

/** Whether the step of a version says what changed. */
export interface BreakingReport {
  readonly from: string;
  readonly to: string;
  /** The step that was taken; absent where the version went down. */
  readonly taken?: VersionStep;
  readonly needed: VersionStep;
  readonly verdict: 'passed' | 'failed';
  readonly changes: readonly SchemaChange[];
}

/**
 * Compares two manifests of one weight schema. MAJOR: weights of one do not fit, or do not mean, what those of the
 * other do. MINOR: a tensor more that has a default. PATCH: the rest. Values, and so digests, are no part of a schema.
 */
export function breakingReport(before: WeightsManifest, after: WeightsManifest): BreakingReport {
  const changes = [...schemaChanges(before, after), ...metadataChanges(before, after)];
  const needed = changes.reduce<VersionStep>(
    (most, { needs }) => (covers(most, needs) ? most : needs),
    'none',
  );
  const [from, to] = [parseVersion(before.schema.version), parseVersion(after.schema.version)];
  const taken = from && to && stepBetween(from, to);
  return {
    from: `${before.schema.id} ${before.schema.version}`,
    to: `${after.schema.id} ${after.schema.version}`,
    ...(taken === undefined ? {} : { taken }),
    needed,
    verdict: taken !== undefined && covers(taken, needed) ? 'passed' : 'failed',
    changes,
  };
}

function schemaChanges(before: WeightsManifest, after: WeightsManifest): readonly SchemaChange[] {
  const known = new Map(before.tensors.map((tensor) => [tensor.name, tensor]));
  const now = new Map(after.tensors.map((tensor) => [tensor.name, tensor]));
  const major = (about: string, message: string): SchemaChange => ({ needs: 'major', about, message });
  const changes: SchemaChange[] = [];
  if (before.schema.id !== after.schema.id) {
    changes.push(major(after.schema.id, `the schema was ${before.schema.id} and is ${after.schema.id}`));
  }
  for (const { name } of before.tensors) if (!now.has(name)) changes.push(major(name, 'the tensor is gone'));
  for (const tensor of after.tensors) {
    const old = known.get(tensor.name);
    if (!old) {
      changes.push(
        tensor.default === undefined
          ? major(tensor.name, 'the tensor is new and has no default')
          : {
              needs: 'minor',
              about: tensor.name,
              message: `the tensor is new, ${tensor.default} by default`,
            },
      );
      continue;
    }
    if (old.shape.join() !== tensor.shape.join()) {
      changes.push(
        major(tensor.name, `its shape was [${old.shape.join(', ')}] and is [${tensor.shape.join(', ')}]`),
      );
    }
    if (old.dtype !== tensor.dtype)
      changes.push(major(tensor.name, `its dtype was ${old.dtype} and is ${tensor.dtype}`));
    if (old.default !== tensor.default) {
      changes.push(
        tensor.default === undefined
          ? major(tensor.name, 'its default is gone')
          : { needs: 'minor', about: tensor.name, message: `its default is ${tensor.default}` },
      );
    }
  }
  const kept = before.tensors.filter(({ name }) => now.has(name)).map(({ name }) => name);
  const order = after.tensors.filter(({ name }) => known.has(name)).map(({ name }) => name);
  const misplaced = order.find((name, place) => kept[place] !== name);
  if (misplaced !== undefined)
    changes.push(major(misplaced, 'the tensors stand in another order from here on'));
  return [...changes, ...layerChanges(before, after), ...outputChanges(before, after)];
}

/** The same weights that give other outputs on the same probes are another model. */
function outputChanges(before: WeightsManifest, after: WeightsManifest): readonly SchemaChange[] {
  const inputs = ({ probe }: WeightsManifest) => probe?.golden.map((one) => one.inputs);
  const same = (left: unknown, right: unknown) => canonicalJson(left) === canonicalJson(right);
  if (!before.probe || !after.probe) return [];
  if (!sameWeights(before, after) || !same(inputs(before), inputs(after))) return [];
  const { relativeL2 } = before.probe;
  const place = before.probe.golden.findIndex(({ outputs }, nth) =>
    outputs.some((output, at) => {
      const now = after.probe!.golden[nth]!.outputs[at];
      return !now || !(goldenDistance(output, now) <= relativeL2);
    }),
  );
  const kind = before.probe.kinds[place];
  if (kind === undefined) return [];
  return [{ needs: 'major', message: `the same weights give other outputs on the probe ${kind}` }];
}

/** What layers compute; a manifest that says nothing of a layer promises nothing of it. */
function layerChanges(before: WeightsManifest, after: WeightsManifest): readonly SchemaChange[] {
  const known = new Map(before.layers.map((layer) => [layer.name, layer]));
  const changes: SchemaChange[] = [];
  for (const { name, ...layer } of after.layers) {
    const old = known.get(name);
    if (!old) continue;
    const members = (one: typeof layer) => ({
      op: one.op,
      flattened: one.flattened?.join('x'),
      multiplier: one.multiplier,
      heads: one.heads,
      ...Object.fromEntries(
        Object.entries(one.attributes).map(([key, value]) => [`attribute ${key}`, String(value)]),
      ),
    });
    const [was, is] = [members(old), members(layer)] as Record<string, unknown>[];
    for (const member of new Set([...Object.keys(was!), ...Object.keys(is!)])) {
      const [left, right] = [was![member], is![member]];
      if (left !== right) {
        changes.push({
          needs: 'major',
          about: name,
          message: `its ${member} was ${left ?? 'unsaid'} and is ${right ?? 'unsaid'}`,
        });
      }
    }
  }
  return changes;
}

function sameWeights(before: WeightsManifest, after: WeightsManifest): boolean {
  const digests = ({ tensors }: WeightsManifest) =>
    canonicalJson(tensors.map(({ name, sha256 }) => [name, sha256 ?? null]));
  return digests(before) === digests(after);
}

/** What a probe section plans: what comes of it with other weights, and in which engine, are values. */
function plannedOf({ golden: _, recordedWith: __, ...planned }: NonNullable<WeightsManifest['probe']>) {
  return planned;
}

/** Everything else but values, signatures and the version itself. */
function metadataChanges(before: WeightsManifest, after: WeightsManifest): readonly SchemaChange[] {
  const rest = ({
    framework,
    frameworkVersions,
    mapping,
    dropped,
    tolerances,
    layers,
    probe,
  }: WeightsManifest) => ({
    framework,
    'framework versions': frameworkVersions,
    mapping,
    'dropped tensors': dropped,
    tolerances,
    probe: probe ? (sameWeights(before, after) ? probe : plannedOf(probe)) : null,
    'names of layers': layers.map(({ name }) => name),
  });
  const [was, is] = [rest(before), rest(after)] as Record<string, unknown>[];
  return Object.keys(was!).flatMap((member): SchemaChange[] =>
    canonicalJson(was![member]) === canonicalJson(is![member])
      ? []
      : [{ needs: 'patch', message: `the ${member} changed` }],
  );
}
