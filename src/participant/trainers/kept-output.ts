import { createWriteStream, type WriteStream } from 'node:fs';
import { mkdir, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { finished } from 'node:stream/promises';

/** Bytes of one program's output that are kept from its beginning; of the rest, the last bytes. */
const HEAD_BYTES = 1_048_576;
const TAIL_BYTES = 16_384;
/** Files kept in one folder; the oldest go first. */
const FILES_MAX = 100;

/**
 * What a program said, kept in a file at the site: the first MiB and, where there was more, the last 16 KiB. Only the
 * site's own people may read it (mode 0600): it can hold anything. A disk that fails costs the log, never the task.
 */
export class KeptOutput {
  /** File name within its folder. */
  readonly name: string;
  /** Where it lies; stays at the site. */
  readonly path: string;
  readonly #stream: WriteStream;
  #headBytes = 0;
  #tail = Buffer.alloc(0);
  #leftOut = 0;

  private constructor(folder: string, name: string) {
    this.name = name;
    this.path = join(folder, name);
    const stream = createWriteStream(this.path, { mode: 0o600 });
    this.#stream = stream;
    stream.on('error', () => {});
  }

  /** Opens a new file `<time>-<label>.log` in `folder`, made where it is not there, and drops the oldest files. */
  static async open(folder: string, label: string): Promise<KeptOutput> {
    await mkdir(folder, { recursive: true, mode: 0o700 });
    const time = new Date().toISOString().replaceAll(/[-:.]/g, '');
    const name = `${time}-${label}.log`;
    const old = (await readdir(folder)).filter((file) => file.endsWith('.log')).sort();
    await Promise.all(
      old
        .slice(0, Math.max(0, old.length - FILES_MAX + 1))
        .map((file) => rm(join(folder, file), { force: true })),
    );
    return new KeptOutput(folder, name);
  }

  /** Takes what came; `chunk` is copied where it is kept. */
  write(chunk: Uint8Array): void {
    const head = chunk.subarray(0, Math.max(0, HEAD_BYTES - this.#headBytes));
    this.#headBytes += head.length;
    if (head.length > 0) this.#stream.write(Buffer.from(head));
    this.#leftOut += chunk.length - head.length;
    this.#tail = Buffer.concat([this.#tail, chunk]).subarray(-TAIL_BYTES);
  }

  /** The last `bytes` of what came, as text; for an error that stays at the site. */
  tail(bytes: number): string {
    return this.#tail.subarray(-bytes).toString('utf8').trim();
  }

  /** Writes what is left and closes the file. */
  async close(): Promise<void> {
    if (this.#leftOut > 0) {
      const end = this.#tail.subarray(-Math.min(this.#leftOut, TAIL_BYTES));
      const skipped = this.#leftOut - end.length;
      if (skipped > 0) this.#stream.write(`\n[${skipped} bytes left out]\n`);
      this.#stream.write(Buffer.from(end));
    }
    this.#stream.end();
    await finished(this.#stream).catch(() => {});
  }
}
