#include "core/catalog/option_visitor.h"

#include "core/base/error.h"

namespace trireme {

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
    return str_cat("from ", min, " to ", max);
  }
  std::string text;
  if (min > -kInfinity) text = str_cat(excludes_min ? "above " : "at least ", min);
  if (max < kInfinity) {
    text += str_cat(text.empty() ? "" : " and ", excludes_max ? "below " : "at most ", max);
  }
  return text;
}

}  // namespace trireme
