#include <algorithm>
#include <cctype>
#include <charconv>
#include <cmath>
#include <string_view>

#include "core/base/error.h"
#include "core/base/suggest.h"
#include "core/base/text_file.h"
#include "launcher/sweep/space.h"

namespace trireme::sweep {
namespace {

constexpr uint64_t kMaxFile = 1 << 20;

bool is_blank(char c) { return c == ' ' || c == '\t'; }

// One "PATH=SPEC", with where in it one is.
class Parser {
 public:
  Parser(const std::string& text, std::string source) : text_(text), source_(std::move(source)) {}

  Parameter parse() {
    const size_t equals = text_.find('=');
    if (equals == std::string::npos || equals == 0 || text_[equals - 1] == '+') {
      refuse(equals == std::string::npos ? text_.size() : equals,
             "expected PATH=VALUES, e.g. optimizer.learning_rate=log(1e-4,1e-1)");
    }
    parameter_.path = text_.substr(0, equals);
    while (is_blank(parameter_.path.back()) && parameter_.path.size() > 1) {
      parameter_.path.pop_back();
    }
    parameter_.spec = text_.substr(equals + 1);
    parameter_.origin = source_ + printable(text_);
    at_ = equals + 1;
    end_ = text_.size();
    while (end_ > at_ && is_blank(text_[end_ - 1])) --end_;
    skip_blanks();
    if (at_ == end_) refuse(at_, "expected the values of " + parameter_.path);
    if (text_[at_] == '[') {
      choices();
    } else if (const size_t dots = text_.find("..", at_); dots < end_ && is_number_start()) {
      integers(dots);
    } else {
      function();
    }
    return std::move(parameter_);
  }

 private:
  [[noreturn]] void refuse(size_t at, const std::string& what) const {
    throw invalid_argument(source_, printable(text_), ": character ", at + 1, ": ", what);
  }
  std::string found(size_t at, size_t end) const {
    return at >= end ? "the end" : str_cat("'", printable(text_.substr(at, end - at)), "'");
  }
  void skip_blanks() {
    while (at_ < end_ && is_blank(text_[at_])) ++at_;
  }
  bool is_number_start() const {
    const char c = text_[at_];
    return (c >= '0' && c <= '9') || c == '-' || c == '+';
  }

  // An argument without the blanks around it.
  struct Piece {
    size_t begin, end;
  };
  Piece trimmed(size_t begin, size_t end) const {
    while (begin < end && is_blank(text_[begin])) ++begin;
    while (end > begin && is_blank(text_[end - 1])) --end;
    return {begin, end};
  }

  // What commas separate before the closing bracket at the end. Quotes and brackets of their own
  // keep commas together.
  std::vector<Piece> pieces(char close) {
    std::vector<Piece> result;
    std::string open;
    char quote = 0;
    size_t begin = at_;
    for (size_t i = at_; i < end_; ++i) {
      const char c = text_[i];
      if (quote != 0) {
        if (c == '\\') ++i;
        if (c == quote) quote = 0;
      } else if (c == '"' || c == '\'') {
        quote = c;
      } else if (c == '[' || c == '{' || c == '(') {
        open += c == '[' ? ']' : c == '{' ? '}' : ')';
      } else if (!open.empty() && c == open.back()) {
        open.pop_back();
      } else if (open.empty() && c == close) {
        if (i + 1 != end_)
          refuse(i + 1, "expected the end behind the bracket, found " + found(i + 1, end_));
        result.push_back(trimmed(begin, i));
        return result;
      } else if (c == ']' || c == '}' || c == ')') {
        refuse(i, str_cat("expected '", open.empty() ? close : open.back(), "', found '", c, "'"));
      } else if (open.empty() && c == ',') {
        result.push_back(trimmed(begin, i));
        begin = i + 1;
      }
    }
    refuse(end_, quote != 0
                     ? str_cat("a quote ", quote, " is never closed")
                     : str_cat("expected '", open.empty() ? close : open.back(), "' at the end"));
  }

  void choices() {
    ++at_;
    parameter_.kind = ParameterKind::kChoices;
    const std::vector<Piece> all = pieces(']');
    for (const Piece& piece : all) {
      if (piece.begin == piece.end) {
        refuse(piece.begin, all.size() == 1 ? "the list is empty; give at least one value"
                                            : "a value of the list is empty");
      }
      std::string value = unquoted(text_.substr(piece.begin, piece.end - piece.begin));
      for (const std::string& earlier : parameter_.choices) {
        if (earlier == value) refuse(piece.begin, "the value stands in the list twice");
      }
      parameter_.choices.push_back(std::move(value));
    }
  }

  static std::string unquoted(const std::string& value) {
    if (value.size() < 2 || value.front() != '"' || value.back() != '"') return value;
    std::string text;
    for (size_t i = 1; i + 1 < value.size(); ++i) {
      const bool escape =
          value[i] == '\\' && i + 2 < value.size() && (value[i + 1] == '"' || value[i + 1] == '\\');
      if (escape) ++i;
      text += value[i];
    }
    return text;
  }

  template <typename T>
  T number(const Piece& piece, const char* expected) const {
    const char* begin = text_.data() + piece.begin;
    const char* const end = text_.data() + piece.end;
    if (begin < end && *begin == '+') ++begin;
    T value{};
    const auto [stop, status] = std::from_chars(begin, end, value);
    if (begin == end || status != std::errc() || stop != end ||
        !std::isfinite(static_cast<double>(value))) {
      refuse(piece.begin,
             str_cat("expected ", expected, ", found ", found(piece.begin, piece.end)));
    }
    return value;
  }
  int64_t integer(const Piece& piece) const {
    constexpr int64_t kLimit = int64_t{1} << 53;
    const auto value = number<int64_t>(piece, "a whole number");
    if (value > kLimit || value < -kLimit) refuse(piece.begin, "whole numbers end at 2^53");
    return value;
  }

  void set_integers(const Piece& first, const Piece& last) {
    parameter_.first = integer(first);
    parameter_.last = integer(last);
    if (parameter_.first > parameter_.last) reversed(last);
  }
  [[noreturn]] void reversed(const Piece& last) const {
    refuse(last.begin, "the range is reversed: expected its smaller end first");
  }

  void integers(size_t dots) {
    parameter_.kind = ParameterKind::kIntegers;
    set_integers(trimmed(at_, dots), trimmed(dots + 2, end_));
  }

  void function() {
    size_t open = at_;
    while (open < end_ &&
           (std::isalnum(static_cast<unsigned char>(text_[open])) != 0 || text_[open] == '_')) {
      ++open;
    }
    static const std::vector<std::string> kNames = {"uniform", "log", "int", "int_log"};
    const std::string name = text_.substr(at_, open - at_);
    if (open == end_ || text_[open] != '(' || std::ranges::find(kNames, name) == kNames.end()) {
      refuse(at_, str_cat("expected [A,B,…], A..B, int(A,B), int_log(A,B), uniform(A,B) or "
                          "log(A,B), found ",
                          found(at_, end_), did_you_mean(name, kNames)));
    }
    at_ = open + 1;
    const std::vector<Piece> arguments = pieces(')');
    const bool may_step = name == "int";
    if (arguments.size() != 2 && !(may_step && arguments.size() == 3)) {
      refuse(at_, str_cat("expected ", name, "(A,B)", may_step ? " or int(A,B,STEP)" : "",
                          ", found ", arguments.size(), " arguments"));
    }
    if (name == "int" || name == "int_log") {
      parameter_.kind = name == "int" ? ParameterKind::kIntegers : ParameterKind::kLogIntegers;
      set_integers(arguments[0], arguments[1]);
      if (arguments.size() == 3) parameter_.step = integer(arguments[2]);
      if (parameter_.step < 1) refuse(arguments[2].begin, "expected a step of at least 1");
      if (name == "int_log" && parameter_.first < 1) {
        refuse(arguments[0].begin, "a logarithm needs a range of at least 1, found " +
                                       found(arguments[0].begin, arguments[0].end));
      }
      return;
    }
    parameter_.kind = name == "log" ? ParameterKind::kLog : ParameterKind::kUniform;
    parameter_.low = number<double>(arguments[0], "a finite number");
    parameter_.high = number<double>(arguments[1], "a finite number");
    if (parameter_.low > parameter_.high) reversed(arguments[1]);
    if (parameter_.low == parameter_.high) {
      refuse(arguments[1].begin,
             "the range is empty: both ends are the same; set a single value "
             "with --set");
    }
    if (name == "log" && parameter_.low <= 0) {
      refuse(arguments[0].begin, "a logarithm needs a range above 0, found " +
                                     found(arguments[0].begin, arguments[0].end));
    }
  }

  const std::string& text_;
  const std::string source_;
  size_t at_ = 0, end_ = 0;
  Parameter parameter_;
};

}  // namespace

Parameter parse_parameter(const std::string& text, const std::string& source) {
  return Parser(text, source).parse();
}

std::vector<Parameter> read_space_file(const std::string& path) {
  const std::string text = read_text_file(path, kMaxFile, "a file of parameters");
  std::vector<Parameter> parameters;
  int number = 0;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    ++number;
    std::string line = text.substr(begin, end - begin);
    begin = end + 1;
    const size_t first = line.find_first_not_of(" \t");
    if (first == std::string::npos || line[first] == '#') continue;
    line.erase(0, first);
    parameters.push_back(parse_parameter(line, str_cat(path, ":", number, ": ")));
  }
  if (parameters.empty()) {
    throw invalid_argument(path,
                           ": expected lines such as optimizer.learning_rate=log(1e-4,1e-1), "
                           "found none");
  }
  return parameters;
}

}  // namespace trireme::sweep
