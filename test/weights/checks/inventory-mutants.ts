import { each, keras, type Mutant, moved, on, oneUlp, pytorch, swap, together } from './mutant.ts';
import { normals } from './sample-model.ts';

/** Tensors that are missing, too many, misshaped or misnamed. */
export const INVENTORY_MUTANTS: readonly Mutant[] = [
  keras('a bias dropped', 'WC101', (native) => void native.delete('conv2/bias')),
  keras(
    'a bias of zeros',
    'WC201',
    on(
      'fc2/bias',
      each(() => 0),
    ),
  ),
  keras('a layer dropped', 'WC101', (native) => {
    native.delete('conv3/kernel');
    native.delete('conv3/bias');
  }),
  keras('statistics dropped', 'WC101', (native) => void native.delete('bn1/moving_mean')),
  keras(
    'an optimiser state left in',
    'WC102',
    (native) => void native.set('optimizer/iteration', { shape: [1], values: Float32Array.of(3) }),
  ),
  keras('a layer more', 'WC102', (native) => {
    native.set('fc4/kernel', { shape: [8, 8], values: normals(5, 64) });
    native.set('fc4/bias', { shape: [8], values: normals(6, 8) });
  }),
  keras(
    'names of two layers exchanged',
    'WC206',
    together(swap('fc2/kernel', 'fc3/kernel'), swap('fc2/bias', 'fc3/bias')),
  ),
  keras('names shifted by one layer', 'WC206', (native) => {
    const names = ['fc2', 'fc3'].flatMap((name) => [`${name}/kernel`]);
    const [a, b] = names.map((name) => native.get(name)!);
    native.set(names[0]!, b!);
    native.set(names[1]!, a!);
  }),
  keras(
    'one layer written twice',
    'WC103',
    (native) => void native.set('conv3/kernel', native.get('conv2/kernel')!),
  ),
  keras('a kernel with its axes in the shape of PyTorch', 'WC105', (native, canonical) => {
    native.set('conv1/kernel', canonical.get('conv1.weight')!);
  }),
  keras(
    'a kernel with an axis more',
    'WC105',
    on('fc2/kernel', (tensor) => ({ ...tensor, shape: [1, ...tensor.shape] })),
  ),
  keras(
    'a bias that was broadcast',
    'WC105',
    on('fc2/bias', (tensor) => ({
      shape: [2, 8],
      values: Float32Array.of(...tensor.values, ...tensor.values),
    })),
  ),
  pytorch('a tensor renamed', 'WC101', (native) => {
    native.set('fc2.kernel', native.get('fc2.weight')!);
    native.delete('fc2.weight');
  }),
  pytorch('a prefix left in', 'WC113', (native) => {
    for (const [name, tensor] of [...native]) {
      native.delete(name);
      native.set(`module.${name}`, tensor);
    }
  }),
  pytorch('the prefix of DataParallel, and one ULP', 'WC406', (native) => {
    for (const [name, tensor] of [...native]) {
      native.delete(name);
      native.set(`module.${name}`, tensor);
    }
    on('module.fc2.weight', oneUlp('first'))(native, native);
  }),
  pytorch('a model and its average over time in one file', 'WC110', (native) => {
    for (const [name, tensor] of [...native]) {
      native.delete(name);
      native.set(`state_dict.${name}`, tensor);
      native.set(`ema.${name}`, { ...tensor, values: tensor.values.map((value) => value + 1) });
    }
  }),
  pytorch('two PyTorch layers exchanged', 'WC206', swap('conv2.weight', 'conv3.weight')),
  pytorch(
    'a transposed square weight between two PyTorch files',
    'WC202',
    on('fc2.weight', moved('fc2.weight', [1, 0])),
  ),
  pytorch('an empty file', 'WC109', (native) => native.clear()),
];
