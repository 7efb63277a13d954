import { expect, test } from 'vitest';
import { successorOf } from '../../../src/weights/schema/successor.ts';
import {
  manifestFaults,
  type WeightsManifest,
  weightsManifestSchema,
} from '../../../src/weights/schema/weights-manifest.ts';

const at = (version: string, change: Record<string, unknown> = {}): WeightsManifest =>
  weightsManifestSchema.parse({
    apiVersion: 'consilium/v1',
    schema: { id: 'cxr', version },
    framework: 'pytorch',
    tensors: [{ name: 'fc.weight', shape: [2, 4], dtype: 'float32' }],
    layers: [{ name: 'fc', op: 'Linear' }],
    ...change,
  });
const bias = (change: Record<string, unknown> = {}) => [
  { name: 'fc.weight', shape: [2, 4], dtype: 'float32' },
  { name: 'fc.bias', shape: [2], dtype: 'float32', ...change },
];

test('the next manifest tells the step, and since when a tensor with a default is there', () => {
  const first = successorOf(at('1.0.0'), at('1.1.0', { tensors: bias({ default: 0 }) }));
  expect(first.report).toMatchObject({ verdict: 'passed', taken: 'minor' });
  expect(first.manifest.tensors[1]).toMatchObject({ name: 'fc.bias', default: 0, since: '1.1.0' });
  const added = { needs: 'minor', about: 'fc.bias', message: 'the tensor is new, 0 by default' };
  expect(first.manifest.history).toEqual([{ from: '1.0.0', to: '1.1.0', changes: [added] }]);

  const second = successorOf(first.manifest, at('1.1.1', { tensors: bias(), frameworkVersions: '2.13' }));
  expect(second.report.verdict).toBe('passed');
  expect(second.manifest.tensors[1]).toMatchObject({ default: 0, since: '1.1.0' });
  expect(second.manifest.history?.map(({ from, to }) => [from, to])).toEqual([
    ['1.0.0', '1.1.0'],
    ['1.1.0', '1.1.1'],
  ]);
  expect(manifestFaults(second.manifest)).toEqual([]);

  const third = successorOf(second.manifest, at('2.0.0', { tensors: bias() }));
  expect(third.manifest.tensors[1]).not.toHaveProperty('since');
  expect(third.manifest.tensors[1]).not.toHaveProperty('default');
  expect(third.report).toMatchObject({ verdict: 'passed', needed: 'major' });
  expect(third.manifest.history).toHaveLength(3);
});

test('what a person wrote into the manifest before stays', () => {
  const before = at('1.0.0', {
    layers: [{ name: 'fc', op: 'Linear', attributes: { eps: 1e-3 } }],
    tolerances: [{ tensors: 'fc.*', relativeL2: 1e-3, reason: 'half precision' }],
  });
  const { manifest, report } = successorOf(before, at('1.0.0'));
  expect(manifest.layers[0]?.attributes).toEqual({ eps: 1e-3 });
  expect(manifest.tolerances).toEqual(before.tolerances);
  expect(report).toMatchObject({ verdict: 'passed', needed: 'none' });
  // The same version anew, of other values, is no step.
  expect(manifest).not.toHaveProperty('history');
});

test('the judge of the step is that of weights breaking', () => {
  const { report } = successorOf(at('1.0.0'), at('1.1.0', { tensors: bias() }));
  expect(report).toMatchObject({ verdict: 'failed', taken: 'minor', needed: 'major' });
});

test.each([
  ['a step that is none', { history: [{ from: '1.1.0', to: '1.1.0', changes: [] }] }, 'no step up'],
  ['a step down', { history: [{ from: '2.0.0', to: '1.1.0', changes: [] }] }, 'no step up'],
  [
    'a gap',
    {
      history: [
        { from: '1.0.0', to: '1.0.1', changes: [] },
        { from: '1.0.2', to: '1.1.0', changes: [] },
      ],
    },
    'comes to 1.0.1, and goes on from 1.0.2',
  ],
  ['an end elsewhere', { history: [{ from: '1.0.0', to: '1.0.1', changes: [] }] }, 'goes on from 1.1.0'],
  ['since without a default', { tensors: bias({ since: '1.1.0' }) }, 'fc.bias came with 1.1.0'],
  ['since of another MAJOR', { tensors: bias({ since: '0.9.0', default: 0 }) }, 'fc.bias came with 0.9.0'],
  ['since of a later version', { tensors: bias({ since: '1.2.0', default: 0 }) }, 'fc.bias came with 1.2.0'],
  ['since the MAJOR itself', { tensors: bias({ since: '1.0.0', default: 0 }) }, 'fc.bias came with 1.0.0'],
])('a history that cannot be is a fault: %s', (_, change, fault) => {
  expect(manifestFaults(at('1.1.0', change)).join('; ')).toContain(fault);
});
