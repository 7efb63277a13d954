import fc from 'fast-check';
import {
  ENCODING_NAMES,
  type EncodingName,
  encodedBytes,
  keptElements,
  type PayloadEncoding,
} from '../../src/aggregation/encodings/payload-encoding.ts';
import { CATALOGUE, type ErrorCode } from '../../src/errors/catalogue.ts';
import type { Problem } from '../../src/errors/problem.ts';
import type { Chunk, PayloadDescription } from '../../src/protocol/payload-codec.ts';
import type { CoordinatorMessage, SiteMessage } from '../../src/rounds/assignment.ts';
import { assignmentId } from '../../src/rounds/assignment.ts';
import { jobSchema } from '../../src/rounds/job.ts';
import { jobManifest } from '../../src/rounds/job-manifest.ts';
import { COLUMN_TYPES } from '../../src/rounds/named-view.ts';
import type { UpdateDeclaration } from '../../src/rounds/update.ts';
import type { Digest } from '../../src/vocabulary/digest.ts';
import type { JobId, SiteId } from '../../src/vocabulary/ids.ts';
import { ok, refused } from '../../src/vocabulary/result.ts';
import { manifestElements, payloadBytes } from '../../src/weights/manifest.ts';
import { externalJob, externalManifest } from '../rounds/external-model.ts';

/** Byte strings as decoders give them: plain, never a Buffer. */
export const bytes = (constraints: fc.IntArrayConstraints = { maxLength: 64 }) =>
  fc.uint8Array(constraints).map((value) => new Uint8Array(value));

export const label = fc
  .stringMatching(/^[a-z0-9](?:[a-z0-9-]{0,20}[a-z0-9])?$/)
  .map((text) => text as JobId & SiteId);
export const digest = fc
  .uint8Array({ minLength: 32, maxLength: 32 })
  .map((value) => `sm3:${Buffer.from(value).toString('hex')}` as Digest);
export const whole = fc.oneof(fc.nat(100), fc.maxSafeNat());
export const uint32 = fc.oneof(fc.nat(100), fc.integer({ min: 0, max: 2 ** 32 - 1 }));
export const text = fc.stringMatching(/^[a-zA-Zäé世界 .,:-]{0,20}$/);
/** Finite; -0 is left to its own test, since absent and zero look alike. */
export const finite = fc.double({ noNaN: true, noDefaultInfinity: true }).map((value) => value + 0);
export const metrics = fc
  .dictionary(fc.stringMatching(/^[a-z]{1,8}$/), finite, { maxKeys: 4, noNullPrototype: true })
  .map((values) => ({ ...values }));

export const occurrence: fc.Arbitrary<Problem> = fc.record({
  code: fc.constantFrom(...(Object.keys(CATALOGUE) as ErrorCode[])),
  details: fc.dictionary(fc.stringMatching(/^[a-z]{1,8}$/), text, { maxKeys: 4, noNullPrototype: true }),
});

/** Manifests, and with each the bytes of weights and how they are cut. */
export const payload: fc.Arbitrary<PayloadDescription> = fc
  .record({
    schemaVersion: fc.constantFrom('1.0.0', '2.3.4'),
    tensors: fc.uniqueArray(
      fc.record({
        name: fc.stringMatching(/^[a-z]{1,6}\.\d$/),
        dtype: fc.constant('float32' as const),
        shape: fc.array(fc.integer({ min: 1, max: 9 }), { maxLength: 4 }),
      }),
      { minLength: 1, maxLength: 5, selector: ({ name }) => name },
    ),
  })
  .chain((manifest) =>
    fc.record({
      manifest: fc.constant(manifest),
      payloadBytes: fc.constant(payloadBytes(manifest)),
      chunkBytes: fc.integer({ min: 1024, max: 2 ** 18 }).map((value) => 4 * value),
      digest,
    }),
  );

export const chunk: fc.Arbitrary<Chunk> = fc.record({
  index: uint32,
  offset: whole,
  crc32c: uint32,
  data: bytes({ maxLength: 100 }),
});

export const declaration: fc.Arbitrary<UpdateDeclaration> = fc
  .record({
    key: fc.record({ job: label, round: uint32, attempt: uint32, site: label }),
    baseVersion: uint32,
    baseDigest: digest,
    sampleCount: whole,
    payload,
    encoding: fc.constantFrom(undefined, ...ENCODING_NAMES),
    keptShare: fc.double({ min: 0, max: 1, noNaN: true }),
    metrics,
    backend: text,
    norm: fc.option(fc.double({ min: 0, max: 1e300, noNaN: true })),
    schemaVersion: fc.constantFrom(undefined, '1.0.0', '1.12.3'),
  })
  .map(({ payload, norm, encoding, keptShare, schemaVersion, ...declared }) => ({
    ...declared,
    ...(schemaVersion !== undefined && { schemaVersion }),
    ...payload,
    ...encodedAs(payload, encoding, keptShare),
    ...(norm !== null && { norm }),
  }));

/** What an encoding changes of a payload. */
function encodedAs({ manifest }: PayloadDescription, name: EncodingName | undefined, keptShare: number) {
  if (!name) return {};
  const kept = keptElements(keptShare, manifestElements(manifest));
  const encoding: PayloadEncoding = name === 'top-k' ? { name, kept } : { name };
  return { encoding, payloadBytes: encodedBytes(manifest, encoding) };
}

const task = fc.constantFrom('statistics' as const, 'train' as const, 'evaluate' as const, 'probe' as const);
const assignmentOf = fc
  .tuple(label, uint32, uint32, task)
  .map(([job, round, attempt, what]) => assignmentId(job, round, attempt, what));

export const siteMessage: fc.Arbitrary<SiteMessage> = fc.oneof(
  fc.record({
    kind: fc.constant('presence' as const),
    presence: fc
      .record({
        datasets: fc.array(label, { maxLength: 3 }),
        trainers: fc.array(
          fc.record(
            {
              name: label,
              kind: fc.constantFrom('tfjs' as const, 'command' as const),
              backend: text,
              framework: label,
              schemas: fc.array(fc.record({ id: label, version: fc.constant('1.2.3') }), {
                minLength: 1,
                maxLength: 3,
              }),
            },
            { requiredKeys: ['name', 'kind', 'backend'] },
          ),
          { maxLength: 3 },
        ),
        updateBytesMax: whole,
        software: text,
        views: fc.array(
          fc.record({
            dataset: label,
            view: label,
            schemaHash: digest,
            columns: fc.array(
              fc.record({
                name: text,
                type: fc.constantFrom(...COLUMN_TYPES),
                unit: fc.option(
                  text.filter((unit) => unit !== ''),
                  { nil: undefined },
                ),
                categories: fc.option(fc.array(text, { minLength: 1, maxLength: 3 }), { nil: undefined }),
              }),
              { maxLength: 3 },
            ),
          }),
          { maxLength: 2 },
        ),
        encodings: fc.array(fc.constantFrom(...ENCODING_NAMES), { maxLength: 3 }),
      })
      // One who can send nothing but float32 says nothing of it.
      .map(({ encodings, ...presence }) => ({ ...presence, ...(encodings.length > 0 && { encodings }) })),
  }),
  fc.record({
    kind: fc.constant('heartbeat' as const),
    sentAt: whole,
    progress: fc.array(
      fc.record({
        assignment: assignmentOf,
        phase: fc.constantFrom(
          'downloading' as const,
          'training' as const,
          'uploading' as const,
          'evaluating' as const,
          'counting' as const,
        ),
        fraction: fc.double({ min: 0, max: 1, noNaN: true }).map((value) => value + 0),
        loss: fc.option(finite, { nil: undefined }),
        bytes: whole,
      }),
      { maxLength: 3 },
    ),
  }),
  fc.record({
    kind: fc.constant('answer' as const),
    assignment: assignmentOf,
    problem: fc.option(occurrence, { nil: undefined }),
  }),
  fc.record({
    kind: fc.constant('report' as const),
    assignment: assignmentOf,
    result: fc.oneof(
      fc.record({
        kind: fc.constant('statistics' as const),
        features: fc.array(
          fc.record({
            name: text,
            suppressed: fc.boolean(),
            count: whole,
            missing: whole,
            sum: finite,
            sumOfSquares: finite,
          }),
          { maxLength: 3 },
        ),
      }),
      fc.record({ kind: fc.constant('evaluation' as const), metrics, sampleCount: whole }),
      fc.record({
        kind: fc.constant('probe' as const),
        probe: fc.record({
          engine: text,
          layers: fc.array(fc.record({ layer: text, relativeL2: finite, probe: text }), { maxLength: 3 }),
        }),
      }),
      fc.record({ kind: fc.constant('failure' as const), problem: occurrence }),
    ),
  }),
  fc.record({
    kind: fc.constant('opinion' as const),
    inquiry: text,
    objections: fc.array(occurrence, { maxLength: 3 }),
  }),
  fc.record({ kind: fc.constant('constants-query' as const), job: label, viewHash: digest }),
);

const EXTERNAL_JOB = externalJob();

const constants = fc.array(
  fc.record({
    name: text,
    mean: finite,
    deviation: fc.double({ min: 1e-6, max: 1e6, noNaN: true }),
    count: whole,
  }),
  { maxLength: 3 },
);

const spec = fc
  .record({
    name: label,
    dataset: label,
    rounds: fc.integer({ min: 1, max: 9 }),
    size: fc.integer({ min: 1, max: 9 }),
  })
  .map(({ name, dataset, rounds, size }) =>
    jobSchema.parse({
      apiVersion: 'consilium/v1',
      name,
      dataset,
      model: { kind: 'mlp', features: ['age', 'chol'] },
      trainer: { name: 'tfjs' },
      rounds,
      cohort: { size },
      quorum: 1,
    }),
  );

const assigned = {
  id: assignmentOf,
  job: label,
  round: uint32,
  attempt: uint32,
  baseVersion: uint32,
  baseDigest: digest,
  remainingMs: uint32,
};

export const coordinatorMessage: fc.Arbitrary<CoordinatorMessage> = fc.oneof(
  fc.record({
    kind: fc.constant('assignment' as const),
    assignment: fc.oneof(
      fc.record({ ...assigned, task, spec, constants: fc.option(constants, { nil: undefined }) }),
      fc.record({
        ...assigned,
        task: fc.constant('probe' as const),
        spec: fc.constant(EXTERNAL_JOB),
        constants: fc.constant(undefined),
        weightsManifest: fc.constant(jobManifest(EXTERNAL_JOB, externalManifest())),
      }),
    ),
  }),
  fc.record({ kind: fc.constant('withdrawal' as const), assignment: assignmentOf, reason: text }),
  fc.record({ kind: fc.constant('heartbeat-seen' as const), coordinatorTime: whole }),
  fc.record({ kind: fc.constant('report-taken' as const), assignment: assignmentOf }),
  fc.record({ kind: fc.constant('inquiry' as const), inquiry: text, spec }),
  fc.record({
    kind: fc.constant('version-committed' as const),
    job: label,
    version: uint32,
    digest,
    contributors: fc.array(label, { maxLength: 4 }),
    receipts: fc.array(
      fc.record({ site: label, round: fc.integer({ min: 1, max: 2 ** 32 - 1 }), attempt: uint32, digest }),
      { maxLength: 4 },
    ),
  }),
  fc.record({ kind: fc.constant('exclusion' as const), job: label, problem: occurrence }),
  fc.record({
    kind: fc.constant('constants' as const),
    job: label,
    viewHash: digest,
    answer: fc.oneof(
      constants.map((value) => ok(value)),
      occurrence.map((refusal) => refused(refusal)),
    ),
  }),
  fc.record({
    kind: fc.constant('revocation-list' as const),
    list: fc.record({ document: fc.uint8Array(), signature: fc.uint8Array() }),
  }),
  fc.record({ kind: fc.constant('problem' as const), problem: occurrence }),
);
