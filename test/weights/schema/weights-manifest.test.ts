import { createHash } from 'node:crypto';
import { expect, test } from 'vitest';
import { manifestSigner, signManifest } from '../../../src/identity/sign-manifest.ts';
import { sm2Signer } from '../../../src/identity/sm2.ts';
import { SYSTEM_RANDOM } from '../../../src/ports/system-random.ts';
import { generateSm2Key } from '../../../src/sm/sm2-key.ts';
import { inferMapping } from '../../../src/weights/layouts/infer-mapping.ts';
import { checkByManifest, manifestMismatch } from '../../../src/weights/schema/check-manifest.ts';
import {
  describeWeights,
  digestedBytes,
  type TensorDigest,
} from '../../../src/weights/schema/describe-weights.ts';
import {
  manifestFaults,
  manifestText,
  type WeightsManifest,
  weightsManifestSchema,
} from '../../../src/weights/schema/weights-manifest.ts';
import {
  convertedSample,
  FLATTENED,
  heldLayers,
  pytorchSample,
  type Sample,
  storedSample,
} from '../checks/sample-model.ts';

const digest: TensorDigest = (tensor) => ({
  sha256: createHash('sha256').update(digestedBytes(tensor)).digest('hex'),
});
const canonical = pytorchSample(1, heldLayers('keras'));
const native = convertedSample(canonical, 'keras', heldLayers('keras'));
const reference = { stored: storedSample(canonical, 'reference', 'pytorch'), framework: 'pytorch' } as const;
const candidateOf = (sample: Sample) =>
  ({ stored: storedSample(sample, 'candidate', 'keras'), framework: 'keras' }) as const;

function manifest(): WeightsManifest {
  const inferred = inferMapping(reference.stored, candidateOf(native).stored, 'keras', {
    flattened: FLATTENED,
  });
  return describeWeights(
    { id: 'sample', version: '1.0.0', framework: 'keras' },
    reference.stored,
    inferred,
    digest,
  );
}

test('a manifest is valid against its own schema, and reads back the same from its file', () => {
  const made = manifest();
  expect(weightsManifestSchema.parse(made)).toEqual(made);
  expect(weightsManifestSchema.parse(JSON.parse(manifestText(made)))).toEqual(made);
  expect(manifestText(JSON.parse(manifestText(made)))).toBe(manifestText(made));
  expect(manifestFaults(made)).toEqual([]);
});

test('what it says is enough to check a conversion, in both directions, with nothing inferred', () => {
  const made = manifest();
  const there = checkByManifest(reference, candidateOf(native), made, digest);
  expect(there).toMatchObject({ verdict: 'passed', findings: [], mapping: { origin: 'manifest' } });
  expect(checkByManifest(candidateOf(native), reference, made, digest).findings).toEqual([]);
});

test('a wrong conversion fails by the manifest as it does without', () => {
  const spoilt = new Map(native);
  spoilt.set('fc2/kernel', { ...native.get('fc2/kernel')!, values: canonical.get('fc2.weight')!.values });
  const report = checkByManifest(reference, candidateOf(spoilt), manifest(), digest);
  expect(report.findings.map(({ rule }) => rule)).toEqual(['WC203']);
});

test('a manifest without a mapping to the framework of either file cannot tell of them; files of one framework need none', () => {
  const made = manifest();
  const candidate = candidateOf(native);
  const onnx = { ...candidate, framework: 'onnx' } as const;
  const plain: WeightsManifest = { ...made, framework: 'pytorch', mapping: [] };
  const file = candidate.stored.file;
  const remedy = `a manifest holds one conversion: make one for this with weights manifest --converted ${file}`;
  expect(manifestMismatch(reference, onnx, made)).toBe(
    `the manifest maps to keras, and ${file} is of onnx; ${remedy}`,
  );
  expect(manifestMismatch(candidate, reference, plain)).toBe(
    `the manifest has no mapping, and ${file} is of keras; ${remedy}`,
  );
  for (const [left, right, one] of [
    [reference, candidate, made],
    [reference, { ...candidate, framework: 'tfjs' }, made],
    [candidate, reference, made],
    [reference, reference, plain],
    [reference, reference, made],
    [candidate, candidate, plain],
  ] as const) {
    expect(manifestMismatch(left, right, one)).toBeUndefined();
  }
});

test('another reference than the one that the manifest was written for is named, tensor by tensor', () => {
  const other = new Map(canonical);
  other.set('fc2.bias', { shape: [8], values: Float32Array.from({ length: 8 }, (_, at) => at + 1) });
  const report = checkByManifest(
    { stored: storedSample(other, 'reference', 'pytorch'), framework: 'pytorch' },
    candidateOf(native),
    manifest(),
    digest,
  );
  expect(report.findings.map(({ rule, tensor }) => `${rule} ${tensor}`)).toContain('WC701 fc2.bias');
});

test('a reference that has other tensors than the schema is named; one with a default may be missing', () => {
  const made = manifest();
  const fewer = new Map([...canonical].filter(([name]) => name !== 'token'));
  const side = { stored: storedSample(fewer, 'reference', 'pytorch'), framework: 'pytorch' } as const;
  const rules = (one: WeightsManifest) =>
    checkByManifest(side, side, one, digest).findings.map(({ rule, tensor }) => `${rule} ${tensor}`);
  expect(rules(made)).toEqual(['WC702 token']);
  const filled = made.tensors.map((tensor) => (tensor.name === 'token' ? { ...tensor, default: 0 } : tensor));
  expect(rules({ ...made, tensors: filled })).toEqual([]);
});

test.each<[string, (one: WeightsManifest) => unknown]>([
  [
    'is no tensor',
    (one) => {
      one.mapping[0]!.pieces[0]!.tensor = 'nobody';
    },
  ],
  ['mapped twice', (one) => one.mapping.push(one.mapping[0]!)],
  ['named twice', (one) => one.tensors.push(one.tensors[0]!)],
  [
    'is none',
    (one) => {
      one.mapping[0]!.pieces[0]!.order = [0, 0, 1, 2];
    },
  ],
  [
    'is none',
    (one) => {
      one.mapping[0]!.pieces[0]!.axes = [1, 1, 1, 1];
    },
  ],
  [
    'is none',
    (one) => {
      one.mapping[0]!.pieces[0]!.rows = [4, 2];
    },
  ],
  [
    'has not the elements',
    (one) => {
      one.mapping[0]!.shape = [1];
    },
  ],
  [
    'have no axis',
    (one) => {
      one.mapping[0]!.join = { concat: 9 };
    },
  ],
])('a manifest that contradicts itself is refused: %s', (fault, spoil) => {
  const made = structuredClone(manifest());
  spoil(made);
  expect(manifestFaults(made).join('; ')).toContain(fault);
});

test('a signature is of everything else in the manifest, and of the key that it names', async () => {
  const key = generateSm2Key((length) => SYSTEM_RANDOM.bytes(length));
  const signer = sm2Signer(key, SYSTEM_RANDOM);
  const signed = await signManifest(manifest(), signer);
  expect(weightsManifestSchema.parse(JSON.parse(manifestText(signed)))).toEqual(signed);
  expect(await manifestSigner(signed)).toBe(signer.keyId);
  expect(await manifestSigner(manifest())).toBeUndefined();
  const changed = { ...signed, schema: { id: 'sample', version: '1.0.1' } };
  expect(await manifestSigner(changed)).toBe('broken');
  const renamed = { ...signed, signature: { ...signed.signature!, keyId: '0'.repeat(16) } };
  expect(await manifestSigner(renamed)).toBe('broken');
  expect((await signManifest(signed, signer)).signature?.keyId).toBe(signer.keyId);
});
