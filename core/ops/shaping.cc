// Ops that move elements without computing. Several are views: they only rename the dimensions.
#include <algorithm>

#include "core/base/batch_share.h"
#include "core/base/checked.h"
#include "core/ops/register.h"
#include "core/ops/rules.h"

namespace trireme::ops {
namespace {

void give_back_shape(GradientContext& g) {
  g.set_grad(0, g.input(0).shape().is_known() ? reshape(g.grad_of_output(), g.input(0).shape())
                                              : reshape_like(g.grad_of_output(), g.input(0)));
}

// The attribute `shape` may hold one -1, which is worked out where the input's size is known.
OpDef reshape_op() {
  return {
      .name = "Reshape",
      .min_inputs = 1,
      .max_inputs = 1,
      .attributes = {attribute<Shape>("shape")},
      .infer =
          [](const InferenceContext& c) {
            Shape shape = c.attribute<Shape>("shape");
            int unknown = -1;
            int64_t known = 1;
            for (int i = 0; i < shape.rank(); ++i) {
              c.require(shape[i] >= -1, "dimensions of at least 0, or -1");
              if (shape[i] >= 0) {
                known = checked_multiply(known, shape[i], "the shape");
                continue;
              }
              c.require(unknown < 0, "at most one -1 in the shape");
              unknown = i;
            }
            if (!c.shape(0).is_known()) return Types{{c.dtype(0), shape}};
            const int64_t elements = c.shape(0).elements();
            if (unknown >= 0) {
              c.require(known > 0 && elements % known == 0,
                        "a number of elements that the shape divides");
              shape.set(unknown, elements / known);
            }
            c.require(shape.elements() == elements, "a shape with as many elements as the input");
            return Types{{c.dtype(0), shape}};
          },
      .gradient = give_back_shape,
      .traits = {.is_view = true, .precision = PrecisionClass::kFollow},
  };
}

OpDef reshape_like_op() {
  return {
      .name = "ReshapeLike",
      .min_inputs = 2,
      .max_inputs = 2,
      .infer =
          [](const InferenceContext& c) {
            c.require(!c.shape(0).is_known() || !c.shape(1).is_known() ||
                          c.shape(0).elements() == c.shape(1).elements(),
                      "two inputs with equally many elements");
            return Types{{c.dtype(0), c.shape(1)}};
          },
      .gradient = give_back_shape,
      .traits = {.is_view = true, .precision = PrecisionClass::kFollow, .shape_inputs = {1}},
  };
}

// [batch, a, b, …] → [batch, a·b·…]; unlike Reshape to {-1, n} it is also right for an empty batch.
OpDef flatten_op() {
  return {
      .name = "Flatten",
      .min_inputs = 1,
      .max_inputs = 1,
      .infer =
          [](const InferenceContext& c) {
            c.require(c.shape(0).rank() >= 1, "at least one dimension");
            const Shape rest = c.shape(0).last(c.shape(0).rank() - 1);
            return Types{{c.dtype(0), {c.shape(0)[0], rest.is_known() ? rest.elements() : -1}}};
          },
      .gradient = give_back_shape,
      .traits = {.is_view = true, .precision = PrecisionClass::kFollow},
  };
}

// Inserts dimensions of size 1 so that they stand at `axes` of the output.
OpDef expand_dims_op() {
  return {
      .name = "ExpandDims",
      .min_inputs = 1,
      .max_inputs = 1,
      .attributes = {attribute<Ints>("axes").in(at_least(0))},
      .infer =
          [](const InferenceContext& c) {
            const Ints& axes = c.attribute<Ints>("axes");
            const int rank = c.shape(0).rank() + static_cast<int>(axes.size());
            Shape shape;
            size_t next = 0;
            for (int i = 0, from = 0; i < rank; ++i) {
              const bool is_new = next < axes.size() && axes[next] == i;
              next += is_new ? 1 : 0;
              c.require(is_new || from < c.shape(0).rank(), "sorted axes within the output's rank");
              shape.push_back(is_new ? 1 : c.shape(0)[from++]);
            }
            return Types{{c.dtype(0), shape}};
          },
      .gradient =
          [](GradientContext& g) {
            g.set_grad(0, squeeze(g.grad_of_output(), g.attribute<Ints>("axes")));
          },
      .traits = {.is_view = true, .is_axis_view = true, .precision = PrecisionClass::kFollow},
  };
}

// Drops the dimensions at `axes`, which must be of size 1.
OpDef squeeze_op() {
  return {
      .name = "Squeeze",
      .min_inputs = 1,
      .max_inputs = 1,
      .attributes = {attribute<Ints>("axes").in(at_least(0))},
      .infer =
          [](const InferenceContext& c) {
            const Ints& axes = c.attribute<Ints>("axes");
            Shape shape;
            size_t next = 0;
            for (int i = 0; i < c.shape(0).rank(); ++i) {
              if (next < axes.size() && axes[next] == i) {
                ++next;
                c.require(c.shape(0)[i] == 1 || c.shape(0)[i] < 0,
                          "size 1 along the squeezed axes");
              } else {
                shape.push_back(c.shape(0)[i]);
              }
            }
            c.require(next == axes.size(), "sorted axes within the input's rank");
            return Types{{c.dtype(0), shape}};
          },
      .gradient =
          [](GradientContext& g) {
            g.set_grad(0, expand_dims(g.grad_of_output(), g.attribute<Ints>("axes")));
          },
      .traits = {.is_view = true, .is_axis_view = true, .precision = PrecisionClass::kFollow},
  };
}

// Output dimension i is input dimension permutation[i].
OpDef transpose_op() {
  return {
      .name = "Transpose",
      .min_inputs = 1,
      .max_inputs = 1,
      .attributes = {attribute<Ints>("permutation").in(at_least(0))},
      .infer =
          [](const InferenceContext& c) {
            const Ints& permutation = c.attribute<Ints>("permutation");
            const int rank = c.shape(0).rank();
            c.require(static_cast<int>(permutation.size()) == rank, "a permutation of all axes");
            std::vector<bool> seen(permutation.size());
            Shape shape;
            for (int64_t axis : permutation) {
              c.require(axis >= 0 && axis < rank && !seen[static_cast<size_t>(axis)],
                        "a permutation of all axes");
              seen[static_cast<size_t>(axis)] = true;
              shape.push_back(c.shape(0)[static_cast<int>(axis)]);
            }
            return Types{{c.dtype(0), shape}};
          },
      .gradient =
          [](GradientContext& g) {
            const Ints& permutation = g.attribute<Ints>("permutation");
            Axes inverse(permutation.size());
            for (size_t i = 0; i < inverse.size(); ++i) {
              inverse[static_cast<size_t>(permutation[i])] = static_cast<int64_t>(i);
            }
            g.set_grad(0, transpose(g.grad_of_output(), inverse));
          },
      .traits = {.precision = PrecisionClass::kFollow},
  };
}

// x: [batch, …] → the rows that batch_share() gives to part `index` of `count`, or row 0 when that
// is none: whoever asked weights such a part with 0, and every kernel has a row to work on. Not
// differentiated: it cuts up what is fed.
OpDef batch_part_op() {
  return {
      .name = "BatchPart",
      .min_inputs = 1,
      .max_inputs = 1,
      .attributes = {attribute<int64_t>("index").in(at_least(0)),
                     attribute<int64_t>("count").in(at_least(1))},
      .infer =
          [](const InferenceContext& c) {
            const auto index = c.attribute<int64_t>("index"), count = c.attribute<int64_t>("count");
            c.require(index >= 0 && index < count, "an index below the number of parts");
            c.require(c.shape(0).rank() >= 1 && c.shape(0)[0] != 0, "a batch of at least one row");
            Shape shape = c.shape(0);
            if (shape[0] > 0) {
              shape.set(0, std::max<int64_t>(1, batch_share(shape[0], index, count).size()));
            }
            return Types{{c.dtype(0), shape}};
          },
      .traits = {.precision = PrecisionClass::kFollow},
  };
}

OpDef concat_op() {
  return {
      .name = "Concat",
      .min_inputs = 1,
      .max_inputs = -1,
      .attributes = {attribute<int64_t>("axis").in(at_least(0))},
      .infer =
          [](const InferenceContext& c) {
            c.require_same_dtype();
            const int rank = c.shape(0).rank();
            const int axis = static_cast<int>(c.attribute<int64_t>("axis"));
            c.require(axis >= 0 && axis < rank, "an axis within the inputs' rank");
            Shape shape = c.shape(0);
            for (int part = 1; part < c.input_count(); ++part) {
              const Shape& other = c.shape(part);
              c.require(other.rank() == rank, "inputs of one rank");
              for (int i = 0; i < rank; ++i) {
                if (i == axis) {
                  shape.set(i, shape[i] < 0 || other[i] < 0 ? -1 : shape[i] + other[i]);
                } else {
                  c.require(shape[i] == other[i] || shape[i] < 0 || other[i] < 0,
                            "inputs that differ along the axis only");
                  shape.set(i, std::max(shape[i], other[i]));
                }
              }
            }
            return Types{{c.dtype(0), shape}};
          },
      .gradient =
          [](GradientContext& g) {
            const int count = static_cast<int>(g.node().inputs().size());
            for (int i = 0; i < count; ++i) {
              std::vector<Value> inputs{g.grad_of_output()};
              inputs.insert(inputs.end(), g.node().inputs().begin(), g.node().inputs().end());
              g.set_grad(i, build("ConcatPart", inputs,
                                  {{"axis", g.attribute<int64_t>("axis")}, {"part", int64_t{i}}}));
            }
          },
      .traits = {.precision = PrecisionClass::kFollow},
  };
}

// Inputs: the whole, then the parts of a Concat, looked at for their shapes only. Output: that of
// the whole which part number `part` went into. An op of its own because the offset is unknown
// where the parts before it are batches.
OpDef concat_part_op() {
  return {
      .name = "ConcatPart",
      .min_inputs = 2,
      .max_inputs = -1,
      .attributes = {attribute<int64_t>("axis").in(at_least(0)),
                     attribute<int64_t>("part").in(at_least(0))},
      .infer =
          [](const InferenceContext& c) {
            const int64_t part = c.attribute<int64_t>("part");
            c.require(part >= 0 && part + 1 < c.input_count(), "a part that is among the inputs");
            return Types{{c.dtype(0), c.shape(static_cast<int>(part) + 1)}};
          },
      .gradient =
          [](GradientContext& g) {
            std::vector<Value> parts;
            const int64_t part = g.attribute<int64_t>("part");
            for (int i = 1; i < static_cast<int>(g.node().inputs().size()); ++i) {
              parts.push_back(i == part + 1 ? g.grad_of_output() : zeros_like(g.input(i)));
            }
            g.set_grad(0, concat(parts, g.attribute<int64_t>("axis")));
          },
  };
}

// The box of `size` at `begin`; size -1: to the end.
OpDef slice_op() {
  return {
      .name = "Slice",
      .min_inputs = 1,
      .max_inputs = 1,
      .attributes = {attribute<Ints>("begin"), attribute<Ints>("size")},
      .infer =
          [](const InferenceContext& c) {
            const Ints& begin = c.attribute<Ints>("begin");
            const Ints& size = c.attribute<Ints>("size");
            const size_t rank = static_cast<size_t>(c.shape(0).rank());
            c.require(begin.size() == rank && size.size() == rank,
                      "a begin and a size for each axis");
            Shape shape;
            for (size_t i = 0; i < rank; ++i) {
              const int64_t whole = c.shape(0)[static_cast<int>(i)];
              c.require(begin[i] >= 0 && size[i] >= -1,
                        "begin of at least 0 and size of at least -1");
              c.require(whole < 0 || begin[i] <= whole, "a begin within the input");
              c.require(whole < 0 || size[i] < 0 || size[i] <= whole - begin[i],
                        "a slice within the input");
              shape.push_back(size[i] >= 0 ? size[i] : whole < 0 ? -1 : whole - begin[i]);
            }
            return Types{{c.dtype(0), shape}};
          },
      .gradient =
          [](GradientContext& g) {
            g.set_grad(0, build("PadLike", {g.grad_of_output(), g.input(0)},
                                {{"before", g.attribute<Ints>("begin")}}));
          },
      .traits = {.precision = PrecisionClass::kFollow},
  };
}

// Zeros around the input: `before` and `after` each axis.
OpDef pad_op() {
  return {
      .name = "Pad",
      .min_inputs = 1,
      .max_inputs = 1,
      .attributes = {attribute<Ints>("before"), attribute<Ints>("after")},
      .infer =
          [](const InferenceContext& c) {
            const Ints& before = c.attribute<Ints>("before");
            const Ints& after = c.attribute<Ints>("after");
            const size_t rank = static_cast<size_t>(c.shape(0).rank());
            c.require(before.size() == rank && after.size() == rank,
                      "a before and an after for each axis");
            Shape shape;
            for (size_t i = 0; i < rank; ++i) {
              c.require(before[i] >= 0 && after[i] >= 0, "padding of at least 0");
              const int64_t inner = c.shape(0)[static_cast<int>(i)];
              const int64_t both = checked_add(before[i], after[i], "padding");
              shape.push_back(inner < 0 ? -1 : checked_add(inner, both, "padding"));
            }
            return Types{{c.dtype(0), shape}};
          },
      .gradient =
          [](GradientContext& g) {
            g.set_grad(0, build("SliceLike", {g.grad_of_output(), g.input(0)},
                                {{"begin", g.attribute<Ints>("before")}}));
          },
      .traits = {.precision = PrecisionClass::kFollow},
  };
}

void require_box(const InferenceContext& c, const Shape& box, const Ints& offset,
                 const Shape& whole) {
  c.require(box.rank() == whole.rank() && offset.size() == static_cast<size_t>(box.rank()),
            "two inputs of one rank and an offset for each axis");
  for (int i = 0; i < box.rank(); ++i) {
    const int64_t begin = offset[static_cast<size_t>(i)];
    c.require(begin >= 0 && (box[i] < 0 || whole[i] < 0 || begin + box[i] <= whole[i]),
              "a box that lies within the larger input");
  }
}

// The box of `like`'s shape at `begin`, and zeros of `like`'s shape around the input at `before`:
// each the gradient of the other, and of Pad and Slice, whose sizes may not be known when the graph
// is built. `like` lends its shape only.
OpDef slice_like_op() {
  return {
      .name = "SliceLike",
      .min_inputs = 2,
      .max_inputs = 2,
      .attributes = {attribute<Ints>("begin")},
      .infer =
          [](const InferenceContext& c) {
            require_box(c, c.shape(1), c.attribute<Ints>("begin"), c.shape(0));
            return Types{{c.dtype(0), c.shape(1)}};
          },
      .gradient =
          [](GradientContext& g) {
            g.set_grad(0, build("PadLike", {g.grad_of_output(), g.input(0)},
                                {{"before", g.attribute<Ints>("begin")}}));
          },
  };
}

OpDef pad_like_op() {
  return {
      .name = "PadLike",
      .min_inputs = 2,
      .max_inputs = 2,
      .attributes = {attribute<Ints>("before")},
      .infer =
          [](const InferenceContext& c) {
            require_box(c, c.shape(0), c.attribute<Ints>("before"), c.shape(1));
            return Types{{c.dtype(0), c.shape(1)}};
          },
      .gradient =
          [](GradientContext& g) {
            g.set_grad(0, build("SliceLike", {g.grad_of_output(), g.input(0)},
                                {{"begin", g.attribute<Ints>("before")}}));
          },
  };
}

int rank_of(Value x, std::string_view op) {
  if (!x.defined()) throw invalid_argument(op, ": input 0 is not defined");
  return x.shape().rank();
}

}  // namespace

Value reshape(Value x, const Shape& shape) { return build("Reshape", {x}, {{"shape", shape}}); }
Value reshape_like(Value x, Value like) { return build("ReshapeLike", {x, like}); }
Value flatten(Value x) { return build("Flatten", {x}); }

Value expand_dims(Value x, Axes axes) {
  const int rank = rank_of(x, "ExpandDims") + static_cast<int>(axes.size());
  return build("ExpandDims", {x}, {{"axes", normalize_axes(axes, rank, "ExpandDims")}});
}

Value squeeze(Value x, Axes axes) {
  return build("Squeeze", {x}, {{"axes", normalize_axes(axes, rank_of(x, "Squeeze"), "Squeeze")}});
}

Value transpose(Value x, Axes permutation) {
  const int rank = rank_of(x, "Transpose");
  if (permutation.empty()) {
    for (int i = rank - 1; i >= 0; --i) permutation.push_back(i);
  }
  for (int64_t& axis : permutation) axis += axis < 0 ? rank : 0;
  return build("Transpose", {x}, {{"permutation", permutation}});
}

Value concat(const std::vector<Value>& parts, int64_t axis) {
  if (parts.empty()) throw invalid_argument("Concat: there is nothing to concatenate");
  const int rank = rank_of(parts[0], "Concat");
  return build("Concat", parts, {{"axis", normalize_axes({axis}, rank, "Concat")[0]}});
}

Value batch_part(Value x, int64_t index, int64_t count) {
  return build("BatchPart", {x}, {{"index", index}, {"count", count}});
}

Value slice(Value x, std::vector<int64_t> begin, std::vector<int64_t> size) {
  return build("Slice", {x}, {{"begin", std::move(begin)}, {"size", std::move(size)}});
}

Value pad(Value x, std::vector<int64_t> before, std::vector<int64_t> after) {
  return build("Pad", {x}, {{"before", std::move(before)}, {"after", std::move(after)}});
}

}  // namespace trireme::ops

namespace trireme {

void register_shaping_ops(OpTable& table) {
  using namespace ops;
  for (auto make :
       {reshape_op, reshape_like_op, flatten_op, expand_dims_op, squeeze_op, transpose_op,
        concat_op, concat_part_op, slice_op, batch_part_op, pad_op, slice_like_op, pad_like_op}) {
    table.add(make());
  }
}

}  // namespace trireme
