import { ENCODING_NAMES } from '../aggregation/encodings/payload-encoding.ts';
import { ConsiliumError } from '../errors/problem.ts';
import type { Clock } from '../ports/clock.ts';
import type { Random } from '../ports/random.ts';
import type { Telemetry } from '../ports/telemetry.ts';
import { openDiskStore } from '../storage/disk/disk-store.ts';
import type { Store } from '../storage/store.ts';
import { type FederationId, parseFederationId, parseSiteId, type SiteId } from '../vocabulary/ids.ts';
import { invariant } from '../vocabulary/invariant.ts';
import { BaseWeights } from './base-weights.ts';
import type { ParticipantConfig } from './config.ts';
import { Connection } from './connection.ts';
import { ControlVariates } from './control-variates.ts';
import { declaredViews } from './declared-views.ts';
import { ErrorFeedback } from './error-feedback.ts';
import { HeldUpdates } from './held-updates.ts';
import { problemOf } from './insist.ts';
import { Ledger } from './ledger.ts';
import type { Link } from './link.ts';
import { LocalTensors } from './local-tensors.ts';
import { type MakeTrainer, openTrainers } from './open-trainers.ts';
import { allowedDatasets } from './permissions.ts';
import { Policy } from './policy.ts';
import { ProgressBoard } from './progress-board.ts';
import { Receipts, receiptedAmong } from './receipts.ts';
import { SiteRuntime } from './site-runtime.ts';
import { warnWithheld } from './warn-withheld.ts';

/** A participant that runs. */
export interface Participant {
  /** Resolves when the first session stands: the coordinator has let the site in. Never rejects; see `stopped`. */
  readonly connected: Promise<void>;
  /** Resolves when it has stopped; rejects with the `ConsiliumError` that ended it. */
  readonly stopped: Promise<void>;
  /** Ends the connection and all work, and resolves when nothing runs and everything is closed; idempotent. */
  stop(): Promise<void>;
}

/** What a participant is made of, apart from its configuration. */
export interface SiteNodeParts {
  /** With absolute paths. */
  readonly config: ParticipantConfig;
  readonly telemetry: Telemetry;
  readonly clock: Clock;
  readonly random: Random;
  /** Stops the participant when it aborts. */
  readonly signal?: AbortSignal | undefined;
  readonly software: string;
  /** Opens and locks the store of a state directory; the embedded one unless said. */
  readonly openStore?: (directory: string) => Promise<Store>;
  /** Opened once the store is locked; nothing is dialled before. */
  readonly openLink: () => Promise<Link>;
  readonly makeTrainer: MakeTrainer;
}

/**
 * Takes the site's store, opens its trainers, and begins to dial. Everything is released again when a step fails.
 * Throws STORE_LOCKED, STORE_UNAVAILABLE, and what `openLink` throws.
 */
export async function startSiteNode(parts: SiteNodeParts): Promise<Participant> {
  const { config, telemetry, clock, random } = parts;
  const [site, federation] = namesOf(config);
  const reference = () => Buffer.from(random.bytes(4)).toString('hex');
  const opened: (() => Promise<void>)[] = [];
  const closeAll = async () => {
    for (const close of opened.splice(0).reverse()) {
      await close().catch((error: unknown) => telemetry.log('warn', 'closing failed', { error }));
    }
  };
  try {
    const store = await (parts.openStore ?? openDiskStore)(config.stateDirectory);
    opened.push(() => store.close());
    const ledger = await Ledger.open(config.stateDirectory, clock);
    opened.push(() => ledger.close());
    const receipts = await Receipts.open(config.stateDirectory, federation, clock);
    opened.push(() => receipts.close());
    const { updates, held } = await HeldUpdates.open(store.blobs, clock, telemetry);
    const feedback = await ErrorFeedback.open(store.blobs, clock, telemetry, held);
    const variates = await ControlVariates.open(store.blobs, clock, telemetry);
    const link = await parts.openLink();
    opened.push(() => link.close());
    warnWithheld(config, telemetry);
    const trainers = await openTrainers(config, parts.makeTrainer, telemetry, reference);
    opened.push(() => trainers.close());

    const progress = new ProgressBoard();
    let standing!: () => void;
    const connected = new Promise<void>((resolve) => {
      standing = resolve;
    });
    const runtime = new SiteRuntime(
      {
        site,
        address: link.address,
        config,
        trainers,
        updates,
        ledger,
        receipts,
        feedback,
        variates,
        progress,
        baseWeights: new BaseWeights(store.staging),
        localTensors: new LocalTensors(config.stateDirectory),
        policy: new Policy(config, trainers),
        connection: () => connection,
        clock,
        random,
        telemetry,
        reference,
      },
      held,
      await receiptedAmong(config.stateDirectory, held),
    );
    const connection: Connection = new Connection({
      link,
      clock,
      random,
      telemetry,
      ledger,
      reference,
      presence: async () => ({
        datasets: allowedDatasets(config),
        trainers: trainers.offers,
        updateBytesMax: config.policy.updateBytesMax,
        software: parts.software,
        views: await declaredViews(config, telemetry, reference),
        encodings: ENCODING_NAMES,
      }),
      progress: () => progress.list(),
      onConnected: () => {
        standing();
        runtime.connected();
      },
      onMessage: (message) => runtime.receive(message),
    });
    return { connected, ...run(parts, connection, runtime, closeAll, reference) };
  } catch (error) {
    await closeAll();
    throw error;
  }
}

function run(
  { signal, telemetry }: SiteNodeParts,
  connection: Connection,
  runtime: SiteRuntime,
  closeAll: () => Promise<void>,
  reference: () => string,
): Pick<Participant, 'stopped' | 'stop'> {
  const stopping = new AbortController();
  const end = () => stopping.abort();
  signal?.addEventListener('abort', end, { once: true });
  if (signal?.aborted) end();
  const whole = async () => {
    let failed: unknown;
    try {
      await connection.run(stopping.signal);
    } catch (error) {
      failed = error;
    }
    signal?.removeEventListener('abort', end);
    await runtime.stop();
    await closeAll();
    telemetry.log('info', 'participant stopped', failed === undefined ? {} : { error: failed });
    if (failed instanceof ConsiliumError) throw failed;
    if (failed !== undefined) throw new ConsiliumError(problemOf(failed, reference), { cause: failed });
  };
  const stopped = whole();
  // Whoever waits for it sees the failure; nobody has to.
  stopped.catch(() => {});
  return {
    stopped,
    stop: async () => {
      end();
      await stopped.catch(() => {});
    },
  };
}

function namesOf(config: ParticipantConfig): readonly [SiteId, FederationId] {
  const site = parseSiteId(config.site);
  const federation = parseFederationId(config.federation);
  invariant(site && federation, 'the schema checks ids');
  return [site, federation];
}
