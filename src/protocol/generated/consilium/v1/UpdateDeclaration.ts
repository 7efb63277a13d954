// Original file: proto/consilium/v1/transfer.proto

import type { Payload as _consilium_v1_Payload, Payload__Output as _consilium_v1_Payload__Output } from '../../consilium/v1/Payload.ts';
import type { Long } from '@grpc/proto-loader';

export interface UpdateDeclaration {
  'job'?: (string);
  'round'?: (number);
  'attempt'?: (number);
  'baseVersion'?: (number);
  'baseDigest'?: (string);
  'sampleCount'?: (number | string | Long);
  'payload'?: (_consilium_v1_Payload | null);
  'metrics'?: ({[key: string]: number | string});
  'backend'?: (string);
  'signature'?: (Buffer | Uint8Array | string);
  'norm'?: (number | string);
  'schemaVersion'?: (string);
  '_norm'?: "norm";
}

export interface UpdateDeclaration__Output {
  'job': (string);
  'round': (number);
  'attempt': (number);
  'baseVersion': (number);
  'baseDigest': (string);
  'sampleCount': (string);
  'payload': (_consilium_v1_Payload__Output | null);
  'metrics': ({[key: string]: number});
  'backend': (string);
  'signature': (Buffer);
  'norm'?: (number);
  'schemaVersion': (string);
  '_norm'?: "norm";
}
