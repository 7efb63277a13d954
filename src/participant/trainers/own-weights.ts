import { lstat, mkdir, readFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { loadHdf5 } from '../../engines/hdf5.ts';
import { type OpenWeights, openWeightsFile } from '../../engines/open-weights-file.ts';
import { TEMPLATE_FORMATS, writeWeightsFile } from '../../engines/write-weights-file.ts';
import { ConsiliumError, fail, publicText } from '../../errors/problem.ts';
import { manifestSigner } from '../../identity/sign-manifest.ts';
import type { Model } from '../../rounds/job.ts';
import { layersOf } from '../../rounds/model-layers.ts';
import { type FrameworkWeights, frameworkWeights } from '../../weights/conversion/framework-weights.ts';
import { SITE_CONFIGURATION } from '../../weights/layouts/hint-words.ts';
import { WEIGHTS_LIMITS } from '../../weights/limits.ts';
import { locateElement, type Manifest, payloadBytes } from '../../weights/manifest.ts';
import {
  manifestFaults,
  type WeightsManifest,
  weightsManifestSchema,
} from '../../weights/schema/weights-manifest.ts';
import type { StoredTensors } from '../../weights/stored-tensors.ts';
import type { ProgramWeights } from '../config.ts';

/** Names of the weights files of a task, below its folder. */
export interface WeightsFiles {
  readonly base: string;
  /** Of SCAFFOLD alone. */
  readonly correction: string;
  readonly weights: string;
  readonly update: string;
}

/** The layout and the files that a program has where its site says nothing else. */
export const CANONICAL_WEIGHTS = { framework: 'pytorch', format: 'safetensors' } as const;

/** What the names end with. Keras insists on .weights.h5; a model of TensorFlow.js is a folder. */
const ENDINGS: Readonly<Record<ProgramWeights['format'], string>> = {
  safetensors: '.safetensors',
  npz: '.npz',
  h5: '.weights.h5',
  keras: '.keras',
  tfjs: '/model.json',
  onnx: '.onnx',
};

/** A file with the state of an optimiser beside the weights is this many times as large. */
const TIMES_PAYLOAD = 4;
/** And has room for a model's description, in bytes. */
const DESCRIPTION_BYTES = 64 * 2 ** 20;

/** The names of the weights files of a task, by the format that its program reads and writes. */
export function weightsFiles(format: ProgramWeights['format']): WeightsFiles {
  const ending = ENDINGS[format];
  return {
    base: `base${ending}`,
    correction: `correction${ending}`,
    weights: `weights${ending}`,
    update: `update${ending}`,
  };
}

/** Throws ENGINE_MISSING, WEIGHTS_* or CONFIG_INVALID where a trainer's weights cannot be converted whatever the job. */
export async function checkProgramWeights(config: ProgramWeights): Promise<void> {
  if (config.format === 'h5' || config.format === 'keras') {
    const hdf5 = await loadHdf5();
    if (!hdf5.loaded) fail('ENGINE_MISSING', { engine: 'h5wasm', reason: hdf5.reason });
    hdf5.close();
  }
  if (config.manifest !== undefined) await readManifest(config.manifest);
  if (config.template !== undefined) (await openWeightsFile(config.template)).close();
}

/**
 * The weights of one task in a program's own layout and format: converted before the program sees them, and back before
 * anything else is done with what it trained. See docs/COMMAND_TRAINER.md.
 */
export class OwnWeights {
  readonly #config: ProgramWeights;
  readonly #conversion: FrameworkWeights;
  readonly #manifest: Manifest;

  private constructor(config: ProgramWeights, conversion: FrameworkWeights, manifest: Manifest) {
    this.#config = config;
    this.#conversion = conversion;
    this.#manifest = manifest;
  }

  /** Plans the conversion of a job's weights; throws WEIGHTS_UNCONVERTIBLE with every reason why there is none. */
  static async plan(config: ProgramWeights, model: Model, manifest: Manifest): Promise<OwnWeights> {
    const { framework, flatten, layers } = config;
    const known = layersOf(model);
    const hints = {
      flattened: { ...known.flattened, ...flatten },
      layers: { ...known.layers, ...layers },
      words: SITE_CONFIGURATION,
    };
    const template = config.template === undefined ? undefined : await openWeightsFile(config.template);
    try {
      const conversion = frameworkWeights(manifest, {
        framework,
        manifest: config.manifest === undefined ? undefined : await readManifest(config.manifest),
        template: template && called(template, basename(config.template!)),
        hints,
      });
      if (!conversion.ok) {
        return fail('WEIGHTS_UNCONVERTIBLE', { framework, reason: conversion.refusal });
      }
      return new OwnWeights(config, conversion.value, manifest);
    } finally {
      template?.close();
    }
  }

  /**
   * Writes the global weights, or what is added to each gradient (both borrowed), where a program looks for them. Throws
   * WEIGHTS_UNCONVERTIBLE for a correction of tensors that the program has as one sum.
   */
  async write(folder: string, what: 'base' | 'correction', values: Float32Array): Promise<void> {
    const { format, template, framework } = this.#config;
    const path = join(folder, weightsFiles(format)[what]);
    if (what === 'correction') {
      const back = this.#conversion.toCanonical(asFile(this.#conversion.toFramework(values)));
      if (!back.ok || back.value.some((value, at) => value !== values[at])) {
        const reason = 'the correction of a tensor that it has summed with another cannot be told';
        fail('WEIGHTS_UNCONVERTIBLE', { framework, reason });
      }
    }
    await mkdir(dirname(path), { recursive: true, mode: 0o700 });
    await writeWeightsFile({
      path,
      format,
      tensors: this.#conversion.toFramework(values),
      metadata: {},
      generatedBy: 'consilium',
      // A template of another format only lent its names.
      template: TEMPLATE_FORMATS.has(format) ? template : undefined,
      force: false,
    });
  }

  /**
   * What the program trained, as canonical weights minus `base`, owned by the caller. Throws TRAINER_FAILED where it wrote
   * not exactly one of the two files, or one that is not the model's weights.
   */
  async update(folder: string, base: Float32Array): Promise<Float32Array> {
    const files = weightsFiles(this.#config.format);
    const [wrote, differs] = [await isThere(folder, files.weights), await isThere(folder, files.update)];
    if (wrote && differs) return malformed(`it wrote both ${files.update} and ${files.weights}`);
    if (!wrote && !differs) return malformed(`it wrote neither ${files.update} nor ${files.weights}`);
    const name = wrote ? files.weights : files.update;
    const values = await this.#read(folder, name);
    if (wrote) {
      // The base as it comes back: of a sum that stands for two tensors only the change is an update.
      const start = this.#conversion.toCanonical(asFile(this.#conversion.toFramework(base)));
      if (!start.ok) return malformed(start.refusal);
      for (let at = 0; at < values.length; at++) values[at]! -= start.value[at]!;
    }
    const at = values.findIndex((value) => !Number.isFinite(value));
    if (at < 0) return values;
    const { tensor, index } = locateElement(this.#manifest, at);
    return malformed(`tensor ${tensor} of its ${name} is not finite at element ${index}`);
  }

  async #read(folder: string, name: string): Promise<Float32Array> {
    const bytesMax = TIMES_PAYLOAD * payloadBytes(this.#manifest) + DESCRIPTION_BYTES;
    let opened: OpenWeights | undefined;
    try {
      const { size } = await lstat(join(folder, name));
      if (size > bytesMax) return malformed(`its ${name} has ${size} bytes; at most ${bytesMax} are read`);
      opened = await openWeightsFile(join(folder, name), WEIGHTS_LIMITS);
      const values = this.#conversion.toCanonical(opened);
      return values.ok ? values.value : malformed(`its ${name} does not fit: ${values.refusal}`);
    } catch (error) {
      if (!(error instanceof ConsiliumError) || !error.problem.code.startsWith('WEIGHTS_')) throw error;
      // Where the folder lies is the site's own affair.
      const reason = publicText(error.problem).replaceAll(`${folder}/`, '').replace(/\.$/, '');
      return malformed(`its ${name} cannot be read: ${reason}`, error);
    } finally {
      opened?.close();
    }
  }
}

/** Whether the program wrote a plain file of that name: no link is followed. */
async function isThere(folder: string, name: string): Promise<boolean> {
  const found = await lstat(join(folder, name)).catch(() => undefined);
  if (!found) return false;
  if (found.isSymbolicLink()) return malformed(`its ${name} cannot be read: it is a link`);
  if (!found.isFile()) return malformed(`its ${name} is not a plain file`);
  return true;
}

function called(opened: StoredTensors, file: string): StoredTensors {
  return { ...opened, file, tensors: opened.tensors.map((tensor) => ({ ...tensor, file })) };
}

function asFile(tensors: StoredTensors['tensors']): StoredTensors {
  return { file: 'the base', format: 'safetensors', metadata: {}, tensors, omitted: [] };
}

/** The weights manifest at `path`; throws CONFIG_INVALID where it is none, contradicts itself or its signature is broken. */
async function readManifest(path: string): Promise<WeightsManifest> {
  const invalid = (reason: string, cause?: unknown) =>
    fail('CONFIG_INVALID', { where: basename(path), reason }, cause);
  const text = await readFile(path, 'utf8').catch((cause: NodeJS.ErrnoException) =>
    invalid(`it cannot be read (${cause.code ?? 'unknown'})`, cause),
  );
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (cause) {
    return invalid('it is not JSON', cause);
  }
  const parsed = weightsManifestSchema.safeParse(json);
  if (!parsed.success) return invalid(`it is no weights manifest: ${parsed.error.issues[0]?.message}`);
  const [fault] = manifestFaults(parsed.data);
  if (fault !== undefined) return invalid(fault);
  if ((await manifestSigner(parsed.data)) === 'broken') return invalid('its signature does not verify');
  return parsed.data;
}

function malformed(reason: string, cause?: unknown): never {
  fail('TRAINER_FAILED', { reason: `the program broke the contract: ${reason}` }, cause);
}
