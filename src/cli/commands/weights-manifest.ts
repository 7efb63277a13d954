import { writeFile } from 'node:fs/promises';
import type { Command } from 'commander';
import { recordProbe } from '../../engines/models/record-probe.ts';
import { type OpenWeights, openWeightsFile } from '../../engines/open-weights-file.ts';
import { fail } from '../../errors/problem.ts';
import { loadKeyFile } from '../../identity/key-file.ts';
import { signManifest } from '../../identity/sign-manifest.ts';
import { inferMapping } from '../../weights/layouts/infer-mapping.ts';
import type { Framework } from '../../weights/layouts/layer.ts';
import { frameworkOf } from '../../weights/layouts/map-weights.ts';
import { describeWeights } from '../../weights/schema/describe-weights.ts';
import { successorOf } from '../../weights/schema/successor.ts';
import { parseVersion } from '../../weights/schema/version.ts';
import {
  manifestText,
  type WeightsManifest,
  weightsManifestSchema,
} from '../../weights/schema/weights-manifest.ts';
import { act, type CommandContext } from '../context.ts';
import { parseFlattened } from '../convert-layout.ts';
import { passphraseOf } from '../key-passphrase.ts';
import { loadManifest } from '../load-manifest.ts';
import {
  type EngineOptions,
  modelToRun,
  probePlan,
  wholeOption,
  withEngineOptions,
} from '../probe-options.ts';
import { tensorDigest } from '../tensor-digest.ts';
import type { Terminal } from '../terminal.ts';
import { collected, frameworkOption } from './weights-check.ts';

interface ManifestOptions extends EngineOptions {
  readonly id: string;
  readonly schemaVersion: string;
  readonly converted?: string;
  readonly framework?: Framework;
  readonly frameworkVersions?: string;
  readonly flatten: readonly string[];
  readonly probe: readonly string[];
  readonly seed: number;
  readonly batch: number;
  readonly square?: string;
  readonly previous?: string;
  readonly default: readonly string[];
  readonly key?: string;
  readonly to?: string;
}

/** `consilium weights manifest`, under the noun `weights`. */
export function registerWeightsManifest(weights: Command, terminal: Terminal): void {
  const command = weights
    .command('manifest')
    .description(
      'write down what a model’s tensors are, and how a converted file holds them (*.weights.json)',
    )
    .argument('<reference>', 'the weights in canonical form: PyTorch names and layout')
    .requiredOption('--id <name>', 'the name of the weight schema')
    .requiredOption('--schema-version <version>', 'MAJOR.MINOR.PATCH of the weight schema')
    .option('--converted <file>', 'the same weights in another framework; its mapping is inferred')
    .addOption(
      frameworkOption('--framework <name>', 'whose layout the converted file has, unless its format says'),
    )
    .option('--framework-versions <text>', 'versions of the framework that this was tried with')
    .option(
      '--flatten <layer=CxHxW>',
      'the map that was flattened before a Linear, or LAYER=none',
      collected,
      [],
    )
    .option(
      '--probe <shape>',
      'run the reference, and keep what every layer gives: the shape of one row of an input, 3x32x24, or 12:1000 for whole numbers; once for each input',
      collected,
      [],
    )
    .addOption(wholeOption('--seed <number>', 'of the probes', 0, 2 ** 32 - 1).default(1))
    .addOption(wholeOption('--batch <rows>', 'rows of each probe', 1, 256).default(2))
    .option('--square <reason>', 'why the height of an input is its width')
    .option(
      '--previous <manifest>',
      'the manifest of the version before: what changed since goes into the new one',
    )
    .option(
      '--default <tensor=number>',
      'what a site fills in that does not have the tensor yet; once for each',
      collected,
      [],
    )
    .option('--key <file>', 'sign it with the private key in this file')
    .option('--to <file>', 'where to (ID.weights.json unless said)');
  withEngineOptions(command).action(
    act<ManifestOptions>(terminal, (context, [reference], options) =>
      write(context, reference as string, options),
    ),
  );
}

async function write(context: CommandContext, file: string, options: ManifestOptions): Promise<void> {
  if (!parseVersion(options.schemaVersion)) {
    fail('USAGE', { reason: `--schema-version takes MAJOR.MINOR.PATCH, not ${options.schemaVersion}` });
  }
  const signer = options.key
    ? await loadKeyFile(options.key, { passphrase: passphraseOf(context.terminal) })
    : undefined;
  const defaults = parseDefaults(options.default);
  const previous = options.previous === undefined ? undefined : await loadManifest(context, options.previous);
  if (previous && previous.schema.id !== options.id) {
    fail('USAGE', { reason: `${options.previous} is of ${previous.schema.id}, not of ${options.id}` });
  }
  const described = withDefaults(await describe(context, file, options), defaults, file);
  const succeeding = previous ? succeed(context, previous, described) : described;
  const checked = weightsManifestSchema.safeParse(succeeding);
  if (!checked.success) {
    const [issue] = checked.error.issues;
    fail('USAGE', { reason: `no manifest can be written: ${issue?.path.join('.')}: ${issue?.message}` });
  }
  const manifest = signer ? await signManifest(checked.data, signer) : checked.data;
  const target = options.to ?? `${options.id}.weights.json`;
  await writeFile(target, manifestText(manifest)).catch((cause) =>
    fail('USAGE', { reason: `${target} could not be written (${cause.code})` }, cause),
  );
  context.print(manifest, () => `${target}\n`);
  context.say(
    `${manifest.schema.id} ${manifest.schema.version}: ${manifest.tensors.length} tensors, ${manifest.mapping.length} mapped to ${manifest.framework}${signer ? `, signed by ${signer.keyId}` : ''}`,
  );
}

async function describe(
  context: CommandContext,
  file: string,
  options: ManifestOptions,
): Promise<WeightsManifest> {
  const reference = await openWeightsFile(file);
  try {
    const described = await describeFiles(context, file, reference, options);
    if (options.probe.length === 0) return described;
    const plan = probePlan(options.probe, options.seed, options.batch);
    const model = modelToRun(context, reference, file, 'pytorch', options);
    const probe = await recordProbe(plan, options.square, model, described);
    const layers = probe.golden[0]!.layers.length;
    context.say(`${probe.kinds.length} probes, ${layers} layers, run in ${probe.recordedWith}`);
    return { ...described, probe };
  } finally {
    reference.close();
  }
}

async function describeFiles(
  context: CommandContext,
  file: string,
  reference: OpenWeights,
  { id, schemaVersion: version, converted, framework, frameworkVersions, flatten }: ManifestOptions,
): Promise<WeightsManifest> {
  if (frameworkOf(reference) !== 'pytorch') {
    fail('USAGE', {
      reason: `${file} has the layout of ${frameworkOf(reference)}; a manifest is of a PyTorch model`,
    });
  }
  if (converted === undefined) {
    return describeWeights(
      { id, version, framework: 'pytorch', frameworkVersions },
      reference,
      undefined,
      tensorDigest,
    );
  }
  const native = await openWeightsFile(converted);
  try {
    const whose = framework ?? frameworkOf(native);
    const inferred = inferMapping(reference, native, whose, { flattened: parseFlattened(flatten) });
    if (inferred.troubles.length > 0) {
      fail('CHECK_FAILED', { reason: inferred.troubles.map(({ message }) => message).join('\n') });
    }
    for (const { layer, op, tensors, because } of inferred.layers) {
      context.say(`${layer} (${op}): ${tensors.join(', ')}; ${because}`);
    }
    return describeWeights(
      { id, version, framework: whose, frameworkVersions },
      reference,
      inferred,
      tensorDigest,
    );
  } finally {
    native.close();
  }
}

/** Names of tensors and what is filled in for them, as people write it: norm.weight=1. Throws USAGE. */
function parseDefaults(texts: readonly string[]): ReadonlyMap<string, number> {
  return new Map(
    texts.map((text) => {
      const [, tensor = '', digits = ''] = /^(.+)=([^=\s]+)$/.exec(text) ?? [];
      const value = Number(digits);
      if (tensor === '' || !Number.isFinite(value)) {
        fail('USAGE', {
          reason: `--default takes a tensor and a number, such as norm.weight=1, not ${text}`,
        });
      }
      return [tensor, value] as const;
    }),
  );
}

function withDefaults(
  described: WeightsManifest,
  defaults: ReadonlyMap<string, number>,
  file: string,
): WeightsManifest {
  const names = described.tensors.map(({ name }) => name);
  const stray = [...defaults.keys()].find((name) => !names.includes(name));
  if (stray !== undefined)
    fail('USAGE', { reason: `--default names ${stray}, which is no tensor of ${file}` });
  return {
    ...described,
    tensors: described.tensors.map((tensor) => {
      const value = defaults.get(tensor.name);
      return value === undefined ? tensor : { ...tensor, default: value };
    }),
  };
}

/** The manifest with what it has of the one before. Throws CHECK_FAILED where its version was not raised by the step due. */
function succeed(
  context: CommandContext,
  previous: WeightsManifest,
  described: WeightsManifest,
): WeightsManifest {
  const { manifest, report } = successorOf(previous, described);
  const { taken = 'down', needed, changes } = report;
  const told = changes.map(({ about, message }) => (about === undefined ? message : `${about}: ${message}`));
  const step = `${report.from} -> ${report.to} is ${taken.toUpperCase()}, the change needs ${needed.toUpperCase()}`;
  if (report.verdict === 'failed') fail('CHECK_FAILED', { reason: [step, ...told].join('\n') });
  for (const line of [step, ...told]) context.say(line);
  return manifest;
}
