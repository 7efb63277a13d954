import { fileURLToPath } from 'node:url';
import { loadSync, type MessageTypeDefinition } from '@grpc/proto-loader';
import { type Problem, problem } from '../errors/problem.ts';
import { ok, type Result, refused } from '../vocabulary/result.ts';
import type { AttendRequest, AttendRequest__Output } from './generated/consilium/v1/AttendRequest.ts';
import type { AttendResponse, AttendResponse__Output } from './generated/consilium/v1/AttendResponse.ts';
import type { DownloadRequest, DownloadRequest__Output } from './generated/consilium/v1/DownloadRequest.ts';
import type {
  DownloadResponse,
  DownloadResponse__Output,
} from './generated/consilium/v1/DownloadResponse.ts';
import type { Envelope, Envelope__Output } from './generated/consilium/v1/Envelope.ts';
import type { OpenRequest, OpenRequest__Output } from './generated/consilium/v1/OpenRequest.ts';
import type { OpenResponse, OpenResponse__Output } from './generated/consilium/v1/OpenResponse.ts';
import type { OperateRequest, OperateRequest__Output } from './generated/consilium/v1/OperateRequest.ts';
import type { OperateResponse, OperateResponse__Output } from './generated/consilium/v1/OperateResponse.ts';
import type { UploadRequest, UploadRequest__Output } from './generated/consilium/v1/UploadRequest.ts';
import type { UploadResponse, UploadResponse__Output } from './generated/consilium/v1/UploadResponse.ts';
import { type FieldShape, firstUnknownField, type MessageShape, wireFault } from './wire-budget.ts';

/** Messages that travel on their own; every other message is a field of one of these. */
interface WireTypes {
  Envelope: [Envelope, Envelope__Output];
  OpenRequest: [OpenRequest, OpenRequest__Output];
  OpenResponse: [OpenResponse, OpenResponse__Output];
  AttendRequest: [AttendRequest, AttendRequest__Output];
  AttendResponse: [AttendResponse, AttendResponse__Output];
  DownloadRequest: [DownloadRequest, DownloadRequest__Output];
  DownloadResponse: [DownloadResponse, DownloadResponse__Output];
  UploadRequest: [UploadRequest, UploadRequest__Output];
  UploadResponse: [UploadResponse, UploadResponse__Output];
  OperateRequest: [OperateRequest, OperateRequest__Output];
  OperateResponse: [OperateResponse, OperateResponse__Output];
}

/** The directory of the .proto files: at the package root, beside both src and dist. */
export const PROTO_DIRECTORY = fileURLToPath(new URL('../../proto', import.meta.url));

/** The .proto files, relative to `PROTO_DIRECTORY`. */
export const PROTO_FILES = ['attend', 'coordinator', 'features', 'open', 'operate', 'transfer'].map(
  (name) => `consilium/v1/${name}.proto`,
);

interface FieldDescriptor {
  readonly number: number;
  readonly label: string;
  readonly type: string;
  readonly typeName: string;
}

const PACKAGE = 'consilium.v1.';

const definitions = loadSync(PROTO_FILES, {
  includeDirs: [PROTO_DIRECTORY],
  longs: String,
  enums: String,
  defaults: true,
  oneofs: true,
}) as unknown as Record<
  string,
  MessageTypeDefinition<object, object> & { type: { field?: FieldDescriptor[] } }
>;

const shapes = new Map<string, MessageShape>();

function shapeOf(name: string): MessageShape {
  let shape = shapes.get(name);
  if (!shape) {
    const fields = definitions[PACKAGE + name]?.type.field ?? [];
    shape = { name, fields: new Map(fields.map((field) => [field.number, fieldShape(field)])) };
    shapes.set(name, shape);
  }
  return shape;
}

function fieldShape({ label, type, typeName }: FieldDescriptor): FieldShape {
  if (type === 'TYPE_MESSAGE') {
    const name = typeName.slice(typeName.lastIndexOf('.') + 1);
    return { kind: 'message', shape: () => shapeOf(name) };
  }
  if (label !== 'LABEL_REPEATED' || type === 'TYPE_STRING' || type === 'TYPE_BYTES')
    return { kind: 'scalar' };
  if (type.endsWith('FIXED64') || type === 'TYPE_DOUBLE') return { kind: 'packed', elementBytes: 8 };
  if (type.endsWith('FIXED32') || type === 'TYPE_FLOAT') return { kind: 'packed', elementBytes: 4 };
  return { kind: 'packed', elementBytes: 1 };
}

/** The bytes of a message; owned by the caller. */
export function encodeWire<Name extends keyof WireTypes>(name: Name, message: WireTypes[Name][0]): Buffer {
  return definitions[PACKAGE + name]!.serialize(message);
}

/**
 * The message in `bytes`, every absent field at its default and 64-bit integers as decimal text. Byte fields are
 * views of `bytes`. Total: whatever the bytes are, the answer is a message or MESSAGE_MALFORMED.
 */
export function decodeWire<Name extends keyof WireTypes>(
  name: Name,
  bytes: Uint8Array,
): Result<WireTypes[Name][1], Problem> {
  const fault = wireFault(bytes, shapeOf(name));
  if (fault !== undefined) return refused(problem('MESSAGE_MALFORMED', { reason: fault }));
  try {
    const view = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    return ok(definitions[PACKAGE + name]!.deserialize(view) as WireTypes[Name][1]);
  } catch {
    return refused(problem('MESSAGE_MALFORMED', { reason: `${name} does not fit its schema` }));
  }
}

/**
 * The number of the first field of a message that this version's schema does not have, as a later version may add them; undefined
 * where there is none. Of bytes that `decodeWire` has taken.
 */
export function unknownField(name: keyof WireTypes, bytes: Uint8Array): number | undefined {
  return firstUnknownField(bytes, shapeOf(name));
}

/** Full path of a method, as HTTP/2 carries it. */
export const METHOD_PATHS = {
  open: '/consilium.v1.CoordinatorService/Open',
  attend: '/consilium.v1.CoordinatorService/Attend',
  download: '/consilium.v1.CoordinatorService/Download',
  upload: '/consilium.v1.CoordinatorService/Upload',
  operate: '/consilium.v1.CoordinatorService/Operate',
} as const;

/** A method of the one service. */
export type Method = keyof typeof METHOD_PATHS;
