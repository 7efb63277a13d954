import { describe, expect, it } from 'vitest';
import { manifestOf } from '../../src/rounds/job.ts';
import { jobFileSchema, jobOfFile } from '../../src/rounds/job-file.ts';
import { jobManifest, parseJobManifest } from '../../src/rounds/job-manifest.ts';
import { goldenOf } from '../../src/weights/probes/golden.ts';
import { manifestFaults } from '../../src/weights/schema/weights-manifest.ts';
import { EXTERNAL_TENSORS, externalJob, externalJobFile, externalManifest } from './external-model.ts';
import { jobOf } from './federation.ts';

const bare = { ...externalJobFile(), model: { kind: 'external', tensors: EXTERNAL_TENSORS } };
const faultOf = (change: Record<string, unknown>) => {
  const issue = jobFileSchema.safeParse({ ...bare, ...change }).error?.issues[0];
  return issue && `${issue.path.join('.')}: ${issue.message}`;
};
const refusalOf = (manifest: Record<string, unknown>, change: Record<string, unknown> = {}) => {
  const job = jobOfFile(externalJobFile(change), externalManifest(manifest));
  return job.ok ? undefined : job.refusal;
};

describe('the file of a job', () => {
  it('has id, version and tensors from its weights manifest', () => {
    const job = externalJob();
    expect(job.weightSchema).toEqual({ id: 'tiny', version: '1.0.0', probe: 'required', relativeL2: 1e-5 });
    expect(job.model).toEqual({ kind: 'external', tensors: EXTERNAL_TENSORS });
    expect(manifestOf(job).schemaVersion).toBe('1.0.0');
  });

  it('may say them too, where they are the same', () => {
    const said = { manifest: 'tiny.weights.json', id: 'tiny', version: '1.0.0', probe: 'off' };
    const job = externalJob({ weightSchema: said, model: { kind: 'external', tensors: EXTERNAL_TENSORS } });
    expect(job.weightSchema).toMatchObject({ id: 'tiny', version: '1.0.0', probe: 'off' });
    expect(refusalOf({}, { weightSchema: { ...said, version: '1.1.0' } })).toBe(
      'weightSchema.manifest: it is of tiny 1.0.0, and the job is of tiny 1.1.0',
    );
    const other = EXTERNAL_TENSORS.map((tensor) => ({ ...tensor, shape: [...tensor.shape, 1] }));
    expect(refusalOf({}, { model: { kind: 'external', tensors: other } })).toContain(
      'tensor first.weight has shape [4, 4], not [4, 4, 1]',
    );
  });

  it('passes over what PyTorch counts, whatever its dtype, unless the job lists it', () => {
    const count = { name: 'norm.num_batches_tracked', dtype: 'float32', shape: [], sha256: '0'.repeat(64) };
    for (const dtype of ['int64', 'float32']) {
      const manifest = externalManifest({
        tensors: [...externalManifest().tensors, { ...count, dtype }],
      });
      const job = externalJob({}, manifest);
      expect(job.model).toEqual({ kind: 'external', tensors: EXTERNAL_TENSORS });
      expect(jobManifest(job, manifest).tensors).toHaveLength(EXTERNAL_TENSORS.length);
    }
    const manifest = externalManifest({ tensors: [...externalManifest().tensors, count] });
    const listed = [...EXTERNAL_TENSORS, { name: count.name, shape: [] }];
    const job = externalJob({ model: { kind: 'external', tensors: listed } }, manifest);
    expect(jobManifest(job, manifest).tensors.map(({ name }) => name)).toContain(count.name);
    // A tensor that only bears the name counts nothing.
    const vector = externalManifest({
      tensors: [...externalManifest().tensors, { ...count, shape: [2] }],
    });
    expect(manifestOf(externalJob({}, vector)).tensors).toHaveLength(EXTERNAL_TENSORS.length + 1);
  });

  it('takes along since when a tensor is there, and its default', () => {
    const tensors = externalManifest().tensors.map((tensor) =>
      tensor.name === 'last.bias' ? { ...tensor, default: 0, since: '1.1.0' } : { ...tensor, default: 1 },
    );
    const manifest = externalManifest({ schema: { id: 'tiny', version: '1.2.0' }, tensors });
    expect(externalJob({}, manifest).model).toMatchObject({
      tensors: [{}, {}, {}, { name: 'last.bias', since: '1.1.0', default: 0 }],
    });
    // A default that nobody knows the beginning of says nothing about any trainer of before.
    expect(externalJob({}, manifest).model).not.toMatchObject({ tensors: [{ default: 1 }, {}, {}, {}] });
  });

  it.each([
    [
      'neither schema nor manifest',
      { weightSchema: { id: 'tiny' } },
      'weightSchema: id and version are needed',
    ],
    [
      'no tensors at all',
      { model: { kind: 'external' }, weightSchema: undefined },
      'model: an external model lists',
    ],
    [
      'a probe that nobody could judge',
      { weightSchema: { id: 'tiny', version: '1.0.0' } },
      'weightSchema: what an external model has to compute, its manifest says',
    ],
    ['what no job may say', { weightSchema: undefined, quorum: 3 }, 'quorum: quorum 3 is larger'],
  ])('is refused with %s', (_, change, fault) => {
    expect(faultOf(change)).toContain(fault);
  });

  it.each([
    ['without golden outputs', { probe: undefined }, 'it has no probes'],
    [
      'without digests',
      { tensors: externalManifest().tensors.map(({ sha256: _, ...tensor }) => tensor) },
      'it has no SHA-256 of first.weight',
    ],
    [
      'of other numbers than float32',
      { tensors: externalManifest().tensors.map((tensor) => ({ ...tensor, dtype: 'float16' })) },
      'tensor first.weight is float16, and jobs exchange float32',
    ],
  ])('cannot go with a manifest %s', (_, change, fault) => {
    expect(refusalOf(change)).toContain(fault);
  });

  it('goes without golden outputs where nothing is probed, and lets a described model be judged as ever', () => {
    const off = { weightSchema: { manifest: 'tiny.weights.json', probe: 'off' } };
    expect(refusalOf({ probe: undefined }, off)).toBeUndefined();
    expect(jobManifest(externalJob(off), externalManifest()).probe).toBeUndefined();
    expect(jobManifest(jobOf(), externalManifest()).probe).toBeUndefined();
  });
});

/** The probes of the manifest, with another first layer of the first one. */
function withFirst(change: object) {
  const probe = externalManifest().probe!;
  const [first, ...others] = probe.golden;
  const layers = first!.layers.map((layer, place) => (place === 0 ? { ...layer, ...change } : layer));
  return { ...probe, golden: [{ ...first, layers }, ...others] };
}

describe('the manifest beside a job', () => {
  it('is taken without making its probes, which takes long where they are large', () => {
    const { probe } = externalManifest();
    const manifest = { ...externalManifest(), probe: { ...probe, inputs: [{ shape: [3, 8, 8] }] } };
    expect(parseJobManifest(manifest).ok).toBe(true);
    expect(manifestFaults(externalManifest(manifest))).toEqual([expect.stringContaining('is square')]);
  });

  it('travels without what nobody compares, and is still a manifest', () => {
    const manifest = externalManifest();
    const travelling = jobManifest(externalJob(), {
      ...manifest,
      signature: { algorithm: 'sm2', keyId: 'k', publicKey: '', value: '' },
    });
    expect(travelling).not.toHaveProperty('signature');
    expect(manifest.probe?.golden[0]?.layers[0]).toHaveProperty('input');
    expect(travelling.probe?.golden[0]?.layers[0]).not.toHaveProperty('input');
    expect(parseJobManifest(JSON.parse(JSON.stringify(travelling)))).toEqual({ ok: true, value: travelling });
  });

  it.each([
    ['that is none', { apiVersion: 'consilium/v0' }, 'it is no weights manifest: apiVersion'],
    [
      'whose probes are too large to be made',
      { probe: { ...externalManifest().probe, inputs: [{ shape: [64, 64, 2 ** 10] }] } },
      'its probes have 62914560 elements, and 16777216 are the most',
    ],
    [
      'that contradicts itself',
      { probe: { ...externalManifest().probe, kinds: ['normal'] } },
      'its golden outputs are not those of its kinds of probes',
    ],
    [
      'whose layers no site could report on by their length',
      { probe: withFirst({ layer: 'x'.repeat(513) }) },
      'sites cannot report on its layer',
    ],
    [
      'whose layers would mislead a terminal',
      { probe: withFirst({ layer: 'first\u001b[2J' }) },
      'sites cannot report on its layer "first\\u001b[2J"',
    ],
    [
      'that asks for what is not finite',
      {
        probe: withFirst({
          output: goldenOf({ shape: [3, 4], values: new Float32Array(12).fill(Number.NaN) }, 64),
        }),
      },
      'a golden output of the probe normal has not the numbers of its shape, all finite',
    ],
  ])('is refused %s', (_, change, fault) => {
    const parsed = parseJobManifest({ ...externalManifest(), ...change });
    expect(parsed.ok ? '' : parsed.refusal).toContain(fault);
  });
});
