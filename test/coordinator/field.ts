import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client, type ClientDuplexStream, credentials, Metadata } from '@grpc/grpc-js';
import { type CoordinatorConfig, coordinatorSchema } from '../../src/coordinator/config.ts';
import { type RunningCoordinator, startCoordinator } from '../../src/coordinator/start.ts';
import { ConsiliumError, type Problem, problem, specOf } from '../../src/errors/problem.ts';
import { createFederationKeys, loadFederationKey } from '../../src/identity/federation-folder.ts';
import { parseJoinToken } from '../../src/identity/join-token.ts';
import { signUpdate } from '../../src/identity/receipts.ts';
import { VERIFIERS } from '../../src/identity/verifiers.ts';
import { globalNorm } from '../../src/participant/trainers/clip-by-norm.ts';
import type { Signer } from '../../src/ports/signer.ts';
import { decodeCoordinatorMessage } from '../../src/protocol/coordinator-message-codec.ts';
import { decodeEnvelope } from '../../src/protocol/envelope-codec.ts';
import { decodeOpenResponse, encodeOpenRequest, type SignedIdentity } from '../../src/protocol/open-codec.ts';
import { METHOD_PATHS, type Method } from '../../src/protocol/schema.ts';
import {
  decodeDownloadRequest,
  decodeDownloadResponse,
  decodeUploadRequest,
  decodeUploadResponse,
  encodeUploadRequest,
} from '../../src/protocol/transfer-codec.ts';
import type { InvitationView, JobView } from '../../src/protocol/views.ts';
import type { Assignment, CoordinatorMessage, HeardMessage } from '../../src/rounds/assignment.ts';
import { type Job, jobSchema, manifestOf } from '../../src/rounds/job.ts';
import type { Receipt, UpdateDeclaration } from '../../src/rounds/update.ts';
import type { SessionKeys } from '../../src/sm/channel/session-keys.ts';
import { SUITE } from '../../src/sm/channel/suite.ts';
import { openTelemetry } from '../../src/telemetry/telemetry.ts';
import { ClientCall } from '../../src/transport/client/client-call.ts';
import { connectCoordinator } from '../../src/transport/client/coordinator-client.ts';
import { dialHandshake } from '../../src/transport/client/handshake.ts';
import { identityCredentials, tokenEnrolment } from '../../src/transport/client/identity-credentials.ts';
import type { OperatorRequest } from '../../src/transport/client/operate.ts';
import type { CoordinatorSession } from '../../src/transport/client/session.ts';
import { payloadInMemory } from '../../src/transport/payload-source.ts';
import { RecordOpener, RecordSender } from '../../src/transport/record-stream.ts';
import type { Digest } from '../../src/vocabulary/digest.ts';
import type { FederationId, SiteId } from '../../src/vocabulary/ids.ts';
import { ok } from '../../src/vocabulary/result.ts';
import { bytesOf } from '../../src/weights/float32-bytes.ts';
import { manifestElements } from '../../src/weights/manifest.ts';
import { memorySigner } from '../identity/memory-signer.ts';
import { Ending, wallClock } from '../transport/parties.ts';
import { coordinatorKey, TEST_SM } from '../transport/sm.ts';
import { until } from '../until.ts';

export const FEDERATION = 'hearts' as FederationId;
export const CHUNK_BYTES = 4096;

/** A job whose updates have several chunks of 4 KiB, for two honest sites and one that is not. */
export function jobOf(change: Readonly<Record<string, unknown>> = {}): Job {
  return jobSchema.parse({
    apiVersion: 'consilium/v1',
    name: 'heart',
    dataset: 'clinic',
    model: { kind: 'mlp', features: ['age', 'chol'], hidden: [2048] },
    trainer: { name: 'tfjs' },
    rounds: 2,
    cohort: { size: 3 },
    quorum: 2,
    deadlineMs: 60_000,
    ...change,
  });
}

/** The key of a site and what the federation says of it. */
export interface Member {
  readonly site: SiteId;
  readonly signer: Signer;
  readonly identity: SignedIdentity;
}

/** A coordinator over real gRPC and a real store, and whoever dials it. */
export class Field {
  readonly ending = new Ending();
  readonly telemetry = openTelemetry({ sink: { write: () => {} }, format: 'json', level: 'silent' });
  folder!: string;
  coordinator!: RunningCoordinator;
  authorityFingerprint!: Digest;
  #config!: CoordinatorConfig;
  #operator: CoordinatorSession | undefined;

  static async open(change: Readonly<Record<string, unknown>> = {}, folder?: string): Promise<Field> {
    const made = new Field();
    made.folder = folder ?? (await mkdtemp(join(tmpdir(), 'consilium-field-')));
    made.ending.add(made.folder, (own) => rm(own, { recursive: true, force: true }));
    const now = Date.now() - 1000;
    const keys = await createFederationKeys(join(made.folder, 'keys'), { federation: FEDERATION, now });
    made.authorityFingerprint = keys.authority.authorityFingerprint;
    made.#config = coordinatorSchema.parse({
      apiVersion: 'consilium/v1',
      federation: FEDERATION,
      listen: '127.0.0.1:0',
      heartbeatMs: 60_000,
      chunkBytes: CHUNK_BYTES,
      ...change,
    });
    await made.start();
    return made;
  }

  /** Starts a coordinator on what the folder holds; the one before it has been stopped. */
  async start(): Promise<void> {
    const { folder: baseDirectory, telemetry } = this;
    const started = await startCoordinator(this.#config, { baseDirectory, telemetry });
    this.coordinator = this.ending.add(started, (own) => own.stop(0));
  }

  get anchor() {
    const { authorityFingerprint } = this;
    return { federation: FEDERATION, authorityFingerprint, verifiers: VERIFIERS, clock: wallClock };
  }

  close(): Promise<void> {
    return this.ending.close();
  }

  /** Where everyone dials, if not the coordinator itself. */
  via: string | undefined;

  client() {
    const address = this.via ?? this.coordinator.address;
    const { channel } = this.#config;
    const client = connectCoordinator({ address, channel, sm: TEST_SM, software: 'test' });
    return this.ending.add(client, (own) => own.close());
  }

  /** The last view of an operator's command. */
  async ask<View>(request: OperatorRequest): Promise<View> {
    return (await this.askAll<View>(request)).at(-1) as View;
  }

  /** Every view of an operator's command. */
  async askAll<View>(request: OperatorRequest): Promise<View[]> {
    const operator = await loadFederationKey(join(this.folder, 'keys'), 'operator');
    this.#operator ??= await this.client().open(identityCredentials(this.anchor, operator));
    const views: View[] = [];
    for await (const answer of this.#operator.operate(request)) {
      if (answer.kind === 'problem') throw new ConsiliumError(answer.problem);
      if (answer.kind === 'view') views.push(answer.view as View);
    }
    return views;
  }

  submit(spec: Job): Promise<JobView> {
    return this.ask({ kind: 'submit-job', spec, dryRun: false, initialWeights: undefined });
  }

  /** The job, as soon as `holds` of it. */
  async job(name: string, holds: (job: JobView) => boolean): Promise<JobView> {
    let view: JobView | undefined;
    await until(async () => {
      view = await this.ask<JobView>({ kind: 'get-job', job: name });
      return holds(view);
    });
    return view!;
  }

  async invite(site: string): Promise<Uint8Array> {
    const { token } = await this.ask<InvitationView>({ kind: 'invite-site', site, ttlMs: undefined });
    const parsed = parseJoinToken(token, Date.now());
    if (!parsed.ok) throw new ConsiliumError(parsed.refusal);
    return parsed.value.secret;
  }

  async enrol(site: string): Promise<Member> {
    const signer = newSigner();
    const holder = { site, secret: await this.invite(site), signer };
    const { identity } = await this.client().enroll(tokenEnrolment(this.anchor, holder));
    return { site: site as SiteId, signer, identity };
  }

  /** A site that does what it is asked, once `gate` lets it send updates. */
  async honest(site: string, gate: Promise<void>): Promise<HonestSite> {
    const member = await this.enrol(site);
    const session = await this.client().open(identityCredentials(this.anchor, member));
    return HonestSite.attend(member, session, gate);
  }

  async hostile(site: string): Promise<HostileSite> {
    const member = await this.enrol(site);
    const raw = new Client(this.coordinator.address, credentials.createInsecure());
    this.ending.add(raw, (own) => own.close());
    return HostileSite.open(raw, member);
  }

  /** How often something was counted, over all labels that hold `text`. */
  counted(name: string, text = ''): number {
    return Object.entries(this.telemetry.counters())
      .filter(([key]) => key.startsWith(name) && key.includes(text))
      .reduce((sum, [, count]) => sum + count, 0);
  }
}

export function newSigner(): Signer {
  return memorySigner();
}

/** What every site offers. */
export const PRESENCE = {
  datasets: ['clinic'],
  trainers: [{ name: 'tfjs', kind: 'tfjs', backend: 'test' }],
  updateBytesMax: 2 ** 31,
  software: 'test',
  views: [],
  encodings: ['float16', 'bfloat16', 'int8', 'top-k'],
} as const;

/** Sums of 50 rows with the value 1 for each feature. */
export function sumsOf(features: readonly string[]) {
  return features.map((name) => ({
    name,
    suppressed: false,
    count: 50,
    missing: 0,
    sum: 50,
    sumOfSquares: 50,
  }));
}

/** The update of an assignment whose every element is `value`, and its declaration. */
export function updateOf(assignment: Assignment, site: SiteId, value: number) {
  const manifest = manifestOf(assignment.spec);
  const values = new Float32Array(manifestElements(manifest)).fill(value);
  const source = payloadInMemory(manifest, bytesOf(values), CHUNK_BYTES);
  const { job, round, attempt, baseVersion, baseDigest } = assignment;
  const declaration: UpdateDeclaration = {
    key: { job, round, attempt, site },
    baseVersion,
    baseDigest,
    sampleCount: 50,
    manifest,
    payloadBytes: source.payloadBytes,
    chunkBytes: CHUNK_BYTES,
    digest: source.digest,
    metrics: { loss: 0.5 },
    backend: 'test',
    norm: globalNorm(values),
  };
  return { declaration, source };
}

export class HonestSite {
  readonly heard: HeardMessage[] = [];
  readonly receipts: Receipt[] = [];
  /** Why its long-lived stream ended, once it has. */
  ended: Problem | 'well' | undefined;
  readonly failures: unknown[] = [];
  /** Codes of the refusals after which it sent its update again. */
  readonly retried: string[] = [];
  /** Inquiries that it has answered. */
  opinions = 0;

  static async attend(
    { site, signer }: Member,
    session: CoordinatorSession,
    gate: Promise<void>,
  ): Promise<HonestSite> {
    const made = new HonestSite();
    const attending = await session.attend((message) => {
      made.heard.push(message);
      if (message.kind === 'inquiry') {
        void attending.say({ kind: 'opinion', inquiry: message.inquiry, objections: [] });
        made.opinions++;
      }
      if (message.kind !== 'assignment') return;
      const { assignment } = message;
      const report = (result: Parameters<typeof attending.say>[0] & { kind: 'report' }) =>
        attending.say(result);
      const { id } = assignment;
      if (assignment.task === 'statistics') {
        const { model } = assignment.spec;
        const features = sumsOf(model.kind === 'mlp' ? model.features : []);
        void report({ kind: 'report', assignment: id, result: { kind: 'statistics', features } });
      } else if (assignment.task === 'evaluate') {
        const result = { kind: 'evaluation', metrics: { auc: 0.5 }, sampleCount: 20 } as const;
        void report({ kind: 'report', assignment: id, result });
      } else {
        void made.train(assignment, site, signer, session, gate);
      }
    });
    void attending.ended.then((problem) => {
      made.ended = problem ?? 'well';
    });
    await attending.say({ kind: 'presence', presence: PRESENCE });
    return made;
  }

  private async train(
    assignment: Assignment,
    site: SiteId,
    signer: Signer,
    session: CoordinatorSession,
    gate: Promise<void>,
  ): Promise<void> {
    await gate;
    const { declaration, source } = updateOf(assignment, site, 0.25);
    const signature = await signUpdate(signer, FEDERATION, declaration);
    for (;;) {
      try {
        this.receipts.push(await session.upload(declaration, signature, source.chunks));
        return;
      } catch (error) {
        const again = error instanceof ConsiliumError && specOf(error.problem.code).retry === 'later';
        if (!again) {
          this.failures.push(error);
          return;
        }
        this.retried.push(error.problem.code);
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
    }
  }
}

const PROTECTION = { engine: TEST_SM.engine, suite: SUITE.sm4GcmSm3 };

type RawCall = ClientDuplexStream<Buffer, Buffer>;
const asIs = (bytes: Buffer) => bytes;

/** Numbers of streams: no two of a session are alike. */
let streams = 0;

/** One raw stream under the keys of a session: whatever messages are sealed on it, and whatever came back. */
export class RawStream {
  readonly heard: Uint8Array[] = [];
  /** Codes of what the coordinator said in the clear. */
  readonly heardInTheClear: string[] = [];
  readonly status: Promise<number>;
  readonly #call: RawCall;
  readonly #sender: RecordSender;
  readonly #opener: RecordOpener;
  #opening: Promise<unknown> = Promise.resolve();
  #saying: Promise<unknown> = Promise.resolve();
  #wake: () => void = () => {};
  #over = false;

  /** `round`: of an upload; the version of a download. */
  constructor(raw: Client, method: Method, session: SessionKeys, round = 0) {
    const place = { stream: ++streams, generation: session.generation, round };
    const { up, down } = session.open({ method, ...place });
    this.#call = raw.makeBidiStreamRequest(METHOD_PATHS[method], asIs, asIs, new Metadata());
    const write = async (bytes: Buffer) => void this.#call.write(bytes);
    this.#sender = new RecordSender(PROTECTION, up, write, { session: session.id, ...place });
    this.#opener = new RecordOpener(PROTECTION, down);
    this.#call.on('data', (bytes: Buffer) => {
      this.#opening = this.#opening.then(() => this.#take(bytes));
    });
    this.#call.on('error', () => {});
    this.status = new Promise((resolve) =>
      this.#call.once('status', ({ code }) => {
        // Messages that came with the status are still to be emitted.
        setImmediate(async () => {
          await this.#opening;
          this.#over = true;
          this.#wake();
          resolve(code);
        });
      }),
    );
  }

  say(body: Uint8Array, last = false): void {
    this.#saying = this.#sender.send(body, last).catch(() => {});
  }

  /** Writes bytes of its own in the place of an envelope, behind what was said. */
  sayRaw(envelope: Uint8Array): void {
    this.#saying = this.#saying.then(() => void this.#call.write(Buffer.from(envelope)));
  }

  async #take(bytes: Buffer): Promise<void> {
    const envelope = decodeEnvelope(bytes);
    if (!envelope.ok) return;
    if (envelope.value.kind === 'refusal') {
      this.heardInTheClear.push(envelope.value.refusal.code);
      this.heard.push(new Uint8Array());
    } else if (envelope.value.kind === 'record') {
      const opened = await this.#opener.open(envelope.value);
      if (opened.ok && !(opened.value.last && opened.value.body.length === 0)) {
        this.heard.push(opened.value.body);
      }
    }
    this.#wake();
  }

  /** Ends the stream behind what was said. */
  end(): void {
    void this.#saying.then(() => this.#call.end());
  }

  cancel(): void {
    this.#call.cancel();
  }

  /** The message at `place`, as soon as it is there; undefined when the stream is over without it. */
  async message(place: number): Promise<Uint8Array | undefined> {
    while (this.heard.length <= place && !this.#over) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    return this.heard[place];
  }
}

/** A registered site that says what it likes. */
export class HostileSite {
  readonly member: Member;
  readonly session: SessionKeys;
  readonly #raw: Client;
  readonly #attend: RawStream;
  #read = 0;

  private constructor(raw: Client, member: Member, session: SessionKeys) {
    this.#raw = raw;
    this.member = member;
    this.session = session;
    this.#attend = new RawStream(raw, 'attend', session);
  }

  static async open(raw: Client, member: Member): Promise<HostileSite> {
    return new HostileSite(raw, member, await openSession(raw, member));
  }

  get site(): SiteId {
    return this.member.site;
  }

  get attending(): RawStream {
    return this.#attend;
  }

  stream(method: Method, round = 0, session = this.session): RawStream {
    return new RawStream(this.#raw, method, session, round);
  }

  /** The next message on its long-lived stream that `wanted` holds of. */
  async hear<Kind extends CoordinatorMessage['kind']>(
    kind: Kind,
  ): Promise<Extract<CoordinatorMessage, { kind: Kind }>> {
    for (;;) {
      const body = await this.#attend.message(this.#read++);
      if (!body) throw new Error(`the stream ended before a message of kind ${kind}`);
      const message = decodeCoordinatorMessage(body);
      if (message.ok && message.value.kind === kind) return message.value as never;
    }
  }

  async assigned(task: Assignment['task']): Promise<Assignment> {
    for (;;) {
      const { assignment } = await this.hear('assignment');
      if (assignment.task === task) return assignment;
    }
  }

  /** Sends messages on a fresh upload stream; what it ends with. */
  async upload(bodies: readonly Uint8Array[], round = roundIn(bodies[0])): Promise<UploadEnd> {
    const stream = this.stream('upload', round);
    for (const [at, body] of bodies.entries()) stream.say(body, at === bodies.length - 1);
    for (let place = 0; ; place++) {
      const body = await stream.message(place);
      if (!body) return `status ${await stream.status}`;
      const answer = decodeUploadResponse(body);
      if (!answer.ok) throw new ConsiliumError(answer.refusal);
      if (answer.value.kind === 'resume') continue;
      stream.end();
      return answer.value.kind === 'problem' ? answer.value.problem : answer.value.receipt;
    }
  }

  sign(declaration: UpdateDeclaration): Promise<Uint8Array> {
    return signUpdate(this.member.signer, FEDERATION, declaration);
  }

  async declare(declaration: UpdateDeclaration): Promise<Uint8Array> {
    const signature = await this.sign(declaration);
    return encodeUploadRequest({ kind: 'declaration', declaration, signature });
  }

  async download(body: Uint8Array): Promise<Problem | undefined> {
    const request = decodeDownloadRequest(body);
    const stream = this.stream('download', request.ok ? request.value.version : 0);
    stream.say(body, true);
    const first = await stream.message(0);
    const answer = first && decodeDownloadResponse(first);
    stream.end();
    return answer?.ok && answer.value.kind === 'problem' ? answer.value.problem : undefined;
  }
}

/** How an upload ended. */
export type UploadEnd = Problem | Receipt | string;

/** The code of a refusal; what else there is instead. */
export function codeOf(end: UploadEnd): string {
  if (typeof end === 'string') return end;
  return 'code' in end ? end.code : 'a receipt';
}

/** The round that a first message declares; 0 where it declares none. */
export function roundIn(body: Uint8Array | undefined): number {
  const said = body && decodeUploadRequest(body, 'nobody' as SiteId);
  return said?.ok && said.value.kind === 'declaration' ? said.value.declaration.key.round : 0;
}

/** Goes through Open with whatever identity and key, whoever the coordinator is. Throws the problem that it is refused with. */
export async function openSession(
  raw: Client,
  { signer, identity }: Pick<Member, 'signer' | 'identity'>,
): Promise<SessionKeys> {
  const call = new ClientCall(raw, 'open', {
    protection: PROTECTION,
    explain: async ({ code }) => new ConsiliumError(problem('INTERNAL', { reference: `status ${code}` })),
  });
  const { keys } = await dialHandshake(call, {
    ...TEST_SM,
    ...PROTECTION,
    outer: { mode: 'none', certificateHash: () => undefined },
    trust: {
      federation: FEDERATION,
      verify: async () => ok(coordinatorKey()),
    },
    own: async () => ({ identity, sign: (message) => signer.sign(message) }),
  });
  call.secure(keys, { method: 'open', stream: 0, generation: 0, round: 0 });
  call.send(encodeOpenRequest({ kind: 'begin', software: 'hostile' }), true).catch(() => {});
  const body = await call.receive();
  const answer = body && decodeOpenResponse(body);
  if (!answer?.ok) throw new Error('open was not answered');
  if (answer.value.kind === 'problem') throw new ConsiliumError(answer.value.problem);
  call.dismiss();
  return keys;
}
