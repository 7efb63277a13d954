import { z } from 'zod';
import { FLOAT16_MAX } from '../aggregation/encodings/half-precision.ts';
import { checkManifest, type Manifest } from '../weights/manifest.ts';
import { batchNormFault, batchNormSchema, batchNormTensors, sharesStatistics } from './batch-norm.ts';
import { namedViewSchema } from './named-view.ts';
import {
  bufferingOf,
  cohortFault,
  hasControls,
  movesWithinUpdates,
  quorumFault,
  strategySchema,
} from './strategy.ts';
import { tensorSinceFault, tensorSinceFields } from './tensor-since.ts';
import { tensorBounds, updateBoundSchema } from './update-bounds.ts';
import { updateEncodingSchema } from './update-encoding.ts';
import { weightSchemaSchema } from './weight-schema.ts';

const label = z
  .string()
  .regex(
    /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/,
    'lower-case letters, digits and inner dashes, 1 to 63 characters',
  );
const count = z.int().min(1);
const positive = z.number().positive().finite();

const mlp = z.strictObject({
  kind: z.literal('mlp'),
  features: z
    .array(z.string().min(1).max(256))
    .min(1)
    .max(65_536)
    .describe('Names of the input columns, in order; each site maps its dataset to them.'),
  hidden: z
    .array(count.max(65_536))
    .max(16)
    .default([16])
    .describe('Units of each hidden layer; [] is logistic regression.'),
  outputs: count
    .max(65_536)
    .default(1)
    .describe('1 is a binary classifier with one logit; more is softmax over classes.'),
  activation: z.enum(['relu', 'tanh']).default('relu').describe('After each hidden layer.'),
});

const cnn = z.strictObject({
  kind: z.literal('cnn'),
  input: z
    .strictObject({ channels: count.max(4096), height: count.max(4096), width: count.max(4096) })
    .describe('Extent of one image.'),
  convolutions: z
    .array(
      z.strictObject({
        channels: count.max(4096),
        kernel: count.max(31).default(3),
        stride: count.max(8).default(1),
        pool: count
          .max(8)
          .default(1)
          .describe('Window and stride of the max pooling that follows; 1 is none.'),
        batchNorm: z
          .boolean()
          .optional()
          .describe(
            'Whether a batch norm stands between the convolution and its ReLU, with eps 1e-5 and momentum 0.1 as torch.nn.BatchNorm2d; not unless said.',
          ),
      }),
    )
    .min(1)
    .max(16)
    .describe(
      'Each a convolution padded by kernel / 2 rounded down, then a batch norm where asked for, then ReLU, then max pooling.',
    ),
  hidden: z
    .array(count.max(65_536))
    .max(16)
    .default([])
    .describe('Units of each hidden dense layer after flattening C, H, W.'),
  outputs: count.max(65_536).default(1),
});

const external = z.strictObject({
  kind: z.literal('external'),
  tensors: z
    .array(
      z.strictObject({
        name: z.string().min(1).max(512),
        shape: z.array(count).max(32),
        ...tensorSinceFields,
      }),
    )
    .min(1)
    .max(10_000)
    .describe(
      'PyTorch names and layout, in order. The trainer knows the architecture; initialWeights is needed.',
    ),
});

/** The architecture that a job trains. */
export const modelSchema = z.discriminatedUnion('kind', [mlp, cnn, external]);

const trainer = z.strictObject({
  name: label.describe(
    "The trainer's name in the site's own configuration; what runs behind it is the site's affair.",
  ),
  epochs: count.max(10_000).default(1).describe('Local passes over the training rows in one round.'),
  batchSize: count.max(1_048_576).default(32),
  learningRate: positive.default(0.1),
  weightDecay: z.number().min(0).finite().default(0).describe('L2 penalty, as in torch.optim.SGD.'),
});

/** What a coordinator keeps nothing under, lest it be a person's number. */
const IDENTIFIER_LIKE = /[0-9a-f]{16,}|\d{6,}/;

/** The published schema of a job file; see `consilium config schema job`. */
export const jobSchema = z
  .strictObject({
    apiVersion: z.literal('consilium/v1'),
    name: label.describe('The job id: unique in the federation.'),
    dataset: label.describe("The dataset's name in each site's own configuration; a job holds no path."),
    view: namedViewSchema
      .optional()
      .describe('The feature view that the dataset is read from; sites that have it otherwise are left out.'),
    model: modelSchema,
    schemaVersion: z
      .string()
      .regex(/^\d+\.\d+\.\d+$/, 'a semantic version such as 1.0.0')
      .default('1.0.0')
      .describe('Version of the weight schema, for jobs without weightSchema; all sites follow the job.'),
    weightSchema: weightSchemaSchema
      .optional()
      .describe(
        'What the tensors mean. Sites whose trainer is written for another MAJOR, or fails the probe, are left out.',
      ),
    trainer,
    rounds: count.max(100_000).describe('Training rounds after the statistics round; of fedbuff, versions.'),
    cohort: z
      .strictObject({
        size: count
          .max(100_000)
          .describe('Updates that a round wants; of fedbuff, the sites that train at a time.'),
        overSelection: z
          .number()
          .min(1)
          .max(4)
          .default(1)
          .describe('Participants selected per wanted update.'),
      })
      .describe('How many sites take part in a round.'),
    quorum: count.max(100_000).describe('Updates without which a round is abandoned at its deadline.'),
    deadlineMs: z
      .int()
      .min(100)
      .max(7 * 86_400_000)
      .default(600_000)
      .describe('Milliseconds one attempt at a round may take.'),
    attemptsMax: count.max(100).default(3).describe('Attempts at one round before the job fails.'),
    strategy: strategySchema
      .default({ name: 'fedavg' })
      .describe('How updates are made and combined; docs/STRATEGIES.md says which there are, and what for.'),
    batchNorm: batchNormSchema.optional(),
    arithmetic: z
      .enum(['exact', 'float32'])
      .default('exact')
      .describe(
        'How sums are made: exact is the same to the last bit in any order; float32 is faster, needs half the memory, and depends on the order.',
      ),
    clippingNorm: positive
      .optional()
      .describe(
        'Each site scales its update so that its global L2 norm is at most this, and the coordinator what is longer.',
      ),
    updateEncoding: updateEncodingSchema
      .optional()
      .describe(
        'How updates travel, to be smaller than float32, which they are unless said; docs/ENCODINGS.md says what it costs.',
      ),
    updateBound: updateBoundSchema.describe(
      'No element of an update may be larger in magnitude; the exact sum is scaled from it, tensor by tensor.',
    ),
    sampleCountMax: count
      .max(10 ** 9)
      .default(10 ** 7)
      .describe('No site may claim more training rows; the exact sum is scaled from it.'),
    seed: z
      .int()
      .min(0)
      .max(2 ** 32 - 1)
      .default(0)
      .describe('Of cohort selection, initial weights and local shuffling.'),
    statistics: z
      .boolean()
      .default(true)
      .describe('Whether a statistics round computes imputation and scaling constants first (mlp models).'),
    evaluateEvery: z
      .int()
      .min(0)
      .default(1)
      .describe('Evaluate at the sites after every so many rounds; 0 is never.'),
    initialWeights: z
      .union([
        z.strictObject({
          file: z
            .string()
            .min(1)
            .describe(
              'A file beside the operator, in PyTorch’s layout: safetensors, a PyTorch state_dict or npz.',
            ),
        }),
        z
          .strictObject({ job: label, version: z.int().min(0) })
          .describe('A model version of this federation to go on from.'),
      ])
      .optional(),
  })
  .superRefine((job, context) => {
    const relation = (holds: boolean, path: string, message: string) => {
      if (!holds) context.addIssue({ code: 'custom', path: [path], message });
    };
    relation(
      job.quorum <= job.cohort.size,
      'quorum',
      `quorum ${job.quorum} is larger than cohort.size ${job.cohort.size}`,
    );
    relation(
      job.updateEncoding?.name !== 'float16' || !(Number(job.updateBound) > FLOAT16_MAX),
      'updateEncoding',
      `float16 reaches ${FLOAT16_MAX}, and updateBound is ${job.updateBound}`,
    );
    relation(
      !job.updateEncoding || typeof job.updateBound === 'number',
      'updateEncoding',
      'encoded updates have one updateBound for all tensors',
    );
    relation(
      !job.updateEncoding || !hasControls(job.strategy),
      'updateEncoding',
      `${job.strategy.name} sends float32: a control variate is moved by exactly what the coordinator adds up`,
    );
    const fault = quorumFault(job.strategy, job.quorum) ?? cohortFault(job.strategy, job.cohort, job.quorum);
    relation(fault === undefined, 'strategy', fault ?? '');
    relation(
      job.model.kind !== 'external' || job.initialWeights !== undefined,
      'initialWeights',
      'an external model needs initialWeights',
    );
    const since =
      job.model.kind === 'external'
        ? tensorSinceFault(job.model.tensors, job.weightSchema?.version)
        : undefined;
    relation(since === undefined, 'model', since ?? '');
    if (job.view) {
      const columns = job.view.columns.map(({ name }) => name);
      const stray =
        job.model.kind === 'mlp' ? job.model.features.find((name) => !columns.includes(name)) : '';
      relation(!stray, 'view', `the columns lack ${stray}, a feature of the model`);
      relation(
        !IDENTIFIER_LIKE.test(job.name),
        'name',
        'the name of a job over a view must not look like a record number (six digits in a row)',
      );
    }
    relation(
      job.strategy.name !== 'scaffold' || (job.strategy.sites ?? job.cohort.size) >= job.cohort.size,
      'strategy',
      `sites is the number of all that ever take part, and cohort.size is ${job.cohort.size}`,
    );
    const manifest = checkManifest(exchangedManifest(job));
    relation(manifest.ok, 'model', manifest.ok ? '' : manifest.refusal);
    if (!manifest.ok) return;
    const model = manifestOf(job);
    relation(
      !hasControls(job.strategy) || (!job.batchNorm && batchNormTensors(model).length === 0),
      'strategy',
      `${job.strategy.name} has control variates of what gradients train, and running statistics of batch norms are counted: take a model without batch norms, or another strategy`,
    );
    const normFault = job.batchNorm && batchNormFault(job.batchNorm, model);
    relation(normFault === undefined, 'batchNorm', normFault ?? '');
    const counted = sharesStatistics(job.batchNorm, model);
    // External models have been taken with every synchronous strategy since before there was a choice.
    const strays =
      !movesWithinUpdates(job.strategy) &&
      !hasControls(job.strategy) &&
      (job.model.kind === 'cnn' || bufferingOf(job.strategy) !== undefined);
    relation(
      !(counted && strays),
      'batchNorm',
      `${job.strategy.name} may move a running variance beyond what any site measured, below 0 too: keep batch norms local or frozen`,
    );
    relation(
      !(counted && job.updateEncoding),
      'updateEncoding',
      'what rounding or error feedback adds may move a running variance below 0: keep batch norms local or frozen, or send float32',
    );
    const bounds = tensorBounds(job.updateBound, manifest.value);
    relation(bounds.ok, 'updateBound', bounds.ok ? '' : bounds.refusal);
  });

/** A job: what is trained, by whom, how often, and how the results are combined. Names only; paths live at sites. */
export type Job = z.output<typeof jobSchema>;
/** The architecture that a job trains. */
export type Model = z.output<typeof modelSchema>;

/** Extent of the feature map after the convolutions of a cnn: channels, height, width. */
export function flattenedExtent(model: Extract<Model, { kind: 'cnn' }>): readonly [number, number, number] {
  let { channels, height, width } = model.input;
  for (const layer of model.convolutions) {
    const pad = Math.floor(layer.kernel / 2);
    height = Math.floor(Math.floor((height + 2 * pad - layer.kernel) / layer.stride + 1) / layer.pool);
    width = Math.floor(Math.floor((width + 2 * pad - layer.kernel) / layer.stride + 1) / layer.pool);
    channels = layer.channels;
  }
  return [channels, height, width];
}

/**
 * The manifest of a job's model: `conv.N.weight` OIHW and `conv.N.bias`, behind each with a batch norm `norm.N.weight`,
 * `norm.N.bias`, `norm.N.running_mean` and `norm.N.running_var`, then `dense.N.weight` [out, in] and `dense.N.bias`, N
 * from 0. For an external model, the tensors that it lists.
 */
export function manifestOf(job: Pick<Job, 'model' | 'schemaVersion' | 'weightSchema'>): Manifest {
  const { model, weightSchema } = job;
  const schemaVersion = weightSchema?.version ?? job.schemaVersion;
  const tensors: { name: string; dtype: 'float32'; shape: number[] }[] = [];
  const add = (name: string, shape: number[]) => tensors.push({ name, dtype: 'float32', shape });
  if (model.kind === 'external') {
    for (const { name, shape } of model.tensors) add(name, shape);
    return { schemaVersion, tensors };
  }
  let width = model.kind === 'mlp' ? model.features.length : flattenedExtent(model).reduce((a, b) => a * b);
  if (model.kind === 'cnn') {
    let channels = model.input.channels;
    model.convolutions.forEach((layer, place) => {
      add(`conv.${place}.weight`, [layer.channels, channels, layer.kernel, layer.kernel]);
      add(`conv.${place}.bias`, [layer.channels]);
      if (layer.batchNorm) {
        for (const part of ['weight', 'bias', 'running_mean', 'running_var'])
          add(`norm.${place}.${part}`, [layer.channels]);
      }
      channels = layer.channels;
    });
  }
  [...model.hidden, model.outputs].forEach((units, place) => {
    add(`dense.${place}.weight`, [units, width]);
    add(`dense.${place}.bias`, [units]);
    width = units;
  });
  return { schemaVersion, tensors };
}

/** What the names of control variates begin with, where they travel with the tensors that they belong to. */
export const CONTROL_PREFIX = 'scaffold.control/';

/**
 * The manifest of what the coordinator and its sites exchange: the tensors of the model, and for SCAFFOLD a control
 * variate of each behind them all. Versions are stored, and updates sent, in this form.
 */
export function exchangedManifest(job: Pick<Job, 'model' | 'schemaVersion' | 'strategy'>): Manifest {
  const model = manifestOf(job);
  if (!hasControls(job.strategy)) return model;
  const controls = model.tensors.map((tensor) => ({ ...tensor, name: `${CONTROL_PREFIX}${tensor.name}` }));
  return { ...model, tensors: [...model.tensors, ...controls] };
}
