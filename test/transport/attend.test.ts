import { afterEach, beforeEach, expect, test } from 'vitest';
import { problem } from '../../src/errors/problem.ts';
import { assignmentId, type HeardMessage, type SiteMessage } from '../../src/rounds/assignment.ts';
import { until } from '../until.ts';
import { DiskDesk } from './disk-desk.ts';
import { dialTo, Ending, Federation, JOB, SITE, serve } from './parties.ts';
import { slowSm } from './sm.ts';

let ending: Ending;
let federation: Federation;
let desk: DiskDesk;

beforeEach(async () => {
  ending = new Ending();
  federation = new Federation();
  desk = await DiskDesk.open();
  ending.add(desk, () => desk.close());
});
afterEach(() => ending.close());

const presence: SiteMessage = {
  kind: 'presence',
  presence: { datasets: ['heart'], trainers: [], updateBytesMax: 1000, software: 'test', views: [] },
};
const beat = (sentAt: number): SiteMessage => ({ kind: 'heartbeat', sentAt, progress: [] });

async function attend(heard: HeardMessage[] = [], options: Parameters<typeof serve>[3] = {}) {
  const server = await serve(ending, federation, desk, options);
  const client = dialTo(ending, server.address, options.sm && { sm: slowSm() });
  const session = await client.open(await federation.credentials());
  const attending = await session.attend((message) => void heard.push(message));
  await attending.say(presence);
  await until(() => desk.heard.length === 1);
  return { server, client, attending };
}

test('what both sides say on the long-lived stream arrives in order, through a channel that takes its time', async () => {
  const heard: HeardMessage[] = [];
  const { attending } = await attend(heard, { sm: slowSm() });
  for (let sentAt = 1; sentAt <= 30; sentAt++) {
    attending.say(beat(sentAt)).catch(() => {});
    desk.say({ kind: 'report-taken', assignment: assignmentId(JOB, sentAt, 1, 'train') });
  }
  await until(() => heard.length === 60 && desk.heard.length === 31);
  expect(desk.heard).toEqual([presence, ...Array.from({ length: 30 }, (_, place) => beat(place + 1))]);
  const taken = heard.flatMap((message) => (message.kind === 'report-taken' ? [message.assignment] : []));
  expect(taken).toEqual(Array.from({ length: 30 }, (_, place) => assignmentId(JOB, place + 1, 1, 'train')));
  const seen = heard.flatMap((message) =>
    message.kind === 'heartbeat-seen' ? [message.coordinatorTime] : [],
  );
  expect(seen).toEqual(Array.from({ length: 30 }, (_, place) => place + 1));
});

test('when the site goes, its desk is told', async () => {
  const { attending } = await attend();
  attending.close();
  await until(() => desk.left === 1);
  expect((await attending.ended)?.code).toMatch(/COORDINATOR_UNREACHABLE/);
  await expect(attending.say(beat(1))).rejects.toThrow();
});

test('when the process of the site dies, its desk is told', async () => {
  const { client } = await attend();
  client.close();
  await until(() => desk.left === 1);
});

test('a site that is revoked hears so at its next message, and the stream ends', async () => {
  const { attending } = await attend();
  desk.barred.set(SITE, problem('SITE_REVOKED', { site: SITE }));
  await attending.say(beat(1));
  expect(await attending.ended).toEqual(problem('SITE_REVOKED', { site: SITE }));
  expect(desk.left).toBe(1);
  expect(desk.heard).toEqual([presence]);
});

test('a problem that the desk says ends the stream at the site', async () => {
  const { attending } = await attend();
  desk.say({ kind: 'problem', problem: problem('SITE_REVOKED', { site: SITE }) });
  expect((await attending.ended)?.code).toBe('SITE_REVOKED');
  await until(() => desk.left === 1);
});

test('what is said to a site after its stream has ended is harmless', async () => {
  const { attending } = await attend();
  attending.close();
  await until(() => desk.left === 1);
  for (let count = 0; count < 3000; count++) desk.say({ kind: 'heartbeat-seen', coordinatorTime: count });
});

test('a coordinator that shuts down says so', async () => {
  const { server, attending } = await attend();
  const drained = server.drain(10_000);
  expect(await attending.ended).toEqual(problem('SHUTTING_DOWN'));
  await drained;
  expect(desk.left).toBe(1);
});
