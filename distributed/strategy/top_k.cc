#include "distributed/strategy/top_k.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/base/error.h"

namespace trireme {
namespace {

constexpr int64_t kSample = 1 << 14;

}  // namespace

TopKExchange::TopKExchange(int64_t count, double ratio)
    : residual_(static_cast<size_t>(count)),
      sample_(static_cast<size_t>(std::min(count, kSample))) {
  TRIREME_CHECK(ratio > 0 && ratio <= 1, "ratio ", ratio);
  TRIREME_CHECK(count <= std::numeric_limits<int32_t>::max(), count, " elements in a bucket");
  const auto sent = static_cast<size_t>(std::ceil(ratio * static_cast<double>(count)));
  indices_.resize(sent);
  values_.resize(sent);
}

float TopKExchange::threshold(const float* data) {
  if (sample_.empty()) return 0;
  const size_t stride = residual_.size() / sample_.size();
  for (size_t i = 0; i < sample_.size(); ++i) sample_[i] = std::abs(data[i * stride]);
  const auto rank = static_cast<size_t>(static_cast<double>(values_.size()) /
                                        static_cast<double>(residual_.size()) *
                                        static_cast<double>(sample_.size()));
  const auto at = sample_.begin() + static_cast<int64_t>(std::min(rank, sample_.size() - 1));
  std::nth_element(sample_.begin(), at, sample_.end(), std::greater<>());
  return *at;
}

void TopKExchange::select(const float* data) {
  const float least = threshold(data);
  size_t found = 0;
  for (size_t i = 0; i < residual_.size() && found < values_.size(); ++i) {
    // NaN is sent, so that every rank sees it.
    if (std::abs(data[i]) < least || data[i] == 0) continue;
    indices_[found] = static_cast<int32_t>(i);
    values_[found] = data[i];
    ++found;
  }
  std::fill(indices_.begin() + static_cast<int64_t>(found), indices_.end(), 0);
  std::fill(values_.begin() + static_cast<int64_t>(found), values_.end(), 0.f);
}

void TopKExchange::sum(float* data, Communicator& communicator, const std::string& label,
                       int64_t step) {
  for (size_t i = 0; i < residual_.size(); ++i) data[i] += residual_[i];
  select(data);
  const size_t total = values_.size() * static_cast<size_t>(communicator.size());
  if (all_values_.size() != total) {  // a generation of another size
    all_values_.resize(total);
    all_indices_.resize(total);
  }
  const auto sent = static_cast<int64_t>(values_.size());
  communicator.set_label(label, step);
  communicator.all_gather({indices_.data(), sent, DType::kInt32},
                          {all_indices_.data(), static_cast<int64_t>(total), DType::kInt32});
  communicator.set_label(label, step);
  communicator.all_gather({values_.data(), sent, DType::kFloat32},
                          {all_values_.data(), static_cast<int64_t>(total), DType::kFloat32});
  std::copy(data, data + residual_.size(), residual_.begin());
  for (size_t i = 0; i < values_.size(); ++i) {
    if (values_[i] != 0) residual_[static_cast<size_t>(indices_[i])] = 0;
  }
  // In the order of ranks, so that all of them get the same bits.
  std::fill(data, data + residual_.size(), 0.f);
  for (size_t i = 0; i < total; ++i) {
    const auto at = static_cast<size_t>(all_indices_[i]);
    if (at < residual_.size()) data[at] += all_values_[i];
  }
}

}  // namespace trireme
