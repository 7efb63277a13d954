import { createRequire } from 'node:module';

type Native = typeof import('@node-rs/crc32');

/**
 * What `load` gives, or undefined where it throws: the binary of @node-rs/crc32 is left out by `npm ci --omit=optional`,
 * though the package itself is no optional one, and nothing that is checked by a checksum could be opened then.
 */
export function nativeOr(load: () => Native): Native | undefined {
  try {
    return load();
  } catch {
    return undefined;
  }
}

/** The checksums of @node-rs/crc32, in the instructions of the processor; undefined where its binary is not there. */
export const NATIVE_CHECKSUMS = nativeOr(() => createRequire(import.meta.url)('@node-rs/crc32') as Native);
