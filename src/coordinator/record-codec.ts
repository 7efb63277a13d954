import { fail } from '../errors/problem.ts';
import type { JobRecord } from '../rounds/job-record.ts';
import { canonicalJson } from '../vocabulary/canonical-json.ts';

const FORMAT = 1;

/** A job record as journal bytes: UTF-8 JSON with byte strings in base64. */
export function encodeRecord(record: JobRecord): Uint8Array {
  return new TextEncoder().encode(canonicalJson({ format: FORMAT, record: wrapBytes(record) }));
}

/** A job record from journal bytes. The journal's checksum has vouched for them; throws STORE_CORRUPT on another format. */
export function decodeRecord(bytes: Uint8Array): JobRecord {
  const { format, record } = JSON.parse(new TextDecoder().decode(bytes), (_, value) =>
    typeof value === 'object' && value !== null && typeof value.$base64 === 'string'
      ? new Uint8Array(Buffer.from(value.$base64, 'base64'))
      : value,
  ) as { format: unknown; record: JobRecord };
  if (format !== FORMAT)
    fail('STORE_CORRUPT', { what: `a job record has format ${String(format)}, not ${FORMAT}` });
  return record;
}

function wrapBytes(value: unknown): unknown {
  if (value instanceof Uint8Array) return { $base64: Buffer.from(value).toString('base64') };
  if (Array.isArray(value)) return value.map(wrapBytes);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, member]) => [key, wrapBytes(member)]));
}
