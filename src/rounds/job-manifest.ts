import { ok, type Result, refused } from '../vocabulary/result.ts';
import { isBatchCount } from '../weights/layouts/layer.ts';
import { elementCount, type Manifest, manifestDifference } from '../weights/manifest.ts';
import {
  manifestFaults,
  type WeightsManifest,
  weightsManifestSchema,
} from '../weights/schema/weights-manifest.ts';
import { needsProbe } from './fit-schema.ts';
import { type Job, type Model, manifestOf } from './job.ts';

/*
 * The weights manifest that came with a job: what its tensors mean, how they came to it, and, of an external model, what
 * its layers have to give. Whole numbers of a job are small; a manifest is not, so it stands beside the job.
 */

/** Bytes of canonical JSON that a manifest may have beside a job: one message of an operator holds both. */
export const JOB_MANIFEST_BYTES_MAX = 768 * 2 ** 10;
/** Elements of the inputs of all probes together, which each site makes. */
export const PROBED_ELEMENTS_MAX = 2 ** 24;

/** Names of layers that a report of a probe can say. */
const LAYER_NAME = /^[^\p{Cc}]{1,512}$/u;

/** Whether what a job's model has to compute is known from golden outputs alone: nothing else describes it. */
export function needsGolden(spec: Pick<Job, 'model' | 'weightSchema'>): boolean {
  return spec.model.kind === 'external' && needsProbe(spec);
}

/** What of a manifest travels with a job: not how some framework's files hold it, nor what nobody compares at a site. */
export function jobManifest(
  spec: Parameters<typeof needsGolden>[0],
  { signature: _, probe, ...manifest }: WeightsManifest,
): WeightsManifest {
  return {
    ...manifest,
    tensors: exchangedTensors(manifest, spec.model).map(({ sm3: _, ...tensor }) => tensor),
    mapping: [],
    dropped: [],
    tolerances: [],
    ...(probe &&
      needsGolden(spec) && {
        probe: {
          ...probe,
          golden: probe.golden.map((golden) => ({
            ...golden,
            layers: golden.layers.map(({ layer, output }) => ({ layer, output })),
          })),
        },
      }),
  };
}

/**
 * The manifest that came beside a job, as JSON from elsewhere; the refusal is a sentence without its full stop. No probes
 * are made for this: whether they show anything was asked where the manifest was read.
 */
export function parseJobManifest(json: unknown): Result<WeightsManifest, string> {
  const parsed = weightsManifestSchema.safeParse(json);
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    return refused(`it is no weights manifest: ${issue?.path.join('.')}: ${issue?.message}`);
  }
  const { probe } = parsed.data;
  if (probe) {
    const row = probe.inputs.reduce((sum, { shape }) => sum + elementCount(shape), 0);
    const elements = probe.batch * row * probe.kinds.length;
    if (elements > PROBED_ELEMENTS_MAX) {
      return refused(
        `its probes have ${elements} elements, and ${PROBED_ELEMENTS_MAX} are the most: make it with a smaller --batch`,
      );
    }
  }
  const unsayable = probe?.golden
    .flatMap(({ layers }) => layers)
    .find(({ layer }) => !LAYER_NAME.test(layer));
  if (unsayable) {
    return refused(
      `sites cannot report on its layer ${JSON.stringify(unsayable.layer.slice(0, 40))}: names have at most 512 characters, none of them a control character`,
    );
  }
  const [fault] = manifestFaults(parsed.data, false);
  return fault === undefined ? ok(parsed.data) : refused(fault);
}

/**
 * Why a manifest is not that of a job, as a sentence without its full stop: another schema, other tensors, no golden
 * outputs where they are needed, or none that can be told to be of the job's weights. Undefined where it is.
 */
export function jobManifestFault(spec: Job, manifest: WeightsManifest): string | undefined {
  const { id, version } = manifest.schema;
  const { weightSchema } = spec;
  if (weightSchema?.id !== id || weightSchema.version !== version) {
    return `it is of ${id} ${version}, and the job is of ${weightSchema?.id} ${weightSchema?.version}`;
  }
  const tensors = float32Tensors(manifest, spec.model);
  if (!tensors.ok) return tensors.refusal;
  const difference = manifestDifference(manifestOf(spec), tensors.value);
  if (difference !== undefined || !needsGolden(spec)) return difference;
  if (!manifest.probe) {
    return 'it has no probes, which a probe of an external model is compared with: make it with --probe, or say probe: off';
  }
  const unknown = exchangedTensors(manifest, spec.model).find(({ sha256 }) => sha256 === undefined);
  return (
    unknown &&
    `it has no SHA-256 of ${unknown.name}, so that nobody can tell which weights its probes were run with`
  );
}

/**
 * The tensors of a manifest that a job exchanges: all but what PyTorch counts for its batch norms, unless the job's model
 * lists that itself, as jobs may that were submitted when a count in float32 was a tensor like others.
 */
export function exchangedTensors({ tensors }: WeightsManifest, model?: Model): WeightsManifest['tensors'] {
  const listed = new Set(model?.kind === 'external' ? model.tensors?.map(({ name }) => name) : []);
  return tensors.filter((tensor) => listed.has(tensor.name) || !isBatchCount(tensor));
}

/** The tensors of a manifest, as jobs exchange them; the refusal names one that is not float32. */
function float32Tensors(manifest: WeightsManifest, model: Model): Result<Manifest, string> {
  const tensors = exchangedTensors(manifest, model);
  const other = tensors.find(({ dtype }) => dtype !== 'float32');
  if (other) {
    return refused(
      `tensor ${other.name} is ${other.dtype}, and jobs exchange float32: make it from a file of float32 (consilium weights convert --float32)`,
    );
  }
  return ok({
    schemaVersion: manifest.schema.version,
    tensors: tensors.map(({ name, shape }) => ({ name, shape, dtype: 'float32' })),
  });
}
