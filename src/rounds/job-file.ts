import { z } from 'zod';
import { ok, type Result, refused } from '../vocabulary/result.ts';
import type { WeightsManifest } from '../weights/schema/weights-manifest.ts';
import { type Job, jobSchema, modelSchema } from './job.ts';
import { exchangedTensors, jobManifestFault } from './job-manifest.ts';
import { weightSchemaSchema } from './weight-schema.ts';

const [mlp, cnn, external] = modelSchema.options;
const { id, version } = weightSchemaSchema.shape;

/** A job as a person writes it: what a weights manifest says need not be said again. */
export const jobFileSchema = z
  .strictObject({
    ...jobSchema.shape,
    model: z.discriminatedUnion('kind', [
      mlp,
      cnn,
      z.strictObject({
        ...external.shape,
        tensors: external.shape.tensors
          .optional()
          .describe(
            'PyTorch names and layout, in order; those of weightSchema.manifest unless said. The trainer knows the architecture; initialWeights is needed.',
          ),
      }),
    ]),
    weightSchema: z
      .strictObject({
        ...weightSchemaSchema.shape,
        id: id.optional().describe('That of the manifest unless said.'),
        version: version
          .optional()
          .describe(
            'That of the manifest unless said. MAJOR must be that of the site; docs/WEIGHTS.md says when another MINOR will do.',
          ),
        manifest: z
          .string()
          .min(1)
          .optional()
          .describe(
            'A weights manifest (*.weights.json) beside the operator; an external model is probed by its golden outputs.',
          ),
      })
      .optional()
      .describe(
        'What the tensors mean. Sites whose trainer is written for another MAJOR, or fails the probe, are left out.',
      ),
  })
  .superRefine((file, context) => {
    const { model, weightSchema } = file;
    const issue = (path: string[], message: string) => context.addIssue({ code: 'custom', path, message });
    if (weightSchema?.manifest !== undefined) return;
    if (weightSchema && (weightSchema.id === undefined || weightSchema.version === undefined)) {
      issue(['weightSchema'], 'id and version are needed, or the manifest that has them');
    } else if (model.kind === 'external' && !model.tensors) {
      issue(['model'], 'an external model lists its tensors, or weightSchema.manifest has them');
    } else if (model.kind === 'external' && weightSchema?.probe === 'required') {
      issue(
        ['weightSchema'],
        'what an external model has to compute, its manifest says: name it, or say probe: off',
      );
    } else {
      for (const { path, message } of jobSchema.safeParse(file).error?.issues ?? []) {
        issue(path.map(String), message);
      }
    }
  });

/** A job file, every default filled in. */
export type JobFile = z.output<typeof jobFileSchema>;

/**
 * The job of a file: what its weights manifest says is filled in. The manifest is the one that the file names, undefined
 * where it names none. The refusal is a sentence without its full stop.
 */
export function jobOfFile(file: JobFile, manifest: WeightsManifest | undefined): Result<Job, string> {
  const { model, weightSchema } = file;
  const said =
    manifest && weightSchema ? withManifest(model, weightSchema, manifest) : { model, weightSchema };
  const job = jobSchema.safeParse({ ...file, ...said });
  if (!job.success) {
    const [issue] = job.error.issues;
    return refused(`${issue?.path.join('.')}: ${issue?.message}`);
  }
  const fault = manifest && jobManifestFault(job.data, manifest);
  return fault === undefined ? ok(job.data) : refused(`weightSchema.manifest: ${fault}`);
}

function withManifest(
  model: JobFile['model'],
  { manifest: _, ...weightSchema }: NonNullable<JobFile['weightSchema']>,
  manifest: WeightsManifest,
) {
  const listed = exchangedTensors(manifest).map(({ name, shape, since, default: value }) => ({
    ...{ name, shape },
    ...(since !== undefined && { since, default: value }),
  }));
  return {
    model: model.kind === 'external' ? { ...model, tensors: model.tensors ?? listed } : model,
    weightSchema: { ...manifest.schema, ...weightSchema },
  };
}
