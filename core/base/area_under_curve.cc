#include "core/base/area_under_curve.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <limits>

#include "core/base/error.h"

namespace trireme {
namespace {

constexpr size_t kSortedAtOnce = size_t{1} << 16;
constexpr double kPartOfClass = 1.0 / (1 << 15);

// Numbers that are ordered as the floats are; 0 and −0 have one.
uint32_t rank_of(float score) {
  const auto bits = std::bit_cast<uint32_t>(score + 0.0f);
  return (bits & 0x80000000u) != 0 ? ~bits : bits | 0x80000000u;
}

float score_of(uint64_t added) {
  const auto rank = static_cast<uint32_t>(added >> 1);
  return std::bit_cast<float>((rank & 0x80000000u) != 0 ? rank & 0x7fffffffu : ~rank);
}

// In three passes over eleven bits each, which is several times as fast as comparing: this is what
// adding costs.
std::vector<uint64_t> sorted_copy(const std::vector<uint64_t>& numbers) {
  constexpr int kBits = 11, kPasses = 3;
  static_assert(kBits * kPasses >= 33, "a rank and a class");
  std::vector<uint64_t> from = numbers, to(numbers.size());
  for (int pass = 0; pass < kPasses; ++pass) {
    const int shift = pass * kBits;
    const auto digit = [&](uint64_t number) { return number >> shift & ((1U << kBits) - 1); };
    std::array<uint32_t, (1U << kBits) + 1> begins{};
    for (const uint64_t number : from) ++begins[digit(number) + 1];
    for (size_t i = 1; i < begins.size(); ++i) begins[i] += begins[i - 1];
    for (const uint64_t number : from) to[begins[digit(number)]++] = number;
    std::swap(from, to);
  }
  return from;
}

// A count or a score that a state holds.
int64_t whole(double number, double limit) {
  if (!(number >= 0 && number <= limit) || number != std::floor(number)) {
    throw data_loss("the scores of an area under a curve: found ", number, ", expected a count");
  }
  return static_cast<int64_t>(number);
}

}  // namespace

void RankedScores::add(float score, bool positive) {
  if (std::isnan(score)) {
    ++not_numbers_;
    return;
  }
  ++(positive ? positives_ : negatives_);
  added_.push_back(uint64_t{rank_of(score)} << 1 | (positive ? 1 : 0));
  if (added_.size() >= kSortedAtOnce) settle();
}

void RankedScores::clear() {
  bins_.clear();
  added_.clear();
  negatives_ = positives_ = not_numbers_ = 0;
  recent_.reset();
  recent_examples_ = 0;
}

// The bins with what was added since. A score within a bin belongs to it, unless that has its part
// of the class already: then it gets a bin of its own, behind that one.
std::vector<RankedScores::Bin> RankedScores::all_bins() const {
  const std::vector<uint64_t> sorted = sorted_copy(added_);
  const double most_negatives = kPartOfClass * static_cast<double>(negatives_),
               most_positives = kPartOfClass * static_cast<double>(positives_);
  std::vector<Bin> all;
  all.reserve(bins_.size() + sorted.size());
  size_t next = 0, wide = SIZE_MAX;  // wide: the bin that reaches highest
  const auto take_next = [&] {
    const Bin& bin = bins_[next++];
    if (bin.low < bin.high && (wide == SIZE_MAX || bin.high >= all[wide].high)) wide = all.size();
    all.push_back(bin);
  };
  for (const uint64_t added : sorted) {
    const float score = score_of(added);
    const bool positive = (added & 1) != 0;
    while (next < bins_.size() && bins_[next].low <= score) take_next();
    size_t home = all.size() - 1;
    if (all.empty() || all[home].low != score || all[home].high != score) {
      const bool has_room =
          wide != SIZE_MAX && score <= all[wide].high &&
          (positive ? static_cast<double>(all[wide].positives + 1) <= most_positives
                    : static_cast<double>(all[wide].negatives + 1) <= most_negatives);
      home = has_room ? wide : all.size();
      if (!has_room) all.push_back({score, score, 0, 0});
    }
    ++(positive ? all[home].positives : all[home].negatives);
  }
  while (next < bins_.size()) take_next();
  return all;
}

void RankedScores::settle() {
  if (added_.empty()) return;
  bins_ = all_bins();
  added_.clear();
  if (bins_.size() > kExactScores) put_together(kPartOfClass);
}

// Two neighbours that stay apart have more than `part` of a class between them, so at most
// 4 / part + 1 bins are left.
void RankedScores::put_together(double part) {
  const double most_negatives = part * static_cast<double>(negatives_),
               most_positives = part * static_cast<double>(positives_);
  std::vector<Bin> fewer;
  for (const Bin& bin : bins_) {
    if (!fewer.empty() &&
        static_cast<double>(fewer.back().negatives + bin.negatives) <= most_negatives &&
        static_cast<double>(fewer.back().positives + bin.positives) <= most_positives) {
      fewer.back().high = std::max(fewer.back().high, bin.high);
      fewer.back().negatives += bin.negatives;
      fewer.back().positives += bin.positives;
    } else {
      fewer.push_back(bin);
    }
  }
  bins_ = std::move(fewer);
}

void RankedScores::reduce_to(size_t bins) {
  settle();
  if (bins_.size() > bins) put_together(4.0 / static_cast<double>(bins));
}

void RankedScores::merge(const RankedScores& other) {
  settle();
  RankedScores theirs = other;
  theirs.settle();
  bins_.insert(bins_.end(), theirs.bins_.begin(), theirs.bins_.end());
  std::ranges::sort(bins_, [](const Bin& a, const Bin& b) {
    return a.low < b.low || (a.low == b.low && a.high < b.high);
  });
  std::vector<Bin> all;
  for (const Bin& bin : bins_) {
    if (!all.empty() && all.back().low == bin.low && all.back().high == bin.high) {
      all.back().negatives += bin.negatives;
      all.back().positives += bin.positives;
    } else {
      all.push_back(bin);
    }
  }
  bins_ = std::move(all);
  negatives_ += theirs.negatives_;
  positives_ += theirs.positives_;
  not_numbers_ += theirs.not_numbers_;
}

std::optional<double> RankedScores::area_under_curve() const {
  if (negatives_ == 0 || positives_ == 0 || not_numbers_ > 0) return std::nullopt;
  double below = 0, pairs = 0;
  for (const Bin& bin : all_bins()) {
    const auto negatives = static_cast<double>(bin.negatives);
    pairs += static_cast<double>(bin.positives) * (below + negatives / 2);
    below += negatives;
  }
  return pairs / (static_cast<double>(negatives_) * static_cast<double>(positives_));
}

std::vector<RankedScores::Counts> RankedScores::counts() const {
  std::vector<Counts> found;
  if (not_numbers_ > 0) return found;
  for (const Bin& bin : all_bins()) found.push_back({bin.negatives, bin.positives});
  return found;
}

std::optional<double> RankedScores::recent_area_under_curve() const {
  const int64_t seen = examples();
  if (!recent_ || seen < recent_examples_ || seen - recent_examples_ > recent_examples_ / 8) {
    recent_ = area_under_curve();
    recent_examples_ = seen;
  }
  return recent_;
}

std::vector<double> RankedScores::state() const {
  std::vector<double> state = {static_cast<double>(not_numbers_),
                               static_cast<double>(bins_.size())};
  for (const Bin& bin : bins_) {
    state.insert(state.end(), {bin.low, bin.high, static_cast<double>(bin.negatives),
                               static_cast<double>(bin.positives)});
  }
  for (const uint64_t added : added_) state.push_back(static_cast<double>(added));
  return state;
}

void RankedScores::restore(std::span<const double> state) {
  constexpr double kMostExamples = 1e15;
  clear();
  if (state.size() < 2) throw data_loss("the scores of an area under a curve are cut short");
  not_numbers_ = whole(state[0], kMostExamples);
  const auto bins = static_cast<size_t>(whole(state[1], static_cast<double>(state.size()) / 4));
  if (2 + 4 * bins > state.size()) {
    throw data_loss("the scores of an area under a curve are cut short");
  }
  for (size_t i = 0; i < bins; ++i) {
    const auto bin = state.subspan(2 + 4 * i, 4);
    if (!(bin[0] <= bin[1]))
      throw data_loss("the scores of an area under a curve are out of order");
    bins_.push_back({static_cast<float>(bin[0]), static_cast<float>(bin[1]),
                     whole(bin[2], kMostExamples), whole(bin[3], kMostExamples)});
    negatives_ += bins_.back().negatives;
    positives_ += bins_.back().positives;
  }
  for (const double number : state.subspan(2 + 4 * bins)) {
    added_.push_back(
        static_cast<uint64_t>(whole(number, static_cast<double>((uint64_t{1} << 33) - 1))));
    ++((added_.back() & 1) != 0 ? positives_ : negatives_);
  }
}

}  // namespace trireme
