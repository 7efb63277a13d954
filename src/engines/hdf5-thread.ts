import { MessageChannel, Worker } from 'node:worker_threads';
import { ConsiliumError, fail } from '../errors/problem.ts';
import type { ByteSource } from '../weights/byte-source.ts';
import type { Hdf5Dataset, Hdf5Opener } from '../weights/formats/hdf5.ts';
import {
  type Hdf5Order,
  type Hdf5Start,
  type Hdf5Supply,
  type Hdf5ThreadData,
  type Hdf5Word,
  hear,
  say,
  TO_CALLER,
  TO_THREAD,
} from './hdf5-words.ts';
import { loaderFor } from './thread-loader.ts';

const PROGRAM = import.meta.url.endsWith('.ts')
  ? new URL('./hdf5-thread-program.ts', import.meta.url)
  : new URL('./hdf5-thread-program.js', import.meta.url);

/** HDF5 in a thread of its own. Calls wait for it: readers of formats are synchronous. */
export interface Hdf5Thread {
  readonly open: Hdf5Opener;
  /** Bytes that the library's memory has grown to; memories never shrink. */
  heapBytes(): number;
  /** Closes what was opened; ends the thread where the library cannot. */
  closeFiles(): void;
  /** Whether it ended: by `end`, because it went round in circles, or could not close. Then every file is refused. */
  ended(): boolean;
  /** Ends the thread; idempotent. */
  end(): void;
}

/** Milliseconds that the library may compute between two things it says. Honest files take a fraction of a second. */
const SILENCE_MS_MAX = 60_000;

/** Pieces of a file that one order may ask for. */
const NEEDS_MAX = 2 ** 20;

/**
 * Starts h5wasm in a thread. The library follows what a file says without looking back: two wrong bytes can send it
 * round for ever, and nothing but the end of its thread brings it back. A file at which it says nothing for
 * `silenceMsMax` is refused as WEIGHTS_MALFORMED; so is whatever the same thread is asked afterwards. Where h5wasm is
 * not there, the answer says why.
 */
export async function startHdf5Thread(
  silenceMsMax: number = SILENCE_MS_MAX,
  specifier?: string,
): Promise<
  { readonly loaded: true; readonly thread: Hdf5Thread } | { readonly loaded: false; readonly reason: string }
> {
  const { port1: port, port2: theirs } = new MessageChannel();
  const turns = new Int32Array(new SharedArrayBuffer(8));
  const workerData: Hdf5ThreadData = { port: theirs, turns, specifier };
  const worker = new Worker(PROGRAM, { workerData, transferList: [theirs], execArgv: loaderFor(PROGRAM) });
  const start = await new Promise<Hdf5Start>((resolve) => {
    worker.once('message', resolve);
    worker.once('error', ({ message }) =>
      resolve({ loaded: false, reason: `it does not start: ${message}` }),
    );
  });
  worker.unref();
  port.unref();
  let ended = false;
  const end = () => {
    ended = true;
    port.close();
    void worker.terminate();
  };
  if (!start.loaded) {
    end();
    return start;
  }
  const sources: ByteSource[] = [];
  const tell = (message: Hdf5Order | Hdf5Supply) => say(port, turns, TO_THREAD, message);

  /** Follows an order to its end, handing over what the library needs of its files. */
  const ask = (name: string, where: string, order: Hdf5Order): unknown => {
    const caught = (reason: string): never =>
      fail('WEIGHTS_MALFORMED', { file: name, format: 'HDF5', where, reason: `the HDF5 library ${reason}` });
    if (ended) return caught('was ended');
    tell(order);
    let unreadable: unknown;
    for (let needs = 0; ; ) {
      const word = hear(port, turns, TO_CALLER, silenceMsMax) as Hdf5Word | undefined;
      if (word === undefined || needs > NEEDS_MAX) {
        end();
        return caught('goes round in circles there');
      }
      switch (word.kind) {
        case 'needs':
          needs += 1;
          try {
            const bytes = new Uint8Array(word.bytes);
            sources[word.file]!.read(word.at, bytes);
            tell({ kind: 'bytes', bytes });
          } catch (error) {
            unreadable = error;
            tell({ kind: 'none' });
          }
          break;
        case 'done':
          return word.value;
        case 'refused':
          throw unreadable ?? new ConsiliumError(word.problem);
        case 'broken':
          throw unreadable ?? new Error(`HDF5 thread: ${word.message}`);
      }
    }
  };

  const open: Hdf5Opener = (source, limits) => {
    const { name, size } = source;
    const file = sources.push(source) - 1;
    ask(name, 'its beginning', { kind: 'open', name, size, limits });
    return {
      members: (group) => ask(name, group, { kind: 'members', file, group }) as never,
      text: (path, attribute) => ask(name, path, { kind: 'text', file, path, attribute }) as never,
      dataset(path) {
        const found = ask(name, path, { kind: 'dataset', file, path }) as Omit<Hdf5Dataset, 'read'> & {
          readonly dataset: number;
        };
        return {
          ...found,
          read: (start, into) =>
            into.set(
              ask(name, path, {
                kind: 'read',
                dataset: found.dataset,
                start,
                bytes: into.length,
              }) as Uint8Array,
            ),
        };
      },
    };
  };
  const thread: Hdf5Thread = {
    open,
    heapBytes: () => ask('the heap', 'nowhere', { kind: 'heap' }) as number,
    closeFiles: () => {
      if (ended) return;
      try {
        ask('all files', 'nowhere', { kind: 'close' });
      } catch {
        // A file has written over the library's own memory: nothing that it says from here on counts.
        end();
      }
    },
    ended: () => ended,
    end,
  };
  return { loaded: true, thread };
}
