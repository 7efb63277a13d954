import { parentPort } from 'node:worker_threads';
import type { Manifest } from '../weights/manifest.ts';
import type { ShapedArray } from '../weights/shaped-array.ts';
import { type DescribedModel, referenceTrace } from './reference-network.ts';
import { reportOf, type ThreadMessage } from './trainers/task-thread.ts';

/** What the thread is asked for: what the network makes of each input, given canonical weights. */
export interface ReferenceTask {
  readonly model: DescribedModel;
  readonly manifest: Manifest;
  readonly weights: Float32Array;
  readonly inputs: readonly ShapedArray[];
}

const port = parentPort;
if (port) {
  const say = (message: ThreadMessage) => port.postMessage(message);
  port.on('message', ({ model, manifest, weights, inputs }: ReferenceTask) => {
    try {
      const result = inputs.map((input) => referenceTrace(model, manifest, weights, input));
      say({ kind: 'done', result });
    } catch (error) {
      say({ kind: 'failed', ...reportOf(error) });
    }
  });
  say({ kind: 'ready', greeting: undefined });
}
