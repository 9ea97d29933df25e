// The cells of the table for ONNX: each writes what computes a node, or throws TranslationError.
#pragma once

#include "core/formats/translation/op_translation.h"

namespace trireme::formats::to_onnx {

// --- elementwise (onnx_elementwise.cc); a sum may be a normalisation (onnx_batch_norm.cc)
void add(OnnxWriter& writer, const Node& node);
void floor_divide(OnnxWriter& writer, const Node& node);
void floor_mod(OnnxWriter& writer, const Node& node);
void atan2(OnnxWriter& writer, const Node& node);
void square(OnnxWriter& writer, const Node& node);
void expm1(OnnxWriter& writer, const Node& node);
void log1p(OnnxWriter& writer, const Node& node);
void log2(OnnxWriter& writer, const Node& node);
void log10(OnnxWriter& writer, const Node& node);
void rsqrt(OnnxWriter& writer, const Node& node);
void leaky_relu(OnnxWriter& writer, const Node& node);
void elu(OnnxWriter& writer, const Node& node);
void gelu(OnnxWriter& writer, const Node& node);
void gelu_tanh(OnnxWriter& writer, const Node& node);
void silu(OnnxWriter& writer, const Node& node);
void not_equal(OnnxWriter& writer, const Node& node);
void less(OnnxWriter& writer, const Node& node);
void less_equal(OnnxWriter& writer, const Node& node);
void greater(OnnxWriter& writer, const Node& node);
void greater_equal(OnnxWriter& writer, const Node& node);
void is_finite(OnnxWriter& writer, const Node& node);
void cast(OnnxWriter& writer, const Node& node);
void bias_add(OnnxWriter& writer, const Node& node);
void identity(OnnxWriter& writer, const Node& node);

// --- moving, picking, summing (onnx_arrays.cc)
void reshape(OnnxWriter& writer, const Node& node);
void reshape_like(OnnxWriter& writer, const Node& node);
void flatten(OnnxWriter& writer, const Node& node);
void expand_dims(OnnxWriter& writer, const Node& node);
void squeeze(OnnxWriter& writer, const Node& node);
void transpose(OnnxWriter& writer, const Node& node);
void concat(OnnxWriter& writer, const Node& node);
void slice(OnnxWriter& writer, const Node& node);
void pad(OnnxWriter& writer, const Node& node);
void broadcast_to(OnnxWriter& writer, const Node& node);
void broadcast_like(OnnxWriter& writer, const Node& node);
void fill_like(OnnxWriter& writer, const Node& node);
void reduce(OnnxWriter& writer, const Node& node);
void arg(OnnxWriter& writer, const Node& node);
void gather(OnnxWriter& writer, const Node& node);
void gather_axis(OnnxWriter& writer, const Node& node);
void one_hot(OnnxWriter& writer, const Node& node);
void cumsum(OnnxWriter& writer, const Node& node);
void sort(OnnxWriter& writer, const Node& node);
void pairwise_dots(OnnxWriter& writer, const Node& node);
void scatter_add(OnnxWriter& writer, const Node& node);

// --- products, images, normalisation, attention (onnx_layers.cc)
void matmul(OnnxWriter& writer, const Node& node);
void conv2d(OnnxWriter& writer, const Node& node);
void conv2d_transpose(OnnxWriter& writer, const Node& node);
void pool(OnnxWriter& writer, const Node& node);
void softmax(OnnxWriter& writer, const Node& node);
void layer_norm(OnnxWriter& writer, const Node& node);
void attention(OnnxWriter& writer, const Node& node);

// --- recurrences (onnx_recurrent.cc)
void lstm(OnnxWriter& writer, const Node& node);
void gru(OnnxWriter& writer, const Node& node);
void simple_rnn(OnnxWriter& writer, const Node& node);

}  // namespace trireme::formats::to_onnx
