/** How much a finding matters: an error fails the check, a warning and a note are only said. */
export const SEVERITIES = ['error', 'warning', 'note'] as const;
/** One of those. */
export type Severity = (typeof SEVERITIES)[number];

/** What a rule is about, strictest first: each is only of use where those before it hold. */
export const CATEGORIES = {
  inventory: 'the same tensors are there, with the same shapes and dtypes',
  layout: 'values that are only moved are the same, bit for bit, in their places',
  arithmetic: 'values that are computed are within the tolerance',
  precision: 'nothing was rounded, flushed or clipped on the way',
  outputs: 'the layers compute the same, and the model as a whole',
  schema: 'the files are those that the manifest was written for',
} as const;
/** One of those. */
export type Category = keyof typeof CATEGORIES;

/** What one rule says to a person. */
export interface Rule {
  readonly name: string;
  readonly category: Category;
  /** Unless the configuration says otherwise. */
  readonly severity: Severity;
  /** What it finds, as a sentence. */
  readonly finds: string;
  /** How that comes about, and what to do. */
  readonly remedy: string;
}

/** Every rule of the check, by its id. Ids are never reused. */
export const RULES = {
  WC101: {
    name: 'tensor-missing',
    category: 'inventory',
    severity: 'error',
    finds: 'A tensor of the reference is not in the candidate.',
    remedy:
      'A layer was dropped, a bias was lost, or a name changed without a mapping. Write the mapping into the manifest, or ignore the tensor with a reason.',
  },
  WC102: {
    name: 'tensor-extra',
    category: 'inventory',
    severity: 'error',
    finds: 'The candidate has a tensor that the reference does not have.',
    remedy:
      'Often the state of an optimiser, or a layer of a later version. Leave it out, or ignore it with a reason.',
  },
  WC103: {
    name: 'tensor-duplicate',
    category: 'inventory',
    severity: 'error',
    finds: 'Two tensors of the candidate are the same bytes, where the reference has two different ones.',
    remedy: 'A loop wrote one layer twice, most likely over another. Compare the names in the conversion.',
  },
  WC104: {
    name: 'tying-changed',
    category: 'inventory',
    severity: 'warning',
    finds: 'Tensors that share their storage on one side do not on the other.',
    remedy:
      'The values may agree today and part in training. Tie them again in the target framework, or ignore it with a reason.',
  },
  WC105: {
    name: 'shape-mismatch',
    category: 'inventory',
    severity: 'error',
    finds: 'A tensor has another shape than its layout rule gives.',
    remedy:
      'Not converted, converted twice, or another architecture. The message names the shape that is due.',
  },
  WC106: {
    name: 'dtype-changed',
    category: 'inventory',
    severity: 'error',
    finds: 'A tensor has another dtype than in the reference.',
    remedy:
      'Convert in the dtype of the reference, and change the dtype in a step of its own that is measured.',
  },
  WC107: {
    name: 'not-finite',
    category: 'inventory',
    severity: 'error',
    finds: 'A tensor of the candidate holds NaN or infinity.',
    remedy:
      'An overflow in a cast to float16, or memory that was never written. Where the reference holds the same, training diverged.',
  },
  WC108: {
    name: 'nothing-converted',
    category: 'inventory',
    severity: 'error',
    finds: 'The candidate holds the bytes of the reference, in the layout of the reference.',
    remedy: 'The file was copied or its tensors were renamed, and no layout was changed. Convert it.',
  },
  WC109: {
    name: 'nothing-compared',
    category: 'inventory',
    severity: 'error',
    finds: 'No tensor was compared.',
    remedy: 'An empty file, or a mapping that names nothing. A check of nothing does not pass.',
  },
  WC110: {
    name: 'mapping-ambiguous',
    category: 'inventory',
    severity: 'error',
    finds: 'Names, order and shapes allow more than one mapping between the two files.',
    remedy:
      'The message names the choices. Say which in the manifest; nothing is guessed, and values are never asked.',
  },
  WC111: {
    name: 'unrepresentable',
    category: 'inventory',
    severity: 'error',
    finds: 'The framework of the candidate cannot hold a layer of the reference.',
    remedy:
      'Keep this layer in a framework that has it. An approximation would pass by shape and fail by value.',
  },
  WC112: {
    name: 'quantised',
    category: 'inventory',
    severity: 'error',
    finds: 'A tensor of the candidate is stored quantised.',
    remedy:
      'Quantisation loses values. Convert without it, and quantise in a step of its own that is measured.',
  },
  WC113: {
    name: 'names-prefixed',
    category: 'inventory',
    severity: 'error',
    finds: 'The names of one file are those of the other behind a prefix.',
    remedy:
      'A wrapper left its name, as DataParallel does with module., or the file is a checkpoint that holds the model in a part of its own. Save the state_dict of the model itself, or say with --prefix or --against-prefix that this part is meant.',
  },
  WC114: {
    name: 'norm-folded',
    category: 'inventory',
    severity: 'error',
    finds: 'Batch norms of the reference are not in the ONNX graph.',
    remedy:
      'The exporter folded them into the layers before them, whose weights it changed. Put the model into eval() and export it with optimize=False, or, with dynamo=False, with training=TrainingMode.PRESERVE.',
  },
  WC201: {
    name: 'values-differ',
    category: 'layout',
    severity: 'error',
    finds:
      'A tensor that is only moved does not hold the values of the reference, and no known mistake explains it.',
    remedy: 'Other weights, or damage. The message says how many elements differ, and by how much.',
  },
  WC202: {
    name: 'axes-permuted',
    category: 'layout',
    severity: 'error',
    finds: 'The values are those of the reference with the axes in a wrong order.',
    remedy: 'Use the order that the message names. Square tensors hide this mistake: the shape is right.',
  },
  WC203: {
    name: 'bytes-reshaped',
    category: 'layout',
    severity: 'error',
    finds:
      'The bytes are those of the reference under another shape: reshaped where they had to be transposed.',
    remedy: 'Use a transpose. A reshape never moves a value.',
  },
  WC204: {
    name: 'gate-order',
    category: 'layout',
    severity: 'error',
    finds: 'The gates of a recurrent layer, or blocks of an attention, stand in another order.',
    remedy: 'PyTorch: LSTM i,f,g,o and GRU r,z,n. Keras: i,f,c,o and z,r,h. ONNX: i,o,f,c and z,r,h.',
  },
  WC205: {
    name: 'flatten-order',
    category: 'layout',
    severity: 'error',
    finds: 'The Linear behind a flatten has its inputs in the order of the other framework.',
    remedy:
      'PyTorch flattens channel, height, width; a channels-last framework height, width, channel. Reorder the inputs: [O,C*H*W] -> [O,C,H,W] -> [H,W,C,O] -> [H*W*C,O]. Where no map was flattened before this layer, say --flatten LAYER=none.',
  },
  WC206: {
    name: 'tensor-swapped',
    category: 'layout',
    severity: 'error',
    finds: 'A tensor holds the values of another tensor of the reference.',
    remedy: 'Names were shifted or two layers exchanged. The message names where the values belong.',
  },
  WC207: {
    name: 'equivalent-up-to-permutation',
    category: 'layout',
    severity: 'error',
    finds:
      'The channels of a layer stand in another order, consistently with the layer behind it: the same function, and not averageable.',
    remedy:
      'The outputs agree, but an average over sites would mix channels that mean different things. Restore the order of the reference.',
  },
  WC208: {
    name: 'channels-permuted',
    category: 'layout',
    severity: 'error',
    finds: 'The channels of a tensor stand in another order, and the other tensors do not follow.',
    remedy: 'Restore the order of the reference.',
  },
  WC209: {
    name: 'kernel-flipped',
    category: 'layout',
    severity: 'error',
    finds: 'The values of an axis run backwards.',
    remedy: 'Frameworks compute a correlation, not a convolution: kernels are not to be flipped.',
  },
  WC210: {
    name: 'sign-flipped',
    category: 'layout',
    severity: 'error',
    finds: 'Values differ from the reference in their signs alone.',
    remedy: 'One element is damage of a bit; all of them a convention that was changed.',
  },
  WC211: {
    name: 'values-scaled',
    category: 'layout',
    severity: 'error',
    finds: 'All values are those of the reference times one factor, or plus one number.',
    remedy: 'A normalisation was folded in on one side only, or an epsilon was added to a variance. Undo it.',
  },
  WC212: {
    name: 'statistics-differ',
    category: 'layout',
    severity: 'error',
    finds:
      'The running statistics of a batch norm are of another time than those of the reference, while its scale and shift agree.',
    remedy:
      'The model ran in training mode in between, as torch.onnx.export lets it with TrainingMode.TRAINING: put it into eval() and export with TrainingMode.PRESERVE. Mean 0 and variance 1 are those of before training: they were not copied. Between sites with statistics of their own, ignore them with a reason.',
  },
  WC301: {
    name: 'sum-differs',
    category: 'arithmetic',
    severity: 'error',
    finds: 'A tensor that is the sum of two does not hold that sum within the tolerance.',
    remedy: 'Keras has one LSTM bias, PyTorch two: add bias_ih and bias_hh, and do not take one of them.',
  },
  WC302: {
    name: 'beyond-tolerance',
    category: 'arithmetic',
    severity: 'error',
    finds: 'A tensor differs from the reference by more than its tolerance.',
    remedy:
      'The manifest names the tolerance. Convert without arithmetic, or justify another tolerance there.',
  },
  WC401: {
    name: 'cast-to-float16',
    category: 'precision',
    severity: 'error',
    finds: 'The values were rounded to float16 on the way, whatever dtype they have now.',
    remedy:
      'Convert from the float32 file. The relative error of the cast is about 2e-4, and small values are lost.',
  },
  WC402: {
    name: 'cast-to-bfloat16',
    category: 'precision',
    severity: 'error',
    finds: 'The values were rounded to bfloat16 on the way, whatever dtype they have now.',
    remedy: 'Convert from the float32 file. The relative error of the cast is about 2e-3.',
  },
  WC403: {
    name: 'truncated',
    category: 'precision',
    severity: 'error',
    finds: 'Low bits of the mantissa are zero that are not zero in the reference.',
    remedy:
      'A cast by truncation, TF32 or decimal text of too few digits. Move bytes, and do not print numbers.',
  },
  WC404: {
    name: 'flushed-to-zero',
    category: 'precision',
    severity: 'error',
    finds: 'Values that are not zero in the reference are zero here.',
    remedy:
      'Subnormals were flushed, or small values lost in float16. Turn off flush-to-zero in the conversion.',
  },
  WC405: {
    name: 'clipped',
    category: 'precision',
    severity: 'error',
    finds: 'Large values of the reference were clipped to one bound.',
    remedy: 'Often 65504, the largest float16. Convert in float32.',
  },
  WC406: {
    name: 'rounded',
    category: 'precision',
    severity: 'error',
    finds: 'Values are off by a few units in the last place, where they had only to be moved.',
    remedy: 'Something computed on the way: a cast to float64 text and back, a scale and its inverse.',
  },
  WC407: {
    name: 'reference-is-half',
    category: 'precision',
    severity: 'warning',
    finds: 'The reference itself holds float32 values that are all exact in float16 or bfloat16.',
    remedy:
      'It was cast before; the check cannot see what was lost then. Start from the file that was trained.',
  },
  WC501: {
    name: 'layer-diverges',
    category: 'outputs',
    severity: 'error',
    finds: 'A layer is given what the reference gives it, and computes something else. It is the first one.',
    remedy:
      'Its weights are right, so look at what it computes with: padding, stride, dilation, epsilon, groups, the form of an activation, the order of a flatten.',
  },
  WC502: {
    name: 'path-diverges',
    category: 'outputs',
    severity: 'error',
    finds: 'Something between two layers with weights computes something else; the layer behind it is named.',
    remedy:
      'Compare what stands between the two layers: an activation, a pool, a resize, a padding, a reshape.',
  },
  WC503: {
    name: 'outputs-differ',
    category: 'outputs',
    severity: 'error',
    finds: 'The outputs of the model differ from the golden ones of the manifest by more than the tolerance.',
    remedy:
      'The first layer that differs says where. Where all of them agree, look behind the last: a softmax, a pool. Rounding that adds up over many layers may be settled under outputs, with a reason.',
  },
  WC504: {
    name: 'output-misshapen',
    category: 'outputs',
    severity: 'error',
    finds: 'The model has outputs of another shape, or of another number, than the reference.',
    remedy: 'A padding or a stride differs, or a layer was left out at the end.',
  },
  WC505: {
    name: 'layer-not-compared',
    category: 'outputs',
    severity: 'warning',
    finds: 'The output of a layer was not seen, or stands in another shape, so that only what follows tells.',
    remedy:
      'Engines fuse layers, crop them elsewhere, or keep the last step of a sequence. Where outputs differ as well, look here first.',
  },
  WC506: {
    name: 'output-not-finite',
    category: 'outputs',
    severity: 'error',
    finds: 'A layer gives NaN or infinity on a probe.',
    remedy: 'An epsilon was lost, or a layer overflows in a smaller dtype.',
  },
  WC701: {
    name: 'digest-differs',
    category: 'schema',
    severity: 'error',
    finds: 'A tensor of the reference is not the one that the manifest was written for.',
    remedy: 'Write the manifest again from this reference, or find the reference that it names.',
  },
  WC702: {
    name: 'schema-differs',
    category: 'schema',
    severity: 'error',
    finds: 'A file has other tensors than the weight schema of the manifest.',
    remedy:
      'Raise the version of the schema (consilium weights breaking says by which step), or use the right file.',
  },
  WC703: {
    name: 'golden-differs',
    category: 'schema',
    severity: 'error',
    finds: 'The reference, run again, does not give the golden outputs of the manifest.',
    remedy:
      'The code of the model changed, or a version of its framework computes otherwise. Find out which, and write the manifest again under a new version of the schema.',
  },
} as const satisfies Record<string, Rule>;

/** The id of a rule. */
export type RuleId = keyof typeof RULES;

/** Whether `text` is the id of a rule. */
export function isRuleId(text: string): text is RuleId {
  return Object.hasOwn(RULES, text);
}

/** What is said of a rule. */
export function ruleOf(id: RuleId): Rule {
  return RULES[id];
}
