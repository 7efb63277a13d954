import { describe, expect, it } from 'vitest';
import {
  checkReceipt,
  checkUpdateSignature,
  receiptFor,
  receiptUnder,
  signReceipt,
  signUpdate,
} from '../../src/identity/receipts.ts';
import { VERIFIERS } from '../../src/identity/verifiers.ts';
import type { UpdateDeclaration } from '../../src/rounds/update.ts';
import { digestOf } from '../../src/sm/sm3.ts';
import type { FederationId, JobId, SiteId } from '../../src/vocabulary/ids.ts';
import { memorySigner } from './memory-signer.ts';

const federation = 'hearts' as FederationId;
const coordinator = memorySigner();
const site = memorySigner();
const declaration: UpdateDeclaration = {
  key: { job: 'heart' as JobId, round: 3, attempt: 1, site: 'cleveland' as SiteId },
  baseVersion: 2,
  baseDigest: digestOf(Buffer.from('base')),
  sampleCount: 200,
  manifest: { schemaVersion: '1', tensors: [{ name: 'w', dtype: 'float32', shape: [2, 3] }] },
  payloadBytes: 24,
  chunkBytes: 4096,
  digest: digestOf(Buffer.from('delta')),
  metrics: { loss: 0.25 },
  backend: 'tfjs-cpu 4.22.0',
};
const digest = digestOf(Buffer.from('other'));
const changes: readonly Partial<UpdateDeclaration>[] = [
  { key: { ...declaration.key, job: 'lung' as JobId } },
  { key: { ...declaration.key, round: 4 } },
  { key: { ...declaration.key, attempt: 2 } },
  { key: { ...declaration.key, site: 'hungary' as SiteId } },
  { baseVersion: 1 },
  { sampleCount: 201 },
  { digest },
  { encoding: { name: 'int8' } },
  { schemaVersion: '1.0.0' },
];
const expected = { federation, declaration, coordinator, verifiers: VERIFIERS };
const invalid = (reason: RegExp) => ({
  ok: false,
  refusal: { code: 'RECEIPT_INVALID', details: { reason: expect.stringMatching(reason) } },
});

describe("an update's signature", () => {
  it('covers everything that the declaration says, and the federation', async () => {
    const signature = await signUpdate(site, federation, declaration);
    const check = (said: UpdateDeclaration, to = federation) =>
      checkUpdateSignature(signature, to, said, site, VERIFIERS);
    expect(await check(declaration)).toBeUndefined();
    for (const change of [
      ...changes,
      { baseDigest: digest },
      { payloadBytes: 28 },
      { chunkBytes: 8192 },
      { backend: 'other' },
      { metrics: {} },
      { metrics: { loss: 0.26 } },
      { manifest: { ...declaration.manifest, schemaVersion: '2' } },
    ]) {
      expect(await check({ ...declaration, ...change })).toMatchObject({ code: 'UPDATE_UNSIGNED' });
    }
    expect(await check(declaration, 'lungs' as FederationId)).toMatchObject({ code: 'UPDATE_UNSIGNED' });
  });

  it('by another key or algorithm is UPDATE_UNSIGNED', async () => {
    const signature = await signUpdate(site, federation, declaration);
    for (const key of [coordinator, { ...site, algorithm: 'sm2' }]) {
      expect(await checkUpdateSignature(signature, federation, declaration, key, VERIFIERS)).toMatchObject({
        code: 'UPDATE_UNSIGNED',
      });
    }
  });
});

describe('a receipt', () => {
  it('is the coordinator’s signed word for this very update', async () => {
    const said = receiptFor(federation, declaration, 1000);
    const receipt = await signReceipt(coordinator, said);
    expect(receipt).toMatchObject({ algorithm: 'sm2sig_sm3', keyId: coordinator.keyId });
    expect(await checkReceipt(receipt, expected)).toEqual({ ok: true, value: said });
  });

  it('for another update or federation is RECEIPT_INVALID, and says what differs', async () => {
    for (const change of changes) {
      const other = receiptFor(federation, { ...declaration, ...change }, 1000);
      expect(await checkReceipt(await signReceipt(coordinator, other), expected)).toMatchObject(
        invalid(/another update/),
      );
    }
    const elsewhere = receiptFor('lungs' as FederationId, declaration, 1000);
    expect(await checkReceipt(await signReceipt(coordinator, elsewhere), expected)).toMatchObject(
      invalid(/federation differs/),
    );
  });

  it('by another key or algorithm, or changed in any byte, is RECEIPT_INVALID', async () => {
    const receipt = await signReceipt(coordinator, receiptFor(federation, declaration, 1000));
    const forged = await signReceipt(site, receiptFor(federation, declaration, 1000));
    expect(await checkReceipt(forged, expected)).toMatchObject(invalid(/coordinator's key/));
    expect(await checkReceipt({ ...receipt, algorithm: 'sm2' }, expected)).toMatchObject(
      invalid(/coordinator's key/),
    );
    for (let at = 0; at < receipt.statement.byteLength; at++) {
      const statement = receipt.statement.slice();
      statement[at]! ^= 1;
      expect(await checkReceipt({ ...receipt, statement }, expected)).toMatchObject(
        invalid(/coordinator's key/),
      );
    }
  });

  it('that is signed but cannot be read is MESSAGE_MALFORMED', async () => {
    const statement = Buffer.from('{}');
    const { algorithm, keyId } = coordinator;
    const receipt = { statement, algorithm, keyId, signature: await coordinator.sign(statement) };
    expect(await checkReceipt(receipt, expected)).toMatchObject({ refusal: { code: 'MESSAGE_MALFORMED' } });
  });
});

it('holds under the key that the coordinator has now, and says what it said', async () => {
  const given = await signReceipt(coordinator, receiptFor(federation, declaration, 1));
  const renewed = memorySigner();
  expect(await checkReceipt(given, { ...expected, coordinator: renewed })).toEqual(invalid(/not signed/));
  const again = await receiptUnder(renewed, given);
  expect(again.statement).toEqual(given.statement);
  expect(await checkReceipt(again, { ...expected, coordinator: renewed })).toMatchObject({ ok: true });
  expect(await receiptUnder(renewed, again)).toBe(again);
});
