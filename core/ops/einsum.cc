// einsum: the equation is parsed, and operands are multiplied pair by pair: each is brought to
// [letters of both that stay…, its other letters…, letters that are summed over…] and the product
// is a MatMul over the last two groups.
#include <algorithm>
#include <optional>
#include <string>

#include "core/base/error.h"
#include "core/ops/arrays.h"
#include "core/ops/rules.h"

namespace trireme::ops {
namespace {

// A value and the letter of each of its axes.
struct Term {
  std::string letters;
  Value value;

  bool has(char letter) const { return letters.find(letter) != std::string::npos; }
  int axis(char letter) const { return static_cast<int>(letters.find(letter)); }
  int64_t size(char letter) const { return value.shape()[axis(letter)]; }
};

bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

class Einsum {
 public:
  Einsum(std::string_view equation, const std::vector<Value>& operands) : equation_(equation) {
    std::string text;
    for (char c : equation) {
      if (c != ' ') text += c;
    }
    const size_t arrow = text.find("->");
    const std::vector<std::string> inputs = split_commas(text.substr(0, arrow));
    require(inputs.size() == operands.size(), str_cat("as many operands as the equation has, ",
                                                      inputs.size(), "; found ", operands.size()));
    for (size_t i = 0; i < operands.size(); ++i) {
      require(operands[i].defined(), str_cat("operand ", i, " to be defined"));
      terms_.push_back({expand(inputs[i], operands[i], i), operands[i]});
    }
    result_ =
        arrow == std::string::npos ? implied_result() : explicit_result(text.substr(arrow + 2));
    check_sizes();
  }

  Value compute() {
    for (Term& term : terms_) take_diagonals(term);
    Term total = terms_[0];
    for (size_t i = 1; i < terms_.size(); ++i) {
      std::string later = result_;
      for (size_t k = i + 1; k < terms_.size(); ++k) later += terms_[k].letters;
      total = multiply(total, terms_[i], later);
    }
    sum_all_but(total, result_);
    return ordered(total, result_).value;
  }

 private:
  void require(bool condition, const std::string& expected) const {
    if (!condition) throw invalid_argument("einsum '", equation_, "': expected ", expected);
  }

  static std::vector<std::string> split_commas(const std::string& text) {
    std::vector<std::string> parts(1);
    for (char c : text) {
      if (c == ',') {
        parts.emplace_back();
      } else {
        parts.back() += c;
      }
    }
    return parts;
  }

  // The letters of `text`; the axes of "..." are the characters '0', '1', …, counted from the
  // right.
  std::string expand(const std::string& text, Value operand, size_t number) {
    const int rank = operand.shape().rank();
    const size_t dots = text.find("...");
    std::string letters = text;
    int unnamed = 0;
    if (dots != std::string::npos) {
      letters.erase(dots, 3);
      unnamed = rank - static_cast<int>(letters.size());
      std::string digits;
      for (int i = unnamed - 1; i >= 0; --i) digits += static_cast<char>('0' + i);
      letters.insert(dots, digits);
      most_unnamed_ = std::max(most_unnamed_, unnamed);
    }
    for (char c : text.substr(0, dots) + (dots == std::string::npos ? "" : text.substr(dots + 3)))
      require(is_letter(c), str_cat("letters, commas, '...' and '->'; found '", c, "'"));
    require(unnamed >= 0 && static_cast<int>(letters.size()) == rank,
            str_cat("a letter for each axis of operand ", number, ", ", operand.shape(),
                    "; found '", text, "'"));
    return letters;
  }

  std::string unnamed() const {
    std::string digits;
    for (int i = most_unnamed_ - 1; i >= 0; --i) digits += static_cast<char>('0' + i);
    return digits;
  }

  std::string implied_result() const {
    std::string all, once;
    for (const Term& term : terms_) all += term.letters;
    for (char c : all) {
      if (is_letter(c) && std::ranges::count(all, c) == 1) once += c;
    }
    std::ranges::sort(once);
    return unnamed() + once;
  }

  std::string explicit_result(std::string text) const {
    if (const size_t dots = text.find("..."); dots != std::string::npos) {
      text.replace(dots, 3, unnamed());
    }
    for (size_t i = 0; i < text.size(); ++i) {
      const char c = text[i];
      require(std::ranges::any_of(terms_, [&](const Term& term) { return term.has(c); }),
              str_cat("result letters that an operand has; found '", c, "'"));
      require(text.find(c, i + 1) == std::string::npos,
              str_cat("each letter once in the result; found '", c, "' twice"));
    }
    return text;
  }

  // Every axis of a letter is of one size.
  void check_sizes() const {
    for (size_t i = 0; i < terms_.size(); ++i) {
      for (size_t axis = 0; axis < terms_[i].letters.size(); ++axis) {
        const char letter = terms_[i].letters[axis];
        const int64_t size = terms_[i].value.shape()[static_cast<int>(axis)];
        for (size_t k = 0; k <= i; ++k) {
          for (size_t other = 0; other < terms_[k].letters.size(); ++other) {
            const int64_t found = terms_[k].value.shape()[static_cast<int>(other)];
            require(terms_[k].letters[other] != letter || found < 0 || size < 0 || found == size,
                    str_cat("one size for ",
                            is_letter(letter) ? str_cat("'", letter, "'")
                                              : std::string("each axis of '...'"),
                            "; found ", found, " in operand ", k, ", ", terms_[k].value.shape(),
                            ", and ", size, " in operand ", i, ", ", terms_[i].value.shape()));
          }
        }
      }
    }
  }

  // A letter that stands twice: the elements off the diagonal become 0, and the second axis is
  // summed over.
  static void take_diagonals(Term& term) {
    for (size_t i = 0; i < term.letters.size(); ++i) {
      for (size_t k = term.letters.size() - 1; k > i; --k) {
        if (term.letters[k] != term.letters[i]) continue;
        const Value on = equal(axis_index(term.value, static_cast<int64_t>(i)),
                               axis_index(term.value, static_cast<int64_t>(k)));
        term.value =
            sum(select(on, term.value, constant_like(term.value, 0)), {static_cast<int64_t>(k)});
        term.letters.erase(k, 1);
      }
    }
  }

  static void sum_all_but(Term& term, const std::string& kept) {
    Axes axes;
    std::string letters;
    for (size_t i = 0; i < term.letters.size(); ++i) {
      if (kept.find(term.letters[i]) == std::string::npos) {
        axes.push_back(static_cast<int64_t>(i));
      } else {
        letters += term.letters[i];
      }
    }
    if (!axes.empty()) term.value = sum(term.value, axes);
    term.letters = letters;
  }

  // With its axes in the order of `letters`.
  static Term ordered(const Term& term, const std::string& letters) {
    if (term.letters == letters) return term;
    Axes permutation;
    for (char letter : letters) permutation.push_back(term.axis(letter));
    return {letters, transpose(term.value, permutation)};
  }

  // The axes of `group` as one. REQUIRES: they are the `count` axes from `first` on.
  Value merged(Value x, int first, const std::string& group) const {
    const int count = static_cast<int>(group.size());
    if (count == 1) return x;
    if (count == 0) return expand_dims(x, {first});
    Shape shape = x.shape().first(first);
    const Shape own = x.shape().first(first + count).last(count);
    shape.push_back(own.is_known() ? own.elements() : -1);
    for (int i = first + count; i < x.shape().rank(); ++i) shape.push_back(x.shape()[i]);
    require(
        std::ranges::count(shape, int64_t{-1}) <= 1,
        str_cat("at most one axis of unknown size beside and in '", group, "'; found ", x.shape()));
    return reshape(x, shape);
  }

  // The product of two terms, summed over the letters that nothing `later` has.
  Term multiply(Term a, Term b, const std::string& later) const {
    sum_all_but(a, later + b.letters);
    sum_all_but(b, later + a.letters);
    std::string both, summed, only_a, only_b;
    for (char letter : a.letters) {
      if (!b.has(letter)) {
        only_a += letter;
      } else if (later.find(letter) == std::string::npos) {
        summed += letter;
      } else {
        both += letter;
      }
    }
    for (char letter : b.letters) {
      if (!a.has(letter)) only_b += letter;
    }
    if (summed.empty()) return outer(a, b, both, only_a, only_b);
    // As the operands lie, where that is an order that MatMul takes.
    const bool transpose_a = a.letters == both + summed + only_a;
    const bool transpose_b = b.letters == both + only_b + summed;
    const int batch = static_cast<int>(both.size());
    const auto prepared = [&](const Term& term, const std::string& rows,
                              const std::string& columns) {
      const Value value = ordered(term, both + rows + columns).value;
      const Value columns_merged = merged(value, batch + static_cast<int>(rows.size()), columns);
      return merged(columns_merged, batch, rows);
    };
    const Value x = transpose_a ? prepared(a, summed, only_a) : prepared(a, only_a, summed);
    const Value y = transpose_b ? prepared(b, only_b, summed) : prepared(b, summed, only_b);
    return {both + only_a + only_b,
            unmerged(matmul(x, y, transpose_a, transpose_b), a, b, both, only_a, only_b)};
  }

  // [both…, a, b] to [both…, only_a…, only_b…].
  Value unmerged(Value product, const Term& a, const Term& b, const std::string& both,
                 const std::string& only_a, const std::string& only_b) const {
    if (only_a.size() == 1 && only_b.size() == 1) return product;
    Shape shape = product.shape().first(static_cast<int>(both.size()));
    for (char letter : only_a) shape.push_back(a.size(letter));
    for (char letter : only_b) shape.push_back(b.size(letter));
    require(std::ranges::count(shape, int64_t{-1}) <= 1,
            str_cat("at most one axis of unknown size in a product; found ", shape, " of '", both,
                    only_a, only_b, "'"));
    return reshape(product, shape);
  }

  // Nothing is summed over: an elementwise product, broadcast.
  static Term outer(const Term& a, const Term& b, const std::string& both,
                    const std::string& only_a, const std::string& only_b) {
    const std::string letters = both + only_a + only_b;
    const auto spread = [&](const Term& term) {
      std::string own;
      Axes missing;
      for (size_t i = 0; i < letters.size(); ++i) {
        if (term.has(letters[i])) {
          own += letters[i];
        } else {
          missing.push_back(static_cast<int64_t>(i));
        }
      }
      const Value value = ordered(term, own).value;
      return missing.empty() ? value : expand_dims(value, missing);
    };
    return {letters, spread(a) * spread(b)};
  }

  std::string equation_, result_;
  int most_unnamed_ = 0;
  std::vector<Term> terms_;
};

}  // namespace

Value einsum(std::string_view equation, const std::vector<Value>& operands) {
  if (operands.empty()) throw invalid_argument("einsum '", equation, "': there are no operands");
  return Einsum(equation, operands).compute();
}

}  // namespace trireme::ops
