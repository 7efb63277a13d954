import type { Problem } from '../errors/problem.ts';
import type { SiteId } from '../vocabulary/ids.ts';
import type { Presence, ReportResult } from './assignment.ts';
import { eligibleSites, probeLack, wantedParticipants } from './cohort.ts';
import { assignmentIdOf, probeAssignment } from './current-assignment.ts';
import { viewObjection } from './declared-view.ts';
import { needsProbe, probeStamp, schemaObjection } from './fit-schema.ts';
import { probeResult } from './probe-report.ts';
import { releaseObjection } from './release-objection.ts';
import { shortText } from './short-text.ts';
import type { Turn } from './turn.ts';
import { encodingObjection } from './update-encoding.ts';
import { without, withoutMember } from './without.ts';

/*
 * Who may take part: what a site declares is compared with what the job needs, and where the job says so its conversion of the
 * weights is probed before anything of it counts.
 */

/**
 * Leaves a site out whose feature view or weight schema is not the job's, or that cannot send what the job wants, until it
 * declares otherwise; the others go on. One that fits is asked for the probe of the weights, where the job needs one and it has not passed it as it is now.
 */
export function compare(turn: Turn, site: SiteId, presence: Presence): void {
  const { spec, excluded, weightsManifest } = turn.state;
  const { datasets, trainers, views } = presence;
  const misfit = datasets.includes(spec.dataset)
    ? (viewObjection(spec, views) ?? schemaObjection(spec, trainers, weightsManifest?.history))
    : undefined;
  const objection = misfit ?? releaseObjection(spec, presence) ?? encodingObjection(spec, presence);
  if (objection) exclude(turn, site, objection, presence);
  else {
    turn.change({ excluded: without(excluded, site) });
    askForProbe(turn, site, presence);
  }
}

/** A site came (back): it goes on with its assignment, or fills a place that is empty. */
export function welcome(turn: Turn, site: SiteId): void {
  const { phase, participants } = turn.state;
  if (phase === 'working' && !participants.has(site) && eligibleSites(turn.state).includes(site)) {
    const live = [...participants.values()].filter(({ state }) => state !== 'declined' && state !== 'failed');
    if (live.length < wantedParticipants(turn.state))
      turn.record({ kind: 'participant-added', site, at: turn.now });
  }
  if (phase === 'working' || turn.state.outstanding.has(site)) turn.assign(site);
  if (phase === 'evaluating' && turn.evaluates() && eligibleSites(turn.state).includes(site))
    turn.askToEvaluate(site);
}

/** Takes what came of a probe, and leaves the site out or lets it in. */
export function takeProbe(turn: Turn, site: SiteId, result: ReportResult): void {
  const { spec, ended, online } = turn.state;
  const presence = online.get(site);
  turn.change({ probing: withoutMember(turn.state.probing, site) });
  if (ended || !presence || !needsProbe(spec) || turn.state.excluded.has(site)) return;
  const probe = { stamp: probeStamp(spec, presence), result: probeResult(result), at: turn.now };
  turn.record({ kind: 'probe-taken', site, probe });
  const objection = probeLack(turn.state, site);
  if (objection) exclude(turn, site, objection, presence);
  else welcome(turn, site);
}

/** A site whose policy has something against the job will not be probed until it comes anew. */
export function declineProbe(turn: Turn, site: SiteId, objection: Problem): void {
  const presence = turn.state.online.get(site);
  if (!presence || !turn.state.probing.has(site)) return;
  turn.change({ probing: withoutMember(turn.state.probing, site) });
  exclude(turn, site, objection, presence);
}

/** A site that says of itself that the job is beyond its version takes no part until it comes anew: it may be another one then. */
export function declineJob(turn: Turn, site: SiteId, objection: Problem): void {
  const presence = turn.state.online.get(site);
  if (presence && objection.code === 'JOB_UNSUPPORTED') exclude(turn, site, objection, presence);
}

function askForProbe(turn: Turn, site: SiteId, presence: Presence): void {
  const { spec, revoked, probing } = turn.state;
  const { datasets, trainers } = presence;
  if (!datasets.includes(spec.dataset) || !trainers.some(({ name }) => name === spec.trainer.name)) return;
  if (revoked.has(site) || !probeLack(turn.state, site)) return;
  turn.change({ probing: new Set([...probing, site]) });
  turn.tell(site, { kind: 'assignment', assignment: probeAssignment(turn.state, presence) });
}

function exclude(
  turn: Turn,
  site: SiteId,
  objection: Problem,
  { views, trainers, encodings }: Presence,
): void {
  const { id, excluded } = turn.state;
  turn.change({ excluded: new Map(excluded).set(site, objection) });
  const { state } = turn.state.participants.get(site) ?? {};
  if (state === 'assigned' || state === 'working' || turn.state.outstanding.has(site)) {
    const message = {
      kind: 'withdrawal',
      assignment: assignmentIdOf(turn.state, site),
      reason: withdrawalReason(objection),
    } as const;
    turn.tell(site, message);
  }
  turn.giveUp(site, 'declined', shortText(objection));
  // Who declares no views, encodings or weight schemas may be of an earlier version, and not know the message.
  if (views.length > 0 || encodings || trainers.some(({ schemas }) => schemas !== undefined))
    turn.tell(site, { kind: 'exclusion', job: id, problem: objection });
}

/** Why a participant is left out in the middle of its task. */
function withdrawalReason({ code }: Problem): string {
  if (code.startsWith('FEATURE_VIEW')) return 'its feature view is no longer what the job needs';
  if (code.startsWith('WEIGHT')) return 'its weights are not what the job needs';
  return 'it cannot take part as the job wants it';
}
