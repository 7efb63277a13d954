import { ConsiliumError } from '../errors/problem.ts';
import { InvariantViolation } from '../vocabulary/invariant.ts';

/**
 * The only fields that a log line may hold. Each names something of the federation or of the process; none can hold
 * a value of a patient. Whoever needs another field adds it here and says why it is safe.
 */
export const LOGGABLE_FIELDS: ReadonlySet<string> = new Set([
  // What the work is
  'federation',
  'site',
  'sites',
  'job',
  'round',
  'rounds',
  'attempt',
  'attempts',
  'assignment',
  'task',
  'phase',
  'state',
  'from',
  'to',
  'event',
  'effect',
  'version',
  'baseVersion',
  'digest',
  'baseDigest',
  'cohort',
  'contributors',
  'quorum',
  // Names from the site's own configuration, never what stands behind them
  'dataset',
  'datasets',
  'trainer',
  'trainers',
  'backend',
  // The path at the site of what its trainer's program said, never what it said
  'output',
  // A feature view's name and the hash of its schema, which the coordinator is told as well; of what it holds, the names
  'view',
  'hash',
  'about',
  // Transfers and connections
  'bytes',
  'payloadBytes',
  'chunk',
  'chunks',
  'chunkBytes',
  'fromChunk',
  'offset',
  'windowBytes',
  'connections',
  'address',
  'healthAddress',
  'tls',
  'outerTls',
  'peer',
  'method',
  'proxy',
  'keyId',
  'serial',
  'coordinatorKeyId',
  'channel',
  'role',
  'protocolVersion',
  'software',
  'status',
  // The process and its store
  'store',
  'stateDirectory',
  'journal',
  'records',
  'pid',
  'port',
  'signal',
  'exitCode',
  'outcome',
  // What became of an update that was asked after, and the number of a kind of message that is not known
  'fate',
  'field',
  'node',
  'freeBytes',
  'what',
  'owner',
  // Figures of time and number
  'ms',
  'delayMs',
  'waitMs',
  'durationMs',
  'deadlineMs',
  'deadlineAt',
  'remainingMs',
  'heartbeatMs',
  'skewMs',
  'limitMs',
  'at',
  'count',
  'limit',
  'updates',
  'receipts',
  'tries',
  'retry',
  // Errors: a code of the catalogue, its public details, and where it happened
  'code',
  'problem',
  'reason',
  'reference',
  'error',
  'cause',
  'operator',
  'command',
]); // prettier-ignore

/** The longest text that one field may hold. */
const TEXT_MAX = 400;

/** What stands in a log line for something that may not be there. */
export const WITHHELD = '[withheld]';

/**
 * The fields of a log line with everything removed that is not on the list: unknown names, nested structures, long
 * texts, and the message of any exception that is not from the catalogue, since a parser may quote what it read.
 */
export function loggable(fields: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(fields)
      .filter(([, value]) => value !== undefined)
      .map(([name, value]) => [name, LOGGABLE_FIELDS.has(name) ? safeValue(value) : WITHHELD]),
  );
}

function safeValue(value: unknown): unknown {
  if (value === null || typeof value === 'number' || typeof value === 'boolean') return value;
  if (typeof value === 'bigint') return value.toString();
  if (typeof value === 'string') return value.length > TEXT_MAX ? `${value.slice(0, TEXT_MAX)}…` : value;
  if (value instanceof Error) return describeError(value);
  if (Array.isArray(value)) {
    return value.every((item) => typeof item === 'string') ? value.map(safeValue) : WITHHELD;
  }
  return isProblem(value) ? { code: value.code, details: { ...value.details } } : WITHHELD;
}

function isProblem(
  value: unknown,
): value is { readonly code: string; readonly details: Readonly<Record<string, string>> } {
  if (typeof value !== 'object' || value === null) return false;
  const { code, details } = value as { readonly code?: unknown; readonly details?: unknown };
  return typeof code === 'string' && typeof details === 'object' && details !== null;
}

/** An exception without its message, unless the catalogue or our own invariant wrote it; frames stay, they are code. */
export function describeError(error: Error, depth = 0): Record<string, unknown> {
  const ours = error instanceof ConsiliumError || error instanceof InvariantViolation;
  const code = error instanceof ConsiliumError ? error.problem.code : (error as NodeJS.ErrnoException).code;
  const frames = (error.stack ?? '').split('\n').filter((line) => /^\s+at /.test(line));
  return {
    name: error.name,
    ...(typeof code === 'string' || typeof code === 'number' ? { code } : {}),
    ...(ours ? { message: error.message } : {}),
    frames: frames.slice(0, 8).map((line) => line.trim()),
    ...(error.cause instanceof Error && depth < 4 ? { cause: describeError(error.cause, depth + 1) } : {}),
  };
}
