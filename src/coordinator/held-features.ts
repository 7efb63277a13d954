import { ConsiliumError, type Problem, problem } from '../errors/problem.ts';
import type { CoordinatorFeatures } from '../features/coordinator-features.ts';
import { HOLDING_KINDS, type Holding, type HoldingKind } from '../features/coordinator-holdings.ts';
import { COORDINATOR_COHORT_MIN } from '../features/views/allow-list.ts';
import { namedViewHash } from '../features/views/named-view-hash.ts';
import type { Telemetry } from '../ports/telemetry.ts';
import type { Presence } from '../rounds/assignment.ts';
import type { JobRecord } from '../rounds/job-record.ts';
import type { CommittedRound, JobState } from '../rounds/job-state.ts';
import type { FeatureConstants } from '../rounds/statistics.ts';
import type { Digest } from '../vocabulary/digest.ts';
import type { SiteId } from '../vocabulary/ids.ts';
import { ok, type Result, refused } from '../vocabulary/result.ts';

/**
 * What the coordinator's feature cache is told of jobs and sites, and asked. Jobs never wait for it, and nothing in it
 * is the only copy: what a crash or a full disk kept out is put in again when it is asked for.
 */
export class HeldFeatures {
  readonly #features: CoordinatorFeatures;
  readonly #telemetry: Telemetry;
  readonly #pending = new Set<Promise<void>>();
  /** What is being put, and what came after it. */
  readonly #newest = new Map<string, () => Promise<void>>();
  readonly #unheld = new Set<string>();

  constructor(features: CoordinatorFeatures, telemetry: Telemetry) {
    this.#features = features;
    this.#telemetry = telemetry;
  }

  /** Something became durable of a job, or the job was taken up again (`submitted`). */
  noteJob(state: JobState, happened: JobRecord['kind']): void {
    const last = state.history.at(-1);
    if (happened === 'submitted') this.#keepView(state);
    else if (happened === 'constants-settled') this.#keep('constants', state.id, publishable(state));
    else if (happened === 'version-committed' && last) this.#keepRound(state, last);
    else if (happened === 'evaluated' && last) this.#keepAggregate(state, last);
  }

  /** A site said what it has. */
  noteSite(site: SiteId, { software, views }: Presence): void {
    this.#keep('site', site, { software, views: views.map(declaredView) });
  }

  /** What a site declared when it last joined; undefined where that is not known. */
  async site(site: SiteId): Promise<Holding<'site'> | undefined> {
    return this.#features.get('site', site).catch(() => undefined);
  }

  /** The constants of a job, for a participant that names the job's view as the job does. */
  async constants(
    site: SiteId,
    state: JobState | undefined,
    viewHash: Digest,
  ): Promise<Result<readonly FeatureConstants[], Problem>> {
    const view = state?.spec.view;
    if (!state || !view || namedViewHash(view) !== viewHash) {
      return refused(problem('FEATURE_VIEW_UNKNOWN', { view: view?.name ?? viewHash }));
    }
    const { id: job, round, attempt } = state;
    if (!state.participants.has(site)) return refused(problem('OUTSIDE_COHORT', { site, round, attempt }));
    if (!state.constants) {
      const reason = 'no statistics round has settled any constants';
      return refused(problem('FEATURES_UNAVAILABLE', { view: view.name, reason }));
    }
    try {
      const held = await this.#features.get('constants', job);
      if (held) return ok(held);
      const made = publishable(state);
      await this.#features.put('constants', job, made);
      return ok(made);
    } catch (cause) {
      if (cause instanceof ConsiliumError) return refused(cause.problem);
      throw cause;
    }
  }

  /** One row for the operator. */
  async holding(kind: string, name: string): Promise<Result<unknown, Problem>> {
    const known = HOLDING_KINDS.find((candidate) => candidate === kind);
    if (!known)
      return refused(problem('USAGE', { reason: `the coordinator holds ${HOLDING_KINDS.join(', ')}` }));
    try {
      const held = await this.#features.get(known, name);
      const reason = `nothing of this kind is held about ${name}`;
      return held === undefined
        ? refused(problem('FEATURES_UNAVAILABLE', { view: `held-${kind}`, reason }))
        : ok({ kind, name, content: held });
    } catch (cause) {
      if (cause instanceof ConsiliumError) return refused(cause.problem);
      throw cause;
    }
  }

  /** Reads, hits and what else the cache counts, for the operator. */
  figures() {
    const { reads, localHits, sharedHits, sourceLoads, writes, stale, unavailable } =
      this.#features.figures();
    return { reads, localHits, sharedHits, sourceLoads, writes, stale, unavailable };
  }

  async close(): Promise<void> {
    await Promise.all(this.#pending);
    await this.#features.close();
  }

  #keepView({ id, spec: { view } }: JobState): void {
    if (!view) return;
    this.#keep('view', id, {
      view: view.name,
      hash: namedViewHash(view),
      columns: view.columns.map(({ name, type, unit }) => ({ name, type, unit: unit ?? null })),
    });
    const lists = view.columns.flatMap(({ name, categories }) =>
      categories ? [{ column: name, categories: [...categories] }] : [],
    );
    if (lists.length > 0) this.#keep('vocabulary', id, lists);
  }

  #keepRound({ id }: JobState, past: CommittedRound): void {
    const { round, digest, startedAt, committedAt, attempts, updates } = past;
    const content = {
      version: round,
      digest,
      startedAt,
      committedAt,
      attempts,
      contributors: updates.length,
    };
    this.#keep('round', `${id}/${round}`, content);
  }

  /** Means of what sites said, weighted by the rows that they said it over. */
  #keepAggregate({ id }: JobState, { round, evaluations }: CommittedRound): void {
    const said = [...evaluations.values()];
    const count = said.reduce((sum, { sampleCount }) => sum + sampleCount, 0);
    if (count < COORDINATOR_COHORT_MIN) return;
    const names = [...new Set(said.flatMap(({ metrics }) => Object.keys(metrics)))].sort();
    const means = names.map((name) => {
      const having = said.filter(({ metrics }) => Object.hasOwn(metrics, name));
      const rows = having.reduce((sum, { sampleCount }) => sum + sampleCount, 0);
      const sum = having.reduce((so, { metrics, sampleCount }) => so + metrics[name]! * sampleCount, 0);
      return [name, rows, sum / rows] as const;
    });
    // One site may keep a metric to itself: then fewer rows are behind it than behind the others.
    const metrics = Object.fromEntries(
      means.flatMap(([name, rows, mean]) => (rows >= COORDINATOR_COHORT_MIN ? [[name, mean]] : [])),
    );
    this.#keep('aggregate', `${id}/${round}`, { version: round, count, sites: said.length, metrics });
  }

  /** Keeps the newest content of each thing: whoever says a thousand things at once costs one or two writes. */
  #keep<Kind extends HoldingKind>(kind: Kind, name: string, content: Holding<Kind>): void {
    const about = `${kind} ${name}`;
    const idle = !this.#newest.has(about);
    this.#newest.set(about, () => this.#features.put(kind, name, content));
    if (!idle) return;
    const kept = this.#write(about).finally(() => this.#pending.delete(kept));
    this.#pending.add(kept);
  }

  async #write(about: string): Promise<void> {
    for (let put = this.#newest.get(about); put; ) {
      await put().catch((cause: unknown) => this.#noteUnheld(about, cause));
      const next = this.#newest.get(about);
      if (next === put) this.#newest.delete(about);
      put = next === put ? undefined : next;
    }
  }

  /** Once for each kind, and job or site: a name that may not be held does not change. */
  #noteUnheld(thing: string, cause: unknown): void {
    const about = thing.split('/', 1)[0]!;
    if (this.#unheld.has(about)) return;
    this.#unheld.add(about);
    this.#telemetry.log('warn', 'the feature cache holds nothing about it', { about, cause });
  }
}

/** Constants of a job over a view as they may be told: nothing of a feature that too few patients are behind, wherever they are. */
export function publishable({ constants = [] }: JobState): Holding<'constants'> {
  return constants.map(({ name, mean, deviation, count }) =>
    count >= COORDINATOR_COHORT_MIN
      ? { name, mean, deviation, count }
      : { name, mean: 0 as const, deviation: 1 as const, count: 0 as const },
  );
}

/** A declared view as it is kept and shown, without lists of categories. */
export function declaredView({
  dataset,
  view,
  schemaHash,
  columns,
}: Presence['views'][number]): Holding<'site'>['views'][number] {
  return {
    dataset,
    view,
    schemaHash,
    columns: columns.map(({ name, type, unit }) => ({ name, type, unit: unit ?? null })),
  };
}
