#include "launcher/sweep/space.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <cstdlib>

#include "core/base/error.h"
#include "core/base/philox.h"

namespace trireme::sweep {
namespace {

constexpr int64_t kMaxSize = 1'000'000;
constexpr int kMaxTries = 100;  // of drawing a setting that no earlier trial has

std::string number_text(double value) {
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%.6g", value);
  return text.data();
}

// Six digits may lie just outside of the range.
std::string within(double value, double low, double high) {
  const std::string text = number_text(value);
  const double rounded = std::strtod(text.c_str(), nullptr);
  if (low <= rounded && rounded <= high) return text;
  std::array<char, 32> exact{};
  const auto end =
      std::to_chars(exact.data(), exact.data() + exact.size(), rounded < low ? low : high);
  return {exact.data(), end.ptr};
}

// At `share` of the way from one end to the other.
double between(const Parameter& parameter, double share) {
  if (parameter.kind == ParameterKind::kUniform) {
    return parameter.low + (parameter.high - parameter.low) * share;
  }
  return std::exp(std::log(parameter.low) +
                  (std::log(parameter.high) - std::log(parameter.low)) * share);
}

int64_t log_integer(const Parameter& parameter, double share) {
  const double low = std::log(static_cast<double>(parameter.first));
  const double high = std::log(static_cast<double>(parameter.last) + 1);
  const auto value = static_cast<int64_t>(std::floor(std::exp(low + (high - low) * share)));
  return std::clamp(value, parameter.first, parameter.last);
}

// Numbers of one parameter of one trial. [0, 1) with 53 bits.
struct Draw {
  PhiloxBlock bits;
  double uniform() const {
    return static_cast<double>((uint64_t{bits[0]} << 21) ^ (bits[1] >> 11)) * 0x1p-53;
  }
  int64_t below(int64_t n) const {
    __extension__ typedef unsigned __int128 Wide;
    const uint64_t wide = (uint64_t{bits[0]} << 32) | bits[1];
    return static_cast<int64_t>((static_cast<Wide>(wide) * static_cast<uint64_t>(n)) >> 64);
  }
};

std::string draw_value(const Parameter& parameter, const Draw& draw) {
  switch (parameter.kind) {
    case ParameterKind::kChoices:
    case ParameterKind::kIntegers:
      return parameter.value(draw.below(*parameter.count()));
    case ParameterKind::kLogIntegers:
      return std::to_string(log_integer(parameter, draw.uniform()));
    case ParameterKind::kUniform:
    case ParameterKind::kLog:
      break;
  }
  return within(between(parameter, draw.uniform()), parameter.low, parameter.high);
}

}  // namespace

std::optional<int64_t> Parameter::count() const {
  switch (kind) {
    case ParameterKind::kChoices:
      return static_cast<int64_t>(choices.size());
    case ParameterKind::kIntegers:
    case ParameterKind::kLogIntegers:
      return (last - first) / step + 1;
    case ParameterKind::kUniform:
    case ParameterKind::kLog:
      break;
  }
  return std::nullopt;
}

std::string Parameter::value(int64_t index) const {
  if (kind == ParameterKind::kChoices) return choices[static_cast<size_t>(index)];
  return std::to_string(first + index * step);
}

std::vector<std::string> Parameter::grid(std::optional<int64_t> points) const {
  std::vector<std::string> values;
  const auto add = [&](const std::string& value) {
    if (values.empty() || values.back() != value) values.push_back(value);
  };
  const std::optional<int64_t> all = count();
  if (all && (kind == ParameterKind::kChoices || !points || *points >= *all)) {
    if (*all > kMaxTrials) {
      throw invalid_argument(origin, ": ", *all,
                             " values are too many for a grid; say how many of them with --points");
    }
    for (int64_t i = 0; i < *all; ++i) values.push_back(value(i));
    return values;
  }
  if (!points) {
    throw invalid_argument(origin,
                           ": a grid takes so many values of a range as --points says; give it, "
                           "e.g. --points 5, or list them in brackets");
  }
  for (int64_t i = 0; i < *points; ++i) {
    const double share =
        *points == 1 ? 0.5 : static_cast<double>(i) / static_cast<double>(*points - 1);
    if (kind == ParameterKind::kIntegers) {
      add(value(std::llround(static_cast<double>(*all - 1) * share)));
    } else if (kind == ParameterKind::kLogIntegers) {
      const double low = std::log(static_cast<double>(first));
      const double value = std::exp(low + (std::log(static_cast<double>(last)) - low) * share);
      add(std::to_string(std::clamp<int64_t>(std::llround(value), first, last)));
    } else {
      add(within(between(*this, share), low, high));
    }
  }
  return values;
}

std::vector<std::string> Parameter::extremes() const {
  if (kind == ParameterKind::kChoices) return choices;
  if (const auto all = count()) return {value(0), value(*all - 1)};
  return {within(low, low, high), within(between(*this, 0.5), low, high), within(high, low, high)};
}

Space::Space(std::vector<Parameter> parameters, uint64_t seed)
    : parameters_(std::move(parameters)), seed_(seed) {
  int64_t size = 1;
  for (const Parameter& parameter : parameters_) {
    const auto count = parameter.count();
    if (!count || *count > kMaxSize / size) return;
    size *= *count;
  }
  size_ = size;
}

Setting Space::draw_once(int64_t number) const {
  Setting setting;
  for (const Parameter& parameter : parameters_) {
    setting.push_back(draw_value(
        parameter, {philox(seed_, hash_name(parameter.path), static_cast<uint64_t>(number))}));
  }
  return setting;
}

// As a number counts up: the last parameter first.
Setting Space::next_unused(Setting setting) const {
  while (used_.contains(setting)) {
    for (size_t i = parameters_.size(); i-- > 0;) {
      const Parameter& parameter = parameters_[i];
      const int64_t count = *parameter.count();
      int64_t index = 0;
      while (index + 1 < count && parameter.value(index) != setting[i]) ++index;
      const bool carries = index + 1 == count;
      setting[i] = parameter.value(carries ? 0 : index + 1);
      if (!carries) break;
    }
  }
  return setting;
}

Setting Space::draw(int64_t number) {
  while (static_cast<int64_t>(drawn_.size()) <= number) {
    const auto next = static_cast<int64_t>(drawn_.size());
    Setting setting = draw_once(next);
    // Tries count in the upper half of the counter, where no trial has its number.
    for (int64_t i = 1; size_ && next < *size_ && used_.contains(setting); ++i) {
      setting = i < kMaxTries ? draw_once(next + (i << 32)) : next_unused(setting);
    }
    used_.insert(setting);
    drawn_.push_back(std::move(setting));
  }
  return drawn_[static_cast<size_t>(number)];
}

std::vector<Setting> Space::grid(std::optional<int64_t> points) const {
  std::vector<Setting> settings = {{}};
  for (const Parameter& parameter : parameters_) {
    const std::vector<std::string> values = parameter.grid(points);
    if (settings.size() * values.size() > static_cast<size_t>(kMaxTrials)) {
      throw invalid_argument("--search grid: more than ", kMaxTrials,
                             " trials; vary less, or take --search random");
    }
    std::vector<Setting> longer;
    for (const Setting& setting : settings) {
      for (const std::string& value : values) {
        longer.push_back(setting);
        longer.back().push_back(value);
      }
    }
    settings = std::move(longer);
  }
  return settings;
}

}  // namespace trireme::sweep
