import { type ControlShares, moveControl } from '../aggregation/control-variates.ts';
import type { ServerOptimiser } from '../aggregation/optimisers/server-optimiser.ts';
import { fail, problem } from '../errors/problem.ts';
import type { BlobStore } from '../ports/blob-store.ts';
import { manifestOf } from '../rounds/job.ts';
import type { Aggregation } from '../rounds/job-event.ts';
import type { JobState } from '../rounds/job-state.ts';
import { optimiserOf } from '../rounds/strategy.ts';
import type { Store } from '../storage/store.ts';
import { invariant } from '../vocabulary/invariant.ts';
import { bytesOf } from '../weights/float32-bytes.ts';
import { manifestElements } from '../weights/manifest.ts';
import { type CombinedUpdate, combineUpdates } from './combine-updates.ts';
import type { Aggregated } from './job-driver.ts';
import { modelElements, readModel, storeModel, weightsOf } from './model-store.ts';
import { readOptimiserState, writeOptimiserState } from './optimiser-state.ts';
import { DamagedUpdate, ElementReader, StagedUpdates } from './staged-updates.ts';

export { stagingName } from './staged-updates.ts';

/**
 * Combines a round's updates onto the version they are deltas of, as the job's strategy says, and stores the result
 * as the round's version, after the server optimiser's state that belongs to it; SCAFFOLD's control variate is a part
 * of the version itself. Storing twice stores the same bytes,
 * so a crash after it does no harm. Damaged updates are named; other store failures throw.
 */
export async function aggregate(
  store: Store,
  state: JobState,
  { round, updates }: Aggregation,
): Promise<Aggregated> {
  const { spec, manifest, id, version, chunkBytes } = state;
  const staged = new StagedUpdates(store.staging, updates, spec, manifest);
  try {
    const previous = await previousUpdate(store.blobs, state);
    const elements = manifestElements(manifestOf(spec));
    const { combined, statistics } = await combineUpdates(staged, {
      round,
      spec,
      manifest,
      elements,
      previous,
    });
    const optimiser = optimiserOf(spec.strategy);
    const slots = await readOptimiserState(store.blobs, id, version, optimiser, elements);
    const step = { optimiser, slots, elements, control: controlShares(state, updates.length) };
    const next = nextWeights(weightsOf(store.blobs, id, version), combined, step);
    const cut = { chunkBytes, modelBytes: elements === modelElements(state) ? undefined : 4 * elements };
    const digests = await storeModel(store.blobs, id, round, next, cut, () =>
      writeOptimiserState(store.blobs, id, round, slots),
    );
    const contributors = staged.updates.map(({ declaration }) => declaration.key.site);
    return { kind: 'stored', ...digests, contributors, statistics: statistics() };
  } catch (cause) {
    if (!(cause instanceof DamagedUpdate)) throw cause;
    const culprits = await staged.damaged();
    invariant(culprits.length > 0, 'a damaged update stays damaged');
    const what = `the stored updates of ${culprits.join(', ')} in round ${round}`;
    return { kind: 'damaged', problem: problem('STORE_CORRUPT', { what }), culprits };
  }
}

/** What the last round changed; undefined before there was one. */
async function previousUpdate(blobs: BlobStore, state: JobState): Promise<Float32Array | undefined> {
  const { id, version } = state;
  if (version === 0) return undefined;
  const elements = modelElements(state);
  const change = await readModel(blobs, id, version, elements);
  let place = 0;
  for await (const before of weightsOf(blobs, id, version - 1)) {
    for (const weight of before) change[place++]! -= weight;
  }
  return change;
}

/** What SCAFFOLD makes of its control variate, where `updates` are in, of N sites, and N may have grown. */
function controlShares({ spec, population, history }: JobState, updates: number): ControlShares {
  const named = spec.strategy.name === 'scaffold' ? spec.strategy.sites : undefined;
  const sites = named ?? population ?? updates;
  return { kept: (named ?? history.at(-1)?.population ?? sites) / sites, added: updates / sites };
}

/** How a version becomes the next one. */
interface VersionStep {
  readonly optimiser: ServerOptimiser;
  readonly slots: readonly Float32Array[];
  /** Those of the model; what comes behind them is a control variate. */
  readonly elements: number;
  readonly control: ControlShares;
}

/** The next version, run by run as the combined update comes; `slots` holds the next state at the end. */
async function* nextWeights(
  base: AsyncIterable<Float32Array>,
  combined: CombinedUpdate,
  { optimiser, slots, elements, control }: VersionStep,
): AsyncGenerator<Uint8Array> {
  const reader = new ElementReader(base);
  let from = 0;
  try {
    for await (const { update, lacked } of combined) {
      const weights = new Float32Array(update.length);
      if ((await reader.fill(weights)) < weights.length)
        fail('STORE_CORRUPT', { what: 'the base version is too short' });
      const end = from + update.length;
      const border = Math.min(Math.max(elements - from, 0), update.length);
      // An optimiser would move what nobody trained by what it remembers.
      if (!lacked) {
        optimiser.step(
          weights.subarray(0, border),
          update.subarray(0, border),
          slots.map((slot) => slot.subarray(from, end)),
        );
      }
      moveControl(weights.subarray(border), update.subarray(border), control);
      from = end;
      yield bytesOf(weights);
    }
  } finally {
    await reader.close();
  }
}
