import { z } from 'zod';
import { ConsiliumError } from '../errors/problem.ts';
import type { BlobStore } from '../ports/blob-store.ts';
import type { Clock } from '../ports/clock.ts';
import type { Telemetry } from '../ports/telemetry.ts';
import { type HeldUpdate, heldName } from '../rounds/site.ts';
import { PayloadHasher } from '../sm/payload-digest.ts';
import { piecesOf } from '../storage/whole-blob.ts';
import { canonicalJson } from '../vocabulary/canonical-json.ts';
import type { Digest } from '../vocabulary/digest.ts';
import type { JobId } from '../vocabulary/ids.ts';
import { invariant } from '../vocabulary/invariant.ts';
import { bytesOf } from '../weights/float32-bytes.ts';
import type { EncodedUpdate } from './encode-outgoing.ts';
import { globalNorm } from './trainers/clip-by-norm.ts';

/** An update that nobody asked for in this time belongs to a job that ended without the site. */
export const FORGOTTEN_AFTER_MS = 30 * 86_400_000;

const recordSchema = z.strictObject({
  job: z.string(),
  round: z.int(),
  baseVersion: z.int(),
  baseDigest: z.string(),
  digest: z.string(),
  encoding: z
    .discriminatedUnion('name', [
      z.strictObject({ name: z.enum(['float16', 'bfloat16', 'int8']) }),
      z.strictObject({ name: z.literal('top-k'), kept: z.int().min(1) }),
    ])
    .optional(),
  sampleCount: z.int(),
  metrics: z.record(z.string(), z.number()),
  backend: z.string(),
  schemaVersion: z.string().optional(),
  norm: z.number().min(0).optional(),
  stalenessMax: z.int().min(0).optional(),
  claim: z
    .strictObject({
      manifest: z.strictObject({
        schemaVersion: z.string(),
        tensors: z.array(
          z.strictObject({
            name: z.string(),
            dtype: z.literal('float32'),
            shape: z.array(z.int().min(1)),
          }),
        ),
      }),
      attemptsMax: z.int().min(1),
    })
    .optional(),
  payloadBytes: z.int().min(0),
  chunkBytes: z.int().min(1),
  heldAt: z.number(),
});

/** What is known of an update before its bytes are. */
export type UpdateDraft = Omit<HeldUpdate, 'digest' | 'norm' | 'encoding'>;

/** How the bytes of a held update are cut. */
export interface PayloadCut {
  readonly payloadBytes: number;
  readonly chunkBytes: number;
}

/**
 * Trained updates on the site's disk. The bytes are a blob of their own, put there before anyone hears of the update;
 * the record, a second small blob, makes it held: a site that starts again finds exactly the updates with a record
 * and sweeps away bytes without one. Both are atomic, so there is no log to compact.
 */
export class HeldUpdates {
  readonly #blobs: BlobStore;
  readonly #clock: Clock;
  readonly #cuts = new Map<string, PayloadCut>();

  private constructor(blobs: BlobStore, clock: Clock) {
    this.#blobs = blobs;
    this.#clock = clock;
  }

  /** Finds what an earlier process held, and sweeps away the rest. Throws STORE_UNAVAILABLE. */
  static async open(
    blobs: BlobStore,
    clock: Clock,
    telemetry: Telemetry,
  ): Promise<{ readonly updates: HeldUpdates; readonly held: readonly HeldUpdate[] }> {
    const updates = new HeldUpdates(blobs, clock);
    const held: HeldUpdate[] = [];
    const named = new Set<string>();
    for (const name of await blobs.list('held/')) {
      const found = await updates.#recover(name);
      if (found) {
        held.push(found);
        named.add(payloadName(found));
        telemetry.log('info', 'found a held update', {
          job: found.job,
          round: found.round,
          digest: found.digest,
        });
      } else {
        telemetry.log('warn', 'dropped a held update that is damaged or forgotten', { what: name });
        await blobs.delete(name);
      }
    }
    for (const name of await blobs.list('updates/')) if (!named.has(name)) await blobs.delete(name);
    return { updates, held };
  }

  async #recover(name: string): Promise<HeldUpdate | undefined> {
    try {
      const pieces: Uint8Array[] = [];
      for await (const piece of this.#blobs.read(name, 0, 2 ** 20)) pieces.push(piece);
      const parsed = recordSchema.safeParse(JSON.parse(Buffer.concat(pieces).toString()));
      if (!parsed.success) return undefined;
      const { payloadBytes, chunkBytes, heldAt, ...rest } = parsed.data;
      const update: HeldUpdate = {
        ...rest,
        job: rest.job as JobId,
        baseDigest: rest.baseDigest as Digest,
        digest: rest.digest as Digest,
      };
      if (recordName(update) !== name || this.#clock.now() - heldAt > FORGOTTEN_AFTER_MS) return undefined;
      if ((await this.#blobs.size(payloadName(update))) !== payloadBytes) return undefined;
      this.#cuts.set(payloadName(update), { payloadBytes, chunkBytes });
      return update;
    } catch (error) {
      if (error instanceof SyntaxError) return undefined;
      if (error instanceof ConsiliumError && error.problem.code === 'STORE_CORRUPT') return undefined;
      throw error;
    }
  }

  /**
   * Stores the bytes of a trained update and names it by their digest. `values` is only read until it resolves.
   * Throws STORE_FULL, STORE_UNAVAILABLE; then nothing is kept.
   */
  put(draft: UpdateDraft, values: Float32Array, chunkBytes: number): Promise<HeldUpdate> {
    return this.putEncoded(draft, { bytes: bytesOf(values), norm: globalNorm(values) }, chunkBytes);
  }

  /** The same for bytes as they leave, and the norm of what they decode to. */
  async putEncoded(
    draft: UpdateDraft,
    { encoding, bytes, norm }: Omit<EncodedUpdate, 'encoding'> & Partial<Pick<EncodedUpdate, 'encoding'>>,
    chunkBytes: number,
  ): Promise<HeldUpdate> {
    const hasher = new PayloadHasher(chunkBytes);
    hasher.update(bytes);
    const digest = hasher.digest();
    const update: HeldUpdate = { ...draft, digest, ...(encoding && { encoding }), norm };
    await this.#blobs.put(payloadName(update), piecesOf(bytes));
    this.#cuts.set(payloadName(update), { payloadBytes: bytes.byteLength, chunkBytes });
    return update;
  }

  /** Makes a put update held: one durable write. Throws STORE_FULL, STORE_UNAVAILABLE. */
  async persist(update: HeldUpdate): Promise<void> {
    const cut = this.cut(update);
    invariant(cut, 'an update is put before it is held');
    const record = { ...update, ...cut, heldAt: this.#clock.now() };
    await this.#blobs.put(recordName(update), piecesOf(Buffer.from(canonicalJson(record))));
    for (const name of await this.#blobs.list(`updates/${heldName(update)}/`)) {
      if (name !== payloadName(update)) await this.#drop(name);
    }
  }

  /** Forgets an update: first the record of its round, then its bytes. */
  async discard(update: HeldUpdate): Promise<void> {
    await this.#blobs.delete(recordName(update));
    await this.#drop(payloadName(update));
  }

  async #drop(name: string): Promise<void> {
    this.#cuts.delete(name);
    await this.#blobs.delete(name);
  }

  /** How the bytes of an update are cut; undefined where it is not held, or not any more. */
  cut(update: HeldUpdate): PayloadCut | undefined {
    return this.#cuts.get(payloadName(update));
  }

  /** The chunks of an update from chunk `from` on. Throws STORE_CORRUPT where they are damaged or gone. */
  chunks(update: HeldUpdate, { chunkBytes }: PayloadCut, from: number): AsyncIterable<Uint8Array> {
    return this.#blobs.read(payloadName(update), from * chunkBytes, chunkBytes);
  }

  /** Whether the bytes on disk are still those of the digest. Never rejects over damage. */
  async intact(update: HeldUpdate, cut: PayloadCut): Promise<boolean> {
    try {
      const hasher = new PayloadHasher(cut.chunkBytes);
      for await (const chunk of this.chunks(update, cut, 0)) hasher.update(chunk);
      return hasher.digest() === update.digest;
    } catch (error) {
      if (error instanceof ConsiliumError && error.problem.code === 'STORE_CORRUPT') return false;
      throw error;
    }
  }
}

function recordName(update: Pick<HeldUpdate, 'job' | 'round'>): string {
  return `held/${heldName(update)}`;
}

function payloadName(update: HeldUpdate): string {
  return `updates/${heldName(update)}/${update.digest.slice('sm3:'.length, 'sm3:'.length + 32)}`;
}
