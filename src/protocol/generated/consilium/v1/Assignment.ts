// Original file: proto/consilium/v1/attend.proto

import type { Task as _consilium_v1_Task, Task__Output as _consilium_v1_Task__Output } from '../../consilium/v1/Task.ts';

export interface Assignment {
  'id'?: (string);
  'job'?: (string);
  'round'?: (number);
  'attempt'?: (number);
  'task'?: (_consilium_v1_Task);
  'baseVersion'?: (number);
  'baseDigest'?: (string);
  'remainingMs'?: (number);
  'jobJson'?: (Buffer | Uint8Array | string);
  'constantsJson'?: (Buffer | Uint8Array | string);
  'weightsManifestJson'?: (Buffer | Uint8Array | string);
}

export interface Assignment__Output {
  'id': (string);
  'job': (string);
  'round': (number);
  'attempt': (number);
  'task': (_consilium_v1_Task__Output);
  'baseVersion': (number);
  'baseDigest': (string);
  'remainingMs': (number);
  'jobJson': (Buffer);
  'constantsJson': (Buffer);
  'weightsManifestJson': (Buffer);
}
