#include "distributed/metrics/metric_text.h"

#include <array>
#include <charconv>
#include <cmath>

namespace trireme {
namespace {

void append_escaped(std::string_view value, std::string& text) {
  for (const char c : value) {
    if (c == '\n') {
      text += "\\n";
      continue;
    }
    if (c == '\\' || c == '"') text += '\\';
    text += c;
  }
}

void append_number(double value, std::string& text) {
  if (std::isnan(value)) {
    text += "NaN";
  } else if (std::isinf(value)) {
    text += value > 0 ? "+Inf" : "-Inf";
  } else {
    std::array<char, 64> digits;
    const bool is_count = std::abs(value) < 1e15 && value == std::floor(value);
    const auto [end, error] =
        is_count ? std::to_chars(digits.data(), digits.data() + digits.size(),
                                 static_cast<int64_t>(value))
                 : std::to_chars(digits.data(), digits.data() + digits.size(), value);
    text.append(digits.data(), end);
  }
}

}  // namespace

void MetricText::add(std::string_view type, std::string_view name, std::string_view help,
                     double value, const MetricLabels& labels) {
  if (family_ != name) {
    family_ = name;
    for (const auto& [what, rest] : {std::pair{"# HELP ", help}, std::pair{"# TYPE ", type}}) {
      text_.append(what).append(name).append(" ").append(rest).append("\n");
    }
  }
  text_ += name;
  if (!common_.empty() || !labels.empty()) {
    text_ += '{';
    append_labels(common_);
    append_labels(labels);
    text_.back() = '}';
  }
  text_ += ' ';
  append_number(value, text_);
  text_ += '\n';
}

// With a comma behind each.
void MetricText::append_labels(const MetricLabels& labels) {
  for (const auto& [name, value] : labels) {
    text_.append(name).append("=\"");
    append_escaped(value, text_);
    text_ += "\",";
  }
}

}  // namespace trireme
