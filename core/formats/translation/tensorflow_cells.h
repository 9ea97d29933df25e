// What writes the nodes of ops that TensorFlow says otherwise: the cells of the table. What each op
// of ours computes is said at its definition.
#pragma once

#include "core/formats/translation/tensorflow_writer.h"

namespace trireme::formats::to_tensorflow {

// --- elementwise (tensorflow_elementwise.cc)
void identity(TensorflowWriter& w, const Node& node);
void divide(TensorflowWriter& w, const Node& node);
void floor_divide(TensorflowWriter& w, const Node& node);
void floor_mod(TensorflowWriter& w, const Node& node);
void power(TensorflowWriter& w, const Node& node);
void log2(TensorflowWriter& w, const Node& node);
void log10(TensorflowWriter& w, const Node& node);
void leaky_relu(TensorflowWriter& w, const Node& node);
void elu(TensorflowWriter& w, const Node& node);
void gelu(TensorflowWriter& w, const Node& node);
void gelu_tanh(TensorflowWriter& w, const Node& node);
void silu(TensorflowWriter& w, const Node& node);
void logical_xor(TensorflowWriter& w, const Node& node);
void is_finite(TensorflowWriter& w, const Node& node);
void is_nan(TensorflowWriter& w, const Node& node);
void is_inf(TensorflowWriter& w, const Node& node);
void cast(TensorflowWriter& w, const Node& node);
void fill_like(TensorflowWriter& w, const Node& node);
void sigmoid_cross_entropy(TensorflowWriter& w, const Node& node);

// --- reductions (tensorflow_reduction.cc)
void sum(TensorflowWriter& w, const Node& node);
void mean(TensorflowWriter& w, const Node& node);
void max(TensorflowWriter& w, const Node& node);
void min(TensorflowWriter& w, const Node& node);
void prod(TensorflowWriter& w, const Node& node);
void argmax(TensorflowWriter& w, const Node& node);
void argmin(TensorflowWriter& w, const Node& node);
void sum_like(TensorflowWriter& w, const Node& node);
void cumsum(TensorflowWriter& w, const Node& node);
void sort(TensorflowWriter& w, const Node& node);

// --- shapes (tensorflow_shaping.cc)
void reshape(TensorflowWriter& w, const Node& node);
void reshape_like(TensorflowWriter& w, const Node& node);
void flatten(TensorflowWriter& w, const Node& node);
void expand_dims(TensorflowWriter& w, const Node& node);
void squeeze(TensorflowWriter& w, const Node& node);
void transpose(TensorflowWriter& w, const Node& node);
void concat(TensorflowWriter& w, const Node& node);
void slice(TensorflowWriter& w, const Node& node);
void slice_like(TensorflowWriter& w, const Node& node);
void pad(TensorflowWriter& w, const Node& node);
void broadcast_to(TensorflowWriter& w, const Node& node);
void broadcast_like(TensorflowWriter& w, const Node& node);

// --- elements by number (tensorflow_indexing.cc)
void gather(TensorflowWriter& w, const Node& node);
void gather_axis(TensorflowWriter& w, const Node& node);
void flat_index(TensorflowWriter& w, const Node& node);
void scatter_add(TensorflowWriter& w, const Node& node);
void segment_max(TensorflowWriter& w, const Node& node);
void one_hot(TensorflowWriter& w, const Node& node);
void hash_bucket(TensorflowWriter& w, const Node& node);

// --- products (tensorflow_products.cc)
void matmul(TensorflowWriter& w, const Node& node);
void bias_add(TensorflowWriter& w, const Node& node);
void pairwise_dots(TensorflowWriter& w, const Node& node);
void attention(TensorflowWriter& w, const Node& node);

// --- normalisation (tensorflow_normalization.cc)
void layer_norm(TensorflowWriter& w, const Node& node);
void batch_norm(TensorflowWriter& w, const Node& node);

// --- images (tensorflow_images.cc)
void conv2d(TensorflowWriter& w, const Node& node);
void conv2d_backward_input(TensorflowWriter& w, const Node& node);
void max_pool2d(TensorflowWriter& w, const Node& node);
void avg_pool2d(TensorflowWriter& w, const Node& node);
void affine_transform(TensorflowWriter& w, const Node& node);

// --- recurrences (tensorflow_recurrent.cc)
void lstm(TensorflowWriter& w, const Node& node);
void gru(TensorflowWriter& w, const Node& node);
void simple_rnn(TensorflowWriter& w, const Node& node);

}  // namespace trireme::formats::to_tensorflow
