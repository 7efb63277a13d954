import type { Dataset, File, Group, Metadata } from 'h5wasm';
import { ConsiliumError, fail } from '../errors/problem.ts';
import type { ByteSource } from '../weights/byte-source.ts';
import type { Hdf5Dataset, Hdf5File, Hdf5Opener } from '../weights/formats/hdf5.ts';
import { checkLimit, type WeightsLimits } from '../weights/limits.ts';
import { elementCount } from '../weights/manifest.ts';
import { dtypeBytes, type TensorDtype } from '../weights/tensor-dtype.ts';
import { withBoundedMemories } from './bounded-memory.ts';

/** The module of h5wasm. */
export type H5wasm = typeof import('h5wasm');

/** What became of an attempt to load h5wasm. The reason is a clause. */
export type Hdf5Load =
  | {
      readonly loaded: true;
      readonly h5: H5wasm;
      readonly open: Hdf5Opener;
      close(): void;
    }
  | { readonly loaded: false; readonly reason: string };

/**
 * Loads h5wasm, the HDF5 library of NIST compiled to WebAssembly: an optional dependency, which may be absent. The
 * library sees files through a file system of its own that reads from a ByteSource, and no others. What was opened can
 * be read until `close` closes all of it.
 */
export async function loadHdf5(specifier = 'h5wasm'): Promise<Hdf5Load> {
  try {
    const h5 = await withBoundedMemories(
      () => withDiagnostics(specifier),
      () => memoryBytesMax,
    );
    const paths = new Map<string, File>();
    const close = () => {
      for (const [path, file] of paths) {
        file.close();
        fileSystem(h5).unlink(path);
      }
      paths.clear();
    };
    return { loaded: true, h5, open: (source, limits) => openHdf5(h5, source, limits, paths), close };
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    const reason =
      code === 'ERR_MODULE_NOT_FOUND'
        ? 'it is an optional package and is not installed (npm install h5wasm)'
        : `it does not start: ${message.split('\n', 1)[0]}`;
    return { loaded: false, reason };
  }
}

/** What the library has said of its errors since it was last asked. */
const diagnostics: string[] = [];

/**
 * Loads the library so that what it says on stderr is kept instead, from the first load on: it says each of its errors
 * there, innermost first, and tidies up after it. Its own way to throw them leaves memory behind.
 */
async function withDiagnostics(specifier: string): Promise<H5wasm> {
  const plain = console.error;
  console.error = (...said: unknown[]) => void diagnostics.push(said.join(' '));
  try {
    const h5 = (await import(specifier)) as H5wasm;
    await h5.ready;
    return h5;
  } finally {
    console.error = plain;
  }
}

/** What the library may have while it reads: hostile files ask for more. */
const READING_BYTES_MAX = 2 ** 28;

let memoryBytesMax = READING_BYTES_MAX;

/**
 * Does `work`, which writes, with as much memory as the library can have. It keeps what it got: memories never shrink.
 * Throws USAGE with what the library said where it could not.
 */
export function whileWriting<Value>(work: () => Value): Value {
  memoryBytesMax = 2 ** 31;
  diagnostics.length = 0;
  try {
    const value = work();
    const told = toldError(diagnostics);
    if (told !== undefined) fail('USAGE', { reason: `the HDF5 library could not write: ${told}` });
    return value;
  } finally {
    memoryBytesMax = READING_BYTES_MAX;
  }
}

/** Bytes of one read, which the library copies once. */
const READ_BYTES_MAX = 2 ** 23;

let opened = 0;

function openHdf5(h5: H5wasm, source: ByteSource, limits: WeightsLimits, paths: Map<string, File>): Hdf5File {
  const guarded = <Value>(where: string, work: () => Value): Value => {
    const refuse = (reason: string, error?: unknown): never =>
      fail(
        'WEIGHTS_MALFORMED',
        { file: source.name, format: 'HDF5', where, reason: `the HDF5 library says: ${reason}` },
        error,
      );
    diagnostics.length = 0;
    let value: Value;
    try {
      value = work();
    } catch (error) {
      if (error instanceof ConsiliumError) throw error;
      return refuse(toldError(diagnostics) ?? String((error as Error).message ?? error), error);
    }
    const told = toldError(diagnostics);
    return told === undefined ? value : refuse(told);
  };
  const path = `/source-${opened++}.h5`;
  const file = guarded('its beginning', () => {
    mountSource(h5, path, source);
    const made = new h5.File(path, 'r');
    if (made.file_id < 0n) fileSystem(h5).unlink(path);
    return made;
  });
  paths.set(path, file);
  const at = (place: string) => guarded(place, () => (place === '/' ? file : file.get(place)));
  return {
    members: (group) =>
      guarded(group, () =>
        (at(group) as Group).keys().map((name) => {
          const member = file.get(`${group === '/' ? '' : group}/${name}`);
          const kind = member instanceof h5.Group ? 'group' : 'other';
          return { name, kind: member instanceof h5.Dataset ? 'dataset' : kind };
        }),
      ),
    text: (place, attribute) =>
      guarded(place, () => {
        const value = (at(place) as Group | null)?.attrs?.[attribute]?.value;
        if (typeof value === 'string') return value;
        return Array.isArray(value) ? value.join(',') : undefined;
      }),
    dataset: (place) =>
      guarded(place, () => datasetOf(h5, at(place) as Dataset, source, place, limits, guarded)),
  };
}

/** Makes a file in the library's own file system whose bytes are those of `source`. */
function mountSource(h5: H5wasm, path: string, source: ByteSource): void {
  const node = fileSystem(h5).createFile('/', path.slice(1), {}, true, false);
  Object.defineProperty(node, 'usedBytes', { get: () => source.size });
  node.stream_ops = {
    ...node.stream_ops,
    read(_stream, memory, offset, length, position) {
      const size = Math.max(0, Math.min(length, source.size - position));
      source.read(position, new Uint8Array(memory.buffer, memory.byteOffset + offset, size));
      return size;
    },
  };
}

/** The library's own file system. */
export function fileSystem(h5: H5wasm): EmscriptenFiles {
  return h5.FS as unknown as EmscriptenFiles;
}

/** What is used of Emscripten's file system. */
export interface EmscriptenFiles {
  unlink(path: string): void;
  createFile(
    parent: string,
    name: string,
    properties: object,
    canRead: boolean,
    canWrite: boolean,
  ): EmscriptenNode;
}

interface EmscriptenNode {
  stream_ops: {
    read(stream: unknown, memory: Uint8Array, offset: number, length: number, position: number): number;
  };
}

/** What is used of the library beneath its classes: bytes as they are, where those give numbers. */
export interface Hdf5Library {
  readonly HEAPU8: Uint8Array;
  _malloc(bytes: number): number;
  _free(at: number): void;
  set_dataset_data(
    file: bigint,
    path: string,
    count: null,
    offset: null,
    strides: null,
    pointer: bigint,
  ): number;
  get_dataset_data(
    file: bigint,
    path: string,
    count: readonly bigint[] | null,
    offset: readonly bigint[] | null,
    strides: readonly bigint[] | null,
    into: bigint,
  ): void;
  create_dataset(file: bigint, path: string, from: bigint, metadata: object): void;
}

function datasetOf(
  h5: H5wasm,
  dataset: Dataset,
  source: ByteSource,
  place: string,
  limits: WeightsLimits,
  guarded: <Value>(where: string, work: () => Value) => Value,
): Hdf5Dataset {
  const { metadata } = dataset;
  const shape = metadata.shape ?? [];
  const told = toldType(metadata);
  // A dataset that is put together from other files would read as zeros without them.
  const dtype = metadata.virtual_sources || !metadata.shape ? undefined : dtypeOf(dataset);
  const chunkBytes = (metadata.chunks ?? []).reduce((bytes, extent) => bytes * extent, metadata.size);
  checkLimit(source, `a chunk of ${place}`, chunkBytes, limits.windowBytes, 'bytes');
  const library = h5.Module as unknown as Hdf5Library;
  // A scalar has no axes to choose from.
  const scalar = shape.length === 0;
  return {
    dtype,
    told,
    shape,
    read(start, into) {
      const width = dtypeBytes(dtype!);
      for (const block of blocksOf(shape, start, into.length / width, READ_BYTES_MAX / width)) {
        const bytes = elementCount(block.count) * width;
        guarded(place, () => {
          const pointer = library._malloc(bytes);
          if (pointer === 0) throw new Error(`${bytes} bytes were not to be had`);
          try {
            library.get_dataset_data(
              dataset.file_id,
              dataset.path,
              scalar ? null : block.count.map(BigInt),
              scalar ? null : block.offset.map(BigInt),
              scalar ? null : shape.map(() => 1n),
              BigInt(pointer),
            );
            // The library turns elements into the order of its machine, and WebAssembly is little-endian.
            into.set(library.HEAPU8.subarray(pointer, pointer + bytes), block.at * width);
          } finally {
            library._free(pointer);
          }
        });
      }
    },
  };
}

interface Block {
  /** Place in what was asked for, in elements. */
  readonly at: number;
  readonly offset: readonly number[];
  readonly count: readonly number[];
}

/**
 * The boxes of at most `most` elements that, one after the other, are the `elements` elements from `start` on of a
 * row-major array.
 */
export function* blocksOf(
  shape: readonly number[],
  start: number,
  elements: number,
  most: number,
): Generator<Block> {
  const inner = shape.map((_, axis) => elementCount(shape.slice(axis + 1)));
  for (let at = 0; at < elements; ) {
    const here = start + at;
    const offset = shape.map((extent, axis) => Math.floor(here / inner[axis]!) % extent);
    // The outermost axis of which whole slices fit: what lies within it begins at 0 and is taken whole.
    const axis = shape.findIndex(
      (_, candidate) => here % inner[candidate]! === 0 && inner[candidate]! <= Math.min(most, elements - at),
    );
    const slices =
      axis < 0
        ? 1
        : Math.min(shape[axis]! - offset[axis]!, Math.floor(Math.min(most, elements - at) / inner[axis]!));
    const count = shape.map((extent, other) => (other < axis ? 1 : other === axis ? slices : extent));
    yield { at, offset, count };
    at += slices * (axis < 0 ? 1 : inner[axis]!);
  }
}

/** What the innermost function of the library said: `... in H5Sopen(): not a dataspace`. */
function toldError(said: readonly string[]): string | undefined {
  if (said.length === 0) return undefined;
  const lines = said.flatMap((text) => text.split('\n'));
  const functions = lines.flatMap((line) => /#\d+: .*? in \w+\(\): (.+)/.exec(line)?.[1] ?? []);
  return (functions.at(-1) ?? lines[0]!).trim();
}

/** H5T_class_t. */
const CLASS = { integer: 0, float: 1, opaque: 5, enumeration: 8 } as const;

function dtypeOf(dataset: Dataset): TensorDtype | undefined {
  const { type, size, signed } = dataset.metadata;
  const bits = 8 * size;
  if (type === CLASS.float && [16, 32, 64].includes(bits)) return `float${bits}` as TensorDtype;
  if (type === CLASS.integer && [8, 16, 32, 64].includes(bits)) {
    return `${signed ? '' : 'u'}int${bits}` as TensorDtype;
  }
  // h5py keeps booleans as an enumeration of one byte, Keras bfloat16 as two opaque bytes that an attribute explains.
  if (type === CLASS.enumeration && size === 1) return 'bool';
  if (type === CLASS.opaque && size === 2 && dataset.attrs.dtype?.value === 'bfloat16') return 'bfloat16';
  return undefined;
}

function toldType({ type, size, virtual_sources: parts, shape }: Metadata): string {
  if (parts) return 'kept in other files';
  return shape ? `of the HDF5 class ${type} in ${size} bytes` : 'none';
}
