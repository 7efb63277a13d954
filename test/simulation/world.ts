import { ENCODING_NAMES } from '../../src/aggregation/encodings/payload-encoding.ts';
import { decodeRecord } from '../../src/coordinator/record-codec.ts';
import { type Job, jobSchema, manifestOf } from '../../src/rounds/job.ts';
import { seededRandom } from '../../src/rounds/seeded-random.ts';
import type { UpdateDeclaration } from '../../src/rounds/update.ts';
import type { JobId, SiteId } from '../../src/vocabulary/ids.ts';
import { invariant } from '../../src/vocabulary/invariant.ts';
import { float32Of } from '../../src/weights/float32-bytes.ts';
import { manifestElements } from '../../src/weights/manifest.ts';
import { decodedValue, trainedValue } from './encoded-value.ts';
import { Link } from './network.ts';
import { Oracle } from './oracle.ts';
import { CALM_AT, type Fault, MINOR, type Scenario } from './scenario.ts';
import { SimulatedCoordinator } from './simulated-coordinator.ts';
import { SimulatedSite } from './simulated-site.ts';
import { settle, VirtualClock } from './virtual-clock.ts';

const JOB = 'simulated' as JobId;
const DEADLINE_MS = 1_500;

/** How a run ended. */
export interface Outcome {
  readonly violations: readonly string[];
  readonly outcome: string;
  readonly rounds: number;
  readonly virtualMs: number;
  /** Updates that were in a version later than the next after their base. */
  readonly stale: number;
  /** Updates in versions that were not float32. */
  readonly encoded: number;
  /** Updates in versions that lack tensors. */
  readonly partial: number;
  /** Everything that was durably decided, as text: two runs of one scenario give the same. */
  readonly trace: string;
}

/** Runs a scenario from beginning to end, and judges it. */
export async function run(scenario: Scenario): Promise<Outcome> {
  const clock = new VirtualClock();
  const coordinator = new SimulatedCoordinator(clock, seededRandom(scenario.seed, 'disk'));
  const oracle = new Oracle();
  const excused = new Set<SiteId>();
  const begin = clock.now();
  await coordinator.start();

  // A job ends at the latest when every attempt at every round has used up its deadline, twice over.
  const rounds = scenario.rounds + 1;
  const slotValue = ({ encoding }: UpdateDeclaration, place: number) =>
    scenario.encoding ? decodedValue(trainedValue(place), encoding) : 1;
  const until = begin + CALM_AT + 3 * DEADLINE_MS * rounds * scenario.attemptsMax;

  const spec = jobOf(scenario);
  const elements = manifestElements(manifestOf(spec));
  const submission = coordinator.current?.jobs.submit(spec, new Float32Array(elements));
  for (let done = false; !done; clock.advance(until)) {
    void submission?.then(() => {
      done = true;
    });
    await settle();
  }
  invariant((await submission)?.ok, 'the job is submitted');
  const sites = Array.from({ length: scenario.sites }, (_, place) => {
    const link = new Link(clock, seededRandom(scenario.seed, 'link', place));
    const site = new SimulatedSite(place, {
      clock,
      coordinator,
      link,
      sites: scenario.sites,
      minor: scenario.minors?.[place] ?? 0,
      ...(scenario.encoding && {
        value: trainedValue(place),
        encodings: scenario.encoding.speaks[place] ? ENCODING_NAMES : [],
      }),
      witness: oracle,
    });
    site.elements = elements;
    site.tensors = tensorsOf(spec);
    site.pace = scenario.buffering?.paces[place] ?? 1;
    return site;
  });
  for (const fault of scenario.faults) {
    clock.after(fault.at, () => inflict(fault, coordinator, sites, excused));
  }

  const ended = () => coordinator.current?.jobs.find(JOB)?.state.ended !== undefined;
  await settle();
  // Nothing is in the way of anyone any more: a site that was cut off has come back.
  const calmAt = begin + Math.max(CALM_AT, ...scenario.faults.map(endOf));
  let calmAfterEnd = 0;
  while (clock.advance(until)) {
    await settle();
    if (ended() && clock.now() > calmAt && ++calmAfterEnd > CALM_EVENTS) break;
  }

  const state = coordinator.current?.jobs.find(JOB)?.state;
  oracle.expect(state !== undefined, 'the coordinator does not know its job any more');
  if (state) {
    const bytes = coordinator.disk.blobs.get(`model/${JOB}/${state.version}`);
    oracle.expect(bytes !== undefined, `version ${state.version} is committed but not stored`);
    const mustFinish =
      scenario.attemptsMax > 2 && excused.size === 0 && !scenario.faults.some(({ kind }) => kind === 'stop');
    oracle.expect(
      !mustFinish || state.ended?.outcome === 'finished',
      `nothing was in the way, but: ${state.ended?.reason}`,
    );
    const weights = bytes && float32Of(bytes);
    if (weights)
      oracle.judge(state, weights, { sites: scenario.sites, tensors: tensorsOf(spec), slotValue }, excused);
  }
  const records = coordinator.disk.journals.get(`job-${JOB}`) ?? [];
  oracle.judgeAttempts(spec, records.map(decodeRecord));
  return {
    violations: [...oracle.violations, ...coordinator.accidents],
    outcome: state?.ended?.outcome ?? 'unknown',
    rounds: state?.history.length ?? 0,
    virtualMs: clock.now() - begin,
    stale: (state?.history ?? []).reduce(
      (sum, { round, updates }) =>
        sum + updates.filter(({ declaration }) => declaration.key.round < round).length,
      0,
    ),
    encoded: (state?.history ?? []).reduce(
      (sum, { updates }) =>
        sum + updates.filter(({ declaration }) => declaration.encoding !== undefined).length,
      0,
    ),
    partial: (state?.history ?? []).reduce(
      (sum, { updates }) =>
        sum + updates.filter(({ declaration }) => declaration.schemaVersion !== undefined).length,
      0,
    ),
    trace: records.map((record) => new TextDecoder().decode(record)).join('\n'),
  };
}

function jobOf(scenario: Scenario): Job {
  const { rounds, cohortSize, overSelection, quorum, attemptsMax, seed, sites, buffering, encoding } =
    scenario;
  const versioned = scenario.minors && {
    model: {
      kind: 'external',
      tensors: Array.from({ length: MINOR + 1 }, (_, minor) => ({
        ...{ name: `slots-${minor}`, shape: [rounds, sites] },
        ...(minor > 0 && { since: `1.${minor}.0`, default: 0 }),
      })),
    },
    weightSchema: { id: 'slots', version: `1.${MINOR}.0`, probe: 'off' },
    initialWeights: { file: 'zeros.safetensors' },
  };
  // A linear model with one slot for each round and site, all in all: the weights and the bias.
  const features = Array.from({ length: rounds * sites - 1 }, (_, place) => `f${place}`);
  return jobSchema.parse({
    apiVersion: 'consilium/v1',
    name: JOB,
    dataset: 'cohort',
    model: { kind: 'mlp', features: features.length > 0 ? features : ['f0'], hidden: [] },
    trainer: { name: 'tfjs' },
    rounds,
    cohort: { size: cohortSize, overSelection },
    quorum,
    deadlineMs: DEADLINE_MS,
    attemptsMax,
    seed,
    ...versioned,
    ...(encoding && { updateEncoding: { ...encoding.asked, fallback: 'float32' } }),
    ...(buffering && {
      strategy: {
        ...{ name: 'fedbuff', bufferSize: buffering.bufferSize, stalenessMax: buffering.stalenessMax },
      },
    }),
  });
}

/** How many tensors have a slot for each round and site. */
function tensorsOf({ model }: Job): number {
  return model.kind === 'external' ? model.tensors.length : 1;
}

/** Events after everything is over: sites come back and ask for the receipts that they lack. */
const CALM_EVENTS = 400;

/** When what a fault brought about is over, as far as it says. */
function endOf(fault: Fault): number {
  const lasts = 'forMs' in fault ? fault.forMs : 'downMs' in fault ? fault.downMs : 0;
  return fault.at + lasts;
}

function inflict(
  fault: Fault,
  coordinator: SimulatedCoordinator,
  sites: readonly SimulatedSite[],
  excused: Set<SiteId>,
): void {
  const site = 'site' in fault ? (sites[fault.site] as SimulatedSite) : undefined;
  switch (fault.kind) {
    case 'crash-coordinator':
      coordinator.doom(fault.write, fault.when, fault.downMs);
      break;
    case 'cut-power':
      coordinator.disk.cutPower();
      coordinator.die(fault.downMs);
      break;
    case 'store-fails':
      coordinator.failWrites(fault.writes, fault.when);
      break;
    case 'stop':
      void coordinator.current?.jobs.find(JOB)?.post({ kind: 'stop', reason: 'the operator stopped it' });
      break;
    default:
      if (site) inflictOnSite(fault, site, coordinator, excused);
  }
}

function inflictOnSite(
  fault: Fault,
  site: SimulatedSite,
  coordinator: SimulatedCoordinator,
  excused: Set<SiteId>,
): void {
  switch (fault.kind) {
    case 'crash-site':
      site.doom(fault.write, fault.when, fault.downMs);
      break;
    case 'partition':
      site.link.break(fault.forMs);
      break;
    case 'slow':
      site.link.slow(fault.factor, fault.forMs);
      break;
    case 'lose-receipt':
      site.losingReceipts++;
      break;
    case 'replay':
      site.replay();
      break;
    case 'conflict':
      site.forge('bytes');
      break;
    case 'impersonate':
      site.forge('site');
      break;
    case 'decline':
      site.declining++;
      break;
    case 'trainer-fails':
      site.failing++;
      break;
    case 'duplicate-upload':
      site.doubling++;
      break;
    case 'damage-staged':
      damage(coordinator, site);
      excused.add(site.id);
      break;
    case 'change-version':
      site.minor = fault.minor;
      site.die(fault.downMs);
      break;
    case 'revoke':
      excused.add(site.id);
      site.revoked = true;
      void coordinator.current?.attendances.revoke(site.id);
      break;
    default:
      break;
  }
}

/** Bytes of the site that the coordinator stored go bad behind its back: a sealed transfer vanishes. */
function damage(coordinator: SimulatedCoordinator, site: SimulatedSite): void {
  for (const name of coordinator.disk.transfers.keys()) {
    if (name.endsWith(`/${site.id}`)) coordinator.disk.transfers.delete(name);
  }
}
