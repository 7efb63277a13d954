import { extname } from 'node:path';
import type { ProbeTrace } from '../weights/probes/model-trace.ts';
import type { ReferenceTask } from './reference-worker.ts';
import { TaskThread } from './trainers/task-thread.ts';

/**
 * `referenceTrace` of each input, in a thread that ends with it: large convolutions take seconds, and heartbeats go on
 * meanwhile. Rejects with WITHDRAWN when the signal aborts, once the thread has ended.
 */
export async function referenceTraces(
  { model, manifest, weights, inputs }: ReferenceTask,
  signal: AbortSignal,
): Promise<readonly ProbeTrace[]> {
  // Compiled, this file and the thread's are .js; in a checkout they are .ts.
  const thread = new TaskThread(
    new URL(`./reference-worker${extname(import.meta.url)}`, import.meta.url),
    undefined,
  );
  try {
    const task: ReferenceTask = { model, manifest, weights, inputs };
    return (await thread.run(task, { signal, onProgress: () => {} })) as readonly ProbeTrace[];
  } finally {
    await thread.close();
  }
}
