import { type Problem, problem } from '../errors/problem.ts';
import type { Clock } from '../ports/clock.ts';
import type { Telemetry } from '../ports/telemetry.ts';
import { initialWeights } from '../rounds/initial-weights.ts';
import type { Job } from '../rounds/job.ts';
import { exchangedManifest, manifestOf } from '../rounds/job.ts';
import type { JobEvent } from '../rounds/job-event.ts';
import type { JobRecord } from '../rounds/job-record.ts';
import type { JobState } from '../rounds/job-state.ts';
import { isLate } from '../rounds/late-update.ts';
import { spoolScopes } from '../rounds/spool-scope.ts';
import { type JobId, parseJobId, type SiteId } from '../vocabulary/ids.ts';
import { invariant } from '../vocabulary/invariant.ts';
import { ok, type Result, refused } from '../vocabulary/result.ts';
import { manifestElements } from '../weights/manifest.ts';
import type { WeightsManifest } from '../weights/schema/weights-manifest.ts';
import { aggregate } from './aggregate.ts';
import { type DriverPorts, JobDriver } from './job-driver.ts';
import type { Untaken } from './job-view.ts';
import { writeModel } from './model-store.ts';
import type { Roster } from './roster.ts';
import type { SpoolStore } from './spool/sealed-spool.ts';
import { reportStaleness, reportUpdates } from './update-watch.ts';

/** What the jobs of a coordinator stand on. */
export interface JobsPorts {
  readonly store: SpoolStore;
  readonly clock: Clock;
  readonly telemetry: Telemetry;
  readonly roster: Roster;
  readonly chunkBytes: number;
  /** Told of everything that becomes durable of a job, and of each running job that is taken up again (`submitted`). */
  readonly noted?: (state: JobState, happened: JobRecord['kind']) => void;
}

interface Entry {
  readonly driver: JobDriver;
  refused: number;
  late: number;
  readonly watchers: Set<() => void>;
}

/** Every job of the coordinator, running or ended. */
export class Jobs {
  private readonly entries = new Map<JobId, Entry>();
  private readonly submitting = new Set<JobId>();
  private readonly ports: JobsPorts;

  constructor(ports: JobsPorts) {
    this.ports = ports;
  }

  /** Takes up every job that the store knows. */
  async recover(): Promise<void> {
    for (const name of await this.ports.store.journals.names()) {
      const job = name.startsWith('job-') ? parseJobId(name.slice('job-'.length)) : undefined;
      const driver = job && (await JobDriver.resume(this.driverPorts(), job));
      if (driver) this.enter(driver);
    }
    await this.sweep();
    for (const { driver } of this.entries.values()) {
      await driver.start();
      if (!driver.state.ended) this.ports.noted?.(driver.state, 'submitted');
    }
  }

  /** Discards staged updates that no job waits for any more: a crash came between a commit and its clearing up. */
  private async sweep(): Promise<void> {
    const { staging } = this.ports.store;
    for (const name of await staging.rounds()) {
      const [job = '', scope = ''] = name.split('/');
      const state = this.find(job)?.state;
      if (!state || !spoolScopes(state).has(scope)) await staging.destroy(name);
    }
  }

  /** Starts a job from `weights`, or from seeded initial weights, with the manifest that came beside it. Its submission is durable when this resolves. */
  async submit(
    spec: Job,
    weights: Float32Array | undefined,
    weightsManifest?: WeightsManifest,
  ): Promise<Result<JobState, Problem>> {
    const { store, clock, chunkBytes } = this.ports;
    const job = parseJobId(spec.name);
    invariant(job, 'the job schema checks the name');
    if (this.entries.has(job) || this.submitting.has(job)) return refused(problem('JOB_EXISTS', { job }));
    this.submitting.add(job);
    try {
      const values = weights ?? initialWeights(manifestOf(spec), spec.seed);
      // What travels with the model is zero at first.
      const version = new Float32Array(manifestElements(exchangedManifest(spec)));
      version.set(values);
      const digests = await writeModel(store.blobs, job, 0, version, chunkBytes, values.length);
      const manifest = weightsManifest && { weightsManifest };
      const at = clock.now();
      const record = { kind: 'submitted', job, spec, ...digests, chunkBytes, ...manifest, at } as const;
      const driver = await JobDriver.submit(this.driverPorts(), record);
      this.enter(driver);
      this.ports.noted?.(driver.state, 'submitted');
      await driver.start();
      return ok(driver.state);
    } finally {
      this.submitting.delete(job);
    }
  }

  /** The driver of a job by its name as a peer or operator wrote it. */
  find(job: string): JobDriver | undefined {
    const id = parseJobId(job);
    return id && this.entries.get(id)?.driver;
  }

  /** Every job, oldest first. */
  list(): readonly JobState[] {
    const states = [...this.entries.values()].map(({ driver }) => driver.state);
    return states.sort((left, right) => left.submittedAt - right.submittedAt);
  }

  /** Feeds an event about a site to every running job. */
  async tellAll(event: JobEvent & { readonly site: SiteId }): Promise<void> {
    const running = [...this.entries.values()].filter(({ driver }) => !driver.state.ended);
    await Promise.all(running.map(({ driver }) => driver.post(event)));
  }

  /** Counts an update that was not taken: as late where it came too late and nothing else was wrong, else as refused. */
  noteRefusal(job: JobId, occurrence: Problem): void {
    const entry = this.entries.get(job);
    const late = isLate(occurrence);
    if (entry) entry[late ? 'late' : 'refused']++;
    const { code } = occurrence;
    this.ports.telemetry.count(`consilium_updates_${late ? 'late' : 'refused'}_total`, { code });
    for (const changed of entry?.watchers ?? []) changed();
  }

  /** Updates that were not taken since the coordinator started. */
  refusals(job: JobId): Untaken {
    const { refused = 0, late = 0 } = this.entries.get(job) ?? {};
    return { refused, late };
  }

  /** Calls `changed` after every step of the job, until the returned function is called. */
  watch(job: JobId, changed: () => void): () => void {
    const watchers = this.entries.get(job)?.watchers;
    watchers?.add(changed);
    return () => watchers?.delete(changed);
  }

  async close(): Promise<void> {
    await Promise.all([...this.entries.values()].map(({ driver }) => driver.close()));
  }

  private enter(driver: JobDriver): void {
    this.entries.set(driver.state.id, { driver, refused: 0, late: 0, watchers: new Set() });
  }

  private driverPorts(): DriverPorts {
    const { store, clock, telemetry, roster } = this.ports;
    return {
      clock,
      telemetry,
      journals: store.journals,
      say: (site, message) => roster.say(site, message),
      online: () => roster.online(),
      aggregate: (state, aggregation) => aggregate(store, state, aggregation),
      forget: (job, scope) => store.staging.destroy(`${job}/${scope}`),
      changed: (state, records) => {
        for (const record of records) {
          this.report(state, record);
          this.ports.noted?.(state, record.kind);
        }
        for (const changed of this.entries.get(state.id)?.watchers ?? []) changed();
      },
    };
  }

  private report(state: JobState, record: JobRecord): void {
    const { id, round, attempt } = state;
    const { telemetry } = this.ports;
    const log = (message: string, fields: Readonly<Record<string, unknown>>) =>
      telemetry.log('info', message, { job: id, round, attempt, ...fields });
    switch (record.kind) {
      case 'update-accepted': {
        const { key } = record.update.declaration;
        telemetry.count('consilium_updates_accepted_total');
        log('update accepted', { round: key.round, site: key.site });
        break;
      }
      case 'attempt-started':
        log('attempt started', { cohort: record.cohort });
        for (const site of record.recalled ?? []) {
          telemetry.count('consilium_assignments_recalled_total', { site });
          log('an assignment was recalled: the site has trained for too long', { site });
        }
        break;
      case 'attempt-abandoned':
        telemetry.count('consilium_attempts_abandoned_total');
        log('attempt abandoned', { reason: record.reason });
        break;
      case 'version-committed':
        telemetry.count('consilium_versions_committed_total');
        log('version committed', {
          version: record.version,
          digest: record.digest,
          contributors: record.contributors,
        });
        reportUpdates(telemetry, state);
        reportStaleness(telemetry, state);
        break;
      case 'ended':
        telemetry.count('consilium_jobs_ended_total', { outcome: record.outcome });
        log('job ended', { outcome: record.outcome, reason: record.reason });
        break;
      default:
        break;
    }
  }
}
