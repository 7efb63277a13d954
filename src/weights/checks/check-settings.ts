import { z } from 'zod';
import { matchesGlob } from '../../vocabulary/glob.ts';
import { outputTolerancesSchema } from '../probes/probe-section.ts';
import { counted } from './assemble-report.ts';
import type { CheckReport, Finding } from './report.ts';
import { RULES, type RuleId, SEVERITIES } from './rules.ts';

const RULE_IDS = Object.keys(RULES) as [RuleId, ...RuleId[]];
const reason = z.string().min(1).describe('why; stands in every report');
const tensors = z
  .string()
  .min(1)
  .describe('a canonical or native name; * stands for any part of it, such as optimizer.*');

/** What a person may settle once for all checks of a repository: the file `consilium-weights.yaml`. */
export const checkSettingsSchema = z.strictObject({
  apiVersion: z.literal('consilium/v1').describe('the version of this file’s format'),
  severities: z
    .partialRecord(z.enum(RULE_IDS), z.enum([...SEVERITIES, 'off']))
    .default({})
    .describe('how much a rule matters where it is not what its table says'),
  ignore: z
    .array(
      z.strictObject({
        rule: z.enum(RULE_IDS).describe('the id of a rule'),
        tensors: tensors.default('*'),
        reason,
      }),
    )
    .default([])
    .describe('findings that do not count; each with a reason'),
  tolerances: z
    .array(
      z.strictObject({
        tensors,
        relativeL2: z.number().positive().max(1).describe('largest relative L2 error of each tensor'),
        reason,
      }),
    )
    .default([])
    .describe(
      'tensors that are compared by their relative error in place of bit for bit; each with a reason',
    ),
  outputs: outputTolerancesSchema.default([]),
});

/** Those settings, defaults filled in. */
export type CheckSettings = z.infer<typeof checkSettingsSchema>;

/** Settings that change nothing. */
export const NO_SETTINGS: CheckSettings = checkSettingsSchema.parse({ apiVersion: 'consilium/v1' });

/** The tolerance that a list gives a tensor: that of the first entry that names it. */
export function toleranceIn(tolerances: CheckSettings['tolerances']): (tensor: string) => number | undefined {
  return (tensor) => tolerances.find(({ tensors: glob }) => matchesGlob(glob, tensor))?.relativeL2;
}

/** The tolerance that a list gives the output of a layer: that of the first entry that names it. */
export function outputToleranceIn(
  tolerances: CheckSettings['outputs'],
): (layer: string) => number | undefined {
  return (layer) => tolerances.find(({ layers: glob }) => matchesGlob(glob, layer))?.relativeL2;
}

/** Findings as settings weigh them, and the ignores that were of no use. */
export function settle(
  findings: readonly Finding[],
  { severities, ignore }: CheckSettings,
): { readonly findings: readonly Finding[]; readonly unused: readonly string[] } {
  const used = new Set<number>();
  const settled = findings.flatMap((one): Finding[] => {
    const severity = severities[one.rule] ?? one.severity;
    if (severity === 'off') return [];
    const place = ignore.findIndex(
      ({ rule, tensors: named }) =>
        rule === one.rule &&
        [one.tensor, one.native, ''].some((name) => name !== undefined && matchesGlob(named, name)),
    );
    if (place < 0) return [{ ...one, severity }];
    used.add(place);
    return [{ ...one, severity, ignored: ignore[place]!.reason }];
  });
  const unused = ignore.flatMap(({ rule, tensors: named }, place) =>
    used.has(place) ? [] : [`${rule} of ${named}`],
  );
  return { findings: settled, unused };
}

/** A report with its findings settled and its verdict drawn again. */
export function settledReport(
  report: CheckReport,
  settings: CheckSettings,
): { readonly report: CheckReport; readonly unused: readonly string[] } {
  const { findings, unused } = settle(report.findings, settings);
  return { report: { ...report, ...counted(findings), findings }, unused };
}
