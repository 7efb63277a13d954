import { expect, test } from 'vitest';
import { contributorText } from '../../src/cli/update-text.ts';

const earlier = (lackedTensors: number) => ({ earlier: { schemaVersion: '1.0.0', lackedTensors } });

test.each([
  [{ staleness: 0, encoding: 'float32' }, 'lyon'],
  // As a coordinator of before tells it.
  [{ staleness: 0 }, 'lyon'],
  [{ staleness: 2, encoding: 'int8' }, 'lyon (stale by 2, int8)'],
  [{ staleness: 0, ...earlier(1) }, 'lyon (1.0.0, without 1 tensor)'],
  [{ staleness: 1, encoding: 'int8', ...earlier(12) }, 'lyon (stale by 1, int8, 1.0.0, without 12 tensors)'],
])('a contributor is named with what is not as usual: %j', (said, text) => {
  expect(contributorText({ site: 'lyon', ...said })).toBe(text);
});
