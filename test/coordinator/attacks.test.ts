import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { Client, credentials, status } from '@grpc/grpc-js';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Problem, problem } from '../../src/errors/problem.ts';
import { createFederationKeys, loadFederationKey } from '../../src/identity/federation-folder.ts';
import { issueIdentity } from '../../src/identity/identity.ts';
import { encodeEnvelope } from '../../src/protocol/envelope-codec.ts';
import { encodeWire } from '../../src/protocol/schema.ts';
import { encodeSiteMessage } from '../../src/protocol/site-message-codec.ts';
import { encodeDownloadRequest, encodeUploadRequest } from '../../src/protocol/transfer-codec.ts';
import type { JobView, OpinionView, SiteView } from '../../src/protocol/views.ts';
import { type Assignment, assignmentId, type SiteMessage } from '../../src/rounds/assignment.ts';
import type { UpdateDeclaration } from '../../src/rounds/update.ts';
import { makeChunk } from '../../src/transport/chunk-order.ts';
import { tokenEnrolment } from '../../src/transport/client/identity-credentials.ts';
import { encodeOperatorMessage } from '../../src/transport/operate-codec.ts';
import type { JobId, SiteId } from '../../src/vocabulary/ids.ts';
import { refusal } from '../transport/parties.ts';
import { madeUpSession } from '../transport/sm.ts';
import {
  CHUNK_BYTES,
  codeOf,
  FEDERATION,
  Field,
  type HonestSite,
  type HostileSite,
  jobOf,
  newSigner,
  openSession,
  PRESENCE,
  sumsOf,
  updateOf,
} from './field.ts';

/*
 * A registered site that turns on its federation: raw bytes over real gRPC against a real coordinator, while two
 * honest sites are in the same round. Each attack ends with one code of the catalogue, counted; the process stays up,
 * and every job ends with the updates of the honest sites in each of its rounds.
 */
interface Battle {
  readonly field: Field;
  readonly honest: readonly HonestSite[];
  readonly mallory: HostileSite;
  /** Lets the honest sites send their updates, has the hostile one decline all that is left, and gives the ended job. */
  finish(left?: Assignment): Promise<JobView>;
}

const say = (mallory: HostileSite, message: SiteMessage) => mallory.attending.say(encodeSiteMessage(message));

async function engage(change: object = {}, settings: object = {}): Promise<Battle> {
  const field = await Field.open({ ...settings });
  let open = () => {};
  const gate = new Promise<void>((resolve) => {
    open = resolve;
  });
  const honest = [await field.honest('bern', gate), await field.honest('lyon', gate)];
  const mallory = await field.hostile('mallory');
  say(mallory, { kind: 'presence', presence: PRESENCE });
  const there = async () =>
    (await field.askAll<SiteView>({ kind: 'list-sites' })).filter((site) => site.online);
  while ((await there()).length < 3) await new Promise((resolve) => setTimeout(resolve, 20));
  await field.submit(jobOf({ statistics: false, ...change }));
  const decline = (assignment: Assignment) =>
    say(mallory, {
      kind: 'answer',
      assignment: assignment.id,
      problem: problem('POLICY_DENIED', { what: 'it' }),
    });
  return {
    field,
    honest,
    mallory,
    finish: async (left) => {
      if (left) decline(left);
      void (async () => {
        for (;;) decline((await mallory.hear('assignment')).assignment);
      })().catch(() => {});
      open();
      return field.job('heart', ({ state }) => state !== 'running');
    },
  };
}

/** The honest sites were in every round, heard everything, and lost nothing. */
function expectUnharmed(job: JobView, { honest }: Battle): void {
  expect(job, job.reason ?? '').toMatchObject({ state: 'finished', version: 2 });
  for (const round of job.history) {
    expect(round.contributors.map(({ site }) => site)).toEqual(expect.arrayContaining(['bern', 'lyon']));
    expect(round.abandoned).toEqual([]);
  }
  for (const site of honest) {
    expect(site.failures).toEqual([]);
    expect(site.ended).toBeUndefined();
    expect(site.receipts.length).toBe(2);
  }
}

describe('a site that lies about its update', () => {
  let battle: Battle;
  let assignment: Assignment;
  let honestUpdate: ReturnType<typeof updateOf>;
  beforeAll(async () => {
    battle = await engage({}, { idleTimeoutMs: 6000 });
    assignment = await battle.mallory.assigned('train');
    honestUpdate = updateOf(assignment, battle.mallory.site, 0.5);
  });
  afterAll(() => battle?.field.close());

  const lie = (change: object): Uint8Array => {
    const declaration = { ...honestUpdate.declaration, ...change } as UpdateDeclaration;
    return encodeUploadRequest({ kind: 'declaration', declaration, signature: new Uint8Array(64) });
  };
  const tensors = (change: (list: { name: string; dtype: string; shape: unknown[] }[]) => unknown) => ({
    manifest: {
      ...honestUpdate.declaration.manifest,
      tensors: change(
        honestUpdate.declaration.manifest.tensors.map((own) => ({ ...own, shape: [...own.shape] })),
      ),
    },
  });
  const key = (change: object) => ({ key: { ...honestUpdate.declaration.key, ...change } });

  test.each<[string, string, () => object]>([
    ['2^53 bytes', 'MESSAGE_MALFORMED', () => ({ payloadBytes: 2 ** 53 })],
    ['-1 bytes', 'MESSAGE_MALFORMED', () => ({ payloadBytes: '-1' })],
    [
      'a digest in upper case',
      'MESSAGE_MALFORMED',
      () => ({ digest: honestUpdate.declaration.digest.toUpperCase() }),
    ],
    [
      'an extent of 2^53',
      'MESSAGE_MALFORMED',
      () => tensors(([one, ...rest]) => [{ ...one, shape: [2 ** 53] }, ...rest]),
    ],
    [
      '2^40 elements too many',
      'UPDATE_MISSHAPED',
      () => tensors((all) => [...all, { name: 'x', dtype: 'float32', shape: [2 ** 40] }]),
    ],
    [
      'one tensor more',
      'UPDATE_MISSHAPED',
      () => tensors((all) => [...all, { name: 'x', dtype: 'float32', shape: [1] }]),
    ],
    ['one tensor less', 'UPDATE_MISSHAPED', () => tensors((all) => all.slice(1))],
    [
      'two tensors swapped, of the same size in all',
      'UPDATE_MISSHAPED',
      () => tensors(([a, b, ...rest]) => [b, a, ...rest]),
    ],
    [
      'a tensor of another shape and size',
      'UPDATE_MISSHAPED',
      () => tensors(([one, ...rest]) => [{ ...one, shape: [2, 2048] }, ...rest]),
    ],
    ['a sample count of 0', 'SAMPLE_COUNT_INVALID', () => ({ sampleCount: 0 })],
    ['an absurd sample count', 'SAMPLE_COUNT_INVALID', () => ({ sampleCount: 2 ** 52 })],
    ['a round that is not there', 'ROUND_UNKNOWN', () => key({ round: 99 })],
    ['another attempt', 'UPDATE_STALE', () => key({ attempt: 7 })],
    ['the next round', 'UPDATE_STALE', () => key({ round: 2 })],
    ['another base', 'UPDATE_BASE_MISMATCH', () => ({ baseVersion: 1 })],
    ['another job', 'JOB_UNKNOWN', () => key({ job: 'kidney' })],
    ['a job that is a path', 'MESSAGE_MALFORMED', () => key({ job: '../../etc/passwd' })],
    ['a metric that is NaN', 'MESSAGE_MALFORMED', () => ({ metrics: { loss: Number.NaN } })],
    [
      '300 metrics',
      'MESSAGE_MALFORMED',
      () => ({ metrics: Object.fromEntries(Array.from({ length: 300 }, (_, at) => [`m${at}`, 1])) }),
    ],
    [
      'more metrics than are kept',
      'UPDATE_MISSHAPED',
      () => ({ metrics: Object.fromEntries(Array.from({ length: 40 }, (_, at) => [`m${at}`, 1])) }),
    ],
    ['another chunk size than the coordinator takes', 'MESSAGE_MALFORMED', () => ({ chunkBytes: 2 ** 20 })],
    ['a norm that is NaN', 'MESSAGE_MALFORMED', () => ({ norm: Number.NaN })],
    ['a negative norm', 'UPDATE_MISSHAPED', () => ({ norm: -1 })],
    ['a norm that no update within the bound has', 'UPDATE_MISSHAPED', () => ({ norm: 1e6 })],
    ['no signature of its own', 'UPDATE_UNSIGNED', () => ({})],
  ])('declaring %s is %s', async (_, code, change) => {
    const before = battle.field.counted('consilium_refusals_total', `code="${code}",method="upload"`);
    expect(codeOf(await battle.mallory.upload([lie(change())]))).toBe(code);
    expect(battle.field.counted('consilium_refusals_total', `code="${code}",method="upload"`)).toBe(
      before + 1,
    );
  });

  test('a million tensors are cut off by size; as many as fit in a message are refused uncounted', async () => {
    const many = (count: number) =>
      encodeWire('UploadRequest', {
        declaration: {
          job: 'heart',
          payload: { manifest: { tensors: Array.from({ length: count }, () => ({})) } },
        },
      });
    expect(await battle.mallory.upload([many(1_000_000)])).toBe(`status ${status.RESOURCE_EXHAUSTED}`);
    expect(codeOf(await battle.mallory.upload([many(200_000)]))).toBe('MESSAGE_MALFORMED');
  });

  const chunk = (index: number, change: object = {}) => {
    const data = new Uint8Array(CHUNK_BYTES).fill(0);
    new Float32Array(data.buffer).fill(0.5);
    return encodeUploadRequest({
      kind: 'chunk',
      chunk: { ...makeChunk(honestUpdate.source, index, data), ...change } as never,
    });
  };
  const filled = (value: number) => {
    const data = new Uint8Array(new Float32Array(CHUNK_BYTES / 4).fill(value).buffer);
    return encodeUploadRequest({ kind: 'chunk', chunk: makeChunk(honestUpdate.source, 0, data) });
  };
  const FINISH = encodeUploadRequest({ kind: 'finish' });

  test.each<[string, string, () => Uint8Array[]]>([
    ['a chunk that jumps ahead', 'CHUNK_OUT_OF_ORDER', () => [chunk(5)]],
    ['a chunk number of 2^32 - 1', 'CHUNK_OUT_OF_ORDER', () => [chunk(0, { index: 2 ** 32 - 1 })]],
    ['a negative offset', 'MESSAGE_MALFORMED', () => [chunk(0, { offset: '-4096' })]],
    ['an offset that is not the chunk’s', 'CHUNK_MISSIZED', () => [chunk(0, { offset: 4 })]],
    ['a truncated chunk', 'CHUNK_MISSIZED', () => [chunk(0, { data: new Uint8Array(8) })]],
    ['a corrupted chunk', 'CHUNK_CORRUPT', () => [chunk(0, { crc32c: 1 })]],
    ['a chunk of NaN', 'UPDATE_NON_FINITE', () => [filled(Number.NaN)]],
    ['a chunk of infinity', 'UPDATE_NON_FINITE', () => [filled(Number.POSITIVE_INFINITY)]],
    ['a chunk beyond the bound of the job', 'UPDATE_OUT_OF_BOUND', () => [filled(1e9)]],
    ['an end before its time', 'PAYLOAD_INCOMPLETE', () => [chunk(0), FINISH]],
    ['a second declaration', 'MESSAGE_MALFORMED', () => [lie({})]],
    ['silence after the declaration', 'TRANSFER_STALLED', () => []],
  ])('sending %s is %s', async (_, code, bodies) => {
    const { mallory, field } = battle;
    // A fresh digest each time: what another attack left staged is not resumed.
    const declaration = { ...updateOf(assignment, mallory.site, Math.random()).declaration };
    const before = field.counted('consilium_refusals_total', `code="${code}",method="upload"`);
    expect(codeOf(await mallory.upload([await mallory.declare(declaration), ...bodies()]))).toBe(code);
    expect(field.counted('consilium_refusals_total', `code="${code}",method="upload"`)).toBe(before + 1);
  });

  test('sending other bytes than declared is PAYLOAD_DIGEST_MISMATCH', async () => {
    const { mallory } = battle;
    const { declaration } = updateOf(assignment, mallory.site, 0.75);
    const bodies: Uint8Array[] = [];
    for await (const data of honestUpdate.source.chunks(0)) {
      bodies.push(encodeUploadRequest({ kind: 'chunk', chunk: makeChunk(declaration, bodies.length, data) }));
    }
    const end = await mallory.upload([await mallory.declare(declaration), ...bodies, FINISH]);
    expect(codeOf(end)).toBe('PAYLOAD_DIGEST_MISMATCH');
  });

  test('sending an update of another norm than declared is UPDATE_NORM_FALSE, and leaves no trace', async () => {
    const { mallory, field } = battle;
    const { declaration, source } = updateOf(assignment, mallory.site, 0.5);
    const bodies = [await mallory.declare({ ...declaration, norm: 0.5 })];
    for await (const data of source.chunks(0)) {
      bodies.push(encodeUploadRequest({ kind: 'chunk', chunk: makeChunk(source, bodies.length - 1, data) }));
    }
    const end = await mallory.upload([...bodies, FINISH]);
    const actual = 0.5 * Math.sqrt(declaration.payloadBytes / 4);
    expect(end).toMatchObject({ code: 'UPDATE_NORM_FALSE', details: { declared: '0.5' } });
    expect(Number((end as Problem).details.actual)).toBeCloseTo(actual, 9);
    const staged = await readdir(join(field.folder, 'state', 'staging'));
    expect(staged.filter((name) => name.includes('mallory'))).toEqual([]);
  });

  test('the update of another site is not taken from it', async () => {
    const { mallory } = battle;
    const { declaration } = updateOf(assignment, 'bern' as SiteId, 0.5);
    // The wire has no place for the site of a key: whoever speaks is whose update it is, and its signature is not his.
    const signature = await mallory.sign(declaration);
    const body = encodeUploadRequest({ kind: 'declaration', declaration, signature });
    expect(codeOf(await mallory.upload([body]))).toBe('UPDATE_UNSIGNED');
  });

  test('the round goes on with the honest sites, and nothing of the lies is in it', async () => {
    const job = await battle.finish(assignment);
    expectUnharmed(job, battle);
    expect(job.history.flatMap(({ contributors }) => contributors).map(({ site }) => site)).not.toContain(
      'mallory',
    );
    expect(job.refusedUpdates).toBeGreaterThanOrEqual(10);
    expect(job.lateUpdates).toBe(0);
  });

  test('what comes when the job is over is late, and no refusal', async () => {
    const { mallory } = battle;
    const before = await battle.finish(assignment);
    const { declaration } = updateOf(assignment, mallory.site, 0.25);
    const attempt = { ...declaration, key: { ...declaration.key, attempt: 3 } };
    expect(codeOf(await mallory.upload([await mallory.declare(attempt)]))).toBe('JOB_ENDED');
    const after = await battle.finish(assignment);
    expect(after).toMatchObject({ refusedUpdates: before.refusedUpdates, lateUpdates: 1 });
  });
});

describe('a site that floods', () => {
  let battle: Battle;
  let assignment: Assignment;
  beforeAll(async () => {
    battle = await engage();
    assignment = await battle.mallory.assigned('train');
  });
  afterAll(() => battle?.field.close());

  test('fifty uploads at once under one key leave one update, whole, with one receipt', async () => {
    const { mallory } = battle;
    const attempt = async (value: number) => {
      const { declaration, source } = updateOf(assignment, mallory.site, value);
      const bodies = [await mallory.declare(declaration)];
      for await (const data of source.chunks(0)) {
        bodies.push(
          encodeUploadRequest({ kind: 'chunk', chunk: makeChunk(source, bodies.length - 1, data) }),
        );
      }
      return mallory.upload([...bodies, encodeUploadRequest({ kind: 'finish' })]);
    };
    const ends = await Promise.all(Array.from({ length: 50 }, (_, place) => attempt(place / 100)));
    const codes = ends.map(codeOf);
    expect(codes.filter((code) => code === 'a receipt').length).toBeLessThanOrEqual(1);
    expect(new Set(codes.filter((code) => code !== 'a receipt' && code !== 'WITHDRAWN'))).toEqual(
      new Set(codes.includes('UPDATE_CONFLICT') ? ['UPDATE_CONFLICT'] : []),
    );
    // One of them stands, or can still be brought in.
    if (!codes.includes('a receipt')) ends.push(await attempt(0.5));
    const [receipt] = ends.filter((end) => codeOf(end) === 'a receipt');
    expect(receipt).toBeDefined();
  });

  test('presence and heartbeats by the thousand, answers and reports for others, are heard and change nothing', async () => {
    const { mallory, field } = battle;
    for (let count = 0; count < 3000; count++) {
      say(mallory, { kind: 'presence', presence: PRESENCE });
      const progress = [
        { assignment: assignment.id, phase: 'training', fraction: 0.5, loss: 1, bytes: 1 },
      ] as const;
      say(mallory, { kind: 'heartbeat', sentAt: count, progress });
    }
    const stranger = assignmentId('kidney' as JobId, 1, 1, 'train');
    say(mallory, { kind: 'answer', assignment: stranger, problem: undefined });
    say(mallory, { kind: 'report', assignment: stranger, result: { kind: 'statistics', features: [] } });
    say(mallory, { kind: 'opinion', inquiry: 'inquiry-1', objections: [] });
    expect((await mallory.hear('report-taken')).assignment).toBe(stranger);
    expect((await field.ask<JobView>({ kind: 'get-job', job: 'heart' })).round).toBe(1);
  });

  test('the job ends with the honest sites in every round, and the one update of the flood counted once', async () => {
    const job = await battle.finish();
    expectUnharmed(job, battle);
    const own = job.history.map(
      ({ contributors }) => contributors.filter(({ site }) => site === 'mallory').length,
    );
    expect(own).toEqual([1, 0]);
  });
});

describe('a site that lies in its reports', () => {
  let battle: Battle | undefined;
  const close = async () => {
    await battle?.field.close();
    battle = undefined;
  };
  afterAll(close);

  const report = (assignment: Assignment, features: object[]) =>
    encodeWire('AttendRequest', { report: { assignment: assignment.id, statistics: { features } } });

  test.each<[string, object]>([
    ['more rows than a site may have', { count: String(2 ** 53 - 1), sum: 1, sumOfSquares: 1 }],
    ['values beyond all measure', { count: '50', sum: 1e300, sumOfSquares: 1e308 }],
    ['sums that contradict each other', { count: '50', sum: 1e6, sumOfSquares: 1 }],
    ['a negative sum of squares', { count: '50', sum: 0, sumOfSquares: -1 }],
  ])('statistics with %s are REPORT_MALFORMED, counted, and shift no constant', async (_, lie) => {
    battle = await engage({ statistics: true });
    const { mallory, field } = battle;
    const assignment = await mallory.assigned('statistics');
    const features = sumsOf(['age', 'chol']).map((own) => ({
      ...own,
      count: String(own.count),
      missing: String(own.missing),
      ...lie,
    }));
    mallory.attending.say(report(assignment, features));
    expect((await mallory.hear('problem')).problem.code).toBe('REPORT_MALFORMED');
    expect(field.counted('consilium_reports_refused_total', 'REPORT_MALFORMED')).toBe(1);
    const job = await battle.finish();
    expectUnharmed(job, battle);
    expect(job.constants?.map(({ mean, count }) => [mean, count])).toEqual([
      [1, 100],
      [1, 100],
    ]);
    await close();
  });

  test.each<[string, Record<string, number>]>([
    ['that are NaN', { loss: Number.NaN }],
    ['fifty thousand strong', Object.fromEntries(Array.from({ length: 50_000 }, (_, at) => [`m${at}`, 1]))],
  ])('metrics %s end the stream as MESSAGE_MALFORMED, and the round goes on', async (_, metrics) => {
    battle = await engage();
    const { mallory, field } = battle;
    const assignment = await mallory.assigned('train');
    mallory.attending.say(
      encodeWire('AttendRequest', {
        report: { assignment: assignment.id, evaluation: { metrics, sampleCount: '50' } },
      }),
    );
    expect((await mallory.hear('problem')).problem.code).toBe('MESSAGE_MALFORMED');
    expect(field.counted('consilium_refusals_total', 'code="MESSAGE_MALFORMED",method="attend"')).toBe(1);
    // Gone is gone: the coordinator does not wait for a site without a stream beyond its deadline.
    mallory.attending.end();
    await field.ask({ kind: 'revoke-site', site: 'mallory', certificate: undefined });
    expectUnharmed(await battle.finish(), battle);
    await close();
  });

  test('metrics of 1e308 and of the name __proto__ are kept as what they are, with the job', async () => {
    battle = await engage();
    const { mallory } = battle;
    const training = await mallory.assigned('train');
    const finished = battle.finish(training);
    // Field 4 (report): assignment, evaluation { metrics { "__proto__": 1e308 }, sample count 50 }.
    const id = assignmentId('heart' as JobId, 1, 1, 'evaluate');
    const entry = Buffer.concat([
      Buffer.from([0x0a, 9]),
      Buffer.from('__proto__'),
      Buffer.from([0x11]),
      Buffer.from(new Float64Array([1e308]).buffer),
    ]);
    const evaluation = Buffer.concat([Buffer.from([0x0a, entry.length]), entry, Buffer.from([0x10, 50])]);
    const inner = Buffer.concat([
      Buffer.from([0x0a, id.length]),
      Buffer.from(id),
      Buffer.from([0x1a, evaluation.length]),
      evaluation,
    ]);
    mallory.attending.say(Buffer.concat([Buffer.from([0x22, inner.length]), inner]));
    expectUnharmed(await finished, battle);
    expect(Object.getPrototypeOf({})).toBe(Object.prototype);
    await close();
  });

  test('a refusal as long as it can be is not passed on to others beyond what they can read', async () => {
    battle = await engage({ quorum: 3, attemptsMax: 2 });
    const { mallory, honest, field } = battle;
    const details = Object.fromEntries(
      ['index', 'actual', 'offset', 'expected', 'expectedOffset'].map((name) => [name, '9'.repeat(500)]),
    );
    for (let attempt = 1; attempt <= 2; attempt++) {
      const { id } = await mallory.assigned('train');
      mallory.attending.say(
        encodeWire('AttendRequest', {
          answer: { assignment: id, problem: { code: 'CHUNK_MISSIZED', details, message: '' } },
        }),
      );
    }
    const job = await field.job('heart', ({ state }) => state !== 'running');
    expect(job.state).toBe('failed');
    expect(job.reason?.length).toBeLessThan(1000);
    await expect
      .poll(() => honest.map(({ heard }) => heard.filter(({ kind }) => kind === 'withdrawal').length))
      .toEqual([2, 2]);
    expect(honest.map(({ ended }) => ended)).toEqual([undefined, undefined]);
    await close();
  });
});

describe('a site that reaches for what is not its own', () => {
  let battle: Battle;
  let assignment: Assignment;
  beforeAll(async () => {
    battle = await engage();
    assignment = await battle.mallory.assigned('train');
  });
  afterAll(() => battle?.field.close());
  const raw = () => {
    const client = new Client(battle.field.coordinator.address, credentials.createInsecure());
    return battle.field.ending.add(client, (own) => own.close());
  };

  test('weights of a job that is not there, or a version that is not, are refused by name', async () => {
    const ask = (job: string, version: number) =>
      battle.mallory.download(encodeDownloadRequest({ job: job as JobId, version, fromChunk: 0 }));
    expect((await ask('kidney', 0))?.code).toBe('JOB_UNKNOWN');
    expect((await ask('heart', 99))?.code).toBe('MODEL_UNKNOWN');
    expect((await ask('../heart', 0))?.code).toBe('MESSAGE_MALFORMED');
    expect(battle.field.counted('consilium_refusals_total', 'method="download"')).toBe(3);
  });

  test('an operator’s command is OPERATOR_REQUIRED', async () => {
    const stream = battle.mallory.stream('operate');
    const command = { kind: 'list-sites' } as const;
    stream.say(encodeOperatorMessage({ kind: 'command', command, goodUntil: Date.now() + 60_000 }), true);
    await stream.message(0);
    stream.end();
    expect(await stream.status).toBe(status.PERMISSION_DENIED);
    expect(battle.field.counted('consilium_refusals_total', 'code="OPERATOR_REQUIRED"')).toBe(1);
  });

  test('a stream keeps the session that it began with, STREAM_REPLAYED otherwise, and a made-up one is SESSION_UNKNOWN', async () => {
    const { mallory, field } = battle;
    const graz = await field.hostile('graz');
    const stream = graz.stream('attend');
    stream.say(encodeSiteMessage({ kind: 'presence', presence: PRESENCE }));
    const { id, generation } = mallory.session;
    stream.sayRaw(
      encodeEnvelope({
        kind: 'record',
        head: { session: id, stream: 99, generation, round: 0 },
        flags: 0,
        record: new Uint8Array(20),
      }),
    );
    await stream.message(0);
    stream.end();
    expect(await stream.status).toBe(status.UNAUTHENTICATED);
    const forged = graz.stream('attend', 0, madeUpSession());
    forged.say(encodeSiteMessage({ kind: 'presence', presence: PRESENCE }));
    await forged.message(0);
    forged.end();
    expect(await forged.status).toBe(status.UNAUTHENTICATED);
    expect(forged.heardInTheClear).toEqual(['SESSION_UNKNOWN']);
    for (const code of ['STREAM_REPLAYED', 'SESSION_UNKNOWN']) {
      expect(field.counted('consilium_refusals_total', `code="${code}",method="attend"`), code).toBe(1);
    }
  });

  test('the identity of another site with a key of one’s own is IDENTITY_INVALID', async () => {
    const victim = await battle.field.enrol('oslo');
    const stolen = openSession(raw(), { identity: victim.identity, signer: battle.mallory.member.signer });
    expect((await refusal(stolen)).code).toBe('IDENTITY_INVALID');
  });

  test('an operator of another federation is not one here', async () => {
    const elsewhere = `${battle.field.folder}/elsewhere`;
    await createFederationKeys(elsewhere, { federation: FEDERATION, now: Date.now() - 1000 });
    const operator = await loadFederationKey(elsewhere, 'operator');
    expect((await refusal(openSession(raw(), operator))).code).toBe('IDENTITY_INVALID');
  });

  test('a site that its authority vouches for, but that is not registered, is SITE_UNKNOWN; one whose clock runs ahead, CLOCK_SKEWED', async () => {
    const authority = await loadFederationKey(`${battle.field.folder}/keys`, 'authority');
    const signer = newSigner();
    const { algorithm, publicKey } = signer;
    const vouched = async (subject: string, now: number) => ({
      signer,
      identity: await issueIdentity(authority, {
        federation: FEDERATION,
        role: 'site',
        subject,
        algorithm,
        publicKey,
        serial: 7,
        now,
      }),
    });
    const stranger = await refusal(openSession(raw(), await vouched('nowhere', Date.now() - 1000)));
    expect(stranger).toEqual(problem('SITE_UNKNOWN', { site: 'nowhere' }));
    const ahead = await refusal(openSession(raw(), await vouched('mallory', Date.now() + 3_600_000)));
    expect(ahead.code).toBe('CLOCK_SKEWED');
    const otherKey = await refusal(openSession(raw(), await vouched('mallory', Date.now() - 1000)));
    expect(otherKey.code).toBe('IDENTITY_INVALID');
    for (const code of ['SITE_UNKNOWN', 'CLOCK_SKEWED', 'IDENTITY_INVALID']) {
      expect(
        battle.field.counted('consilium_refusals_total', `code="${code}",method="open"`),
      ).toBeGreaterThan(0);
    }
  });

  test('one join token spent twenty times at once enrols one key; the others are TOKEN_SPENT', async () => {
    const { field } = battle;
    const secret = await field.invite('wien');
    const outcomes = await Promise.all(
      Array.from({ length: 20 }, () =>
        field
          .client()
          .enroll(tokenEnrolment(field.anchor, { site: 'wien', secret, signer: newSigner() }))
          .then(
            () => 'enrolled',
            (error) => error.problem.code as string,
          ),
      ),
    );
    expect(outcomes.filter((outcome) => outcome === 'enrolled').length).toBe(1);
    expect(outcomes.filter((outcome) => outcome === 'TOKEN_SPENT').length).toBe(19);
    expect(field.counted('consilium_refusals_total', 'code="TOKEN_SPENT",method="open"')).toBe(19);
    const wrong = { site: 'wien', secret: new Uint8Array(secret.length), signer: newSigner() };
    expect((await refusal(field.client().enroll(tokenEnrolment(field.anchor, wrong)))).code).toBe(
      'TOKEN_INVALID',
    );
  });

  test('an update that is sent again gets the receipt that is held, and counts once', async () => {
    const { mallory } = battle;
    const { declaration, source } = updateOf(assignment, mallory.site, 0.5);
    const bodies = [await mallory.declare(declaration)];
    for await (const data of source.chunks(0)) {
      bodies.push(encodeUploadRequest({ kind: 'chunk', chunk: makeChunk(source, bodies.length - 1, data) }));
    }
    const first = await mallory.upload([...bodies, encodeUploadRequest({ kind: 'finish' })]);
    expect(codeOf(first)).toBe('a receipt');
    expect(await mallory.upload([await mallory.declare(declaration)])).toEqual(first);
    const other = await mallory.declare({ ...declaration, sampleCount: 51 });
    expect(codeOf(await mallory.upload([other]))).toBe('UPDATE_CONFLICT');
  });

  test('an answer to an inquiry that it was not asked does not end it for those who were', async () => {
    const { field, mallory } = battle;
    const late = await field.hostile('zug');
    const spec = jobOf({ name: 'lung' });
    const asked = field.askAll<OpinionView>({
      kind: 'submit-job',
      spec,
      dryRun: true,
      initialWeights: undefined,
    });
    const { inquiry } = await mallory.hear('inquiry');
    say(late, { kind: 'opinion', inquiry, objections: [] });
    const stranger = assignmentId('kidney' as JobId, 1, 1, 'train');
    say(late, {
      kind: 'report',
      assignment: stranger,
      result: { kind: 'failure', problem: problem('INTERRUPTED') },
    });
    await late.hear('report-taken');
    await expect.poll(() => battle.honest.map(({ opinions }) => opinions)).toEqual([1, 1]);
    say(mallory, { kind: 'opinion', inquiry, objections: [problem('POLICY_DENIED', { what: 'lungs' })] });
    const own = (await asked).find(({ site }) => site === 'mallory');
    expect(own?.objections).toEqual(["The site's policy does not allow lungs."]);
  });

  test('the round goes on, and a site that is revoked in it is SITE_REVOKED from its next message on', async () => {
    const { field, mallory } = battle;
    await field.ask({ kind: 'revoke-site', site: 'mallory', certificate: undefined });
    const stream = mallory.stream('upload', assignment.round);
    stream.say(await mallory.declare(updateOf(assignment, mallory.site, 0.5).declaration));
    await stream.message(0);
    stream.end();
    expect(await stream.status).toBe(status.PERMISSION_DENIED);
    expect((await refusal(openSession(raw(), mallory.member))).code).toBe('SITE_REVOKED');
    expectUnharmed(await battle.finish(), battle);
  });
});
