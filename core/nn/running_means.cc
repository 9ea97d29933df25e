#include "core/nn/running_means.h"

#include <algorithm>

#include "core/base/error.h"

namespace trireme::nn {

RunningMeans::RunningMeans(std::vector<Quantity> quantities) : quantities_(std::move(quantities)) {
  size_t numbers = 0;
  for (const Quantity& quantity : quantities_) {
    if (quantity.kind == FigureKind::kRankedScores) {
      places_.push_back(scores_.size());
      scores_.emplace_back();
    } else {
      places_.push_back(numbers);
      numbers += quantity.numbers();
    }
  }
  sums_.resize(numbers + 1);
}

void RunningMeans::reset() {
  sums_.assign(sums_.size(), 0);
  for (RankedScores& scores : scores_) scores.clear();
}

void RunningMeans::add(std::span<const double> numbers, int64_t examples,
                       std::span<const Tensor> rows) {
  TRIREME_CHECK(numbers.size() + 1 == sums_.size() && rows.size() == scores_.size(),
                "a batch's figures of other metrics");
  if (examples == 0) return;
  const auto weight = static_cast<double>(examples);
  for (size_t i = 0; i < quantities_.size(); ++i) {
    const size_t place = places_[i];
    if (quantities_[i].kind == FigureKind::kMean) sums_[place] += numbers[place] * weight;
    if (quantities_[i].kind != FigureKind::kSums) continue;
    for (size_t k = place; k < place + quantities_[i].sums; ++k) sums_[k] += numbers[k];
  }
  sums_.back() += weight;
  for (size_t i = 0; i < rows.size(); ++i) {
    const auto scores = rows[i].flat<float>();
    for (size_t row = 0; row + 1 < scores.size(); row += 2) {
      // Rows of a global batch that no example of this process fills are 0.
      if (scores[row + 1] != 0) scores_[i].add(scores[row], scores[row + 1] > 1.5f);
    }
  }
}

std::optional<double> RunningMeans::figure(size_t i) const {
  const Quantity& quantity = quantities_[i];
  const size_t place = places_[i];
  if (quantity.kind == FigureKind::kRankedScores) {
    return quantity.from_scores ? quantity.from_scores(scores_[place])
                                : scores_[place].area_under_curve();
  }
  if (sums_.back() == 0 || quantity.is_table()) return std::nullopt;
  if (quantity.kind == FigureKind::kMean) return sums_[place] / sums_.back();
  return quantity.from_sums(std::span(sums_).subspan(place, quantity.sums));
}

std::optional<double> RunningMeans::value(size_t i) const {
  const std::optional<double> found = figure(i);
  return found && quantities_[i].finish ? quantities_[i].finish(*found) : found;
}

std::optional<double> RunningMeans::recent_value(size_t i) const {
  const Quantity& quantity = quantities_[i];
  const bool is_area = quantity.kind == FigureKind::kRankedScores && !quantity.from_scores;
  return is_area ? scores_[places_[i]].recent_area_under_curve() : value(i);
}

std::span<const double> RunningMeans::table(size_t i) const {
  return std::span(sums_).subspan(places_[i], quantities_[i].sums);
}

// The sums, then each metric's scores behind their number.
std::vector<double> RunningMeans::state() const {
  std::vector<double> state = sums_;
  for (const RankedScores& scores : scores_) {
    const std::vector<double> numbers = scores.state();
    state.push_back(static_cast<double>(numbers.size()));
    state.insert(state.end(), numbers.begin(), numbers.end());
  }
  return state;
}

bool RunningMeans::restore(std::span<const double> state) {
  if (state.size() < sums_.size()) return false;
  std::span<const double> rest = state.subspan(sums_.size());
  std::vector<std::span<const double>> parts;
  for (size_t i = 0; i < scores_.size(); ++i) {
    if (rest.empty() || !(rest[0] >= 2 && rest[0] < static_cast<double>(rest.size()))) return false;
    const auto size = static_cast<size_t>(rest[0]);
    parts.push_back(rest.subspan(1, size));
    rest = rest.subspan(1 + size);
  }
  if (!rest.empty()) return false;
  std::copy_n(state.begin(), sums_.size(), sums_.begin());
  for (size_t i = 0; i < scores_.size(); ++i) scores_[i].restore(parts[i]);
  return true;
}

void RunningMeans::merge_workers(int rank, int workers,
                                 const std::function<void(std::span<double>)>& add_up,
                                 std::span<double> also) {
  constexpr size_t kMostBins = size_t{1} << 19;  // of all workers: 16 MiB to add up
  constexpr size_t kAtOnce = size_t{1} << 16;    // the coordinator takes up to 100,000
  const auto mine = static_cast<size_t>(rank), all = static_cast<size_t>(workers);
  // How many numbers each worker has of its scores, each in its own place: so sums give to all what
  // each has.
  std::vector<std::vector<double>> states;
  std::vector<double> known = sums_;
  known.resize(sums_.size() + scores_.size() * all);
  for (size_t i = 0; i < scores_.size(); ++i) {
    scores_[i].reduce_to(kMostBins / all);
    states.push_back(scores_[i].state());
    known[sums_.size() + i * all + mine] = static_cast<double>(states[i].size());
  }
  known.insert(known.end(), also.begin(), also.end());
  for (size_t begin = 0; begin < known.size(); begin += kAtOnce) {
    add_up(std::span(known).subspan(begin, std::min(kAtOnce, known.size() - begin)));
  }
  std::copy_n(known.begin(), sums_.size(), sums_.begin());
  std::copy_n(known.end() - static_cast<std::ptrdiff_t>(also.size()), also.size(), also.begin());
  for (size_t i = 0; i < scores_.size(); ++i) {
    const auto sizes = std::span(known).subspan(sums_.size() + i * all, all);
    std::vector<size_t> begins = {0};
    for (const double size : sizes) begins.push_back(begins.back() + static_cast<size_t>(size));
    std::vector<double> numbers(begins.back());
    std::ranges::copy(states[i], numbers.begin() + static_cast<std::ptrdiff_t>(begins[mine]));
    for (size_t begin = 0; begin < numbers.size(); begin += kAtOnce) {
      add_up(std::span(numbers).subspan(begin, std::min(kAtOnce, numbers.size() - begin)));
    }
    scores_[i].clear();
    for (size_t worker = 0; worker < all; ++worker) {
      RankedScores theirs;
      theirs.restore(
          std::span(numbers).subspan(begins[worker], begins[worker + 1] - begins[worker]));
      scores_[i].merge(theirs);
    }
  }
}

}  // namespace trireme::nn
