import type { CheckReport, Finding } from '../../weights/checks/report.ts';
import { RULES, type Rule, type RuleId } from '../../weights/checks/rules.ts';
import { softwareVersion } from '../software-version.ts';
import { fileUri } from './file-uri.ts';
import { fingerprintOf } from './fingerprint.ts';
import { sentenceOf } from './folded-findings.ts';

/** Where the rules are explained. */
const HELP = 'https://github.com/consilium/consilium/blob/main/docs/WEIGHTS.md';
const SCHEMA = 'https://json.schemastore.org/sarif-2.1.0.json';

/**
 * A check as SARIF 2.1.0 (OASIS, 2020): one run, every rule, a result for each finding at the candidate's file with the
 * tensor as its logical location. What is ignored is suppressed, with its reason.
 */
export function sarifOf(report: CheckReport): string {
  const ids = Object.keys(RULES) as RuleId[];
  const document = {
    $schema: SCHEMA,
    version: '2.1.0',
    runs: [
      {
        tool: {
          driver: {
            name: 'consilium weights check',
            semanticVersion: softwareVersion(),
            rules: ids.map((id) => ruleOf(id, RULES[id])),
          },
        },
        results: report.findings.map((one) => resultOf(one, ids.indexOf(one.rule), report.candidate.file)),
        columnKind: 'utf16CodeUnits',
        properties: { verdict: report.verdict, tensors: report.tensors.length },
      },
    ],
  };
  return `${JSON.stringify(document, undefined, 2)}\n`;
}

function ruleOf(id: RuleId, { name, category, severity, finds, remedy }: Rule) {
  return {
    id,
    name,
    shortDescription: { text: finds },
    help: { text: remedy },
    helpUri: `${HELP}#${id.toLowerCase()}-${name}`,
    defaultConfiguration: { level: severity },
    properties: { category },
  };
}

function resultOf(one: Finding, ruleIndex: number, file: string) {
  const name = one.tensor ?? one.native;
  return {
    ruleId: one.rule,
    ruleIndex,
    level: one.severity,
    message: { text: sentenceOf(one) },
    locations: [
      {
        physicalLocation: { artifactLocation: { uri: fileUri(file) } },
        ...(name === undefined ? {} : { logicalLocations: [{ fullyQualifiedName: name, kind: 'member' }] }),
      },
    ],
    partialFingerprints: { 'consilium/v1': fingerprintOf(one) },
    ...(one.ignored === undefined
      ? {}
      : { suppressions: [{ kind: 'external', status: 'accepted', justification: one.ignored }] }),
  };
}
