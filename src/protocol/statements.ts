import { z } from 'zod';
import { type Problem, problem } from '../errors/problem.ts';
import type { ReceiptStatement, UpdateDeclaration } from '../rounds/update.ts';
import { canonicalJson } from '../vocabulary/canonical-json.ts';
import type { Digest } from '../vocabulary/digest.ts';
import type { FederationId, JobId, ModelVersion } from '../vocabulary/ids.ts';
import { ok, type Result, refused } from '../vocabulary/result.ts';
import { VERSION_PATTERN } from '../weights/schema/version.ts';

/**
 * What a site signs of its update: everything that the declaration says, and the federation it says it to. UTF-8
 * canonical JSON. Throws RangeError where a metric is not finite.
 */
export function updateStatement(federation: FederationId, declaration: UpdateDeclaration): Uint8Array {
  // Releases that do not know the norm make the same statement; it follows from the bytes, which the digest names.
  const { key, norm: _, ...said } = declaration;
  return new TextEncoder().encode(
    canonicalJson({ kind: 'consilium/update/v1', federation, ...key, ...said }),
  );
}

/** What the coordinator signs of an accepted update. UTF-8 canonical JSON. */
export function receiptStatement(statement: ReceiptStatement): Uint8Array {
  return new TextEncoder().encode(canonicalJson(statement));
}

/** Which weights a sealed content is, and what its sealed bytes are. */
export interface BroadcastStatement {
  readonly federation: string;
  readonly job: JobId;
  readonly version: ModelVersion;
  /** Payload digest of the weights. */
  readonly digest: Digest;
  /** Id of the content, hexadecimal: other bytes under the same key are another content. */
  readonly content: string;
  /** SM3 over the ordered SM3s of the sealed chunks. */
  readonly sealedDigest: Digest;
}

/**
 * What the coordinator signs of weights that it seals once for many: over ciphertext, since whoever may open it knows the
 * key, and could seal other weights under the same tags. UTF-8 canonical JSON.
 */
export function broadcastStatement(statement: BroadcastStatement): Uint8Array {
  return new TextEncoder().encode(canonicalJson({ kind: 'consilium/broadcast/v1', ...statement }));
}

const count = z.int().min(0);
const label = z.string().regex(/^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/);
const receiptSchema = z.strictObject({
  kind: z.literal('consilium/receipt/v1'),
  federation: label,
  job: label,
  round: count,
  attempt: count,
  site: label,
  baseVersion: count,
  sampleCount: count,
  digest: z.string().regex(/^sm3:[0-9a-f]{64}$/),
  encoding: z
    .string()
    .regex(/^[a-z0-9-]{1,32}(?:\/\d{1,16})?$/)
    .optional(),
  schemaVersion: z.string().regex(VERSION_PATTERN).optional(),
  acceptedAt: count,
});

/** What a receipt says. Whether it was signed, and by whom, is another question. */
export function parseReceiptStatement(bytes: Uint8Array): Result<ReceiptStatement, Problem> {
  const malformed = refused(problem('MESSAGE_MALFORMED', { reason: 'receipt.statement is not a receipt' }));
  let json: unknown;
  try {
    json = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch {
    return malformed;
  }
  const parsed = receiptSchema.safeParse(json);
  return parsed.success ? ok(parsed.data as unknown as ReceiptStatement) : malformed;
}
