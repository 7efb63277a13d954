import fc from 'fast-check';
import { expect, test } from 'vitest';
import {
  decodeOperateReply,
  decodeOperatorMessage,
  encodeOperateReply,
  encodeOperatorMessage,
} from '../../src/transport/operate-codec.ts';

const decoders = [decodeOperatorMessage, decodeOperateReply];
const honest = fc.oneof(
  fc
    .constantFrom('get-job' as const, 'watch-job' as const, 'stop-job' as const)
    .chain((kind) =>
      fc
        .string()
        .map((job) => encodeOperatorMessage({ kind: 'command', command: { kind, job }, goodUntil: 1 })),
    ),
  fc.jsonValue().map((spec) =>
    encodeOperatorMessage({
      kind: 'command',
      goodUntil: 2 ** 53 - 1,
      command: { kind: 'submit-job', spec, dryRun: true, initialWeights: undefined },
    }),
  ),
  fc.jsonValue().map((view) => encodeOperateReply({ kind: 'view', view })),
);

test('a weights manifest goes beside its job, up to a limit', () => {
  const told = (weightsManifest: unknown) =>
    decodeOperatorMessage(
      encodeOperatorMessage({
        kind: 'command',
        command: { kind: 'submit-job', spec: {}, dryRun: true, initialWeights: undefined, weightsManifest },
        goodUntil: 1,
      }),
    );
  expect(told({ schema: 'x' })).toMatchObject({
    ok: true,
    value: { command: { weightsManifest: { schema: 'x' } } },
  });
  expect(told(undefined)).toMatchObject({ ok: true, value: { command: { kind: 'submit-job' } } });
  expect(told('x'.repeat(768 * 2 ** 10 - 2)).ok).toBe(true);
  expect(told('x'.repeat(768 * 2 ** 10 - 1))).toMatchObject({
    ok: false,
    refusal: { details: { reason: expect.stringContaining('786433 bytes; at most 786432') } },
  });
});

test('any bytes decode to a command, an answer or a refusal', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
      for (const decode of decoders) {
        const read = decode(bytes);
        expect(read.ok || read.refusal.code).toSatisfy((is) => is === true || is === 'MESSAGE_MALFORMED');
      }
    }),
    { numRuns: 1000 },
  );
});

test('an honest message with a byte changed or an end cut off decodes or is refused', () => {
  fc.assert(
    fc.property(honest, fc.nat(), fc.nat(255), fc.nat(), (message, place, value, cut) => {
      const bytes = new Uint8Array(message);
      if (bytes.length > 0) bytes[place % bytes.length] = value;
      for (const decode of decoders) {
        const read = decode(bytes.subarray(0, cut % (bytes.length + 1)));
        expect(read.ok || read.refusal.code).toSatisfy((is) => is === true || is === 'MESSAGE_MALFORMED');
      }
    }),
  );
});

test('a view arrives as the JSON that it is', () => {
  fc.assert(
    fc.property(fc.jsonValue(), (view) => {
      const read = decodeOperateReply(encodeOperateReply({ kind: 'view', view }));
      expect(read.ok && read.value.kind === 'view' && read.value.view).toEqual(
        JSON.parse(JSON.stringify(view)),
      );
    }),
  );
});
