import { stalenessWeight } from '../../src/aggregation/rules/buffered-mean.ts';
import type { Problem } from '../../src/errors/problem.ts';
import type { Assignment, CoordinatorMessage } from '../../src/rounds/assignment.ts';
import type { Job } from '../../src/rounds/job.ts';
import type { JobRecord } from '../../src/rounds/job-record.ts';
import type { JobState } from '../../src/rounds/job-state.ts';
import { retryDelayMs } from '../../src/rounds/retry-delay.ts';
import { bufferingOf } from '../../src/rounds/strategy.ts';
import type { Receipt, UpdateDeclaration } from '../../src/rounds/update.ts';
import type { SiteId } from '../../src/vocabulary/ids.ts';
import type { Witness } from './simulated-site.ts';

/** What the weights of a version are made of. */
export interface Slots {
  readonly sites: number;
  /** Tensors that hold all slots each. */
  readonly tensors: number;
  /** What the update of the site at this place holds in its slot: 1, or where it is encoded what it decodes to. */
  readonly slotValue: (declaration: UpdateDeclaration, place: number) => number;
}

/**
 * Knows what may not happen. Each site's update is 1 in a slot of its own round and place and 0 elsewhere, with
 * weight 1; so after a round of n contributors its slots hold exactly 1/n for each contributor and 0 for everyone
 * else: 2/n would be a replay, a wrong 0 a loss (the one-hot oracle of divviup/janus). Where sites train
 * asynchronously the slot is that of the round in which the update was asked for, and the 1/n that of the version that
 * took it, times the weight of its staleness.
 *
 * Where trainers are of several versions, every tensor has such slots, n is the sum of the sample counts of those who
 * have it, and 1 the site's own: what a trainer had is known from its training, not from what its update says.
 */
export class Oracle implements Witness {
  readonly violations: string[] = [];
  private readonly receipts = new Map<
    string,
    { text: string; digest: string; site: SiteId; round: number }
  >();
  private readonly conflicts: { site: SiteId; round: number; digest: string }[] = [];
  private readonly versions = new Map<number, string>();
  private readonly trainings = new Map<string, number>();
  /** The MINOR that the trainer was of, by what it made. */
  private readonly minors = new Map<string, number>();

  expect(holds: boolean, broken: string): void {
    if (!holds) this.violations.push(broken);
  }

  trained(site: SiteId, { round, baseDigest }: Assignment, minor: number, digest: string): void {
    this.minors.set(`${site}/${digest}`, minor);
    const name = `${site}/${round}/${baseDigest}`;
    this.trainings.set(name, (this.trainings.get(name) ?? 0) + 1);
  }

  receipted(site: SiteId, { key, digest }: UpdateDeclaration, receipt: Receipt): void {
    const text = new TextDecoder().decode(receipt.statement);
    const stated = JSON.parse(text) as { site: string; round: number; digest: string };
    this.expect(
      stated.site === site && stated.round === key.round,
      `${site} got a receipt for someone or something else`,
    );
    this.expect(stated.digest === digest, `${site} got a receipt for other bytes in round ${key.round}`);
    const name = `${site}/${key.round}`;
    const held = this.receipts.get(name);
    if (!held || held.digest !== digest || held.text !== text) {
      // A second receipt for a round is right only when the first one's update was dropped as damaged.
      this.receipts.set(name, { text, digest, site, round: key.round });
    }
  }

  refused(site: SiteId, { key, digest }: UpdateDeclaration, problem: Problem): void {
    if (problem.code === 'UPDATE_CONFLICT') this.conflicts.push({ site, round: key.round, digest });
    this.expect(problem.code !== 'INTERNAL', `${site} met an internal error in round ${key.round}`);
  }

  committed(
    _site: SiteId,
    { version, digest, contributors }: Extract<CoordinatorMessage, { kind: 'version-committed' }>,
  ): void {
    const told = `${digest} by ${contributors.join(',')}`;
    const before = this.versions.get(version);
    this.expect(
      before === undefined || before === told,
      `version ${version} was told as ${before} and as ${told}`,
    );
    this.versions.set(version, told);
  }

  /** No attempt at a round begins sooner after the one before it than the delay that grows allows. */
  judgeAttempts(spec: Job, records: readonly JobRecord[]): void {
    let before: Extract<JobRecord, { kind: 'attempt-started' }> | undefined;
    for (const record of records) {
      if (record.kind !== 'attempt-started') continue;
      const again = before?.round === record.round && record.attempt > before.attempt;
      const due = again ? before!.at + retryDelayMs(spec, before!.attempt) : record.at;
      const { round, attempt, at } = record;
      this.expect(at >= due, `attempt ${attempt} at round ${round} began ${due - at} ms too soon`);
      before = record;
    }
  }

  /** The verdict over the end state. `weights` are those of the newest version; `excused` lost their place openly. */
  judge(
    state: JobState,
    weights: Float32Array,
    { sites, tensors, slotValue }: Slots,
    excused: ReadonlySet<SiteId>,
  ): void {
    this.expect(
      state.ended !== undefined,
      `the job did not end: it is ${state.phase} in round ${state.round}`,
    );
    this.expect(state.version === state.history.length, 'versions and rounds do not agree');
    const slots = new Float32Array(weights.length);
    const counted = new Map<string, string>();
    for (const { round, updates } of state.history) {
      const contributors = new Set(updates.map((update) => update.declaration.key.site));
      this.expect(contributors.size === updates.length, `round ${round} counts a site twice`);
      this.expect(
        updates.length >= state.spec.quorum || [...excused].length > 0,
        `round ${round} is below its quorum`,
      );
      const having = (tensor: number) =>
        updates.filter(({ declaration: { key, digest } }) => {
          const minor = this.minors.get(`${key.site}/${digest}`) ?? 0;
          return tensors === 1 || minor >= tensor;
        });
      for (const { declaration } of updates) {
        const { key, digest } = declaration;
        const staleness = round - key.round;
        const { stalenessMax = 0, exponent = 0 } = bufferingIn(state);
        this.expect(
          staleness >= 0 && staleness <= stalenessMax,
          `version ${round} holds an update of ${key.site} that missed ${staleness} versions`,
        );
        const name = `${key.site}/${key.round}`;
        this.expect(!counted.has(name), `the update of ${name} counts twice`);
        counted.set(name, digest);
        const own = Number(key.site.slice('site-'.length));
        const place = (key.round - 1) * sites + own;
        for (let tensor = 0; tensor < tensors; tensor++) {
          const owners = having(tensor).map((update) => update.declaration);
          const divisor = owners.reduce((sum, { sampleCount }) => sum + sampleCount, 0);
          if (!owners.includes(declaration)) continue;
          const weight = declaration.sampleCount * stalenessWeight(staleness, exponent);
          slots[(tensor * weights.length) / tensors + place]! +=
            (weight * slotValue(declaration, own)) / divisor;
        }
      }
      const told = this.versions.get(round);
      const digest = state.history.find((past) => past.round === round)?.digest;
      this.expect(
        told === undefined || told.startsWith(`${digest} `),
        `version ${round} is not the one that was told`,
      );
    }
    for (const [place, due] of slots.entries()) {
      const [tensor, slot] = [Math.floor(place / (slots.length / tensors)), place % (slots.length / tensors)];
      const where = tensors === 1 ? '' : ` of tensor ${tensor}`;
      const name = `site-${slot % sites} in round ${Math.floor(slot / sites) + 1}${where}`;
      this.expect(weights[place] === due, `${name} counts ${weights[place]}, not ${due}`);
    }
    for (const { site, round, digest } of this.conflicts) {
      const itself = counted.get(`${site}/${round}`) === digest;
      this.expect(!itself, `the update of ${site} in round ${round} was refused as conflicting with itself`);
    }
    for (const [name, digest] of counted) {
      const [site = ''] = name.split('/');
      const held = this.receipts.get(name)?.digest === digest || excused.has(site as SiteId);
      this.expect(held, `the update of ${name} counts, and its site never got a receipt`);
    }
    for (const { site, round } of this.receipts.values()) {
      const counts = counted.has(`${site}/${round}`);
      // What a job that ended early took into a buffer that was never folded.
      const open =
        (bufferingIn(state).buffered || round > state.history.length) &&
        (state.ended?.outcome === 'stopped' || state.ended?.outcome === 'failed');
      this.expect(
        counts || open || excused.has(site),
        `${site} holds a receipt for round ${round} but does not count`,
      );
    }
  }
}

function bufferingIn({ spec: { strategy } }: JobState) {
  const buffering = bufferingOf(strategy);
  return {
    buffered: buffering !== undefined,
    stalenessMax: buffering?.stalenessMax,
    exponent: buffering?.staleness.exponent,
  };
}
