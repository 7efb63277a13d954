import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeEach, describe, expect, test } from 'vitest';
import { FIXTURES } from '../weights/fixtures/fixtures.ts';
import { type Settings, writeTfjsImage, writeTfjsWords } from '../weights/fixtures/tfjs-models.ts';
import { weights } from './run-weights.ts';

const fixture = (name: string) => join(FIXTURES, 'probe', name);
const root = mkdtempSync(join(tmpdir(), 'consilium-probe-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));
let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(root, 'test-'));
});

interface Report {
  readonly findings: readonly { readonly rule: string; readonly message: string; readonly tensor: string }[];
  readonly probe: { readonly engine: string; readonly results: readonly { readonly layer: string }[] };
}

/** The report of a check by probes, and how the command ended. */
async function check(candidate: string, model: string, ...options: string[]) {
  const files = ['--against', fixture(`${model}.pt`), '--manifest', fixture(`${model}.weights.json`)];
  const { out, exit, problem } = await weights(
    'check',
    candidate,
    ...files,
    '--probe',
    '-o',
    'json',
    ...options,
  );
  expect(problem).toBeUndefined();
  return { exit, report: JSON.parse(out) as Report };
}

const rulesOf = (report: Report) => report.findings.map(({ rule }) => rule);

/** image.onnx with some of its bytes changed, of the same length. */
function spoilt(change: (model: Buffer) => void): string {
  const model = readFileSync(fixture('image.onnx'));
  change(model);
  const path = join(folder, 'spoilt.onnx');
  writeFileSync(path, model);
  return path;
}

/** The first operator of a type becomes one of another type. */
const renamed = (from: string, to: string) => (model: Buffer) => {
  // Field 4 of a node, with its length.
  const type = (name: string) => Buffer.from(`\x22${String.fromCharCode(name.length)}${name}`);
  type(to).copy(model, model.indexOf(type(from)));
};

const geluByTanh = (model: Buffer) => {
  model.write('tanh', model.indexOf('none'));
};

describe('an ONNX model in ONNX Runtime', () => {
  test.each(['image', 'words'])('%s gives what PyTorch gave, layer by layer', async (model) => {
    const { report, exit } = await check(fixture(`${model}.onnx`), model);
    expect(report.findings).toEqual([]);
    expect(exit).toBe(0);
    expect(report.probe.engine).toContain('onnxruntime');
    const layers = report.probe.results.map(({ layer }) => layer);
    expect(layers).toEqual(
      model === 'image'
        ? ['conv1', 'bn1', 'depthwise', 'fc1', 'fc2', 'output']
        : ['words', 'lstm', 'norm', 'head', 'output'],
    );
  });

  test.each([
    [
      'epsilon',
      'WC501',
      'bn1',
      (model: Buffer) => {
        model.writeFloatLE(1e-3, model.indexOf(0x15, model.indexOf('epsilon')) + 1);
      },
    ],
    [
      'padding moved by one',
      'WC501',
      'conv1',
      (model: Buffer) => {
        // ints: field 8, one after the other.
        const at = model.indexOf(Buffer.from([0x40, 1, 0x40, 1, 0x40, 1, 0x40, 1]), model.indexOf('pads'));
        Buffer.from([0x40, 0, 0x40, 0, 0x40, 2, 0x40, 2]).copy(model, at);
      },
    ],
    ['another activation behind a norm', 'WC502', 'depthwise', renamed('Relu', 'Selu')],
    ['GELU by tanh', 'WC502', 'fc1', geluByTanh],
  ] as const)('%s is %s at %s', async (_, rule, layer, change) => {
    const { report, exit } = await check(spoilt(change), 'image');
    expect(exit).toBe(1);
    expect(report.findings[0]).toMatchObject({ rule, tensor: layer });
    expect(rulesOf(report)).toEqual([rule, 'WC503']);
    expect(report.findings[1]?.message).toContain(`${layer} is the first layer that differs`);
  });

  test('a tolerance of an output counts with its reason, and the end of the model has its own', async () => {
    const settings = join(folder, 'settings.yaml');
    const allow = (layers: string) => `{ layers: ${layers}, relativeL2: 1, reason: another activation }`;
    const model = spoilt(geluByTanh);
    writeFileSync(settings, `apiVersion: consilium/v1\noutputs: [${allow('fc*')}]\n`);
    expect(rulesOf((await check(model, 'image', '--settings', settings)).report)).toEqual(['WC503']);
    writeFileSync(settings, `apiVersion: consilium/v1\noutputs: [${allow('"*"')}]\n`);
    expect((await check(model, 'image', '--settings', settings)).exit).toBe(0);
  });

  test('every report names the layer', async () => {
    const formats = ['html', 'junit', 'markdown', 'sarif'];
    const reports = formats.flatMap((format) => ['--report', `${format}=${join(folder, format)}`]);
    await check(spoilt(renamed('Relu', 'Selu')), 'image', ...reports);
    for (const format of formats) {
      const text = readFileSync(join(folder, format), 'utf8');
      expect(text).toContain('WC502');
      expect(text).toContain('depthwise');
    }
    expect(readFileSync(join(folder, 'junit'), 'utf8')).toContain('fc2 on the probes');
  });
});

describe('a layers model in TensorFlow.js', () => {
  const FLATTEN = ['--flatten', 'fc1=8x4x3', '--flatten', 'fc2=none'];

  /** A state_dict converted to a model of TensorFlow.js, and checked by a manifest of its own. */
  async function converted(of: 'image' | 'words', template: string) {
    const flatten = of === 'image' ? FLATTEN : [];
    const model = join(mkdtempSync(join(root, 'tfjs-')), 'model.json');
    const options = ['--to', 'tfjs', '--template', template, ...flatten];
    const made = await weights('convert', fixture(`${of}.pt`), model, ...options);
    expect(made.problem).toBeUndefined();
    const manifest = join(folder, 'tfjs.weights.json');
    const about = ['--id', of, '--schema-version', '1.0.0', '--to', manifest, '--converted', model];
    await weights('manifest', fixture(`${of}.pt`), ...about, ...flatten);
    const { probe } = JSON.parse(readFileSync(fixture(`${of}.weights.json`), 'utf8'));
    writeFileSync(manifest, JSON.stringify({ ...JSON.parse(readFileSync(manifest, 'utf8')), probe }));
    return check(model, of, '--manifest', manifest);
  }

  test('gives what PyTorch gave, the activation that is part of a layer and the flattened map included', async () => {
    const { report, exit } = await converted('image', await writeTfjsImage(folder));
    expect(report.findings).toEqual([]);
    expect(exit).toBe(0);
    expect(report.probe.engine).toContain('tfjs');
    const layers = report.probe.results.map(({ layer }) => layer);
    expect(layers).toEqual('conv1 bn1 relu1 depthwise pool gelu fc1 fc2 output'.split(' '));
  });

  test('of whole numbers and steps gives what PyTorch gave, whatever its initialisers', async () => {
    const { report, exit } = await converted('words', await writeTfjsWords(folder));
    expect(report.findings).toEqual([]);
    expect(exit).toBe(0);
    const layers = report.probe.results.map(({ layer }) => layer);
    expect(layers).toEqual('words lstm norm head output'.split(' '));
  });

  test.each([
    ['the default epsilon', { bn1: { epsilon: 1e-3 } }, 'WC501', 'bn1'],
    ['padding same with a stride', { conv1: { padding: 'same' } }, 'WC501', 'conv1'],
    ['another activation', { gelu: { activation: 'swish' } }, 'WC501', 'gelu'],
    ['another activation within a layer', { fc1: { activation: 'elu' } }, 'WC502', 'fc2'],
    [
      'a pool that was replaced',
      { pool: { poolSize: [2, 2], padding: 'same', strides: [2, 2] } },
      undefined,
      '',
    ],
  ] as const)('%s', async (_, settings, rule, layer) => {
    const { report } = await converted('image', await writeTfjsImage(folder, settings as Settings));
    const found = report.findings
      .filter(({ rule: one }) => one !== 'WC503')
      .map((one) => [one.rule, one.tensor]);
    expect(found).toEqual(rule === undefined ? [] : [[rule, layer]]);
  });
});

describe('what cannot be run is never a pass', () => {
  test('a Keras model without a Python', async () => {
    const manifest = join(folder, 'keras.json');
    const about = ['--id', 'image', '--schema-version', '1.0.0', '--to', manifest];
    const flatten = ['--flatten', 'fc1=8x4x3', '--flatten', 'fc2=none'];
    await weights(
      'manifest',
      fixture('image.pt'),
      ...about,
      '--converted',
      fixture('image.keras'),
      ...flatten,
    );
    const { probe } = JSON.parse(readFileSync(fixture('image.weights.json'), 'utf8'));
    writeFileSync(manifest, JSON.stringify({ ...JSON.parse(readFileSync(manifest, 'utf8')), probe }));
    const options = ['--against', fixture('image.pt'), '--manifest', manifest, '--probe'];
    const { problem } = await weights(
      'check',
      fixture('image.keras'),
      ...options,
      '--python',
      '/no/such/python',
    );
    expect(problem?.code).toBe('ENGINE_MISSING');
  });

  test.each([
    ['no manifest', ['--probe'], 'name it with --manifest'],
    ['a manifest without probes', ['--probe', '--manifest', 'plain.json'], 'has no probes'],
    [
      'a state_dict without the code of its model',
      ['--probe', '--manifest', 'image'],
      '--model module:factory',
    ],
  ])('%s', async (_, options, reason) => {
    const { probe: __, ...plain } = JSON.parse(readFileSync(fixture('image.weights.json'), 'utf8'));
    writeFileSync(join(folder, 'plain.json'), JSON.stringify(plain));
    copyFileSync(fixture('image.weights.json'), join(folder, 'image'));
    const given = options.map((one) => (one.startsWith('--') ? one : join(folder, one)));
    const { problem } = await weights(
      'check',
      fixture('image.pt'),
      '--against',
      fixture('image.pt'),
      ...given,
    );
    expect(problem).toMatchObject({ code: 'USAGE' });
    expect(JSON.stringify(problem)).toContain(reason);
  });

  test('a manifest whose seed does not give its probes, or whose golden outputs are cut', async () => {
    const text = readFileSync(fixture('image.weights.json'), 'utf8');
    const manifest = JSON.parse(text);
    const told = async (changed: unknown) => {
      writeFileSync(join(folder, 'changed.json'), JSON.stringify(changed));
      const options = [
        '--against',
        fixture('image.pt'),
        '--manifest',
        join(folder, 'changed.json'),
        '--probe',
      ];
      return JSON.stringify((await weights('check', fixture('image.onnx'), ...options)).problem);
    };
    expect(await told({ ...manifest, probe: { ...manifest.probe, seed: 2 } })).toContain(
      'is not what its seed gives',
    );
    const [first, ...others] = manifest.probe.golden;
    const cut = { ...first, outputs: [{ ...first.outputs[0], values: first.outputs[0].values.slice(0, 8) }] };
    expect(await told({ ...manifest, probe: { ...manifest.probe, golden: [cut, ...others] } })).toContain(
      'has not the numbers of its shape',
    );
  });
});

describe('weights manifest refuses probes that hide mistakes', () => {
  test.each([
    ['3x16x16', 'is square'],
    ['3x1x1', 'one place alone'],
    ['1', 'is constant'],
    ['3x16xy', 'takes the shape of one row'],
    ['7:1', 'takes the shape of one row'],
  ])('%s %s', async (shape, reason) => {
    const about = ['--id', 'image', '--schema-version', '1.0.0', '--to', join(folder, 'a.json')];
    const options = ['--batch', '1', '--model', 'nets:Image', '--probe', shape];
    const { problem } = await weights('manifest', fixture('image.pt'), ...about, ...options);
    expect(problem).toMatchObject({ code: 'USAGE' });
    expect(JSON.stringify(problem)).toContain(reason);
  });
});

test('a manifest that was made for another conversion is refused with the way to make the right one', async () => {
  const { out, problem } = await weights(
    'check',
    fixture('image.keras'),
    '--against',
    fixture('image.pt'),
    '--manifest',
    fixture('image.weights.json'),
  );
  expect(out).toBe('');
  expect(problem).toMatchObject({ code: 'USAGE' });
  expect(JSON.stringify(problem)).toContain('the manifest maps to onnx, and ');
});
