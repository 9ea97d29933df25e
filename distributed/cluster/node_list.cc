#include "distributed/cluster/node_list.h"

#include <algorithm>

#include "core/base/error.h"
#include "distributed/cluster/sources.h"

namespace trireme::cluster {
namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }

bool is_name(char c) {
  return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' || c == '_' ||
         c == '.';
}

class Cursor {
 public:
  Cursor(std::string_view text, const std::string& name) : text_(text), name_(name) {}

  bool at_end() const { return position_ == text_.size(); }
  char peek() const { return at_end() ? '\0' : text_[position_]; }
  bool take(char c) {
    if (at_end() || peek() != c) return false;
    ++position_;
    return true;
  }
  template <typename Is>
  std::string_view take_while(Is is) {
    const size_t begin = position_;
    while (!at_end() && is(text_[position_])) ++position_;
    return text_.substr(begin, position_ - begin);
  }
  // At most nine digits: fits an int.
  std::string_view digits() {
    const std::string_view digits = take_while(is_digit);
    if (digits.empty()) fail("a number");
    if (digits.size() > 9) {
      position_ -= digits.size();
      fail("a number of at most 9 digits");
    }
    return digits;
  }
  [[noreturn]] void fail(const std::string& expected) const {
    throw invalid_argument(name_, "=", text_, ": expected ", expected, " at character ",
                           position_ + 1, ", found ",
                           at_end() ? "the end" : str_cat("'", text_.substr(position_, 12), "'"));
  }
  [[noreturn]] void too_many() const {
    throw invalid_argument(name_, "=", text_.substr(0, 100), ": more than ", kMaxTasks, " entries");
  }

 private:
  std::string_view text_;
  const std::string& name_;
  size_t position_ = 0;
};

int to_int(std::string_view digits) {
  int value = 0;
  for (char c : digits) value = value * 10 + (c - '0');
  return value;
}

std::string padded(int value, size_t width) {
  std::string text = std::to_string(value);
  if (text.size() < width) text.insert(0, width - text.size(), '0');
  return text;
}

// What stands between '[' and ']': "01-03,7".
std::vector<std::string> parse_ranges(Cursor& cursor) {
  std::vector<std::string> numbers;
  do {
    const std::string_view first = cursor.digits();
    const int low = to_int(first);
    int high = low;
    if (cursor.take('-')) {
      high = to_int(cursor.digits());
      if (high < low) cursor.fail(str_cat("a range that ends at ", low, " or later"));
    }
    if (high - low >= kMaxTasks) cursor.too_many();
    for (int value = low; value <= high; ++value) numbers.push_back(padded(value, first.size()));
    if (numbers.size() > kMaxTasks) cursor.too_many();
  } while (cursor.take(','));
  if (!cursor.take(']')) cursor.fail("',' or ']'");
  return numbers;
}

// Each of `prefixes` followed by each of `suffixes`.
std::vector<std::string> product(const std::vector<std::string>& prefixes,
                                 const std::vector<std::string>& suffixes, const Cursor& cursor) {
  if (prefixes.size() * suffixes.size() > kMaxTasks) cursor.too_many();
  std::vector<std::string> all;
  all.reserve(prefixes.size() * suffixes.size());
  for (const std::string& prefix : prefixes)
    for (const std::string& suffix : suffixes) all.push_back(prefix + suffix);
  return all;
}

// One item of the list: names and brackets, in any order.
std::vector<std::string> parse_nodes(Cursor& cursor) {
  // A leading '-' would be an option where the name is given to a program.
  if (cursor.peek() == '-' || !(is_name(cursor.peek()) || cursor.peek() == '[')) {
    cursor.fail("a node's name");
  }
  std::vector<std::string> nodes = {""};
  int brackets = 0;
  while (is_name(cursor.peek()) || cursor.peek() == '[') {
    // Limits that no cluster meets: a short text must not become a long work.
    if (cursor.peek() == '[' && ++brackets > 8) cursor.fail("a name of at most 8 brackets");
    if (cursor.take('[')) {
      nodes = product(nodes, parse_ranges(cursor), cursor);
    } else {
      const std::string_view name = cursor.take_while(is_name);
      for (std::string& node : nodes) node += name;
    }
    if (nodes[0].size() > 255) cursor.fail("a name of at most 255 characters");
  }
  return nodes;
}

}  // namespace

std::vector<std::string> parse_node_list(std::string_view text, const std::string& name) {
  Cursor cursor(text, name);
  std::vector<std::string> all;
  do {
    std::vector<std::string> nodes = parse_nodes(cursor);
    std::move(nodes.begin(), nodes.end(), std::back_inserter(all));
    if (all.size() > kMaxTasks) cursor.too_many();
  } while (cursor.take(','));
  if (!cursor.at_end()) cursor.fail("',' or '['");
  return all;
}

std::vector<int> parse_task_counts(std::string_view text, const std::string& name) {
  Cursor cursor(text, name);
  std::vector<int> all;
  do {
    const int count = to_int(cursor.digits());
    int times = 1;
    if (cursor.take('(')) {
      if (!cursor.take('x')) cursor.fail("'x'");
      times = to_int(cursor.digits());
      if (!cursor.take(')')) cursor.fail("')'");
    }
    if (times > kMaxTasks || all.size() + static_cast<size_t>(times) > kMaxTasks) cursor.too_many();
    all.insert(all.end(), static_cast<size_t>(times), count);
  } while (cursor.take(','));
  if (!cursor.at_end()) cursor.fail("',' or '(x'");
  return all;
}

}  // namespace trireme::cluster
