import { zipSync } from 'fflate';
import { fail } from '../errors/problem.ts';
import { type ByteFolder, type ByteSource, takeBytes } from '../weights/byte-source.ts';
import type { Hdf5File, Hdf5Opener } from '../weights/formats/hdf5.ts';
import { isKerasArchive, KERAS_WEIGHTS } from '../weights/formats/open-keras.ts';
import { readZip } from '../weights/formats/zip-archive.ts';
import { checkLimit, type WeightsLimits } from '../weights/limits.ts';
import type { StoredTensor } from '../weights/stored-tensors.ts';

/** A Keras file whose weights are replaced: what is kept of it. */
export interface KerasTemplate {
  /** What the groups of its HDF5 file say that their layers are called, by their paths without the first slash. */
  readonly layerNames: ReadonlyMap<string, string>;
  /** Its HDF5 file. */
  readonly weights: ByteSource;
  /** Whether each of these tensors is in that file, with its dtype and shape, so that it can be written over. */
  holds(tensors: readonly StoredTensor[]): boolean;
  /** A .keras archive with other weights in it; the template has to be one itself. */
  archive(weights: Uint8Array): Uint8Array;
}

const GROUPS_DEEP_MAX = 32;
/** The fields of a zip archive have 32 bits, and all of it is in memory. */
const ARCHIVE_BYTES_MAX = 2 ** 31;

/** Opens a .keras archive or an HDF5 file as a template. Throws WEIGHTS_* where it is neither. */
export function openKerasTemplate(
  { main }: ByteFolder,
  openHdf5: Hdf5Opener,
  limits: WeightsLimits,
): KerasTemplate {
  const isArchive = main.size > 4 && takeBytes(main, 0, 2, 'its beginning').join() === '80,75';
  const entries = isArchive ? readZip(main, limits) : [];
  if (isArchive && !isKerasArchive(entries)) fail('WEIGHTS_FORMAT_UNKNOWN', { file: main.name });
  const held = entries.find(({ name }) => name === KERAS_WEIGHTS);
  const weights = held?.open() ?? main;
  const file = openHdf5(weights, limits);
  const { layerNames, datasets } = contentsOf(file, main, limits);
  return {
    layerNames,
    weights,
    holds: (tensors) =>
      tensors.every(({ name, dtype, shape }) => {
        if (!datasets.has(name)) return false;
        const there = file.dataset(`/${name}`);
        return there.dtype === dtype && there.shape.join() === shape.join();
      }),
    archive(weights) {
      if (!isArchive) {
        fail('USAGE', {
          reason: `a .keras file holds the model too: name one with --template, not ${main.name}`,
        });
      }
      const others = entries.filter(({ name }) => name !== KERAS_WEIGHTS && !name.endsWith('/'));
      const sizes = others.reduce((sum, { size }) => sum + size, weights.length);
      checkLimit(main, 'the new archive', sizes, ARCHIVE_BYTES_MAX, 'bytes');
      const files: Readonly<Record<string, Uint8Array>> = Object.fromEntries(
        others.map((entry) => [entry.name, whole(entry.open())]),
      );
      // Midnight of 1 January 1980, the earliest time of the format: the same weights give the same bytes.
      return zipSync({ ...files, [KERAS_WEIGHTS]: weights }, { level: 0, mtime: '1980-01-01T00:00:00' });
    },
  };
}

function whole(source: ByteSource): Uint8Array {
  return takeBytes(source, 0, source.size, 'an entry');
}

/** What the groups of a file are called by their attribute `name`, and its datasets, by paths without the first slash. */
function contentsOf(file: Hdf5File, source: ByteSource, limits: WeightsLimits) {
  const layerNames = new Map<string, string>();
  const datasets = new Set<string>();
  let seen = 0;
  const visit = (group: string, depth: number): void => {
    checkLimit(source, 'it', depth, GROUPS_DEEP_MAX, 'groups within groups');
    for (const { name, kind } of file.members(group === '' ? '/' : `/${group}`)) {
      seen += 1;
      checkLimit(source, 'it', seen, limits.itemsMax, 'members');
      const path = group === '' ? name : `${group}/${name}`;
      if (kind === 'dataset') datasets.add(path);
      if (kind !== 'group') continue;
      const called = file.text(`/${path}`, 'name');
      if (called !== undefined) layerNames.set(path, called);
      visit(path, depth + 1);
    }
  };
  visit('', 0);
  return { layerNames, datasets };
}
