import { z } from 'zod';
import { type Problem, problem } from '../errors/problem.ts';
import type { Assignment, CoordinatorMessage, HeardMessage, Task } from '../rounds/assignment.ts';
import type { Job } from '../rounds/job.ts';
import {
  JOB_MANIFEST_BYTES_MAX,
  jobManifestFault,
  needsGolden,
  parseJobManifest,
} from '../rounds/job-manifest.ts';
import type { FeatureConstants } from '../rounds/statistics.ts';
import { canonicalJson } from '../vocabulary/canonical-json.ts';
import { ok, type Result, refused } from '../vocabulary/result.ts';
import type { WeightsManifest } from '../weights/schema/weights-manifest.ts';
import {
  assignmentOf,
  decoding,
  digestOf,
  jobOf,
  jsonOf,
  jsonUpTo,
  malformed,
  present,
  siteOf,
  text,
  wholeNumber,
} from './field.ts';
import type { Assignment__Output } from './generated/consilium/v1/Assignment.ts';
import type { Task__Output } from './generated/consilium/v1/Task.ts';
import { jobFromWire, jobToWire } from './job-codec.ts';
import { revocationListFrom } from './open-codec.ts';
import { printable, problemFromWire, problemToWire } from './problem-codec.ts';
import { decodeWire, encodeWire, unknownField } from './schema.ts';

const TASKS = {
  statistics: 'TASK_STATISTICS',
  train: 'TASK_TRAIN',
  evaluate: 'TASK_EVALUATE',
  probe: 'TASK_PROBE',
} as const satisfies Record<Task, Task__Output>;

const constantsSchema = z.array(
  z.object({ name: z.string(), mean: z.number(), deviation: z.number().positive(), count: z.int().min(0) }),
);

/** The bytes of what the coordinator says on a site's long-lived stream. */
export function encodeCoordinatorMessage(message: CoordinatorMessage): Uint8Array {
  switch (message.kind) {
    case 'assignment':
      return encodeWire('AttendResponse', { assignment: assignmentToWire(message.assignment) });
    case 'withdrawal':
      return encodeWire('AttendResponse', {
        withdrawal: { assignment: message.assignment, reason: message.reason },
      });
    case 'heartbeat-seen':
      return encodeWire('AttendResponse', {
        heartbeatSeen: { coordinatorTimeMs: String(message.coordinatorTime) },
      });
    case 'report-taken':
      return encodeWire('AttendResponse', { reportTaken: { assignment: message.assignment } });
    case 'inquiry':
      return encodeWire('AttendResponse', {
        inquiry: { id: message.inquiry, jobJson: jobToWire(message.spec) },
      });
    case 'version-committed': {
      const { job, version, digest, contributors, receipts } = message;
      return encodeWire('AttendResponse', {
        versionCommitted: {
          ...{ job, version, digest, contributors: [...contributors] },
          receipts: receipts.map(({ round, ...receipt }) => ({
            ...receipt,
            round: round === version ? 0 : round,
          })),
        },
      });
    }
    case 'exclusion':
      return encodeWire('AttendResponse', {
        exclusion: { job: message.job, problem: problemToWire(message.problem) },
      });
    case 'constants': {
      const { job, viewHash, answer } = message;
      return encodeWire('AttendResponse', {
        constants: {
          job,
          viewHash,
          ...(answer.ok
            ? { constantsJson: jsonBytes(answer.value) }
            : { problem: problemToWire(answer.refusal) }),
        },
      });
    }
    case 'revocation-list':
      return encodeWire('AttendResponse', { revocationList: message.list });
    case 'problem':
      return encodeWire('AttendResponse', { problem: problemToWire(message.problem) });
  }
}

/**
 * What the coordinator says, or MESSAGE_MALFORMED. What a later one says beyond this version is no fault of the message: it is
 * named for what it is.
 */
export function decodeCoordinatorMessage(bytes: Uint8Array): Result<HeardMessage, Problem> {
  const wire = decodeWire('AttendResponse', bytes);
  if (!wire.ok) return wire;
  return decoding((): HeardMessage => {
    const { assignment, withdrawal, heartbeatSeen, reportTaken, inquiry, versionCommitted } = wire.value;
    const { exclusion, constants, revocationList, problem: occurrence } = wire.value;
    if (occurrence) return { kind: 'problem', problem: problemFromWire(occurrence) };
    if (assignment) return assignmentFromWire(assignment);
    if (withdrawal) {
      return {
        kind: 'withdrawal',
        assignment: assignmentOf(withdrawal.assignment, 'withdrawal.assignment'),
        reason: text(withdrawal.reason, 'withdrawal.reason'),
      };
    }
    if (heartbeatSeen) {
      return {
        kind: 'heartbeat-seen',
        coordinatorTime: wholeNumber(heartbeatSeen.coordinatorTimeMs, 'heartbeat_seen.coordinator_time_ms'),
      };
    }
    if (reportTaken)
      return {
        kind: 'report-taken',
        assignment: assignmentOf(reportTaken.assignment, 'report_taken.assignment'),
      };
    if (inquiry) {
      const id = text(inquiry.id, 'inquiry.id', 128);
      const spec = jobFromWire(inquiry.jobJson, 'inquiry.job_json');
      return spec.ok
        ? { kind: 'inquiry', inquiry: id, spec: spec.value }
        : { kind: 'inquiry-beyond', inquiry: id, problem: spec.refusal };
    }
    if (versionCommitted) {
      return {
        kind: 'version-committed',
        job: jobOf(versionCommitted.job, 'version_committed.job'),
        version: versionCommitted.version,
        digest: digestOf(versionCommitted.digest, 'version_committed.digest'),
        contributors: versionCommitted.contributors.map((site) =>
          siteOf(site, 'version_committed.contributors'),
        ),
        receipts: versionCommitted.receipts.map(({ site, round, attempt, digest }) => ({
          site: siteOf(site, 'version_committed.receipts.site'),
          // Coordinators of before do not say it: theirs is that of the version.
          round: round || versionCommitted.version,
          attempt,
          digest: digestOf(digest, 'version_committed.receipts.digest'),
        })),
      };
    }
    if (exclusion) {
      return {
        kind: 'exclusion',
        job: jobOf(exclusion.job, 'exclusion.job'),
        problem: problemFromWire(present(exclusion.problem, 'exclusion.problem')),
      };
    }
    if (constants) {
      return {
        kind: 'constants',
        job: jobOf(constants.job, 'constants.job'),
        viewHash: digestOf(constants.viewHash, 'constants.view_hash'),
        answer: constants.problem
          ? refused(problemFromWire(constants.problem))
          : ok(constantsOf(constants.constantsJson, 'constants.constants_json')),
      };
    }
    if (revocationList) {
      return { kind: 'revocation-list', list: revocationListFrom(revocationList, 'revocation_list') };
    }
    const field = unknownField('AttendResponse', bytes);
    return field === undefined ? malformed('AttendResponse', 'is empty') : { kind: 'unknown', field };
  });
}

function assignmentToWire(assignment: Assignment) {
  const { id, job, round, attempt, task, baseVersion, baseDigest, remainingMs, spec, constants } = assignment;
  const { weightsManifest } = assignment;
  return {
    id,
    job,
    round,
    attempt,
    task: TASKS[task],
    baseVersion,
    baseDigest,
    remainingMs,
    jobJson: jobToWire(spec),
    ...(constants && { constantsJson: jsonBytes(constants) }),
    ...(weightsManifest && { weightsManifestJson: jsonBytes(weightsManifest) }),
  };
}

function assignmentFromWire(wire: Assignment__Output): HeardMessage {
  const id = assignmentOf(wire.id, 'assignment.id');
  const task = (Object.keys(TASKS) as Task[]).find((name) => TASKS[name] === wire.task);
  const spec = jobFromWire(wire.jobJson, 'assignment.job_json');
  if (!spec.ok) return { kind: 'assignment-beyond', assignment: id, problem: spec.refusal };
  if (!task) {
    const what = `the task ${id.slice(id.lastIndexOf('/') + 1)}`;
    return { kind: 'assignment-beyond', assignment: id, problem: problem('JOB_UNSUPPORTED', { what }) };
  }
  const manifest =
    task === 'probe' && needsGolden(spec.value)
      ? manifestFromWire(spec.value, wire.weightsManifestJson, 'assignment.weights_manifest_json')
      : undefined;
  if (manifest && !manifest.ok)
    return { kind: 'assignment-beyond', assignment: id, problem: manifest.refusal };
  const assignment: Assignment = {
    id,
    job: jobOf(wire.job, 'assignment.job'),
    round: wire.round,
    attempt: wire.attempt,
    task,
    baseVersion: wire.baseVersion,
    baseDigest: digestOf(wire.baseDigest, 'assignment.base_digest'),
    remainingMs: wire.remainingMs,
    spec: spec.value,
    constants:
      wire.constantsJson.length === 0
        ? undefined
        : constantsOf(wire.constantsJson, 'assignment.constants_json'),
    ...(manifest && { weightsManifest: manifest.value }),
  };
  return { kind: 'assignment', assignment };
}

/** What an external model has to compute; JOB_UNSUPPORTED where this version finds something else in it. */
function manifestFromWire(spec: Job, json: Uint8Array, where: string): Result<WeightsManifest, Problem> {
  const parsed = parseJobManifest(jsonUpTo(json, where, JOB_MANIFEST_BYTES_MAX));
  const fault = parsed.ok ? jobManifestFault(spec, parsed.value) : parsed.refusal;
  if (parsed.ok && fault === undefined) return parsed;
  return refused(problem('JOB_UNSUPPORTED', { what: printable(`weightSchema.manifest (${fault})`, 200) }));
}

function constantsOf(json: Uint8Array, where: string): readonly FeatureConstants[] {
  const parsed = constantsSchema.safeParse(jsonOf(json, where));
  return parsed.success ? parsed.data : malformed(where, 'are not feature constants');
}

function jsonBytes(value: unknown): Uint8Array {
  return new TextEncoder().encode(canonicalJson(value));
}
