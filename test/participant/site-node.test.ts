import { existsSync, readFileSync } from 'node:fs';
import { mkdir, readdir, symlink, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { ConsiliumError, type Problem, problem, specOf } from '../../src/errors/problem.ts';
import { ledgerFile, readLedger } from '../../src/participant/ledger.ts';
import type { Session } from '../../src/participant/link.ts';
import { receiptsFile } from '../../src/participant/receipts.ts';
import { ProgramFailure } from '../../src/participant/trainers/program-failure.ts';
import { manifestOf } from '../../src/rounds/job.ts';
import type { UpdateDeclaration } from '../../src/rounds/update.ts';
import { openDiskStore } from '../../src/storage/disk/disk-store.ts';
import { loggable } from '../../src/telemetry/loggable.ts';
import type { JobId } from '../../src/vocabulary/ids.ts';
import { payloadBytes } from '../../src/weights/manifest.ts';
import { CHUNK_BYTES, type FakeCoordinator, jobOf } from './fake-coordinator.ts';
import { SiteUnderTest, TwinTrainer } from './site-under-test.ts';

let site: SiteUnderTest;
let coordinator: FakeCoordinator;
const job = jobOf();
const chunks = Math.ceil(payloadBytes(manifestOf(job)) / CHUNK_BYTES);
const key = (round: number) => `heart/${round}/charite`;

beforeEach(async () => {
  site = await SiteUnderTest.make();
  coordinator = site.coordinator;
});

const update = (round = 1) =>
  coordinator.until(() => coordinator.accepted.get(key(round)), `update ${round}`);
const failureOf = async (code: string) =>
  coordinator.heard('report', ({ result }) => result.kind === 'failure' && result.problem.code === code);

describe('a participant', () => {
  it('counts, trains and evaluates, and says who it is first', async () => {
    await site.start();
    await coordinator.heard('presence');
    await coordinator.assign('statistics', { round: 0 });
    const counted = await coordinator.heard('report');
    expect(counted.result).toMatchObject({
      kind: 'statistics',
      features: [{ name: 'age' }, { name: 'chol' }],
    });
    await coordinator.assign('train');
    const { values, declaration } = await update();
    const base = coordinator.weights(job, 0);
    const expected = base.map((value) => value + 0.25).map((value, place) => value - base[place]!);
    expect(Buffer.from(values.buffer).equals(Buffer.from(expected.buffer))).toBe(true);
    expect(declaration).toMatchObject({ sampleCount: 66, backend: 'twin 1.0', chunkBytes: CHUNK_BYTES });
    coordinator.weights(job, 1);
    await coordinator.assign('evaluate');
    const evaluated = await coordinator.heard('report', ({ result }) => result.kind === 'evaluation');
    expect(evaluated.result).toEqual({ kind: 'evaluation', metrics: { auc: 0.75 }, sampleCount: 66 });
    expect(coordinator.said.map((message) => message.kind)).toEqual([
      'presence',
      'answer',
      'report',
      'answer',
      'answer',
      'report',
    ]);
    expect(coordinator.said[0]).toEqual({
      kind: 'presence',
      presence: {
        datasets: ['clinic'],
        trainers: [
          {
            ...{ name: 'twin', kind: 'tfjs', backend: 'twin 1.0', framework: 'tfjs' },
            schemas: [
              { id: 'consilium-mlp', version: '1.0.0' },
              { id: 'consilium-cnn', version: '1.0.0' },
            ],
          },
        ],
        updateBytesMax: 2 ** 31,
        software: 'consilium/test',
        views: [],
        encodings: ['float16', 'bfloat16', 'int8', 'top-k'],
      },
    });
  });

  it('says who it is before it answers what came early', async () => {
    coordinator.greeting = { kind: 'assignment', assignment: await coordinator.assignment('train') };
    await site.start();
    await update();
    expect(coordinator.said.map(({ kind }) => kind)).toEqual(['presence', 'answer']);
  });

  it('lets no metric out that its policy does not name, and none that is not finite', async () => {
    await site.start();
    await coordinator.heard('presence');
    await coordinator.assign('train');
    expect((await update()).declaration.metrics).toEqual({ loss: 0.5 });
  });

  it('fetches weights once for the round that trains on them and the evaluation before it', async () => {
    await site.start();
    await coordinator.heard('presence');
    coordinator.weights(job, 1);
    await coordinator.assign('evaluate');
    await coordinator.heard('report');
    await coordinator.assign('train', { round: 2 });
    await update(2);
    expect(coordinator.downloadsFrom).toEqual([0]);
  });

  it('sends heartbeats while it trains and tells how far it is', async () => {
    let open = () => {};
    site.trainer.gate = new Promise((resolve) => {
      open = resolve;
    });
    await site.start();
    await coordinator.heard('presence');
    const assignment = await coordinator.assign('train');
    const beat = await coordinator.until(
      () => coordinator.heartbeats.find(({ progress }) => progress[0]?.phase === 'training'),
      'progress',
    );
    expect(beat.progress).toEqual([
      { assignment: assignment.id, phase: 'training', fraction: 0.5, loss: 0.25, bytes: 0 },
    ]);
    open();
    await update();
  });

  it('keeps each receipt and refuses one of another key', async () => {
    await site.start();
    await coordinator.heard('presence');
    await coordinator.assign('train');
    await update();
    coordinator.weights(job, 1);
    coordinator.faults.forgeReceipts = true;
    await coordinator.assign('train', { round: 2 });
    await update(2);
    await coordinator.until(
      () => site.telemetry.lines.find(({ message }) => message === 'the update was not taken'),
      'the refusal',
    );
    const kept = readFileSync(receiptsFile(site.stateDirectory), 'utf8').trim().split('\n');
    expect(kept.map((line) => JSON.parse(JSON.parse(line).statement).round)).toEqual([1]);
  });

  it('clips an update to the norm of the job', async () => {
    const clipped = jobOf({ clippingNorm: 1 });
    await site.start();
    await coordinator.heard('presence');
    await coordinator.assign('train', { job: clipped });
    const { values } = await update();
    const norm = Math.hypot(...values);
    expect(norm).toBeLessThanOrEqual(1);
    expect(norm).toBeGreaterThan(0.999);
  });
});

describe('the ledger', () => {
  it('holds a line for everything that leaves, written before it leaves', async () => {
    const early: string[] = [];
    coordinator.onArrival = (what) => {
      const kind = what === 'heartbeat' ? 'heartbeats' : what;
      const text = existsSync(ledgerFile(site.stateDirectory))
        ? readFileSync(ledgerFile(site.stateDirectory), 'utf8')
        : '';
      if (!text.includes(`"kind":"${kind}"`)) early.push(what);
    };
    const participant = await site.start();
    await coordinator.heard('presence');
    await coordinator.assign('statistics', { round: 0 });
    await coordinator.heard('report');
    await coordinator.assign('train');
    const { declaration } = await update();
    coordinator.say({ kind: 'inquiry', inquiry: 'q1', spec: jobOf({ dataset: 'other' }) });
    await coordinator.heard('opinion');
    await participant.stop();
    expect(early).toEqual([]);
    const entries = await readLedger(site.stateDirectory);
    expect(entries.map(({ kind }) => kind).filter((kind) => kind !== 'heartbeats')).toEqual([
      'session',
      'presence',
      'answer',
      'statistics',
      'answer',
      'declaration',
      'update',
      'opinion',
    ]);
    const sent = entries.find(({ kind }) => kind === 'update');
    expect(sent).toMatchObject({
      to: 'coordinator.test:7400',
      job: 'heart',
      round: 1,
      attempt: 1,
      bytes: declaration.payloadBytes,
      digest: declaration.digest,
    });
    const beats = entries
      .filter(({ kind }) => kind === 'heartbeats')
      .reduce((sum, own) => sum + (own.count ?? 0), 0);
    expect(beats).toBe(coordinator.heartbeats.length);
  });
});

describe.skipIf(!existsSync('/dev/full'))('a ledger on a full disk', () => {
  it('keeps the site from saying anything at all', async () => {
    await mkdir(site.stateDirectory);
    await symlink('/dev/full', ledgerFile(site.stateDirectory));
    const arrived: string[] = [];
    coordinator.onArrival = (what) => arrived.push(what);
    await site.start();
    await expect
      .poll(() => site.telemetry.lines.filter(({ message }) => message.startsWith('not connected')).length)
      .toBeGreaterThan(1);
    expect(arrived).toEqual([]);
    expect(site.telemetry.lines.map(({ fields }) => fields.problem)).toContainEqual(
      problem('STORE_FULL', { what: 'ledger.jsonl' }),
    );
  });
});

describe('a participant that is interrupted', () => {
  it('goes on with an upload after the connection broke, and sends no stored chunk again', async () => {
    coordinator.faults.cutUploadAfter = 3;
    await site.start();
    await coordinator.heard('presence');
    await coordinator.assign('train');
    await update();
    expect(coordinator.chunksSeen).toEqual(Array.from({ length: chunks }, (_, index) => index));
    expect(site.trainer.trained).toBe(1);
    const lines = (await readLedger(site.stateDirectory)).filter(({ kind }) => kind === 'update');
    expect(lines[1]).toMatchObject({ fromChunk: 3, bytes: lines[0]!.bytes - 3 * CHUNK_BYTES });
  });

  it('goes on with a download after the connection broke', async () => {
    coordinator.faults.cutDownloadAfter = 4;
    await site.start();
    await coordinator.heard('presence');
    await coordinator.assign('train');
    await update();
    expect(coordinator.downloadsFrom).toEqual([0, 4]);
  });

  it('fetches weights anew whose bytes are not those of the digest', async () => {
    coordinator.faults.damageDownload = true;
    await site.start();
    await coordinator.heard('presence');
    await coordinator.assign('train');
    await update();
    expect(coordinator.downloadsFrom).toEqual([0, 0]);
  });

  it('opens another session when a transfer hears that this one is forgotten', async () => {
    coordinator.faults.refusals.push(problem('SESSION_UNKNOWN'));
    await site.start();
    await coordinator.heard('presence');
    await coordinator.assign('train');
    await update();
    expect(coordinator.sessions).toBe(2);
  });

  it('opens another session when a transfer hears that the certificate of this one was revoked', async () => {
    coordinator.faults.refusals.push(problem('CERTIFICATE_REVOKED', { serial: '64a1' }));
    await site.start();
    await coordinator.heard('presence');
    await coordinator.assign('train');
    await update();
    expect(coordinator.sessions).toBe(2);
  });

  it('keeps the session that it has when a transfer of a former one fails late', async () => {
    const presences = () => coordinator.said.filter(({ kind }) => kind === 'presence').length;
    let first = true;
    coordinator.meanwhile = async (moment) => {
      if (moment !== 'declared' || !first) return;
      first = false;
      coordinator.crash(problem('CERTIFICATE_REVOKED', { serial: '64a1' }));
      await coordinator.until(() => presences() === 2, 'return');
    };
    await site.start();
    await coordinator.heard('presence');
    await coordinator.assign('train');
    await update();
    expect(first).toBe(false);
    expect(coordinator.sessions).toBe(2);
  });

  it('does not train again when it was stopped in the middle of an upload, and resumes it', async () => {
    coordinator.faults.cutUploadAfter = 2;
    const first = await site.start();
    await coordinator.heard('presence');
    await coordinator.assign('train');
    await coordinator.until(() => coordinator.chunksSeen.length >= 2, 'two chunks');
    await first.stop();
    expect(coordinator.accepted.size).toBe(0);
    site.trainer = new TwinTrainer();
    await site.start();
    await coordinator.until(
      () => coordinator.said.filter(({ kind }) => kind === 'presence').length === 2,
      'return',
    );
    await coordinator.assign('train', { attempt: 2 });
    await update();
    expect(site.trainer.trained).toBe(0);
    expect(coordinator.chunksSeen).toEqual(Array.from({ length: chunks }, (_, index) => index));
    expect(coordinator.declarations.at(-1)?.key.attempt).toBe(2);
  });

  it('takes the receipt of an earlier attempt for the same update', async () => {
    await site.start();
    await coordinator.heard('presence');
    await coordinator.assign('train');
    await update();
    await coordinator.assign('train', { attempt: 2 });
    await coordinator.until(
      () => site.telemetry.counts.get('consilium_updates_receipted_total') === 2,
      'the second receipt',
    );
    expect(site.trainer.trained).toBe(1);
    expect(coordinator.chunksSeen.length).toBe(chunks);
  });

  it('dials again when the coordinator is away at the start', async () => {
    const away = problem('COORDINATOR_UNREACHABLE', { address: 'x', reason: 'refused' });
    coordinator.faults.openings.push(away, away);
    await site.start();
    await coordinator.heard('presence');
    expect(coordinator.sessions).toBe(1);
    const sessions = (await readLedger(site.stateDirectory)).filter(({ kind }) => kind === 'session');
    expect(sessions.length).toBe(1);
  });

  it('says an untaken report again on the next connection', async () => {
    await site.start();
    await coordinator.heard('presence');
    const { id } = await coordinator.assign('statistics', { round: 0 });
    await coordinator.heard('report');
    coordinator.crash();
    await coordinator.until(
      () => coordinator.said.filter(({ kind }) => kind === 'report').length === 2,
      'again',
    );
    coordinator.say({ kind: 'report-taken', assignment: id });
    coordinator.say({ kind: 'inquiry', inquiry: 'afterwards', spec: job });
    await coordinator.heard('opinion');
    coordinator.crash();
    await coordinator.until(
      () => coordinator.said.filter(({ kind }) => kind === 'presence').length === 3,
      'third',
    );
    await coordinator.assign('evaluate', { round: 3 });
    await coordinator.heard('answer', ({ assignment }) => assignment.endsWith('evaluate'));
    expect(coordinator.said.filter(({ kind }) => kind === 'report').length).toBe(2);
  });

  it('gives up a connection on which no heartbeat is answered', async () => {
    coordinator.faults.silent = true;
    await site.start();
    await coordinator.until(() => coordinator.sessions === 2, 'a second session');
    coordinator.faults.silent = false;
    await coordinator.until(() => coordinator.heartbeats.length > 8, 'heartbeats');
    expect(coordinator.sessions).toBe(2);
  });

  it('warns when the clocks part, once', async () => {
    coordinator.faults.skewMs = 60_000;
    await site.start();
    await coordinator.until(() => coordinator.heartbeats.length > 4, 'heartbeats');
    const warnings = site.telemetry.lines.filter(({ fields }) => 'skewMs' in fields);
    expect(warnings.length).toBe(1);
    expect(Math.abs(Number(warnings[0]?.fields.skewMs) - 60_000)).toBeLessThan(5_000);
  });
});

describe('what a site keeps from every job', () => {
  const warnings = () =>
    site.telemetry.lines
      .filter(({ level }) => level === 'warn')
      .map(({ message, fields }) => [message, fields]);

  it('is warned of where the policy does not name a trainer', async () => {
    const trainers = { twin: { kind: 'tfjs' }, torch: { kind: 'command', command: ['python3'] } };
    await site.start({ config: site.config({ trainers }) });
    await coordinator.heard('presence');
    expect(warnings()).toEqual([
      ['trainer not offered: policy.trainers does not name it', { trainer: 'torch' }],
    ]);
  });

  it('is warned of where it has no dataset, and where the policy names none of them', async () => {
    const first = await site.start({ config: site.config({ datasets: {} }) });
    await first.stop();
    await site.start({ config: site.config({ policy: { datasets: ['other'] } }) });
    expect(warnings()).toEqual([
      ['no dataset is offered: none is configured', {}],
      [
        'no dataset is offered: policy.datasets names none of those that are configured',
        { datasets: ['clinic'] },
      ],
    ]);
  });
});

describe('a session that stands', () => {
  it('is what `connected` waits for, and is logged with the key of the coordinator as such', async () => {
    const away = problem('COORDINATOR_UNREACHABLE', { address: 'x', reason: 'refused' });
    coordinator.faults.openings.push(away);
    const { connected } = await site.start();
    await connected;
    expect(coordinator.sessions).toBe(1);
    const line = site.telemetry.lines.find(({ message }) => message === 'connected');
    expect(Object.keys(line?.fields ?? {})).toEqual(['address', 'coordinatorKeyId', 'heartbeatMs']);
  });

  it('lets the next pause be a short one; one that ends at once does not', async () => {
    const pauses = () =>
      site.telemetry.lines
        .filter(({ message }) => message.startsWith('not connected'))
        .map(({ fields }) => Number(fields.delayMs));
    const random = { bytes: (length: number) => new Uint8Array(length) };
    coordinator.greeting = { kind: 'problem', problem: problem('OVERLOADED', { what: 'sites', limit: 1 }) };
    await site.start({ random });
    await coordinator.until(() => coordinator.sessions === 3, 'three sessions');
    coordinator.greeting = undefined;
    await coordinator.until(() => coordinator.heartbeats.length > 4, 'a session that stands');
    coordinator.crash();
    await expect.poll(() => pauses().length).toBeGreaterThan(3);
    expect(pauses().slice(0, 3)).toEqual([125, 250, 500]);
    expect(pauses().at(-1)).toBe(125);
  });
});

describe('a site that died between the acceptance of its update and the receipt', () => {
  const receipts = () =>
    readFileSync(receiptsFile(site.stateDirectory), 'utf8')
      .split('\n')
      .filter((line) => line !== '');
  const presences = () => coordinator.said.filter(({ kind }) => kind === 'presence').length;
  const claims = () => site.telemetry.counts.get('consilium_receipts_claimed_total') ?? 0;

  /** Trains round 1; the coordinator takes the update, and the site is gone before it hears so. */
  async function dieUnreceipted(): Promise<UpdateDeclaration> {
    const participant = await site.start();
    await coordinator.heard('presence');
    let stopped: Promise<void> | undefined;
    coordinator.meanwhile = async (moment) => {
      if (moment !== 'taken') return;
      stopped = participant.stop();
      coordinator.crash();
    };
    await coordinator.assign('train');
    const { declaration } = await update();
    await coordinator.until(() => stopped, 'the end of the site');
    await stopped;
    coordinator.meanwhile = async () => {};
    expect(receipts()).toEqual([]);
    return declaration;
  }

  it('has the receipt when it comes back after the round, asks for it once, and lets go of the update', async () => {
    const declaration = await dieUnreceipted();
    const sent = coordinator.chunksSeen.length;
    const second = await site.start();
    await coordinator.until(() => presences() === 2, 'presence');
    const { site: own } = declaration.key;
    const version = { job: 'heart' as JobId, version: 1, digest: declaration.digest, contributors: [own] };
    const counted = [{ site: own, round: 1, attempt: 1, digest: declaration.digest }];
    coordinator.say({ kind: 'version-committed', ...version, receipts: counted });
    coordinator.say({ kind: 'version-committed', ...version, receipts: counted });
    await expect.poll(claims).toBe(1);
    await second.stop();
    expect(receipts()).toHaveLength(1);
    expect(receipts()[0]).toContain(declaration.digest);
    expect(coordinator.declarations).toHaveLength(2);
    expect(coordinator.chunksSeen.length).toBe(sent);
    expect(await readdir(path.join(site.stateDirectory, 'blobs'))).toEqual([]);
  });

  it('asks after a while where its job is heard of no more, and not again once it has the receipt', async () => {
    await dieUnreceipted();
    const clock = {
      now: () => Date.now(),
      after: (delayMs: number, due: () => void) => {
        const timer = setTimeout(due, delayMs === 60_000 ? 0 : delayMs);
        return () => clearTimeout(timer);
      },
    };
    const second = await site.start({ clock });
    await expect.poll(claims).toBe(1);
    await second.stop();
    expect(receipts()).toHaveLength(1);
    const third = await site.start({ clock });
    await coordinator.until(() => presences() === 3, 'presence');
    await coordinator.assign('statistics', { round: 0 });
    await coordinator.heard('report', ({ result }) => result.kind === 'statistics');
    await third.stop();
    expect(claims()).toBe(1);
  });
});

describe('a commit that overtakes the end of an upload', () => {
  /** Says that the round's version stands, and waits until the site has dealt with that. */
  async function commit(): Promise<void> {
    const digest = (await coordinator.assignment('evaluate')).baseDigest;
    const version = { job: job.name as JobId, version: 1, digest, contributors: [], receipts: [] };
    coordinator.say({ kind: 'version-committed', ...version });
    await coordinator.assign('statistics', { job: jobOf({ name: 'lung' }), round: 0 });
    await coordinator.heard('answer', ({ assignment }) => assignment.startsWith('lung'));
    expect(await readdir(path.join(site.stateDirectory, 'blobs'))).toEqual([]);
  }
  const logged = (level: string) => site.telemetry.lines.filter((line) => line.level === level);
  const receipted = () =>
    coordinator.until(
      () => site.telemetry.counts.get('consilium_updates_receipted_total') === 1,
      'the receipt',
    );

  it('discards the bytes before the receipt is there, and the receipt is kept all the same', async () => {
    coordinator.meanwhile = async (moment) => {
      if (moment === 'taken') await commit();
    };
    await site.start();
    await coordinator.heard('presence');
    await coordinator.assign('train');
    const { declaration } = await update();
    await receipted();
    await coordinator.heard('report', ({ result }) => result.kind === 'statistics');
    expect(logged('error')).toEqual([]);
    expect(site.telemetry.lines).toContainEqual(
      expect.objectContaining({
        message: 'the update is in',
        fields: expect.objectContaining({ bytes: declaration.payloadBytes }),
      }),
    );
    expect(readFileSync(receiptsFile(site.stateDirectory), 'utf8').trim().split('\n').length).toBe(1);
  });

  it('lets the receipt be fetched on the next connection, without the bytes', async () => {
    coordinator.meanwhile = async (moment) => {
      if (moment !== 'taken') return;
      await commit();
      coordinator.crash();
    };
    await site.start();
    await coordinator.heard('presence');
    await coordinator.assign('train');
    await update();
    await receipted();
    expect(coordinator.declarations.length).toBe(2);
    expect(coordinator.chunksSeen.length).toBe(chunks);
    expect(logged('error')).toEqual([]);
  });

  it('makes the update late, not the store corrupt, when its chunks are asked for after that', async () => {
    coordinator.meanwhile = async (moment) => {
      if (moment === 'declared') await commit();
    };
    await site.start();
    await coordinator.heard('presence');
    await coordinator.assign('train');
    await coordinator.until(
      () => site.telemetry.lines.some(({ message }) => message === 'the update was not taken'),
      'the end of the upload',
    );
    expect(logged('warn').map(({ fields }) => fields.problem)).toContainEqual(
      problem('UPDATE_LATE', { round: 1 }),
    );
    await coordinator.heard('report', ({ result }) => result.kind === 'statistics');
    expect(logged('error')).toEqual([]);
    expect(
      coordinator.said.filter((message) => message.kind === 'report' && message.result.kind === 'failure'),
    ).toEqual([]);
  });
});

describe('a participant that is not wanted', () => {
  it.each([
    problem('SITE_REVOKED', { site: 'charite' }),
    problem('IDENTITY_INVALID', { reason: 'it expired' }),
    problem('FEDERATION_MISMATCH', { ours: 'hearts', theirs: 'lungs' }),
  ])('ends with exit code 4 on $code', async (refusal) => {
    coordinator.faults.openings.push(refusal);
    const { stopped } = await site.start();
    const error = await stopped.then(
      () => undefined,
      (reason: unknown) => reason,
    );
    expect(error).toBeInstanceOf(ConsiliumError);
    expect((error as ConsiliumError).problem).toEqual(refusal);
    expect(specOf((error as ConsiliumError).problem.code).exit).toBe(4);
  });

  it('ends when it is revoked in the middle of a session, and leaves nothing running', async () => {
    site.trainer.gate = new Promise(() => {});
    const { stopped } = await site.start();
    await coordinator.heard('presence');
    await coordinator.assign('train');
    await coordinator.until(() => site.trainer.trained === 1, 'training');
    coordinator.say({ kind: 'problem', problem: problem('SITE_REVOKED', { site: 'charite' }) });
    await expect(stopped).rejects.toMatchObject({ problem: { code: 'SITE_REVOKED' } });
    expect(site.trainer.tasks[0]?.signal.aborted).toBe(true);
    expect(site.trainer.closed).toBe(1);
    await (await openDiskStore(site.stateDirectory)).close();
  });

  it('ends as revoked, whatever message failed when the stream was cut for it', async () => {
    const link = coordinator.link();
    let cut!: () => void;
    const ended = new Promise<Problem>((resolve) => {
      cut = () => setTimeout(() => resolve(problem('SITE_REVOKED', { site: 'charite' })), 20);
    });
    const open = async (signal: AbortSignal): Promise<Session> => {
      const session = await link.open(signal);
      const attend: Session['attend'] = async (listen) => {
        const attending = await session.attend(listen);
        const say: typeof attending.say = async (message) => {
          if (message.kind !== 'heartbeat') return attending.say(message);
          cut();
          throw new Error('the stream has ended');
        };
        return { say, ended };
      };
      return { ...session, attend };
    };
    const { stopped } = await site.start({ openLink: async () => ({ ...link, open }) });
    await expect(stopped).rejects.toMatchObject({ problem: { code: 'SITE_REVOKED' } });
    expect(coordinator.sessions).toBe(1);
  });

  it('ends when no protocol version is shared', async () => {
    coordinator.faults.openings.push(problem('PROTOCOL_VERSION_UNSUPPORTED', { ours: '1', theirs: '7' }));
    const { stopped } = await site.start();
    await expect(stopped).rejects.toMatchObject({ problem: { code: 'PROTOCOL_VERSION_UNSUPPORTED' } });
  });

  it.each([
    problem('COORDINATOR_UNTRUSTED', { federation: 'hearts', reason: 'another authority issued it' }),
    problem('REFUSAL_UNPROVEN', { said: 'Upgrade.' }),
    problem('CHANNEL_MISMATCH', { ours: 'sm4', theirs: 'off' }),
  ])('keeps dialling at $code, which anyone on the way could have brought about', async (refusal) => {
    coordinator.faults.openings.push(refusal);
    await site.start();
    await coordinator.heard('presence');
  });

  it('keeps asking while an operator has still to approve it', async () => {
    coordinator.faults.openings.push(problem('SITE_PENDING', { site: 'charite' }));
    await site.start();
    await coordinator.heard('presence');
  });
});

describe('work that goes wrong', () => {
  it('reports a trainer that failed, and trains at the next attempt', async () => {
    site.trainer.failures.push(new ConsiliumError(problem('TRAINER_FAILED', { reason: 'exit code 1' })));
    await site.start();
    await coordinator.heard('presence');
    await coordinator.assign('train');
    await failureOf('TRAINER_FAILED');
    await coordinator.assign('train', { attempt: 2 });
    await update();
  });

  it("logs where a program's output lies, and neither our own frames nor what it said", async () => {
    const failed = problem('TRAINER_FAILED', { reason: 'see a.log at the site: exit code 1' });
    const output = '/site/output/a.log';
    site.trainer.failures.push(new ProgramFailure(failed, output, new Error('Mrs Example is 64')));
    await site.start();
    await coordinator.heard('presence');
    await coordinator.assign('train');
    const { result } = await failureOf('TRAINER_FAILED');
    expect(JSON.stringify(result)).not.toContain('/site');
    const line = site.telemetry.lines.find(({ message }) => message === 'the work failed');
    expect(line).toMatchObject({ level: 'error', fields: { problem: failed, output } });
    expect(line?.fields).not.toHaveProperty('error');
    expect(loggable(line!.fields)).toMatchObject({ output });
    expect(JSON.stringify(line)).not.toContain('Example');
    const stack = site.telemetry.lines.find(({ message }) => message === 'where the trainer failed');
    expect(stack?.level).toBe('debug');
  });

  it('says nothing of an accident but a reference to its own log', async () => {
    site.trainer.failures.push(new TypeError('row 17: Mrs Example is 64'));
    await site.start();
    await coordinator.heard('presence');
    await coordinator.assign('train');
    const { result } = await failureOf('INTERNAL');
    expect(JSON.stringify(result)).not.toContain('Example');
    expect(readFileSync(ledgerFile(site.stateDirectory), 'utf8')).not.toContain('Example');
  });

  it('does not let an update out that is not finite', async () => {
    site.trainer.change = (values) => values.set([Number.NaN], 4097);
    await site.start();
    await coordinator.heard('presence');
    await coordinator.assign('train', { job: jobOf({ clippingNorm: 1 }) });
    const { result } = await failureOf('UPDATE_NON_FINITE');
    expect(result).toMatchObject({
      problem: { details: { tensor: 'dense.0.bias', index: '1', value: 'NaN' } },
    });
    expect(coordinator.declarations).toEqual([]);
  });

  it('does not let an update out that is beyond the bound of the job', async () => {
    site.trainer.change = (values) => values.set([-65], 0);
    await site.start();
    await coordinator.heard('presence');
    await coordinator.assign('train');
    const { result } = await failureOf('UPDATE_OUT_OF_BOUND');
    expect(JSON.stringify(result)).not.toContain('-65');
  });

  it('holds each tensor of an update to its own bound', async () => {
    const bounded = jobOf({ updateBound: { default: 1, tensors: { 'dense.0.bias': 0.125 } } });
    await site.start();
    await coordinator.heard('presence');
    await coordinator.assign('train', { job: bounded });
    const { result } = await failureOf('UPDATE_OUT_OF_BOUND');
    expect(result).toMatchObject({
      problem: { details: { tensor: 'dense.0.bias', index: '0', bound: '0.125' } },
    });
    expect(coordinator.declarations).toEqual([]);
  });

  it('does not say how few rows were used when they were too few', async () => {
    site.trainer.sampleCount = 7;
    await site.start();
    await coordinator.heard('presence');
    await coordinator.assign('train');
    const { result } = await failureOf('COHORT_TOO_SMALL');
    expect(result).toMatchObject({ problem: { details: { have: '<10', minimum: '10' } } });
  });

  it('ends training that is withdrawn and sends nothing of it', async () => {
    site.trainer.gate = new Promise(() => {});
    await site.start();
    await coordinator.heard('presence');
    const { id } = await coordinator.assign('train');
    await coordinator.until(() => site.trainer.trained === 1, 'training');
    coordinator.say({ kind: 'withdrawal', assignment: id, reason: 'the job was stopped' });
    await coordinator.until(() => site.trainer.tasks[0]?.signal.aborted, 'the end');
    await coordinator.assign('statistics', { round: 0 });
    await coordinator.heard('report');
    expect(coordinator.declarations).toEqual([]);
    expect(coordinator.said.filter(({ kind }) => kind === 'report').length).toBe(1);
  });

  it('works on one assignment at a time', async () => {
    let open = () => {};
    site.trainer.gate = new Promise((resolve) => {
      open = resolve;
    });
    const other = jobOf({ name: 'lung' });
    await site.start();
    await coordinator.heard('presence');
    await coordinator.assign('train');
    await coordinator.until(() => site.trainer.trained === 1, 'training');
    await coordinator.assign('train', { job: other });
    await coordinator.heard('answer', ({ assignment }) => assignment.startsWith('lung'));
    expect(site.trainer.trained).toBe(1);
    open();
    await update();
    await coordinator.until(() => coordinator.accepted.has('lung/1/charite'), 'the other update');
  });

  it('keeps a refused update that was late, and drops one that is wrong for good', async () => {
    coordinator.faults.refusals.push(problem('UPDATE_LATE', { round: 1 }));
    await site.start();
    await coordinator.heard('presence');
    await coordinator.assign('train');
    await coordinator.until(() => coordinator.declarations.length === 1, 'the first try');
    await coordinator.assign('train', { attempt: 2 });
    await update();
    expect(site.trainer.trained).toBe(1);
    coordinator.weights(job, 1);
    coordinator.faults.refusals.push(problem('UPDATE_CONFLICT', { round: 2, attempt: 1 }));
    await coordinator.assign('train', { round: 2 });
    await coordinator.until(() => coordinator.declarations.length === 3, 'the refusal');
    await coordinator.assign('train', { round: 2, attempt: 2 });
    await update(2);
    expect(site.trainer.trained).toBe(3);
  });

  it('holds the update of an asynchronous job over later versions and a restart, until it is in one', async () => {
    const asynchronous = jobOf({ strategy: { name: 'fedbuff', bufferSize: 1, stalenessMax: 5 } });
    const first = await site.start();
    await coordinator.heard('presence');
    await coordinator.assign('train', { job: asynchronous });
    const { declaration } = await update();
    const committed = (version: number, round?: number) => {
      const { site: own } = declaration.key;
      const receipts =
        round === undefined ? [] : [{ site: own, round, attempt: 1, digest: declaration.digest }];
      const digest = declaration.baseDigest;
      coordinator.say({
        ...{ kind: 'version-committed', job: 'heart' as JobId, version, digest },
        ...{ contributors: receipts.map((receipt) => receipt.site), receipts },
      });
    };
    committed(1);
    committed(2);
    await expect
      .poll(() => site.telemetry.lines.filter(({ message }) => message === 'version committed').length)
      .toBe(2);
    await first.stop();
    const second = await site.start();
    await coordinator.heard(
      'presence',
      () => coordinator.said.filter(({ kind }) => kind === 'presence').length > 1,
    );
    // Asked for the same again, it sends what it holds, and trains nothing.
    const trained = site.telemetry.lines.filter(({ message }) => message === 'working').length;
    await coordinator.assign('train', { job: asynchronous });
    await coordinator.until(() => coordinator.declarations.length > 1, 'the same declaration again');
    expect(coordinator.declarations[1]?.digest).toBe(declaration.digest);
    expect(site.telemetry.lines.filter(({ message }) => message === 'working')).toHaveLength(trained);
    committed(3, 1);
    await expect
      .poll(() => site.telemetry.lines.map(({ message }) => message))
      .toContain('the update is in the version');
    await second.stop();
    expect(await readdir(path.join(site.stateDirectory, 'blobs'))).toEqual([]);
  });

  it('forgets an update when its version is committed', async () => {
    const participant = await site.start();
    await coordinator.heard('presence');
    await coordinator.assign('train');
    const { declaration } = await update();
    coordinator.say({
      kind: 'version-committed',
      job: 'heart' as JobId,
      version: 1,
      digest: declaration.digest,
      contributors: [declaration.key.site],
      receipts: [{ site: declaration.key.site, round: 1, attempt: 1, digest: declaration.digest }],
    });
    await expect
      .poll(() => site.telemetry.lines.map(({ message }) => message))
      .toContain('the update is in the version');
    coordinator.weights(job, 1);
    await coordinator.assign('evaluate');
    await coordinator.heard('report');
    await participant.stop();
    const left = await readdir(path.join(site.stateDirectory, 'blobs'));
    expect(left).toEqual([]);
  });

  it('fails the work, not the site, when the disk is full, and goes on when there is room', async () => {
    let full = true;
    await site.start({
      openStore: async (directory) => {
        const store = await openDiskStore(directory);
        const put: typeof store.blobs.put = async (name, content) => {
          if (full) throw new ConsiliumError(problem('STORE_FULL', { what: name }));
          return store.blobs.put(name, content);
        };
        const blobs = new Proxy(store.blobs, {
          get: (target, member) => (member === 'put' ? put : Reflect.get(target, member).bind(target)),
        });
        return { ...store, blobs };
      },
    });
    await coordinator.heard('presence');
    await coordinator.assign('train');
    await failureOf('STORE_FULL');
    full = false;
    await coordinator.assign('train', { attempt: 2 });
    await update();
  });

  it('does not send an update whose record could not be made durable', async () => {
    let full = true;
    await site.start({
      openStore: async (directory) => {
        const store = await openDiskStore(directory);
        const put: typeof store.blobs.put = async (name, content) => {
          if (full && name.startsWith('held/'))
            throw new ConsiliumError(problem('STORE_FULL', { what: name }));
          return store.blobs.put(name, content);
        };
        const blobs = new Proxy(store.blobs, {
          get: (target, member) => (member === 'put' ? put : Reflect.get(target, member).bind(target)),
        });
        return { ...store, blobs };
      },
    });
    await coordinator.heard('presence');
    await coordinator.assign('train');
    await failureOf('STORE_FULL');
    expect(coordinator.declarations).toEqual([]);
    full = false;
    await coordinator.assign('train', { attempt: 2 });
    await update();
    expect(site.trainer.trained).toBe(2);
  });

  it('trains again when its copy of the update is damaged', async () => {
    coordinator.faults.cutUploadAfter = 2;
    const first = await site.start();
    await coordinator.heard('presence');
    await coordinator.assign('train');
    await coordinator.until(() => coordinator.chunksSeen.length >= 2, 'two chunks');
    await first.stop();
    const blobs = path.join(site.stateDirectory, 'blobs');
    const name = (await readdir(blobs)).find((file) => file.startsWith('updates'))!;
    const bytes = readFileSync(path.join(blobs, name));
    bytes[3 * CHUNK_BYTES] = bytes[3 * CHUNK_BYTES]! ^ 1;
    await writeFile(path.join(blobs, name), bytes);
    await site.start();
    await coordinator.until(
      () => coordinator.said.filter(({ kind }) => kind === 'presence').length === 2,
      'return',
    );
    await coordinator.assign('train', { attempt: 2 });
    await failureOf('STORE_CORRUPT');
    await coordinator.assign('train', { attempt: 3 });
    await update();
    expect(site.trainer.trained).toBe(2);
  });
});

describe('stopping', () => {
  it.each(['dialling', 'idle', 'training', 'uploading'])('while %s leaves nothing running', async (phase) => {
    if (phase === 'training') site.trainer.gate = new Promise(() => {});
    if (phase === 'dialling') {
      coordinator.faults.openings.push(problem('COORDINATOR_UNREACHABLE', { address: 'x', reason: 'no' }));
    }
    if (phase === 'uploading') coordinator.faults.cutUploadAfter = 1;
    const participant = await site.start();
    if (phase !== 'dialling') await coordinator.heard('presence');
    if (phase === 'training' || phase === 'uploading') await coordinator.assign('train');
    if (phase === 'training') await coordinator.until(() => site.trainer.trained === 1, 'training');
    if (phase === 'uploading') await coordinator.until(() => coordinator.chunksSeen.length > 0, 'a chunk');
    await participant.stop();
    await participant.stopped;
    expect(site.trainer.closed).toBe(1);
    const left = await readdir(site.stateDirectory);
    expect(left.filter((name) => name.startsWith('lock.'))).toEqual([]);
    const blobs = await readdir(path.join(site.stateDirectory, 'blobs'));
    expect(blobs.filter((name) => name.endsWith('.new'))).toEqual([]);
    const beats = coordinator.heartbeats.length;
    await new Promise((resolve) => setTimeout(resolve, 120));
    expect(coordinator.heartbeats.length).toBe(beats);
    await readLedger(site.stateDirectory);
  });

  it('by a signal is the same', async () => {
    const controller = new AbortController();
    const { stopped } = await site.start({ signal: controller.signal });
    await coordinator.heard('presence');
    controller.abort();
    await stopped;
    expect(site.trainer.closed).toBe(1);
  });

  it('lets a second participant in, which is kept out before', async () => {
    const participant = await site.start();
    await expect(site.start()).rejects.toMatchObject({ problem: { code: 'STORE_LOCKED' } });
    await participant.stop();
    await site.start();
  });
});
