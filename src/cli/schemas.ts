import { z } from 'zod';
import { coordinatorSchema } from '../coordinator/config.ts';
import { featuresSchema } from '../features/config.ts';
import { featureViewSchema } from '../features/views/view.ts';
import { participantSchema } from '../participant/config.ts';
import { jobFileSchema } from '../rounds/job-file.ts';
import { checkSettingsSchema } from '../weights/checks/check-settings.ts';
import { weightsManifestSchema } from '../weights/schema/weights-manifest.ts';

/** The kinds of file that a person writes. */
export const FILE_KINDS = [
  'coordinator',
  'participant',
  'job',
  'features',
  'feature-view',
  'weights-check',
  'weights-manifest',
] as const;
/** One of those kinds. */
export type FileKind = (typeof FILE_KINDS)[number];

/** The schema behind each kind of file. */
export const SCHEMAS = {
  coordinator: coordinatorSchema,
  participant: participantSchema,
  job: jobFileSchema,
  'weights-check': checkSettingsSchema,
  'weights-manifest': weightsManifestSchema,
  features: featuresSchema,
  'feature-view': featureViewSchema,
} as const satisfies Record<FileKind, z.ZodType>;

const TITLES: Record<FileKind, string> = {
  coordinator: 'Consilium coordinator configuration',
  participant: 'Consilium participant configuration',
  job: 'Consilium job',
  'weights-check': 'Consilium settings of the check of weights',
  'weights-manifest': 'Consilium weights manifest',
  features: 'Consilium features configuration',
  'feature-view': 'Consilium feature view',
};

/**
 * The published JSON Schema (draft 2020-12) of a kind of file, as a person writes it: members with a default are
 * optional. Relations between members (a quorum within the cohort) are checked by `config validate` alone.
 */
export function publishedSchema(kind: FileKind): Record<string, unknown> {
  const { $schema, ...schema } = z.toJSONSchema(SCHEMAS[kind], { io: 'input', target: 'draft-2020-12' });
  return { $schema, $id: `urn:consilium:schema:${kind}:v1`, title: TITLES[kind], ...schema };
}
