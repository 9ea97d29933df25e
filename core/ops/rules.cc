#include "core/ops/rules.h"

#include <algorithm>

namespace trireme::ops {

Value build(std::string_view op, std::vector<Value> inputs, Attributes attributes) {
  for (size_t i = 0; i < inputs.size(); ++i) {
    if (!inputs[i].defined()) throw invalid_argument(op, ": input ", i, " is not defined");
  }
  TRIREME_CHECK(!inputs.empty(), op, " is built without inputs");
  Graph& graph = inputs[0].graph();
  return graph.add(op, std::move(inputs), std::move(attributes)).output();
}

Types same_as_input(const InferenceContext& c) { return {c.input(0)}; }

Axes normalize_axes(const Axes& axes, int rank, std::string_view op) {
  Axes result;
  for (int64_t axis : axes) {
    const int64_t from_front = axis < 0 ? axis + rank : axis;
    if (from_front < 0 || from_front >= rank) {
      throw invalid_argument(op, ": axis ", axis, " is out of range for ", rank, " dimensions");
    }
    result.push_back(from_front);
  }
  std::ranges::sort(result);
  if (std::ranges::adjacent_find(result) != result.end()) {
    throw invalid_argument(op, ": an axis is named twice in ", to_string(AttributeValue(axes)));
  }
  return result;
}

Value unbroadcast(Value grad, Value like) {
  return grad.shape() == like.shape() ? grad : sum_like(grad, like);
}

void require_broadcasts_to(const InferenceContext& c, const Shape& from, const Shape& to) {
  bool fits = from.rank() <= to.rank();
  for (int i = 1; fits && i <= from.rank(); ++i) {
    const int64_t a = from.dim(-i), b = to.dim(-i);
    fits = a == b || a == 1 || a < 0 || b < 0;
  }
  c.require(fits, "a shape that broadcasts to the other input's");
}

}  // namespace trireme::ops
