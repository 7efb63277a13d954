import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { UpdateDecoder } from '../../src/aggregation/encodings/update-decoder.ts';
import { participantSchema } from '../../src/participant/config.ts';
import type { EncodedUpdate } from '../../src/participant/encode-outgoing.ts';
import type { UpdateDraft } from '../../src/participant/held-updates.ts';
import { LocalTensors } from '../../src/participant/local-tensors.ts';
import { ProgressBoard } from '../../src/participant/progress-board.ts';
import type { Trainer, TrainerTask } from '../../src/participant/trainer.ts';
import { globalNorm } from '../../src/participant/trainers/clip-by-norm.ts';
import { type WorkParts, work } from '../../src/participant/work.ts';
import type { Assignment } from '../../src/rounds/assignment.ts';
import { manifestOf } from '../../src/rounds/job.ts';
import type { StatedSchema } from '../../src/rounds/weight-schema.ts';
import { readSafetensors, valuesFor } from '../../src/weights/formats/safetensors.ts';
import { jobOf } from './trainers/jobs.ts';

/** Twenty elements: fc.weight 0-7, bn.weight 8-9, bn.bias 10-11, bn.running_mean 12-13, bn.running_var 14-15, head 16-19. */
const MODEL = {
  kind: 'external',
  tensors: [
    { name: 'fc.weight', shape: [2, 4] },
    { name: 'bn.weight', shape: [2] },
    { name: 'bn.bias', shape: [2] },
    { name: 'bn.running_mean', shape: [2] },
    { name: 'bn.running_var', shape: [2] },
    { name: 'head.weight', shape: [2, 2] },
  ],
};
const SHARED = [...Array(8).keys(), 16, 17, 18, 19];
const LOCAL = [8, 9, 10, 11, 12, 13, 14, 15];

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'consilium-work-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

/** A site whose trainer adds 1 to every element, and remembers what it was given; a new one is what a restart gives. */
function site(by = 1, schemas: readonly StatedSchema[] = []) {
  const seen: { readonly task: TrainerTask; readonly base: Float32Array }[] = [];
  const sent: Float32Array[] = [];
  const drafts: UpdateDraft[] = [];
  const watch = (task: TrainerTask) => seen.push({ task, base: task.base.slice() });
  const trainer = {
    train: async (task: TrainerTask) => {
      watch(task);
      return { update: task.base.map(() => by), sampleCount: 20, metrics: {}, backend: 'test' };
    },
    evaluate: async (task: TrainerTask) => {
      watch(task);
      return { metrics: {}, sampleCount: 20 };
    },
  } as unknown as Trainer;
  const config = participantSchema.parse({
    apiVersion: 'consilium/v1',
    site: 'bern',
    federation: 'f',
    coordinator: 'localhost:1',
    authorityFingerprint: `sm3:${'0'.repeat(64)}`,
    datasets: { data: { kind: 'opaque', path: '/rows' } },
  });
  const parts = {
    config,
    trainers: {
      ready: new Map([['tfjs', trainer]]),
      offers: [{ name: 'tfjs', kind: 'command', backend: 'test', schemas }],
    },
    baseWeights: {
      load: async ({ spec, baseVersion }: Assignment) => ({
        manifest: manifestOf(spec),
        // The coordinator's values of batch norms never change; the others are told by their version.
        values: Float32Array.from({ length: 20 }, (_, at) => (LOCAL.includes(at) ? 0.5 : baseVersion)),
        chunkBytes: 4096,
      }),
    },
    updates: {
      put: async (draft: UpdateDraft, update: Float32Array) => {
        sent.push(update.slice());
        drafts.push(draft);
        return draft;
      },
      putEncoded: async (draft: UpdateDraft, { encoding, bytes }: EncodedUpdate) => {
        const manifest = manifestOf(jobOf(MODEL, { initialWeights: { file: 'start.safetensors' } }));
        const runs = [...new UpdateDecoder(manifest, encoding).take(bytes)].map((run) => run.slice());
        sent.push(Float32Array.from(runs.flatMap((run) => [...run])));
        drafts.push(draft);
        return draft;
      },
    },
    // What encoding took away from an earlier update: half of every element.
    feedback: {
      residual: async (_: string, __: number, elements: number) => new Float32Array(elements).fill(0.5),
      put: async () => {},
    },
    settleFates: async () => {},
    progress: new ProgressBoard(),
    constants: { of: async () => undefined },
    localTensors: new LocalTensors(folder),
    insist: (fetch: (session: unknown, moved: () => void) => unknown) => fetch(undefined, () => {}),
  } as unknown as WorkParts;
  const assign = (task: 'train' | 'evaluate', round: number, changes: object = {}) => {
    const spec = jobOf(MODEL, {
      initialWeights: { file: 'start.safetensors' },
      batchNorm: { policy: 'local' },
      rounds: 9,
      ...changes,
    });
    const assignment = { id: `${round}`, job: spec.name, round, task, spec, baseVersion: round - 1 };
    return work(parts, assignment as unknown as Assignment, new AbortController().signal);
  };
  return { seen, sent, drafts, assign };
}

const at = (values: Float32Array, places: readonly number[]) => places.map((place) => values[place]);

describe('tensors that are local', () => {
  test('are never in an update, and go on at the site from round to round, across a restart', async () => {
    const first = site();
    await first.assign('train', 1);
    const second = site();
    await second.assign('train', 2);
    await second.assign('evaluate', 2);
    for (const update of [...first.sent, ...second.sent]) {
      expect(at(update, LOCAL)).toEqual(LOCAL.map(() => 0));
      expect(at(update, SHARED)).toEqual(SHARED.map(() => 1));
    }
    const bases = [...first.seen, ...second.seen].map(({ base }) => base);
    expect(bases.map((base) => at(base, LOCAL)[0])).toEqual([0.5, 1.5, 2.5]);
    for (const base of bases) expect(new Set(at(base, LOCAL)).size).toBe(1);
    // What is shared comes from the coordinator.
    expect(bases.map((base) => base[0])).toEqual([0, 1, 1]);
  });

  test('are, for a round that is tried again, those of the round before: the same task gives the same update', async () => {
    const { assign, seen } = site();
    await assign('train', 1);
    await assign('train', 2);
    await assign('train', 2);
    expect(seen.map(({ base }) => base[8])).toEqual([0.5, 1.5, 1.5]);
    // Two rounds are kept, and nothing of an older one.
    await assign('train', 4);
    await assign('train', 6);
    expect(readdirSync(join(folder, 'local', 'test-job')).sort()).toEqual([
      'round-4.safetensors',
      'round-6.safetensors',
    ]);
  });

  test('lie in a file that says what they are, and that only the site may read', async () => {
    await site().assign('train', 1);
    const path = join(folder, 'local', 'test-job', 'round-1.safetensors');
    const file = readSafetensors(readFileSync(path));
    if (!file.ok) throw new Error(file.refusal);
    const tensors = MODEL.tensors.slice(1, 5).map((tensor) => ({ ...tensor, dtype: 'float32' as const }));
    expect(valuesFor({ schemaVersion: '1.0.0', tensors }, file.value)).toEqual({
      ok: true,
      value: new Float32Array(8).fill(1.5),
    });
    writeFileSync(path, 'damaged');
    await expect(site().assign('train', 2)).rejects.toMatchObject({ problem: { code: 'STORE_CORRUPT' } });
  });

  test('are no part of the norm that is clipped', async () => {
    const { assign, seen, sent } = site(3);
    await assign('train', 1, { clippingNorm: 2 });
    await assign('evaluate', 1, { clippingNorm: 2 });
    expect(globalNorm(sent[0]!)).toBeCloseTo(2, 5);
    expect(at(sent[0]!, LOCAL)).toEqual(LOCAL.map(() => 0));
    expect(at(seen[1]!.base, LOCAL)).toEqual(LOCAL.map(() => 3.5));
    // The trainer is not to clip what the site has yet to part.
    expect(seen[0]!.task.job).not.toHaveProperty('clippingNorm');
  });

  test('may be some of them: SiloBN keeps the statistics', async () => {
    const { assign, sent } = site();
    await assign('train', 1, { batchNorm: { policy: 'local', tensors: ['bn.running_*'] } });
    expect(at(sent[0]!, [8, 9, 10, 11, 12, 13, 14, 15])).toEqual([1, 1, 1, 1, 0, 0, 0, 0]);
  });
});

describe('tensors that the trainer lacks', () => {
  const net = (version: string) => [{ id: 'net', version }];
  /** The head came with 1.1.0. */
  const job = {
    model: {
      ...MODEL,
      tensors: MODEL.tensors.map((tensor) =>
        tensor.name === 'head.weight' ? { ...tensor, since: '1.1.0', default: 0 } : tensor,
      ),
    },
    weightSchema: { id: 'net', version: '1.1.0', probe: 'off' },
  };

  test('are zero in the update, which is said to be of its version', async () => {
    const [behind, whole] = [site(1, net('1.0.0')), site(1, net('1.1.0'))];
    for (const one of [behind, whole]) await one.assign('train', 1, { ...job, batchNorm: undefined });
    expect([...behind.sent[0]!]).toEqual([...Array(16).fill(1), 0, 0, 0, 0]);
    expect([...whole.sent[0]!]).toEqual(Array(20).fill(1));
    expect([behind, whole].map(({ drafts }) => drafts[0]?.schemaVersion)).toEqual(['1.0.0', undefined]);
    expect(behind.seen[0]?.base).toHaveLength(16);
  });

  test('are in no norm that is clipped, and stay beside what is local', async () => {
    const { assign, sent, seen } = site(3, net('1.0.0'));
    for (const round of [1, 2]) await assign('train', round, { ...job, clippingNorm: 2 });
    expect(globalNorm(sent[0]!)).toBeCloseTo(2, 5);
    expect(at(sent[0]!, [...LOCAL, 16, 17, 18, 19])).toEqual(Array(12).fill(0));
    expect(at(seen[1]!.base, LOCAL)).toEqual(LOCAL.map(() => 3.5));
    // A trainer that has caught up goes on with what was local.
    const later = site(3, net('1.1.0'));
    await later.assign('train', 3, job);
    expect(at(later.seen[0]!.base, LOCAL)).toEqual(LOCAL.map(() => 6.5));
  });

  test('stay zero where error feedback has something for them, from a later version of the trainer', async () => {
    const { assign, sent } = site(1, net('1.0.0'));
    await assign('train', 1, { ...job, updateEncoding: { name: 'top-k', share: 0.5 } });
    expect(at(sent[0]!, [16, 17, 18, 19])).toEqual([0, 0, 0, 0]);
    expect([...sent[0]!.subarray(0, 8)]).toEqual(Array(8).fill(1.5));
  });
});

test('what a job freezes and a program changed all the same is not sent', async () => {
  const { assign, sent } = site();
  await expect(assign('train', 1, { batchNorm: { policy: 'frozen' } })).rejects.toMatchObject({
    problem: {
      code: 'TRAINER_FAILED',
      details: { reason: 'the job freezes bn.weight, and it was changed' },
    },
  });
  expect(sent).toEqual([]);
});

test('without a policy everything is sent, and nothing is kept', async () => {
  const { assign, sent } = site();
  await assign('train', 1, { batchNorm: undefined });
  expect([...sent[0]!]).toEqual(Array(20).fill(1));
  expect(readdirSync(folder)).toEqual([]);
});
