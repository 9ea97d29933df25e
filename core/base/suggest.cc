#include "core/base/suggest.h"

#include <algorithm>
#include <cctype>
#include <utility>
#include <vector>

namespace trireme {
namespace {

char lower(char c) { return static_cast<char>(std::tolower(static_cast<unsigned char>(c))); }

// Insertions, removals and replacements that make `a` of `b` (Levenshtein 1966).
size_t distance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = std::exchange(row[0], i);
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t replaced = diagonal + (lower(a[i - 1]) != lower(b[j - 1]) ? 1 : 0);
      diagonal = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, replaced});
    }
  }
  return row[b.size()];
}

}  // namespace

std::string_view nearest_name(std::string_view given, std::span<const std::string> names) {
  constexpr size_t kLongest = 64;
  if (given.size() > kLongest) return "";
  std::string_view nearest;
  size_t least = std::max<size_t>(1, given.size() / 3) + 1;
  for (const std::string& name : names) {
    const size_t changes = distance(given, name);
    if (changes >= least) continue;
    least = changes;
    nearest = name;
  }
  return nearest;
}

std::string did_you_mean(std::string_view given, std::span<const std::string> names) {
  const std::string_view nearest = nearest_name(given, names);
  return nearest.empty() ? "" : "; did you mean '" + std::string(nearest) + "'?";
}

std::string printable(std::string_view text) {
  constexpr size_t kLongest = 200;
  std::string shown(text.substr(0, kLongest));
  for (char& c : shown) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = '?';
  }
  return shown + (text.size() > kLongest ? "…" : "");
}

}  // namespace trireme
