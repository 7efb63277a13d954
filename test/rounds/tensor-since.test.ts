import { expect, it } from 'vitest';
import { jobSchema } from '../../src/rounds/job.ts';
import { jobOf } from './federation.ts';

const jobWith = (tensor: object, version: string | undefined = '1.2.0') =>
  jobSchema.safeParse({
    ...jobOf(),
    model: {
      kind: 'external',
      tensors: [
        { name: 'fc.weight', shape: [2, 3] },
        { name: 'scale', shape: [2], ...tensor },
      ],
    },
    initialWeights: { file: 'w.safetensors' },
    weightSchema: version && { id: 'heart-net', version, probe: 'off' },
  });

it.each([{ since: '1.2.0', default: 1 }, { since: '1.1.0' }, { since: '1.0.0', default: -0.5 }])(
  'a tensor may say since which version it is there, and what it is by default: %j',
  (tensor) => {
    expect(jobWith(tensor).data?.model).toMatchObject({ tensors: [{}, tensor] });
  },
);

it.each([
  [{ default: 0 }, '1.2.0', 'scale has a default, and does not say since which version'],
  [{ since: '1.3.0', default: 0 }, '1.2.0', "scale is there since 1.3.0, and the job's version is 1.2.0"],
  [{ since: '1.2.1', default: 0 }, '1.2.0', "scale is there since 1.2.1, and the job's version is 1.2.0"],
  [{ since: '0.9.0', default: 0 }, '1.2.0', 'another MAJOR than 1.2.0'],
])('what it says has to be possible: %j in %s', (tensor, version, message) => {
  const [issue] = jobWith(tensor, version).error!.issues;
  expect(issue).toMatchObject({ path: ['model'], message: expect.stringContaining(message) });
});

it('is of a version that the job names', () => {
  const { error } = jobSchema.safeParse({
    ...jobOf(),
    model: { kind: 'external', tensors: [{ name: 'scale', shape: [2], since: '1.0.0' }] },
    initialWeights: { file: 'w.safetensors' },
  });
  expect(error?.issues[0]?.message).toContain('the job names no weightSchema');
});
