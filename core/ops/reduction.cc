// Reductions over axes, and the two ops that undo and redo broadcasting.
//
// The axes of a node are never negative, sorted and complete: an empty list reduces nothing (a
// scalar).
#include "core/ops/register.h"
#include "core/ops/rules.h"

namespace trireme::ops {
namespace {

Shape reduced_shape(const InferenceContext& c) {
  const Ints& axes = c.attribute<Ints>("axes");
  const bool keep_dims = c.attribute<bool>("keep_dims");
  Shape shape;
  size_t next = 0;
  for (int i = 0; i < c.shape(0).rank(); ++i) {
    if (next < axes.size() && axes[next] == i) {
      ++next;
      if (keep_dims) shape.push_back(1);
    } else {
      shape.push_back(c.shape(0)[i]);
    }
  }
  c.require(next == axes.size(), "sorted axes within the input's rank");
  return shape;
}

// `reduced`, an output or its gradient, in a shape that broadcasts to the input.
Value with_kept_dims(GradientContext& g, Value reduced) {
  const Ints& axes = g.attribute<Ints>("axes");
  return g.attribute<bool>("keep_dims") || axes.empty() ? reduced : expand_dims(reduced, axes);
}

OpDef reduction(std::string name, bool only_floating,
                std::function<void(GradientContext&)> gradient) {
  return {
      .name = std::move(name),
      .min_inputs = 1,
      .max_inputs = 1,
      .attributes = {attribute<Ints>("axes").in(at_least(0)), attribute<bool>("keep_dims")},
      .infer =
          [only_floating](const InferenceContext& c) {
            if (only_floating) c.require_floating();
            c.require(is_floating(c.dtype(0)) || is_integer(c.dtype(0)), "numbers");
            return Types{{c.dtype(0), reduced_shape(c)}};
          },
      .gradient = std::move(gradient),
  };
}

OpDef sum_op() {
  return reduction("Sum", false, [](GradientContext& g) {
    g.set_grad(0, broadcast_like(with_kept_dims(g, g.grad_of_output()), g.input(0)));
  });
}

OpDef mean_op() {
  return reduction("Mean", true, [](GradientContext& g) {
    g.set_grad(0, broadcast_like(with_kept_dims(g, g.grad_of_output()), g.input(0), true));
  });
}

// The elements that are the largest or smallest share the gradient equally.
void share_gradient(GradientContext& g) {
  const Value x = g.input(0);
  const Value is_chosen =
      cast(equal(x, broadcast_like(with_kept_dims(g, g.output(0)), x)), x.dtype());
  const Ints& axes = g.attribute<Ints>("axes");
  const Value count =
      axes.empty() ? is_chosen : sum(is_chosen, axes, g.attribute<bool>("keep_dims"));
  g.set_grad(0, is_chosen * with_kept_dims(g, g.grad_of_output() / count));
}

// The largest element. Of no elements: the lowest number there is.
OpDef max_op() { return reduction("Max", false, share_gradient); }

// The smallest element. Of no elements: the highest number there is.
OpDef min_op() { return reduction("Min", false, share_gradient); }

// The product; of no elements: 1. Integers wrap around.
OpDef prod_op() {
  return reduction("Prod", false, [](GradientContext& g) {
    // The product of the others, which is y / x but where x is 0: there it is the product of the
    // elements that are not, if x is the only 0, and else 0.
    const Value x = g.input(0), zero = constant_like(x, 0), one = constant_like(x, 1);
    const Ints& axes = g.attribute<Ints>("axes");
    if (axes.empty()) return g.set_grad(0, g.grad_of_output());
    const Value is_zero = equal(x, zero);
    const Value safe = select(is_zero, one, x);
    const Value rest = prod(safe, axes, true);
    const Value zeros = sum(select(is_zero, one, zero), axes, true);
    const Value others = select(is_zero, select(equal(zeros, one), rest, zero),
                                select(equal(zeros, zero), rest / safe, zero));
    g.set_grad(0, others * with_kept_dims(g, g.grad_of_output()));
  });
}

// The i64 index along `axis` of the largest (smallest) element, the first of equal ones.
OpDef argument_op(std::string name) {
  return {
      .name = std::move(name),
      .min_inputs = 1,
      .max_inputs = 1,
      .attributes = {attribute<int64_t>("axis").in(at_least(0))},
      .infer =
          [](const InferenceContext& c) {
            const int64_t axis = c.attribute<int64_t>("axis");
            c.require(axis < c.shape(0).rank(), "an axis within the input's rank");
            c.require(c.shape(0)[static_cast<int>(axis)] != 0,
                      "at least one element along the axis");
            Shape shape;
            for (int i = 0; i < c.shape(0).rank(); ++i) {
              if (i != axis) shape.push_back(c.shape(0)[i]);
            }
            return Types{{DType::kInt64, shape}};
          },
  };
}

// x summed over the axes along which `like`'s shape was broadcast to x's; with `average`, divided
// by how many elements went into each. `like` is looked at for its shape only.
OpDef sum_like_op() {
  return {
      .name = "SumLike",
      .min_inputs = 2,
      .max_inputs = 2,
      .attributes = {attribute<bool>("average")},
      .infer =
          [](const InferenceContext& c) {
            c.require_same_dtype();
            require_broadcasts_to(c, c.shape(1), c.shape(0));
            return Types{c.input(1)};
          },
      .gradient =
          [](GradientContext& g) {
            g.set_grad(
                0, broadcast_like(g.grad_of_output(), g.input(0), g.attribute<bool>("average")));
          },
      .traits = {.in_place_inputs = {0}, .shape_inputs = {1}},
  };
}

// x repeated to the shape of `like`; with `average`, divided by how often each element is repeated.
OpDef broadcast_like_op() {
  return {
      .name = "BroadcastLike",
      .min_inputs = 2,
      .max_inputs = 2,
      .attributes = {attribute<bool>("average")},
      .infer =
          [](const InferenceContext& c) {
            require_broadcasts_to(c, c.shape(0), c.shape(1));
            return Types{{c.dtype(0), c.shape(1)}};
          },
      .gradient =
          [](GradientContext& g) {
            g.set_grad(0, sum_like(g.grad_of_output(), g.input(0), g.attribute<bool>("average")));
          },
      .traits = {.in_place_inputs = {0}, .is_elementwise = true, .shape_inputs = {1}},
  };
}

Value reduce(std::string_view op, Value x, const Axes& axes, bool keep_dims) {
  if (!x.defined()) throw invalid_argument(op, ": input 0 is not defined");
  const int rank = x.shape().rank();
  Axes all = axes;
  if (all.empty()) {
    for (int i = 0; i < rank; ++i) all.push_back(i);
  }
  return build(op, {x}, {{"axes", normalize_axes(all, rank, op)}, {"keep_dims", keep_dims}});
}

Value argument(std::string_view op, Value x, int64_t axis) {
  if (!x.defined()) throw invalid_argument(op, ": input 0 is not defined");
  return build(op, {x}, {{"axis", normalize_axes({axis}, x.shape().rank(), op)[0]}});
}

}  // namespace

Value sum(Value x, Axes axes, bool keep_dims) { return reduce("Sum", x, axes, keep_dims); }
Value mean(Value x, Axes axes, bool keep_dims) { return reduce("Mean", x, axes, keep_dims); }
Value max(Value x, Axes axes, bool keep_dims) { return reduce("Max", x, axes, keep_dims); }
Value min(Value x, Axes axes, bool keep_dims) { return reduce("Min", x, axes, keep_dims); }
Value prod(Value x, Axes axes, bool keep_dims) { return reduce("Prod", x, axes, keep_dims); }

Value argmax(Value x, int64_t axis) { return argument("ArgMax", x, axis); }
Value argmin(Value x, int64_t axis) { return argument("ArgMin", x, axis); }

Value sum_like(Value x, Value like, bool average) {
  return build("SumLike", {x, like}, {{"average", average}});
}

Value broadcast_like(Value x, Value like, bool average) {
  return build("BroadcastLike", {x, like}, {{"average", average}});
}

}  // namespace trireme::ops

namespace trireme {

void register_reduction_ops(OpTable& table) {
  using namespace ops;
  for (auto make : {sum_op, mean_op, max_op, min_op, prod_op, sum_like_op, broadcast_like_op}) {
    table.add(make());
  }
  table.add(argument_op("ArgMax"));
  table.add(argument_op("ArgMin"));
}

}  // namespace trireme
