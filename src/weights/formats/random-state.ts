import type { TensorDtype } from '../tensor-dtype.ts';

/**
 * The state of a random generator, which Dropout and augmenting layers keep among their variables: Keras 3 calls it
 * seed_generator_state, Keras 2 StateVar. It is no weight, and no other framework has it.
 */
const RANDOM_STATE =
  /(?:^|\/)(?:seed_generator(?:_\d+)?\/|\w*random_generator\/|(?:\w+\/)*StateVar(?::\d+)?$)/;

/** Why a variable of TensorFlow is no tensor of the model; undefined where it is one. */
export function randomState(path: string, dtype: TensorDtype): string | undefined {
  return /^u?int/.test(dtype) && RANDOM_STATE.test(path) ? 'the state of a random generator' : undefined;
}
