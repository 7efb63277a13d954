import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, test, vi } from 'vitest';
import type { ModelToRun } from '../../../src/engines/models/model-to-run.ts';
import { runModel } from '../../../src/engines/models/run-model.ts';
import { openWeightsFile } from '../../../src/engines/open-weights-file.ts';
import { probesOf } from '../../../src/weights/probes/probe-inputs.ts';
import { weightsManifestSchema } from '../../../src/weights/schema/weights-manifest.ts';
import { FIXTURES } from '../../weights/fixtures/fixtures.ts';

afterEach(() => vi.unstubAllEnvs());

const fixture = (name: string) => join(FIXTURES, 'probe', name);
const manifest = weightsManifestSchema.parse(JSON.parse(readFileSync(fixture('image.weights.json'), 'utf8')));
const probes = { inputs: manifest.probe!.inputs, probes: probesOf(manifest.probe!) };

async function opened(change: Partial<ModelToRun>): Promise<ModelToRun> {
  vi.stubEnv('PYTHONPATH', join(FIXTURES, 'probe'));
  const path = fixture('image.pt');
  const stored = await openWeightsFile(path);
  return { stored, path, framework: 'pytorch', python: 'python3', timeLimitMs: 240_000, ...change };
}

const torch = spawnSync('python3', ['-c', 'import torch'], { encoding: 'utf8' });
// In CI a missing PyTorch fails the tests instead of skipping them.
const skip = torch.status !== 0 && process.env.CI !== 'true';

describe.skipIf(skip)('code that builds no model of these weights', () => {
  test.each([
    ['code that is not there', 'nets:Imag', 'nets has no Imag'],
    ['a module that is not there', 'no_such_nets:Image', 'there is no module no_such_nets'],
    ['code of another model', 'nets:Words', 'Missing key(s) in state_dict'],
    ['code that fails', 'nets:broken', 'ValueError: no such luck (nets.py:'],
    ['code that gives no model', 'nets:nn.Module.__doc__.strip', 'which is no torch.nn.Module'],
  ])('%s is told', async (_, code, reason) => {
    const model = await opened({ code });
    await expect(runModel(model, probes, manifest, () => 'ran')).rejects.toMatchObject({
      problem: { code: 'USAGE', details: { reason: expect.stringContaining(reason) } },
    });
    model.stored.close();
  });

  test('code whose own import fails is told by its file: no engine is missing', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'consilium-import-'));
    writeFileSync(join(folder, 'importing.py'), 'from no_such_contract import Net');
    writeFileSync(join(folder, 'late.py'), 'def Net():\n    import no_such_contract.parts');
    for (const module of ['importing', 'late']) {
      const model = await opened({ code: `${module}:Net` });
      vi.stubEnv('PYTHONPATH', folder);
      await expect(runModel(model, probes, manifest, () => 'ran')).rejects.toMatchObject({
        problem: {
          code: 'USAGE',
          details: {
            reason: expect.stringContaining(`${module}.py imports no_such_contract, which is not found`),
          },
        },
      });
      model.stored.close();
    }
    rmSync(folder, { recursive: true });
  });

  test('code that does not come back is ended', async () => {
    const model = await opened({ code: 'nets:sleeping', timeLimitMs: 5000 });
    await expect(runModel(model, probes, manifest, () => 'ran')).rejects.toMatchObject({
      problem: { details: { reason: expect.stringContaining('it took longer than 5 s') } },
    });
    model.stored.close();
  });
});
