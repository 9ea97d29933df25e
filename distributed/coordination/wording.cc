#include "distributed/coordination/wording.h"

#include <algorithm>
#include <cstdio>

#include "core/base/error.h"

namespace trireme {
namespace {

constexpr size_t kShown = 64;  // bytes of a value in a message
constexpr size_t kContext = 16;

std::string from(const std::string& text, size_t begin) {
  if (text.empty()) return "nothing";
  std::string shown = begin > 0 ? "…" : "";
  shown += clean(std::string_view(text).substr(std::min(begin, text.size())), kShown);
  if (text.size() > begin + kShown) shown += "…";
  return shown;
}

// All of few; of many the first, so that a sentence about thousands stays one.
constexpr size_t kMostNames = 8, kNamesOfMany = 4;
size_t shown_of(size_t count) { return count <= kMostNames ? count : kNamesOfMany; }

}  // namespace

std::string name_ranks(const std::vector<int>& ranks) {
  const size_t shown = shown_of(ranks.size());
  std::string text = ranks.size() == 1 ? "rank" : "ranks";
  for (size_t i = 0; i < shown; ++i) {
    text += (i == 0 ? " " : ", ") + std::to_string(ranks[i]);
  }
  return shown == ranks.size() ? text : str_cat(text, " and ", ranks.size() - shown, " others");
}

std::string name_some(size_t count, const std::function<std::string(size_t)>& name) {
  const size_t shown = shown_of(count);
  std::string text;
  for (size_t i = 0; i < shown; ++i) {
    if (i > 0) text += i + 1 == count ? " and " : ", ";
    text += name(i);
  }
  return shown == count ? text : str_cat(text, " and ", count - shown, " others");
}

std::string join_words(const std::vector<std::string>& words) {
  return name_some(words.size(), [&](size_t i) { return words[i]; });
}

std::string seconds_text(std::chrono::steady_clock::duration duration) {
  char text[32];
  std::snprintf(text, sizeof(text), "%.1f s", std::chrono::duration<double>(duration).count());
  return text;
}

std::string clean(std::string_view text, size_t limit) {
  if (text.size() > limit) {
    // Not in the middle of a UTF-8 character.
    while (limit > 0 && (static_cast<unsigned char>(text[limit]) & 0xC0) == 0x80) --limit;
    text = text.substr(0, limit);
  }
  std::string result(text);
  for (char& c : result) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7F) c = ' ';
  }
  return result;
}

std::pair<std::string, std::string> show_difference(const std::string& a, const std::string& b) {
  size_t begin = 0;
  if (std::max(a.size(), b.size()) > kShown) {
    const size_t common = std::min(a.size(), b.size());
    while (begin < common && a[begin] == b[begin]) ++begin;
    begin -= std::min(begin, kContext);
    while (begin > 0 && begin < a.size() && (static_cast<unsigned char>(a[begin]) & 0xC0) == 0x80) {
      --begin;
    }
  }
  return {from(a, begin), from(b, begin)};
}

std::string name_numbered(const std::string& noun, const std::vector<int>& numbers) {
  constexpr size_t kMost = 9, kOfMany = 8;  // "and 1 other" is as long as its number
  const size_t shown = numbers.size() <= kMost ? numbers.size() : kOfMany;
  std::string text = str_cat(noun, numbers.size() == 1 ? " " : "s ");
  for (size_t i = 0; i < shown; ++i) {
    if (i > 0) text += i + 1 == numbers.size() ? " and " : ", ";
    text += std::to_string(numbers[i]);
  }
  if (shown < numbers.size()) text += str_cat(" and ", numbers.size() - shown, " others");
  return text;
}

}  // namespace trireme
