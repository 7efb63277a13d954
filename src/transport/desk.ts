import type { Problem } from '../errors/problem.ts';
import type { StagedTransfer, TransferPlan } from '../ports/staging.ts';
import type { Chunk } from '../protocol/payload-codec.ts';
import type { SealedContent } from '../protocol/sealed-content-codec.ts';
import type { CoordinatorMessage, SiteMessage } from '../rounds/assignment.ts';
import type { Receipt, UpdateDeclaration } from '../rounds/update.ts';
import type { Digest } from '../vocabulary/digest.ts';
import type { JobId, SiteId } from '../vocabulary/ids.ts';
import type { Result } from '../vocabulary/result.ts';
import type { Manifest } from '../weights/manifest.ts';

/** Who speaks on a session; proved in Open. `certificates`: serials of what proved it, the own one first. */
export type Principal = { readonly certificates: readonly string[] } & (
  | { readonly role: 'site'; readonly site: SiteId; readonly publicKey: Uint8Array }
  | { readonly role: 'operator'; readonly name: string }
);

/** What the coordinator does behind the wire: one method per RPC, no gRPC in sight. */
export interface Desk {
  /** Whether the principal may (still) speak; asked at every first message of a stream and every message of Attend. */
  admit(principal: Principal): Promise<Problem | undefined>;
  /** A site's long-lived stream begins. `say` queues a message to the site; it is harmless after the stream's end. */
  attend(site: SiteId, say: (message: CoordinatorMessage) => void): Attendance;
  /** Opens the weights of a version for reading. */
  weights(job: JobId, version: number): Promise<Result<PayloadSource, Problem>>;
  /** Judges an update by its declaration, before anything is allocated. */
  declare(
    site: SiteId,
    declaration: UpdateDeclaration,
    signature: Uint8Array,
  ): Promise<Result<UploadVerdict, Problem>>;
  /** One operator command; several views for a watch. */
  operate(operator: string, request: OperateRequest): AsyncIterable<OperateResponse>;
}

/** A site's presence on its stream. */
export interface Attendance {
  /** Takes one message; resolves when it has been dealt with (durably, where it matters). */
  receive(message: SiteMessage): Promise<void>;
  /** The stream has ended. */
  leave(): void;
}

/** Bytes on their way out. */
export interface PayloadSource {
  readonly manifest: Manifest;
  readonly payloadBytes: number;
  readonly chunkBytes: number;
  readonly digest: Digest;
  chunks(from: number): AsyncIterable<Uint8Array>;
  /** Its sealed form, made at the first call; undefined where there is none, and then the chunks go as they are. */
  sealed?(): Promise<SealedSource | undefined>;
}

/** A payload that is sealed once for all who fetch it. */
export interface SealedSource extends SealedContent {
  /** Sealed chunks, one for each chunk of the payload. */
  chunks(from: number): AsyncIterable<Uint8Array>;
  /** To be called once, when no more is read: key and bytes may go then. */
  release(): void;
}

/** `held`: the very same update is in already, and this is its receipt. `slot`: send the chunks. */
export type UploadVerdict =
  | { readonly kind: 'held'; readonly receipt: Receipt }
  | { readonly kind: 'slot'; readonly slot: UploadSlot };

/** Room for one update on its way in. */
export interface UploadSlot {
  readonly plan: TransferPlan;
  readonly staged: StagedTransfer;
  /** 32 bytes that vouch for a chunk whose checksum was right; its SM3 where unsaid. */
  readonly hash?: (chunk: Chunk) => Uint8Array;
  /** Looks at a chunk's values before it is stored: finite and within the job's bound. */
  inspect(chunk: number, data: Uint8Array): Problem | undefined;
  /** Takes the sealed update into the round: persisted before the receipt is returned. */
  accept(): Promise<Result<Receipt, Problem>>;
  /** Forgets what was staged: its bytes do not have the declared digest. `release` still follows. */
  discard(): Promise<void>;
  /** The stream has ended, well or not; what was stored stays for a resume. */
  release(): Promise<void>;
}

/** An operator's command, parsed. Job specifications are still to be checked against the schema. */
export type OperateRequest =
  | {
      readonly kind: 'submit-job';
      readonly spec: unknown;
      readonly dryRun: boolean;
      /** Initial weights, received and digest-checked: read once by the coordinator. */
      readonly initialWeights:
        | { readonly manifest: Manifest; readonly content: AsyncIterable<Uint8Array> }
        | undefined;
      /** JSON of a weights manifest, still to be checked; undefined where the job names none. */
      readonly weightsManifest?: unknown;
    }
  | { readonly kind: 'list-jobs' | 'list-models' | 'get-status' }
  | { readonly kind: 'list-sites' | 'list-certificates' }
  | { readonly kind: 'get-job' | 'watch-job' | 'stop-job'; readonly job: string }
  | { readonly kind: 'invite-site'; readonly site: string; readonly ttlMs: number | undefined }
  | { readonly kind: 'get-site'; readonly site: string }
  | { readonly kind: 'approve-site'; readonly site: string }
  /** `certificate`: its serial or `current`, where the site itself is not to be revoked. */
  | { readonly kind: 'revoke-site'; readonly site: string; readonly certificate: string | undefined }
  | { readonly kind: 'revoke-certificate'; readonly serial: string }
  | { readonly kind: 'get-holding'; readonly holding: string; readonly name: string }
  | { readonly kind: 'pull-model'; readonly job: string; readonly version: number | undefined };

/** One answer to an operator: a view to print (src/protocol/views.ts), weights, or a problem that ends the stream. */
export type OperateResponse =
  | { readonly kind: 'view'; readonly view: unknown }
  | { readonly kind: 'payload'; readonly source: PayloadSource }
  | { readonly kind: 'problem'; readonly problem: Problem };
