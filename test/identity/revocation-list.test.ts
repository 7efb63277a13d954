import fc from 'fast-check';
import { beforeAll, describe, expect, test } from 'vitest';
import { type Issuer, issueIdentity } from '../../src/identity/identity.ts';
import {
  authorityOf,
  checkRevocationList,
  issueRevocationList,
  type ListAuthority,
} from '../../src/identity/revocation-list.ts';
import { RevocationWatch } from '../../src/identity/revocation-watch.ts';
import { VERIFIERS } from '../../src/identity/verifiers.ts';
import type { Clock } from '../../src/ports/clock.ts';
import type { Signer } from '../../src/ports/signer.ts';
import type { RevocationListBytes } from '../../src/protocol/open-codec.ts';
import { edwardsSigner, memorySigner } from './memory-signer.ts';

const NOW = Date.UTC(2026, 10, 21, 12);
const HOUR_MS = 3_600_000;

interface Maker {
  readonly authority: ListAuthority;
  list(
    serials: readonly string[],
    change?: { issuedAt?: number; nextUpdate?: number },
  ): Promise<RevocationListBytes>;
}

async function makerOf(signer: Signer, federation = 'hearts'): Promise<Maker> {
  const { algorithm, publicKey } = signer;
  const own = { role: 'authority', subject: 'authority', algorithm, publicKey, serial: 1, now: NOW } as const;
  const identity = await issueIdentity({ signer }, { federation, ...own });
  const issuer: Issuer = { signer, identity };
  return {
    authority: authorityOf(identity),
    list: (serials, change = {}) =>
      issueRevocationList(issuer, {
        ...{ federation, issuedAt: NOW, nextUpdate: NOW + 24 * HOUR_MS, ...change },
        // As the register has them: with more than is said.
        revoked: serials.map((serial) => ({ serial, at: NOW - HOUR_MS, site: 'bern' })),
      }),
  };
}

const clockOf = (now: () => number): Clock => ({ now, after: () => () => {} });

const check = (bytes: RevocationListBytes, { authority }: Maker) =>
  checkRevocationList(bytes, authority, VERIFIERS);

describe.each([
  ['an SM2 authority', memorySigner],
  ['an Ed25519 authority', edwardsSigner],
])('a revocation list of %s', (_, signer) => {
  const key = signer();
  let maker: Maker;
  beforeAll(async () => {
    maker = await makerOf(key);
  });

  test('says what it was made to say, whatever the serials', async () => {
    const serial = fc.bigInt({ min: 1n, max: 2n ** 160n - 1n }).map((value) => value.toString(16));
    await fc.assert(
      fc.asyncProperty(fc.uniqueArray(serial, { maxLength: 12 }), async (serials) => {
        const checked = await check(await maker.list(serials), maker);
        expect(checked).toEqual({
          ok: true,
          value: {
            number: serials.length,
            issuedAt: NOW,
            nextUpdate: NOW + 24 * HOUR_MS,
            revoked: [...serials].sort().map((each) => ({ serial: each, at: NOW - HOUR_MS })),
          },
        });
      }),
      { numRuns: 20 },
    );
  });

  test('no byte of it can be changed, left out or added', async () => {
    const { document, signature } = await maker.list(['a1', 'ff00']);
    for (let place = 0; place < document.byteLength; place++) {
      const changed = document.slice();
      changed[place]! ^= 1 << (place % 8);
      expect((await check({ document: changed, signature }, maker)).ok, `byte ${place}`).toBe(false);
    }
    for (const cut of [
      document.slice(1),
      document.slice(0, -1),
      Buffer.concat([document, Uint8Array.of(0)]),
    ]) {
      expect((await check({ document: cut, signature }, maker)).ok).toBe(false);
    }
  });

  test('is not that of another authority, nor of another federation of the same key', async () => {
    const list = await maker.list(['a1']);
    for (const other of [await makerOf(signer()), await makerOf(key, 'lungs')]) {
      expect(await check(list, other)).toMatchObject({ ok: false });
    }
  });
});

test('any bytes are read as a list or refused', async () => {
  const makers = [await makerOf(memorySigner()), await makerOf(edwardsSigner())];
  const [{ document }] = [await makers[0]!.list(['a1', 'b2', 'c3'])];
  const harmed = fc
    .record({
      at: fc.nat({ max: document.byteLength - 1 }),
      byte: fc.nat({ max: 255 }),
      cut: fc.nat({ max: 40 }),
    })
    .map(({ at, byte, cut }) => {
      const bytes = document.slice(0, document.byteLength - cut);
      if (at < bytes.byteLength) bytes[at] = byte;
      return bytes;
    })
    .filter((bytes) => Buffer.compare(bytes, document) !== 0);
  await fc.assert(
    fc.asyncProperty(fc.oneof(fc.uint8Array({ maxLength: 300 }), harmed), async (bytes) => {
      for (const maker of makers) {
        expect((await check({ document: bytes, signature: new Uint8Array(64) }, maker)).ok).toBe(false);
      }
    }),
    { numRuns: 300 },
  );
});

describe('a watch over revoked certificates', () => {
  let maker: Maker;
  beforeAll(async () => {
    maker = await makerOf(memorySigner());
  });
  const watchAt = (now: () => number, kept: RevocationListBytes[] = []) =>
    new RevocationWatch({
      verifiers: VERIFIERS,
      clock: clockOf(now),
      keep: async (list) => void kept.push(list),
    });
  const refused = (text: string) => ({
    code: 'REVOCATION_LIST_REFUSED',
    details: { reason: expect.stringContaining(text) },
  });

  test('knows what the newest list says, and keeps each newer one', async () => {
    const kept: RevocationListBytes[] = [];
    const watch = watchAt(() => NOW, kept);
    const lists = [await maker.list([]), await maker.list(['a1']), await maker.list(['a1', 'b2'])];
    for (const list of lists) expect(await watch.heed(list, maker.authority)).toBeUndefined();
    expect(await watch.heed(lists[2]!, maker.authority)).toBeUndefined();
    expect(kept).toEqual(lists);
    expect(['a1', 'b2', 'c3'].map((serial) => watch.isRevoked(serial))).toEqual([true, true, false]);
  });

  test('takes no step back: an older list, or one that leaves a certificate out, is refused', async () => {
    const kept: RevocationListBytes[] = [];
    const watch = watchAt(() => NOW, kept);
    await watch.heed(await maker.list(['a1', 'b2']), maker.authority);
    const older = await watch.heed(await maker.list(['a1'], { issuedAt: NOW + 1000 }), maker.authority);
    expect(older).toMatchObject(refused('number 2 was shown before'));
    const other = await watch.heed(await maker.list(['a1', 'c3', 'd4']), maker.authority);
    expect(other).toMatchObject(refused('leaves out certificate b2'));
    expect([kept.length, watch.isRevoked('b2'), watch.isRevoked('c3')]).toEqual([1, true, false]);
  });

  test('takes the same certificates signed anew, and an older copy of them only while it is in force', async () => {
    let now = NOW;
    const kept: RevocationListBytes[] = [];
    const watch = watchAt(() => now, kept);
    const first = await maker.list(['a1']);
    const second = await maker.list(['a1'], { issuedAt: NOW + HOUR_MS, nextUpdate: NOW + 30 * HOUR_MS });
    now = NOW + HOUR_MS;
    expect(await watch.heed(second, maker.authority)).toBeUndefined();
    expect(await watch.heed(first, maker.authority)).toBeUndefined();
    expect(kept).toEqual([second]);
    now = NOW + 25 * HOUR_MS;
    expect(await watch.heed(first, maker.authority)).toMatchObject(
      refused('it ran out at 2026-11-22T12:00:00'),
    );
    expect(await watch.heed(second, maker.authority)).toBeUndefined();
  });

  test('ends with its time where the clock of the site is slow, and where it is set back', async () => {
    // Slow by 20 hours, and a list of 24.
    let own = NOW - 20 * HOUR_MS;
    let elapsedMs = 0;
    const watch = new RevocationWatch({
      verifiers: VERIFIERS,
      clock: clockOf(() => own),
      elapsedMs: () => elapsedMs,
    });
    const list = await maker.list([]);
    expect(await watch.heed(list, maker.authority)).toBeUndefined();
    const pass = (hours: number) => {
      own += hours * HOUR_MS;
      elapsedMs += hours * HOUR_MS;
    };
    pass(24);
    expect(await watch.heed(list, maker.authority)).toBeUndefined();
    pass(0.1);
    own -= 4 * HOUR_MS;
    expect(await watch.heed(list, maker.authority)).toMatchObject(refused('it ran out at'));
    const anew = await maker.list([], { issuedAt: NOW + 24 * HOUR_MS, nextUpdate: NOW + 48 * HOUR_MS });
    expect(await watch.heed(anew, maker.authority)).toBeUndefined();
  });

  test('goes by the newest list of before the start, too', async () => {
    const older = await maker.list([]);
    const newer = await maker.list([], { issuedAt: NOW + 25 * HOUR_MS, nextUpdate: NOW + 49 * HOUR_MS });
    const checked = await check(newer, maker);
    const held = checked.ok ? checked.value : undefined;
    const watch = new RevocationWatch({
      verifiers: VERIFIERS,
      clock: clockOf(() => NOW + 2 * HOUR_MS),
      held,
    });
    expect(await watch.heed(older, maker.authority)).toMatchObject(refused('it ran out at'));
    expect(await watch.heed(newer, maker.authority)).toBeUndefined();
  });

  test('takes no list from further ahead than it lasts', async () => {
    const list = await maker.list([]);
    const early = await watchAt(() => NOW - 25 * HOUR_MS).heed(list, maker.authority);
    expect(early).toMatchObject(refused('still to come'));
    // A clock that is behind by less is another's affair.
    expect(await watchAt(() => NOW - HOUR_MS).heed(list, maker.authority)).toBeUndefined();
  });

  test('holds on to what it has where a newer list cannot be kept', async () => {
    let full = false;
    const watch = new RevocationWatch({
      verifiers: VERIFIERS,
      clock: { now: () => NOW, after: () => () => {} },
      keep: async () => {
        if (full) throw new Error('no space');
      },
    });
    await watch.heed(await maker.list(['a1']), maker.authority);
    full = true;
    await expect(watch.heed(await maker.list(['a1', 'b2']), maker.authority)).rejects.toThrow('no space');
    expect([watch.isRevoked('a1'), watch.isRevoked('b2')]).toEqual([true, false]);
    // The same certificates signed anew are taken all the same.
    const anew = await maker.list(['a1'], { issuedAt: NOW + 1000 });
    expect(await watch.heed(anew, maker.authority)).toBeUndefined();
    full = false;
    expect(await watch.heed(await maker.list(['a1', 'b2']), maker.authority)).toBeUndefined();
    expect(watch.isRevoked('b2')).toBe(true);
  });
});
