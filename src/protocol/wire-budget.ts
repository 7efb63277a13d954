/** Fields and list elements that one message may hold; about 12,000 tensors of a manifest. */
export const WIRE_ELEMENTS_MAX = 100_000;

/** What the budget needs to know of a message type: which fields hold messages, and which hold packed numbers. */
export interface MessageShape {
  readonly name: string;
  readonly fields: ReadonlyMap<number, FieldShape>;
}

/** `scalar` covers strings, bytes and single numbers: nothing in them multiplies. */
export type FieldShape =
  | { readonly kind: 'scalar' }
  | { readonly kind: 'packed'; readonly elementBytes: 1 | 4 | 8 }
  | { readonly kind: 'message'; readonly shape: () => MessageShape };

interface Cursor {
  readonly bytes: Uint8Array;
  place: number;
  left: number;
}

const WIRE_VARINT = 0;
const WIRE_FIXED64 = 1;
const WIRE_LENGTH = 2;
const WIRE_FIXED32 = 5;

/**
 * Walks a message of the wire (Protocol Buffers encoding) without allocating anything for it, and says why it must
 * not be decoded: it is cut short, or it holds more fields and list elements than any honest message, each of
 * which would cost a hundred times its bytes once decoded. Undefined when it may be decoded.
 */
export function wireFault(bytes: Uint8Array, shape: MessageShape): string | undefined {
  return walk({ bytes, place: 0, left: WIRE_ELEMENTS_MAX }, bytes.length, shape);
}

/** The number of the first field at the top of a message (one that has no fault) that its shape lacks. */
export function firstUnknownField(bytes: Uint8Array, shape: MessageShape): number | undefined {
  const cursor = { bytes, place: 0, left: WIRE_ELEMENTS_MAX };
  while (cursor.place < bytes.length) {
    const tag = readVarint(cursor, bytes.length) ?? 0;
    const number = Math.floor(tag / 8);
    if (!shape.fields.has(number)) return number;
    skipField(cursor, bytes.length, shape, number, tag % 8);
  }
  return undefined;
}

function walk(cursor: Cursor, end: number, shape: MessageShape): string | undefined {
  while (cursor.place < end) {
    const tag = readVarint(cursor, end);
    if (tag === undefined) return `${shape.name} is cut short`;
    if (--cursor.left < 0) return `${shape.name} holds more than ${WIRE_ELEMENTS_MAX} fields and elements`;
    const number = Math.floor(tag / 8);
    if (number === 0) return `${shape.name} has a field numbered 0`;
    const fault = skipField(cursor, end, shape, number, tag % 8);
    if (fault !== undefined) return fault;
  }
  return undefined;
}

function skipField(cursor: Cursor, end: number, shape: MessageShape, number: number, wireType: number) {
  switch (wireType) {
    case WIRE_VARINT:
      return readVarint(cursor, end) === undefined ? `${shape.name} is cut short` : undefined;
    case WIRE_FIXED64:
    case WIRE_FIXED32:
      cursor.place += wireType === WIRE_FIXED64 ? 8 : 4;
      return cursor.place > end ? `${shape.name} is cut short` : undefined;
    case WIRE_LENGTH: {
      const length = readVarint(cursor, end);
      if (length === undefined || length > end - cursor.place) return `${shape.name} is cut short`;
      return enter(cursor, cursor.place + length, shape, number);
    }
    default:
      return `${shape.name} has a field of wire type ${wireType}`;
  }
}

function enter(cursor: Cursor, end: number, shape: MessageShape, number: number): string | undefined {
  const field = shape.fields.get(number);
  if (field?.kind === 'message') return walk(cursor, end, field.shape());
  if (field?.kind === 'packed') {
    cursor.left -=
      field.elementBytes === 1
        ? varintsIn(cursor.bytes, cursor.place, end)
        : Math.ceil((end - cursor.place) / field.elementBytes);
    if (cursor.left < 0) return `${shape.name} holds more than ${WIRE_ELEMENTS_MAX} fields and elements`;
  }
  cursor.place = end;
  return undefined;
}

/** A varint of at most 10 bytes; inexact beyond 2^53, where every use of it is refused anyway. */
function readVarint(cursor: Cursor, end: number): number | undefined {
  let value = 0;
  let scale = 1;
  for (let read = 0; read < 10 && cursor.place < end; read++) {
    const byte = cursor.bytes[cursor.place++]!;
    value += (byte & 0x7f) * scale;
    if (byte < 0x80) return value;
    scale *= 128;
  }
  return undefined;
}

function varintsIn(bytes: Uint8Array, start: number, end: number): number {
  let count = 0;
  for (let place = start; place < end; place++) if (bytes[place]! < 0x80) count++;
  return count;
}
