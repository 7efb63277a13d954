import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { encodeUpdate } from '../../src/aggregation/encodings/encode-update.ts';
import { ENCODING_NAMES, type PayloadEncoding } from '../../src/aggregation/encodings/payload-encoding.ts';
import { Jobs } from '../../src/coordinator/jobs.ts';
import { Roster } from '../../src/coordinator/roster.ts';
import type { SpoolStore } from '../../src/coordinator/spool/sealed-spool.ts';
import { Uploads } from '../../src/coordinator/uploads.ts';
import { globalNorm } from '../../src/participant/trainers/clip-by-norm.ts';
import type { Assignment } from '../../src/rounds/assignment.ts';
import { manifestOf } from '../../src/rounds/job.ts';
import type { Receipt, UpdateDeclaration } from '../../src/rounds/update.ts';
import { PayloadHasher } from '../../src/sm/payload-digest.ts';
import { sm3 } from '../../src/sm/sm3.ts';
import { openDiskStore } from '../../src/storage/disk/disk-store.ts';
import type { UploadSlot } from '../../src/transport/desk.ts';
import type { JobId, SiteId } from '../../src/vocabulary/ids.ts';
import { bytesOf } from '../../src/weights/float32-bytes.ts';
import { manifestElements } from '../../src/weights/manifest.ts';
import { spooled } from '../storage/memory/spooled-store.ts';
import { Counters, Ending, wallClock } from '../transport/parties.ts';
import { CHUNK_BYTES, FEDERATION, jobOf, PRESENCE, updateOf } from './field.ts';

const SITE = 'bern' as SiteId;
let ending: Ending;
let folder: string;
let store: SpoolStore;
let jobs: Jobs;
let uploads: Uploads;
let signing: Promise<void>;

function start() {
  const telemetry = new Counters();
  const roster = ending.add(new Roster(wallClock, 60_000, () => {}), (own) => own.close());
  jobs = new Jobs({ store, clock: wallClock, telemetry, roster, chunkBytes: 4096 });
  uploads = new Uploads({
    store,
    clock: wallClock,
    jobs,
    federation: FEDERATION,
    updateBytesMax: 2 ** 31,
    verifyUpdate: async () => true,
    signReceipt: async (): Promise<Receipt> => {
      await signing;
      return {
        statement: new Uint8Array(1),
        algorithm: 'sm2sig_sm3',
        keyId: 'test',
        signature: new Uint8Array(64),
      };
    },
  });
}

beforeEach(async () => {
  ending = new Ending();
  folder = await mkdtemp(join(tmpdir(), 'consilium-uploads-'));
  ending.add(folder, (own) => rm(own, { recursive: true, force: true }));
  store = spooled(await openDiskStore(folder));
  signing = Promise.resolve();
  start();
});
afterEach(async () => {
  await jobs.close();
  await store.close();
  await ending.close();
});

/** A job of one site in its first training round, and two updates of that site. */
async function begin(change: Readonly<Record<string, unknown>> = {}) {
  const spec = jobOf({ statistics: false, cohort: { size: 2 }, quorum: 1, evaluateEvery: 0, ...change });
  const weights = new Float32Array(manifestElements(manifestOf(spec)));
  const submitted = await jobs.submit(spec, spec.initialWeights && weights);
  if (!submitted.ok) throw new Error(submitted.refusal.code);
  const schemas = [{ id: 'net', version: '1.0.0' }];
  const trainers = PRESENCE.trainers.map((offer) => ({ ...offer, schemas }));
  const presence = { ...PRESENCE, trainers, encodings: ENCODING_NAMES };
  await jobs.tellAll({ kind: 'site-online', site: SITE, presence });
  await jobs.tellAll({ kind: 'site-online', site: 'lyon' as SiteId, presence });
  const { digest } = submitted.value;
  const assignment = {
    spec,
    job: spec.name as JobId,
    round: 1,
    attempt: 1,
    baseVersion: 0,
    baseDigest: digest,
  } as Assignment;
  return { assignment, first: updateOf(assignment, SITE, 0.25), second: updateOf(assignment, SITE, 0.5) };
}

/** Sends bytes as an update in an encoding, from where the coordinator goes on; gives the code of what is said to it. */
async function sendEncoded(
  assignment: Assignment,
  encoding: PayloadEncoding,
  bytes: Uint8Array,
  change: Partial<UpdateDeclaration> = {},
): Promise<string> {
  const hasher = new PayloadHasher(CHUNK_BYTES);
  hasher.update(bytes);
  const { declaration: plain } = updateOf(assignment, SITE, 0.25);
  const [digest, payloadBytes] = [hasher.digest(), bytes.byteLength];
  const declaration = { ...plain, encoding, digest, payloadBytes, norm: undefined, ...change };
  const verdict = await uploads.declare(SITE, declaration, new Uint8Array(64));
  if (!verdict.ok) return verdict.refusal.code;
  if (verdict.value.kind !== 'slot') return 'held';
  const { slot } = verdict.value;
  try {
    for (let chunk = slot.staged.chunkDigests.length; chunk * CHUNK_BYTES < bytes.byteLength; chunk++) {
      const data = bytes.slice(chunk * CHUNK_BYTES, (chunk + 1) * CHUNK_BYTES);
      const fault = slot.inspect(chunk, data);
      if (fault) return fault.code;
      await slot.staged.write(data, sm3(data));
    }
    await slot.staged.seal();
    const accepted = await slot.accept();
    return accepted.ok ? 'accepted' : accepted.refusal.code;
  } finally {
    await slot.release();
  }
}

describe('an encoded update', () => {
  const INT8 = { updateEncoding: { name: 'int8', fallback: 'none' } };
  const encoding = { name: 'int8' } as const;
  const encodedOf = ({ spec }: Assignment, value: number) => {
    const manifest = manifestOf(spec);
    return encodeUpdate(manifest, encoding, new Float32Array(manifestElements(manifest)).fill(value), 64);
  };

  test('is taken where its norm is that of what it decodes to, and refused where it is not', async () => {
    const { assignment } = await begin(INT8);
    const bytes = encodedOf(assignment, 0.25);
    expect(await sendEncoded(assignment, encoding, bytes, { norm: 1 })).toBe('UPDATE_NORM_FALSE');
    const elements = manifestElements(manifestOf(assignment.spec));
    const norm = globalNorm(new Float32Array(elements).fill(Math.fround(0.25 / 127) * 127));
    expect(await sendEncoded(assignment, encoding, bytes, { norm })).toBe('accepted');
  });

  test('in another encoding, or as float32 where the job takes no other, is refused before its bytes come', async () => {
    const { assignment, first } = await begin(INT8);
    const verdict = await uploads.declare(SITE, first.declaration, new Uint8Array(64));
    expect(verdict).toMatchObject({ ok: false, refusal: { code: 'UPDATE_ENCODING_REFUSED' } });
    const half = new Uint8Array(first.declaration.payloadBytes / 2);
    expect(await sendEncoded(assignment, { name: 'float16' }, half)).toBe('UPDATE_ENCODING_REFUSED');
  });

  test('to a job that wants float32 is refused, and float32 is taken where the job falls back to it', async () => {
    const { assignment } = await begin();
    expect(await sendEncoded(assignment, encoding, encodedOf(assignment, 0.25))).toBe(
      'UPDATE_ENCODING_REFUSED',
    );
    await jobs.close();
    start();
    const { first } = await begin({ updateEncoding: { name: 'int8' }, name: 'falls-back' });
    expect(await uploads.declare(SITE, first.declaration, new Uint8Array(64))).toMatchObject({ ok: true });
  });

  test('of bytes that no encoder makes is refused, at the chunk or at the end of a resumed transfer, and leaves nothing', async () => {
    const { assignment } = await begin(INT8);
    const spoilt = encodedOf(assignment, 0.25);
    // The code -128 in the last channel: that of the last tensor.
    spoilt[spoilt.length - 1] = 0x80;
    expect(await sendEncoded(assignment, encoding, spoilt)).toBe('UPDATE_ENCODING_INVALID');
    // Its first chunks were staged: what goes on from there is judged as a whole.
    expect(await sendEncoded(assignment, encoding, spoilt)).toBe('UPDATE_ENCODING_INVALID');
    expect(await store.staging.list('')).toEqual([]);
    const beyond = encodedOf(assignment, 0.25);
    new DataView(beyond.buffer).setFloat32(0, 1, true);
    expect(await sendEncoded(assignment, encoding, beyond)).toBe('UPDATE_OUT_OF_BOUND');
    const small = encodedOf(assignment, 0.25).subarray(1);
    expect(await sendEncoded(assignment, encoding, small)).toBe('UPDATE_MISSHAPED');
  });
});

async function slotFor(declaration: UpdateDeclaration): Promise<UploadSlot> {
  const verdict = await uploads.declare(SITE, declaration, new Uint8Array(64));
  if (!verdict.ok) throw new Error(verdict.refusal.code);
  if (verdict.value.kind !== 'slot') throw new Error('it is held');
  return verdict.value.slot;
}

async function fill(slot: UploadSlot, { source }: ReturnType<typeof updateOf>): Promise<void> {
  for await (const data of source.chunks(0)) await slot.staged.write(data, sm3(data));
  await slot.staged.seal();
}

test('an update that is being accepted keeps its bytes, whatever the site declares meanwhile under the same key', async () => {
  const { first, second } = await begin();
  const slot = await slotFor(first.declaration);
  await fill(slot, first);
  let sign = () => {};
  signing = new Promise((resolve) => {
    sign = resolve;
  });
  const accepted = slot.accept();
  const rival = uploads.declare(SITE, second.declaration, new Uint8Array(64));
  // As long as a rival takes that does not wait.
  await new Promise((resolve) => setTimeout(resolve, 100));
  sign();
  expect(await accepted).toMatchObject({ ok: true });
  expect(await rival).toMatchObject({ ok: false, refusal: { code: 'UPDATE_CONFLICT' } });
  const sealed = await store.staging.sealed(`heart/1/1/${SITE}`);
  expect(sealed?.plan.digest).toBe(first.declaration.digest);
});

test('an update that holds anything of a tensor that is local is refused at its chunk, by its name', async () => {
  const { first } = await begin({ batchNorm: { policy: 'local', tensors: ['dense.1.*'] } });
  const slot = await slotFor(first.declaration);
  const found: unknown[] = [];
  let chunk = 0;
  for await (const data of first.source.chunks(0)) found.push(slot.inspect(chunk++, data));
  // dense.0 has 6144 elements in chunks of 1024; the 2049 of dense.1 come behind them.
  expect(found.slice(0, 6)).toEqual(Array(6).fill(undefined));
  const refused = (tensor: string, index: number) => ({
    code: 'UPDATE_OF_UNSHARED',
    details: { tensor, index: String(index), policy: 'local' },
  });
  expect(found.slice(6)).toEqual([
    refused('dense.1.weight', 0),
    refused('dense.1.weight', 1024),
    refused('dense.1.bias', 0),
  ]);
  expect(slot.inspect(7, new Uint8Array(4096))).toBeUndefined();
  await slot.release();
});

test('an update that holds anything of a tensor that its trainer lacks is refused at its chunk, in any encoding', async () => {
  const tensors = [
    { name: 'stem', shape: [2048] },
    { name: 'skip', shape: [2048], since: '1.1.0', default: 0 },
  ];
  const { assignment, first } = await begin({
    model: { kind: 'external', tensors },
    weightSchema: { id: 'net', version: '1.1.0', probe: 'off' },
    initialWeights: { file: 'w.safetensors' },
    updateEncoding: { name: 'int8' },
  });
  const behind = { schemaVersion: '1.0.0' };
  const slot = await slotFor({ ...first.declaration, ...behind });
  const found: unknown[] = [];
  let chunk = 0;
  for await (const data of first.source.chunks(0)) found.push(slot.inspect(chunk++, data));
  const refused = (index: number) => ({
    code: 'UPDATE_OF_LACKED',
    details: { tensor: 'skip', index: String(index), version: '1.0.0' },
  });
  expect(found).toEqual([undefined, undefined, refused(0), refused(1024)]);
  await slot.release();
  const encoding = { name: 'int8' } as const;
  const manifest = manifestOf(assignment.spec);
  const values = new Float32Array(4096);
  values[4095] = 0.5;
  const bytes = (update: Float32Array) => encodeUpdate(manifest, encoding, update, 64);
  expect(await sendEncoded(assignment, encoding, bytes(values), behind)).toBe('UPDATE_OF_LACKED');
  const whole = values.map((_, at) => (at < 2048 ? 0.25 : 0));
  expect(await sendEncoded(assignment, encoding, bytes(whole), behind)).toBe('accepted');
});

test('of two streams under one key the newer one goes on, and the older one is told so', async () => {
  const { first, second } = await begin();
  const older = await slotFor(first.declaration);
  await fill(older, first);
  const newer = await slotFor(second.declaration);
  await expect(older.accept()).rejects.toMatchObject({ problem: { code: 'WITHDRAWN' } });
  await expect(older.discard()).rejects.toMatchObject({ problem: { code: 'WITHDRAWN' } });
  await fill(newer, second);
  expect(await newer.accept()).toMatchObject({ ok: true });
});

test('what was staged for rounds that are over is gone after a restart, what a round still waits for is not', async () => {
  const { first } = await begin();
  const slot = await slotFor(first.declaration);
  await fill(slot, first);
  await slot.release();
  const plan = { payloadBytes: 4096, chunkBytes: 4096, digest: first.declaration.digest };
  for (const left of ['heart/0/1/lyon', 'kidney/1/1/bern'])
    await (await store.staging.open(left, plan)).close();
  await jobs.close();
  start();
  await jobs.recover();
  expect(await store.staging.list('')).toEqual([`heart/1/1/${SITE}`]);
});

test('every value is held to the bound of its own tensor as it comes, and so is the declared norm', async () => {
  const { first } = await begin({
    updateBound: { default: 1, tensors: { '*.bias': 0.125, 'dense.0.*t': 8 } },
  });
  const slot = await slotFor(first.declaration);
  // 4,096 elements of dense.0.weight, 2,048 of its bias, 2,048 of dense.1.weight and one of its bias: 1,024 to a chunk.
  const filled = (value: number) => bytesOf(new Float32Array(1024).fill(value));
  expect(slot.inspect(0, filled(8))).toBeUndefined();
  expect(slot.inspect(1, filled(8.5))).toMatchObject({
    code: 'UPDATE_OUT_OF_BOUND',
    details: { tensor: 'dense.0.weight', index: '1024', bound: '8' },
  });
  expect(slot.inspect(4, filled(0.125))).toBeUndefined();
  expect(slot.inspect(5, filled(0.25))).toMatchObject({
    code: 'UPDATE_OUT_OF_BOUND',
    details: { tensor: 'dense.0.bias', index: '1024', bound: '0.125' },
  });
  expect(slot.inspect(6, filled(1))).toBeUndefined();
  expect(slot.inspect(8, bytesOf(Float32Array.of(-1)))).toMatchObject({
    details: { tensor: 'dense.1.bias' },
  });
  expect(slot.inspect(7, filled(Number.NaN))).toMatchObject({ code: 'UPDATE_NON_FINITE' });
  const most = Math.sqrt(4096 * 8 ** 2 + 2049 * 0.125 ** 2 + 2048);
  const declared = (norm: number) =>
    uploads.declare(SITE, { ...first.declaration, norm }, new Uint8Array(64));
  expect(await declared(most * 1.01)).toMatchObject({ ok: false, refusal: { code: 'UPDATE_MISSHAPED' } });
  expect(await declared(most * 0.99)).toMatchObject({ ok: true });
});
