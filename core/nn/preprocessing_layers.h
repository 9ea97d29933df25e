// Layers that prepare numbers and whole numbers for others: scaling, buckets, codes. Some may take
// their values from the training data before the first step; see core/nn/adaptation.h.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/nn/adaptation.h"
#include "core/nn/encoding.h"
#include "core/nn/layer.h"
#include "core/nn/strings.h"

namespace trireme::nn {

// x·scale + offset.
struct RescalingOptions {
  std::optional<double> scale = {};  // must be given
  double offset = 0;
  std::string name = "";

  void describe(OptionVisitor& visitor);
  void check() const;
};
class Rescaling : public LayerOf<RescalingOptions> {
 public:
  using LayerOf::LayerOf;
  std::string type() const override { return "rescaling"; }
  Value call(BuildContext& context, Value x) override;
};

// (x − mean)/√variance of each channel, the last axis. Without `mean` and `variance` they are those
// of the training data, and variables of the layer.
struct NormalizationOptions {
  std::vector<double> mean = {}, variance = {};  // one for all channels, or one for each
  bool invert = false;                           // x·√variance + mean
  std::string name = "";

  void describe(OptionVisitor& visitor);
  void check() const;
};
class Normalization : public LayerOf<NormalizationOptions>, public AdaptingLayer {
 public:
  using LayerOf::LayerOf;
  std::string type() const override { return "normalization"; }
  Value call(BuildContext& context, Value x) override;

  bool wants_data() const override { return options_.mean.empty(); }
  void see(const Tensor& batch) override;
  void finish() override;

 private:
  std::vector<double> count_, mean_, squares_;  // of each channel, while it looks at the data
  std::vector<float> adapted_mean_, adapted_variance_;
};

// The number of the bucket that x falls into: how many of the boundaries are at most x. Without
// `bin_boundaries` they are the quantiles of the training data that make `num_bins` buckets of
// about as many numbers, and a variable of the layer.
struct DiscretizationOptions {
  std::vector<double> bin_boundaries = {};  // rising
  std::optional<int64_t> num_bins = {};
  EncodingMode output_mode = EncodingMode::kInt;
  std::string name = "";

  void describe(OptionVisitor& visitor);
  void check() const;
};
class Discretization : public LayerOf<DiscretizationOptions>, public AdaptingLayer {
 public:
  using LayerOf::LayerOf;
  std::string type() const override { return "discretization"; }
  Value call(BuildContext& context, Value x) override;

  bool wants_data() const override { return options_.bin_boundaries.empty(); }
  void see(const Tensor& batch) override;
  void finish() override;

 private:
  std::vector<float> sample_;  // every stride_-th number of the data
  int64_t stride_ = 1, seen_ = 0;
  std::vector<float> adapted_;
};

// Whole numbers below num_tokens as rows of zeros and ones.
struct CategoryEncodingOptions {
  int64_t num_tokens = 0;  // must be given
  EncodingMode output_mode = EncodingMode::kMultiHot;
  std::string name = "";

  void describe(OptionVisitor& visitor);
};
class CategoryEncoding : public LayerOf<CategoryEncodingOptions> {
 public:
  using LayerOf::LayerOf;
  std::string type() const override { return "category_encoding"; }
  Value call(BuildContext& context, Value x) override;
};

// One of num_bins buckets for each whole number, by core/device/hash_bucket.h, or for each text,
// whose number is its FNV-1a hash. With a mask, bucket 0 is that of the mask alone.
struct HashingOptions {
  int64_t num_bins = 0;  // must be given
  std::optional<int64_t> mask_value = {};
  std::optional<std::string> mask_text = {};
  int64_t salt = 0;
  EncodingMode output_mode = EncodingMode::kInt;
  std::string name = "";

  void describe(OptionVisitor& visitor);
  void check() const;
};
class Hashing : public LayerOf<HashingOptions>, public StringLayer {
 public:
  using LayerOf::LayerOf;
  std::string type() const override { return "hashing"; }
  Value call(BuildContext& context, Value x) override;

  DType row_dtype() const override { return DType::kInt64; }
  Shape row_shape() const override { return {}; }
  void write_row(std::string_view text, const data::RowView& row) const override;
};

// One of num_bins buckets for what several inputs of whole numbers have in one place.
struct HashedCrossingOptions {
  int64_t num_bins = 0;  // must be given
  EncodingMode output_mode = EncodingMode::kInt;
  std::string name = "";

  void describe(OptionVisitor& visitor);
};
class HashedCrossing : public LayerOf<HashedCrossingOptions> {
 public:
  using LayerOf::LayerOf;
  std::string type() const override { return "hashed_crossing"; }
  Value call_inputs(BuildContext& context, std::span<const Value> inputs) override;
};

// The place of each whole number in the vocabulary, behind num_oov_indices places for those that
// are not in it, and with a mask_token behind 0, which is its place.
struct IntegerLookupOptions {
  std::vector<int64_t> vocabulary = {};  // must be given
  int64_t num_oov_indices = 1;
  std::optional<int64_t> mask_token = {};
  EncodingMode output_mode = EncodingMode::kInt;
  std::string name = "";

  void describe(OptionVisitor& visitor);
  void check() const;
};
class IntegerLookup : public LayerOf<IntegerLookupOptions> {
 public:
  using LayerOf::LayerOf;
  std::string type() const override { return "integer_lookup"; }
  Value call(BuildContext& context, Value x) override;
};

}  // namespace trireme::nn
