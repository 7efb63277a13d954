import { UpdateDecoder } from '../aggregation/encodings/update-decoder.ts';
import { ConsiliumError } from '../errors/problem.ts';
import { unsharedChange } from '../rounds/batch-norm.ts';
import { lackedSpans } from '../rounds/earlier-version.ts';
import type { Job } from '../rounds/job.ts';
import type { AcceptedUpdate } from '../rounds/job-record.ts';
import { spoolScope } from '../rounds/spool-scope.ts';
import type { Strategy } from '../rounds/strategy.ts';
import type { UpdateKey } from '../rounds/update.ts';
import { ElementBounds } from '../rounds/update-bounds.ts';
import type { Store } from '../storage/store.ts';
import type { SiteId } from '../vocabulary/ids.ts';
import { float32Of } from '../weights/float32-bytes.ts';
import type { Manifest } from '../weights/manifest.ts';

/** The name of an update in staging: its key in the spool is that of the first two parts (ADR 17). */
export function stagingName(key: UpdateKey, strategy: Strategy): string {
  return `${key.job}/${spoolScope(key, strategy)}/${key.attempt}/${key.site}`;
}

/** A staged update whose bytes are missing, or other than they were when they came in. */
export class DamagedUpdate extends Error {}

/** The accepted updates of a round as they lie in staging, in the order of their sites' names. */
export class StagedUpdates {
  readonly updates: readonly AcceptedUpdate[];
  /** No element is larger in magnitude than its bound. */
  readonly bounds: ElementBounds;
  readonly #staging: Store['staging'];
  readonly #spec: Job;

  /** Those of a job, whose updates have this manifest. */
  constructor(staging: Store['staging'], updates: readonly AcceptedUpdate[], spec: Job, manifest: Manifest) {
    this.#staging = staging;
    this.#spec = spec;
    this.bounds = new ElementBounds(spec.updateBound, manifest);
    const site = ({ declaration }: AcceptedUpdate) => declaration.key.site;
    this.updates = [...updates].sort((left, right) => (site(left) < site(right) ? -1 : 1));
  }

  /**
   * An update's values, chunk by chunk, each valid until the next is asked for; all are finite and within the bound.
   * They were when they came in, so what is at fault now went bad since. Throws DamagedUpdate at the first fault.
   */
  async *chunks(place: number): AsyncGenerator<Float32Array> {
    let offset = 0;
    for await (const values of this.storedChunks(place)) {
      if (this.bounds.faultIn(offset, values)) throw new DamagedUpdate();
      offset += values.length;
      yield values;
    }
  }

  /**
   * The same for whoever looks at the values: throws DamagedUpdate where bytes are missing, fail their checksum, are not of
   * their encoding, of which a block is expanded at a time, or hold anything of a tensor that their trainer lacks.
   */
  async *storedChunks(place: number): AsyncGenerator<Float32Array> {
    const { declaration } = this.updates[place]!;
    const sealed = await this.#staging.sealed(stagingName(declaration.key, this.#spec.strategy));
    if (sealed?.plan.digest !== declaration.digest) throw new DamagedUpdate();
    const { manifest, encoding, schemaVersion } = declaration;
    const decoder = encoding && new UpdateDecoder(manifest, encoding);
    const lacked = lackedSpans(this.#spec, schemaVersion);
    let [bytes, offset] = [0, 0];
    try {
      for await (const chunk of sealed.chunks()) {
        bytes += chunk.byteLength;
        for (const values of decoder ? decoder.take(chunk) : [float32Of(chunk)]) {
          if (unsharedChange(lacked, offset, values)) throw new DamagedUpdate();
          offset += values.length;
          yield values;
        }
      }
    } catch (cause) {
      if (cause instanceof ConsiliumError && cause.problem.code === 'STORE_CORRUPT')
        throw new DamagedUpdate();
      throw cause;
    }
    if (bytes !== declaration.payloadBytes || decoder?.incomplete) throw new DamagedUpdate();
  }

  /**
   * Reads some updates in step: puts the next `columns` values of member i, or what is left of them, where `row(i)`
   * says, and gives how many those are. Memory is a chunk for each member. Throws DamagedUpdate.
   */
  async *columns(
    members: readonly number[],
    columns: number,
    row: (member: number) => Float32Array,
  ): AsyncGenerator<number> {
    const readers = members.map((place) => new ElementReader(this.chunks(place)));
    try {
      for (;;) {
        let filled = 0;
        for (const [member, reader] of readers.entries()) {
          filled = await reader.fill(row(member).subarray(0, columns));
        }
        if (filled === 0) return;
        yield filled;
      }
    } finally {
      for (const reader of readers) await reader.close();
    }
  }

  /** The sites whose staged updates are damaged: all of them are read once more. */
  async damaged(): Promise<readonly SiteId[]> {
    const sites: SiteId[] = [];
    for (const [place, { declaration }] of this.updates.entries()) {
      try {
        for await (const _ of this.chunks(place));
      } catch (cause) {
        if (!(cause instanceof DamagedUpdate)) throw cause;
        sites.push(declaration.key.site);
      }
    }
    return sites;
  }
}

/** Reads runs of elements from chunks of any length. */
export class ElementReader {
  readonly #chunks: AsyncIterator<Float32Array>;
  #chunk: Float32Array = new Float32Array(0);

  /** Each chunk is used until the next one is asked for. */
  constructor(chunks: AsyncIterable<Float32Array>) {
    this.#chunks = chunks[Symbol.asyncIterator]();
  }

  /** Fills `into` with the next elements; gives how many there were. */
  async fill(into: Float32Array): Promise<number> {
    let filled = 0;
    while (filled < into.length) {
      if (this.#chunk.length === 0) {
        const next = await this.#chunks.next();
        if (next.done) break;
        this.#chunk = next.value;
      }
      const taken = this.#chunk.subarray(0, into.length - filled);
      into.set(taken, filled);
      filled += taken.length;
      this.#chunk = this.#chunk.subarray(taken.length);
    }
    return filled;
  }

  /** Lets go of what the chunks are read from. */
  async close(): Promise<void> {
    await this.#chunks.return?.();
  }
}
