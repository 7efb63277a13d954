import { type OpenWeights, openWeightsFile } from '../engines/open-weights-file.ts';
import { fail } from '../errors/problem.ts';
import { closest } from '../vocabulary/closest.ts';
import { prefixesIn, underPrefix } from '../weights/layouts/name-prefix.ts';

/**
 * Opens a weights file, or the part of it whose names begin with `prefix`, without that beginning: a checkpoint holds a
 * model, its optimiser and perhaps its average over time. Throws USAGE where nothing begins so, and what opening throws.
 */
export async function openPart(path: string, prefix: string | undefined): Promise<OpenWeights> {
  const opened = await openWeightsFile(path);
  if (prefix === undefined) return opened;
  const part = underPrefix(opened, prefix);
  if (part.tensors.length > 0) return part;
  opened.close();
  const prefixes = new Set(opened.tensors.flatMap(({ name }) => prefixesIn(name)));
  const near = closest(prefix, [...prefixes]);
  return fail('USAGE', {
    reason: `no tensor of ${path} begins with ${prefix}; ${near === undefined ? 'weights inspect lists them' : `did you mean ${near}?`}`,
  });
}
