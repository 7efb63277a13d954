// Weights files of a task folder, in plain JavaScript: safetensors of float32 only.
const { readFileSync, writeFileSync } = require('node:fs');

function readTensors(path) {
  const file = readFileSync(path);
  const end = 8 + Number(file.readBigUInt64LE(0));
  const { __metadata__, ...header } = JSON.parse(file.subarray(8, end).toString());
  return Object.fromEntries(
    Object.entries(header).map(
      ([
        tensor,
        {
          shape,
          data_offsets: [from, to],
        },
      ]) => {
        const values = new Float32Array(new Uint8Array(file.subarray(end + from, end + to)).buffer);
        return [tensor, { shape, values }];
      },
    ),
  );
}

function writeTensors(path, tensors) {
  let place = 0;
  const header = {};
  for (const [tensor, { shape, values }] of Object.entries(tensors)) {
    header[tensor] = { dtype: 'F32', shape, data_offsets: [place, place + 4 * values.length] };
    place += 4 * values.length;
  }
  const text = Buffer.from(JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(text.length));
  const content = Object.values(tensors).map(({ values }) => Buffer.from(values.buffer));
  writeFileSync(path, Buffer.concat([length, text, ...content]));
}

module.exports = { readTensors, writeTensors };
