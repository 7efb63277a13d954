import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { chmod, mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { afterEach, describe, expect, it, onTestFinished } from 'vitest';
import { type Problem, problem } from '../../src/errors/problem.ts';
import { issueIdentity, serialsOf } from '../../src/identity/identity.ts';
import { writeIdentityFile } from '../../src/identity/identity-file.ts';
import { createKeyFile } from '../../src/identity/key-file.ts';
import { receiptFor, signReceipt } from '../../src/identity/receipts.ts';
import { type ParticipantConfig, participantSchema } from '../../src/participant/config.ts';
import { readLedger } from '../../src/participant/ledger.ts';
import { startParticipant } from '../../src/participant/node.ts';
import { receiptsFile } from '../../src/participant/receipts.ts';
import { resolvePaths } from '../../src/participant/resolve-paths.ts';
import { revocationFile } from '../../src/participant/revocation-file.ts';
import { siteFiles } from '../../src/participant/site-files.ts';
import { encodeEnvelope } from '../../src/protocol/envelope-codec.ts';
import { type Assignment, assignmentId, type SiteMessage, type Task } from '../../src/rounds/assignment.ts';
import { type Job, manifestOf } from '../../src/rounds/job.ts';
import type { UpdateDeclaration } from '../../src/rounds/update.ts';
import type { Desk } from '../../src/transport/desk.ts';
import { payloadInMemory } from '../../src/transport/payload-source.ts';
import { identityGatekeeper } from '../../src/transport/server/identity-gatekeeper.ts';
import { startServer } from '../../src/transport/server/start-server.ts';
import type { Digest } from '../../src/vocabulary/digest.ts';
import type { JobId, SiteId } from '../../src/vocabulary/ids.ts';
import { ok, refused } from '../../src/vocabulary/result.ts';
import { payloadBytes } from '../../src/weights/manifest.ts';
import { freePort } from '../free-port.ts';
import { DiskDesk } from '../transport/disk-desk.ts';
import { GrpcRelay } from '../transport/grpc-relay.ts';
import { Counters, Ending, Federation, LIMITS, wallClock } from '../transport/parties.ts';
import { TEST_SM } from '../transport/sm.ts';
import { until } from '../until.ts';
import { jobOf } from './fake-coordinator.ts';
import { clinicCsv, Lines, temporaryFolder } from './site-under-test.ts';

const SITE = 'zurich' as SiteId;
const CHUNK_BYTES = 4096;
const job = jobOf({ trainer: { name: 'tfjs' }, seed: 1 });
const chunks = Math.ceil(payloadBytes(manifestOf(job)) / CHUNK_BYTES);

const ending = new Ending();
afterEach(() => ending.close());

/** A desk whose receipts hold, behind a real server; and the folder of a site of its federation. */
class Ward {
  readonly federation = new Federation();
  readonly written: number[] = [];
  readonly declared: UpdateDeclaration[] = [];
  address!: string;
  desk!: DiskDesk;
  folder!: string;
  coordinator!: Awaited<ReturnType<Federation['member']>>;
  /** The revocation list that the coordinator shows. */
  list = () => this.federation.revocationList();
  #taken = 0;

  static async open(): Promise<Ward> {
    const ward = new Ward();
    ward.folder = await temporaryFolder();
    ward.desk = ending.add(await DiskDesk.open(path.join(ward.folder, 'desk')), (desk) => desk.close());
    ward.coordinator = await ward.federation.member('coordinator', 'coordinator');
    ward.desk.weightsOf.set(
      'heart/0',
      payloadInMemory(manifestOf(job), new Uint8Array(payloadBytes(manifestOf(job))), CHUNK_BYTES),
    );
    ward.address = `127.0.0.1:${await freePort()}`;
    await ward.serve();
    await ward.#enrol();
    return ward;
  }

  /** Starts the server, at the same address as before where there was one. */
  async serve() {
    const server = await startServer({
      listen: this.address,
      federation: this.federation.anchor.federation,
      channel: 'sm4',
      sm: TEST_SM,
      desk: this.#signing(),
      gatekeeper: identityGatekeeper({
        ...this.federation.anchor,
        ...this.coordinator,
        redeem: async () => refused(problem('TOKEN_INVALID')),
        current: async () => this.coordinator.identity,
        revocationList: () => this.list(),
      }),
      telemetry: new Counters(),
      clock: wallClock,
      // Often enough that a training of a second is seen while it goes on.
      limits: { ...LIMITS, heartbeatMs: 100 },
    });
    return ending.add(server, () => server.close());
  }

  /** The desk, with receipts that are signed by the coordinator. */
  #signing(): Desk {
    const { desk } = this;
    const { federation } = this.federation.anchor;
    return {
      admit: (principal) => desk.admit(principal),
      attend: (site, say) => desk.attend(site, say),
      weights: (...asked) => desk.weights(...asked),
      operate: (...asked) => desk.operate(...asked),
      declare: async (site, declaration, signature) => {
        this.declared.push(declaration);
        const verdict = await desk.declare(site, declaration, signature);
        if (!verdict.ok || verdict.value.kind !== 'slot') return verdict;
        const { slot } = verdict.value;
        const write = slot.staged.write.bind(slot.staged);
        slot.staged.write = async (data, digest) => {
          this.written.push(slot.staged.chunkDigests.length);
          await write(data, digest);
        };
        const accept = async () => {
          this.#taken++;
          return ok(
            await signReceipt(this.coordinator.signer, receiptFor(federation, declaration, Date.now())),
          );
        };
        return ok({ kind: 'slot', slot: { ...slot, accept } });
      },
    };
  }

  async #enrol(): Promise<void> {
    await mkdir(this.stateDirectory, { recursive: true });
    const { key, identity } = siteFiles(this.stateDirectory);
    const { algorithm, publicKey } = await createKeyFile(key);
    const { federation } = this.federation.anchor;
    const now = Date.now() - 1000;
    await writeIdentityFile(
      identity,
      await issueIdentity(await this.federation.issuer(), {
        federation,
        role: 'site',
        subject: SITE,
        algorithm,
        publicKey,
        serial: 7,
        now,
      }),
    );
    await writeFile(path.join(this.folder, 'clinic.csv'), clinicCsv());
  }

  get stateDirectory(): string {
    return path.join(this.folder, 'state');
  }

  config(change: Record<string, unknown> = {}): ParticipantConfig {
    const config = participantSchema.parse({
      apiVersion: 'consilium/v1',
      site: SITE,
      federation: this.federation.anchor.federation,
      coordinator: this.address,
      stateDirectory: 'state',
      authorityFingerprint: this.federation.anchor.authorityFingerprint,
      datasets: { clinic: { kind: 'tabular', path: 'clinic.csv', target: 'sick' } },
      trainers: { tfjs: { kind: 'tfjs', backend: 'cpu' } },
      ...change,
    });
    return resolvePaths(config, this.folder);
  }

  async start(change: Record<string, unknown> = {}) {
    const telemetry = new Lines();
    const participant = await startParticipant(this.config(change), { telemetry });
    onTestFinished(() => participant.stop());
    return { participant, telemetry };
  }

  /** Resolves as soon as `found` holds. */
  async until(found: () => boolean, what: string): Promise<void> {
    await until(found).catch(() => expect.fail(`waited in vain for ${what}`));
  }

  /** How often the site has said something of a kind. */
  count(kind: SiteMessage['kind']): number {
    return this.desk.heard.filter((message) => message.kind === kind).length;
  }

  get taken(): number {
    return this.#taken;
  }

  assign(task: Task, spec: Job = job): Assignment {
    const assignment: Assignment = {
      id: assignmentId(spec.name as JobId, 1, 1, task),
      job: spec.name as JobId,
      round: 1,
      attempt: 1,
      task,
      baseVersion: 0,
      baseDigest: this.desk.weightsOf.get('heart/0')!.digest as Digest,
      remainingMs: 60_000,
      spec,
      constants: ['age', 'chol'].map((name) => ({ name, mean: 50, deviation: 20, count: 100 })),
    };
    this.desk.say({ kind: 'assignment', assignment });
    return assignment;
  }
}

/** A participant in a process of its own, which can be killed. */
class SiteProcess {
  readonly child: ChildProcess;
  readonly lines: { message: string; task?: string }[] = [];

  constructor(ward: Ward) {
    const script = fileURLToPath(new URL('./site-process.ts', import.meta.url));
    this.child = spawn(process.execPath, ['--import', 'tsx', script], { stdio: ['pipe', 'pipe', 'inherit'] });
    this.child.stdin?.end(JSON.stringify(ward.config()));
    createInterface({ input: this.child.stdout! }).on('line', (line) => this.lines.push(JSON.parse(line)));
    onTestFinished(() => void this.child.kill('SIGKILL'));
  }

  get trainings(): number {
    return this.lines.filter(({ message, task }) => message === 'working' && task === 'train').length;
  }

  async kill(signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
    if (this.child.exitCode !== null || this.child.signalCode !== null) return;
    const gone = once(this.child, 'exit');
    this.child.kill(signal);
    await gone;
  }
}

describe('a participant over gRPC', () => {
  it('trains with tfjs, sends its update, and keeps a receipt that holds', async () => {
    const ward = await Ward.open();
    const { participant } = await ward.start();
    await ward.until(() => ward.count('presence') === 1, 'presence');
    ward.assign('statistics');
    await ward.until(() => ward.count('report') === 1, 'statistics');
    ward.assign('train');
    await ward.until(() => ward.taken === 1, 'the update');
    await participant.stop();
    expect(ward.written).toEqual(Array.from({ length: chunks }, (_, index) => index));
    expect(ward.declared[0]).toMatchObject({ sampleCount: 66, key: { site: SITE } });
    expect(ward.declared[0]?.backend).toContain('tfjs');
    const kinds = (await readLedger(ward.stateDirectory)).map(({ kind }) => kind);
    expect(kinds).toEqual(
      expect.arrayContaining(['session', 'presence', 'statistics', 'declaration', 'update']),
    );
  });

  it('declines a job that says what it does not know, and goes on with its others in the same session', async () => {
    const ward = await Ward.open();
    const { telemetry } = await ward.start();
    await ward.until(() => ward.count('presence') === 1, 'presence');
    const later = { ...job, name: 'later', strategy: { name: 'fedfuture' } } as unknown as Job;
    const { id } = ward.assign('train', later);
    ward.desk.say({ kind: 'inquiry', inquiry: 'inquiry-1', spec: later });
    await ward.until(() => ward.count('answer') === 1 && ward.count('opinion') === 1, 'both answers');
    const refusal = problem('JOB_UNSUPPORTED', { what: 'strategy.name fedfuture' });
    expect(ward.desk.heard).toContainEqual({ kind: 'answer', assignment: id, problem: refusal });
    expect(ward.desk.heard).toContainEqual({ kind: 'opinion', inquiry: 'inquiry-1', objections: [refusal] });
    ward.assign('statistics');
    await ward.until(() => ward.count('report') === 1, 'statistics');
    expect(ward.count('presence')).toBe(1);
    expect(telemetry.lines.filter(({ message }) => message === 'connected')).toHaveLength(1);
  });

  it('keeps dialling a coordinator that is not there yet, and finds it when it comes', async () => {
    const ward = await Ward.open();
    await ending.close();
    ward.desk = ending.add(await DiskDesk.open(path.join(ward.folder, 'desk')), (desk) => desk.close());
    const { telemetry } = await ward.start();
    await ward.until(
      () => telemetry.lines.some(({ message }) => message.startsWith('not connected')),
      'a failed try',
    );
    await ward.serve();
    await ward.until(() => ward.count('presence') === 1, 'presence');
  });

  it('ends with SITE_REVOKED when the coordinator bars it', async () => {
    const ward = await Ward.open();
    const { participant } = await ward.start();
    await ward.until(() => ward.count('presence') === 1, 'presence');
    ward.desk.barred.set(SITE, problem('SITE_REVOKED', { site: SITE }));
    await expect(participant.stopped).rejects.toMatchObject({ problem: { code: 'SITE_REVOKED' } });
  });

  it('does not start under the name of another site', async () => {
    const ward = await Ward.open();
    await expect(ward.start({ site: 'geneva' })).rejects.toMatchObject({
      problem: { code: 'IDENTITY_INVALID' },
    });
  });

  it('does not start with a key that others may read', async () => {
    const ward = await Ward.open();
    await chmod(siteFiles(ward.stateDirectory).key, 0o644);
    await expect(ward.start()).rejects.toMatchObject({ problem: { code: 'CONFIG_INVALID' } });
  });

  it('sends nothing to a coordinator of another authority', async () => {
    const ward = await Ward.open();
    const other = new Federation();
    const { key, identity } = siteFiles(ward.stateDirectory);
    const { loadKeyFile } = await import('../../src/identity/key-file.ts');
    const { algorithm, publicKey } = await loadKeyFile(key);
    const { federation, authorityFingerprint } = other.anchor;
    const request = { federation, role: 'site', subject: SITE, algorithm, publicKey, serial: 1 } as const;
    await writeIdentityFile(
      identity,
      await issueIdentity(await other.issuer(), { ...request, now: Date.now() - 1000 }),
    );
    const { participant, telemetry } = await ward.start({ authorityFingerprint });
    // It goes on asking, since anyone can answer in the coordinator's place; what it heard is in the log, as an error.
    const refusals = () =>
      telemetry.lines.filter(
        ({ level, fields }) =>
          level === 'error' && (fields as { problem?: Problem }).problem?.code === 'COORDINATOR_UNTRUSTED',
      );
    await ward.until(() => refusals().length > 1, 'a second try');
    await participant.stop();
    expect(ward.desk.heard).toEqual([]);
  });

  it('forgets no revoked coordinator when it is started again, and takes its renewed self without another start', async () => {
    const ward = await Ward.open();
    const before = await ward.federation.revocationList();
    const first = await ward.start();
    await ward.until(() => ward.count('presence') === 1, 'presence');
    const [serial] = serialsOf(ward.coordinator.identity);
    ward.federation.revoked.add(serial!);
    ward.desk.say({ kind: 'revocation-list', list: await ward.federation.revocationList() });
    const refused = ({ telemetry }: typeof first) =>
      telemetry.lines.some(
        ({ level, fields }) =>
          level === 'error' && (fields as { problem?: Problem }).problem?.code === 'COORDINATOR_REVOKED',
      );
    await ward.until(() => refused(first), 'the coordinator to be left');
    await first.participant.stop();
    expect(readFileSync(revocationFile(ward.stateDirectory), 'utf8')).toContain('BEGIN X509 CRL');
    // Whoever has the key that was stolen shows the list from before, which is in force still.
    ward.list = async () => before;
    const second = await ward.start();
    await ward.until(() => refused(second), 'it to be known again');
    expect(ward.count('presence')).toBe(1);
    const { signer } = ward.coordinator;
    const identity = await ward.federation.issue(signer, 'coordinator', 'coordinator');
    ward.coordinator = { signer, identity };
    ward.list = () => ward.federation.revocationList();
    await ward.until(() => ward.count('presence') === 2, 'the renewed coordinator');
  });

  it('does not start with a revocation list that was tampered with', async () => {
    const ward = await Ward.open();
    const { participant } = await ward.start();
    await ward.until(() => ward.count('presence') === 1, 'presence');
    await participant.stop();
    const file = revocationFile(ward.stateDirectory);
    const text = readFileSync(file, 'utf8');
    await writeFile(file, text.replace('\n', '\nMIIB'));
    await expect(ward.start()).rejects.toMatchObject({ problem: { code: 'CONFIG_INVALID' } });
    await writeFile(file, text);
    await ward.start();
    await ward.until(() => ward.count('presence') === 2, 'presence');
  });

  it('is not stopped by one in between who says that no version is in common', async () => {
    const ward = await Ward.open();
    const relay = ending.add(await GrpcRelay.start(ward.address), (own) => own.close());
    const refusal = problem('PROTOCOL_VERSION_UNSUPPORTED', { ours: '7', theirs: '1' });
    let forged = 0;
    relay.forge = () =>
      forged++ < 3 ? Buffer.from(encodeEnvelope({ kind: 'refusal', refusal })) : undefined;
    const { telemetry } = await ward.start({ coordinator: relay.address });
    await ward.until(() => ward.count('presence') === 1, 'presence');
    const heard = telemetry.lines.filter(({ message }) => message.startsWith('not connected'));
    expect(heard).toHaveLength(3);
    expect(telemetry.counts.get('consilium_reconnects_total')).toBe(3);
    for (const { level, fields } of heard) {
      expect(level).toBe('error');
      expect(fields).toMatchObject({ problem: { code: 'REFUSAL_UNPROVEN' } });
    }
  });

  it('is cut off and killed in the middle of an upload, and neither trains again nor sends a stored chunk again', async () => {
    const ward = await Ward.open();
    const first = new SiteProcess(ward);
    let killed: Promise<void> | undefined;
    ward.desk.beforeWrite = async (chunk) => {
      if (chunk === 3) killed ??= first.kill();
      await killed;
    };
    await ward.until(() => ward.count('presence') === 1, 'presence');
    ward.assign('train');
    await ward.until(() => killed !== undefined, 'the fourth chunk');
    await killed;
    expect(first.trainings).toBe(1);
    expect(ward.taken).toBe(0);

    const second = new SiteProcess(ward);
    await ward.until(() => ward.count('presence') === 2, 'return');
    ward.assign('train');
    await ward.until(() => ward.taken === 1, 'the update');
    await ward.until(() => second.lines.some(({ message }) => message === 'the update is in'), 'the receipt');
    expect(second.trainings).toBe(0);
    expect(ward.written).toEqual(Array.from({ length: chunks }, (_, index) => index));
    expect(ward.declared[1]?.digest).toBe(ward.declared[0]?.digest);
    const kept = readFileSync(receiptsFile(ward.stateDirectory), 'utf8').trim().split('\n');
    expect(kept.length).toBe(1);
    await second.kill('SIGTERM');
    expect(second.child.exitCode).toBe(0);
  });

  it('is killed in the middle of a download, and asks for the missing chunks only', async () => {
    const ward = await Ward.open();
    const whole = ward.desk.weightsOf.get('heart/0')!;
    const asked: number[] = [];
    const first = new SiteProcess(ward);
    const staging = path.join(ward.stateDirectory, 'staging');
    ward.desk.weightsOf.set('heart/0', {
      ...whole,
      chunks: async function* (from) {
        asked.push(from);
        let index = from;
        for await (const chunk of whole.chunks(from)) {
          if (index++ === 3) {
            const stored = () => readdirSync(staging).map((name) => statSync(path.join(staging, name)).size);
            await ward.until(() => stored().some((bytes) => bytes > 3 * CHUNK_BYTES), 'three staged chunks');
            await first.kill();
          }
          yield chunk;
        }
      },
    });
    await ward.until(() => ward.count('presence') === 1, 'presence');
    ward.assign('train');
    await ward.until(() => first.child.signalCode === 'SIGKILL', 'the end');
    new SiteProcess(ward);
    await ward.until(() => ward.count('presence') === 2, 'return');
    ward.assign('train');
    await ward.until(() => ward.taken === 1, 'the update');
    expect(asked).toEqual([0, 3]);
  });

  it('is killed while it trains, trains again, and sends the very same update that an undisturbed site sends', async () => {
    const ward = await Ward.open();
    const long = { ...job, trainer: { ...job.trainer, epochs: 25 } };
    const first = new SiteProcess(ward);
    await ward.until(() => ward.count('presence') === 1, 'presence');
    ward.assign('train', long);
    const training = () =>
      ward.desk.heard.some(
        (message) =>
          message.kind === 'heartbeat' &&
          message.progress.some(({ phase, fraction }) => phase === 'training' && fraction > 0),
      );
    await ward.until(training, 'training');
    await first.kill();
    expect(ward.declared).toEqual([]);
    expect((await readLedger(ward.stateDirectory)).map(({ kind }) => kind)).toContain('answer');
    const second = new SiteProcess(ward);
    await ward.until(() => ward.count('presence') === 2, 'return');
    ward.assign('train', long);
    await ward.until(() => ward.taken === 1, 'the update');
    await second.kill();

    const calm = await Ward.open();
    await calm.start();
    await calm.until(() => calm.count('presence') === 1, 'presence');
    calm.assign('train', long);
    await calm.until(() => calm.taken === 1, 'the other update');
    expect(calm.declared[0]?.digest).toBe(ward.declared[0]?.digest);
  });

  it.each(['statistics', 'evaluate'] as const)(
    'is killed before its report of %s is taken, and reports the same after its return',
    async (task) => {
      const ward = await Ward.open();
      const first = new SiteProcess(ward);
      await ward.until(() => ward.count('presence') === 1, 'presence');
      ward.assign(task);
      await ward.until(() => ward.count('answer') === 1, 'an answer');
      await first.kill();
      const before = ward.count('report');
      const second = new SiteProcess(ward);
      await ward.until(() => ward.count('presence') === 2, 'return');
      ward.assign(task);
      await ward.until(() => ward.count('report') > before, 'the report');
      await second.kill();
      const reports = ward.desk.heard.filter((message) => message.kind === 'report');
      expect(reports.at(-1)).toMatchObject({
        result: { kind: task === 'statistics' ? 'statistics' : 'evaluation' },
      });
      expect(new Set(reports.map((message) => JSON.stringify(message))).size).toBe(1);
    },
  );

  it('outlives a coordinator that dies in the middle of an upload', async () => {
    const ward = await Ward.open();
    const { telemetry } = await ward.start();
    let dying: Promise<void> | undefined;
    ward.desk.beforeWrite = async (chunk) => {
      if (chunk === 4) dying ??= ending.close();
    };
    await ward.until(() => ward.count('presence') === 1, 'presence');
    ward.assign('train');
    await ward.until(() => dying !== undefined, 'the fifth chunk');
    await dying;
    const { heard, weightsOf } = ward.desk;
    ward.desk = ending.add(await DiskDesk.open(path.join(ward.folder, 'desk')), (desk) => desk.close());
    for (const [name, source] of weightsOf) ward.desk.weightsOf.set(name, source);
    expect(heard.length).toBeGreaterThan(0);
    await ward.serve();
    await ward.until(() => ward.count('presence') === 1, 'return');
    ward.assign('train');
    await ward.until(() => ward.taken === 1, 'the update');
    expect(new Set(ward.written).size).toBe(chunks);
    const working = telemetry.lines.filter(
      ({ message, fields }) => message === 'working' && fields.task === 'train',
    );
    expect(working.length).toBe(1);
  });
});
