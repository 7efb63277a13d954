import type { Mapping } from '../layouts/mapping.ts';
import { dtypeBytes } from '../tensor-dtype.ts';
import { scientific } from './assemble-report.ts';
import { type CanonicalSide, elementsOf } from './canonical-side.ts';
import { sameChannels } from './channel-order.ts';
import { type Diagnosis, diagnose } from './diagnose.ts';
import { headOrders } from './head-order.ts';
import { finding } from './inventory.ts';
import type { Finding, TensorResult } from './report.ts';
import { roundingCause } from './rounding.ts';
import { staleStatistics } from './stale-statistics.ts';
import { wordHash } from './word-hash.ts';

/** A finding with its cause for every tensor that failed; orders of channels that fit each other are one cause. */
export function explainFailures(
  failed: readonly string[],
  results: readonly TensorResult[],
  before: CanonicalSide,
  after: CanonicalSide,
  mapping: Mapping,
): Finding[] {
  if (failed.length === 0) return [];
  const wrong = new Set(failed);
  const diagnoses = new Map<string, Diagnosis>();
  let known: ReadonlyMap<string, readonly string[]> | undefined;
  for (const tensor of failed) {
    const dtypes = [...before.holders(tensor), ...after.holders(tensor)].map(({ dtype }) => dtype);
    // Bits of two widths cannot be compared.
    if (new Set(dtypes.map((dtype) => dtypeBytes(dtype))).size > 1) {
      const [expected, found] = [before.read(tensor, 'float32'), after.read(tensor, 'float32')];
      const cast = expected && found && roundingCause(expected as Float32Array, found as Float32Array);
      if (cast) diagnoses.set(tensor, cast);
      continue;
    }
    const [reference, candidate] = [before.read(tensor, 'bits'), after.read(tensor, 'bits')];
    if (!reference || !candidate || reference.constructor !== candidate.constructor) continue;
    const shape = mapping.canonical.get(tensor)!;
    const names = new Set(after.holders(tensor).map(({ name }) => name));
    const held = after.recipes
      .filter(({ name }) => names.has(name))
      .map((recipe) => ({
        recipe,
        bits: elementsOf(after.holders(tensor).find(({ name }) => name === recipe.name)!, 'bits'),
      }));
    const numbers = dtypes.every((dtype) => dtype === 'float32')
      ? {
          reference: new Float32Array((reference as Uint32Array).buffer),
          candidate: new Float32Array((candidate as Uint32Array).buffer),
        }
      : undefined;
    known ??= namesByHash(before, mapping);
    diagnoses.set(
      tensor,
      diagnose({
        tensor,
        shape,
        reference,
        candidate,
        held,
        numbers,
        known,
        passed: (name) => !wrong.has(name),
      }),
    );
  }
  for (const [tensor, cause] of sameFunction(diagnoses, before, after)) {
    diagnoses.set(tensor, cause);
  }
  for (const [tensor, cause] of staleStatistics(diagnoses, wrong, (name) => after.read(name, 'float32'))) {
    diagnoses.set(tensor, cause);
  }
  return failed.map((tensor) => {
    const result = results.find((one) => one.tensor === tensor)!;
    const native = result.candidate.join(', ');
    const cause = diagnoses.get(tensor);
    const rule = cause?.rule ?? 'WC201';
    const told = cause ? `: ${cause.message}` : '';
    const figures = `${result.differing} of ${result.elements} elements differ, relative L2 error ${scientific(result.relativeL2)}`;
    return finding(rule, `${native}${told} (${figures})`, { tensor, native });
  });
}

/** Orders of channels that cancel out: those of one layer's outputs and another's inputs, and of the heads of an attention. */
function sameFunction(
  diagnoses: ReadonlyMap<string, Diagnosis>,
  before: CanonicalSide,
  after: CanonicalSide,
): ReadonlyMap<string, Diagnosis> {
  const moved = [...diagnoses].flatMap(([tensor, { channels, message }]) =>
    channels ? [{ tensor, ...channels, message }] : [],
  );
  const orders = new Map(moved.map((one) => [one.tensor, one]));
  // What did not move may be the same in any order, as a bias of zeros is.
  const follows = (tensor: string, order: readonly number[]) => {
    const own = orders.get(tensor);
    if (own) return own.axis === 0 && own.order.join() === order.join();
    const values = before.read(tensor, 'bits');
    return values === undefined || order.every((from, place) => values[from] === values[place]);
  };
  const found = new Map<string, Diagnosis>();
  const told = ({ tensor, message }: { readonly tensor: string; readonly message: string }) =>
    found.set(tensor, { rule: 'WC207', message });
  for (const outputs of moved.filter(({ axis }) => axis === 0)) {
    const bias = outputs.tensor.replace(/(^|\.)weight$/, '$1bias');
    if (!follows(bias, outputs.order)) continue;
    for (const inputs of moved.filter(({ axis }) => axis === 1)) {
      if (!sameChannels(outputs.order, inputs.order)) continue;
      told(outputs);
      told(inputs);
    }
  }
  for (const { tensors, order } of headOrders(orders, follows, [...before.recipes, ...after.recipes])) {
    const message = `its ${order.length} heads stand in the order ${order.join(', ')}, and all of the layer follows`;
    for (const tensor of tensors) told({ tensor, message });
  }
  return found;
}

/** Names of the reference's tensors by the hash of their bits. */
function namesByHash(before: CanonicalSide, mapping: Mapping): ReadonlyMap<string, readonly string[]> {
  const names = new Map<string, string[]>();
  for (const tensor of mapping.canonical.keys()) {
    const bits = before.read(tensor, 'bits');
    if (!bits) continue;
    const hash = wordHash(bits);
    names.set(hash, [...(names.get(hash) ?? []), tensor]);
  }
  return names;
}
