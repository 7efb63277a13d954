import type { StoredTensor } from '../stored-tensors.ts';

/** A layer of Keras or TensorFlow.js by the names of its tensors. */
export interface NativeGroup {
  readonly name: string;
  /** What the engine calls each tensor within the layer; a number where the file only counts them. */
  readonly leaves: ReadonlyMap<string, StoredTensor>;
}

/** Parts of a path that only say which cell of a layer it is. */
const CELL = /^(?:lstm_cell|gru_cell|cell)(?:_\d+)?$/;
/** Parts of a layer that have layers of their own. */
const PROJECTION = /^(?:query|key|value|attention_output)$/;

/** The layers of a Keras or TensorFlow.js file, in the order of the file. */
export function nativeLayers(tensors: readonly StoredTensor[]): readonly NativeGroup[] {
  const groups = new Map<string, Map<string, StoredTensor>>();
  for (const tensor of tensors) {
    const name = (tensor.label ?? tensor.name).replace(/:\d+$/, '');
    // Names in PyTorch's manner have dots in place of strokes.
    const path = name.split(name.includes('/') ? '/' : '.');
    const leaf = [path.pop()!];
    if (path.at(-1) === 'vars') path.pop();
    if (path.length > 1 && PROJECTION.test(path.at(-1)!)) leaf.unshift(path.pop()!);
    if (path.length > 1 && CELL.test(path.at(-1)!)) path.pop();
    // A tensor without a layer is one of its own.
    const layer = path.length === 0 ? leaf.join('/') : path.join('/');
    const group = groups.get(layer) ?? new Map<string, StoredTensor>();
    group.set(leaf.join('/'), tensor);
    groups.set(layer, group);
  }
  return [...groups].flatMap(([name, leaves]) => separated({ name, leaves }));
}

/** A separable convolution is two layers of PyTorch: a depthwise one, and one over the channels alone that has the bias. */
function separated({ name, leaves }: NativeGroup): readonly NativeGroup[] {
  const { depthwise_kernel, pointwise_kernel, ...others } = Object.fromEntries(leaves);
  if (!depthwise_kernel || !pointwise_kernel) return [{ name, leaves }];
  return [
    { name: `${name}/depthwise`, leaves: new Map([['depthwise_kernel', depthwise_kernel]]) },
    { name: `${name}/pointwise`, leaves: new Map(Object.entries({ kernel: pointwise_kernel, ...others })) },
  ];
}

/** Which of the two layers of a bidirectional one a group is: its path says so, and the other one is there too. */
export function directionOf(
  group: NativeGroup,
  groups: readonly NativeGroup[],
): 'forward' | 'backward' | undefined {
  const [, above = '', direction] = /^(.*?)(?:^|\/)(forward|backward)_[^/]+/.exec(group.name) ?? [];
  if (direction !== 'forward' && direction !== 'backward') return undefined;
  const other = direction === 'forward' ? 'backward' : 'forward';
  const beside = above === '' ? `${other}_` : `${above}/${other}_`;
  return groups.some(({ name }) => name.startsWith(beside)) ? direction : undefined;
}

/** A name without what frameworks write differently: case, separators, the number of an output. */
export function plainName(name: string): string {
  return name
    .toLowerCase()
    .replace(/:\d+$/, '')
    .split(/[./]/)
    .filter((word) => !['model', 'layers', 'module', '_layers', ''].includes(word))
    .join('.')
    .replaceAll('_', '.');
}

/** Whether names stand in the order in which a person would count them: conv, conv_1, conv_2, conv_10. */
export function inCountingOrder(names: readonly string[]): boolean {
  const collator = (left: string, right: string) => {
    const [a, b] = [left, right].map((name) => name.split(/(\d+)/));
    for (let at = 0; at < Math.min(a!.length, b!.length); at++) {
      if (a![at] === b![at]) continue;
      const numbers = [Number(a![at]), Number(b![at])];
      if (numbers.every(Number.isInteger)) return numbers[0]! - numbers[1]!;
      return a![at]! < b![at]! ? -1 : 1;
    }
    return a!.length - b!.length;
  };
  return names.every((name, place) => place === 0 || collator(names[place - 1]!, name) < 0);
}
