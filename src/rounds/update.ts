import type { PayloadEncoding } from '../aggregation/encodings/payload-encoding.ts';
import type { Digest } from '../vocabulary/digest.ts';
import type { Attempt, EpochMs, JobId, ModelVersion, Round, SiteId } from '../vocabulary/ids.ts';
import type { Manifest } from '../weights/manifest.ts';

/** The name of an update: no two different updates are ever held under one key. */
export interface UpdateKey {
  readonly job: JobId;
  readonly round: Round;
  readonly attempt: Attempt;
  readonly site: SiteId;
}

/**
 * Everything about an update but its bytes. The bytes are a weight delta against `baseVersion`, manifest order, float32 LE or as
 * `encoding` says. What counts is what they decode to.
 */
export interface UpdateDeclaration {
  readonly key: UpdateKey;
  readonly baseVersion: ModelVersion;
  readonly baseDigest: Digest;
  /** Training rows behind the update, a whole number from 1. */
  readonly sampleCount: number;
  readonly manifest: Manifest;
  /** Undefined is float32. */
  readonly encoding?: PayloadEncoding | undefined;
  /**
   * The version of the job's weight schema that its trainer is of, where that lacks tensors of the job; what it lacks is
   * zero in the update, and counts for nothing. Undefined where it has them all.
   */
  readonly schemaVersion?: string | undefined;
  readonly payloadBytes: number;
  readonly chunkBytes: number;
  /** SM3 over the ordered SM3s of the payload's chunks. */
  readonly digest: Digest;
  /** Training metrics that the site's policy lets leave. */
  readonly metrics: Readonly<Record<string, number>>;
  /** The tensor backend that computed the update, such as `tfjs-wasm 4.22.0`. */
  readonly backend: string;
  /** Global L2 norm of what the bytes decode to, computed again before the update is taken; undefined from sites that do not say it. */
  readonly norm?: number | undefined;
}

/** What a receipt states: this update is durably in. Signed over its canonical JSON. */
export interface ReceiptStatement {
  readonly kind: 'consilium/receipt/v1';
  readonly federation: string;
  readonly job: JobId;
  readonly round: Round;
  readonly attempt: Attempt;
  readonly site: SiteId;
  readonly baseVersion: ModelVersion;
  readonly sampleCount: number;
  readonly digest: Digest;
  /** How the bytes were encoded (`encodingLabel`); left out of float32. */
  readonly encoding?: string | undefined;
  /** Of the update, where it lacks tensors; left out of all others. */
  readonly schemaVersion?: string | undefined;
  readonly acceptedAt: EpochMs;
}

/** A receipt as it travels and is kept. All byte strings are owned by the receipt. */
export interface Receipt {
  /** UTF-8 canonical JSON of a `ReceiptStatement`: the exact bytes that were signed. */
  readonly statement: Uint8Array;
  readonly algorithm: string;
  readonly keyId: string;
  readonly signature: Uint8Array;
}
