#include "core/catalog/option_visitor.h"

#include <charconv>
#include <cmath>

#include "core/base/error.h"

namespace trireme {
namespace {

// The shortest text that is this number; whole ones without an exponent.
std::string text_of(double value) {
  if (value == std::trunc(value) && std::abs(value) < 1e15) {
    return std::to_string(static_cast<int64_t>(value));
  }
  char text[32];
  return {text, std::to_chars(text, text + sizeof(text), value).ptr};
}

}  // namespace

bool Range::contains(double value) const {
  return (excludes_min ? value > min : value >= min) && (excludes_max ? value < max : value <= max);
}

bool Range::is_all() const {
  return min == -std::numeric_limits<double>::infinity() &&
         max == std::numeric_limits<double>::infinity();
}

std::string Range::to_string() const {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  if (is_all()) return "";
  if (min > -kInfinity && max < kInfinity && !excludes_min && !excludes_max) {
    return str_cat("from ", text_of(min), " to ", text_of(max));
  }
  std::string text;
  if (min > -kInfinity) text = str_cat(excludes_min ? "above " : "at least ", text_of(min));
  if (max < kInfinity) {
    text +=
        str_cat(text.empty() ? "" : " and ", excludes_max ? "below " : "at most ", text_of(max));
  }
  return text;
}

}  // namespace trireme
