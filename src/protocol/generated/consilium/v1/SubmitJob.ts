// Original file: proto/consilium/v1/operate.proto

import type { Payload as _consilium_v1_Payload, Payload__Output as _consilium_v1_Payload__Output } from '../../consilium/v1/Payload.ts';

export interface SubmitJob {
  'jobJson'?: (Buffer | Uint8Array | string);
  'dryRun'?: (boolean);
  'initialWeights'?: (_consilium_v1_Payload | null);
  'weightsManifestJson'?: (Buffer | Uint8Array | string);
}

export interface SubmitJob__Output {
  'jobJson': (Buffer);
  'dryRun': (boolean);
  'initialWeights': (_consilium_v1_Payload__Output | null);
  'weightsManifestJson': (Buffer);
}
