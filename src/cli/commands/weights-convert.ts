import { type Command, Option } from 'commander';
import type { OpenWeights } from '../../engines/open-weights-file.ts';
import {
  TEMPLATE_FORMATS,
  WRITTEN_FORMATS,
  type WrittenFormat,
  writeWeightsFile,
} from '../../engines/write-weights-file.ts';
import { fail } from '../../errors/problem.ts';
import { closest } from '../../vocabulary/closest.ts';
import { asFloat32 } from '../../weights/as-float32.ts';
import type { Framework } from '../../weights/layouts/layer.ts';
import type { StoredTensor } from '../../weights/stored-tensors.ts';
import { tensorBytes } from '../../weights/tensor-values.ts';
import { act, type CommandContext } from '../context.ts';
import { checkConverted, type LayoutOptions, planLayout } from '../convert-layout.ts';
import { openPart } from '../open-part.ts';
import { readableBytes } from '../output.ts';
import { softwareVersion } from '../software-version.ts';
import type { Terminal } from '../terminal.ts';
import { collected, frameworkOption } from './weights-check.ts';

interface ConvertOptions extends LayoutOptions {
  readonly format?: WrittenFormat;
  readonly prefix?: string;
  readonly only?: readonly string[];
  readonly without?: readonly string[];
  readonly float32?: boolean;
  readonly force?: boolean;
}

/** What the endings of file names say, where `--format` does not. */
const ENDINGS: readonly (readonly [RegExp, WrittenFormat])[] = [
  [/\.safetensors$/i, 'safetensors'],
  [/\.npz$/i, 'npz'],
  [/\.json$/i, 'tfjs'],
  [/\.onnx$/i, 'onnx'],
  [/\.(?:h5|hdf5)$/i, 'h5'],
  [/\.keras$/i, 'keras'],
];

/** `consilium weights convert`, under the noun `weights`. */
export function registerWeightsConvert(weights: Command, terminal: Terminal): void {
  weights
    .command('convert')
    .description(
      'write the same tensors in another format, bit for bit; with --to in the names and the layout of another framework',
    )
    .argument('<from>', 'a weights file of any format that is read')
    .argument('<to>', 'where to; for tfjs the model.json')
    .addOption(new Option('--format <format>', 'unless the ending says').choices(WRITTEN_FORMATS))
    .addOption(frameworkOption('--to <framework>', 'whose names and layout the new file has'))
    .addOption(frameworkOption('--framework <name>', 'whose layout the old file has, unless its format says'))
    .option('--manifest <file>', 'with --to: the weights manifest that says what belongs together')
    .option('--signed-by <key>', 'refuse a manifest that the key of this id did not sign')
    .option('--template <model>', 'the model whose weights are replaced')
    .option(
      '--flatten <layer=CxHxW>',
      'with --to: the map that was flattened before a Linear, or LAYER=none; once for each',
      collected,
      [],
    )
    .option(
      '--layer <layer=operator>',
      'with --to: what a layer is where its shapes do not say; LAYER=OPERATOR:COUNT with heads or filters for each channel',
      collected,
      [],
    )
    .option('--prefix <names>', 'what is named so, such as state_dict.module., without that beginning')
    .option('--only <names...>', 'these tensors alone')
    .option('--without <names...>', 'all but these tensors')
    .option('--float32', 'write float16 and bfloat16 as the float32 that they are exactly')
    .option('--force', 'replace files that are there')
    .action(
      act<ConvertOptions>(terminal, (context, [from, to], options) =>
        convert(context, from as string, to as string, options),
      ),
    );
}

async function convert(
  context: CommandContext,
  from: string,
  to: string,
  options: ConvertOptions,
): Promise<void> {
  const format = options.format ?? ENDINGS.find(([ending]) => ending.test(to))?.[1];
  if (!format) {
    fail('USAGE', {
      reason: `${to} does not say which format; name one with --format ${WRITTEN_FORMATS.join('|')}`,
    });
  }
  const asked = [options.manifest, options.framework, ...options.flatten, ...options.layer];
  if (options.to === undefined && asked.some((one) => one !== undefined)) {
    fail('USAGE', { reason: '--manifest, --framework, --flatten and --layer are about --to FRAMEWORK' });
  }
  const opened = await openPart(from, options.prefix);
  try {
    const chosen = chosenTensors(opened.tensors, options);
    const given = { ...opened, tensors: options.float32 ? chosen.map(asFloat32) : chosen };
    const layout = options.to && (await planLayout(context, given, options.to, options));
    const tensors = layout ? layout.tensors : given.tensors;
    const files = await writeWeightsFile({
      path: to,
      format,
      tensors,
      metadata: metadataOf(opened, options.to),
      generatedBy: `consilium ${softwareVersion()}`,
      // A template of another format only lent its names.
      template: options.to === undefined || TEMPLATE_FORMATS.has(format) ? options.template : undefined,
      force: options.force ?? false,
    });
    if (layout) {
      const compared = await checkConverted(files, layout);
      context.say(`checked: ${compared} tensors are what ${from} holds`);
    }
    const bytes = tensors.reduce((sum, tensor) => sum + tensorBytes(tensor), 0);
    context.print({ format, files, tensors: tensors.length, bytes }, () => `${files.join('\n')}\n`);
    context.say(`${tensors.length} tensors, ${readableBytes(bytes)}, from ${opened.format} to ${format}`);
    const tied = tensors.filter(({ tiedTo }) => tiedTo !== undefined);
    if (tied.length > 0) {
      context.say(
        `written once more each, as ${format} knows no ties: ${tied.map(({ name }) => name).join(', ')}`,
      );
    }
  } finally {
    opened.close();
  }
}

/** What safetensors keeps: what the file said, and whose layout it has, by the names that huggingface/safetensors gives. */
function metadataOf({ metadata }: OpenWeights, to: Framework | undefined): Readonly<Record<string, string>> {
  const { format: _, ...others } = metadata;
  if (to === undefined) return metadata;
  return to === 'keras' || to === 'pytorch' ? { ...others, format: to === 'keras' ? 'tf' : 'pt' } : others;
}

function chosenTensors(
  tensors: readonly StoredTensor[],
  { only, without = [] }: ConvertOptions,
): readonly StoredTensor[] {
  const names = tensors.map(({ name }) => name);
  for (const asked of [...(only ?? []), ...without]) {
    if (names.includes(asked)) continue;
    const near = closest(asked, names);
    fail('USAGE', {
      reason: `there is no tensor ${asked}${near === undefined ? '' : `; did you mean ${near}?`}`,
    });
  }
  return tensors.filter(({ name }) => (only?.includes(name) ?? true) && !without.includes(name));
}
