import type { Problem } from '../errors/problem.ts';
import type { HeardMessage, SiteMessage } from '../rounds/assignment.ts';
import type { Receipt, UpdateDeclaration } from '../rounds/update.ts';
import type { EpochMs, JobId, ModelVersion } from '../vocabulary/ids.ts';
import type { Manifest } from '../weights/manifest.ts';

/** What the participant needs of the network: a way to open sessions with its coordinator. */
export interface Link {
  /** host:port that is dialled; for the ledger and for logs. */
  readonly address: string;
  /** Dials, authenticates both ends and opens a session. Rejects with a `ConsiliumError`; tries once. */
  open(signal: AbortSignal): Promise<Session>;
  /** Ends every session and releases the sockets; idempotent. */
  close(): Promise<void>;
}

/** The coordinator's end of a session, as it proved itself. */
export interface CoordinatorIdentity {
  readonly algorithm: string;
  readonly keyId: string;
  /** SPKI DER. */
  readonly publicKey: Uint8Array;
}

/** An authenticated session; it lasts until its stream ends or it is closed. */
export interface Session {
  readonly coordinator: CoordinatorIdentity;
  /** How often the coordinator wants a heartbeat. */
  readonly heartbeatMs: number;
  /** The coordinator's clock when the session was granted. */
  readonly coordinatorTime: EpochMs;
  /** Opens the long-lived stream; `listen` is called with each message in order, never concurrently. */
  attend(listen: (message: HeardMessage) => void): Promise<Attending>;
  /** Asks for the weights of a version from chunk `fromChunk` on. Chunks are checked against their CRC on the way. */
  download(
    job: JobId,
    version: ModelVersion,
    fromChunk: number,
    signal: AbortSignal,
  ): Promise<IncomingPayload>;
  /**
   * Sends an update: the declaration, then the chunks that `chunks(from)` gives from the first one that the
   * coordinator does not hold. Resolves with the receipt, unverified; rejects with the coordinator's problem.
   */
  upload(
    declaration: UpdateDeclaration,
    chunks: (from: number) => AsyncIterable<Uint8Array>,
    signal: AbortSignal,
  ): Promise<Receipt>;
  /** Ends the session and all that runs in it; idempotent. */
  close(): Promise<void>;
}

/** The site's end of the long-lived stream. */
export interface Attending {
  /** Resolves when the message has been handed to the network; rejects once the stream has ended. */
  say(message: SiteMessage): Promise<void>;
  /** Resolves when the stream is over, with the problem that ended it, if any; never rejects. */
  readonly ended: Promise<Problem | undefined>;
}

/** Weights on their way in. */
export interface IncomingPayload {
  readonly manifest: Manifest;
  readonly payloadBytes: number;
  readonly chunkBytes: number;
  readonly digest: string;
  /** Chunks from the one that was asked for; to be iterated once. */
  readonly chunks: AsyncIterable<Uint8Array>;
}
