/** The data type of one output: a fixed one, the one of an input, of an attribute (or else a default), or of a tensor attribute. */
export type TypeRule =
  | { readonly kind: "fixed"; readonly dataType: number }
  | { readonly kind: "input"; readonly index: number; readonly otherwise: TypeRule | null }
  | { readonly kind: "attribute"; readonly name: string; readonly otherwise: TypeRule | null }
  | { readonly kind: "tensor"; readonly name: string; readonly otherwise: TypeRule };

const fixed = (dataType: number): TypeRule => ({ kind: "fixed", dataType });
const input = (index: number, otherwise: TypeRule | null = null): TypeRule => ({ kind: "input", index, otherwise });
const attribute = (name: string, otherwise: TypeRule | null = null): TypeRule => ({
  kind: "attribute",
  name,
  otherwise,
});
const FLOAT = fixed(1);
const UINT8 = fixed(2);
const INT32 = fixed(6);
const INT64 = fixed(7);
const BOOL = fixed(9);
const FIRST = input(0);

/** Rules for each output of an operator; the last one holds for all further outputs. */
const TABLE: readonly (readonly [operators: string, ...rules: TypeRule[]])[] = [
  [
    "Abs Acos Acosh Add Asin Asinh Atan Atanh AveragePool BatchNormalization BitShift BitwiseAnd BitwiseNot BitwiseOr",
    FIRST,
  ],
  [
    "BitwiseXor Ceil Celu CenterCropPad Clip Col2Im Compress Concat Conv ConvTranspose Cos Cosh CumSum DFT DeformConv",
    FIRST,
  ],
  ["DepthToSpace Det Div Einsum Elu Erf Exp Expand Flatten Floor GRU Gather GatherElements GatherND Gelu Gemm", FIRST],
  [
    "GlobalAveragePool GlobalLpPool GlobalMaxPool GridSample GroupNormalization HammingWindow HardSigmoid HardSwish",
    FIRST,
  ],
  ["Hardmax Identity InstanceNormalization LRN LSTM LeakyRelu Log LogSoftmax LpNormalization LpPool MatMul Max", FIRST],
  [
    "MaxRoiPool MaxUnpool Mean MeanVarianceNormalization Min Mish Mod Mul Neg PRelu Pad Pow RMSNormalization RNN",
    FIRST,
  ],
  ["Range Reciprocal ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd", FIRST],
  ["ReduceSum ReduceSumSquare Relu Reshape Resize ReverseSequence RoiAlign Round STFT Scatter ScatterElements", FIRST],
  [
    "ScatterND Selu Shrink Sigmoid Sign Sin Sinh Slice Softmax Softplus Softsign SpaceToDepth Split Sqrt Squeeze",
    FIRST,
  ],
  [
    "Sub Sum Swish Tan Tanh ThresholdedRelu Tile Transpose Trilu Unsqueeze Upsample RotaryEmbedding TensorScatter",
    FIRST,
  ],
  ["And Equal Greater GreaterOrEqual IsInf IsNaN Less LessOrEqual Not Or Xor", BOOL],
  ["ArgMax ArgMin NonMaxSuppression NonZero Shape Size", INT64],
  ["ConvInteger MatMulInteger", INT32],
  ["Bernoulli EyeLike RandomNormalLike RandomUniformLike", attribute("dtype", FIRST)],
  ["RandomNormal RandomUniform", attribute("dtype", FLOAT)],
  ["BlackmanWindow HannWindow MelWeightMatrix", attribute("output_datatype", FLOAT)],
  ["Multinomial", attribute("dtype", INT32)],
  ["Cast", attribute("to")],
  ["CastLike", input(1)],
  ["ConstantOfShape", { kind: "tensor", name: "value", otherwise: FLOAT }],
  ["DequantizeLinear", input(1)],
  ["Dropout", FIRST, BOOL],
  ["DynamicQuantizeLinear", UINT8, FLOAT, UINT8],
  ["LayerNormalization", FIRST, FLOAT],
  ["MaxPool TopK Unique", FIRST, INT64],
  ["OneHot", input(2)],
  ["QLinearConv QLinearMatMul", input(7)],
  ["QuantizeLinear", input(2, attribute("output_dtype", UINT8))],
  ["Where", input(1)],
  // com.microsoft
  ["Attention BiasGelu BiasSplitGelu FastGelu FusedConv FusedGemm FusedMatMul GroupQueryAttention MatMulNBits", FIRST],
  ["MultiHeadAttention NhwcConv PackedAttention QuickGelu SparseAttention TransposeMatMul", FIRST],
  ["GatherBlockQuantized MatMulIntegerToFloat", input(2)],
  ["DynamicQuantizeMatMul BiasAdd BiasDropout GroupNorm SkipGroupNorm GemmaRotaryEmbedding", FIRST],
  ["SkipLayerNormalization SkipSimplifiedLayerNormalization", FIRST, FLOAT, FLOAT, FIRST],
  ["SimplifiedLayerNormalization", FIRST, FLOAT],
  ["EmbedLayerNormalization", input(2), INT32, input(2)],
  ["QAttention", input(3)],
];

const DOMAINS = new Set(["", "ai.onnx", "com.microsoft"]);
const RULES: ReadonlyMap<string, readonly TypeRule[]> = new Map(
  TABLE.flatMap(([operators, ...rules]) => operators.split(" ").map((operator) => [operator, rules] as const)),
);

/** The rule for one output of an operator; null if the operator is not in the table. */
export function typeRule(domain: string, operator: string, output: number): TypeRule | null {
  if (!DOMAINS.has(domain)) return null;
  const rules = RULES.get(operator);
  return rules?.[output] ?? rules?.at(-1) ?? null;
}
