import type { Problem } from '../errors/problem.ts';
import type { Receipt, UpdateDeclaration } from '../rounds/update.ts';
import type { JobId, ModelVersion, SiteId } from '../vocabulary/ids.ts';
import type { Result } from '../vocabulary/result.ts';
import {
  bytesUpTo,
  decoding,
  digestOf,
  finiteNumber,
  jobOf,
  malformed,
  metricsOf,
  refuse,
  text,
  wholeNumber,
} from './field.ts';
import type { UpdateDeclaration__Output } from './generated/consilium/v1/UpdateDeclaration.ts';
import {
  type Chunk,
  chunkFromWire,
  chunkToWire,
  misshaped,
  type PayloadDescription,
  payloadFromWire,
  payloadToWire,
} from './payload-codec.ts';
import { problemFromWire, problemToWire } from './problem-codec.ts';
import { decodeWire, encodeWire } from './schema.ts';
import { type SealedContent, sealedContentFromWire, sealedContentToWire } from './sealed-content-codec.ts';

/** Asks for the weights of one version, from a chunk on. */
export interface DownloadRequest {
  readonly job: JobId;
  readonly version: ModelVersion;
  readonly fromChunk: number;
}

/** Weights on their way down. */
export type DownloadResponse =
  | {
      readonly kind: 'payload';
      readonly payload: PayloadDescription;
      /** Where the chunks come sealed once for many. */
      readonly sealed?: SealedContent | undefined;
    }
  | { readonly kind: 'chunk'; readonly chunk: Chunk }
  | { readonly kind: 'problem'; readonly problem: Problem };

/** An update on its way up. The site of the declaration's key is never on the wire: the session says who speaks. */
export type UploadRequest =
  | { readonly kind: 'declaration'; readonly declaration: UpdateDeclaration; readonly signature: Uint8Array }
  | { readonly kind: 'chunk'; readonly chunk: Chunk }
  | { readonly kind: 'finish' };

/** What becomes of an update. */
export type UploadResponse =
  | { readonly kind: 'resume'; readonly nextChunk: number }
  | { readonly kind: 'receipt'; readonly receipt: Receipt }
  | { readonly kind: 'problem'; readonly problem: Problem };

/** The bytes of a request for weights. */
export function encodeDownloadRequest({ job, version, fromChunk }: DownloadRequest): Uint8Array {
  return encodeWire('DownloadRequest', { job, version, fromChunk });
}

/** A request for weights, or MESSAGE_MALFORMED. */
export function decodeDownloadRequest(bytes: Uint8Array): Result<DownloadRequest, Problem> {
  const wire = decodeWire('DownloadRequest', bytes);
  if (!wire.ok) return wire;
  const { job, version, fromChunk } = wire.value;
  return decoding(() => ({ job: jobOf(job, 'DownloadRequest.job'), version, fromChunk }));
}

/** The bytes of weights on their way down. */
export function encodeDownloadResponse(message: DownloadResponse): Uint8Array {
  switch (message.kind) {
    case 'payload':
      return encodeWire('DownloadResponse', {
        payload: payloadToWire(message.payload),
        ...(message.sealed && { sealed: sealedContentToWire(message.sealed) }),
      });
    case 'chunk':
      return encodeWire('DownloadResponse', { chunk: chunkToWire(message.chunk) });
    case 'problem':
      return encodeWire('DownloadResponse', { problem: problemToWire(message.problem) });
  }
}

/** Weights on their way down, or MESSAGE_MALFORMED. */
export function decodeDownloadResponse(bytes: Uint8Array): Result<DownloadResponse, Problem> {
  const wire = decodeWire('DownloadResponse', bytes);
  if (!wire.ok) return wire;
  return decoding((): DownloadResponse => {
    const { payload: described, chunk, problem, sealed } = wire.value;
    if (problem) return { kind: 'problem', problem: problemFromWire(problem) };
    if (chunk) return { kind: 'chunk', chunk: chunkFromWire(chunk) };
    if (!described) return malformed('DownloadResponse', 'is empty');
    const payload = payloadFromWire(described, 'payload');
    const chunks = Math.ceil(payload.payloadBytes / payload.chunkBytes);
    return { kind: 'payload', payload, ...(sealed && { sealed: sealedContentFromWire(sealed, chunks) }) };
  });
}

/** The bytes of an update on its way up. */
export function encodeUploadRequest(message: UploadRequest): Uint8Array {
  switch (message.kind) {
    case 'declaration': {
      const { key, baseVersion, baseDigest, sampleCount, metrics, backend, norm, schemaVersion, ...payload } =
        message.declaration;
      return encodeWire('UploadRequest', {
        declaration: {
          job: key.job,
          round: key.round,
          attempt: key.attempt,
          baseVersion,
          baseDigest,
          sampleCount: String(sampleCount),
          payload: payloadToWire(payload),
          metrics: { ...metrics },
          backend,
          signature: message.signature,
          ...(norm !== undefined && { norm }),
          ...(schemaVersion !== undefined && { schemaVersion }),
        },
      });
    }
    case 'chunk':
      return encodeWire('UploadRequest', { chunk: chunkToWire(message.chunk) });
    case 'finish':
      return encodeWire('UploadRequest', { finish: {} });
  }
}

/**
 * An update of `site` on its way up, or MESSAGE_MALFORMED, or UPDATE_MISSHAPED where the manifest describes no model
 * or another size than declared.
 */
export function decodeUploadRequest(bytes: Uint8Array, site: SiteId): Result<UploadRequest, Problem> {
  const wire = decodeWire('UploadRequest', bytes);
  if (!wire.ok) return wire;
  return decoding((): UploadRequest => {
    const { declaration, chunk, finish } = wire.value;
    if (chunk) return { kind: 'chunk', chunk: chunkFromWire(chunk) };
    if (finish) return { kind: 'finish' };
    if (!declaration) return malformed('UploadRequest', 'is empty');
    return {
      kind: 'declaration',
      declaration: declarationFromWire(declaration, site),
      signature: bytesUpTo(declaration.signature, 'declaration.signature', 1024),
    };
  });
}

function declarationFromWire(wire: UpdateDeclaration__Output, site: SiteId): UpdateDeclaration {
  return {
    key: { job: jobOf(wire.job, 'declaration.job'), round: wire.round, attempt: wire.attempt, site },
    baseVersion: wire.baseVersion,
    baseDigest: digestOf(wire.baseDigest, 'declaration.base_digest'),
    sampleCount: wholeNumber(wire.sampleCount, 'declaration.sample_count'),
    ...payloadFromWire(wire.payload, 'declaration.payload', (reason) => refuse(misshaped(reason)), 'update'),
    metrics: metricsOf(wire.metrics, 'declaration.metrics'),
    backend: text(wire.backend, 'declaration.backend', 128),
    ...(wire._norm === 'norm' && { norm: finiteNumber(wire.norm as number, 'declaration.norm') }),
    ...(wire.schemaVersion !== '' && {
      schemaVersion: text(wire.schemaVersion, 'declaration.schema_version', 64),
    }),
  };
}

/** The bytes of what becomes of an update. */
export function encodeUploadResponse(message: UploadResponse): Uint8Array {
  switch (message.kind) {
    case 'resume':
      return encodeWire('UploadResponse', { resume: { nextChunk: message.nextChunk } });
    case 'receipt':
      return encodeWire('UploadResponse', { receipt: message.receipt });
    case 'problem':
      return encodeWire('UploadResponse', { problem: problemToWire(message.problem) });
  }
}

/** What becomes of an update, or MESSAGE_MALFORMED. */
export function decodeUploadResponse(bytes: Uint8Array): Result<UploadResponse, Problem> {
  const wire = decodeWire('UploadResponse', bytes);
  if (!wire.ok) return wire;
  return decoding((): UploadResponse => {
    const { resume, receipt, problem } = wire.value;
    if (problem) return { kind: 'problem', problem: problemFromWire(problem) };
    if (resume) return { kind: 'resume', nextChunk: resume.nextChunk };
    if (!receipt) return malformed('UploadResponse', 'is empty');
    return {
      kind: 'receipt',
      receipt: {
        statement: bytesUpTo(receipt.statement, 'receipt.statement', 8192),
        algorithm: text(receipt.algorithm, 'receipt.algorithm', 64),
        keyId: text(receipt.keyId, 'receipt.key_id', 128),
        signature: bytesUpTo(receipt.signature, 'receipt.signature', 1024),
      },
    };
  });
}
