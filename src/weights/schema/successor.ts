import { type BreakingReport, breakingReport } from './breaking.ts';
import { parseVersion } from './version.ts';
import type { WeightsManifest } from './weights-manifest.ts';

/** The manifest of a later version, and how its step was judged. */
export interface Successor {
  readonly manifest: WeightsManifest;
  readonly report: BreakingReport;
}

/**
 * A manifest as the next one of its schema, after `before`: what a person wrote there stays (attributes of layers that are
 * the same, tolerances, within a MAJOR the defaults), a tensor that came with a default says since when, and the history
 * has one step more: what `breakingReport` says of it, which is the judge of the step too.
 */
export function successorOf(before: WeightsManifest, described: WeightsManifest): Successor {
  const kept = withKept(before, described);
  const report = breakingReport(before, kept);
  const { version: from } = before.schema;
  const { version: to } = kept.schema;
  const steps = [
    ...(before.history ?? []),
    ...(from === to ? [] : [{ from, to, changes: report.changes.map((change) => ({ ...change })) }]),
  ];
  return { manifest: { ...kept, ...(steps.length > 0 && { history: steps }) }, report };
}

function withKept(before: WeightsManifest, { probe, ...described }: WeightsManifest): WeightsManifest {
  const known = new Map(before.tensors.map((tensor) => [tensor.name, tensor]));
  const layers = new Map(before.layers.map((layer) => [layer.name, layer]));
  const now = described.schema.version;
  const sameMajor = parseVersion(before.schema.version)?.major === parseVersion(now)?.major;
  return {
    ...described,
    tensors: described.tensors.map((tensor) => {
      const old = known.get(tensor.name);
      if (!sameMajor) return tensor;
      const value = tensor.default ?? old?.default;
      const since = old ? old.since : now;
      return {
        ...tensor,
        ...(value !== undefined && { default: value }),
        ...(value !== undefined && since !== undefined && { since }),
      };
    }),
    layers: described.layers.map((layer) => {
      const old = layers.get(layer.name);
      return old?.op === layer.op
        ? { ...layer, attributes: { ...old.attributes, ...layer.attributes } }
        : layer;
    }),
    tolerances: described.tolerances.length > 0 ? described.tolerances : before.tolerances,
    ...(probe && {
      probe: {
        ...probe,
        tolerances: probe.tolerances.length > 0 ? probe.tolerances : (before.probe?.tolerances ?? []),
      },
    }),
  };
}
