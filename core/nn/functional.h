// Models built by functions: a layer is called on what others give.
//
//   auto numbers = nn::input({13});
//   auto keys = nn::input({26}, DType::kInt64);
//   auto rows = nn::flatten()(nn::embedding({.rows = 1000, .dimension = 8})(keys));
//   auto logit = nn::dense({.units = 1})(nn::concat()({numbers, rows}));
//   Model model({numbers, keys}, {logit});
//
// A layer that is kept and called twice has the same variables both times:
//
//   auto tower = nn::dense({.units = 64});
//   auto both = nn::add()({tower(a), tower(b)});
#pragma once

#include <memory>
#include <utility>

#include "core/nn/attention_layers.h"
#include "core/nn/click_layers.h"
#include "core/nn/layers.h"
#include "core/nn/mask_layers.h"
#include "core/nn/merge_layers.h"
#include "core/nn/network.h"
#include "core/nn/recurrent_layers.h"
#include "core/nn/residual_layers.h"
#include "core/nn/transformer_layers.h"

namespace trireme::nn {

// An input of a model. `example`: the shape without the batch.
inline LayerOutput input(const Shape& example, DType dtype = DType::kFloat32) {
  Shape shape{-1};
  for (const int64_t size : example) shape.push_back(size);
  return LayerOutput(TensorType{dtype, shape});
}

// Any layer, also one of the program's own.
template <typename L>
LayerFunction layer(typename L::Options options = {}) {
  return LayerFunction(std::make_shared<L>(std::move(options)));
}

inline LayerFunction dense(DenseOptions o) { return layer<Dense>(std::move(o)); }
inline LayerFunction conv2d(Conv2DOptions o) { return layer<Conv2D>(std::move(o)); }
inline LayerFunction max_pool2d(Pool2DOptions o = {}) { return layer<MaxPool2D>(std::move(o)); }
inline LayerFunction avg_pool2d(Pool2DOptions o = {}) { return layer<AvgPool2D>(std::move(o)); }
inline LayerFunction global_avg_pool2d(GlobalAvgPool2DOptions o = {}) {
  return layer<GlobalAvgPool2D>(std::move(o));
}
inline LayerFunction zero_pad2d(ZeroPad2DOptions o = {}) { return layer<ZeroPad2D>(std::move(o)); }
inline LayerFunction flatten(FlattenOptions o = {}) { return layer<Flatten>(std::move(o)); }
inline LayerFunction reshape(ReshapeOptions o) { return layer<Reshape>(std::move(o)); }
inline LayerFunction activation(ActivationOptions o) {
  return layer<ActivationLayer>(std::move(o));
}
inline LayerFunction dropout(DropoutOptions o) { return layer<Dropout>(std::move(o)); }
inline LayerFunction batch_norm(BatchNormOptions o = {}) { return layer<BatchNorm>(std::move(o)); }
inline LayerFunction layer_norm(LayerNormOptions o = {}) { return layer<LayerNorm>(std::move(o)); }
inline LayerFunction embedding(EmbeddingOptions o) { return layer<Embedding>(std::move(o)); }
inline LayerFunction embedding_bag(EmbeddingBagOptions o) {
  return layer<EmbeddingBag>(std::move(o));
}
inline LayerFunction lstm(LstmOptions o) { return layer<Lstm>(std::move(o)); }
inline LayerFunction gru(GruOptions o) { return layer<Gru>(std::move(o)); }
inline LayerFunction simple_rnn(SimpleRnnOptions o) { return layer<SimpleRnn>(std::move(o)); }
inline LayerFunction bidirectional(BidirectionalOptions o) {
  return layer<Bidirectional>(std::move(o));
}
inline LayerFunction time_distributed(TimeDistributedOptions o) {
  return layer<TimeDistributed>(std::move(o));
}
inline LayerFunction masking(MaskingOptions o = {}) { return layer<Masking>(std::move(o)); }
inline LayerFunction concat(ConcatOptions o = {}) { return layer<Concat>(std::move(o)); }
inline LayerFunction add(AddOptions o = {}) { return layer<Add>(std::move(o)); }
inline LayerFunction multiply(MultiplyOptions o = {}) { return layer<Multiply>(std::move(o)); }
inline LayerFunction dot_interaction(DotInteractionOptions o = {}) {
  return layer<DotInteraction>(std::move(o));
}

inline LayerFunction multi_head_attention(MultiHeadAttentionOptions o) {
  return layer<MultiHeadAttention>(std::move(o));
}
inline LayerFunction group_query_attention(GroupQueryAttentionOptions o) {
  return layer<GroupQueryAttention>(std::move(o));
}
inline LayerFunction attention(AttentionLayerOptions o = {}) {
  return layer<DotAttention>(std::move(o));
}
inline LayerFunction additive_attention(AdditiveAttentionOptions o = {}) {
  return layer<AdditiveAttention>(std::move(o));
}
inline LayerFunction position_embedding(PositionEmbeddingOptions o) {
  return layer<PositionEmbedding>(std::move(o));
}
inline LayerFunction sine_position_encoding(SinePositionEncodingOptions o = {}) {
  return layer<SinePositionEncoding>(std::move(o));
}
inline LayerFunction rotary_embedding(RotaryEmbeddingOptions o = {}) {
  return layer<RotaryEmbedding>(std::move(o));
}
inline LayerFunction token_and_position_embedding(TokenAndPositionEmbeddingOptions o) {
  return layer<TokenAndPositionEmbedding>(std::move(o));
}
inline LayerFunction transformer_block(TransformerBlockOptions o) {
  return layer<TransformerBlock>(std::move(o));
}

}  // namespace trireme::nn
