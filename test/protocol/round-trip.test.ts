import fc from 'fast-check';
import { expect, test } from 'vitest';
import {
  decodeCoordinatorMessage,
  encodeCoordinatorMessage,
} from '../../src/protocol/coordinator-message-codec.ts';
import { decodeEnvelope, encodeEnvelope } from '../../src/protocol/envelope-codec.ts';
import {
  decodeOpenRequest,
  decodeOpenResponse,
  encodeOpenRequest,
  encodeOpenResponse,
} from '../../src/protocol/open-codec.ts';
import { decodeSiteMessage, encodeSiteMessage } from '../../src/protocol/site-message-codec.ts';
import {
  decodeDownloadRequest,
  decodeDownloadResponse,
  decodeUploadRequest,
  decodeUploadResponse,
  encodeDownloadRequest,
  encodeDownloadResponse,
  encodeUploadRequest,
  encodeUploadResponse,
} from '../../src/protocol/transfer-codec.ts';
import { jobManifest } from '../../src/rounds/job-manifest.ts';
import type { Digest } from '../../src/vocabulary/digest.ts';
import type { AssignmentId, JobId } from '../../src/vocabulary/ids.ts';
import type { WeightsManifest } from '../../src/weights/schema/weights-manifest.ts';
import { externalJob, externalManifest } from '../rounds/external-model.ts';
import {
  bytes,
  chunk,
  coordinatorMessage,
  declaration,
  label,
  occurrence,
  payload,
  siteMessage,
  text,
  uint32,
  whole,
} from './arbitrary.ts';

const nonce = bytes({ minLength: 32, maxLength: 32 });
const identity = fc.record({ document: bytes(), signature: bytes() });
const kind = <Kind extends string>(name: Kind) => fc.constant(name);

test('what a site says arrives as it was said', () => {
  fc.assert(
    fc.property(siteMessage, (message) => {
      expect(decodeSiteMessage(encodeSiteMessage(message))).toEqual({ ok: true, value: message });
    }),
  );
});

test('what the coordinator says arrives as it was said', () => {
  fc.assert(
    fc.property(coordinatorMessage, (message) => {
      expect(decodeCoordinatorMessage(encodeCoordinatorMessage(message))).toEqual({
        ok: true,
        value: message,
      });
    }),
  );
});

test('a probe of an external model with what this version cannot use is declined, and not taken for a broken message', () => {
  const spec = externalJob();
  const id = 'tiny-1/0/1/probe' as AssignmentId;
  const told = (weightsManifest: WeightsManifest) =>
    decodeCoordinatorMessage(
      encodeCoordinatorMessage({
        kind: 'assignment',
        assignment: {
          ...{ id, job: 'tiny-1' as JobId, round: 0, attempt: 1, task: 'probe', baseVersion: 0 },
          ...{ baseDigest: `sm3:${'0'.repeat(64)}` as Digest, remainingMs: 1 },
          ...{ spec, constants: undefined, weightsManifest },
        },
      }),
    );
  const manifest = jobManifest(spec, externalManifest());
  expect(told(manifest)).toMatchObject({ ok: true, value: { kind: 'assignment' } });
  const other = { ...manifest, schema: { id: 'other', version: '1.0.0' } };
  const later = { ...manifest, probe: { ...manifest.probe!, generator: 'consilium-probe-2' } };
  const what = expect.stringContaining('weightSchema.manifest');
  for (const beyond of [other, later as unknown as WeightsManifest]) {
    expect(told(beyond)).toMatchObject({
      ok: true,
      value: {
        kind: 'assignment-beyond',
        assignment: id,
        problem: { code: 'JOB_UNSUPPORTED', details: { what } },
      },
    });
  }
  const large = { ...manifest, layers: Array.from({ length: 800 }, layerOf) };
  expect(told(large)).toMatchObject({ ok: false, refusal: { code: 'MESSAGE_MALFORMED' } });
});

function layerOf(_: unknown, place: number) {
  return { name: `${place}${'x'.repeat(990)}`, op: 'Linear', attributes: {} } as const;
}

test('the messages of Open arrive as they were said', () => {
  const request = fc.oneof(
    fc.record({ kind: kind('begin'), software: text }),
    fc.record({
      kind: kind('enroll'),
      enroll: fc.record({
        site: label,
        secret: bytes(),
        publicKey: bytes(),
        signature: bytes(),
        certificateRequest: bytes(),
      }),
    }),
  );
  const response = fc.oneof(
    fc.record({
      kind: kind('granted'),
      granted: fc.record({ coordinatorTime: whole, heartbeatMs: uint32, revocationList: identity }),
    }),
    fc.record({ kind: kind('enrolled'), enrolled: fc.record({ identity, approved: fc.boolean() }) }),
    fc.record({ kind: kind('problem'), problem: occurrence }),
  );
  fc.assert(
    fc.property(request, response, (asked, answered) => {
      expect(decodeOpenRequest(encodeOpenRequest(asked))).toEqual({ ok: true, value: asked });
      expect(decodeOpenResponse(encodeOpenResponse(answered))).toEqual({ ok: true, value: answered });
    }),
  );
});

test('the messages of transfers arrive as they were said, and the site of an update is that of the session', () => {
  const up = fc.oneof(
    fc.record({ kind: kind('declaration'), declaration, signature: bytes() }),
    fc.record({ kind: kind('chunk'), chunk }),
    fc.record({ kind: kind('finish') }),
  );
  const upAnswer = fc.oneof(
    fc.record({ kind: kind('resume'), nextChunk: uint32 }),
    fc.record({
      kind: kind('receipt'),
      receipt: fc.record({ statement: bytes(), algorithm: text, keyId: text, signature: bytes() }),
    }),
    fc.record({ kind: kind('problem'), problem: occurrence }),
  );
  const down = fc.record({ job: label, version: uint32, fromChunk: uint32 });
  const downAnswer = fc.oneof(
    fc.record({ kind: kind('payload'), payload }),
    fc.record({ kind: kind('chunk'), chunk }),
    fc.record({ kind: kind('problem'), problem: occurrence }),
  );
  fc.assert(
    fc.property(up, upAnswer, down, downAnswer, label, (update, said, request, weights, stranger) => {
      const site = update.kind === 'declaration' ? update.declaration.key.site : stranger;
      expect(decodeUploadRequest(encodeUploadRequest(update), site)).toEqual({ ok: true, value: update });
      expect(decodeUploadResponse(encodeUploadResponse(said))).toEqual({ ok: true, value: said });
      expect(decodeDownloadRequest(encodeDownloadRequest(request))).toEqual({ ok: true, value: request });
      expect(decodeDownloadResponse(encodeDownloadResponse(weights))).toEqual({ ok: true, value: weights });
    }),
  );
});

test('an envelope carries a record with the head of its stream or without, a flight, a sealed chunk or a refusal', () => {
  const head = fc.record({ session: nonce, stream: whole, generation: uint32, round: whole });
  const envelope = fc.oneof(
    fc.record({ kind: kind('record'), flags: uint32, record: bytes() }),
    fc.record({ kind: kind('record'), head, flags: uint32, record: bytes() }),
    fc.record({ kind: kind('handshake'), handshake: bytes() }),
    fc.record({ kind: kind('sealed-chunk'), sealedChunk: bytes() }),
    fc.record({ kind: kind('refusal'), refusal: occurrence }),
  );
  fc.assert(
    fc.property(envelope, (said) => {
      const plain = (value: unknown) =>
        JSON.parse(
          JSON.stringify(value, (_, member) =>
            member instanceof Uint8Array ? [...member] : (member?.data ?? member),
          ),
        );
      const opened = decodeEnvelope(encodeEnvelope(said));
      expect(opened.ok && plain(opened.value)).toEqual(plain(said));
    }),
  );
  const short = { session: new Uint8Array(31), stream: 1, generation: 0, round: 0 };
  const record = { kind: 'record', flags: 0, record: new Uint8Array() } as const;
  expect(decodeEnvelope(encodeEnvelope({ ...record, head: short })).ok).toBe(false);
  expect(decodeEnvelope(new Uint8Array()).ok).toBe(false);
});

test('the data of a decoded chunk is aligned for numbers, wherever it lay in its message', () => {
  fc.assert(
    fc.property(chunk, fc.nat(7), (sent, shift) => {
      const encoded = encodeUploadRequest({ kind: 'chunk', chunk: sent });
      const moved = new Uint8Array(encoded.length + shift).subarray(shift);
      moved.set(encoded);
      const decoded = decodeUploadRequest(moved, 'zurich' as never);
      expect(decoded.ok && decoded.value.kind === 'chunk' && decoded.value.chunk.data.byteOffset % 4).toBe(0);
    }),
  );
});

test('a training loss that is no number any more does not leave the site', () => {
  const progress = {
    assignment: 'risk/1/1/train' as never,
    phase: 'training' as const,
    fraction: 0.5,
    bytes: 0,
  };
  const said = encodeSiteMessage({
    kind: 'heartbeat',
    sentAt: 1,
    progress: [{ ...progress, loss: Number.NaN }],
  });
  expect(decodeSiteMessage(said)).toEqual({
    ok: true,
    value: { kind: 'heartbeat', sentAt: 1, progress: [{ ...progress, loss: undefined }] },
  });
});
