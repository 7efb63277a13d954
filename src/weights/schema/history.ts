import { z } from 'zod';
import {
  compareVersions,
  covers,
  parseVersion,
  type SchemaVersion,
  stepBetween,
  VERSION_PATTERN,
} from './version.ts';

const version = z.string().regex(VERSION_PATTERN);

/** How a weight schema came to its version, step by step, the oldest first. */
export const historySchema = z
  .array(
    z.strictObject({
      from: version,
      to: version,
      changes: z
        .array(
          z.strictObject({
            needs: z.enum(['patch', 'minor', 'major']),
            about: z
              .string()
              .min(1)
              .max(1000)
              .optional()
              .describe('a tensor or a layer; the whole unless said'),
            message: z.string().min(1).max(1000).describe('a clause'),
          }),
        )
        .max(20_000),
    }),
  )
  .min(1)
  .max(1000)
  .describe('what changed from version to version, as `weights breaking` tells it, the oldest step first');

/** The steps that a manifest knows of. */
export type SchemaHistory = z.infer<typeof historySchema>;

/** Changes that are named; how many more there are is said. */
const NAMED_MAX = 3;
/** Characters of one change. */
const CHANGE_LENGTH_MAX = 120;

/** What a history says that cannot be, of a schema at `current`: sentences without their full stop. */
export function historyFaults(history: SchemaHistory, current: string): readonly string[] {
  const faults: string[] = [];
  for (const [nth, { from, to }] of history.entries()) {
    const due = history[nth + 1]?.from ?? current;
    const [before, after] = [parseVersion(from)!, parseVersion(to)!];
    const step = stepBetween(before, after);
    if (step === undefined || step === 'none')
      faults.push(`its history goes from ${from} to ${to}, which is no step up`);
    if (to !== due) faults.push(`its history comes to ${to}, and goes on from ${due}`);
  }
  return faults;
}

/**
 * What became another after a version, as far as it needs at least that step: the first few changes, and how many more
 * there are. Undefined where the history does not go back as far, or says nothing of it.
 */
export function changesSince(
  history: SchemaHistory,
  past: SchemaVersion,
  needs: 'minor' | 'major',
): string | undefined {
  const [oldest] = history;
  if (!oldest || compareVersions(parseVersion(oldest.from)!, past) > 0) return undefined;
  const changes = history
    .filter(({ to }) => compareVersions(parseVersion(to)!, past) > 0)
    .flatMap((step) => step.changes)
    .filter((change) => covers(change.needs, needs));
  if (changes.length === 0) return undefined;
  const named = changes.slice(0, NAMED_MAX).map(({ about, message }) => {
    const text = about === undefined ? message : `${about} (${message})`;
    return text.length > CHANGE_LENGTH_MAX ? `${text.slice(0, CHANGE_LENGTH_MAX - 1)}…` : text;
  });
  const more = changes.length - named.length;
  return `${named.join(', ')}${more > 0 ? ` and ${more} more` : ''}`;
}
