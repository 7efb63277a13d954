import { mapText } from './flatten-before.ts';
import type { LayerOp } from './layer.ts';

/** How a person says what the files do not tell, where a refusal is read; the texts stand after "say". */
export interface HintWords {
  /** That `map` was flattened before `layer`; an empty map says that none was. */
  flatten(layer: string, map: readonly number[]): string;
  /** That `layer` is an `op`; `count` is a name for its heads where they have to be said. */
  layer(layer: string, op: LayerOp, count?: string): string;
  /** What a model whose weights are replaced is named with. */
  readonly template: string;
}

/** The options of `consilium weights`. */
export const COMMAND_LINE: HintWords = {
  flatten: (layer, map) => `--flatten ${layer}=${map.length === 0 ? 'none' : mapText(map)}`,
  layer: (layer, op, count) => `--layer ${layer}=${op}${count === undefined ? '' : `:${count}`}`,
  template: '--template',
};

/** What stands in `weights` of a trainer in participant.yaml. */
export const SITE_CONFIGURATION: HintWords = {
  flatten: (layer, map) => `flatten: { ${layer}: [${map.join(', ')}] }`,
  layer: (layer, op, count) =>
    `layers: { ${layer}: { op: ${op}${count === undefined ? '' : `, count: ${count}`} } }`,
  template: 'template:',
};
