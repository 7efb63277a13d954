import { beforeEach, describe, expect, it } from 'vitest';
import { problem } from '../../src/errors/problem.ts';
import { openDiskStore } from '../../src/storage/disk/disk-store.ts';
import { type FakeCoordinator, jobOf } from './fake-coordinator.ts';
import { SiteUnderTest } from './site-under-test.ts';

const RATE = 0.5;
const STEPS = 4;
const job = jobOf({
  model: { kind: 'mlp', features: ['age', 'chol'], hidden: [3] },
  trainer: { name: 'twin', learningRate: RATE },
  strategy: { name: 'scaffold' },
  rounds: 9,
});
const ELEMENTS = 13;

let site: SiteUnderTest;
let coordinator: FakeCoordinator;
beforeEach(async () => {
  site = await SiteUnderTest.make();
  site.trainer.localSteps = STEPS;
  coordinator = site.coordinator;
});

/** Starts the site, and waits until it is there. */
const begin = async () => {
  const before = presences();
  const participant = await site.start();
  await coordinator.until(() => presences() > before, 'the site');
  return participant;
};
const presences = () => coordinator.said.filter(({ kind }) => kind === 'presence').length;
const update = (round: number) =>
  coordinator.until(() => coordinator.accepted.get(`heart/${round}/charite`), `update ${round}`);
const controlOf = (version: number) => coordinator.weights(job, version).subarray(ELEMENTS);
const training = async (round: number) => {
  coordinator.weights(job, round - 1);
  await coordinator.assign('train', { job, round });
};
const correctionOf = (task: number) => site.trainer.tasks[task]!.correction!;
const close = (values: Iterable<number>) => [...values].map((value) => expect.closeTo(value, 6));

describe('a site of SCAFFOLD', () => {
  it('sends its update and the change of its control variate as one payload', async () => {
    await begin();
    await training(1);
    const { declaration, values } = await update(1);
    const names = declaration.manifest.tensors.map(({ name }) => name);
    expect(names.slice(0, 4)).toEqual(['dense.0.weight', 'dense.0.bias', 'dense.1.weight', 'dense.1.bias']);
    expect(names.slice(4)).toEqual(names.slice(0, 4).map((name) => `scaffold.control/${name}`));
    expect(site.trainer.tasks[0]!.base).toEqual(coordinator.weights(job, 0).slice(0, ELEMENTS));
    // c_i is zero at first, so the correction is c.
    expect(correctionOf(0)).toEqual(controlOf(0));
    const [delta, change] = [values.subarray(0, ELEMENTS), values.subarray(ELEMENTS)];
    expect([...delta]).toEqual(close(delta.map(() => 0.25)));
    expect([...change]).toEqual(close(controlOf(0).map((c, at) => -c - delta[at]! / (STEPS * RATE))));
  });

  it('takes its next control variate from a receipt, and keeps it over a restart', async () => {
    const first = await begin();
    await training(1);
    const own = (await update(1)).values.slice(ELEMENTS);
    await coordinator.until(
      () => site.telemetry.lines.some(({ message }) => message === 'the update is in'),
      'the receipt',
    );
    await first.stop();
    await begin();
    await training(2);
    const second = await update(2);
    expect([...correctionOf(1)]).toEqual(close(controlOf(1).map((c, at) => c - own[at]!)));
    for (const [at, value] of second.values.subarray(ELEMENTS).entries()) own[at]! += value;
    await training(3);
    await update(3);
    expect([...correctionOf(2)]).toEqual(close(controlOf(2).map((c, at) => c - own[at]!)));
  });

  it.each([true, false])(
    'that died after it had sent and missed two versions asks whether its update is in: %s',
    async (taken) => {
      const first = await begin();
      let told = () => {};
      const reached = new Promise<void>((resolve) => {
        told = resolve;
      });
      // It dies when the bytes are in, or before they are.
      coordinator.meanwhile = async (moment) => {
        if (moment !== (taken ? 'taken' : 'declared')) return;
        coordinator.crash();
        told();
      };
      await training(1);
      await reached;
      await first.stop();
      coordinator.meanwhile = async () => {};
      await begin();
      if (!taken) {
        const stale = problem('UPDATE_STALE', { round: 1, attempt: 1, currentRound: 3, currentAttempt: 1 });
        coordinator.judge = ({ key }) => (key.round === 1 ? stale : undefined);
      }
      const asked = coordinator.declarations.length;
      await training(3);
      await update(3);
      const own = taken
        ? coordinator.accepted.get('heart/1/charite')!.values.slice(ELEMENTS)
        : new Float32Array(ELEMENTS);
      expect([...correctionOf(1)]).toEqual(close(controlOf(2).map((c, at) => c - own[at]!)));
      // Its control variate and its receipt may be asked for beside each other.
      const rounds = coordinator.declarations.slice(asked).map(({ key }) => key.round);
      expect([...new Set(rounds)]).toEqual([1, 3]);
    },
  );

  it('starts from zero where its control variate was lost, and says so', async () => {
    const first = await begin();
    await training(1);
    await update(1);
    await coordinator.until(
      () => site.telemetry.lines.some(({ message }) => message === 'the update is in'),
      'the receipt',
    );
    await first.stop();
    const store = await openDiskStore(site.stateDirectory);
    for (const name of await store.blobs.list('variate')) await store.blobs.delete(name);
    await store.close();
    await begin();
    await training(2);
    await update(2);
    expect(correctionOf(1)).toEqual(controlOf(1));
    const said = site.telemetry.lines.filter(({ message }) => message.includes('starts from zero'));
    expect(said.map(({ fields }) => fields.round)).toEqual([1, 2]);
  });

  it('does not send plain averaging in its place: a trainer that does not count steps has failed', async () => {
    site.trainer.localSteps = undefined;
    await begin();
    await training(1);
    const { result } = await coordinator.heard('report');
    expect(result).toMatchObject({ kind: 'failure', problem: { code: 'TRAINER_FAILED' } });
    expect(coordinator.declarations).toEqual([]);
  });
});
