import { z } from 'zod';
import { parseVersion, stepBetween, VERSION_PATTERN } from './version.ts';

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
