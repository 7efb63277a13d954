// A command trainer that knows some tensors and no others: `versioned-program.cjs STEP ROWS NAMES FOLDER` moves every
// element of those by STEP for so many rows, and ends with an error where the task is about other tensors.
const { readFileSync, writeFileSync } = require('node:fs');
const { join } = require('node:path');
const { readTensors, writeTensors } = require('./program-tensors.cjs');

const [step, rows, names, folder] = process.argv.slice(2);
const at = (name) => join(folder, name);
const task = JSON.parse(readFileSync(at('task.json'), 'utf8'));
const base = readTensors(at('base.safetensors'));

const told = [Object.keys(base), task.manifest.tensors, task.job.model.tensors].map((tensors) =>
  tensors.map((tensor) => tensor.name ?? tensor).join(),
);
if (told.some((found) => found !== names))
  throw new Error(`it knows ${names}, and was given ${told.join(' and ')}`);
if (task.task === 'train') {
  const moved = Object.entries(base).map(([name, { shape, values }]) => [
    name,
    { shape, values: values.map(() => Number(step)) },
  ]);
  writeTensors(at('update.safetensors'), Object.fromEntries(moved));
}
// The MINOR that it was told of: a metric that every policy lets leave.
const metrics = { loss: Number(task.manifest.schemaVersion.split('.')[1]) };
writeFileSync(at('result.json'), JSON.stringify({ sampleCount: Number(rows), metrics }));
