#include "tests/core/formats/onnx/layer_cases.h"

#include <cmath>

#include "core/base/error.h"
#include "worker/build_model.h"
#include "worker/job_file.h"

namespace trireme::testing {
namespace {

// Numbers of both signs, without a period.
float number(int64_t i, int64_t salt) {
  return std::sin(static_cast<float>(i) * 1.7F + static_cast<float>(salt) * 0.61F + 0.3F);
}

void fill(Tensor& tensor, int64_t salt, float scale, float shift) {
  const auto values = tensor.flat<float>();
  for (size_t i = 0; i < values.size(); ++i) {
    values[i] = scale * number(static_cast<int64_t>(i), salt) + shift;
  }
}

TensorType numbers(std::initializer_list<int64_t> example) {
  Shape shape = {-1};
  for (int64_t size : example) shape.push_back(size);
  return {DType::kFloat32, shape};
}
TensorType keys(int64_t count) { return {DType::kInt64, {-1, count}}; }

std::vector<LayerCase> make_cases() {
  const TensorType image = numbers({7, 6, 4}), sequence = numbers({5, 4}), row = numbers({6});
  std::vector<LayerCase> cases = {
      {"conv_same_stride", "conv2d { filters: 3 kernel: 3 stride: 2 padding: SAME }", {image}},
      {"conv_valid_dilated", "conv2d { filters: 4 kernel: 2 dilation: 2 groups: 2 }", {image}},
      {"conv_twice",
       "conv2d { filters: 3 kernel: 3 activation: TANH } } layers { conv2d { filters: 2 kernel: 2 "
       "padding: SAME }",
       {image}},
      {"conv1d", "conv1d { filters: 3 kernel: 3 padding: SAME }", {sequence}},
      {"conv2d_transpose",
       "conv2d_transpose { filters: 3 kernel: 3 stride: 2 padding: SAME }",
       {image}},
      {"conv2d_transpose_valid", "conv2d_transpose { filters: 3 kernel: 4 stride: 3 }", {image}},
      {"depthwise", "depthwise_conv2d { kernel: 3 padding: SAME }", {image}},
      {"separable", "separable_conv2d { filters: 3 kernel: 3 }", {image}},
      {"max_pool", "max_pool2d { window: 3 stride: 2 padding: SAME }", {image}},
      {"avg_pool", "avg_pool2d { window: 3 stride: 2 padding: SAME }", {image}},
      {"global_pool", "conv2d { filters: 3 kernel: 2 } } layers { global_avg_pool2d {}", {image}},
      {"global_max_pool", "global_max_pool2d {}", {image}},
      {"batch_norm",
       "conv2d { filters: 3 kernel: 1 } } layers { batch_norm {} } layers { relu {}",
       {image}},
      {"batch_norm_row", "batch_norm {}", {row}},
      {"layer_norm", "layer_norm { epsilon: 0.001 }", {sequence}},
      {"group_norm", "group_norm { groups: 2 }", {image}},
      {"rms_norm", "rms_norm {}", {sequence}},
      {"unit_norm", "unit_norm {}", {row}},
      {"residual",
       "residual { layers { conv2d { filters: 4 kernel: 3 padding: SAME } } layers { relu {} } }",
       {image}},
      {"zero_pad", "zero_pad2d { padding: 1 } } layers { cropping2d { cropping: 2 }", {image}},
      {"up_sampling", "up_sampling2d { size: 2 interpolation: BILINEAR }", {image}},
      {"up_sampling_nearest", "up_sampling2d { size: 2 }", {image}},
      {"flatten_image",
       "conv2d { filters: 2 kernel: 2 } } layers { flatten {} } layers { dense { units: 3 }",
       {image}},
      {"permute", "permute { dims: 3 dims: 1 dims: 2 }", {image}},
      {"reshape", "reshape { shape: 12 shape: 14 }", {image}},
      {"repeat_vector", "repeat_vector { n: 3 }", {row}},
      {"dense_sequence", "dense { units: 3 activation: SOFTMAX }", {sequence}},
      {"softmax_axis", "softmax { axis: 1 }", {sequence}},
      {"p_relu", "p_relu {}", {image}},
      {"leaky_relu", "leaky_relu {}", {row}},
      {"elu", "elu { alpha: 0.7 }", {row}},
      {"rescaling", "rescaling { scale: 2 offset: -1 }", {image}},
      {"embedding", "embedding { vocabulary: 9 dimension: 3 }", {keys(4)}, 9},
      {"embedding_bag",
       "embedding_bag { vocabulary: 9 dimension: 3 mask_zero: true }",
       {keys(4)},
       9},
      {"category_encoding",
       "category_encoding { num_tokens: 9 output_mode: MULTI_HOT }",
       {keys(4)},
       9},
      {"category_counts", "category_encoding { num_tokens: 9 output_mode: COUNT }", {keys(4)}, 9},
      {"dot_interaction", "reshape { shape: 3 shape: 2 } } layers { dot_interaction {}", {row}},
      {"lstm", "lstm { units: 3 }", {sequence}},
      {"lstm_sequences", "lstm { units: 3 return_sequences: true }", {sequence}},
      {"gru", "gru { units: 3 return_sequences: true }", {sequence}},
      {"gru_before", "gru { units: 3 reset_after: false }", {sequence}},
      {"simple_rnn", "simple_rnn { units: 3 }", {sequence}},
      {"simple_rnn_relu", "simple_rnn { units: 3 activation: RELU }", {sequence}},
      {"bidirectional",
       "bidirectional { layer { gru { units: 3 return_sequences: true } } }",
       {sequence}},
      {"bidirectional_lstm", "bidirectional { layer { lstm { units: 2 } } }", {sequence}},
      {"masked_lstm",
       "embedding { vocabulary: 9 dimension: 3 mask_zero: true } } layers { lstm { units: 3 }",
       {keys(5)},
       9,
       true},
      {"masked_gru",
       "embedding { vocabulary: 9 dimension: 3 mask_zero: true } } layers { gru { units: 3 "
       "return_sequences: true }",
       {keys(5)},
       9,
       true},
      {"masked_gru_before",
       "embedding { vocabulary: 9 dimension: 3 mask_zero: true } } layers { gru { units: 3 "
       "reset_after: false go_backwards: true }",
       {keys(5)},
       9,
       true},
      {"masked_rnn",
       "embedding { vocabulary: 9 dimension: 3 mask_zero: true } } layers { simple_rnn { units: 3 "
       "}",
       {keys(5)},
       9,
       true},
      {"time_distributed",
       "time_distributed { layer { dense { units: 2 activation: TANH } } }",
       {sequence}},
      {"attention", "multi_head_attention { num_heads: 2 key_dim: 3 }", {sequence}},
      {"causal_attention",
       "multi_head_attention { num_heads: 2 key_dim: 3 use_causal_mask: true }",
       {sequence}},
      {"grouped_attention",
       "group_query_attention { head_dim: 2 num_query_heads: 4 num_key_value_heads: 2 }",
       {sequence}},
      {"masked_attention",
       "embedding { vocabulary: 9 dimension: 4 mask_zero: true } } layers { multi_head_attention { "
       "num_heads: 2 key_dim: 2 }",
       {keys(5)},
       9},
      {"transformer",
       "transformer_block { num_heads: 2 intermediate_dim: 8 activation: GELU }",
       {sequence}},
      {"positions", "position_embedding { sequence_length: 8 }", {sequence}},
      {"rotary", "rotary_embedding {}", {sequence}},
      {"glu", "activation { function: GLU }", {row}},
  };
  for (const char* function :
       {"RELU",        "SIGMOID",       "TANH",        "SOFTPLUS",    "SOFTSIGN",    "ELU",
        "SELU",        "GELU",          "GELU_TANH",   "SILU",        "RELU6",       "HARD_SIGMOID",
        "HARD_SILU",   "MISH",          "LEAKY_RELU",  "EXPONENTIAL", "LOG_SOFTMAX", "CELU",
        "HARD_TANH",   "SOFT_SHRINK",   "HARD_SHRINK", "TANH_SHRINK", "SQUAREPLUS",  "SPARSE_PLUS",
        "LOG_SIGMOID", "SPARSE_SIGMOID"}) {
    cases.push_back({str_cat("activation_", function),
                     str_cat("activation { function: ", function, " }"),
                     {row}});
  }
  return cases;
}

}  // namespace

const std::vector<LayerCase>& layer_cases() {
  static const std::vector<LayerCase> cases = make_cases();
  return cases;
}

formats::ModelFile model_of_case(const LayerCase& layers) {
  const JobFile job = JobFile::parse(
      str_cat("name: \"", layers.name, "\" data { noise {} } model { layers { ", layers.layers,
              " } } loss: MEAN_SQUARED_ERROR optimizer { sgd {} } epochs: 1 batch_size: 1"),
      layers.name);
  nn::Model model({.name = layers.name});
  build_layers(model, job, layers.features);
  formats::ModelFile file = formats::model_file_of(model);
  int64_t salt = 0;
  for (auto& [name, tensor] : file.weights) {
    tensor = tensor.clone();
    const bool is_positive = name.ends_with("variance");
    fill(tensor, ++salt, is_positive ? 0.3F : 0.6F, is_positive ? 1 : 0.05F);
  }
  return file;
}

std::vector<Tensor> features_of_case(const LayerCase& layers, int64_t batch) {
  std::vector<Tensor> features;
  for (const TensorType& type : layers.features) {
    Shape shape = type.shape;
    shape.set(0, batch);
    Tensor tensor(type.dtype, shape);
    if (type.dtype == DType::kInt64) {
      const auto values = tensor.flat<int64_t>();
      for (size_t i = 0; i < values.size(); ++i) {
        values[i] = static_cast<int64_t>((i * i * 7 + 3 * i) % static_cast<size_t>(layers.keys));
      }
    } else {
      fill(tensor, batch, 1.5F, 0);
    }
    features.push_back(tensor);
  }
  return features;
}

}  // namespace trireme::testing
