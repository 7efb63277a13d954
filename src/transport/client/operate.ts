import { ConsiliumError, fail } from '../../errors/problem.ts';
import type { PayloadDescription } from '../../protocol/payload-codec.ts';
import { payloadDigestOf } from '../../sm/payload-digest.ts';
import { sm3 } from '../../sm/sm3.ts';
import type { EpochMs } from '../../vocabulary/ids.ts';
import { chunkCount, chunkFault, makeChunk } from '../chunk-order.ts';
import type { OperateRequest, OperateResponse, PayloadSource } from '../desk.ts';
import { decodeOperateReply, encodeOperatorMessage, type OperateReply } from '../operate-codec.ts';
import type { ClientCall } from './client-call.ts';

/** A command, with the initial weights still to be sent. */
export type OperatorRequest =
  | Exclude<OperateRequest, { kind: 'submit-job' }>
  | {
      readonly kind: 'submit-job';
      readonly spec: unknown;
      readonly dryRun: boolean;
      readonly initialWeights: PayloadSource | undefined;
      readonly weightsManifest?: unknown;
    };

/**
 * Says one command on a fresh stream and gives its answers. The chunks of a payload come on the same stream: they are
 * to be iterated to their end, once, before the next answer is asked for, and fail with PAYLOAD_DIGEST_MISMATCH at
 * their end where the bytes are not those described. Rejects with the coordinator's problem; COMMAND_LATE where the
 * command came to it behind `goodUntil`, by its own clock.
 */
export async function* operate(
  open: () => ClientCall,
  request: OperatorRequest,
  goodUntil: EpochMs,
): AsyncGenerator<OperateResponse> {
  const call = open();
  let heardAll = false;
  try {
    const sending = say(call, request, goodUntil);
    sending.catch((cause: unknown) => {
      // Weights that cannot be read end the command; a stream that has ended says why itself.
      if (cause instanceof ConsiliumError) call.cancel();
    });
    for (;;) {
      const reply = await next(call).catch(async (cause: unknown) => {
        await sending.catch((unsent: unknown) => {
          if (unsent instanceof ConsiliumError) throw unsent;
        });
        throw cause;
      });
      if (!reply) break;
      if (reply.kind === 'view') yield reply;
      else if (reply.kind === 'payload') {
        yield { kind: 'payload', source: incoming(call, reply.payload) };
      } else fail('MESSAGE_MALFORMED', { reason: 'a chunk came that no payload announced' });
    }
    heardAll = true;
  } finally {
    if (heardAll) call.dismiss();
    else call.leave();
  }
}

async function say(call: ClientCall, request: OperatorRequest, goodUntil: EpochMs): Promise<void> {
  if (request.kind !== 'submit-job') {
    return call.send(encodeOperatorMessage({ kind: 'command', command: request, goodUntil }), true);
  }
  const { initialWeights: source } = request;
  const payload = source && describe(source);
  await call.send(
    encodeOperatorMessage({ kind: 'command', command: { ...request, initialWeights: payload }, goodUntil }),
    source === undefined,
  );
  if (!source) return;
  let index = 0;
  for await (const data of source.chunks(0)) {
    await call.send(encodeOperatorMessage({ kind: 'chunk', chunk: makeChunk(source, index++, data) }));
  }
  await call.send(encodeOperatorMessage({ kind: 'finish' }), true);
}

function describe({ manifest, payloadBytes, chunkBytes, digest }: PayloadSource): PayloadDescription {
  return { manifest, payloadBytes, chunkBytes, digest };
}

function incoming(call: ClientCall, payload: PayloadDescription): PayloadSource {
  return {
    ...payload,
    async *chunks(from) {
      const digests: Uint8Array[] = [];
      const want = chunkCount(payload);
      while (digests.length < want) {
        const reply = await next(call);
        if (reply?.kind !== 'chunk') return fail('PAYLOAD_INCOMPLETE', { have: digests.length, want });
        const fault = chunkFault(payload, digests.length, reply.chunk);
        if (fault) throw new ConsiliumError(fault);
        if (digests.push(sm3(reply.chunk.data)) > from) yield reply.chunk.data;
      }
      const actual = payloadDigestOf(digests);
      if (actual !== payload.digest) fail('PAYLOAD_DIGEST_MISMATCH', { actual, declared: payload.digest });
    },
  };
}

async function next(call: ClientCall): Promise<Exclude<OperateReply, { kind: 'problem' }> | undefined> {
  const body = await call.receive();
  if (!body) return undefined;
  const reply = decodeOperateReply(body);
  if (!reply.ok) throw new ConsiliumError(reply.refusal);
  if (reply.value.kind === 'problem') throw new ConsiliumError(reply.value.problem);
  return reply.value;
}
