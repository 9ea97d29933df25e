// The rows of the table. Sources (inputs, variables, constants) and updates of variables have none:
// whoever writes a file says what stands for the former, and the latter are of trainings only.
#include "core/formats/translation/onnx_cells.h"
#include "core/formats/translation/op_translation.h"
#include "core/formats/translation/tensorflow_cells.h"

namespace trireme::formats {
namespace {

namespace tensorflow = to_tensorflow;
namespace onnx = to_onnx;

constexpr std::string_view kTraining = "it is of trainings only";
constexpr std::string_view kPasses = "it is made by passes, after what files are written from";

// clang-format off
constexpr OpTranslation kRows[] = {
    // op, TensorFlow, ONNX

    // --- elementwise
    {"Add", "AddV2", onnx::add},
    {"Subtract", "Sub", "Sub"},
    {"Multiply", "Mul", "Mul"},
    {"Divide", tensorflow::divide, "Div"},
    {"Maximum", "Maximum", "Max"},
    {"Minimum", "Minimum", "Min"},
    {"Power", tensorflow::power, "Pow"},
    {"FloorDivide", tensorflow::floor_divide, onnx::floor_divide},
    {"FloorMod", tensorflow::floor_mod, onnx::floor_mod},
    {"Atan2", "Atan2", onnx::atan2},
    {"Negate", "Neg", "Neg"},
    {"Abs", "Abs", "Abs"},
    {"Square", "Square", onnx::square},
    {"Sign", "Sign", "Sign"},
    {"Floor", "Floor", "Floor"},
    {"Ceil", "Ceil", "Ceil"},
    {"Round", "Round", "Round"},
    {"Exp", "Exp", "Exp"},
    {"Expm1", "Expm1", onnx::expm1},
    {"Log", "Log", "Log"},
    {"Log1p", "Log1p", onnx::log1p},
    {"Log2", tensorflow::log2, onnx::log2},
    {"Log10", tensorflow::log10, onnx::log10},
    {"Sqrt", "Sqrt", "Sqrt"},
    {"Rsqrt", "Rsqrt", onnx::rsqrt},
    {"Reciprocal", "Reciprocal", "Reciprocal"},
    {"Tanh", "Tanh", "Tanh"},
    {"Sin", "Sin", "Sin"},
    {"Cos", "Cos", "Cos"},
    {"Tan", "Tan", "Tan"},
    {"Asin", "Asin", "Asin"},
    {"Acos", "Acos", "Acos"},
    {"Atan", "Atan", "Atan"},
    {"Sinh", "Sinh", "Sinh"},
    {"Cosh", "Cosh", "Cosh"},
    {"Asinh", "Asinh", "Asinh"},
    {"Acosh", "Acosh", "Acosh"},
    {"Atanh", "Atanh", "Atanh"},
    {"Sigmoid", "Sigmoid", "Sigmoid"},
    {"Softplus", "Softplus", "Softplus"},
    {"Erf", "Erf", "Erf"},
    {"Relu", "Relu", "Relu"},
    {"LeakyRelu", tensorflow::leaky_relu, onnx::leaky_relu},
    {"Elu", tensorflow::elu, onnx::elu},
    {"Gelu", tensorflow::gelu, onnx::gelu},
    {"GeluTanh", tensorflow::gelu_tanh, onnx::gelu_tanh},
    {"Silu", tensorflow::silu, onnx::silu},
    {"Equal", "Equal", "Equal"},
    {"NotEqual", "NotEqual", onnx::not_equal},
    {"Less", "Less", onnx::less},
    {"LessEqual", "LessEqual", onnx::less_equal},
    {"Greater", "Greater", onnx::greater},
    {"GreaterEqual", "GreaterEqual", onnx::greater_equal},
    {"LogicalAnd", "LogicalAnd", "And"},
    {"LogicalOr", "LogicalOr", "Or"},
    {"LogicalXor", tensorflow::logical_xor, "Xor"},
    {"LogicalNot", "LogicalNot", "Not"},
    {"IsNan", tensorflow::is_nan, "IsNaN"},
    {"IsInf", tensorflow::is_inf, "IsInf"},
    {"IsFinite", tensorflow::is_finite, onnx::is_finite},
    {"Select", "SelectV2", "Where"},
    {"Cast", tensorflow::cast, onnx::cast},
    {"FillLike", tensorflow::fill_like, onnx::fill_like},
    {"Identity", tensorflow::identity, onnx::identity},
    {"StopGradient", tensorflow::identity, onnx::identity},
    {"Softmax", "Softmax", onnx::softmax},
    {"LogSoftmax", "LogSoftmax", onnx::softmax},
    {"SigmoidCrossEntropy", tensorflow::sigmoid_cross_entropy, {}},

    // --- reductions, running sums, sorting
    {"Sum", tensorflow::sum, onnx::reduce},
    {"Mean", tensorflow::mean, onnx::reduce},
    {"Max", tensorflow::max, onnx::reduce},
    {"Min", tensorflow::min, onnx::reduce},
    {"Prod", tensorflow::prod, onnx::reduce},
    {"ArgMax", tensorflow::argmax, onnx::arg},
    {"ArgMin", tensorflow::argmin, onnx::arg},
    {"SumLike", tensorflow::sum_like, {}},
    {"CumSum", tensorflow::cumsum, onnx::cumsum},
    {"Sort", tensorflow::sort, onnx::sort},

    // --- shapes
    {"Reshape", tensorflow::reshape, onnx::reshape},
    {"ReshapeLike", tensorflow::reshape_like, onnx::reshape_like},
    {"Flatten", tensorflow::flatten, onnx::flatten},
    {"ExpandDims", tensorflow::expand_dims, onnx::expand_dims},
    {"Squeeze", tensorflow::squeeze, onnx::squeeze},
    {"Transpose", tensorflow::transpose, onnx::transpose},
    {"Concat", tensorflow::concat, onnx::concat},
    {"Slice", tensorflow::slice, onnx::slice},
    {"SliceLike", tensorflow::slice_like, {}},
    {"Pad", tensorflow::pad, onnx::pad},
    {"BroadcastTo", tensorflow::broadcast_to, onnx::broadcast_to},
    {"BroadcastLike", tensorflow::broadcast_like, onnx::broadcast_like},

    // --- elements by number
    {"Gather", tensorflow::gather, onnx::gather},
    {"EmbeddingLookup", tensorflow::gather, onnx::gather},
    {"GatherAxis", tensorflow::gather_axis, onnx::gather_axis},
    {"FlatIndex", tensorflow::flat_index, {}},
    {"ScatterAdd", tensorflow::scatter_add, onnx::scatter_add},
    {"SegmentMax", tensorflow::segment_max, {}},
    {"OneHot", tensorflow::one_hot, onnx::one_hot},
    {"HashBucket", tensorflow::hash_bucket, {}},

    // --- products, normalisation, images, recurrences
    {"MatMul", tensorflow::matmul, onnx::matmul},
    {"BiasAdd", tensorflow::bias_add, onnx::bias_add},
    {"PairwiseDots", tensorflow::pairwise_dots, onnx::pairwise_dots},
    {"Attention", tensorflow::attention, onnx::attention},
    {"LayerNorm", tensorflow::layer_norm, onnx::layer_norm},
    {"BatchNorm", tensorflow::batch_norm, {}},
    {"Conv2d", tensorflow::conv2d, onnx::conv2d},
    {"Conv2dBackwardInput", tensorflow::conv2d_backward_input, onnx::conv2d_transpose},
    {"MaxPool2d", tensorflow::max_pool2d, onnx::pool},
    {"AvgPool2d", tensorflow::avg_pool2d, onnx::pool},
    {"AffineTransform", tensorflow::affine_transform, {}},
    {"Lstm", tensorflow::lstm, onnx::lstm},
    {"Gru", tensorflow::gru, onnx::gru},
    {"SimpleRnn", tensorflow::simple_rnn, onnx::simple_rnn},

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
