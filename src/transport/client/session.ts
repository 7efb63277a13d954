import type { Client, StatusObject } from '@grpc/grpc-js';
import { ConsiliumError, fail, type Problem, problem } from '../../errors/problem.ts';
import { decodeCoordinatorMessage } from '../../protocol/coordinator-message-codec.ts';
import type { Granted, RevocationListBytes } from '../../protocol/open-codec.ts';
import type { Method } from '../../protocol/schema.ts';
import { encodeSiteMessage } from '../../protocol/site-message-codec.ts';
import type { HeardMessage, SiteMessage } from '../../rounds/assignment.ts';
import type { Receipt, UpdateDeclaration } from '../../rounds/update.ts';
import { Generations } from '../../sm/channel/generations.ts';
import type { SessionKeys } from '../../sm/channel/session-keys.ts';
import type { EpochMs, JobId, ModelVersion } from '../../vocabulary/ids.ts';
import type { OperateResponse } from '../desk.ts';
import type { CoordinatorKey } from '../gatekeeper.ts';
import type { RecordProtection } from '../record-stream.ts';
import { RoundWatch } from '../round-watch.ts';
import { SESSION_LEFT_MS } from '../session-life.ts';
import { ClientCall } from './client-call.ts';
import { type DownloadInto, type IncomingPayload, openDownload, receiveInto } from './download.ts';
import { type OperatorRequest, operate } from './operate.ts';
import { type UploadOptions, upload } from './upload.ts';

/** Takes a revocation list of the session's coordinator; a problem ends the session. */
export type HeedList = (list: RevocationListBytes) => Promise<Problem | undefined>;

/** What a session is made of. */
export interface SessionParts {
  readonly client: Client;
  readonly protection: RecordProtection;
  /** Taken over, and overwritten when the session is closed. */
  readonly keys: SessionKeys;
  readonly explain: (ended: StatusObject) => Promise<ConsiliumError>;
  readonly granted: Granted;
  readonly federation: string;
  readonly coordinator: CoordinatorKey;
  readonly heed: HeedList;
  /** Aborts when the client is closed. */
  readonly ending: AbortSignal;
  /** When the session is left; `SESSION_LEFT_MS` where unsaid. */
  readonly lifeMs?: number | undefined;
}

/** How long an operator's command may be on its way. Whoever waits longer has given up, and nothing is to come of it. */
export const COMMAND_LIFE_MS = 60_000;

/** The site's end of its long-lived stream. */
export interface Attending {
  /** Resolves when the message has been handed to the network; rejects once the stream has ended. */
  say(message: SiteMessage): Promise<void>;
  /** Resolves when the stream is over, with the problem that ended it, if any; never rejects. */
  readonly ended: Promise<Problem | undefined>;
  /** Ends the stream. */
  close(): void;
}

/**
 * An authenticated session. It ends when the coordinator forgets it (a restart, a revocation, half a day): its
 * methods then reject with SESSION_UNKNOWN, and another one is opened with `CoordinatorClient.open`.
 */
export class CoordinatorSession {
  readonly coordinator: CoordinatorKey;
  /** How often the coordinator expects a heartbeat. */
  readonly heartbeatMs: number;
  /** The coordinator's clock when the session was granted. */
  readonly coordinatorTime: EpochMs;
  readonly #parts: SessionParts;
  readonly #closing = new AbortController();
  readonly #generations = new Generations();
  readonly #grantedAt = performance.now();
  readonly #over: AbortSignal;
  /** Stream 0 was that of Open. */
  #streams = 1;

  constructor(parts: SessionParts) {
    this.#parts = parts;
    this.#over = AbortSignal.timeout(parts.lifeMs ?? SESSION_LEFT_MS);
    this.coordinator = parts.coordinator;
    this.heartbeatMs = parts.granted.heartbeatMs;
    this.coordinatorTime = parts.granted.coordinatorTime;
  }

  /** Opens the site's long-lived stream. `listen` gets each message in order; what it returns is awaited. */
  async attend(listen: (message: HeardMessage) => void | Promise<void>): Promise<Attending> {
    const call = this.#call('attend', 0);
    const rounds = new RoundWatch();
    const hear = async (): Promise<Problem | undefined> => {
      for (let body = await call.receive(); body; body = await call.receive()) {
        const message = decodeCoordinatorMessage(body);
        if (!message.ok) return message.refusal;
        if (message.value.kind === 'problem') return message.value.problem;
        if (message.value.kind === 'revocation-list') {
          const objection = await this.#parts.heed(message.value.list);
          if (objection) return objection;
        }
        // Each round has keys of its own: those of the rounds before are gone at both ends.
        if (message.value.kind === 'assignment' && rounds.begins(message.value.assignment)) {
          this.#generations.ask();
          call.rekey();
        }
        await listen(message.value);
      }
      return undefined;
    };
    return {
      say: (message) => call.send(encodeSiteMessage(message)),
      ended: hear()
        .catch((cause: unknown) => problemOf(cause))
        .finally(() => call.dismiss()),
      close: () => call.cancel(),
    };
  }

  /** Asks for the weights of a version from chunk `fromChunk` on; a chunk past the end gives their description alone. */
  download(
    job: JobId,
    version: ModelVersion,
    fromChunk: number,
    signal?: AbortSignal,
  ): Promise<IncomingPayload> {
    const { protection, federation, coordinator } = this.#parts;
    const trust = { engine: protection.engine, federation, coordinator };
    return openDownload(this.#call('download', version, signal), { job, version, fromChunk }, trust);
  }

  /** Fetches the weights of a version into a staged transfer, from the first chunk that it does not hold; seals it. */
  downloadInto(job: JobId, version: ModelVersion, into: DownloadInto, signal?: AbortSignal): Promise<void> {
    return receiveInto((fromChunk) => this.download(job, version, fromChunk, signal), into);
  }

  /**
   * Sends an update: the declaration, then the chunks that `chunks(from)` gives from the first one that the coordinator
   * does not hold. Resolves with the receipt, unverified; rejects with the coordinator's problem.
   */
  upload(
    declaration: UpdateDeclaration,
    signature: Uint8Array,
    chunks: (from: number) => AsyncIterable<Uint8Array>,
    options: UploadOptions = {},
  ): Promise<Receipt> {
    return upload(
      this.#call('upload', declaration.key.round, options.signal),
      declaration,
      signature,
      chunks,
      options,
    );
  }

  /** One operator command and its answers; ending the iteration ends the command's stream. */
  operate(request: OperatorRequest, signal?: AbortSignal): AsyncGenerator<OperateResponse> {
    // By the coordinator's clock: the two may differ by minutes. What the grant took to come makes it shorter, not longer.
    const now = this.coordinatorTime + (performance.now() - this.#grantedAt);
    return operate(() => this.#call('operate', 0, signal), request, Math.floor(now) + COMMAND_LIFE_MS);
  }

  /** Ends all that runs in the session; idempotent. */
  async close(): Promise<void> {
    this.#closing.abort();
    this.#parts.keys.destroy();
  }

  #call(method: Method, round: number, signal?: AbortSignal): ClientCall {
    const { client, protection, keys, explain, ending } = this.#parts;
    if (this.#over.aborted) fail('SESSION_UNKNOWN');
    const both = AbortSignal.any([ending, this.#closing.signal, this.#over, ...(signal ? [signal] : [])]);
    if (both.aborted) fail('INTERRUPTED');
    if (this.#generations.step(keys.generation)) keys.step();
    const head = { method, stream: this.#streams++, generation: keys.generation, round };
    this.#generations.opened();
    return new ClientCall(client, method, {
      protection,
      explain,
      signal: both,
      within: { keys, head },
      onSettled: (answered) => this.#generations.settled(head.generation, answered),
    });
  }
}

function problemOf(cause: unknown): Problem {
  if (cause instanceof ConsiliumError) return cause.problem;
  return problem('INTERNAL', { reference: 'attend' });
}
