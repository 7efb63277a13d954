import { encodeUpdate } from '../../src/aggregation/encodings/encode-update.ts';
import { type Problem, problem } from '../../src/errors/problem.ts';
import type { Assignment, CoordinatorMessage, Presence, ReportResult } from '../../src/rounds/assignment.ts';
import { earlierVersion } from '../../src/rounds/earlier-version.ts';
import { manifestOf } from '../../src/rounds/job.ts';
import {
  type HeldUpdate,
  heldName,
  type SiteEffect,
  type SiteEvent,
  type SiteState,
  siteState,
  siteStep,
} from '../../src/rounds/site.ts';
import { bufferingOf } from '../../src/rounds/strategy.ts';
import type { Receipt, UpdateDeclaration } from '../../src/rounds/update.ts';
import { payloadEncodingOf } from '../../src/rounds/update-encoding.ts';
import { PayloadHasher } from '../../src/sm/payload-digest.ts';
import { sm3 } from '../../src/sm/sm3.ts';
import type { Attendance } from '../../src/transport/desk.ts';
import type { AssignmentId, SiteId } from '../../src/vocabulary/ids.ts';
import { type Result, refused } from '../../src/vocabulary/result.ts';
import { bytesOf } from '../../src/weights/float32-bytes.ts';
import type { Manifest } from '../../src/weights/manifest.ts';
import type { Link } from './network.ts';
import { HEARTBEAT_MS, type SimulatedCoordinator } from './simulated-coordinator.ts';
import type { VirtualClock } from './virtual-clock.ts';

/** Elements of a chunk on the simulated wire: few, so that even a small update is a transfer of several. */
export const CHUNK_BYTES = 16;

/** What a site says whose trainer is of this MINOR; schemas are nothing to jobs that name none. */
function presenceOf(minor: number): Presence {
  const schemas = [{ id: 'slots', version: `1.${minor}.0` }];
  return {
    datasets: ['cohort'],
    trainers: [{ name: 'tfjs', kind: 'tfjs', backend: 'simulated', schemas }],
    updateBytesMax: 2 ** 20,
    software: 'simulation',
    views: [],
    encodings: [],
  };
}

/** When a site that came back asks after updates that nobody has asked it for, in virtual ms. */
const UNASKED_MS = 1000;

/** No value of an update is larger. */
const BOUND = 1e6;

/** What the oracle is told. */
export interface Witness {
  /** The trainer was of that MINOR, and made an update of that digest. */
  trained(site: SiteId, assignment: Assignment, minor: number, digest: string): void;
  receipted(site: SiteId, declaration: UpdateDeclaration, receipt: Receipt): void;
  refused(site: SiteId, declaration: UpdateDeclaration, problem: Problem): void;
  committed(site: SiteId, message: Extract<CoordinatorMessage, { kind: 'version-committed' }>): void;
}

/** A hospital: the real `siteStep` over a simulated disk, trainer and network. */
export class SimulatedSite {
  readonly id: SiteId;
  readonly place: number;
  readonly link: Link;
  private readonly clock: VirtualClock;
  private readonly coordinator: SimulatedCoordinator;
  private readonly sites: number;
  private readonly witness: Witness;
  /** What outlives the process: held updates and their bytes. */
  private readonly disk = new Map<string, { update: HeldUpdate; bytes: Uint8Array }>();
  private state: SiteState = siteState([]);
  /** Receipts that it has kept, which outlive the process too: digests by `job/round`. */
  private readonly kept = new Map<string, string>();
  private life = 1;
  private attendance: Attendance | undefined;
  private queue: Promise<unknown> = Promise.resolve();
  private running = new Map<AssignmentId, number>();
  private works = 0;
  private readonly sent: { declaration: UpdateDeclaration; bytes: Uint8Array }[] = [];
  private acknowledged: { declaration: UpdateDeclaration; bytes: Uint8Array } | undefined;
  private doomed: { writes: number; when: 'before' | 'after'; downMs: number } | undefined;
  declining = 0;
  failing = 0;
  losingReceipts = 0;
  doubling = 0;
  revoked = false;
  /** What it adds in its slot of a round. */
  private readonly value: number;
  /** Encodings that it can send. */
  private readonly encodings: readonly string[];
  /** The MINOR that its trainer is of. */
  minor: number;

  constructor(
    place: number,
    ports: {
      clock: VirtualClock;
      coordinator: SimulatedCoordinator;
      link: Link;
      sites: number;
      minor: number;
      value?: number | undefined;
      encodings?: readonly string[] | undefined;
      witness: Witness;
    },
  ) {
    this.place = place;
    this.id = `site-${place}` as SiteId;
    this.clock = ports.clock;
    this.coordinator = ports.coordinator;
    this.link = ports.link;
    this.sites = ports.sites;
    this.minor = ports.minor;
    this.value = ports.value ?? 1;
    this.encodings = ports.encodings ?? [];
    this.witness = ports.witness;
    this.dial();
    this.beat();
  }

  die(downMs: number): void {
    const life = ++this.life;
    this.doomed = undefined;
    this.running.clear();
    this.link.break();
    this.hangUp();
    this.clock.after(downMs, () => {
      if (this.life !== life) return;
      const held = [...this.disk.values()].map(({ update }) => update);
      this.state = siteState(held, (update) => this.kept.get(heldName(update)) === update.digest);
      this.dial();
      this.beat();
      this.clock.after(UNASKED_MS, () => this.life === life && this.react({ kind: 'caught-up' }));
    });
  }

  doom(writes: number, when: 'before' | 'after', downMs: number): void {
    if (writes === 0) this.die(downMs);
    else this.doomed = { writes, when, downMs };
  }

  /** Sends everything it ever sent once more. */
  replay(): void {
    for (const { declaration, bytes } of [...this.sent]) void this.send(declaration, bytes);
  }

  /** Sends other bytes under the key of its last receipted update, or under another site's id. */
  forge(change: 'bytes' | 'site'): void {
    const last = change === 'bytes' ? this.acknowledged : this.sent.at(-1);
    if (!last) return;
    const bytes = new Uint8Array(last.bytes);
    if (change === 'bytes')
      bytesOf(Float32Array.of(7)).forEach((byte, place) => {
        bytes[place] = byte;
      });
    const other = `site-${(this.place + 1) % this.sites}` as SiteId;
    const key = change === 'site' ? { ...last.declaration.key, site: other } : last.declaration.key;
    void this.send({ ...last.declaration, key, digest: digestOf(bytes) }, bytes);
  }

  private dial(): void {
    const { life } = this;
    if (this.revoked) return;
    const coordinator = this.coordinator.current;
    if (!coordinator || !this.link.up) {
      this.clock.after(50 + this.link.delay(), () => this.life === life && !this.attendance && this.dial());
      return;
    }
    const connection = this.link.connection;
    let lastArrival = this.clock.now();
    const attendance = coordinator.attendances.attend(this.id, (message) => {
      // One stream keeps its order, whatever the delays.
      lastArrival = Math.max(lastArrival, this.clock.now() + this.link.delay());
      this.clock.after(lastArrival - this.clock.now(), () => {
        if (this.life === life && this.link.connection === connection && this.attendance === attendance)
          this.hear(message);
      });
    });
    this.attendance = attendance;
    // What the process before was still to hear is lost with its connection.
    this.queue = Promise.resolve();
    this.say({ kind: 'presence', presence: { ...presenceOf(this.minor), encodings: this.encodings } });
    this.react({ kind: 'connected' });
  }

  private hangUp(): void {
    const { attendance } = this;
    this.attendance = undefined;
    // The coordinator learns of it later.
    if (attendance) this.clock.after(this.link.delay(), () => attendance.leave());
  }

  /** Looks after the stream: heartbeats, and dialling anew when it broke. */
  private beat(): void {
    const { life } = this;
    const connection = this.link.connection;
    const process = this.coordinator.current;
    this.clock.after(HEARTBEAT_MS, () => {
      if (this.life !== life) return;
      const broken =
        !this.link.up || this.link.connection !== connection || this.coordinator.current !== process;
      if (broken) this.hangUp();
      if (!this.attendance) this.dial();
      else this.say({ kind: 'heartbeat', sentAt: this.clock.now(), progress: [] });
      this.beat();
    });
  }

  private say(message: Parameters<Attendance['receive']>[0]): void {
    const { attendance } = this;
    const connection = this.link.connection;
    this.queue = this.queue.then(async () => {
      if (await this.link.cross(connection)) await attendance?.receive(message);
    });
  }

  private hear(message: CoordinatorMessage): void {
    switch (message.kind) {
      case 'assignment': {
        const objection = this.declining > 0 ? problem('POLICY_DENIED', { what: 'this' }) : undefined;
        if (objection) this.declining--;
        const { assignment } = message;
        const schemaVersion = earlierVersion(assignment.spec, presenceOf(this.minor).trainers);
        this.react({ kind: 'assigned', assignment, objection, schemaVersion });
        break;
      }
      case 'withdrawal':
        this.react({ kind: 'withdrawn', assignment: message.assignment });
        break;
      case 'report-taken':
        this.react({ kind: 'report-taken', assignment: message.assignment });
        break;
      case 'version-committed':
        this.witness.committed(this.id, message);
        this.react({
          ...{ kind: 'committed', job: message.job, version: message.version },
          counted: message.receipts.flatMap(({ site, round }) => (site === this.id ? [round] : [])),
        });
        break;
      case 'problem':
        if (message.problem.code === 'SITE_REVOKED') this.revoked = true;
        break;
      default:
        break;
    }
  }

  private react(event: SiteEvent): void {
    const { state, effects } = siteStep(this.state, event);
    this.state = state;
    const { life } = this;
    for (const effect of effects) {
      if (this.life !== life) return;
      this.carryOut(effect);
    }
  }

  private carryOut(effect: SiteEffect): void {
    switch (effect.kind) {
      case 'persist':
        this.write(() =>
          this.disk.set(heldName(effect.update), {
            update: effect.update,
            bytes: this.bytesOf(effect.update),
          }),
        );
        break;
      case 'discard':
        this.write(() => this.disk.delete(heldName(effect.update)));
        break;
      case 'claim':
        void this.claim(effect.update);
        break;
      case 'answer':
        this.say({ kind: 'answer', assignment: effect.assignment, problem: effect.problem });
        break;
      case 'report':
        this.say({ kind: 'report', assignment: effect.assignment, result: effect.result });
        break;
      case 'cancel':
        this.running.delete(effect.assignment);
        break;
      case 'work':
        this.work(effect.assignment);
        break;
      case 'upload':
        void this.upload(effect.assignment, effect.update);
        if (this.doubling > 0) {
          this.doubling--;
          void this.upload(effect.assignment, effect.update);
        }
        break;
    }
  }

  private write(effect: () => void): void {
    const { doomed } = this;
    const meets = doomed && --doomed.writes === 0 ? doomed : undefined;
    if (meets?.when === 'before') {
      this.die(meets.downMs);
      return;
    }
    effect();
    if (meets) this.die(meets.downMs);
  }

  private work(assignment: Assignment): void {
    const { life } = this;
    const work = ++this.works;
    this.running.set(assignment.id, work);
    this.clock.after(this.pace * (5 + 3 * this.link.delay()), () => {
      if (this.life !== life || this.running.get(assignment.id) !== work) return;
      if (this.failing > 0) {
        this.failing--;
        const failure = problem('TRAINER_FAILED', { reason: 'simulated' });
        this.react({
          kind: 'worked',
          assignment: assignment.id,
          result: { kind: 'failure', problem: failure },
        });
      } else if (assignment.task === 'train') {
        const update = this.heldOf(assignment);
        this.witness.trained(this.id, assignment, this.minor, update.digest);
        this.react({ kind: 'trained', assignment: assignment.id, update });
      } else {
        this.react({ kind: 'worked', assignment: assignment.id, result: this.reportOf(assignment) });
      }
    });
  }

  private reportOf({ task, spec }: Assignment): ReportResult {
    if (task === 'evaluate') return { kind: 'evaluation', metrics: { auc: 0.5 }, sampleCount: 10 };
    const names = spec.model.kind === 'mlp' ? spec.model.features : [];
    const sums = {
      suppressed: false,
      count: 4,
      missing: 0,
      sum: 4 * this.place,
      sumOfSquares: 4 * this.place ** 2,
    };
    return { kind: 'statistics', features: names.map((name) => ({ name, ...sums })) };
  }

  private heldOf({ job, round, baseVersion, baseDigest, spec }: Assignment): HeldUpdate {
    const schemaVersion = earlierVersion(spec, presenceOf(this.minor).trainers);
    const sampleCount = spec.weightSchema ? 1 + this.place : 1;
    const held = {
      ...{ job, round, baseVersion, baseDigest, sampleCount, metrics: {}, backend: 'simulated' },
      claim: { manifest: manifestOf(spec), attemptsMax: spec.attemptsMax },
    };
    const stalenessMax = bufferingOf(spec.strategy)?.stalenessMax;
    const encoding = payloadEncodingOf(spec, held.claim.manifest);
    const draft = { ...held, schemaVersion, stalenessMax, encoding };
    return { ...draft, digest: digestOf(this.bytesOf(draft)) };
  }

  /** An update as it is sent. */
  private bytesOf(update: Omit<HeldUpdate, 'digest'>): Uint8Array {
    const values = this.oneHot(update);
    const { encoding, claim } = update;
    return encoding && claim ? encodeUpdate(claim.manifest, encoding, values, BOUND) : bytesOf(values);
  }

  /** Its value in the slot of this round and site, 0 elsewhere: in each tensor that the trainer had, which came one with each MINOR. */
  private oneHot({ round, schemaVersion }: Pick<HeldUpdate, 'round' | 'schemaVersion'>): Float32Array {
    const values = new Float32Array(this.elements);
    const minor = schemaVersion === undefined ? this.tensors - 1 : Number(schemaVersion.split('.')[1]);
    for (let tensor = 0; tensor <= minor; tensor++) {
      values[(tensor * this.elements) / this.tensors + (round - 1) * this.sites + this.place] = this.value;
    }
    return values;
  }

  /** Tensors of the model that hold all slots; set by the world from the job. */
  tensors = 1;

  /** How many times longer than others it works. */
  pace = 1;

  /** Elements of the model; set by the world from the job. */
  elements = 0;

  private async upload(assignment: Assignment, update: HeldUpdate): Promise<void> {
    const { life } = this;
    const work = ++this.works;
    this.running.set(assignment.id, work);
    const bytes = this.bytesOf(update);
    const declaration = this.declarationOf(update, bytes, assignment.attempt, manifestOf(assignment.spec));
    this.sent.push({ declaration, bytes });
    // A newer assignment of another round leaves it going: its receipt may have been lost on the way.
    const current = () => this.life === life && this.running.get(assignment.id) === work;
    while (current()) {
      const answer = await this.call(declaration, bytes);
      if (!current()) return;
      if (answer?.ok) {
        this.running.delete(assignment.id);
        this.react({ kind: 'receipted', assignment: assignment.id });
      } else if (answer && !RETRYABLE.has(answer.refusal.code)) {
        this.running.delete(assignment.id);
        this.react({ kind: 'refused', assignment: assignment.id, problem: answer.refusal });
      } else {
        await new Promise<void>((resolve) => {
          this.clock.after(30 + this.link.delay(), resolve);
        });
      }
    }
  }

  /** Asks for a receipt by declaring the update once more, and sends nothing. */
  private async claim(update: HeldUpdate): Promise<void> {
    const { life } = this;
    const { claim } = update;
    if (!claim) return;
    const bytes = this.bytesOf(update);
    const declaration = this.declarationOf(update, bytes, claim.attemptsMax, claim.manifest);
    while (this.life === life) {
      const answer = await this.call(declaration, bytes, true);
      if (this.life !== life) return;
      if (answer?.ok || (answer && !RETRYABLE.has(answer.refusal.code))) {
        const out = !answer.ok && answer.refusal.code === 'JOB_ENDED' ? 'over' : 'out';
        this.react({ kind: 'answered', update, fate: answer.ok ? 'in' : out });
        return;
      }
      await new Promise<void>((resolve) => {
        this.clock.after(30 + this.link.delay(), resolve);
      });
    }
  }

  private declarationOf(
    update: HeldUpdate,
    bytes: Uint8Array,
    attempt: number,
    manifest: Manifest,
  ): UpdateDeclaration {
    const { job, round, baseVersion, baseDigest, sampleCount, digest, schemaVersion, encoding } = update;
    return {
      key: { job, round, attempt, site: this.id },
      ...{ baseVersion, baseDigest, sampleCount, manifest, digest },
      ...(schemaVersion !== undefined && { schemaVersion }),
      ...(encoding && { encoding }),
      payloadBytes: bytes.byteLength,
      chunkBytes: CHUNK_BYTES,
      metrics: {},
      backend: 'simulated',
    };
  }

  /** One try at an upload, which ends with the process at its other end: what that was at does not go on. */
  private async call(...asked: Parameters<SimulatedSite['send']>): ReturnType<SimulatedSite['send']> {
    const process = this.coordinator.current;
    let over = false;
    const gone = new Promise<undefined>((resolve) => {
      const look = () => {
        if (over) return;
        if (this.coordinator.current === process) this.clock.after(HEARTBEAT_MS, look);
        else resolve(undefined);
      };
      look();
    });
    try {
      return await Promise.race([this.send(...asked), gone]);
    } finally {
      over = true;
    }
  }

  /** One try at an upload; undefined when the connection, or the process at its end, broke. */
  private async send(
    declaration: UpdateDeclaration,
    bytes: Uint8Array,
    onlyAsks = false,
  ): Promise<Result<Receipt, Problem> | undefined> {
    const connection = this.link.connection;
    const process = this.coordinator.current;
    const holds = async () => (await this.link.cross(connection)) && process?.alive === true;
    if (!process || !(await holds())) return undefined;
    try {
      const verdict = await process.uploads.declare(this.id, declaration, new Uint8Array());
      if (!(await holds())) return undefined;
      if (!verdict.ok) return this.told({ declaration, bytes }, verdict);
      if (verdict.value.kind === 'held')
        return this.told({ declaration, bytes }, { ok: true, value: verdict.value.receipt });
      const { slot } = verdict.value;
      try {
        if (onlyAsks) return refused(problem('UPDATE_LATE', { round: declaration.key.round }));
        for (let from = slot.staged.chunkDigests.length; from * CHUNK_BYTES < bytes.byteLength; from++) {
          if (!(await holds())) return undefined;
          const chunk = bytes.subarray(from * CHUNK_BYTES, (from + 1) * CHUNK_BYTES);
          const fault = slot.inspect(from, chunk);
          if (fault) return this.told({ declaration, bytes }, refused(fault));
          await slot.staged.write(chunk, sm3(chunk));
        }
        if (!(await holds())) return undefined;
        await slot.staged.seal();
        const answer = await slot.accept();
        if (this.losingReceipts > 0) {
          this.losingReceipts--;
          this.link.break();
        }
        return (await holds()) ? this.told({ declaration, bytes }, answer) : undefined;
      } finally {
        await slot.release();
      }
    } catch {
      // The coordinator's end failed in the middle: the site sees a broken call.
      return undefined;
    }
  }

  private told(
    sent: { readonly declaration: UpdateDeclaration; readonly bytes: Uint8Array },
    answer: Result<Receipt, Problem>,
  ): Result<Receipt, Problem> {
    if (answer.ok) {
      this.acknowledged = sent;
      this.kept.set(heldName(sent.declaration.key), sent.declaration.digest);
      this.witness.receipted(this.id, sent.declaration, answer.value);
    } else {
      this.witness.refused(this.id, sent.declaration, answer.refusal);
    }
    return answer;
  }
}

const RETRYABLE: ReadonlySet<string> = new Set([
  'STORE_UNAVAILABLE',
  'SHUTTING_DOWN',
  'WITHDRAWN',
  'JOB_UNKNOWN',
]);

function digestOf(bytes: Uint8Array) {
  const hasher = new PayloadHasher(CHUNK_BYTES);
  hasher.update(bytes);
  return hasher.digest();
}
