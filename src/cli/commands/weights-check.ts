import { appendFile, writeFile } from 'node:fs/promises';
import { type Command, Option } from 'commander';
import { RECORDED_SUITE, readOperatorSuite } from '../../engines/operators/operator-case.ts';
import { recordOperatorSuite } from '../../engines/operators/record-suite.ts';
import { EXIT } from '../../errors/catalogue.ts';
import { fail } from '../../errors/problem.ts';
import { checkFiles } from '../../weights/checks/check-files.ts';
import {
  type CheckSettings,
  NO_SETTINGS,
  settledReport,
  toleranceIn,
} from '../../weights/checks/check-settings.ts';
import type { CheckReport } from '../../weights/checks/report.ts';
import { FRAMEWORKS, type Framework } from '../../weights/layouts/layer.ts';
import { frameworkOf } from '../../weights/layouts/map-weights.ts';
import { checkByManifest, manifestMismatch } from '../../weights/schema/check-manifest.ts';
import type { WeightsManifest } from '../../weights/schema/weights-manifest.ts';
import { checkProbe, type ProbeCheck } from '../check-probe.ts';
import { act, type CommandContext } from '../context.ts';
import { parseFlattened } from '../convert-layout.ts';
import { loadConfig } from '../load-config.ts';
import { loadManifest } from '../load-manifest.ts';
import { openPart } from '../open-part.ts';
import { wantsColour } from '../output.ts';
import { type EngineOptions, withEngineOptions } from '../probe-options.ts';
import { tensorDigest } from '../tensor-digest.ts';
import type { Terminal } from '../terminal.ts';
import { operatorText } from '../weights-report/operator-text.ts';
import { isReportFormat, REPORT_FORMATS } from '../weights-report/render-report.ts';
import { textOf } from '../weights-report/text.ts';

/** Options of every command that compares two files. */
interface CheckCommandOptions extends EngineOptions {
  readonly against?: string;
  readonly operators?: boolean;
  readonly live?: string | true;
  readonly probe?: boolean;
  readonly engine?: 'tfjs' | 'onnx';
  readonly framework?: Framework;
  readonly againstFramework?: Framework;
  readonly prefix?: string;
  readonly againstPrefix?: string;
  readonly flatten: readonly string[];
  readonly settings?: string;
  readonly manifest?: string;
  readonly signedBy?: string;
  readonly report: readonly string[];
  readonly all?: boolean;
}

/** `consilium weights check`, under the noun `weights`. */
export function registerWeightsCheck(weights: Command, terminal: Terminal): void {
  const command = weights
    .command('check')
    .description('fail unless two files of weights are one model, whatever their frameworks')
    .argument('[candidate]', 'the converted weights, in any format that is read')
    .option('--against <reference>', 'the weights that it was converted from')
    .addOption(
      frameworkOption('--framework <name>', 'whose layout the candidate has, unless its format says'),
    )
    .addOption(
      frameworkOption('--against-framework <name>', 'whose layout the reference has, unless its format says'),
    )
    .option('--prefix <names>', 'the model is what of the candidate is named so, such as state_dict.module.')
    .option('--against-prefix <names>', 'the same of the reference')
    .option(
      '--flatten <layer=CxHxW>',
      'the map that was flattened before a Linear, or LAYER=none; once for each',
      collected,
      [],
    )
    .option(
      '--manifest <file>',
      'the weights manifest that says what belongs together; else that is inferred',
    )
    .option('--signed-by <key>', 'refuse a manifest that the key of this id did not sign')
    .option('--settings <file>', 'severities, tolerances and ignores with reasons (consilium-weights.yaml)')
    .option(
      '--report <format=file>',
      `also write a report: ${Object.keys(REPORT_FORMATS).join(', ')}; - is stdout, +FILE appends`,
      collected,
      [],
    )
    .option('--all', 'write every row and finding, and not only the first of many')
    .option('--probe', 'also run the candidate on the probes of the manifest, and compare every layer')
    .option(
      '--operators',
      'in place of files: convert and run every core operator, and compare with what PyTorch gave',
    )
    .addOption(
      new Option(
        '--engine <name>',
        'with --operators: where they are run; ONNX Runtime has a GRU as well',
      ).choices(['tfjs', 'onnx']),
    )
    .option(
      '--live [python]',
      'with --operators: ask the PyTorch of this machine (python3 unless said); with --probe: run the reference too',
    );
  withEngineOptions(command).action(
    act<CheckCommandOptions>(terminal, (context, [candidate], options) => {
      if (options.operators) return checkOperatorsOf(context, candidate, options);
      if (candidate === undefined || options.against === undefined || (options.live && !options.probe)) {
        fail('USAGE', {
          reason:
            'weights check takes CANDIDATE --against REFERENCE [--probe [--live]], or --operators [--live]',
        });
      }
      if (options.probe && options.manifest === undefined) {
        fail('USAGE', { reason: 'the probes of --probe are those of a manifest; name it with --manifest' });
      }
      return check(context, candidate, options.against, options);
    }),
  );
}

/** An option that names a framework. */
export function frameworkOption(flags: string, description: string): Option {
  return new Option(flags, description).choices([...FRAMEWORKS]);
}

/** Gathers an option that may stand several times. */
export function collected(value: string, before: readonly string[]): readonly string[] {
  return [...before, value];
}

async function checkOperatorsOf(
  context: CommandContext,
  candidate: string | undefined,
  { against, live, engine }: CheckCommandOptions,
) {
  if (candidate !== undefined || against !== undefined) {
    fail('USAGE', { reason: '--operators compares no files' });
  }
  const { checkOperators, checkOperatorsInOnnx, openOperatorEngine } = await import(
    '../../engines/operators/check-operators.ts'
  );
  const suite = live
    ? await recordOperatorSuite(live === true ? 'python3' : live)
    : await readOperatorSuite(RECORDED_SUITE);
  const report =
    engine === 'onnx' ? await checkOperatorsInOnnx(suite) : checkOperators(suite, await openOperatorEngine());
  const { stdout, environment } = context.terminal;
  context.print(report, () => operatorText(report, wantsColour(stdout, environment)));
  return report.verdict === 'passed' ? EXIT.ok : EXIT.checkFailed;
}

async function check(context: CommandContext, file: string, against: string, options: CheckCommandOptions) {
  const reports = options.report.map(parseReport);
  const flattened = parseFlattened(options.flatten);
  const settings = options.settings
    ? await loadConfig('weights-check', options.settings, context.language)
    : NO_SETTINGS;
  if (options.signedBy !== undefined && options.manifest === undefined) {
    fail('USAGE', { reason: '--signed-by is about a manifest; name it with --manifest' });
  }
  const manifest =
    options.manifest === undefined
      ? undefined
      : await loadManifest(context, options.manifest, options.signedBy);
  const reference = await openPart(against, options.againstPrefix);
  try {
    const candidate = await openPart(file, options.prefix);
    try {
      const sides = [
        { stored: reference, framework: options.againstFramework ?? frameworkOf(reference) },
        { stored: candidate, framework: options.framework ?? frameworkOf(candidate) },
      ] as const;
      const mismatch = manifest && manifestMismatch(...sides, manifest);
      if (mismatch !== undefined) fail('USAGE', { reason: `${options.manifest}: ${mismatch}` });
      const tolerances = manifest ? [...settings.tolerances, ...manifest.tolerances] : settings.tolerances;
      const compared = { toleranceOf: toleranceIn(tolerances) };
      const found = manifest
        ? checkByManifest(...sides, manifest, tensorDigest, compared)
        : checkFiles(...sides, { flattened }, compared);
      const outputs =
        manifest && options.probe
          ? await checkProbe(
              context,
              found,
              { ...sides[0], stored: reference, path: against },
              { ...sides[1], stored: candidate, path: file },
              probeCheckOf(manifest, options, settings),
            )
          : found;
      const { report, unused } = settledReport(outputs, settings);
      for (const one of unused) context.say(`${options.settings}: the ignore of ${one} matched nothing`);
      await deliver(context, report, reports, options.all ?? false);
      return report.verdict === 'passed' ? EXIT.ok : EXIT.checkFailed;
    } finally {
      candidate.close();
    }
  } finally {
    reference.close();
  }
}

function probeCheckOf(
  manifest: WeightsManifest,
  { manifest: file, signedBy, live, model, python }: CheckCommandOptions,
  settings: CheckSettings,
): ProbeCheck {
  const program = python ?? (typeof live === 'string' ? live : undefined);
  return {
    manifest,
    manifestFile: file!,
    trusted: signedBy !== undefined,
    live: live !== undefined,
    engines: {
      ...(model === undefined ? {} : { model }),
      ...(program === undefined ? {} : { python: program }),
    },
    settings,
  };
}

/** Prints a report and writes it wherever else it was asked for. */
async function deliver(
  context: CommandContext,
  report: CheckReport,
  reports: readonly ReturnType<typeof parseReport>[],
  all: boolean,
): Promise<void> {
  const { stdout, environment } = context.terminal;
  const aloneOnStdout = reports.some(({ target }) => target === '-');
  if (!aloneOnStdout)
    context.print(report, () =>
      textOf(report, { colour: wantsColour(stdout, environment), language: context.language, all }),
    );
  for (const { format, target } of reports) {
    const text = REPORT_FORMATS[format](report);
    if (target === '-') stdout.write(text);
    else {
      const [append, path] = target.startsWith('+') ? [true, target.slice(1)] : [false, target];
      await (append ? appendFile(path, text) : writeFile(path, text)).catch((cause) =>
        fail('USAGE', { reason: `the report ${path} could not be written (${cause.code})` }, cause),
      );
    }
  }
}

function parseReport(text: string) {
  const [, format = '', target = ''] = /^([a-z]+)=(.+)$/.exec(text) ?? [];
  if (!isReportFormat(format) || target === '') {
    fail('USAGE', {
      reason: `--report takes FORMAT=FILE with one of ${Object.keys(REPORT_FORMATS).join(', ')}, not ${text}`,
    });
  }
  return { format, target };
}
