// A command trainer for a perceptron of one hidden layer, in plain JavaScript. `probed-program.cjs FOLDER` answers a probe
// and "trains" by moving every weight by a hundredth; `probed-program.cjs transposed FOLDER` reads the square matrix of its
// first layer the wrong way round.
const { readFileSync, writeFileSync } = require('node:fs');
const { join } = require('node:path');
const { readTensors, writeTensors } = require('./program-tensors.cjs');

const folder = process.argv.at(-1);
const at = (name) => join(folder, name);
const task = JSON.parse(readFileSync(at('task.json'), 'utf8'));

const base = readTensors(at('base.safetensors'));
if (process.argv.includes('transposed')) {
  const { shape, values } = base['dense.0.weight'];
  base['dense.0.weight'].values = values.map((_, place) => {
    return values[(place % shape[0]) * shape[0] + Math.floor(place / shape[0])];
  });
}

function linear(layer, { shape: [rows, width], values }) {
  const [weight, bias] = [base[`${layer}.weight`].values, base[`${layer}.bias`].values];
  const units = bias.length;
  const out = new Float32Array(rows * units);
  for (let row = 0; row < rows; row++) {
    for (let unit = 0; unit < units; unit++) {
      let sum = bias[unit];
      for (let n = 0; n < width; n++) sum += weight[unit * width + n] * values[row * width + n];
      out[row * units + unit] = sum;
    }
  }
  return { shape: [rows, units], values: out };
}

if (task.task === 'probe') {
  const given = readTensors(at('probe.safetensors'));
  const answer = {};
  for (const kind of task.probes) {
    const first = linear('dense.0', given[`${kind}/input/0`]);
    const end = linear('dense.1', { ...first, values: first.values.map((value) => Math.max(0, value)) });
    Object.assign(answer, {
      [`${kind}/layer/dense.0`]: first,
      [`${kind}/layer/dense.1`]: end,
      [`${kind}/output/0`]: end,
    });
  }
  writeTensors(at('outputs.safetensors'), answer);
  writeFileSync(at('result.json'), JSON.stringify({ backend: 'script 1.0' }));
} else {
  const moved = Object.entries(base).map(([name, { shape, values }]) => [
    name,
    { shape, values: values.map(() => 0.01) },
  ]);
  if (task.task === 'train') writeTensors(at('update.safetensors'), Object.fromEntries(moved));
  writeFileSync(at('result.json'), JSON.stringify({ sampleCount: 30, metrics: { loss: 0.5 } }));
}
