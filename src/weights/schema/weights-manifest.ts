import { z } from 'zod';
import { canonicalJson } from '../../vocabulary/canonical-json.ts';
import { FRAMEWORKS, LAYER_OPS } from '../layouts/layer.ts';
import { elementCount } from '../manifest.ts';
import { probeFaults, probeSectionSchema } from '../probes/probe-section.ts';
import { TENSOR_DTYPES, type TensorDtype } from '../tensor-dtype.ts';
import { historyFaults, historySchema } from './history.ts';
import { parseVersion, stepBetween, VERSION_PATTERN } from './version.ts';

const extent = z
  .number()
  .int()
  .nonnegative()
  .max(2 ** 40);
const shape = z.array(extent).max(64);
const name = z.string().min(1).max(1000);
const reason = z.string().min(1).describe('why; stands in every report');
const hex = z.string().regex(/^[0-9a-f]{64}$/);
const DTYPES = Object.keys(TENSOR_DTYPES) as [TensorDtype, ...TensorDtype[]];

const piece = z.strictObject({
  tensor: name.describe('a canonical tensor'),
  rows: z
    .tuple([extent, extent])
    .optional()
    .describe('rows of its first axis, from and to (exclusive); all unless said'),
  axes: shape.describe('the axes that move, as the rows are seen'),
  order: z.array(z.number().int().min(0).max(63)).describe('axis n of the result is axis order[n]'),
  shape: shape.describe('what the engine calls the result'),
});

const attribute = z.union([z.string(), z.number(), z.boolean(), z.array(z.number())]);

/**
 * The weights manifest, `*.weights.json`: which tensors a model has in canonical form, what its layers compute, and how
 * one framework's file holds them. Canonical JSON (RFC 8785), so that the same manifest is the same bytes.
 */
export const weightsManifestSchema = z.strictObject({
  apiVersion: z.literal('consilium/v1').describe('the version of this file’s format'),
  schema: z
    .strictObject({
      id: z
        .string()
        .regex(/^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/)
        .describe('the name of the weight schema'),
      version: z
        .string()
        .regex(VERSION_PATTERN)
        .describe(
          'MAJOR: shape, order, meaning of an operator; MINOR: a tensor with a default more; PATCH: the rest',
        ),
    })
    .describe('what the tensors mean; sites that share its MAJOR can be averaged'),
  framework: z.enum(FRAMEWORKS).describe('whose file the mapping is of'),
  frameworkVersions: z
    .string()
    .max(100)
    .optional()
    .describe('versions that the mapping was tried with, as text'),
  tensors: z
    .array(
      z.strictObject({
        name,
        shape,
        dtype: z.enum(DTYPES),
        default: z.number().optional().describe('what a site fills in that does not have it yet'),
        since: z
          .string()
          .regex(VERSION_PATTERN)
          .optional()
          .describe('beside a default: the version that it came with, of this MAJOR'),
        sha256: hex.optional().describe('of its bytes in canonical form, little-endian'),
        sm3: hex.optional(),
      }),
    )
    .min(1)
    .describe('in canonical form: names and layout of PyTorch'),
  layers: z
    .array(
      z.strictObject({
        name: name.describe('the module, as PyTorch calls it'),
        op: z.enum(LAYER_OPS),
        flattened: shape.optional().describe('channels and places of the map that was flattened before it'),
        multiplier: z.number().int().positive().optional(),
        heads: z.number().int().positive().optional(),
        attributes: z
          .record(z.string(), attribute)
          .default({})
          .describe('what else it computes with: eps, padding'),
      }),
    )
    .default([]),
  mapping: z
    .array(
      z.strictObject({
        tensor: name.describe('as the framework’s file names it'),
        shape,
        pieces: z.array(piece).min(1),
        join: z.union([z.strictObject({ concat: z.number().int().min(0).max(63) }), z.literal('sum')]),
      }),
    )
    .default([])
    .describe(
      'how each tensor of the framework’s file comes from canonical ones; none where names are the same',
    ),
  dropped: z
    .array(z.strictObject({ tensor: name, reason }))
    .default([])
    .describe('canonical tensors that the framework’s file does not hold'),
  tolerances: z
    .array(z.strictObject({ tensors: name, relativeL2: z.number().positive().max(1), reason }))
    .default([])
    .describe('tensors that are compared by their relative error in place of bit for bit'),
  history: historySchema.optional(),
  probe: probeSectionSchema.optional().describe('seeded inputs, and what the model has to make of them'),
  signature: z
    .strictObject({ algorithm: z.string(), keyId: z.string(), publicKey: z.base64(), value: z.base64() })
    .optional()
    .describe('over the manifest without this member, in canonical JSON'),
});

/** A weights manifest, defaults filled in. */
export type WeightsManifest = z.infer<typeof weightsManifestSchema>;

/** The bytes that a signature is over: its purpose, and the manifest without its signature. */
export function signedText(manifest: WeightsManifest): string {
  const { signature: _, ...rest } = manifest;
  return `consilium/weights-manifest/v1\n${canonicalJson(rest)}`;
}

/** The file: one line of canonical JSON. */
export function manifestText(manifest: WeightsManifest): string {
  return `${canonicalJson(manifest)}\n`;
}

/**
 * What a manifest says that cannot be: names twice, pieces of unknown tensors, orders that are none, elements that are
 * gained or lost; and unless `plan` is false, probes that would hide mistakes, which are made for this. Sentences without
 * their full stop; made for files that came from elsewhere.
 */
export function manifestFaults(manifest: WeightsManifest, plan = true): readonly string[] {
  const { schema, tensors, mapping, history, probe } = manifest;
  const shapes = new Map(tensors.map((tensor) => [tensor.name, tensor.shape]));
  const faults: string[] = probe ? [...probeFaults(probe, plan)] : [];
  if (history) faults.push(...historyFaults(history, schema.version));
  for (const tensor of tensors) {
    if (tensor.since !== undefined && !cameWithin(schema.version, tensor.since, tensor.default)) {
      faults.push(
        `${tensor.name} came with ${tensor.since}: that takes a default, and a MINOR of ${schema.version} or before it`,
      );
    }
  }
  if (shapes.size < tensors.length) faults.push('a tensor is named twice');
  if (new Set(mapping.map(({ tensor }) => tensor)).size < mapping.length) {
    faults.push('a tensor is mapped twice');
  }
  for (const { tensor, shape: native, pieces, join } of mapping) {
    for (const { tensor: from, rows, axes, order, shape: result } of pieces) {
      const known = shapes.get(from);
      if (!known) {
        faults.push(`${tensor} is made of ${from}, which is no tensor of the manifest`);
        continue;
      }
      const [first = 1, ...others] = known;
      const [begin, end] = rows ?? [0, first];
      const length = end >= begin && end <= first ? (end - begin) * elementCount(others) : -1;
      const sound =
        length === elementCount(axes) &&
        length === elementCount(result) &&
        order.length === axes.length &&
        axes.every((_, axis) => order.includes(axis));
      if (!sound) faults.push(`the way from ${from} to ${tensor} is none`);
    }
    const lengths = pieces.map(({ shape: result }) => elementCount(result));
    const total = join === 'sum' ? lengths[0] : lengths.reduce((sum, length) => sum + length, 0);
    if (total !== elementCount(native)) faults.push(`${tensor} has not the elements of its pieces`);
    if (join === 'sum' && new Set(lengths).size > 1) faults.push(`the terms of ${tensor} differ in length`);
    if (join !== 'sum' && pieces.some(({ shape: result }) => join.concat > result.length)) {
      faults.push(`the pieces of ${tensor} have no axis ${join.concat}`);
    }
  }
  return faults;
}

/** Whether a tensor may have come with version `since` of a schema that is at `version` now. */
function cameWithin(version: string, since: string, value: number | undefined): boolean {
  const [now, then] = [parseVersion(version)!, parseVersion(since)!];
  return (
    value !== undefined && then.minor > 0 && then.major === now.major && stepBetween(then, now) !== undefined
  );
}
