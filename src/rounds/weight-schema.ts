import { z } from 'zod';
import { VERSION_PATTERN } from '../weights/schema/version.ts';

/** A name of a weight schema, as weights manifests have them. */
export const SCHEMA_ID = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/;

/** The schemas of the models that a job describes itself; their tensors and what they compute stand in docs/WEIGHTS.md. */
export const DESCRIBED_SCHEMAS: readonly StatedSchema[] = [
  { id: 'consilium-mlp', version: '1.0.0' },
  { id: 'consilium-cnn', version: '1.0.0' },
];

/** The weight schema that a job needs. */
export const weightSchemaSchema = z.strictObject({
  id: z.string().regex(SCHEMA_ID, 'lower-case letters, digits and inner dashes, 1 to 63 characters'),
  version: z
    .string()
    .regex(VERSION_PATTERN, 'a semantic version such as 1.0.0')
    .describe('MAJOR must be that of the site; docs/WEIGHTS.md says when another MINOR will do.'),
  probe: z
    .enum(['required', 'off'])
    .default('required')
    .describe(
      'required: a site trains only after its trainer computed on seeded inputs what the job’s weights mean.',
    ),
  relativeL2: z
    .number()
    .positive()
    .max(1)
    .default(1e-5)
    .describe('Largest relative L2 error that the output of a layer may have in the probe.'),
  earlier: z
    .enum(['admitted', 'refused'])
    .optional()
    .describe(
      'What becomes of sites whose trainer is behind by a MINOR: admitted unless said, which is to train what they have where the rest has defaults.',
    ),
});

/** A weight schema that a trainer is written for, as its site states it on joining. */
export interface StatedSchema {
  readonly id: string;
  /** MAJOR.MINOR.PATCH. */
  readonly version: string;
}
