import { join } from 'node:path';
import { expect, test } from 'vitest';
import { openWeightsFile } from '../../../src/engines/open-weights-file.ts';
import { checkFiles } from '../../../src/weights/checks/check-files.ts';
import type { CheckReport } from '../../../src/weights/checks/report.ts';
import { frameworkOf } from '../../../src/weights/layouts/map-weights.ts';
import { permuteAxes } from '../../../src/weights/layouts/permute-axes.ts';
import { FIXTURES } from '../fixtures/fixtures.ts';
import { sampleOf } from './model-files.ts';
import { type Sample, storedSample } from './sample-model.ts';

const HINTS = { flattened: { finding: [6, 4, 3], risk: [] } };

/** Checks a file that a framework wrote against one of PyTorch, whose tensors may be spoilt before. */
async function check(
  candidate: string,
  reference: string,
  spoil: (sample: Sample) => void = () => {},
): Promise<CheckReport> {
  const fixture = (file: string) => openWeightsFile(join(FIXTURES, 'hospital', file));
  const [before, after] = await Promise.all([fixture(reference), fixture(candidate)]);
  try {
    const sample = sampleOf(before);
    spoil(sample);
    return checkFiles(
      { stored: storedSample(sample, reference, 'pytorch'), framework: 'pytorch' },
      { stored: after, framework: frameworkOf(after) },
      HINTS,
    );
  } finally {
    before.close();
    after.close();
  }
}

test.each([
  ['vitals.keras', 'vitals.pt'],
  ['vitals.h5', 'vitals.pt'],
  ['vitals.onnx', 'vitals.pt'],
  ['vitals-dynamo.onnx', 'vitals.pt'],
  ['notes-script.onnx', 'notes.pt'],
  ['notes-dynamo.onnx', 'notes.pt'],
  ['scan.keras', 'scan.pt'],
  ['scan.h5', 'scan.pt'],
  ['scan-export/variables.index', 'scan.pt'],
])('%s is %s, as the two frameworks wrote them', async (candidate, reference) => {
  const { verdict, findings } = await check(candidate, reference);
  expect(findings).toEqual([]);
  expect(verdict).toBe('passed');
});

test.each(['vitals.keras', 'vitals.h5', 'vitals.onnx'])(
  'the two directions of a layer exchanged are caught in %s, whatever its wrapper is called',
  async (candidate) => {
    const { verdict, findings } = await check(candidate, 'vitals.pt', (sample) => {
      for (const part of ['weight_ih', 'weight_hh', 'bias_ih', 'bias_hh']) {
        const [forward, backward] = [`lstm.${part}_l1`, `lstm.${part}_l1_reverse`];
        const [one, other] = [sample.get(forward)!, sample.get(backward)!];
        sample.set(forward, other);
        sample.set(backward, one);
      }
    });
    expect(verdict).toBe('failed');
    expect(findings.map(({ rule }) => rule)).toContain('WC206');
  },
);

test.each(['up.weight', 'label.weight', 'attend.in_proj_weight', 'attend.out_proj.weight'])(
  '%s the other way round is caught in a graph that numbers its matrices',
  async (name) => {
    for (const candidate of ['notes-script.onnx', 'notes-dynamo.onnx']) {
      const { verdict, findings } = await check(candidate, 'notes.pt', (sample) => {
        const { shape, values } = sample.get(name)!;
        const [rows, columns] = shape as [number, number];
        // Read the other way round under the same shape.
        sample.set(name, { shape, values: permuteAxes(values, [columns, rows], [1, 0]) });
      });
      expect(verdict).toBe('failed');
      expect(findings.map(({ tensor }) => tensor)).toEqual([name]);
    }
  },
);

test('a checkpoint that holds the model and its average is not guessed at: both are named, and how to say which', async () => {
  const { verdict, tensors, findings } = await check('scan-checkpoint.pt', 'scan.pt');
  expect(verdict).toBe('failed');
  expect(tensors).toEqual([]);
  expect(findings.map(({ rule }) => rule)).toEqual(['WC110', 'WC109']);
  expect(findings[0]!.message).toBe(
    'the candidate holds the model of the reference behind state_dict.module. and behind ema_state_dict.; say which, such as --prefix state_dict.module.',
  );
});

test('batch norms that an exporter folded away are one finding, which says how to export', async () => {
  const { verdict, findings } = await check('scan-folded.onnx', 'scan.pt');
  expect(verdict).toBe('failed');
  expect(findings[0]).toMatchObject({
    rule: 'WC114',
    message: 'the graph has no batch norm norm',
  });
  expect(findings.filter(({ tensor }) => tensor?.startsWith('norm.'))).toEqual([]);
});
