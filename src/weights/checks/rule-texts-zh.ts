import type { Category, RuleId } from './rules.ts';

/** What a rule says in Chinese; ids and machine formats stay as they are. */
export interface RuleText {
  /** A few words. */
  readonly title: string;
  /** What it finds, as a sentence. */
  readonly finds: string;
  /** How that comes about, and what to do. */
  readonly remedy: string;
}

/** What each category is about. */
export const CATEGORIES_ZH = {
  inventory: '清单：张量相同，形状与数据类型也相同',
  layout: '布局：只被移动的值逐位相同，且位于应在之处',
  arithmetic: '算术：经过计算的值在容差之内',
  precision: '精度：途中没有舍入、冲零或截断',
  outputs: '输出：各层以及整个模型的计算结果相同',
  schema: '模式：文件正是清单所针对的文件',
} as const satisfies Record<Category, string>;

/** Every rule of the check in Chinese, by its id. */
export const RULES_ZH = {
  WC101: {
    title: '缺少张量',
    finds: '参考文件中的某个张量不在待检文件中。',
    remedy: '某一层被丢弃、偏置丢失，或名称改变而没有映射。请把映射写入清单，或说明理由后忽略该张量。',
  },
  WC102: {
    title: '多余张量',
    finds: '待检文件有参考文件所没有的张量。',
    remedy: '通常是优化器状态，或较新版本的某一层。请去掉它，或说明理由后忽略。',
  },
  WC103: {
    title: '张量重复',
    finds: '待检文件的两个张量字节相同，而参考文件中这两个张量并不相同。',
    remedy: '循环把同一层写了两次，很可能覆盖了另一层。请核对转换中的名称。',
  },
  WC104: {
    title: '共享关系改变',
    finds: '一侧共享存储的张量在另一侧不再共享。',
    remedy: '当前的值可能一致，但训练后会分开。请在目标框架中重新绑定，或说明理由后忽略。',
  },
  WC105: {
    title: '形状不符',
    finds: '张量的形状与其布局规则给出的不同。',
    remedy: '未转换、转换了两次，或架构不同。消息中写明了应有的形状。',
  },
  WC106: {
    title: '数据类型改变',
    finds: '张量的数据类型与参考文件不同。',
    remedy: '请按参考文件的数据类型转换；若要改变类型，请作为单独的、经过测量的步骤进行。',
  },
  WC107: {
    title: '非有限值',
    finds: '待检文件的张量含有 NaN 或无穷大。',
    remedy: '转换为 float16 时溢出，或内存从未写入。若参考文件同样如此，则是训练已经发散。',
  },
  WC108: {
    title: '未作任何转换',
    finds: '待检文件的字节与布局都与参考文件相同。',
    remedy: '文件只是被复制或张量只是改名，布局没有改变。请进行转换。',
  },
  WC109: {
    title: '未作任何比较',
    finds: '没有比较任何张量。',
    remedy: '文件为空，或映射没有指向任何张量。没有比较任何内容的检查不算通过。',
  },
  WC110: {
    title: '映射有歧义',
    finds: '名称、顺序和形状允许两个文件之间有多种映射。',
    remedy: '消息中列出了各种可能。请在清单中指明；本工具从不猜测，也从不参考数值。',
  },
  WC111: {
    title: '无法表示',
    finds: '待检文件的框架无法容纳参考文件中的某一层。',
    remedy: '请把这一层保留在支持它的框架中。近似的做法形状能通过，数值却不对。',
  },
  WC112: {
    title: '已量化',
    finds: '待检文件的张量以量化形式保存。',
    remedy: '量化会损失数值。请先不量化地转换，再把量化作为单独的、经过测量的步骤进行。',
  },
  WC113: {
    title: '名称带前缀',
    finds: '一个文件的名称是另一个文件的名称加上前缀。',
    remedy:
      '包装器留下了自己的名称，例如 DataParallel 的 module.，或该文件是检查点，模型位于其中的一部分。请保存模型本身的 state_dict，或用 --prefix 或 --against-prefix 指明所指的部分。',
  },
  WC114: {
    title: '归一化被并入',
    finds: '参考文件的批归一化不在 ONNX 计算图中。',
    remedy:
      '导出器把它们并入了前面的层，并改变了那些层的权重。请先调用 eval()，再以 optimize=False 导出；若使用 dynamo=False，则以 training=TrainingMode.PRESERVE 导出。',
  },
  WC201: {
    title: '数值不同',
    finds: '只应被移动的张量没有保持参考文件的值，且没有已知的错误可以解释。',
    remedy: '权重不是同一份，或文件已损坏。消息中写明了有多少元素不同、相差多少。',
  },
  WC202: {
    title: '轴的次序错误',
    finds: '值与参考文件相同，但各轴的次序不对。',
    remedy: '请使用消息中给出的次序。方阵会掩盖这个错误：形状是对的。',
  },
  WC203: {
    title: '字节被重塑',
    finds: '字节与参考文件相同，只是换了形状：本应转置，却做了重塑。',
    remedy: '请使用转置。重塑从不移动任何值。',
  },
  WC204: {
    title: '门的次序',
    finds: '循环层的各个门或注意力的各个块的次序不同。',
    remedy: 'PyTorch：LSTM 为 i,f,g,o，GRU 为 r,z,n。Keras：i,f,c,o 与 z,r,h。ONNX：i,o,f,c 与 z,r,h。',
  },
  WC205: {
    title: '展平次序',
    finds: '展平之后的 Linear，其输入按另一框架的次序排列。',
    remedy:
      'PyTorch 按通道、高、宽展平；通道在后的框架按高、宽、通道展平。请重排输入：[O,C*H*W] -> [O,C,H,W] -> [H,W,C,O] -> [H*W*C,O]。若这一层之前并没有展平，请用 --flatten LAYER=none 指明。',
  },
  WC206: {
    title: '张量互换',
    finds: '某个张量保存的是参考文件中另一个张量的值。',
    remedy: '名称错位，或两层互换。消息中写明了这些值应属于哪里。',
  },
  WC207: {
    title: '仅相差一个置换',
    finds: '某层的通道次序不同，其后一层也一致地随之改变：函数相同，但不可求平均。',
    remedy: '输出一致，但跨站点求平均会混合含义不同的通道。请恢复参考文件的次序。',
  },
  WC208: {
    title: '通道被置换',
    finds: '某个张量的通道次序不同，而其他张量没有随之改变。',
    remedy: '请恢复参考文件的次序。',
  },
  WC209: {
    title: '卷积核翻转',
    finds: '某一轴上的值前后颠倒。',
    remedy: '各框架计算的是互相关，而不是卷积：不应翻转卷积核。',
  },
  WC210: {
    title: '符号翻转',
    finds: '值与参考文件仅符号不同。',
    remedy: '单个元素如此，是某一位损坏；全部如此，是约定被改变。',
  },
  WC211: {
    title: '数值被缩放',
    finds: '所有的值都是参考文件的值乘以同一个因子，或加上同一个数。',
    remedy: '只在一侧并入了归一化，或方差中加入了 epsilon。请撤销该操作。',
  },
  WC212: {
    title: '统计量不同',
    finds: '批归一化的运行统计量与参考文件不属于同一时刻，而其缩放与偏移一致。',
    remedy:
      '模型在此期间以训练模式运行过，例如 torch.onnx.export 使用 TrainingMode.TRAINING 时：请先调用 eval()，再以 TrainingMode.PRESERVE 导出。均值为 0、方差为 1 是训练之前的值：它们没有被复制。若各站点有各自的统计量，请说明理由后忽略。',
  },
  WC301: {
    title: '和不同',
    finds: '应为两个张量之和的张量，在容差之内并不等于该和。',
    remedy: 'Keras 的 LSTM 只有一个偏置，PyTorch 有两个：请把 bias_ih 与 bias_hh 相加，不要只取其一。',
  },
  WC302: {
    title: '超出容差',
    finds: '张量与参考文件之差超过其容差。',
    remedy: '容差写在清单中。请不经算术地转换，或在清单中说明理由并另定容差。',
  },
  WC401: {
    title: '曾转换为 float16',
    finds: '无论现在是什么数据类型，这些值途中曾被舍入为 float16。',
    remedy: '请从 float32 文件转换。该转换的相对误差约为 2e-4，且会丢失很小的值。',
  },
  WC402: {
    title: '曾转换为 bfloat16',
    finds: '无论现在是什么数据类型，这些值途中曾被舍入为 bfloat16。',
    remedy: '请从 float32 文件转换。该转换的相对误差约为 2e-3。',
  },
  WC403: {
    title: '尾数被截断',
    finds: '尾数的低位为零，而参考文件中并不为零。',
    remedy: '以截断方式转换、TF32，或位数不足的十进制文本。请直接搬运字节，不要打印数字。',
  },
  WC404: {
    title: '被冲为零',
    finds: '参考文件中不为零的值在这里为零。',
    remedy: '次正规数被冲为零，或很小的值在 float16 中丢失。请在转换中关闭 flush-to-zero。',
  },
  WC405: {
    title: '被截顶',
    finds: '参考文件中较大的值被截到同一个界限。',
    remedy: '通常是 65504，即最大的 float16。请以 float32 转换。',
  },
  WC406: {
    title: '被舍入',
    finds: '只应被移动的值，末位相差了几个单位。',
    remedy: '途中有计算：转成 float64 的十进制文本再转回，或缩放之后再还原。',
  },
  WC407: {
    title: '参考文件本身为半精度',
    finds: '参考文件的 float32 值全部可以由 float16 或 bfloat16 精确表示。',
    remedy: '它此前已被转换过；检查无法看出当时丢失了什么。请从训练得到的文件开始。',
  },
  WC501: {
    title: '某层结果不同',
    finds: '某层得到与参考相同的输入，计算结果却不同。它是第一个这样的层。',
    remedy: '其权重是对的，请检查计算所用的参数：填充、步幅、膨胀、epsilon、分组、激活函数的形式、展平次序。',
  },
  WC502: {
    title: '层间结果不同',
    finds: '两个带权重的层之间有某处计算结果不同；消息给出其后的层。',
    remedy: '请比较两层之间的内容：激活、池化、缩放、填充、重塑。',
  },
  WC503: {
    title: '输出不同',
    finds: '模型的输出与清单中的基准输出之差超过容差。',
    remedy:
      '第一个不同的层指明了位置。若各层都一致，请看最后一层之后：softmax、池化。多层累积的舍入误差可在 outputs 中说明理由后放宽。',
  },
  WC504: {
    title: '输出形状不符',
    finds: '模型输出的形状或个数与参考不同。',
    remedy: '填充或步幅不同，或末尾漏掉了一层。',
  },
  WC505: {
    title: '某层未比较',
    finds: '未能看到某层的输出，或其形状不同，因此只能由其后的内容判断。',
    remedy: '引擎会合并层、在别处裁剪，或只保留序列的最后一步。若输出也不同，请先看这里。',
  },
  WC506: {
    title: '输出非有限值',
    finds: '某层在探针上给出 NaN 或无穷大。',
    remedy: '丢失了 epsilon，或某层在较小的数据类型中溢出。',
  },
  WC701: {
    title: '摘要不同',
    finds: '参考文件的某个张量不是清单所针对的那一个。',
    remedy: '请由这份参考文件重新生成清单，或找到清单所指的参考文件。',
  },
  WC702: {
    title: '权重模式不同',
    finds: '文件中的张量与清单的权重模式不符。',
    remedy: '请提高模式的版本（consilium weights breaking 会说明应提高哪一级），或使用正确的文件。',
  },
  WC703: {
    title: '基准输出不同',
    finds: '再次运行参考模型，得不到清单中的基准输出。',
    remedy: '模型代码已改变，或其框架的某个版本计算方式不同。请查明原因，并以新的模式版本重新生成清单。',
  },
} as const satisfies Record<RuleId, RuleText>;
