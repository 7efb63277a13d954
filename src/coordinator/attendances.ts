import { type Problem, problem, publicText } from '../errors/problem.ts';
import type { Clock } from '../ports/clock.ts';
import type { Telemetry } from '../ports/telemetry.ts';
import type { CoordinatorMessage, SiteMessage } from '../rounds/assignment.ts';
import { viewObjection } from '../rounds/declared-view.ts';
import { schemaObjection } from '../rounds/fit-schema.ts';
import type { Job } from '../rounds/job.ts';
import type { JobEvent } from '../rounds/job-event.ts';
import { releaseObjection } from '../rounds/release-objection.ts';
import { encodingObjection, specForSite } from '../rounds/update-encoding.ts';
import type { Attendance } from '../transport/desk.ts';
import type { AssignmentId, SiteId } from '../vocabulary/ids.ts';
import type { SchemaHistory } from '../weights/schema/history.ts';
import type { HeldFeatures } from './held-features.ts';
import type { Jobs } from './jobs.ts';
import type { Connection, Roster } from './roster.ts';

/** What attending to sites stands on. */
export interface AttendancePorts {
  readonly clock: Clock;
  readonly telemetry: Telemetry;
  readonly roster: Roster;
  readonly jobs: Jobs;
  readonly heartbeatMs: number;
  readonly features: Pick<HeldFeatures, 'noteSite' | 'constants'>;
}

/** The long-lived streams of sites: what they say becomes events of jobs. */
export class Attendances {
  private readonly ports: AttendancePorts;
  private readonly inquiries = new Map<string, (site: SiteId, objections: readonly Problem[]) => void>();
  private inquiryCount = 0;

  constructor(ports: AttendancePorts) {
    this.ports = ports;
  }

  attend(site: SiteId, say: (message: CoordinatorMessage) => void): Attendance {
    const { roster, telemetry } = this.ports;
    const connection: Connection = { say };
    roster.enter(site, connection);
    telemetry.log('info', 'site connected', { site });
    return {
      receive: async (message) => {
        const presence = message.kind === 'presence' ? message.presence : undefined;
        const heard = roster.hear(site, connection, presence);
        if (heard === 'outdated') return;
        // A site that fell silent and speaks again on the same stream is back, with what it offered before.
        const offer = heard === 'returned' && !presence ? roster.offer(site) : undefined;
        if (offer) await this.ports.jobs.tellAll({ kind: 'site-online', site, presence: offer });
        await this.take(site, message);
      },
      leave: () => {
        if (roster.leave(site, connection)) this.gone(site);
      },
    };
  }

  /** A site is away: its jobs are told. */
  gone(site: SiteId): void {
    this.ports.telemetry.log('info', 'site away', { site });
    this.tell({ kind: 'site-offline', site });
  }

  /** Cuts a revoked site off: its jobs go on without it. */
  async revoke(site: SiteId): Promise<void> {
    const { roster, jobs } = this.ports;
    roster.say(site, { kind: 'problem', problem: problem('SITE_REVOKED', { site }) });
    roster.expel(site);
    await jobs.tellAll({ kind: 'site-revoked', site });
    await jobs.tellAll({ kind: 'site-offline', site });
  }

  /**
   * Asks every connected site what it would answer to a job; those that do not answer in time are left out. What differs
   * between two versions of a weight schema is told as the `history` of the job's weights manifest has it.
   */
  ask(spec: Job, history?: SchemaHistory): Promise<ReadonlyMap<SiteId, readonly Problem[]>> {
    const { roster, clock, heartbeatMs } = this.ports;
    const answers = new Map<SiteId, readonly Problem[]>();
    const asked: SiteId[] = [];
    const online = roster.online();
    for (const [site, presence] of online) {
      const { views, trainers } = presence;
      // A site of an earlier version declares neither views nor schemas, and would not understand a job that names one.
      const objection =
        (views.length === 0 ? viewObjection(spec, views) : undefined) ??
        (trainers.every(({ schemas }) => schemas === undefined)
          ? schemaObjection(spec, trainers)
          : undefined) ??
        releaseObjection(spec, presence) ??
        encodingObjection(spec, presence);
      if (objection) answers.set(site, [objection]);
      else asked.push(site);
    }
    const left = new Set(asked);
    const inquiry = `inquiry-${++this.inquiryCount}`;
    return new Promise((resolve) => {
      const finish = () => {
        cancel();
        this.inquiries.delete(inquiry);
        resolve(answers);
      };
      const cancel = clock.after(2 * heartbeatMs, finish);
      this.inquiries.set(inquiry, (site, objections) => {
        // Who was not asked, since it came later or guessed the name of the inquiry, must not end it for the others.
        if (!left.delete(site)) return;
        const told = schemaObjection(spec, online.get(site)!.trainers, history);
        answers.set(
          site,
          objections.map((one) => (told && one.code === told.code ? told : one)),
        );
        if (left.size === 0) finish();
      });
      if (asked.length === 0) finish();
      for (const site of asked) {
        roster.say(site, { kind: 'inquiry', inquiry, spec: specForSite(spec, online.get(site)!) });
      }
    });
  }

  private async take(site: SiteId, message: SiteMessage): Promise<void> {
    const { clock, roster, jobs, features } = this.ports;
    switch (message.kind) {
      case 'presence':
        features.noteSite(site, message.presence);
        await jobs.tellAll({ kind: 'site-online', site, presence: message.presence });
        break;
      case 'heartbeat':
        roster.say(site, { kind: 'heartbeat-seen', coordinatorTime: clock.now() });
        for (const progress of message.progress) {
          await this.post(progress.assignment, { kind: 'progressed', site, progress });
        }
        break;
      case 'answer': {
        const { assignment, problem: objection } = message;
        if (objection) this.note(site, assignment, objection);
        await this.post(assignment, { kind: 'answered', site, assignment, problem: objection });
        break;
      }
      case 'report': {
        const { assignment, result } = message;
        if (result.kind === 'failure') this.note(site, assignment, result.problem);
        const known = await this.post(assignment, { kind: 'reported', site, assignment, result });
        if (!known) roster.say(site, { kind: 'report-taken', assignment });
        break;
      }
      case 'opinion':
        this.inquiries.get(message.inquiry)?.(site, message.objections);
        break;
      case 'constants-query': {
        const { job, viewHash } = message;
        const answer = await features.constants(site, jobs.find(job)?.state, viewHash);
        roster.say(site, { kind: 'constants', job, viewHash, answer });
        break;
      }
    }
  }

  /** Feeds an event to the running job of an assignment; false where there is none. */
  private async post(assignment: AssignmentId, event: JobEvent): Promise<boolean> {
    const driver = this.ports.jobs.find(assignment.split('/', 1)[0] as string);
    if (!driver || driver.state.ended) return false;
    await driver.post(event);
    return true;
  }

  private note(site: SiteId, assignment: AssignmentId, occurrence: Problem): void {
    this.ports.telemetry.count('consilium_assignments_failed_total', { code: occurrence.code });
    this.ports.telemetry.log('warn', 'a site cannot do an assignment', {
      site,
      assignment,
      code: occurrence.code,
      reason: publicText(occurrence),
    });
  }

  private tell(event: JobEvent & { readonly site: SiteId }): void {
    this.ports.jobs.tellAll(event).catch((cause: unknown) => {
      this.ports.telemetry.log('error', 'an event did not reach every job', { site: event.site, cause });
    });
  }
}
