import { fail } from '../../errors/problem.ts';
import { type ByteSource, checkWithin, takeBytes } from '../byte-source.ts';
import { checkLimit, type WeightsLimits } from '../limits.ts';
import type { StoredTensor, StoredTensors } from '../stored-tensors.ts';
import { dtypeBytes, type TensorDtype } from '../tensor-dtype.ts';
import { parseSafetensorsHeader, type SafetensorsDtype } from './safetensors-header.ts';

/** The dtypes of the format, under the names that are used here. */
export const SAFETENSORS_DTYPES = {
  BOOL: 'bool',
  U8: 'uint8',
  I8: 'int8',
  F8_E5M2: 'float8_e5m2',
  F8_E4M3: 'float8_e4m3fn',
  I16: 'int16',
  U16: 'uint16',
  F16: 'float16',
  BF16: 'bfloat16',
  I32: 'int32',
  U32: 'uint32',
  F32: 'float32',
  I64: 'int64',
  U64: 'uint64',
  F64: 'float64',
  C64: 'complex64',
} as const satisfies Record<SafetensorsDtype, TensorDtype>;

/**
 * Opens a safetensors file: reads its header, no values. Throws WEIGHTS_TRUNCATED, WEIGHTS_TOO_LARGE or
 * WEIGHTS_MALFORMED. Source: the safetensors README, "Format".
 */
export function openSafetensors(source: ByteSource, limits: WeightsLimits): StoredTensors {
  const malformed = (reason: string): never =>
    fail('WEIGHTS_MALFORMED', { file: source.name, format: 'safetensors', where: 'the header', reason });
  const prefix = takeBytes(source, 0, 8, 'the length of the header');
  const declared = new DataView(prefix.buffer).getBigUint64(0, true);
  checkLimit(source, 'its header', declared, limits.headerBytesMax, 'bytes');
  const headerBytes = takeBytes(source, 8, Number(declared), 'the header');
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(headerBytes);
  } catch {
    return malformed('it is not UTF-8');
  }
  const dataAt = 8 + headerBytes.length;
  const header = parseSafetensorsHeader(text, source.size - dataAt);
  if (!header.ok) return malformed(header.refusal);
  checkLimit(source, 'the header', header.value.entries.length, limits.tensorsMax, 'tensors');
  const tensors = header.value.entries.map((entry): StoredTensor => {
    checkLimit(source, `tensor ${entry.name}`, entry.shape.length, limits.axesMax, 'axes');
    const dtype = SAFETENSORS_DTYPES[entry.dtype];
    return {
      file: source.name,
      name: entry.name,
      dtype,
      shape: entry.shape,
      read(start, into) {
        const at = dataAt + entry.begin + start * dtypeBytes(dtype);
        checkWithin(source, at, into.length, `tensor ${entry.name}`);
        source.read(at, into);
      },
    };
  });
  const { format, ...metadata } = header.value.metadata;
  return {
    file: source.name,
    format: 'safetensors',
    // The libraries of the format write `format: pt`, `tf`, `np`, `mlx` or `flax`.
    ...(format === undefined ? {} : { framework: FRAMEWORKS[format] ?? format }),
    metadata,
    tensors,
    omitted: [],
  };
}

const FRAMEWORKS: Readonly<Record<string, string>> = { pt: 'pytorch', tf: 'tensorflow', np: 'numpy' };
