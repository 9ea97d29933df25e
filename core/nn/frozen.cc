#include "core/nn/frozen.h"

#include <regex>

#include "core/base/error.h"

namespace trireme::nn {
namespace {

std::regex compiled(const std::string& pattern) {
  try {
    return std::regex(pattern, std::regex::ECMAScript | std::regex::optimize);
  } catch (const std::regex_error& error) {
    throw invalid_argument(
        "\"", pattern, "\": expected a regular expression, such as \"encoder/.*\": ", error.what());
  }
}

bool matches(const std::regex& pattern, const std::string& variable) {
  if (std::regex_match(variable, pattern)) return true;
  for (size_t end = 0; (end = variable.find('/', end)) != std::string::npos; ++end) {
    if (std::regex_match(variable.begin(), variable.begin() + static_cast<std::ptrdiff_t>(end),
                         pattern)) {
      return true;
    }
  }
  return false;
}

}  // namespace

bool matches_variable(const std::string& pattern, const std::string& variable) {
  return matches(compiled(pattern), variable);
}

void FrozenNames::set(std::vector<std::string> patterns) {
  patterns_.clear();
  for (std::string& pattern : patterns) {
    try {
      (void)compiled(pattern);
    } catch (const Error& error) {
      throw invalid_argument("freeze: ", error.what());
    }
    patterns_.push_back({std::move(pattern)});
  }
}

bool FrozenNames::contains(const std::string& variable) {
  bool found = false;
  for (Pattern& pattern : patterns_) {
    if (!matches_variable(pattern.text, variable)) continue;
    pattern.matched = found = true;
  }
  return found;
}

void FrozenNames::require_used() const {
  for (const Pattern& pattern : patterns_) {
    if (pattern.matched) continue;
    throw invalid_argument(
        "freeze: expected the name of a layer or a variable, or a pattern of "
        "such names, found \"",
        pattern.text, "\", which matches none of this model");
  }
}

}  // namespace trireme::nn
