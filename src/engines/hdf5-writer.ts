import { fstatSync, ftruncateSync, readSync, writeSync } from 'node:fs';
import { fail } from '../errors/problem.ts';
import { refuseDtype } from '../weights/formats/write-safetensors.ts';
import type { StoredTensor } from '../weights/stored-tensors.ts';
import { dtypeBytes, type TensorDtype } from '../weights/tensor-dtype.ts';
import { eachPiece, tensorBytes } from '../weights/tensor-values.ts';
import { fileSystem, type H5wasm, type Hdf5Library } from './hdf5.ts';

/** Dtypes that HDF5 and h5py have without an agreement between the two sides. */
const DTYPES: readonly TensorDtype[] = [
  ...(['uint8', 'int8', 'uint16', 'int16', 'uint32', 'int32', 'uint64', 'int64'] as const),
  ...(['float16', 'float32', 'float64'] as const),
];

/** Bytes of one tensor: the library holds one whole, in a memory of 2 GiB at most. */
const TENSOR_BYTES_MAX = 2 ** 30;
const PIECE_BYTES = 2 ** 22;

/**
 * Writes tensors as the datasets of an HDF5 file, bit for bit, into the empty file that `descriptor` was opened for
 * reading and writing with; slashes in names make groups. Memory holds the largest tensor. Throws
 * WEIGHTS_DTYPE_UNSUPPORTED, WEIGHTS_TOO_LARGE or WEIGHTS_NAMES_CLASH, where a name is a group for another. Groups get
 * the attribute `name` that is given for them, as Keras says there what it calls a layer.
 */
export function writeHdf5(
  h5: H5wasm,
  descriptor: number,
  tensors: readonly StoredTensor[],
  groupNames: ReadonlyMap<string, string> = new Map(),
): void {
  const library = h5.Module as unknown as Hdf5Library;
  const path = mountDescriptor(h5, descriptor);
  const file = new h5.File(path, 'w');
  try {
    const groups = new Set<string>(['']);
    const names = new Set<string>();
    for (const tensor of tensors) {
      const steps = tensor.name.split('/').filter((step) => step !== '' && step !== '.');
      const name = steps.join('/');
      const above = steps.map((_, depth) => steps.slice(0, depth).join('/'));
      const clash = above.find((group) => names.has(group));
      if (name === '' || names.has(name) || groups.has(name) || clash !== undefined) {
        fail('WEIGHTS_NAMES_CLASH', { tensor: tensor.name, other: clash ?? name });
      }
      for (const group of above.filter((group) => !groups.has(group))) {
        const made = file.create_group(group);
        const called = groupNames.get(group);
        if (called !== undefined) made.create_attribute('name', called);
        groups.add(group);
      }
      names.add(name);
      writeDataset(library, file.file_id, `/${name}`, tensor);
    }
  } finally {
    file.close();
    fileSystem(h5).unlink(path);
  }
}

/**
 * Writes tensors over the datasets of their names, which have their dtypes and shapes, into the HDF5 file that `descriptor`
 * is open for; everything else of it stays as it was. Memory holds the largest tensor. Throws WEIGHTS_TOO_LARGE.
 */
export function overwriteHdf5(h5: H5wasm, descriptor: number, tensors: readonly StoredTensor[]): void {
  const library = h5.Module as unknown as Hdf5Library;
  const path = mountDescriptor(h5, descriptor);
  const file = new h5.File(path, 'a');
  try {
    for (const tensor of tensors) {
      withElements(library, tensor, (pointer) =>
        library.set_dataset_data(file.file_id, `/${tensor.name}`, null, null, null, BigInt(pointer)),
      );
    }
  } finally {
    file.close();
    fileSystem(h5).unlink(path);
  }
}

function writeDataset(library: Hdf5Library, file: bigint, path: string, tensor: StoredTensor): void {
  if (!DTYPES.includes(tensor.dtype)) refuseDtype(tensor, 'HDF5');
  const width = dtypeBytes(tensor.dtype);
  const extents = tensor.shape.map(BigInt);
  withElements(library, tensor, (pointer) =>
    library.create_dataset(file, path, BigInt(pointer), {
      type: tensor.dtype.startsWith('float') ? 1 : 0,
      size: width,
      signed: tensor.dtype.startsWith('int'),
      littleEndian: true,
      vlen: false,
      shape: extents,
      maxshape: extents,
      chunks: null,
      compression: 0,
      compression_opts: [],
      track_order: false,
    }),
  );
}

/** Does `work` with the whole tensor in the library's memory. */
function withElements(library: Hdf5Library, tensor: StoredTensor, work: (pointer: number) => void): void {
  const bytes = tensorBytes(tensor);
  if (bytes > TENSOR_BYTES_MAX) {
    fail('WEIGHTS_TOO_LARGE', {
      file: tensor.file,
      where: `tensor ${tensor.name}, to be written as HDF5,`,
      asked: `${bytes} bytes`,
      limit: `${TENSOR_BYTES_MAX} bytes`,
    });
  }
  const width = dtypeBytes(tensor.dtype);
  const pointer = library._malloc(Math.max(1, bytes));
  try {
    eachPiece(tensor, PIECE_BYTES, (piece, start) => library.HEAPU8.set(piece, pointer + start * width));
    work(pointer);
  } finally {
    library._free(pointer);
  }
}

let written = 0;

/** Makes a file in the library's own file system that is the open one. */
function mountDescriptor(h5: H5wasm, descriptor: number): string {
  const path = `/target-${written++}.h5`;
  const node = fileSystem(h5).createFile('/', path.slice(1), {}, true, true) as unknown as WritableNode;
  const size = () => fstatSync(descriptor).size;
  Object.defineProperty(node, 'usedBytes', { get: size, set: (to: number) => ftruncateSync(descriptor, to) });
  node.node_ops = {
    ...node.node_ops,
    setattr(_node, { size: to }) {
      if (to !== undefined) ftruncateSync(descriptor, to);
    },
  };
  node.stream_ops = {
    ...node.stream_ops,
    read: (_stream, memory, offset, length, position) =>
      readSync(descriptor, memory, offset, Math.max(0, Math.min(length, size() - position)), position),
    write(_stream, memory, offset, length, position) {
      for (let done = 0; done < length; ) {
        done += writeSync(descriptor, memory, offset + done, length - done, position + done);
      }
      return length;
    },
  };
  return path;
}

/** What is used of a file in Emscripten's file system. */
interface WritableNode {
  node_ops: { setattr(node: unknown, attributes: { readonly size?: number }): void };
  stream_ops: Record<
    'read' | 'write',
    (stream: unknown, memory: Uint8Array, offset: number, length: number, position: number) => number
  >;
}
