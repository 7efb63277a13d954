import { fail } from '../../errors/problem.ts';
import { type ByteFolder, type ByteSource, takeBytes } from '../byte-source.ts';
import { checkLimit, type WeightsLimits } from '../limits.ts';
import type { StoredTensor, StoredTensors, WeightsFormat } from '../stored-tensors.ts';
import { openPart } from './contained-path.ts';
import { repeatedName } from './safetensors-header.ts';

/** Shards of one model; each is an open file. */
const SHARDS_MAX = 1_000;

/** The index of a model in shards, as JSON says it; undefined where it is not one. */
export function shardIndex(
  source: ByteSource,
  limits: WeightsLimits,
): Readonly<Record<string, unknown>> | undefined {
  checkLimit(source, 'it', source.size, limits.headerBytesMax, 'bytes');
  let text: string;
  let index: unknown;
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(takeBytes(source, 0, source.size, 'it'));
    index = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (!isRecord(index) || !Object.hasOwn(index, 'weight_map') || Object.hasOwn(index, 'weightsManifest')) {
    return undefined;
  }
  const twice = repeatedName(text);
  if (twice !== undefined) malformed(source, 'the index', `it names ${twice} twice`);
  return index;
}

/**
 * Opens a model in shards by its index, `model.safetensors.index.json` or `pytorch_model.bin.index.json`: every tensor
 * is in the shard that the index names, and no shard holds another one. `openShard` opens one file, which may not be an
 * index itself. Tensors stand in the order of the index. Throws WEIGHTS_MALFORMED, WEIGHTS_TOO_LARGE,
 * WEIGHTS_PATH_REFUSED, WEIGHTS_PART_MISSING and what the shards refuse. Source: huggingface_hub,
 * serialization/_base.py (StateDictSplit).
 */
export function openSharded(
  folder: ByteFolder,
  index: Readonly<Record<string, unknown>>,
  limits: WeightsLimits,
  openShard: (source: ByteSource) => StoredTensors,
): StoredTensors {
  const { main } = folder;
  const { weight_map: map, metadata } = index;
  if (!isRecord(map)) return malformed(main, 'weight_map', 'it is not a map from tensors to files');
  const entries = Object.entries(map);
  checkLimit(main, 'weight_map', entries.length, limits.tensorsMax, 'tensors');
  const odd = entries.find(([, path]) => typeof path !== 'string');
  if (odd) malformed(main, `tensor ${odd[0]} of weight_map`, 'its file is not text');
  const paths = [...new Set(Object.values(map) as string[])];
  if (paths.length === 0) malformed(main, 'weight_map', 'it names no tensor');
  checkLimit(main, 'weight_map', paths.length, SHARDS_MAX, 'files');
  const held = new Map<string, StoredTensor>();
  const omitted: StoredTensors['omitted'][number][] = [];
  const seen = { formats: new Set<WeightsFormat>(), frameworks: new Set<string | undefined>() };
  for (const path of paths) {
    // Of a shard no more is kept than the index names: what a thousand of them say beside that would add up.
    const shard = openShard(openPart(folder, path));
    for (const tensor of shard.tensors) {
      const stated = Object.hasOwn(map, tensor.name) ? map[tensor.name] : undefined;
      if (stated === undefined)
        malformed(main, path, `it holds tensor ${tensor.name}, which the index does not name`);
      if (stated !== path) {
        malformed(main, path, `it holds tensor ${tensor.name}, which the index looks for in ${stated}`);
      }
      held.set(tensor.name, tensor);
    }
    seen.formats.add(shard.format);
    seen.frameworks.add(shard.framework);
    checkLimit(
      main,
      path,
      omitted.length + shard.omitted.length,
      limits.itemsMax,
      'things that are no tensors',
    );
    for (const one of shard.omitted) omitted.push(one);
  }
  const [formats, frameworks] = [[...seen.formats], [...seen.frameworks]];
  if (formats.length > 1) malformed(main, 'weight_map', `its files are ${formats.join(' and ')}`);
  const [framework] = frameworks;
  return {
    file: main.name,
    format: formats[0]!,
    ...(framework === undefined || frameworks.length > 1 ? {} : { framework }),
    metadata: {
      ...Object.fromEntries(
        Object.entries(isRecord(metadata) ? metadata : {}).filter(([, value]) => typeof value === 'string'),
      ),
      shards: String(paths.length),
    } as Record<string, string>,
    tensors: entries.map(
      ([name, path]) =>
        held.get(name) ?? malformed(main, `tensor ${name} of weight_map`, `${path} does not hold it`),
    ),
    omitted,
  };
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function malformed(source: ByteSource, where: string, reason: string): never {
  return fail('WEIGHTS_MALFORMED', { file: source.name, format: 'index of shards', where, reason });
}
