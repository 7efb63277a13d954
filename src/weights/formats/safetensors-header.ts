import { ok, type Result, refused } from '../../vocabulary/result.ts';

/** One tensor as a safetensors header describes it; the range counts bytes from the end of the header. */
export interface SafetensorsEntry {
  readonly name: string;
  readonly dtype: SafetensorsDtype;
  readonly shape: readonly number[];
  readonly begin: number;
  readonly end: number;
}

/** Bytes of one element of each dtype that a header may name. */
export const DTYPE_BYTES = {
  BOOL: 1,
  U8: 1,
  I8: 1,
  F8_E5M2: 1,
  F8_E4M3: 1,
  I16: 2,
  U16: 2,
  F16: 2,
  BF16: 2,
  I32: 4,
  U32: 4,
  F32: 4,
  I64: 8,
  U64: 8,
  F64: 8,
  C64: 8,
} as const;

/** A dtype of the format. */
export type SafetensorsDtype = keyof typeof DTYPE_BYTES;

/** What a safetensors header says. */
export interface SafetensorsHeader {
  readonly metadata: Readonly<Record<string, string>>;
  /** In the order of their bytes; those without bytes at one place in the order of their names, as JSON keeps none. */
  readonly entries: readonly SafetensorsEntry[];
}

/**
 * Reads the JSON of a safetensors header for a file with `dataBytes` bytes behind it. Refused, as a sentence without
 * its full stop: names that come twice, unknown dtypes, shapes that do not match their ranges, ranges that overlap,
 * leave a gap or do not end where the file does. Source: the safetensors README, "Format", and its validation rules.
 */
export function parseSafetensorsHeader(text: string, dataBytes: number): Result<SafetensorsHeader, string> {
  if (!text.startsWith('{')) return refused('its header does not begin with {');
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    return refused('its header is not JSON');
  }
  const twice = repeatedName(text);
  if (twice !== undefined) return refused(`its header names ${twice} twice`);
  const { __metadata__: metadata = {}, ...tensors } = json as Record<string, unknown>;
  if (!isRecord(metadata) || !Object.values(metadata).every((value) => typeof value === 'string')) {
    return refused('its __metadata__ is not a map from strings to strings');
  }
  const entries: SafetensorsEntry[] = [];
  for (const [name, described] of Object.entries(tensors)) {
    const entry = parseEntry(name, described);
    if (!entry.ok) return entry;
    entries.push(entry.value);
  }
  entries.sort(
    (left, right) => left.begin - right.begin || left.end - right.end || (left.name < right.name ? -1 : 1),
  );
  let end = 0;
  for (const entry of entries) {
    if (entry.begin !== end) {
      const how = entry.begin < end ? 'overlaps the tensor before it' : 'leaves a gap before it';
      return refused(`tensor ${entry.name} ${how} (it begins at byte ${entry.begin}, not ${end})`);
    }
    end = entry.end;
  }
  if (end !== dataBytes) return refused(`its tensors end at byte ${end} and its data at byte ${dataBytes}`);
  return ok({ metadata: metadata as Record<string, string>, entries });
}

function parseEntry(name: string, described: unknown): Result<SafetensorsEntry, string> {
  if (!isRecord(described)) return refused(`tensor ${name} is not described by an object`);
  const { dtype, shape, data_offsets: offsets, ...others } = described;
  const [stray] = Object.keys(others);
  if (stray !== undefined) return refused(`tensor ${name} has a field ${stray}, which is not of the format`);
  if (typeof dtype !== 'string' || !Object.hasOwn(DTYPE_BYTES, dtype)) {
    return refused(`tensor ${name} has the dtype ${String(dtype).slice(0, 16)}, which is not read here`);
  }
  if (!isWholeNumbers(shape)) return refused(`the shape of tensor ${name} is not a list of whole numbers`);
  if (!isWholeNumbers(offsets) || offsets.length !== 2) {
    return refused(`the data_offsets of tensor ${name} are not two whole numbers`);
  }
  const [begin, end] = offsets as [number, number];
  // A product past 2^53 is inexact, but far beyond any range: the comparison refuses it all the same.
  const bytes = shape.reduce((product, extent) => product * extent, DTYPE_BYTES[dtype as SafetensorsDtype]);
  if (end - begin !== bytes) {
    return refused(
      `tensor ${name} of shape [${shape.join(', ')}] and dtype ${dtype} needs ${bytes} bytes, its range has ${end - begin}`,
    );
  }
  return ok({ name, dtype: dtype as SafetensorsDtype, shape, begin, end });
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isWholeNumbers(value: unknown): value is number[] {
  return Array.isArray(value) && value.every((item) => Number.isSafeInteger(item) && item >= 0);
}

/** The first member name that one object of valid JSON holds twice: JSON.parse would silently keep the last. */
export function repeatedName(json: string): string | undefined {
  const open: (Set<string> | undefined)[] = [];
  const token = /"(?:[^"\\]|\\.)*"|[{}[\]]/gy;
  const between = /[^"{}[\]]*/y;
  const colon = /\s*:/y;
  for (let at = 0; at < json.length; ) {
    between.lastIndex = at;
    between.exec(json);
    token.lastIndex = between.lastIndex;
    const found = token.exec(json)?.[0];
    if (found === undefined) return undefined;
    at = token.lastIndex;
    if (found === '{') open.push(new Set());
    else if (found === '[') open.push(undefined);
    else if (found === '}' || found === ']') open.pop();
    else {
      colon.lastIndex = at;
      if (!colon.test(json)) continue;
      const name = JSON.parse(found) as string;
      const seen = open.at(-1);
      if (seen?.has(name)) return name;
      seen?.add(name);
    }
  }
  return undefined;
}
