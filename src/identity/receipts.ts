import { encodingLabel } from '../aggregation/encodings/payload-encoding.ts';
import { type Problem, problem } from '../errors/problem.ts';
import type { SignatureVerifier, Signer } from '../ports/signer.ts';
import { parseReceiptStatement, receiptStatement, updateStatement } from '../protocol/statements.ts';
import type { Receipt, ReceiptStatement, UpdateDeclaration } from '../rounds/update.ts';
import type { EpochMs, FederationId } from '../vocabulary/ids.ts';
import { ok, type Result, refused } from '../vocabulary/result.ts';
import { verifySignature } from './verifiers.ts';

/** The public key of a peer and its algorithm, as its identity says. */
export interface PeerKey {
  readonly algorithm: string;
  /** SPKI DER. */
  readonly publicKey: Uint8Array;
}

/** Signs an update's statement with the site's key. */
export function signUpdate(
  signer: Signer,
  federation: FederationId,
  declaration: UpdateDeclaration,
): Promise<Uint8Array> {
  return signer.sign(updateStatement(federation, declaration));
}

/** Checks a site's signature over its update; UPDATE_UNSIGNED where it is wrong. */
export async function checkUpdateSignature(
  signature: Uint8Array,
  federation: FederationId,
  declaration: UpdateDeclaration,
  { algorithm, publicKey }: PeerKey,
  verifiers: readonly SignatureVerifier[],
): Promise<Problem | undefined> {
  const message = updateStatement(federation, declaration);
  const sound = await verifySignature(verifiers, algorithm, publicKey, message, signature);
  return sound ? undefined : problem('UPDATE_UNSIGNED');
}

/** What a receipt says for an update that was accepted at `acceptedAt`. */
export function receiptFor(
  federation: FederationId,
  { key, baseVersion, sampleCount, digest, encoding, schemaVersion }: UpdateDeclaration,
  acceptedAt: EpochMs,
): ReceiptStatement {
  const { job, round, attempt, site } = key;
  return {
    kind: 'consilium/receipt/v1',
    federation,
    job,
    round,
    attempt,
    site,
    baseVersion,
    sampleCount,
    digest,
    ...(encoding && { encoding: encodingLabel(encoding) }),
    ...(schemaVersion !== undefined && { schemaVersion }),
    acceptedAt,
  };
}

/** Signs a receipt with the coordinator's key. */
export async function signReceipt(signer: Signer, said: ReceiptStatement): Promise<Receipt> {
  const statement = receiptStatement(said);
  const { algorithm, keyId } = signer;
  return { statement, algorithm, keyId, signature: await signer.sign(statement) };
}

/** A receipt as the coordinator's present key signs it: that of a former one is of no use to whoever knows the present one. */
export async function receiptUnder(signer: Signer, receipt: Receipt): Promise<Receipt> {
  const { algorithm, keyId } = signer;
  if (receipt.keyId === keyId) return receipt;
  return { ...receipt, algorithm, keyId, signature: await signer.sign(receipt.statement) };
}

/**
 * Checks that the coordinator signed the receipt and that it is for this very update. Refuses with RECEIPT_INVALID,
 * or MESSAGE_MALFORMED where the statement cannot be read.
 */
export async function checkReceipt(
  receipt: Receipt,
  expected: {
    readonly federation: FederationId;
    readonly declaration: UpdateDeclaration;
    readonly coordinator: PeerKey;
    readonly verifiers: readonly SignatureVerifier[];
  },
): Promise<Result<ReceiptStatement, Problem>> {
  const { algorithm, publicKey } = expected.coordinator;
  const invalid = (reason: string) => refused(problem('RECEIPT_INVALID', { reason }));
  const sound =
    receipt.algorithm === algorithm &&
    (await verifySignature(expected.verifiers, algorithm, publicKey, receipt.statement, receipt.signature));
  if (!sound) return invalid("it is not signed with the coordinator's key");
  const parsed = parseReceiptStatement(receipt.statement);
  if (!parsed.ok) return parsed;
  const said = parsed.value;
  const due = receiptFor(expected.federation, expected.declaration, said.acceptedAt);
  const other = (Object.keys({ ...due, ...said }) as (keyof ReceiptStatement)[]).find(
    (name) => due[name] !== said[name],
  );
  return other === undefined ? ok(said) : invalid(`it is for another update (${other} differs)`);
}
