import { fail, type Problem } from '../errors/problem.ts';
import type { Assignment, ReportResult } from '../rounds/assignment.ts';
import { localSpans, unsharedChange, unsharedSpans } from '../rounds/batch-norm.ts';
import { lackedSpans } from '../rounds/earlier-version.ts';
import { exchangedManifest, type Job } from '../rounds/job.ts';
import type { HeldUpdate } from '../rounds/site.ts';
import { bufferingOf } from '../rounds/strategy.ts';
import { ElementBounds, type UpdateBound } from '../rounds/update-bounds.ts';
import { feedsErrorsBack, payloadEncodingOf } from '../rounds/update-encoding.ts';
import { invariant } from '../vocabulary/invariant.ts';
import { locateElement, type Manifest } from '../weights/manifest.ts';
import type { Base, BaseWeights } from './base-weights.ts';
import type { DatasetConfig, ParticipantConfig } from './config.ts';
import { countFeatures } from './datasets/count-features.ts';
import { encodeOutgoing } from './encode-outgoing.ts';
import type { ErrorFeedback } from './error-feedback.ts';
import type { HeldUpdates } from './held-updates.ts';
import type { LocalTensors } from './local-tensors.ts';
import type { OpenTrainers } from './open-trainers.ts';
import { releasedMetrics } from './permissions.ts';
import { probeGolden } from './probe-golden.ts';
import { probeWeights } from './probe-weights.ts';
import type { ProgressBoard } from './progress-board.ts';
import { type ControlParts, openRoundControl } from './round-control.ts';
import type { SettledConstants } from './settled-constants.ts';
import type { TrainerTask } from './trainer.ts';
import { clipByNorm } from './trainers/clip-by-norm.ts';
import { trainerOf } from './trainers/earlier-trainer.ts';

/** What working on an assignment needs of the site. */
export interface WorkParts extends ControlParts {
  /** With absolute paths. */
  readonly config: ParticipantConfig;
  readonly trainers: OpenTrainers;
  readonly baseWeights: BaseWeights;
  readonly updates: HeldUpdates;
  readonly feedback: ErrorFeedback;
  /** Finds out whether earlier updates of the job were accepted of which that is not known. */
  readonly settleFates: (assignment: Assignment, signal: AbortSignal) => Promise<void>;
  readonly progress: ProgressBoard;
  readonly constants: Pick<SettledConstants, 'of'>;
  readonly localTensors: LocalTensors;
}

/** What comes of an assignment: an update whose bytes are in the store, or a report. */
export type Outcome =
  | { readonly kind: 'trained'; readonly update: HeldUpdate }
  | { readonly kind: 'worked'; readonly result: ReportResult };

/**
 * Does one assignment that the policy has nothing against. Rejects with what the trainer or the dataset throws, with
 * UPDATE_NON_FINITE, UPDATE_OUT_OF_BOUND, COHORT_TOO_SMALL, or STORE_FULL; with the signal's reason when it aborts.
 */
export async function work(parts: WorkParts, assignment: Assignment, signal: AbortSignal): Promise<Outcome> {
  const { config } = parts;
  const dataset = config.datasets[assignment.spec.dataset];
  const found = trainerOf(parts.trainers, assignment.spec);
  invariant(dataset && found, 'the policy objects to unknown datasets and trainers');
  const { trainer } = found;
  switch (assignment.task) {
    case 'statistics': {
      parts.progress.set(assignment.id, 'counting', 0);
      const features = await countFeatures(dataset, assignment.spec, config.policy.minimumCount);
      return { kind: 'worked', result: { kind: 'statistics', features } };
    }
    case 'train':
      return { kind: 'trained', update: await train(parts, assignment, dataset, found, signal) };
    case 'probe': {
      const { spec: job, weightsManifest } = assignment;
      const { values, manifest } = await fetchBase(parts, assignment, signal);
      const task = { job, manifest, base: values, signal };
      const probe = weightsManifest
        ? await probeGolden(trainer, task, weightsManifest)
        : await probeWeights(trainer, task);
      signal.throwIfAborted();
      return { kind: 'worked', result: { kind: 'probe', probe } };
    }
    case 'evaluate': {
      const base = await fetchBase(parts, assignment, signal);
      const { job, round, spec } = assignment;
      await parts.localTensors.fill(job, round, localSpans(spec.batchNorm, base.manifest), base.values);
      parts.progress.set(assignment.id, 'evaluating', 0);
      const onProgress = (fraction: number) => parts.progress.set(assignment.id, 'evaluating', fraction);
      const constants = await parts.constants.of(assignment, signal);
      const task = taskOf({ ...assignment, constants }, base, dataset, signal, onProgress);
      const { metrics, sampleCount } = await trainer.evaluate(task);
      signal.throwIfAborted();
      checkCount(sampleCount, config.policy.minimumCount);
      const released = releasedMetrics(metrics, config);
      return { kind: 'worked', result: { kind: 'evaluation', metrics: released, sampleCount } };
    }
  }
}

async function train(
  parts: WorkParts,
  assignment: Assignment,
  dataset: DatasetConfig,
  { trainer, schemaVersion }: NonNullable<ReturnType<typeof trainerOf>>,
  signal: AbortSignal,
): Promise<HeldUpdate> {
  const { config, progress } = parts;
  const { job, round, baseVersion, baseDigest, spec } = assignment;
  const base = await fetchBase(parts, assignment, signal);
  const local = localSpans(spec.batchNorm, base.manifest);
  // Of a round that is tried again, what was kept before it.
  await parts.localTensors.fill(job, round - 1, local, base.values);
  const control = await openRoundControl(parts, assignment, base, signal);
  const lossLeaves = config.policy.metrics.includes('loss');
  const onProgress = (fraction: number, loss: number | undefined) =>
    progress.set(assignment.id, 'training', fraction, { loss: lossLeaves ? loss : undefined });
  onProgress(0, undefined);
  const constants = await parts.constants.of(assignment, signal);
  const task = taskOf({ ...assignment, constants }, base, dataset, signal, onProgress);
  // What stays at the site is no part of the norm that is clipped.
  const { clippingNorm, ...unclipped } = spec;
  const trained = await trainer.train({
    ...(local.length > 0 ? { ...task, job: unclipped } : task),
    correction: control?.correction,
  });
  signal.throwIfAborted();
  const { update, sampleCount, metrics, backend, localSteps } = trained;
  checkCount(sampleCount, config.policy.minimumCount);
  if (update.length !== base.values.length) {
    fail('UPDATE_MISSHAPED', {
      reason: `it has ${update.length} elements, the model has ${base.values.length}`,
    });
  }
  // Clipping would hide an element that is not finite, so that is looked for first.
  checkElements(update, base.manifest, Number.MAX_VALUE);
  checkFrozen(update, spec, base.manifest);
  if (local.length > 0) {
    for (const { start, length } of local) {
      for (let at = start; at < start + length; at++) base.values[at]! += update[at]!;
      update.fill(0, start, start + length);
    }
    await parts.localTensors.keep(job, round, local, base.values);
  }
  if (clippingNorm !== undefined) clipByNorm(update, clippingNorm);
  const { payload, next } = control?.finish(update, localSteps) ?? { payload: update, next: undefined };
  checkElements(payload, exchangedManifest(spec), spec.updateBound);
  const buffering = bufferingOf(spec.strategy);
  const draft = {
    job,
    round,
    baseVersion,
    baseDigest,
    claim: { manifest: exchangedManifest(spec), attemptsMax: spec.attemptsMax },
    sampleCount,
    metrics: releasedMetrics(metrics, config),
    backend,
    ...(schemaVersion !== undefined && { schemaVersion }),
    ...(buffering && { stalenessMax: buffering.stalenessMax }),
  };
  const encoding = payloadEncodingOf(spec, base.manifest);
  if (!encoding) {
    const held = await parts.updates.put(draft, payload, base.chunkBytes);
    // Before anyone hears of the update: a receipt of it finds what it makes current.
    if (next) await parts.variates.put(held, next);
    return held;
  }
  const feedsBack = feedsErrorsBack(spec);
  if (feedsBack) await parts.settleFates(assignment, signal);
  const residual = feedsBack ? await parts.feedback.residual(job, round, update.length) : undefined;
  // What a later version of the trainer left there.
  for (const { start, length } of lackedSpans(spec, schemaVersion)) residual?.fill(0, start, start + length);
  const { updateBound } = spec;
  invariant(typeof updateBound === 'number', 'encoded updates have one bound');
  const encoded = encodeOutgoing(update, {
    ...{ manifest: base.manifest, encoding, updateBound, clippingNorm, residual },
  });
  const held = await parts.updates.putEncoded(draft, encoded, base.chunkBytes);
  // Encoding left in the update what it took away.
  if (feedsBack) await parts.feedback.put(held, update);
  return held;
}

function fetchBase(parts: WorkParts, assignment: Assignment, signal: AbortSignal): Promise<Base> {
  const { progress, baseWeights } = parts;
  let furthest = 0;
  progress.set(assignment.id, 'downloading', 0);
  return parts.insist(
    (session, moved) =>
      baseWeights.load(assignment, session, signal, (bytes, of) => {
        progress.set(assignment.id, 'downloading', of === 0 ? 1 : bytes / of, { bytes });
        if (bytes > furthest) moved();
        furthest = Math.max(furthest, bytes);
      }),
    signal,
  );
}

function taskOf(
  { spec, round, constants }: Assignment,
  base: Base,
  dataset: DatasetConfig,
  signal: AbortSignal,
  onProgress: TrainerTask['onProgress'],
): TrainerTask {
  const { manifest, values } = base;
  return { job: spec, manifest, round, base: values, constants, dataset, signal, onProgress };
}

function checkCount(have: number, minimum: number): void {
  if (!Number.isSafeInteger(have) || have < minimum) fail('COHORT_TOO_SMALL', { have, minimum });
}

/** Throws TRAINER_FAILED where a program changed a tensor that the job freezes. */
function checkFrozen(update: Float32Array, { batchNorm }: Job, manifest: Manifest): void {
  if (batchNorm?.policy !== 'frozen') return;
  const changed = unsharedChange(unsharedSpans(batchNorm, manifest), 0, update);
  if (changed) fail('TRAINER_FAILED', { reason: `the job freezes ${changed.tensor}, and it was changed` });
}

/** Throws UPDATE_NON_FINITE or UPDATE_OUT_OF_BOUND at the first element that must not leave. */
function checkElements(update: Float32Array, manifest: Manifest, bound: UpdateBound): void {
  const bounds = new ElementBounds(bound, manifest);
  const fault = bounds.faultIn(0, update);
  if (!fault) return;
  const { tensor, index } = locateElement(manifest, fault.place);
  if (!Number.isFinite(fault.value)) fail('UPDATE_NON_FINITE', { tensor, index, value: fault.value });
  fail('UPDATE_OUT_OF_BOUND', { tensor, index, bound: bounds.at(fault.place) });
}

/** What a site says of work that went wrong. */
export function failure(problem: Problem): ReportResult {
  return { kind: 'failure', problem };
}
