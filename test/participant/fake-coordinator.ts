import { UpdateDecoder } from '../../src/aggregation/encodings/update-decoder.ts';
import { ConsiliumError, fail, type Problem, problem } from '../../src/errors/problem.ts';
import { receiptFor, signReceipt } from '../../src/identity/receipts.ts';
import type { Attending, IncomingPayload, Link, Session } from '../../src/participant/link.ts';
import type { Signer } from '../../src/ports/signer.ts';
import type { Staging } from '../../src/ports/staging.ts';
import {
  type Assignment,
  assignmentId,
  type HeardMessage,
  type SiteMessage,
  type Task,
} from '../../src/rounds/assignment.ts';
import { exchangedManifest, type Job, jobSchema } from '../../src/rounds/job.ts';
import type { FeatureConstants } from '../../src/rounds/statistics.ts';
import type { Receipt, UpdateDeclaration } from '../../src/rounds/update.ts';
import { PayloadHasher, payloadDigestOf } from '../../src/sm/payload-digest.ts';
import { sm3 } from '../../src/sm/sm3.ts';
import type { Digest } from '../../src/vocabulary/digest.ts';
import type { FederationId, JobId } from '../../src/vocabulary/ids.ts';
import { bytesOf, float32Of } from '../../src/weights/float32-bytes.ts';
import { type Manifest, manifestElements } from '../../src/weights/manifest.ts';
import { memorySigner } from '../identity/memory-signer.ts';

export const FEDERATION = 'hearts' as FederationId;
export const CHUNK_BYTES = 4096;

/** A job whose model has `features * units + 2 * units + 1` elements: several chunks of 4 KiB. */
export function jobOf(change: Record<string, unknown> = {}): Job {
  return jobSchema.parse({
    apiVersion: 'consilium/v1',
    name: 'heart',
    dataset: 'clinic',
    model: { kind: 'mlp', features: ['age', 'chol'], hidden: [2048] },
    trainer: { name: 'twin' },
    rounds: 3,
    cohort: { size: 1 },
    quorum: 1,
    ...change,
  });
}

/** What goes wrong, and when; each member is used up as it happens. */
export interface Faults {
  /** Problems that the next openings end with. */
  openings: Problem[];
  /** Cuts the session when the upload has stored so many more chunks. */
  cutUploadAfter: number | undefined;
  /** Cuts the session when the download has sent so many chunks. */
  cutDownloadAfter: number | undefined;
  /** Changes a byte of the next download. */
  damageDownload: boolean;
  /** Takes no update and says this. */
  refusals: Problem[];
  /** Answers no heartbeat. */
  silent: boolean;
  /** Signs receipts with another key. */
  forgeReceipts: boolean;
  skewMs: number;
}

/** The coordinator's side of the wire in this process: real bytes, real staging, no sockets. */
export class FakeCoordinator {
  readonly faults: Faults = {
    openings: [],
    cutUploadAfter: undefined,
    cutDownloadAfter: undefined,
    damageDownload: false,
    refusals: [],
    silent: false,
    forgeReceipts: false,
    skewMs: 0,
  };
  /** Everything that the site said on its streams but heartbeats, in order. */
  readonly said: SiteMessage[] = [];
  /** Heartbeats so far. */
  readonly heartbeats: Extract<SiteMessage, { kind: 'heartbeat' }>[] = [];
  readonly declarations: UpdateDeclaration[] = [];
  /** Indices of the chunks that came, of all uploads. */
  readonly chunksSeen: number[] = [];
  readonly accepted = new Map<
    string,
    { declaration: UpdateDeclaration; values: Float32Array; receipt: Receipt }
  >();
  readonly downloadsFrom: number[] = [];
  sessions = 0;
  /** Said at the very beginning of each stream, before the site has said anything. */
  greeting: HeardMessage | undefined;
  /** What happens meanwhile: when an update has been declared, and when it is in but its receipt not yet out. */
  meanwhile: (moment: 'declared' | 'taken') => Promise<void> = async () => {};
  /** What it has against a declaration, however often it comes. */
  judge: (declaration: UpdateDeclaration) => Problem | undefined = () => undefined;
  /** Called before anything of the site is looked at; the bytes have left by then. */
  onArrival: (what: string) => void = () => {};

  readonly #signer: Signer = memorySigner();
  readonly #other: Signer = memorySigner();
  readonly #staging: Staging;
  readonly #weights = new Map<string, Float32Array>();
  readonly #manifests = new Map<string, Manifest>();
  readonly #watchers = new Set<() => void>();
  #say: ((message: HeardMessage) => void) | undefined;
  #cut: ((reason: Problem) => void) | undefined;

  constructor(staging: Staging) {
    this.#staging = staging;
  }

  /** Weights of a version, made up from its number. */
  weights(job: Job, version: number): Float32Array {
    const key = `${job.name}/${version}`;
    const made = Float32Array.from({ length: manifestElements(exchangedManifest(job)) }, (_, place) =>
      Math.fround(Math.sin(place + version) / 8),
    );
    const values = this.#weights.get(key) ?? made;
    this.#weights.set(key, values);
    this.#manifests.set(job.name, exchangedManifest(job));
    return values;
  }

  async assignment(
    task: Task,
    {
      job = jobOf(),
      round = 1,
      attempt = 1,
      constants,
    }: {
      job?: Job;
      round?: number;
      attempt?: number;
      constants?: readonly FeatureConstants[];
    } = {},
  ): Promise<Assignment> {
    const baseVersion = task === 'evaluate' ? round : Math.max(0, round - 1);
    const digest = digestOfWeights(this.weights(job, baseVersion));
    const id = job.name as JobId;
    return {
      id: assignmentId(id, round, attempt, task),
      job: id,
      round,
      attempt,
      task,
      baseVersion,
      baseDigest: digest,
      remainingMs: 60_000,
      spec: job,
      constants,
    };
  }

  async assign(task: Task, more: Parameters<FakeCoordinator['assignment']>[1] = {}): Promise<Assignment> {
    const assignment = await this.assignment(task, more);
    this.say({ kind: 'assignment', assignment });
    return assignment;
  }

  say(message: HeardMessage): void {
    if (!this.#say) throw new Error('no site is connected');
    this.#say(message);
  }

  /** Ends the current connection, as a crash would. */
  crash(reason: Problem = away('it crashed')): void {
    this.#cut?.(reason);
  }

  /** Resolves as soon as `found` gives something; looks again whenever something arrived. */
  async until<Value>(found: () => Value | undefined | false, what: string): Promise<Value> {
    for (;;) {
      const value = found();
      if (value !== undefined && value !== false) return value;
      await new Promise<void>((resolve, reject) => {
        const timer = setTimeout(() => {
          this.#watchers.delete(look);
          reject(new Error(`waited in vain for ${what}`));
        }, 240_000);
        const look = () => {
          clearTimeout(timer);
          this.#watchers.delete(look);
          resolve();
        };
        this.#watchers.add(look);
      });
    }
  }

  /** The next message of a kind that was not looked at before. */
  async heard<Kind extends SiteMessage['kind']>(
    kind: Kind,
    matches: (message: Extract<SiteMessage, { kind: Kind }>) => boolean = () => true,
  ): Promise<Extract<SiteMessage, { kind: Kind }>> {
    type Wanted = Extract<SiteMessage, { kind: Kind }>;
    return this.until(
      () =>
        this.said.find((message): message is Wanted => message.kind === kind && matches(message as Wanted)),
      `${kind}; heard ${this.said.map((message) => message.kind).join(', ')}`,
    );
  }

  link(): Link {
    return {
      address: 'coordinator.test:7400',
      open: async () => {
        this.#arrived('session');
        const refusal = this.faults.openings.shift();
        if (refusal) throw new ConsiliumError(refusal);
        return this.#session();
      },
      close: async () => {},
    };
  }

  #session(): Session {
    this.sessions++;
    let end!: (reason: Problem) => void;
    const ended = new Promise<Problem | undefined>((resolve) => {
      end = resolve;
    });
    let over: Problem | undefined;
    const cut = (reason: Problem) => {
      over ??= reason;
      end(over);
      if (this.#cut === cut) {
        this.#say = undefined;
        this.#cut = undefined;
      }
      this.#look();
    };
    const alive = () => {
      if (over) throw new ConsiliumError(over);
    };
    this.#cut = cut;
    return {
      coordinator: {
        algorithm: this.#signer.algorithm,
        keyId: this.#signer.keyId,
        publicKey: this.#signer.publicKey,
      },
      heartbeatMs: 40,
      coordinatorTime: Date.now(),
      attend: async (listen) => this.#attend(listen, alive, ended),
      download: async (job, version, from, signal) => this.#download(job, version, from, signal, alive),
      upload: (declaration, chunks, signal) => this.#upload(declaration, chunks, signal, alive),
      close: async () => cut(away('the site closed the session')),
    };
  }

  #attend(
    listen: (message: HeardMessage) => void,
    alive: () => void,
    ended: Promise<Problem | undefined>,
  ): Attending {
    const say = (message: HeardMessage) => setImmediate(() => listen(message));
    this.#say = say;
    if (this.greeting) listen(this.greeting);
    return {
      ended,
      say: async (message) => {
        alive();
        this.#arrived(message.kind === 'report' ? message.result.kind : message.kind);
        if (message.kind !== 'heartbeat') this.said.push(structuredClone(message));
        else {
          this.heartbeats.push(structuredClone(message));
          if (!this.faults.silent) {
            say({ kind: 'heartbeat-seen', coordinatorTime: Date.now() + this.faults.skewMs });
          }
        }
        this.#look();
      },
    };
  }

  async #download(
    job: string,
    version: number,
    from: number,
    signal: AbortSignal,
    alive: () => void,
  ): Promise<IncomingPayload> {
    alive();
    this.downloadsFrom.push(from);
    const values = this.#weights.get(`${job}/${version}`) ?? fail('MODEL_UNKNOWN', { job, version });
    const bytes = bytesOf(values);
    const { faults } = this;
    const cut = () => this.crash();
    async function* chunks() {
      for (let start = from * CHUNK_BYTES; start < bytes.byteLength; start += CHUNK_BYTES) {
        alive();
        signal.throwIfAborted();
        const copy = bytes.slice(start, start + CHUNK_BYTES);
        if (faults.damageDownload) copy[0] = copy[0]! ^ 1;
        faults.damageDownload = false;
        yield copy;
        if (faults.cutDownloadAfter !== undefined && --faults.cutDownloadAfter === 0) cut();
      }
    }
    const manifest = this.#manifests.get(job) ?? fail('JOB_UNKNOWN', { job });
    const digest = digestOfWeights(values);
    return { manifest, payloadBytes: bytes.byteLength, chunkBytes: CHUNK_BYTES, digest, chunks: chunks() };
  }

  async #upload(
    declaration: UpdateDeclaration,
    chunks: (from: number) => AsyncIterable<Uint8Array>,
    signal: AbortSignal,
    alive: () => void,
  ): Promise<Receipt> {
    alive();
    this.#arrived('declaration');
    this.declarations.push(declaration);
    const refusal = this.faults.refusals.shift() ?? this.judge(declaration);
    if (refusal) {
      this.#look();
      throw new ConsiliumError(refusal);
    }
    const { job, round, site } = declaration.key;
    const key = `${job}/${round}/${site}`;
    const held = this.accepted.get(key);
    if (held?.declaration.digest === declaration.digest) return held.receipt;
    await this.meanwhile('declared');
    const { payloadBytes, chunkBytes, digest } = declaration;
    const staged = await this.#staging.open(key, { payloadBytes, chunkBytes, digest });
    try {
      for await (const chunk of chunks(staged.chunkDigests.length)) {
        alive();
        signal.throwIfAborted();
        this.#arrived('update');
        this.chunksSeen.push(staged.chunkDigests.length);
        await staged.write(chunk, sm3(chunk));
        if (this.faults.cutUploadAfter !== undefined && --this.faults.cutUploadAfter === 0) this.crash();
        this.#look();
      }
      alive();
      const actual = payloadDigestOf(staged.chunkDigests);
      if (actual !== digest) fail('PAYLOAD_DIGEST_MISMATCH', { actual, declared: digest });
      await staged.seal();
    } finally {
      await staged.close();
    }
    const content: Uint8Array[] = [];
    for await (const chunk of (await this.#staging.sealed(key))!.chunks()) content.push(chunk);
    const receipt = await signReceipt(
      this.faults.forgeReceipts ? this.#other : this.#signer,
      receiptFor(FEDERATION, declaration, Date.now()),
    );
    const values = decodeUpdate(declaration, new Uint8Array(Buffer.concat(content)));
    this.accepted.set(key, { declaration, values, receipt });
    this.#look();
    await this.meanwhile('taken');
    alive();
    return receipt;
  }

  #arrived(what: string): void {
    this.onArrival(what);
    this.#look();
  }

  #look(): void {
    for (const look of [...this.#watchers]) look();
  }
}

export function away(reason: string): Problem {
  return problem('COORDINATOR_UNREACHABLE', { address: 'coordinator.test:7400', reason });
}

/** What the bytes of an update decode to; the caller's. */
export function decodeUpdate(
  { manifest, encoding }: Pick<UpdateDeclaration, 'manifest' | 'encoding'>,
  bytes: Uint8Array,
): Float32Array {
  if (!encoding) return float32Of(bytes).slice();
  const decoder = new UpdateDecoder(manifest, encoding);
  const values = Float32Array.from(Array.from(decoder.take(bytes), (run) => [...run]).flat());
  if (decoder.incomplete !== undefined) throw new Error(decoder.incomplete);
  return values;
}

function digestOfWeights(values: Float32Array): Digest {
  const hasher = new PayloadHasher(CHUNK_BYTES);
  hasher.update(bytesOf(values));
  return hasher.digest();
}
