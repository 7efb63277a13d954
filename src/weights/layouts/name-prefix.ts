import type { StoredTensors } from '../stored-tensors.ts';
import { alike } from './layer.ts';
import type { Mapping } from './mapping.ts';

/** Names of one side that are those of the other behind a prefix, such as `module.` of DataParallel. */
export interface NamePrefix {
  /** The side whose names are the longer ones. */
  readonly side: 'reference' | 'candidate';
  readonly prefix: string;
}

/**
 * The prefixes under which most of one side's names are those of the other side, which has none of them as they are.
 * Several are copies of one model in one file: weights and their average over time, say.
 */
export function namePrefixes(reference: StoredTensors, candidate: StoredTensors): readonly NamePrefix[] {
  const names = ({ tensors }: StoredTensors) => new Set(tensors.map(({ name }) => name));
  const [before, after] = [names(reference), names(candidate)];
  if ([...after].some((name) => before.has(name))) return [];
  const found = [
    ...prefixesOf(after, before).map(([prefix, count]) => ({ side: 'candidate' as const, prefix, count })),
    ...prefixesOf(before, after).map(([prefix, count]) => ({ side: 'reference' as const, prefix, count })),
  ];
  const most = Math.max(...found.map(({ count }) => count));
  return found.filter(({ count }) => count === most).map(({ side, prefix }) => ({ side, prefix }));
}

/** Prefixes of `long` names, and how many of the `short` ones stand behind each: more than half of them. */
function prefixesOf(
  long: ReadonlySet<string>,
  short: ReadonlySet<string>,
): readonly (readonly [string, number])[] {
  const counts = new Map<string, number>();
  for (const name of long) {
    for (const prefix of prefixesIn(name)) {
      if (short.has(name.slice(prefix.length))) counts.set(prefix, (counts.get(prefix) ?? 0) + 1);
    }
  }
  return [...counts].filter(([, count]) => 2 * count > short.size);
}

/** Every beginning of a name that ends with a separator: `a.` and `a.b.` of `a.b.weight`. */
export function prefixesIn(name: string): readonly string[] {
  return [...name.matchAll(/[./]/g)].map(({ index }) => name.slice(0, index + 1));
}

/** The mapping of two files by names, once a prefix is taken off; canonical names are the short ones. */
export function mappingBehindPrefix(
  reference: StoredTensors,
  candidate: StoredTensors,
  { side, prefix }: NamePrefix,
): Mapping {
  const [long, short] = side === 'reference' ? [reference, candidate] : [candidate, reference];
  const shapes = new Map(reference.tensors.map(({ name, shape }) => [name, shape]));
  const shortNames = new Set(short.tensors.map(({ name }) => name));
  const pairs = long.tensors.flatMap(({ name }) => {
    const rest = name.startsWith(prefix) ? name.slice(prefix.length) : undefined;
    return rest !== undefined && shortNames.has(rest) ? [{ long: name, short: rest }] : [];
  });
  const of = (one: { readonly long: string; readonly short: string }, which: 'reference' | 'candidate') =>
    which === side ? one.long : one.short;
  const canonical = new Map(pairs.map((one) => [one.short, shapes.get(of(one, 'reference'))!]));
  const recipes = (which: 'reference' | 'candidate') =>
    pairs.map((one) => alike(of(one, which), one.short, canonical.get(one.short)!));
  return {
    origin: 'names',
    layers: [],
    canonical,
    reference: recipes('reference'),
    candidate: recipes('candidate'),
    dropped: [],
  };
}

/** A part of a file as a file of its own: the tensors whose names begin so, without that beginning. */
export function underPrefix<Stored extends StoredTensors>(stored: Stored, prefix: string): Stored {
  const cut = (name: string | undefined) =>
    name?.startsWith(prefix) ? name.slice(prefix.length) : undefined;
  const tensors = stored.tensors.flatMap(({ tiedTo, label, ...tensor }) => {
    const name = cut(tensor.name);
    if (name === undefined || name === '') return [];
    const tied = cut(tiedTo);
    const called = cut(label) ?? label;
    return [
      {
        ...tensor,
        name,
        ...(tied === undefined ? {} : { tiedTo: tied }),
        ...(called === undefined ? {} : { label: called }),
      },
    ];
  });
  return { ...stored, tensors };
}
