#include "core/eager/value.h"

#include <algorithm>
#include <array>
#include <ostream>
#include <sstream>

#include "core/base/error.h"
#include "core/eager/context.h"
#include "core/ops/ops.h"

namespace trireme::eager {
namespace {

// Of an axis that is longer than kLong only so many are printed at each end.
constexpr int64_t kLong = 20, kEnds = 3;

void print(std::ostream& out, const Tensor& tensor, int axis, int64_t& next) {
  const Shape& shape = tensor.shape();
  if (axis == shape.rank()) {
    if (tensor.dtype() == DType::kString) {
      out << '"' << tensor.flat<std::string>()[static_cast<size_t>(next++)] << '"';
    } else if (tensor.dtype() == DType::kBool) {
      out << (tensor.as_double(next++) != 0 ? "true" : "false");
    } else {
      out << tensor.as_double(next++);
    }
    return;
  }
  const int64_t size = shape[axis];
  int64_t inner = 1;
  for (int i = axis + 1; i < shape.rank(); ++i) inner *= shape[i];
  out << '[';
  for (int64_t i = 0; i < size; ++i) {
    if (i > 0) out << ", ";
    if (size > kLong && i == kEnds) {
      out << "…, ";
      next += (size - 2 * kEnds) * inner;
      i = size - kEnds;
    }
    print(out, tensor, axis + 1, next);
  }
  out << ']';
}

// Where a position of an axis is; negative ones count from its end.
int64_t position(int64_t given, int64_t size) { return given < 0 ? given + size : given; }

}  // namespace

Value::Value(Tensor tensor) : tensor_(std::move(tensor)), id_(Context::current().next_id()) {}
Value::Value(double number) : Value(Tensor::scalar(static_cast<float>(number))) {}
Value::Value(trireme::Value node) : symbol_(node), id_(Context::current().next_id()) {}

const TensorType& Value::type() const {
  if (tensor_.defined()) return tensor_.type();
  if (!symbol_.defined()) throw invalid_argument("a value that is undefined has no type");
  return symbol_.type();
}

const Tensor& Value::tensor() const {
  if (!tensor_.defined()) {
    throw invalid_argument(is_symbol()
                               ? "a value has no numbers while its function is traced into a graph"
                               : "a value that is undefined has no numbers");
  }
  return tensor_;
}

double Value::item() const {
  if (tensor().elements() != 1) {
    throw invalid_argument("item() is the only number of a value, found ", type());
  }
  return tensor_.as_double(0);
}

Value Value::operator[](int64_t index) const {
  const Slice part = Slice::at(index);
  return slice(std::span(&part, 1));
}

Value Value::slice(std::span<const Slice> parts) const {
  const Shape& from = shape();
  if (static_cast<int>(parts.size()) > from.rank()) {
    throw invalid_argument("a slice of ", parts.size(), " axes of ", type());
  }
  std::array<int64_t, Shape::kMaxRank> begin, size, gone;
  size_t gone_count = 0;
  for (int axis = 0; axis < from.rank(); ++axis) {
    const auto i = static_cast<size_t>(axis);
    const Slice part = i < parts.size() ? parts[i] : Slice::all();
    const int64_t length = from[axis];
    if (length < 0 && (part.begin.has_value() || part.end.has_value())) {
      throw invalid_argument("a slice of axis ", axis, " of ", type(), ", whose size is not known");
    }
    const int64_t first = position(part.begin.value_or(0), length);
    if (part.is_index) {
      if (first < 0 || first >= length) {
        throw invalid_argument("index ", *part.begin, " of axis ", axis, " of ", type());
      }
      gone[gone_count++] = axis;
      begin[i] = first;
      size[i] = 1;
      continue;
    }
    // Ends outside are cut, as in Python.
    const int64_t last =
        std::clamp(position(part.end.value_or(length), length), int64_t{0}, length);
    begin[i] = std::clamp(first, int64_t{0}, std::max<int64_t>(length, 0));
    size[i] = length < 0 ? -1 : std::max<int64_t>(0, last - begin[i]);
  }
  const auto rank = static_cast<size_t>(from.rank());
  Words words{from.rank()};
  words.append(std::span(begin).first(rank));
  words.append(std::span(size).first(rank));
  words.append(std::span(gone).first(gone_count));
  const Value* const self = this;
  Value result;
  Context::current().call(
      [](std::span<const trireme::Value> in, const Words& w) {
        const std::vector<int64_t> all = w.from(1);
        const auto rank = static_cast<ptrdiff_t>(w[0]);
        const auto at = all.begin();
        const trireme::Value part = ops::slice(in[0], {at, at + rank}, {at + rank, at + 2 * rank});
        const std::vector<int64_t> axes(at + 2 * rank, all.end());
        return std::vector{axes.empty() ? part : ops::squeeze(part, axes)};
      },
      std::span(&self, 1), words, std::span(&result, 1));
  return result;
}

std::string Value::to_string() const {
  if (!defined()) return "undefined";
  if (is_symbol()) return str_cat(type(), " '", symbol_.node->name(), "'");
  std::ostringstream out;
  out << type() << ' ';
  int64_t next = 0;
  print(out, tensor_, 0, next);
  return out.str();
}

std::ostream& operator<<(std::ostream& out, const Value& value) { return out << value.to_string(); }

Value array(std::initializer_list<double> numbers) {
  return array(numbers, {static_cast<int64_t>(numbers.size())});
}

Value array(std::initializer_list<double> numbers, const Shape& shape) {
  if (!shape.is_known() || shape.elements() != static_cast<int64_t>(numbers.size())) {
    throw invalid_argument("an array of ", numbers.size(), " numbers cannot have the shape ",
                           shape);
  }
  Tensor tensor(DType::kFloat32, shape);
  std::ranges::transform(numbers, tensor.flat<float>().begin(),
                         [](double number) { return static_cast<float>(number); });
  return Value(std::move(tensor));
}

}  // namespace trireme::eager
