#include "core/data/csv_number.h"

#include <charconv>
#include <cmath>
#include <cstdlib>
#include <regex>

#include "core/data/csv_reader.h"

namespace trireme::data {

bool parse_number(std::string_view text, double& value) {
  text = trimmed(text);
  if (text.starts_with('+') && text.size() > 1 && text[1] != '-') text.remove_prefix(1);
  const char* const end = text.data() + text.size();
  const auto [stop, status] = std::from_chars(text.data(), end, value);
  if (stop != end || text.empty()) return false;
  // Too large and too small look alike to from_chars().
  if (status == std::errc::result_out_of_range)
    value = std::strtod(std::string(text).c_str(), nullptr);
  return (status == std::errc() || status == std::errc::result_out_of_range) &&
         std::isfinite(value);
}

std::string why_no_number(std::string_view text) {
  const std::string found = str_cat("found ", shown(text));
  const std::string word(trimmed(text).substr(0, 100));
  const auto is = [&](const char* pattern) {
    return std::regex_match(word, std::regex(pattern, std::regex::icase));
  };
  if (is("[+-]?\\d{1,3}(,\\d{3})+"))
    return found + ": a decimal comma or commas between thousands? write 1234 or 1.234";
  if (is("[+-]?\\d{1,3}(,\\d{3})+\\.\\d*"))
    return found + ": thousands are written without commas, 1234.5";
  if (is("[+-]?\\d{1,3}(\\.\\d{3})+,\\d*") || is("[+-]?\\d*,\\d+(e[+-]?\\d+)?"))
    return found + ": decimals are written with a point, 1.5";
  if (is("[+-]?\\d{1,3}([ '_]\\d{3})+([.,]\\d*)?"))
    return found + ": thousands are written without separators, 1234";
  if (is("[+-]?[\\d.,]+ ?%")) return found + ": write a percentage as a plain number, without %";
  if (is("[+-]?0x[0-9a-f]+")) return found + ": write numbers in base ten";
  if (is("[+-]?(inf|infinity)")) return found + ", which is not finite";
  if (is("[+-]?nan")) return found + ", which is no number";
  if (is("[+-]?[\\d.]+e[+-]?\\d+")) return found + ", which is too large for a 64-bit float";
  if (is("true|false")) return found + ": write 1 and 0";
  if (is("\\d{4}-\\d{1,2}-\\d{1,2}.*")) return found + ": write times as numbers, e.g. seconds";
  return found;
}

}  // namespace trireme::data
