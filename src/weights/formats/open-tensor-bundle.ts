import { fail } from '../../errors/problem.ts';
import { crc32c } from '../../vocabulary/crc32c.ts';
import { type ByteFolder, type ByteSource, partOf, sourceInMemory, takeBytes } from '../byte-source.ts';
import { checkLimit, checkShape, type WeightsLimits } from '../limits.ts';
import { elementCount } from '../manifest.ts';
import type { StoredTensor, StoredTensors } from '../stored-tensors.ts';
import { dtypeBytes, type TensorDtype } from '../tensor-dtype.ts';
import { checkedSource } from './checked-source.ts';
import { openPart } from './contained-path.ts';
import { protobufFields, signedValue } from './protobuf-fields.ts';
import { randomState } from './random-state.ts';
import { TABLE_MAGIC, tableEntries, unmasked } from './sorted-table.ts';
import { variableLabels } from './variable-labels.ts';

const FORMAT = 'TensorFlow SavedModel';
/** What a checkpoint of objects ends its keys with. */
const VALUE_SUFFIX = '/.ATTRIBUTES/VARIABLE_VALUE';
/** The one key that names what the others belong to. */
const OBJECT_GRAPH = '_CHECKPOINTABLE_OBJECT_GRAPH';

/** DataType of TensorFlow's types.proto, as far as tensors have those; 7 is a string. */
const DTYPES: Readonly<Record<number, TensorDtype>> = {
  1: 'float32',
  2: 'float64',
  3: 'int32',
  4: 'uint8',
  5: 'int16',
  6: 'int8',
  8: 'complex64',
  9: 'int64',
  10: 'bool',
  14: 'bfloat16',
  17: 'uint16',
  18: 'complex128',
  19: 'float16',
  22: 'uint32',
  23: 'uint64',
  24: 'float8_e5m2',
  25: 'float8_e4m3fn',
};
const STRING = 7;

/** Whether a file is the index of a tensor bundle: what its last 8 bytes say. */
export function isTensorBundle(source: ByteSource): boolean {
  if (source.size < 48) return false;
  const tail = new DataView(takeBytes(source, source.size - 8, 8, 'its end').buffer);
  return tail.getBigUint64(0, true) === TABLE_MAGIC;
}

/**
 * Opens the variables of a TensorFlow SavedModel or checkpoint: `index` is its index (`variables.index`) and its data
 * lies beside that, under the path of `folder` that `prefix` begins (`variables/variables`). Every value is checked
 * against its CRC-32C before it is handed out. Optimizer state and counters are left out. Throws WEIGHTS_MALFORMED,
 * WEIGHTS_DAMAGED, WEIGHTS_PART_MISSING, WEIGHTS_TOO_LARGE or WEIGHTS_DTYPE_UNSUPPORTED. Source: TensorFlow's
 * tensor_bundle.h and tensor_bundle.proto.
 */
export function openTensorBundle(
  folder: ByteFolder,
  index: ByteSource,
  prefix: string,
  limits: WeightsLimits,
): StoredTensors {
  let shards = 0;
  const tensors: StoredTensor[] = [];
  const omitted: { readonly name: string; readonly reason: string }[] = [];
  const parts = new Map<number, ByteSource>();
  const partOfShard = (shard: number): ByteSource => {
    const digits = (value: number) => String(value).padStart(5, '0');
    const part = parts.get(shard) ?? openPart(folder, `${prefix}.data-${digits(shard)}-of-${digits(shards)}`);
    parts.set(shard, part);
    return part;
  };
  const entries: [string, BundleEntry][] = [];
  for (const { key, value } of tableEntries(index, limits)) {
    if (key === '') shards = headerShards(index, value);
    else entries.push([key, bundleEntry(index, key, value, limits)]);
  }
  let labels: ReadonlyMap<string, string> = new Map();
  for (const [key, entry] of entries) {
    const name = key.endsWith(VALUE_SUFFIX) ? key.slice(0, -VALUE_SUFFIX.length) : key;
    const reason = omissionOf(key, name, entry);
    if (reason !== undefined) omitted.push({ name, reason });
    if (key === OBJECT_GRAPH && entry.dataType === STRING) {
      labels = variableLabels(takePart(index, key, entry, partOfShard), limits);
    }
    if (reason !== undefined) continue;
    checkLimit(index, 'the index', tensors.length + 1, limits.tensorsMax, 'tensors');
    tensors.push(tensorOf(index, name, entry, partOfShard, limits));
  }
  const named = tensors.map((tensor) => {
    const label = labels.get(`${tensor.name}${VALUE_SUFFIX}`);
    return label === undefined ? tensor : { ...tensor, label };
  });
  const states = named.flatMap(({ name, label = name, dtype }) => {
    const reason = randomState(label, dtype);
    return reason === undefined ? [] : [{ name, reason }];
  });
  const left = new Set(states.map(({ name }) => name));
  return {
    file: folder.main.name,
    format: 'saved-model',
    framework: 'tensorflow',
    metadata: {},
    tensors: named.filter(({ name }) => !left.has(name)),
    omitted: [...omitted, ...states],
  };
}

/** BundleEntryProto. */
interface BundleEntry {
  readonly dataType: number;
  readonly shape: readonly number[];
  readonly shard: number;
  readonly offset: number;
  readonly size: number;
  readonly crc: number;
}

function headerShards(index: ByteSource, value: Uint8Array): number {
  let shards = 1;
  for (const field of fieldsOf(index, value)) {
    if (field.number === 1) shards = Number(field.value);
    if (field.number === 2 && field.value !== 0n) malformed(index, 'the header', 'its values are big-endian');
  }
  return shards;
}

function bundleEntry(index: ByteSource, key: string, value: Uint8Array, limits: WeightsLimits): BundleEntry {
  const entry = { dataType: 0, shape: [] as number[], shard: 0, offset: 0, size: 0, crc: 0 };
  const source = sourceInMemory(index.name, value);
  for (const field of fieldsOf(index, value)) {
    if (field.number === 1) entry.dataType = Number(field.value);
    if (field.number === 2) {
      for (const dim of protobufFields(source, field.at, field.length, FORMAT)) {
        if (dim.number !== 2) continue;
        let extent = 0;
        for (const part of protobufFields(source, dim.at, dim.length, FORMAT)) {
          if (part.number === 1) extent = signedValue(part);
        }
        entry.shape.push(extent);
        checkLimit(index, key, entry.shape.length, limits.axesMax, 'axes');
      }
    }
    if (field.number === 3) entry.shard = Number(field.value);
    if (field.number === 4) entry.offset = Number(field.value);
    if (field.number === 5) entry.size = Number(field.value);
    if (field.number === 6) entry.crc = Number(field.value);
    if (field.number === 7)
      malformed(index, key, 'the variable is cut into slices, which are not put together');
  }
  return entry;
}

/** Why an entry is no tensor of the model; undefined where it is one. */
function omissionOf(key: string, name: string, { dataType }: BundleEntry): string | undefined {
  if (dataType === STRING) return 'its elements are strings';
  if (key.includes('/.OPTIMIZER_SLOT/') || /^(?:_?optimizer|keras_api)\//.test(name))
    return 'optimizer state';
  return name === 'save_counter' ? 'a counter of checkpoints' : undefined;
}

function tensorOf(
  index: ByteSource,
  name: string,
  entry: BundleEntry,
  partOfShard: (shard: number) => ByteSource,
  limits: WeightsLimits,
): StoredTensor {
  const { shape } = entry;
  const dtype = DTYPES[entry.dataType];
  if (!dtype) {
    return fail('WEIGHTS_DTYPE_UNSUPPORTED', {
      tensor: name,
      file: index.name,
      dtype: `DataType ${entry.dataType}`,
      format: FORMAT,
    });
  }
  if (!shape.every((extent) => Number.isSafeInteger(extent) && extent >= 0)) {
    malformed(index, `variable ${name}`, `its shape [${shape.join(', ')}] does not consist of whole numbers`);
  }
  checkShape(index, name, shape, limits);
  const bytes = elementCount(shape) * dtypeBytes(dtype);
  if (entry.size !== bytes) {
    malformed(
      index,
      `variable ${name}`,
      `shape [${shape.join(', ')}] of ${dtype} needs ${bytes} bytes, not ${entry.size}`,
    );
  }
  const values = checkedPart(index, name, entry, partOfShard);
  return {
    file: index.name,
    name,
    dtype,
    shape,
    read: (start, into) => values.read(start * dtypeBytes(dtype), into),
  };
}

function checkedPart(
  index: ByteSource,
  name: string,
  { shard, offset, size, crc }: BundleEntry,
  partOfShard: (shard: number) => ByteSource,
): ByteSource {
  const part = partOfShard(shard);
  if (offset + size > part.size) {
    malformed(index, `variable ${name}`, `it goes on past the end of ${part.name}, ${part.size} bytes`);
  }
  return checkedSource(partOf(part, offset, size), crc32c, unmasked(crc), `variable ${name}`);
}

/**
 * The one string of a scalar string variable: its length, a checksum of the lengths, its bytes. Undefined where it is
 * none; its own checksum is not the plain one and the string only names variables, so that it is not checked.
 */
function takePart(
  index: ByteSource,
  name: string,
  { shard, offset, size }: BundleEntry,
  partOfShard: (shard: number) => ByteSource,
): ByteSource {
  const part = partOfShard(shard);
  if (offset + size > part.size) {
    malformed(index, `variable ${name}`, `it goes on past the end of ${part.name}, ${part.size} bytes`);
  }
  const head = takeBytes(part, offset, Math.min(size, 10), `variable ${name}`);
  const lengthBytes = head.findIndex((byte) => byte < 0x80) + 1;
  const length = head.subarray(0, lengthBytes).reduceRight((sum, byte) => sum * 128 + (byte & 0x7f), 0);
  if (lengthBytes === 0 || lengthBytes + 4 + length !== size) {
    malformed(index, `variable ${name}`, 'it is not one string');
  }
  return partOf(part, offset + lengthBytes + 4, length);
}

function fieldsOf(index: ByteSource, value: Uint8Array) {
  return protobufFields(sourceInMemory(index.name, value), 0, value.length, FORMAT);
}

function malformed(source: ByteSource, where: string, reason: string): never {
  fail('WEIGHTS_MALFORMED', { file: source.name, format: FORMAT, where, reason });
}
