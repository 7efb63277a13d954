import type { Hdf5File } from './hdf5.ts';

/**
 * The variables of Keras 3 layers, in the order of their numbers in a weights file. A layer whose number of variables
 * is in none of its lists is not named: with a part switched off (`use_bias`, `center`) the numbers mean others.
 */
const VARIABLES: Readonly<Record<string, readonly (readonly string[])[]>> = {
  kernel: [['kernel'], ['kernel', 'bias']],
  batch_normalization: [['gamma', 'beta', 'moving_mean', 'moving_variance']],
  layer_normalization: [['gamma', 'beta']],
  group_normalization: [['gamma', 'beta']],
  embedding: [['embeddings']],
  separable_conv: [
    ['depthwise_kernel', 'pointwise_kernel'],
    ['depthwise_kernel', 'pointwise_kernel', 'bias'],
  ],
  cell: [
    ['kernel', 'recurrent_kernel'],
    ['kernel', 'recurrent_kernel', 'bias'],
  ],
};

/** Layers that have a kernel and perhaps a bias; the parts of a MultiHeadAttention among them. */
const KERNEL =
  /^(?:dense|einsum_dense|(?:depthwise_)?conv[123]d(?:_transpose)?|(?:query|key|value|output)_dense)$/;

const SEPARABLE = /^separable_conv[12]d$/;

/** Cells of recurrent layers; a Bidirectional does not say what its two layers are, and all have the same variables. */
const CELL = /^(?:lstm|gru|simple_rnn|forward_layer|backward_layer)_cell$/;

/**
 * What Keras 3 calls the variable at a path of a weights file such as `/layers/conv2d_1/vars/0`: the names of the
 * layers around it, as its groups' `name` attributes give them, and the variable's own. Undefined where the file does
 * not tell: groups are named after classes, and a class may be the user's own. Source: Keras 3.15,
 * keras/src/saving/saving_lib.py, `_save_state`, and `save_own_variables` of the layers.
 */
export function kerasVariableName(file: Hdf5File, path: string): string | undefined {
  const steps = path.split('/').slice(1);
  const place = Number(steps.at(-1));
  if (steps.at(-2) !== 'vars' || !Number.isInteger(place)) return undefined;
  const owners = steps.slice(0, -2);
  const group = `/${[...owners, 'vars'].join('/')}`;
  const count = file.members(group).length;
  const variable = variablesOf(classOf(owners))?.find((names) => names.length === count)?.[place];
  if (variable === undefined) return undefined;
  const names = owners.flatMap((step, depth) => {
    if (step === 'layers') return [];
    const name = file.text(`/${[...owners.slice(0, depth + 1), 'vars'].join('/')}`, 'name');
    return [name ?? step];
  });
  return [...names, variable].join('/');
}

function variablesOf(owner: string): readonly (readonly string[])[] | undefined {
  if (KERNEL.test(owner)) return VARIABLES.kernel;
  if (SEPARABLE.test(owner)) return VARIABLES.separable_conv;
  if (CELL.test(owner)) return VARIABLES.cell;
  return Object.hasOwn(VARIABLES, owner) ? VARIABLES[owner] : undefined;
}

/** `conv2d` of `layers/conv2d_1`; `lstm_cell` of `layers/lstm/cell`. */
function classOf(owners: readonly string[]): string {
  const own = owners.at(-1)?.replace(/_\d+$/, '') ?? '';
  return own === 'cell' ? `${owners.at(-2)?.replace(/_\d+$/, '')}_cell` : own;
}
