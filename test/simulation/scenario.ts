import { ENCODING_NAMES, type PayloadEncoding } from '../../src/aggregation/encodings/payload-encoding.ts';
import { type SeededRandom, seededRandom } from '../../src/rounds/seeded-random.ts';

/** One thing that goes wrong, at a moment of virtual time (ms from the start). */
export type Fault =
  /** The coordinator dies at its `write`-th next durable write, before or after it took effect; 0 is at once. */
  | {
      readonly at: number;
      readonly kind: 'crash-coordinator';
      readonly write: number;
      readonly when: 'before' | 'after';
      readonly downMs: number;
    }
  | {
      readonly at: number;
      readonly kind: 'crash-site';
      readonly site: number;
      readonly write: number;
      readonly when: 'before' | 'after';
      readonly downMs: number;
    }
  /** The machine under the coordinator loses power: unsynced bytes are gone. */
  | { readonly at: number; readonly kind: 'cut-power'; readonly downMs: number }
  /** The next writes of the coordinator fail; `after`: they happen, but it is told that they failed. */
  | {
      readonly at: number;
      readonly kind: 'store-fails';
      readonly writes: number;
      readonly when: 'before' | 'after';
    }
  | { readonly at: number; readonly kind: 'partition'; readonly site: number; readonly forMs: number }
  | {
      readonly at: number;
      readonly kind: 'slow';
      readonly site: number;
      readonly factor: number;
      readonly forMs: number;
    }
  /** The next receipt on its way to the site is lost with its connection. */
  | { readonly at: number; readonly kind: 'lose-receipt'; readonly site: number }
  /** The site sends everything it ever sent once more: replays of this and earlier rounds. */
  | { readonly at: number; readonly kind: 'replay'; readonly site: number }
  /** The site sends other bytes under the key of its last update. */
  | { readonly at: number; readonly kind: 'conflict'; readonly site: number }
  /** The site sends an update under another site's id. */
  | { readonly at: number; readonly kind: 'impersonate'; readonly site: number }
  | { readonly at: number; readonly kind: 'decline'; readonly site: number }
  | { readonly at: number; readonly kind: 'trainer-fails'; readonly site: number }
  | { readonly at: number; readonly kind: 'duplicate-upload'; readonly site: number }
  | { readonly at: number; readonly kind: 'damage-staged'; readonly site: number }
  | { readonly at: number; readonly kind: 'revoke'; readonly site: number }
  /** The site dies and comes back with a trainer of another version: it catches up, or falls behind. */
  | {
      readonly at: number;
      readonly kind: 'change-version';
      readonly site: number;
      readonly minor: number;
      readonly downMs: number;
    }
  | { readonly at: number; readonly kind: 'stop' };

/** Everything that a run depends on: the same scenario runs the same way, event for event. */
export interface Scenario {
  readonly seed: number;
  readonly sites: number;
  readonly rounds: number;
  readonly cohortSize: number;
  readonly overSelection: number;
  readonly quorum: number;
  readonly attemptsMax: number;
  /** Undefined where the job works in synchronous rounds. */
  readonly buffering?: Buffering;
  /** The MINOR version that each site's trainer is of at first; undefined where the job names no weight schema. */
  readonly minors?: readonly number[];
  /** Undefined where updates are float32. */
  readonly encoding?: EncodingUse;
  readonly faults: readonly Fault[];
}

/** An asynchronous job over sites that are not equally fast. */
export interface Buffering {
  readonly bufferSize: number;
  readonly stalenessMax: number;
  /** How many times longer than the fastest each site trains. */
  readonly paces: readonly number[];
}

/** A job whose updates are encoded, by those sites that can. */
export interface EncodingUse {
  readonly asked: { readonly name: PayloadEncoding['name']; readonly share?: number };
  /** Whether each site can send it; the others send float32. */
  readonly speaks: readonly boolean[];
}

/** Virtual milliseconds after which nothing goes wrong any more. */
export const CALM_AT = 4_000;

/** The MINOR of the job's weight schema, where it names one: with each of 1 and 2 a tensor came. */
export const MINOR = 2;

type FaultMaker = (at: number, random: SeededRandom, sites: number) => Fault;

const when = (random: SeededRandom) => (random.below(2) === 0 ? ('before' as const) : ('after' as const));

/** How often each kind comes, relative to the others. */
const MAKERS: readonly (readonly [number, FaultMaker])[] = [
  [6, (at, r) => ({ at, kind: 'crash-coordinator', write: r.below(8), when: when(r), downMs: r.below(800) })],
  [
    4,
    (at, r, n) => ({
      at,
      kind: 'crash-site',
      site: r.below(n),
      write: r.below(3),
      when: when(r),
      downMs: r.below(900),
    }),
  ],
  [1, (at, r) => ({ at, kind: 'cut-power', downMs: r.below(500) })],
  [4, (at, r) => ({ at, kind: 'store-fails', writes: 1 + r.below(4), when: when(r) })],
  [3, (at, r, n) => ({ at, kind: 'partition', site: r.below(n), forMs: r.below(1500) })],
  [2, (at, r, n) => ({ at, kind: 'slow', site: r.below(n), factor: 2 + r.below(30), forMs: r.below(2000) })],
  [3, (at, r, n) => ({ at, kind: 'lose-receipt', site: r.below(n) })],
  [3, (at, r, n) => ({ at, kind: 'replay', site: r.below(n) })],
  [2, (at, r, n) => ({ at, kind: 'conflict', site: r.below(n) })],
  [1, (at, r, n) => ({ at, kind: 'impersonate', site: r.below(n) })],
  [2, (at, r, n) => ({ at, kind: 'decline', site: r.below(n) })],
  [2, (at, r, n) => ({ at, kind: 'trainer-fails', site: r.below(n) })],
  [2, (at, r, n) => ({ at, kind: 'duplicate-upload', site: r.below(n) })],
  [1, (at, r, n) => ({ at, kind: 'damage-staged', site: r.below(n) })],
];

/** The scenario of a seed. */
export function scenarioOf(seed: number): Scenario {
  const random = seededRandom(seed, 'scenario');
  const sites = 2 + random.below(4);
  const cohortSize = 1 + random.below(sites);
  const quorum = 1 + random.below(cohortSize);
  // A federation without faults is done within a second or so: most faults should find it at work.
  const faultsUntil = random.below(4) === 0 ? CALM_AT : 1_200;
  const faults = Array.from({ length: random.below(16) }, () =>
    pickMaker(random)(random.below(faultsUntil), random, sites),
  );
  if (random.below(12) === 0)
    faults.push({ at: random.below(faultsUntil), kind: 'revoke', site: random.below(sites) });
  if (random.below(25) === 0) faults.push({ at: random.below(faultsUntil), kind: 'stop' });
  const versions = versionsOf(seed, sites, faultsUntil);
  faults.push(...versions.faults);
  return {
    seed,
    sites,
    ...versions.said,
    rounds: 1 + random.below(5),
    cohortSize,
    overSelection: random.below(3) === 0 ? 1.5 : 1,
    quorum,
    attemptsMax: random.below(6) === 0 ? 2 : 40,
    faults: faults.sort((left, right) => left.at - right.at),
  };
}

/** In one of three scenarios trainers are of several versions, and some change theirs on the way. */
function versionsOf(seed: number, sites: number, until: number) {
  const random = seededRandom(seed, 'versions');
  if (random.below(3) > 0) return { said: {}, faults: [] };
  const minors = Array.from({ length: sites }, () => random.below(MINOR + 1));
  const faults = Array.from(
    { length: random.below(3) },
    (): Fault => ({
      at: random.below(until),
      kind: 'change-version',
      site: random.below(sites),
      minor: random.below(MINOR + 1),
      downMs: random.below(300),
    }),
  );
  return { said: { minors }, faults };
}

/** The same faults as in the scenario of a seed, while sites train asynchronously. */
export function bufferedScenarioOf(seed: number): Scenario {
  const scenario = scenarioOf(seed);
  const { sites, cohortSize, quorum } = scenario;
  const random = seededRandom(seed, 'buffering');
  return {
    ...scenario,
    rounds: scenario.rounds + random.below(6),
    overSelection: 1,
    buffering: {
      bufferSize: quorum + random.below(cohortSize - quorum + 1),
      stalenessMax: random.below(6),
      paces: Array.from({ length: sites }, () => 1 + random.below(3) ** 3),
    },
  };
}

/** The same faults as in the scenario of a seed, asynchronous in one of three, while updates are encoded. */
export function encodedScenarioOf(seed: number): Scenario {
  const random = seededRandom(seed, 'encoding');
  const { minors: _, ...scenario } = random.below(3) === 0 ? bufferedScenarioOf(seed) : scenarioOf(seed);
  const name = ENCODING_NAMES[random.below(ENCODING_NAMES.length)]!;
  return {
    ...scenario,
    faults: scenario.faults.filter(({ kind }) => kind !== 'change-version'),
    encoding: {
      asked: name === 'top-k' ? { name, share: 0.1 * (1 + random.below(5)) } : { name },
      speaks: Array.from({ length: scenario.sites }, () => random.below(4) > 0),
    },
  };
}

function pickMaker(random: SeededRandom): FaultMaker {
  let pick = random.below(MAKERS.reduce((sum, [share]) => sum + share, 0));
  for (const [share, maker] of MAKERS) {
    if (pick < share) return maker;
    pick -= share;
  }
  throw new RangeError('the shares add up');
}
