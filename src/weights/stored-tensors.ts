import type { TensorDtype } from './tensor-dtype.ts';

/** The formats that are read, told apart by content. */
export const WEIGHTS_FORMATS = {
  safetensors: 'safetensors',
  npz: 'npz',
  npy: 'npy',
  pytorch: 'PyTorch',
  onnx: 'ONNX',
  tfjs: 'TensorFlow.js',
  'saved-model': 'TensorFlow SavedModel',
  keras: 'Keras',
  'keras-h5': 'Keras HDF5',
} as const;

/** One of those formats. */
export type WeightsFormat = keyof typeof WEIGHTS_FORMATS;

/** What a graph does with a matrix: multiplies by its rows ([outputs, inputs]) or its columns, or looks up rows. */
export type MatrixUse = 'rows' | 'columns' | 'gathered';

/**
 * What a recurrent node of a graph takes a tensor as; nodes are counted from 0 in the order of the graph. `initial` is a
 * state before the first step.
 */
export interface RecurrentUse {
  readonly node: number;
  readonly input: 'W' | 'R' | 'B' | 'initial';
}

/** One tensor of an opened weights file. Nothing of its values is in memory until it is read. */
export interface StoredTensor {
  /** What a person calls the file that it is in. */
  readonly file: string;
  /** As the file names it; unique in the file. */
  readonly name: string;
  /** What the framework calls it beside that, where the file says so: `conv2d/kernel`. Not always unique. */
  readonly label?: string;
  /** Of the elements that `read` gives. */
  readonly dtype: TensorDtype;
  /** Extent of each axis as stored, row-major; [] is a scalar. An extent may be 0. */
  readonly shape: readonly number[];
  /** The first tensor of the file that is this very tensor: the same elements of the same storage. */
  readonly tiedTo?: string;
  /** How the file keeps the elements where that is not their dtype: tfjs quantisation. */
  readonly quantised?: 'uint8' | 'uint16' | 'float16';
  /** Of a matrix in an ONNX graph: what the graph does with it, where that is one thing. */
  readonly multiplies?: MatrixUse;
  /** Of a matrix in an ONNX graph: the initialiser that is added to its product, where that is one. */
  readonly addedTo?: string;
  /** Of an ONNX graph: the recurrent node that takes it, where that is one. */
  readonly recurrent?: RecurrentUse;
  /**
   * Fills `into`, a whole number of elements long, with the elements from `start` on: row-major (views and Fortran
   * order are put in order), little-endian. Reads from front to back are the fast ones. Throws WEIGHTS_* where the
   * file turns out to be damaged or shorter than it was.
   */
  read(start: number, into: Uint8Array): void;
}

/** An opened weights file: what it says of itself, and its tensors in the order of the file. */
export interface StoredTensors {
  /** What a person calls the file. */
  readonly file: string;
  readonly format: WeightsFormat;
  /** What wrote it, where the file says so: `keras 3.12.0`, `pytorch 2.9.0`. */
  readonly framework?: string;
  /** What else the file says, as text. */
  readonly metadata: Readonly<Record<string, string>>;
  readonly tensors: readonly StoredTensor[];
  /** What is in the file and is no tensor of the model, and why it was left out. */
  readonly omitted: readonly { readonly name: string; readonly reason: string }[];
}
