// The rows of the table. Sources (inputs, variables, constants) and updates of variables have none:
// whoever writes a file says what stands for the former, and the latter are of trainings only.
#include "core/formats/translation/op_translation.h"
#include "core/formats/translation/tensorflow_cells.h"

namespace trireme::formats {
namespace {

namespace tensorflow = to_tensorflow;

constexpr std::string_view kTraining = "it is of trainings only";
constexpr std::string_view kPasses = "it is made by passes, after what files are written from";

// clang-format off
constexpr OpTranslation kRows[] = {
    // op, TensorFlow, ONNX

    // --- elementwise
    {"Add", "AddV2", {}},
    {"Subtract", "Sub", {}},
    {"Multiply", "Mul", {}},
    {"Divide", tensorflow::divide, {}},
    {"Maximum", "Maximum", {}},
    {"Minimum", "Minimum", {}},
    {"Power", tensorflow::power, {}},
    {"FloorDivide", tensorflow::floor_divide, {}},
    {"FloorMod", tensorflow::floor_mod, {}},
    {"Atan2", "Atan2", {}},
    {"Negate", "Neg", {}},
    {"Abs", "Abs", {}},
    {"Square", "Square", {}},
    {"Sign", "Sign", {}},
    {"Floor", "Floor", {}},
    {"Ceil", "Ceil", {}},
    {"Round", "Round", {}},
    {"Exp", "Exp", {}},
    {"Expm1", "Expm1", {}},
    {"Log", "Log", {}},
    {"Log1p", "Log1p", {}},
    {"Log2", tensorflow::log2, {}},
    {"Log10", tensorflow::log10, {}},
    {"Sqrt", "Sqrt", {}},
    {"Rsqrt", "Rsqrt", {}},
    {"Reciprocal", "Reciprocal", {}},
    {"Tanh", "Tanh", {}},
    {"Sin", "Sin", {}},
    {"Cos", "Cos", {}},
    {"Tan", "Tan", {}},
    {"Asin", "Asin", {}},
    {"Acos", "Acos", {}},
    {"Atan", "Atan", {}},
    {"Sinh", "Sinh", {}},
    {"Cosh", "Cosh", {}},
    {"Asinh", "Asinh", {}},
    {"Acosh", "Acosh", {}},
    {"Atanh", "Atanh", {}},
    {"Sigmoid", "Sigmoid", {}},
    {"Softplus", "Softplus", {}},
    {"Erf", "Erf", {}},
    {"Relu", "Relu", {}},
    {"LeakyRelu", tensorflow::leaky_relu, {}},
    {"Elu", tensorflow::elu, {}},
    {"Gelu", tensorflow::gelu, {}},
    {"GeluTanh", tensorflow::gelu_tanh, {}},
    {"Silu", tensorflow::silu, {}},
    {"Equal", "Equal", {}},
    {"NotEqual", "NotEqual", {}},
    {"Less", "Less", {}},
    {"LessEqual", "LessEqual", {}},
    {"Greater", "Greater", {}},
    {"GreaterEqual", "GreaterEqual", {}},
    {"LogicalAnd", "LogicalAnd", {}},
    {"LogicalOr", "LogicalOr", {}},
    {"LogicalXor", tensorflow::logical_xor, {}},
    {"LogicalNot", "LogicalNot", {}},
    {"IsNan", tensorflow::is_nan, {}},
    {"IsInf", tensorflow::is_inf, {}},
    {"IsFinite", tensorflow::is_finite, {}},
    {"Select", "SelectV2", {}},
    {"Cast", tensorflow::cast, {}},
    {"FillLike", tensorflow::fill_like, {}},
    {"Identity", tensorflow::identity, {}},
    {"StopGradient", tensorflow::identity, {}},
    {"Softmax", "Softmax", {}},
    {"LogSoftmax", "LogSoftmax", {}},
    {"SigmoidCrossEntropy", tensorflow::sigmoid_cross_entropy, {}},

    // --- reductions, running sums, sorting
    {"Sum", tensorflow::sum, {}},
    {"Mean", tensorflow::mean, {}},
    {"Max", tensorflow::max, {}},
    {"Min", tensorflow::min, {}},
    {"Prod", tensorflow::prod, {}},
    {"ArgMax", tensorflow::argmax, {}},
    {"ArgMin", tensorflow::argmin, {}},
    {"SumLike", tensorflow::sum_like, {}},
    {"CumSum", tensorflow::cumsum, {}},
    {"Sort", tensorflow::sort, {}},

    // --- shapes
    {"Reshape", tensorflow::reshape, {}},
    {"ReshapeLike", tensorflow::reshape_like, {}},
    {"Flatten", tensorflow::flatten, {}},
    {"ExpandDims", tensorflow::expand_dims, {}},
    {"Squeeze", tensorflow::squeeze, {}},
    {"Transpose", tensorflow::transpose, {}},
    {"Concat", tensorflow::concat, {}},
    {"Slice", tensorflow::slice, {}},
    {"SliceLike", tensorflow::slice_like, {}},
    {"Pad", tensorflow::pad, {}},
    {"BroadcastTo", tensorflow::broadcast_to, {}},
    {"BroadcastLike", tensorflow::broadcast_like, {}},

    // --- elements by number
    {"Gather", tensorflow::gather, {}},
    {"EmbeddingLookup", tensorflow::gather, {}},
    {"GatherAxis", tensorflow::gather_axis, {}},
    {"FlatIndex", tensorflow::flat_index, {}},
    {"ScatterAdd", tensorflow::scatter_add, {}},
    {"SegmentMax", tensorflow::segment_max, {}},
    {"OneHot", tensorflow::one_hot, {}},
    {"HashBucket", tensorflow::hash_bucket, {}},

    // --- products, normalisation, images, recurrences
    {"MatMul", tensorflow::matmul, {}},
    {"BiasAdd", tensorflow::bias_add, {}},
    {"PairwiseDots", tensorflow::pairwise_dots, {}},
    {"Attention", tensorflow::attention, {}},
    {"LayerNorm", tensorflow::layer_norm, {}},
    {"BatchNorm", tensorflow::batch_norm, {}},
    {"Conv2d", tensorflow::conv2d, {}},
    {"Conv2dBackwardInput", tensorflow::conv2d_backward_input, {}},
    {"MaxPool2d", tensorflow::max_pool2d, {}},
    {"AvgPool2d", tensorflow::avg_pool2d, {}},
    {"AffineTransform", tensorflow::affine_transform, {}},
    {"Lstm", tensorflow::lstm, {}},
    {"Gru", tensorflow::gru, {}},
    {"SimpleRnn", tensorflow::simple_rnn, {}},

    // --- not in files
    {"ReluGrad", {}, {}, kTraining},
    {"GeluGrad", {}, {}, kTraining},
    {"GeluTanhGrad", {}, {}, kTraining},
    {"SiluGrad", {}, {}, kTraining},
    {"SparseSoftmaxCrossEntropy", {}, {}, kTraining},
    {"BatchPart", {}, {}, kTraining},
    {"ConcatPart", {}, {}, kTraining},
    {"PadLike", {}, {}, kTraining},
    {"ScatterAxis", {}, {}, kTraining},
    {"AttentionGrad", {}, {}, kTraining},
    {"LayerNormGrad", {}, {}, kTraining},
    {"BatchNormGrad", {}, {}, kTraining},
    {"Conv2dBackwardFilter", {}, {}, kTraining},
    {"MaxPool2dGrad", {}, {}, kTraining},
    {"MaxPool2dGradGrad", {}, {}, kTraining},
    {"AvgPool2dGrad", {}, {}, kTraining},
    {"PairwiseDotsGrad", {}, {}, kTraining},
    {"LstmGrad", {}, {}, kTraining},
    {"GruGrad", {}, {}, kTraining},
    {"SimpleRnnGrad", {}, {}, kTraining},
    {"Dropout", {}, {}, kTraining},
    {"RandomUniform", {}, {}, kTraining},
    {"RandomNormal", {}, {}, kTraining},
    {"RandomTruncatedNormal", {}, {}, kTraining},
    {"WideMatMul", {}, {}, kPasses},
    {"FusedMatMul", {}, {}, kPasses},
    {"WideConv2dBackwardFilter", {}, {}, kPasses},
    {"FusedConv2d", {}, {}, kPasses},
    {"FusedElementwise", {}, {}, kPasses},
    {"BatchNormStatistics", {}, {}, kPasses},
    {"FusedMatMulApplySgd", {}, {}, kPasses},
    {"GroupedUpdate", {}, {}, kPasses},
    {"Copy", {}, {}, kPasses},
};
// clang-format on

}  // namespace

std::span<const OpTranslation> op_translations() { return kRows; }

}  // namespace trireme::formats
