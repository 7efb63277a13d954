import { type ByteSource, takeBytes } from '../byte-source.ts';
import { checkLimit, checkShape, type WeightsLimits } from '../limits.ts';
import type { StoredTensor, StoredTensors } from '../stored-tensors.ts';
import type { Hdf5File, Hdf5Opener } from './hdf5.ts';
import { kerasVariableName } from './keras-variables.ts';
import { randomState } from './random-state.ts';
import type { ZipEntry } from './zip-archive.ts';

/** Groups within groups are followed no deeper than this. */
const DEPTH_MAX = 32;
/** The entry of a .keras archive that holds the weights. */
export const KERAS_WEIGHTS = 'model.weights.h5';

/** Whether these are the entries of a .keras archive. */
export function isKerasArchive(entries: readonly ZipEntry[]): boolean {
  return (
    entries.some(({ name }) => name === KERAS_WEIGHTS) && entries.some(({ name }) => name === 'config.json')
  );
}

/**
 * Opens a .keras archive of Keras 3, of which these are the entries: the variables of its model.weights.h5. The
 * archive's config.json, which may name code, is not read. Throws what `openKerasH5` throws. Source: Keras 3,
 * keras/src/saving/saving_lib.py.
 */
export function openKeras(
  entries: readonly ZipEntry[],
  openHdf5: Hdf5Opener,
  limits: WeightsLimits,
): StoredTensors {
  const weights = entries.find(({ name }) => name === KERAS_WEIGHTS)!;
  const opened = openKerasH5(weights.open(), openHdf5, limits);
  const version = kerasVersion(entries.find(({ name }) => name === 'metadata.json'));
  return {
    ...opened,
    format: 'keras',
    ...(version === undefined ? {} : { framework: `keras ${version}` }),
  };
}

/**
 * Opens the HDF5 file of a Keras model: its layers' weights as `model.save('x.h5')`, `save_weights` of Keras 2 or
 * `save_weights` of Keras 3 lay them out, or every dataset of any other HDF5 file. Labels say what Keras calls a weight
 * (`conv/kernel`). Optimizer state is left out. Throws WEIGHTS_MALFORMED or WEIGHTS_TOO_LARGE. Source: Keras 3,
 * keras/src/legacy/saving/legacy_h5_format.py and keras/src/saving/saving_lib.py.
 */
export function openKerasH5(source: ByteSource, openHdf5: Hdf5Opener, limits: WeightsLimits): StoredTensors {
  const file = openHdf5(source, limits);
  const tensors: StoredTensor[] = [];
  const omitted: { readonly name: string; readonly reason: string }[] = [];
  let items = 0;
  const visit = (group: string, depth: number): void => {
    checkLimit(source, 'it', depth, DEPTH_MAX, 'groups within groups');
    for (const { name, kind } of file.members(group)) {
      items += 1;
      checkLimit(source, 'it', items, limits.itemsMax, 'members');
      const path = `${group === '/' ? '' : group}/${name}`;
      if (group === '/' && (name === 'optimizer' || name === 'optimizer_weights')) {
        omitted.push({ name, reason: 'optimizer state' });
      } else if (kind === 'group') visit(path, depth + 1);
      else if (kind === 'other') omitted.push({ name: path.slice(1), reason: 'it is a link or a type' });
      else {
        const tensor = tensorOf(source, file, path, limits);
        if (typeof tensor === 'string') omitted.push({ name: path.slice(1), reason: tensor });
        else tensors.push(tensor);
        checkLimit(source, 'it', tensors.length, limits.tensorsMax, 'tensors');
      }
    }
  };
  visit('/', 0);
  const version = file.text('/', 'keras_version') ?? file.text('/model_weights', 'keras_version');
  const backend = file.text('/', 'backend') ?? file.text('/model_weights', 'backend');
  return {
    file: source.name,
    format: 'keras-h5',
    ...(version === undefined ? {} : { framework: `keras ${version}` }),
    metadata: backend === undefined ? {} : { backend },
    tensors,
    omitted,
  };
}

function tensorOf(
  source: ByteSource,
  file: Hdf5File,
  path: string,
  limits: WeightsLimits,
): StoredTensor | string {
  const { dtype, told, shape, read } = file.dataset(path);
  if (!dtype) return `its elements are ${told}`;
  const name = path.slice(1);
  checkShape(source, name, shape, limits);
  const label = labelOf(file, path);
  const state = randomState(label ?? name, dtype);
  if (state !== undefined) return state;
  return { file: source.name, name, ...(label === undefined ? {} : { label }), dtype, shape, read };
}

/** What Keras calls the weight at a path, as far as the file tells. */
function labelOf(file: Hdf5File, path: string): string | undefined {
  const legacy = /^(?:\/model_weights)?\/[^/]+\/(.+?)(?::\d+)?$/.exec(path);
  if (file.text('/', 'layer_names') !== undefined || path.startsWith('/model_weights/')) return legacy?.[1];
  return kerasVariableName(file, path);
}

/** What metadata.json says; undefined where it is not there, not small or not what Keras writes. */
function kerasVersion(entry: ZipEntry | undefined): string | undefined {
  if (!entry || entry.size > 4096) return undefined;
  const text = new TextDecoder().decode(takeBytes(entry.open(), 0, entry.size, 'metadata.json'));
  return /"keras_version"\s*:\s*"([\w.+-]{1,64})"/.exec(text)?.[1];
}
