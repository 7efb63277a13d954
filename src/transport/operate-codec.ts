import type { Problem } from '../errors/problem.ts';
import { decoding, jsonOf, jsonUpTo, malformed, text, wholeNumber } from '../protocol/field.ts';
import type { OperateRequest as OperateRequestWire } from '../protocol/generated/consilium/v1/OperateRequest.ts';
import {
  type Chunk,
  chunkFromWire,
  chunkToWire,
  type PayloadDescription,
  payloadFromWire,
  payloadToWire,
} from '../protocol/payload-codec.ts';
import { problemFromWire, problemToWire } from '../protocol/problem-codec.ts';
import { decodeWire, encodeWire } from '../protocol/schema.ts';
import { JOB_MANIFEST_BYTES_MAX } from '../rounds/job-manifest.ts';
import { canonicalJson } from '../vocabulary/canonical-json.ts';
import type { EpochMs } from '../vocabulary/ids.ts';
import type { Result } from '../vocabulary/result.ts';
import type { OperateRequest } from './desk.ts';

/** A command as it is spoken: initial weights are described, and follow as chunks. */
export type OperateCommand =
  | Exclude<OperateRequest, { kind: 'submit-job' }>
  | {
      readonly kind: 'submit-job';
      readonly spec: unknown;
      readonly dryRun: boolean;
      readonly initialWeights: PayloadDescription | undefined;
      readonly weightsManifest?: unknown;
    };

/** What an operator says: a command, then the chunks of its initial weights, if it has any. */
export type OperatorMessage =
  | {
      readonly kind: 'command';
      readonly command: OperateCommand;
      /** The coordinator's clock until which it may be done. */
      readonly goodUntil: EpochMs;
    }
  | { readonly kind: 'chunk'; readonly chunk: Chunk }
  | { readonly kind: 'finish' };

/** What the coordinator says to an operator. */
export type OperateReply =
  | { readonly kind: 'view'; readonly view: unknown }
  | { readonly kind: 'payload'; readonly payload: PayloadDescription }
  | { readonly kind: 'chunk'; readonly chunk: Chunk }
  | { readonly kind: 'problem'; readonly problem: Problem };

/** The bytes of what an operator says. */
export function encodeOperatorMessage(message: OperatorMessage): Uint8Array {
  switch (message.kind) {
    case 'command':
      return encodeWire('OperateRequest', {
        goodUntilMs: String(message.goodUntil),
        ...commandToWire(message.command),
      });
    case 'chunk':
      return encodeWire('OperateRequest', { chunk: chunkToWire(message.chunk) });
    case 'finish':
      return encodeWire('OperateRequest', { finish: {} });
  }
}

function commandToWire(command: OperateCommand): OperateRequestWire {
  switch (command.kind) {
    case 'submit-job':
      return {
        submitJob: {
          jobJson: jsonBytes(command.spec),
          dryRun: command.dryRun,
          ...(command.initialWeights && { initialWeights: payloadToWire(command.initialWeights) }),
          ...(command.weightsManifest !== undefined && {
            weightsManifestJson: jsonBytes(command.weightsManifest),
          }),
        },
      };
    case 'list-jobs':
      return { listJobs: {} };
    case 'list-sites':
      return { listSites: {} };
    case 'list-models':
      return { listModels: {} };
    case 'get-status':
      return { getStatus: {} };
    case 'get-job':
      return { getJob: { job: command.job } };
    case 'watch-job':
      return { watchJob: { job: command.job } };
    case 'stop-job':
      return { stopJob: { job: command.job } };
    case 'invite-site':
      return {
        inviteSite: { site: command.site, ttlMs: String(command.ttlMs ?? 0) },
      };
    case 'get-site':
      return { getSite: { site: command.site } };
    case 'approve-site':
      return { approveSite: { site: command.site } };
    case 'revoke-site':
      return {
        revokeSite: { site: command.site, certificate: command.certificate ?? '' },
      };
    case 'revoke-certificate':
      return { revokeCertificate: { serial: command.serial } };
    case 'list-certificates':
      return { listCertificates: {} };
    case 'get-holding':
      return { getHolding: { kind: command.holding, name: command.name } };
    case 'pull-model':
      return {
        pullModel: {
          job: command.job,
          version: command.version ?? 0,
          latest: command.version === undefined,
        },
      };
  }
}

/** What an operator says, or MESSAGE_MALFORMED. Names of jobs and sites are still to be looked up. */
export function decodeOperatorMessage(bytes: Uint8Array): Result<OperatorMessage, Problem> {
  const wire = decodeWire('OperateRequest', bytes);
  if (!wire.ok) return wire;
  return decoding((): OperatorMessage => {
    const said = wire.value;
    const goodUntil = wholeNumber(said.goodUntilMs, 'good_until_ms');
    const command = (command: OperateCommand): OperatorMessage => ({ kind: 'command', command, goodUntil });
    const job = ({ job }: { job: string }) => text(job, 'job', 256);
    const site = ({ site }: { site: string }) => text(site, 'site', 256);
    if (said.chunk) return { kind: 'chunk', chunk: chunkFromWire(said.chunk) };
    if (said.finish) return { kind: 'finish' };
    if (said.submitJob) {
      const { jobJson, dryRun, initialWeights, weightsManifestJson } = said.submitJob;
      return command({
        kind: 'submit-job',
        spec: jsonOf(jobJson, 'submit_job.job_json'),
        dryRun,
        initialWeights: initialWeights
          ? payloadFromWire(initialWeights, 'submit_job.initial_weights')
          : undefined,
        ...(weightsManifestJson.length > 0 && {
          weightsManifest: jsonUpTo(
            weightsManifestJson,
            'submit_job.weights_manifest_json',
            JOB_MANIFEST_BYTES_MAX,
          ),
        }),
      });
    }
    if (said.listJobs) return command({ kind: 'list-jobs' });
    if (said.listSites) return command({ kind: 'list-sites' });
    if (said.listModels) return command({ kind: 'list-models' });
    if (said.getStatus) return command({ kind: 'get-status' });
    if (said.getJob) return command({ kind: 'get-job', job: job(said.getJob) });
    if (said.watchJob) return command({ kind: 'watch-job', job: job(said.watchJob) });
    if (said.stopJob) return command({ kind: 'stop-job', job: job(said.stopJob) });
    if (said.inviteSite) {
      const ttlMs = wholeNumber(said.inviteSite.ttlMs, 'invite_site.ttl_ms');
      return command({
        kind: 'invite-site',
        site: site(said.inviteSite),
        ttlMs: ttlMs === 0 ? undefined : ttlMs,
      });
    }
    if (said.getSite) return command({ kind: 'get-site', site: site(said.getSite) });
    if (said.approveSite) return command({ kind: 'approve-site', site: site(said.approveSite) });
    if (said.revokeSite) {
      const certificate = text(said.revokeSite.certificate, 'certificate', 256) || undefined;
      return command({ kind: 'revoke-site', site: site(said.revokeSite), certificate });
    }
    if (said.revokeCertificate) {
      const serial = text(said.revokeCertificate.serial, 'serial', 256);
      return command({ kind: 'revoke-certificate', serial });
    }
    if (said.listCertificates) return command({ kind: 'list-certificates' });
    if (said.getHolding) {
      const { kind, name } = said.getHolding;
      return command({ kind: 'get-holding', holding: text(kind, 'kind', 64), name: text(name, 'name', 256) });
    }
    if (said.pullModel) {
      const { version, latest } = said.pullModel;
      return command({ kind: 'pull-model', job: job(said.pullModel), version: latest ? undefined : version });
    }
    return malformed('OperateRequest', 'is empty');
  });
}

/** The bytes of what the coordinator says to an operator. */
export function encodeOperateReply(reply: OperateReply): Uint8Array {
  switch (reply.kind) {
    case 'view':
      return encodeWire('OperateResponse', { viewJson: jsonBytes(reply.view) });
    case 'payload':
      return encodeWire('OperateResponse', { payload: payloadToWire(reply.payload) });
    case 'chunk':
      return encodeWire('OperateResponse', { chunk: chunkToWire(reply.chunk) });
    case 'problem':
      return encodeWire('OperateResponse', { problem: problemToWire(reply.problem) });
  }
}

/** What the coordinator says to an operator, or MESSAGE_MALFORMED. Views are as the coordinator made them. */
export function decodeOperateReply(bytes: Uint8Array): Result<OperateReply, Problem> {
  const wire = decodeWire('OperateResponse', bytes);
  if (!wire.ok) return wire;
  return decoding((): OperateReply => {
    const { message, viewJson, payload, chunk, problem } = wire.value;
    if (problem) return { kind: 'problem', problem: problemFromWire(problem) };
    if (chunk) return { kind: 'chunk', chunk: chunkFromWire(chunk) };
    if (payload) return { kind: 'payload', payload: payloadFromWire(payload, 'payload') };
    if (message === 'viewJson' && viewJson) return { kind: 'view', view: jsonOf(viewJson, 'view_json') };
    return malformed('OperateResponse', 'is empty');
  });
}

function jsonBytes(value: unknown): Uint8Array {
  return new TextEncoder().encode(canonicalJson(value));
}
