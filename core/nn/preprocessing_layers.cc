#include "core/nn/preprocessing_layers.h"

#include <algorithm>
#include <cmath>
#include <unordered_set>

#include "core/base/error.h"
#include "core/base/philox.h"
#include "core/nn/encoding.h"
#include "core/nn/layer_options.h"
#include "core/ops/hashing.h"

namespace trireme::nn {
namespace {

Value number_like(Value x, double value) { return ops::scalar(x.graph(), x.dtype(), value); }

Value as_floats(Value x) { return is_floating(x.dtype()) ? x : ops::cast(x, DType::kFloat32); }

void require_whole_numbers(const BuildContext& context, Value x, size_t input = 0) {
  context.require(x.dtype() == DType::kInt32 || x.dtype() == DType::kInt64, "i32 or i64 numbers",
                  "this layer is called on what the data give", input);
}

Initializer values_of(std::vector<float> values) {
  return [values = std::move(values)](const InitializerInput& input) {
    return Tensor::from<float>(input.type.shape, values);
  };
}

[[noreturn]] void refuse_unadapted() {
  throw invalid_argument(
      "it takes its values from the training data and has not seen them; call adapt() before the "
      "model is built, or give the values as options");
}

Value whole_number(BuildContext& context, int64_t value) {
  return ops::constant(context.graph(), Tensor::scalar<int64_t>(value));
}

}  // namespace

// --- Rescaling

void RescalingOptions::describe(OptionVisitor& visitor) {
  visitor.field({.name = "scale", .help = "factor", .default_text = "must be given"}, scale);
  visitor.field({.name = "offset", .help = "added to the product"}, offset);
}

void RescalingOptions::check() const {
  if (!scale) throw invalid_argument("rescaling: scale: expected a number, found none");
}

Value Rescaling::call(BuildContext&, Value x) {
  x = as_floats(x);
  x = x * number_like(x, *options_.scale);
  return options_.offset == 0 ? x : x + number_like(x, options_.offset);
}

// --- Normalization

void NormalizationOptions::describe(OptionVisitor& visitor) {
  visitor.field({.name = "mean",
                 .help = "one number for all channels, or one for each",
                 .default_text = "of the training data"},
                mean);
  visitor.field({.name = "variance",
                 .help = "one number for all channels, or one for each",
                 .range = at_least(0),
                 .default_text = "of the training data"},
                variance);
  visitor.field({.name = "invert", .help = "back from mean 0 and variance 1"}, invert);
}

void NormalizationOptions::check() const {
  if (mean.empty() != variance.empty()) {
    throw invalid_argument("normalization: expected both mean and variance, or neither");
  }
}

Value Normalization::call(BuildContext& context, Value x) {
  const auto& o = options_;
  x = as_floats(x);
  context.require(x.shape().rank() >= 1, "a batch");
  const int64_t channels = x.shape().rank() == 1 ? 1 : x.shape().dim(-1);
  context.require(channels > 0, "a known number of channels [batch, …, channels]");
  Value mean, variance;
  if (!wants_data()) {
    const auto given = [&](const std::vector<double>& values, std::string_view name) {
      const auto size = static_cast<int64_t>(values.size());
      context.require(size == 1 || size == channels,
                      str_cat(size, " channels, as ", name, " has numbers"));
      Tensor tensor(DType::kFloat32, {size});
      std::ranges::transform(values, tensor.flat<float>().begin(),
                             [](double v) { return static_cast<float>(v); });
      return ops::constant(context.graph(), tensor);
    };
    mean = given(o.mean, "mean");
    variance = given(o.variance, "variance");
  } else {
    const bool adapted = !adapted_mean_.empty();
    if (context.training() && !adapted) refuse_unadapted();
    if (adapted && static_cast<int64_t>(adapted_mean_.size()) != channels) {
      throw invalid_argument("it has seen data with ", adapted_mean_.size(),
                             " channels and is called on ", x.type());
    }
    mean = context.variable("mean", {channels}, adapted ? values_of(adapted_mean_) : zeros(), {},
                            false);
    variance = context.variable("variance", {channels},
                                adapted ? values_of(adapted_variance_) : ones(), {}, false);
  }
  mean = ops::cast(mean, x.dtype());
  constexpr double kLeastDeviation = 1e-7;
  const Value deviation =
      ops::cast(ops::maximum(ops::sqrt(variance),
                             ops::scalar(context.graph(), DType::kFloat32, kLeastDeviation)),
                x.dtype());
  return o.invert ? x * deviation + mean : (x - mean) / deviation;
}

// Welford 1962, a channel each.
void Normalization::see(const Tensor& batch) {
  const int rank = batch.shape().rank();
  const int64_t channels = rank <= 1 ? 1 : batch.shape().dim(-1);
  const auto size = static_cast<size_t>(channels);
  if (count_.empty()) {
    count_.assign(size, 0);
    mean_.assign(size, 0);
    squares_.assign(size, 0);
  }
  if (count_.size() != size) {
    throw invalid_argument("normalization: expected examples of ", count_.size(),
                           " channels, as those before, found ", batch.shape());
  }
  const int64_t elements = batch.elements();
  for (int64_t i = 0; i < elements; ++i) {
    const auto c = static_cast<size_t>(i % channels);
    const double value = batch.as_double(i);
    const double delta = value - mean_[c];
    mean_[c] += delta / ++count_[c];
    squares_[c] += delta * (value - mean_[c]);
  }
}

void Normalization::finish() {
  if (count_.empty() || count_[0] == 0) {
    throw invalid_argument(
        "normalization: expected training examples to take the mean of, found "
        "none");
  }
  adapted_mean_.clear();
  adapted_variance_.clear();
  for (size_t c = 0; c < count_.size(); ++c) {
    const double variance = squares_[c] / count_[c];
    if (!std::isfinite(mean_[c]) || !std::isfinite(variance)) {
      throw invalid_argument("normalization: channel ", c,
                             " of the training data has values that are no finite numbers");
    }
    adapted_mean_.push_back(static_cast<float>(mean_[c]));
    adapted_variance_.push_back(static_cast<float>(variance));
  }
  count_.clear();
}

// --- Discretization

void DiscretizationOptions::describe(OptionVisitor& visitor) {
  visitor.field({.name = "bin_boundaries",
                 .help = "rising numbers; a number falls into the bucket behind those that are at "
                         "most as large",
                 .default_text = "quantiles of the training data, with num_bins"},
                bin_boundaries);
  visitor.field({.name = "num_bins",
                 .help = "buckets of about as many numbers of the training data",
                 .range = at_least(2),
                 .default_text = "bin_boundaries are given"},
                num_bins);
  describe_output_mode(visitor, output_mode);
}

void DiscretizationOptions::check() const {
  if (bin_boundaries.empty() != num_bins.has_value()) {
    throw invalid_argument("discretization: expected either bin_boundaries or num_bins");
  }
  for (size_t i = 1; i < bin_boundaries.size(); ++i) {
    if (bin_boundaries[i - 1] < bin_boundaries[i]) continue;
    throw invalid_argument("discretization: bin_boundaries: expected rising numbers, found ",
                           bin_boundaries[i], " behind ", bin_boundaries[i - 1]);
  }
}

Value Discretization::call(BuildContext& context, Value x) {
  const auto& o = options_;
  x = as_floats(x);
  Value boundaries;
  int64_t buckets = 0;
  if (!wants_data()) {
    buckets = static_cast<int64_t>(o.bin_boundaries.size()) + 1;
    Tensor tensor(DType::kFloat32, {buckets - 1});
    std::ranges::transform(o.bin_boundaries, tensor.flat<float>().begin(),
                           [](double v) { return static_cast<float>(v); });
    boundaries = ops::constant(context.graph(), tensor);
  } else {
    if (context.training() && adapted_.empty()) refuse_unadapted();
    buckets = *o.num_bins;
    boundaries = context.variable("bin_boundaries", {buckets - 1},
                                  adapted_.empty() ? zeros() : values_of(adapted_), {}, false);
  }
  const int rank = x.shape().rank();
  const Value above =
      ops::greater_equal(ops::expand_dims(x, {rank}), ops::cast(boundaries, x.dtype()));
  const Value bucket = ops::sum(ops::cast(above, DType::kInt64), {rank});
  return encoded(context, bucket, buckets, o.output_mode);
}

// The sample is thinned out whenever it is full: every second number of it stays, and of what comes
// as few.
void Discretization::see(const Tensor& batch) {
  constexpr size_t kLargestSample = size_t{1} << 20;
  const int64_t elements = batch.elements();
  for (int64_t i = 0; i < elements; ++i) {
    if (seen_++ % stride_ != 0) continue;
    const double value = batch.as_double(i);
    if (!std::isfinite(value)) {
      throw invalid_argument("discretization: number ", seen_,
                             " of the training data is no finite number");
    }
    sample_.push_back(static_cast<float>(value));
    if (sample_.size() < kLargestSample) continue;
    for (size_t j = 0; 2 * j < sample_.size(); ++j) sample_[j] = sample_[2 * j];
    sample_.resize(sample_.size() / 2);
    stride_ *= 2;
  }
}

void Discretization::finish() {
  if (sample_.empty()) {
    throw invalid_argument(
        "discretization: expected training examples to take the boundaries "
        "from, found none");
  }
  std::ranges::sort(sample_);
  adapted_.clear();
  const int64_t bins = *options_.num_bins;
  for (int64_t i = 1; i < bins; ++i) {
    const auto at = static_cast<size_t>(i) * sample_.size() / static_cast<size_t>(bins);
    adapted_.push_back(sample_[std::min(at, sample_.size() - 1)]);
  }
  sample_.clear();
  sample_.shrink_to_fit();
}

// --- whole numbers

void CategoryEncodingOptions::describe(OptionVisitor& visitor) {
  visitor.field({.name = "num_tokens",
                 .help = "the numbers are below it",
                 .range = at_least(1),
                 .default_text = "must be given"},
                num_tokens);
  describe_output_mode(visitor, output_mode);
}

Value CategoryEncoding::call(BuildContext& context, Value x) {
  require_whole_numbers(context, x);
  // Each number looked up in 0, 1, …: one that is not among them is an error of that op.
  std::vector<int64_t> numbers(static_cast<size_t>(options_.num_tokens));
  for (size_t i = 0; i < numbers.size(); ++i) numbers[i] = static_cast<int64_t>(i);
  const Value all = ops::constant(
      context.graph(), Tensor::from<int64_t>({options_.num_tokens}, numbers), "num_tokens");
  return encoded(context, ops::gather(all, x), options_.num_tokens, options_.output_mode);
}

void HashingOptions::describe(OptionVisitor& visitor) {
  visitor.field({.name = "num_bins",
                 .help = "buckets",
                 .range = at_least(1),
                 .default_text = "must be given"},
                num_bins);
  visitor.field(
      {.name = "mask_value", .help = "the number that alone gets bucket 0", .default_text = "none"},
      mask_value);
  visitor.field(
      {.name = "mask_text", .help = "the text that alone gets bucket 0", .default_text = "none"},
      mask_text);
  visitor.field({.name = "salt", .help = "another one mixes the buckets anew"}, salt);
  describe_output_mode(visitor, output_mode);
}

void HashingOptions::check() const {
  if (mask_value && mask_text) {
    throw invalid_argument("hashing: expected a mask_value or a mask_text, found both");
  }
  if ((mask_value || mask_text) && num_bins < 2) {
    throw invalid_argument("hashing: expected at least 2 num_bins with a mask, found ", num_bins);
  }
}

void Hashing::write_row(std::string_view text, const data::RowView& row) const {
  row.as<int64_t>()[0] = static_cast<int64_t>(hash_name(text));
}

Value Hashing::call(BuildContext& context, Value x) {
  const auto& o = options_;
  require_converted(x);
  require_whole_numbers(context, x);
  x = ops::cast(x, DType::kInt64);
  std::optional<int64_t> mask = o.mask_value;
  if (o.mask_text) mask = static_cast<int64_t>(hash_name(*o.mask_text));
  Value bucket = ops::hash_bucket(x, o.num_bins - (mask ? 1 : 0), o.salt);
  if (mask) {
    const Value is_mask = ops::equal(x, whole_number(context, *mask));
    bucket = ops::select(is_mask, ops::zeros_like(x), bucket + whole_number(context, 1));
  }
  return encoded(context, bucket, o.num_bins, o.output_mode);
}

void HashedCrossingOptions::describe(OptionVisitor& visitor) {
  visitor.field({.name = "num_bins",
                 .help = "buckets",
                 .range = at_least(1),
                 .default_text = "must be given"},
                num_bins);
  describe_output_mode(visitor, output_mode);
}

Value HashedCrossing::call_inputs(BuildContext& context, std::span<const Value> inputs) {
  if (inputs.size() < 2) {
    throw invalid_argument("expected at least two inputs, found ", inputs.size());
  }
  constexpr int64_t kMany = int64_t{1} << 62;
  Value key;
  for (size_t i = 0; i < inputs.size(); ++i) {
    require_whole_numbers(context, inputs[i], i);
    context.require(inputs[i].shape() == inputs[0].shape(),
                    str_cat("inputs of one shape, the first being ", inputs[0].shape()), "", i);
    const Value x = ops::cast(inputs[i], DType::kInt64);
    key = i == 0 ? x : ops::hash_bucket(key, kMany) + x;
  }
  return encoded(context, ops::hash_bucket(key, options_.num_bins), options_.num_bins,
                 options_.output_mode);
}

void IntegerLookupOptions::describe(OptionVisitor& visitor) {
  visitor.field({.name = "vocabulary", .help = "the numbers, each once"}, vocabulary);
  visitor.field({.name = "num_oov_indices",
                 .help = "places of numbers that are not in the vocabulary; 0: they become -1",
                 .range = at_least(0)},
                num_oov_indices);
  visitor.field(
      {.name = "mask_token", .help = "the number whose place is 0", .default_text = "none"},
      mask_token);
  describe_output_mode(visitor, output_mode);
}

void IntegerLookupOptions::check() const {
  if (vocabulary.empty()) {
    throw invalid_argument("integer_lookup: vocabulary: expected at least one number, found none");
  }
  std::unordered_set<int64_t> known;
  for (const int64_t number : vocabulary) {
    if (known.insert(number).second) continue;
    throw invalid_argument("integer_lookup: vocabulary: ", number, " stands there twice");
  }
  if (mask_token && known.contains(*mask_token)) {
    throw invalid_argument("integer_lookup: the mask_token ", *mask_token,
                           " is in the vocabulary too");
  }
}

Value IntegerLookup::call(BuildContext& context, Value x) {
  const auto& o = options_;
  require_whole_numbers(context, x);
  x = ops::cast(x, DType::kInt64);
  const int64_t masks = o.mask_token ? 1 : 0;
  const auto words = static_cast<int64_t>(o.vocabulary.size());
  const int64_t first = masks + o.num_oov_indices;
  std::vector<int64_t> places(o.vocabulary.size());
  for (size_t i = 0; i < places.size(); ++i) places[i] = first + static_cast<int64_t>(i) + 1;
  const int rank = x.shape().rank();
  const Value is_word = ops::cast(
      ops::equal(ops::expand_dims(x, {rank}),
                 ops::constant(context.graph(), Tensor::from<int64_t>({words}, o.vocabulary))),
      DType::kInt64);
  // One more than the place; 0 where it is no word.
  const Value found = ops::sum(
      is_word * ops::constant(context.graph(), Tensor::from<int64_t>({words}, places)), {rank});
  Value unknown = whole_number(context, -1);
  if (o.num_oov_indices == 1) unknown = whole_number(context, masks);
  if (o.num_oov_indices > 1) {
    unknown = ops::hash_bucket(x, o.num_oov_indices) + whole_number(context, masks);
  }
  const Value zero = whole_number(context, 0);
  Value place = ops::select(ops::greater(found, zero), found - whole_number(context, 1), unknown);
  if (o.mask_token) {
    place = ops::select(ops::equal(x, whole_number(context, *o.mask_token)), zero, place);
  }
  return encoded(context, place, first + words, o.output_mode);
}

}  // namespace trireme::nn
