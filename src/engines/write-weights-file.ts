import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fail } from '../errors/problem.ts';
import { openDiskFolder } from '../storage/disk/file-bytes.ts';
import { newFiles } from '../storage/disk/new-files.ts';
import { takeBytes } from '../weights/byte-source.ts';
import { writeNpz } from '../weights/formats/write-npz.ts';
import { writeOnnx } from '../weights/formats/write-onnx.ts';
import { COPY_BYTES, writeSafetensors } from '../weights/formats/write-safetensors.ts';
import { readTfjsTemplate, writeTfjs } from '../weights/formats/write-tfjs.ts';
import { WEIGHTS_LIMITS } from '../weights/limits.ts';
import type { StoredTensor } from '../weights/stored-tensors.ts';
import { type H5wasm, loadHdf5, whileWriting } from './hdf5.ts';
import { startHdf5Thread } from './hdf5-thread.ts';
import { overwriteHdf5, writeHdf5 } from './hdf5-writer.ts';
import { type KerasTemplate, openKerasTemplate } from './keras-template.ts';

/** The formats that are written. */
export const WRITTEN_FORMATS = ['safetensors', 'npz', 'tfjs', 'onnx', 'h5', 'keras'] as const;
/** Those that a model may be named for, whose weights are replaced. */
export const TEMPLATE_FORMATS: ReadonlySet<WrittenFormat> = new Set(['onnx', 'tfjs', 'h5', 'keras']);
/** One of those formats. */
export type WrittenFormat = (typeof WRITTEN_FORMATS)[number];

/** What is written, and where. */
export interface WeightsToWrite {
  readonly path: string;
  readonly format: WrittenFormat;
  readonly tensors: readonly StoredTensor[];
  /** Kept by safetensors alone. */
  readonly metadata: Readonly<Record<string, string>>;
  /** What says that it made the file, where the format has a place for it: `consilium 0.1.0`. */
  readonly generatedBy: string;
  /** The model whose weights are replaced: needed for ONNX and .keras, taken by tfjs and HDF5. */
  readonly template: string | undefined;
  /** Whether files that are there may be replaced. */
  readonly force: boolean;
}

/**
 * Writes tensors bit for bit, in memory bounded by the largest of them. The files appear under their names when all are
 * whole. Answers with their paths. Throws USAGE, ENGINE_MISSING, or the WEIGHTS_* of the writers and of what is read.
 */
export async function writeWeightsFile(wanted: WeightsToWrite): Promise<readonly string[]> {
  const { path, format, tensors, template, force } = wanted;
  const hdf5 = format === 'h5' || format === 'keras' ? await loadHdf5() : undefined;
  if (hdf5 && !hdf5.loaded) fail('ENGINE_MISSING', { engine: 'h5wasm', reason: hdf5.reason });
  if (template !== undefined && !TEMPLATE_FORMATS.has(format)) {
    fail('USAGE', { reason: `${format} takes no template` });
  }
  const model = template === undefined ? undefined : openDiskFolder(template);
  const files = newFiles(path, force);
  const reader = hdf5 && model ? await startHdf5Thread() : undefined;
  try {
    if (format === 'safetensors') writeSafetensors(files.main, tensors, wanted.metadata);
    else if (format === 'npz') writeNpz(files.main, tensors);
    else if (format === 'tfjs') {
      const kept = model && readTfjsTemplate(model.main, WEIGHTS_LIMITS);
      writeTfjs(files, tensors, wanted.generatedBy, kept);
    } else if (format === 'onnx') {
      if (!model) {
        fail('USAGE', { reason: 'onnx holds a graph, not weights alone: name the model with --template' });
      }
      writeOnnx(files.main, tensors, model, WEIGHTS_LIMITS);
    } else if (hdf5?.loaded) {
      const kept =
        model && reader?.loaded ? openKerasTemplate(model, reader.thread.open, WEIGHTS_LIMITS) : undefined;
      const write = (descriptor: number) => writeKeras(hdf5.h5, descriptor, tensors, kept);
      if (format === 'h5') write(files.descriptor);
      else if (kept) files.main.write(kept.archive(throughFile(write)));
      else fail('USAGE', { reason: 'a .keras file holds the model too: name one with --template' });
    }
    return files.finish();
  } catch (error) {
    files.discard();
    throw error;
  } finally {
    if (reader?.loaded) reader.thread.end();
    model?.close();
  }
}

/** Over the tensors of the template, where it has all of them, else into a file that has its names alone. */
function writeKeras(
  h5: H5wasm,
  descriptor: number,
  tensors: readonly StoredTensor[],
  kept: KerasTemplate | undefined,
): void {
  if (!kept?.holds(tensors)) {
    whileWriting(() => writeHdf5(h5, descriptor, tensors, kept?.layerNames));
    return;
  }
  for (let at = 0; at < kept.weights.size; at += COPY_BYTES) {
    const length = Math.min(COPY_BYTES, kept.weights.size - at);
    writeSync(descriptor, takeBytes(kept.weights, at, length, 'the template'), 0, length, at);
  }
  whileWriting(() => overwriteHdf5(h5, descriptor, tensors));
}

/** The bytes that `write` writes into a file of its own. */
function throughFile(write: (descriptor: number) => void): Uint8Array {
  const folder = mkdtempSync(join(tmpdir(), 'consilium-keras-'));
  const path = join(folder, 'model.weights.h5');
  const descriptor = openSync(path, 'w+');
  try {
    write(descriptor);
    return readFileSync(path);
  } finally {
    closeSync(descriptor);
    rmSync(folder, { recursive: true, force: true });
  }
}
