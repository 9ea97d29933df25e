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

#include "core/nn/activation_layers.h"
#include "core/nn/attention_layers.h"
#include "core/nn/click_layers.h"
#include "core/nn/convolution_layers.h"
#include "core/nn/einsum_layers.h"
#include "core/nn/image_augmentation_layers.h"
#include "core/nn/image_color_layers.h"
#include "core/nn/layers.h"
#include "core/nn/mask_layers.h"
#include "core/nn/merge_layers.h"
#include "core/nn/network.h"
#include "core/nn/noise_layers.h"
#include "core/nn/pooling_layers.h"
#include "core/nn/preprocessing_layers.h"
#include "core/nn/recurrent_layers.h"
#include "core/nn/reshaping_layers.h"
#include "core/nn/residual_layers.h"
#include "core/nn/string_layers.h"
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
inline LayerFunction add(MergeOptions o = {}) { return layer<Add>(std::move(o)); }
inline LayerFunction multiply(MergeOptions o = {}) { return layer<Multiply>(std::move(o)); }
inline LayerFunction dot_interaction(DotInteractionOptions o = {}) {
  return layer<DotInteraction>(std::move(o));
}
inline LayerFunction conv1d(Conv1D::Options o) { return layer<Conv1D>(std::move(o)); }
inline LayerFunction conv3d(Conv3D::Options o) { return layer<Conv3D>(std::move(o)); }
inline LayerFunction conv1d_transpose(Conv1DTranspose::Options o) {
  return layer<Conv1DTranspose>(std::move(o));
}
inline LayerFunction conv2d_transpose(Conv2DTranspose::Options o) {
  return layer<Conv2DTranspose>(std::move(o));
}
inline LayerFunction conv3d_transpose(Conv3DTranspose::Options o) {
  return layer<Conv3DTranspose>(std::move(o));
}
inline LayerFunction depthwise_conv1d(DepthwiseConv1D::Options o) {
  return layer<DepthwiseConv1D>(std::move(o));
}
inline LayerFunction depthwise_conv2d(DepthwiseConv2D::Options o) {
  return layer<DepthwiseConv2D>(std::move(o));
}
inline LayerFunction separable_conv1d(SeparableConv1D::Options o) {
  return layer<SeparableConv1D>(std::move(o));
}
inline LayerFunction separable_conv2d(SeparableConv2D::Options o) {
  return layer<SeparableConv2D>(std::move(o));
}
inline LayerFunction max_pool1d(MaxPool1D::Options o = {}) {
  return layer<MaxPool1D>(std::move(o));
}
inline LayerFunction max_pool3d(MaxPool3D::Options o = {}) {
  return layer<MaxPool3D>(std::move(o));
}
inline LayerFunction avg_pool1d(AvgPool1D::Options o = {}) {
  return layer<AvgPool1D>(std::move(o));
}
inline LayerFunction avg_pool3d(AvgPool3D::Options o = {}) {
  return layer<AvgPool3D>(std::move(o));
}
inline LayerFunction global_max_pool1d(GlobalMaxPool1D::Options o = {}) {
  return layer<GlobalMaxPool1D>(std::move(o));
}
inline LayerFunction global_max_pool2d(GlobalMaxPool2D::Options o = {}) {
  return layer<GlobalMaxPool2D>(std::move(o));
}
inline LayerFunction global_max_pool3d(GlobalMaxPool3D::Options o = {}) {
  return layer<GlobalMaxPool3D>(std::move(o));
}
inline LayerFunction global_avg_pool1d(GlobalAvgPool1D::Options o = {}) {
  return layer<GlobalAvgPool1D>(std::move(o));
}
inline LayerFunction global_avg_pool3d(GlobalAvgPool3D::Options o = {}) {
  return layer<GlobalAvgPool3D>(std::move(o));
}
inline LayerFunction adaptive_max_pool1d(AdaptiveMaxPool1D::Options o) {
  return layer<AdaptiveMaxPool1D>(std::move(o));
}
inline LayerFunction adaptive_max_pool2d(AdaptiveMaxPool2D::Options o) {
  return layer<AdaptiveMaxPool2D>(std::move(o));
}
inline LayerFunction adaptive_max_pool3d(AdaptiveMaxPool3D::Options o) {
  return layer<AdaptiveMaxPool3D>(std::move(o));
}
inline LayerFunction adaptive_avg_pool1d(AdaptiveAvgPool1D::Options o) {
  return layer<AdaptiveAvgPool1D>(std::move(o));
}
inline LayerFunction adaptive_avg_pool2d(AdaptiveAvgPool2D::Options o) {
  return layer<AdaptiveAvgPool2D>(std::move(o));
}
inline LayerFunction adaptive_avg_pool3d(AdaptiveAvgPool3D::Options o) {
  return layer<AdaptiveAvgPool3D>(std::move(o));
}
inline LayerFunction permute(Permute::Options o) { return layer<Permute>(std::move(o)); }
inline LayerFunction repeat_vector(RepeatVector::Options o) {
  return layer<RepeatVector>(std::move(o));
}
inline LayerFunction zero_pad1d(ZeroPad1D::Options o = {}) {
  return layer<ZeroPad1D>(std::move(o));
}
inline LayerFunction zero_pad3d(ZeroPad3D::Options o = {}) {
  return layer<ZeroPad3D>(std::move(o));
}
inline LayerFunction cropping1d(Cropping1D::Options o = {}) {
  return layer<Cropping1D>(std::move(o));
}
inline LayerFunction cropping2d(Cropping2D::Options o = {}) {
  return layer<Cropping2D>(std::move(o));
}
inline LayerFunction cropping3d(Cropping3D::Options o = {}) {
  return layer<Cropping3D>(std::move(o));
}
inline LayerFunction up_sampling1d(UpSampling1D::Options o = {}) {
  return layer<UpSampling1D>(std::move(o));
}
inline LayerFunction up_sampling2d(UpSampling2D::Options o = {}) {
  return layer<UpSampling2D>(std::move(o));
}
inline LayerFunction up_sampling3d(UpSampling3D::Options o = {}) {
  return layer<UpSampling3D>(std::move(o));
}
inline LayerFunction identity_layer(Identity::Options o = {}) {
  return layer<Identity>(std::move(o));
}
inline LayerFunction lambda(Lambda::Options o) { return layer<Lambda>(std::move(o)); }
inline LayerFunction relu(Relu::Options o = {}) { return layer<Relu>(std::move(o)); }
inline LayerFunction leaky_relu(LeakyRelu::Options o = {}) {
  return layer<LeakyRelu>(std::move(o));
}
inline LayerFunction p_relu(PRelu::Options o = {}) { return layer<PRelu>(std::move(o)); }
inline LayerFunction elu(Elu::Options o = {}) { return layer<Elu>(std::move(o)); }
inline LayerFunction softmax(Softmax::Options o = {}) { return layer<Softmax>(std::move(o)); }
inline LayerFunction spatial_dropout1d(SpatialDropout1D::Options o) {
  return layer<SpatialDropout1D>(std::move(o));
}
inline LayerFunction spatial_dropout2d(SpatialDropout2D::Options o) {
  return layer<SpatialDropout2D>(std::move(o));
}
inline LayerFunction spatial_dropout3d(SpatialDropout3D::Options o) {
  return layer<SpatialDropout3D>(std::move(o));
}
inline LayerFunction alpha_dropout(AlphaDropout::Options o) {
  return layer<AlphaDropout>(std::move(o));
}
inline LayerFunction gaussian_dropout(GaussianDropout::Options o) {
  return layer<GaussianDropout>(std::move(o));
}
inline LayerFunction gaussian_noise(GaussianNoise::Options o) {
  return layer<GaussianNoise>(std::move(o));
}
inline LayerFunction group_norm(GroupNorm::Options o = {}) {
  return layer<GroupNorm>(std::move(o));
}
inline LayerFunction rms_norm(RmsNorm::Options o = {}) { return layer<RmsNorm>(std::move(o)); }
inline LayerFunction unit_norm(UnitNorm::Options o = {}) { return layer<UnitNorm>(std::move(o)); }
inline LayerFunction subtract(Subtract::Options o = {}) { return layer<Subtract>(std::move(o)); }
inline LayerFunction average(Average::Options o = {}) { return layer<Average>(std::move(o)); }
inline LayerFunction maximum(Maximum::Options o = {}) { return layer<Maximum>(std::move(o)); }
inline LayerFunction minimum(Minimum::Options o = {}) { return layer<Minimum>(std::move(o)); }
inline LayerFunction dot(Dot::Options o) { return layer<Dot>(std::move(o)); }
inline LayerFunction einsum_dense(EinsumDenseOptions o) { return layer<EinsumDense>(std::move(o)); }
inline LayerFunction activity_regularization(ActivityRegularizationOptions o) {
  return layer<ActivityRegularization>(std::move(o));
}
inline LayerFunction rescaling(Rescaling::Options o) { return layer<Rescaling>(std::move(o)); }
inline LayerFunction normalization(Normalization::Options o = {}) {
  return layer<Normalization>(std::move(o));
}
inline LayerFunction discretization(Discretization::Options o) {
  return layer<Discretization>(std::move(o));
}
inline LayerFunction category_encoding(CategoryEncoding::Options o) {
  return layer<CategoryEncoding>(std::move(o));
}
inline LayerFunction hashing(Hashing::Options o) { return layer<Hashing>(std::move(o)); }
inline LayerFunction hashed_crossing(HashedCrossing::Options o) {
  return layer<HashedCrossing>(std::move(o));
}
inline LayerFunction integer_lookup(IntegerLookup::Options o) {
  return layer<IntegerLookup>(std::move(o));
}
inline LayerFunction string_lookup(StringLookup::Options o = {}) {
  return layer<StringLookup>(std::move(o));
}
inline LayerFunction text_vectorization(TextVectorization::Options o) {
  return layer<TextVectorization>(std::move(o));
}
inline LayerFunction resizing(Resizing::Options o) { return layer<Resizing>(std::move(o)); }
inline LayerFunction center_crop(CenterCrop::Options o) { return layer<CenterCrop>(std::move(o)); }
inline LayerFunction random_crop(RandomCrop::Options o) { return layer<RandomCrop>(std::move(o)); }
inline LayerFunction random_flip(RandomFlip::Options o = {}) {
  return layer<RandomFlip>(std::move(o));
}
inline LayerFunction random_rotation(RandomRotation::Options o) {
  return layer<RandomRotation>(std::move(o));
}
inline LayerFunction random_translation(RandomTranslation::Options o) {
  return layer<RandomTranslation>(std::move(o));
}
inline LayerFunction random_zoom(RandomZoom::Options o) { return layer<RandomZoom>(std::move(o)); }
inline LayerFunction random_shear(RandomShear::Options o) {
  return layer<RandomShear>(std::move(o));
}
inline LayerFunction random_contrast(RandomContrast::Options o) {
  return layer<RandomContrast>(std::move(o));
}
inline LayerFunction random_brightness(RandomBrightness::Options o) {
  return layer<RandomBrightness>(std::move(o));
}
inline LayerFunction random_invert(RandomInvert::Options o = {}) {
  return layer<RandomInvert>(std::move(o));
}
inline LayerFunction random_grayscale(RandomGrayscale::Options o = {}) {
  return layer<RandomGrayscale>(std::move(o));
}
inline LayerFunction auto_contrast(AutoContrast::Options o = {}) {
  return layer<AutoContrast>(std::move(o));
}
inline LayerFunction solarization(Solarization::Options o = {}) {
  return layer<Solarization>(std::move(o));
}
inline LayerFunction random_posterization(RandomPosterization::Options o) {
  return layer<RandomPosterization>(std::move(o));
}
inline LayerFunction random_color_degeneration(RandomColorDegeneration::Options o) {
  return layer<RandomColorDegeneration>(std::move(o));
}
inline LayerFunction random_saturation(RandomSaturation::Options o) {
  return layer<RandomSaturation>(std::move(o));
}
inline LayerFunction random_sharpness(RandomSharpness::Options o) {
  return layer<RandomSharpness>(std::move(o));
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
