import path from 'node:path';
import { ConsiliumError } from '../errors/problem.ts';
import { checkReceipt } from '../identity/receipts.ts';
import { VERIFIERS } from '../identity/verifiers.ts';
import type { Clock } from '../ports/clock.ts';
import { parseReceiptStatement } from '../protocol/statements.ts';
import type { HeldUpdate } from '../rounds/site.ts';
import type { Receipt, ReceiptStatement, UpdateDeclaration } from '../rounds/update.ts';
import type { FederationId } from '../vocabulary/ids.ts';
import { LineFile, readLines } from './line-file.ts';
import type { CoordinatorIdentity } from './link.ts';

/** The file in which a site keeps the receipts of its updates. */
export function receiptsFile(stateDirectory: string): string {
  return path.join(stateDirectory, 'receipts.jsonl');
}

/**
 * The coordinator's signed word for each update of the site, one JSON line each in `receipts.jsonl`: with it the site
 * can show later that its update was in, and what exactly it had sent.
 */
export class Receipts {
  readonly #file: LineFile;
  readonly #federation: FederationId;
  readonly #clock: Clock;

  private constructor(file: LineFile, federation: FederationId, clock: Clock) {
    this.#file = file;
    this.#federation = federation;
    this.#clock = clock;
  }

  /** Opens the receipts of a state directory. Throws STORE_UNAVAILABLE. */
  static async open(stateDirectory: string, federation: FederationId, clock: Clock): Promise<Receipts> {
    return new Receipts(await LineFile.open(receiptsFile(stateDirectory)), federation, clock);
  }

  /**
   * Checks a receipt and keeps it. One of an earlier attempt will do: the coordinator took the same update then.
   * Throws RECEIPT_INVALID or MESSAGE_MALFORMED where it does not hold, STORE_FULL where it cannot be kept.
   */
  async keep(
    receipt: Receipt,
    declaration: UpdateDeclaration,
    coordinator: CoordinatorIdentity,
  ): Promise<void> {
    const parsed = parseReceiptStatement(receipt.statement);
    const attempt = parsed.ok ? Math.min(parsed.value.attempt, declaration.key.attempt) : 0;
    const checked = await checkReceipt(receipt, {
      federation: this.#federation,
      declaration: { ...declaration, key: { ...declaration.key, attempt } },
      coordinator,
      verifiers: VERIFIERS,
    });
    if (!checked.ok) throw new ConsiliumError(checked.refusal);
    const line = {
      at: this.#clock.now(),
      statement: Buffer.from(receipt.statement).toString(),
      algorithm: receipt.algorithm,
      keyId: receipt.keyId,
      publicKey: Buffer.from(coordinator.publicKey).toString('base64'),
      signature: Buffer.from(receipt.signature).toString('base64'),
    };
    await this.#file.append(JSON.stringify(line));
  }

  close(): Promise<void> {
    return this.#file.close();
  }
}

/** Those of the updates that a receipt of the state directory is for. */
export async function receiptedAmong(
  stateDirectory: string,
  updates: readonly HeldUpdate[],
): Promise<ReadonlySet<HeldUpdate>> {
  const found = new Set<HeldUpdate>();
  if (updates.length === 0) return found;
  for await (const line of readLines(receiptsFile(stateDirectory))) {
    const own = updates.filter(({ digest }) => line.includes(digest));
    if (own.length === 0) continue;
    const receipt = statementIn(line);
    for (const update of own) {
      if (receipt?.job !== update.job || receipt.round !== update.round) continue;
      if (receipt.digest === update.digest) found.add(update);
    }
  }
  return found;
}

/** What a line of the file states; undefined where it is none of this site's making. */
function statementIn(line: string): ReceiptStatement | undefined {
  try {
    const { statement } = JSON.parse(line) as { statement: string };
    const parsed = parseReceiptStatement(Buffer.from(statement));
    return parsed.ok ? parsed.value : undefined;
  } catch {
    return undefined;
  }
}
