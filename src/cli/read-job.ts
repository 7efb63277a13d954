import { dirname, resolve } from 'node:path';
import { fail } from '../errors/problem.ts';
import type { Job } from '../rounds/job.ts';
import { jobOfFile } from '../rounds/job-file.ts';
import { JOB_MANIFEST_BYTES_MAX, jobManifest, parseJobManifest } from '../rounds/job-manifest.ts';
import { canonicalJson } from '../vocabulary/canonical-json.ts';
import type { WeightsManifest } from '../weights/schema/weights-manifest.ts';
import type { CommandContext } from './context.ts';
import { loadConfig } from './load-config.ts';
import { loadManifest } from './load-manifest.ts';

/** A job as it is submitted. */
export interface ReadJob {
  readonly spec: Job;
  /** What of the weights manifest that it names travels with it. */
  readonly weightsManifest: WeightsManifest | undefined;
}

/**
 * Reads a job file, and the weights manifest that it names, beside it. Throws CONFIG_INVALID where one of them is not what
 * it should be, where the signature of the manifest is broken, and where the two do not fit.
 */
export async function readJob(context: CommandContext, file: string): Promise<ReadJob> {
  const said = await loadConfig('job', file, context.language);
  const named = said.weightSchema?.manifest;
  const path = named === undefined ? undefined : resolve(dirname(file), named);
  const manifest = path === undefined ? undefined : await loadManifest(context, path);
  const job = jobOfFile(said, manifest);
  if (!job.ok) return fail('CONFIG_INVALID', { where: file, reason: job.refusal });
  if (!manifest || path === undefined) return { spec: job.value, weightsManifest: undefined };
  const weightsManifest = jobManifest(job.value, manifest);
  const bytes = Buffer.byteLength(canonicalJson(weightsManifest));
  if (bytes > JOB_MANIFEST_BYTES_MAX) {
    const reason = `${bytes} bytes of it go with a job, and ${JOB_MANIFEST_BYTES_MAX} are the most: make it with a smaller --batch, which shortens what is kept whole, or of fewer layers`;
    fail('CONFIG_INVALID', { where: path, reason });
  }
  const travelling = parseJobManifest(weightsManifest);
  if (!travelling.ok) fail('CONFIG_INVALID', { where: path, reason: travelling.refusal });
  return { spec: job.value, weightsManifest };
}
