import { fail } from '../../errors/problem.ts';
import type { ByteFolder, ByteSource } from '../byte-source.ts';
import { checkLimit, checkShape, type WeightsLimits } from '../limits.ts';
import { elementCount } from '../manifest.ts';
import type { StoredTensor, StoredTensors } from '../stored-tensors.ts';
import { dtypeBytes, type TensorDtype } from '../tensor-dtype.ts';
import { openPart } from './contained-path.ts';
import { graphUses } from './onnx-uses.ts';
import { type ProtobufField, protobufFields, signedValue, textOfField } from './protobuf-fields.ts';
import { VarintElements } from './varint-elements.ts';

/** TensorProto.DataType, as far as tensors have those; 8 is a string. */
export const ONNX_DTYPES: Readonly<Record<number, TensorDtype>> = {
  1: 'float32',
  2: 'uint8',
  3: 'int8',
  4: 'uint16',
  5: 'int16',
  6: 'int32',
  7: 'int64',
  9: 'bool',
  10: 'float16',
  11: 'float64',
  12: 'uint32',
  13: 'uint64',
  14: 'complex64',
  15: 'complex128',
  16: 'bfloat16',
  17: 'float8_e4m3fn',
  19: 'float8_e5m2',
};
const STRING = 8;

/** The typed field that keeps each dtype, where not raw_data does; fields 4 and 10 are packed, 5, 7 and 11 varints. */
const TYPED_FIELDS: Partial<Record<TensorDtype, number>> = {
  float32: 4,
  complex64: 4,
  float64: 10,
  complex128: 10,
  int64: 7,
  uint32: 11,
  uint64: 11,
};
const INT32_DATA = 5;

/** Operator sets of a model; each is a domain of its own. */
const OPSETS_MAX = 1_000;
/** Keys of an initialiser's external data; ONNX knows five. */
const EXTERNAL_ENTRIES_MAX = 100;

/** Whether the protobuf of a file is a ModelProto: it has a graph, field 7. */
export function isOnnx(source: ByteSource): boolean {
  for (const field of protobufFields(source, 0, source.size, 'ONNX')) {
    if (field.number === 7 && field.wire === 2) return true;
  }
  return false;
}

/**
 * Opens the initialisers of an ONNX model's graph: raw, typed, or in files beside it, which must not lie outside of
 * its folder. Throws WEIGHTS_MALFORMED, WEIGHTS_TOO_LARGE, WEIGHTS_DTYPE_UNSUPPORTED, WEIGHTS_PATH_REFUSED or
 * WEIGHTS_PART_MISSING. Source: onnx.proto of ONNX 1.22, ModelProto, GraphProto, TensorProto.
 */
export function openOnnx(folder: ByteFolder, limits: WeightsLimits): StoredTensors {
  const source = folder.main;
  const tensors: StoredTensor[] = [];
  const omitted: { readonly name: string; readonly reason: string }[] = [];
  const metadata = new Map<string, string>();
  const parts = new Map<string, ByteSource>();
  const partOfName = (path: string): ByteSource => {
    const part = parts.get(path) ?? openPart(folder, path);
    parts.set(path, part);
    return part;
  };
  const names = new Set<string>();
  for (const { field, proto } of onnxInitialisers(source, limits)) {
    if (field.number === 15) {
      fail('WEIGHTS_MALFORMED', {
        file: source.name,
        format: 'ONNX',
        where: `byte ${field.begin}`,
        reason: 'a sparse initialiser is not read; make it dense',
      });
    }
    if (names.has(proto.name)) {
      fail('WEIGHTS_MALFORMED', {
        file: source.name,
        format: 'ONNX',
        where: `initialiser ${proto.name}`,
        reason: 'its name comes a second time',
      });
    }
    names.add(proto.name);
    checkLimit(source, 'its graph', names.size, limits.tensorsMax, 'tensors');
    if (proto.dataType === STRING) omitted.push({ name: proto.name, reason: 'its elements are strings' });
    else tensors.push(tensorOf(source, proto, partOfName, limits));
  }
  const uses = graphUses(source, limits);
  const told = tensors.map((tensor) => {
    const multiplies = tensor.shape.length === 2 ? uses.matrices.get(tensor.name) : undefined;
    const recurrent = uses.recurrent.get(tensor.name);
    const bias = multiplies && uses.added.get(tensor.name);
    return {
      ...tensor,
      ...(multiplies ? { multiplies } : {}),
      ...(bias && names.has(bias) ? { addedTo: bias } : {}),
      ...(recurrent ? { recurrent } : {}),
    };
  });
  let producer: string | undefined;
  const opsets: string[] = [];
  for (const field of protobufFields(source, 0, source.size, 'ONNX')) {
    if (field.number === 1) metadata.set('ir_version', String(field.value));
    if (field.number === 2) producer = textOfField(source, field);
    if (field.number === 3) producer = `${producer ?? ''} ${textOfField(source, field)}`.trim();
    if (field.number === 8) opsets.push(opsetText(source, field));
    checkLimit(source, 'its end', opsets.length, OPSETS_MAX, 'operator sets');
  }
  if (opsets.length > 0) metadata.set('opset', opsets.join(', '));
  // Without one no node has a meaning; it stands at the end of the file.
  if (Number(metadata.get('ir_version')) >= 3 && !metadata.has('opset')) {
    fail('WEIGHTS_MALFORMED', {
      file: source.name,
      format: 'ONNX',
      where: 'its end',
      reason: 'it imports no operator set: it may have been cut off',
    });
  }
  return {
    file: source.name,
    format: 'onnx',
    ...(producer ? { framework: producer } : {}),
    metadata: Object.fromEntries(metadata),
    tensors: told,
    omitted,
  };
}

/** What a TensorProto says, with its data where it lies. */
export interface OnnxTensor {
  readonly name: string;
  readonly dataType: number;
  readonly shape: readonly number[];
  readonly raw: ProtobufField | undefined;
  readonly typed: readonly ProtobufField[];
  /** Key and value of each external_data entry; undefined where the data is inside. */
  readonly external: ReadonlyMap<string, string> | undefined;
}

/** The initialisers (field 5, sparse ones 15) of the graph of a ModelProto, in order. */
export function* onnxInitialisers(
  source: ByteSource,
  limits: WeightsLimits,
): Generator<{ readonly field: ProtobufField; readonly proto: OnnxTensor }> {
  for (const graph of protobufFields(source, 0, source.size, 'ONNX')) {
    if (graph.number !== 7 || graph.wire !== 2) continue;
    for (const field of protobufFields(source, graph.at, graph.length, 'ONNX')) {
      if ((field.number !== 5 && field.number !== 15) || field.wire !== 2) continue;
      yield { field, proto: readOnnxTensor(source, field, limits) };
    }
  }
}

/** Reads the TensorProto in a field: what it says, and where its data lies. Throws WEIGHTS_MALFORMED or WEIGHTS_TOO_LARGE. */
export function readOnnxTensor(source: ByteSource, at: ProtobufField, limits: WeightsLimits): OnnxTensor {
  let name = '';
  let dataType = 0;
  const shape: number[] = [];
  let raw: ProtobufField | undefined;
  let inFile = false;
  const typed: ProtobufField[] = [];
  const external = new Map<string, string>();
  for (const field of protobufFields(source, at.at, at.length, 'ONNX')) {
    if (field.number === 1 && field.wire === 0) shape.push(signedValue(field));
    if (field.number === 1 && field.wire === 2) {
      const dims = new VarintElements(source, field);
      for (let axis = 0; axis < dims.count; axis++) {
        checkLimit(source, `initialiser ${name}`, axis + 1, limits.axesMax, 'axes');
        shape.push(Number(BigInt.asIntN(64, dims.at(axis))));
      }
    }
    checkLimit(source, `initialiser ${name}`, shape.length, limits.axesMax, 'axes');
    if (field.number === 2) dataType = signedValue(field);
    if (field.number === 8) name = textOfField(source, field);
    if (field.number === 9) raw = field;
    if ([4, 5, 7, 10, 11].includes(field.number) && field.length > 0) typed.push(field);
    checkLimit(source, `initialiser ${name}`, typed.length, 1, 'pieces of data');
    if (field.number === 13) {
      const [key, value] = entryText(source, field);
      external.set(key, value);
      checkLimit(
        source,
        `initialiser ${name}`,
        external.size,
        EXTERNAL_ENTRIES_MAX,
        'entries of external data',
      );
    }
    if (field.number === 14) inFile = field.value === 1n;
  }
  return { name, dataType, shape, raw, typed, external: inFile ? external : undefined };
}

/** A StringStringEntryProto: key 1, value 2. */
function entryText(source: ByteSource, entry: ProtobufField): readonly [string, string] {
  const texts: [string, string] = ['', ''];
  for (const field of protobufFields(source, entry.at, entry.length, 'ONNX')) {
    if (field.number === 1 || field.number === 2) texts[field.number - 1] = textOfField(source, field);
  }
  return texts;
}

function opsetText(source: ByteSource, opset: ProtobufField): string {
  let domain = 'ai.onnx';
  let version = '?';
  for (const field of protobufFields(source, opset.at, opset.length, 'ONNX')) {
    if (field.number === 1 && field.length > 0) domain = textOfField(source, field);
    if (field.number === 2) version = String(field.value);
  }
  return `${domain} ${version}`;
}

function tensorOf(
  source: ByteSource,
  proto: OnnxTensor,
  partOfName: (path: string) => ByteSource,
  limits: WeightsLimits,
): StoredTensor {
  const { name, shape } = proto;
  const malformed = (reason: string): never =>
    fail('WEIGHTS_MALFORMED', {
      file: source.name,
      format: 'ONNX',
      where: `initialiser ${name}`,
      reason,
    });
  const dtype = ONNX_DTYPES[proto.dataType];
  if (!dtype) {
    return fail('WEIGHTS_DTYPE_UNSUPPORTED', {
      tensor: name,
      file: source.name,
      dtype: `TensorProto.DataType ${proto.dataType}`,
      format: 'ONNX',
    });
  }
  if (!shape.every((extent) => Number.isSafeInteger(extent) && extent >= 0)) {
    malformed(`its shape [${shape.join(', ')}] does not consist of whole numbers`);
  }
  checkShape(source, name, shape, limits);
  const width = dtypeBytes(dtype);
  const elements = elementCount(shape);
  const bytes = elements * width;
  const stored = { file: source.name, name, dtype, shape };
  const plain = (from: ByteSource, at: number, length: number): StoredTensor => {
    if (length !== bytes)
      malformed(`shape [${shape.join(', ')}] of ${dtype} needs ${bytes} bytes, not ${length}`);
    return { ...stored, read: (start, into) => from.read(at + start * width, into) };
  };
  if (proto.external) {
    const part = partOfName(proto.external.get('location') ?? malformed('it names no file for its data'));
    const at = Number(proto.external.get('offset') ?? 0);
    const length = Number(proto.external.get('length') ?? part.size - at);
    if (!Number.isSafeInteger(at) || at < 0 || !Number.isSafeInteger(length) || length < 0) {
      malformed('the place of its data is no number');
    }
    if (at + length > part.size) malformed(`its data goes on past the end of ${part.name}`);
    return plain(part, at, length);
  }
  if (proto.raw) return plain(source, proto.raw.at, proto.raw.length);
  const [data] = proto.typed;
  const expected = TYPED_FIELDS[dtype] ?? INT32_DATA;
  if (!data) {
    if (elements > 0) malformed('it has no data');
    return { ...stored, read: () => {} };
  }
  if (data.number !== expected || data.wire !== 2)
    malformed(`its data is in field ${data.number}, unpacked or not of ${dtype}`);
  if (expected === 4 || expected === 10) return plain(source, data.at, data.length);
  const numbers = new VarintElements(source, data);
  if (numbers.count !== elements) malformed(`it has ${numbers.count} elements, and its shape ${elements}`);
  return {
    ...stored,
    read(start, into) {
      for (let place = 0; place * width < into.length; place++) {
        let bits = numbers.at(start + place);
        for (let byte = 0; byte < width; byte++, bits >>= 8n)
          into[place * width + byte] = Number(bits & 0xffn);
      }
    },
  };
}
