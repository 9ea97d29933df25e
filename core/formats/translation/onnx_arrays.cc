// Ops that move, pick, sum or make elements, in ONNX.
#include <algorithm>

#include "core/base/error.h"
#include "core/formats/translation/onnx_cells.h"
#include "core/formats/translation/onnx_writer.h"
#include "core/ops/ops.h"
#include "proto/onnx/onnx.pb.h"

namespace trireme::formats::to_onnx {
namespace {

// Where an axis of ours stands when channels are first.
int64_t first_axis(int64_t axis) {
  constexpr int64_t kAxes[] = {0, 2, 3, 1};
  return kAxes[axis];
}

Ints first_axes(const Ints& axes) {
  Ints moved;
  for (int64_t axis : axes) moved.push_back(first_axis(axis));
  std::ranges::sort(moved);
  return moved;
}

// Sizes, offsets …, one for each axis, when channels are first.
Ints first_order(const Ints& values) { return {values[0], values[3], values[1], values[2]}; }

std::string reshape_to(OnnxWriter& w, const std::string& x, const Shape& shape) {
  // A written 0 would mean the input's size.
  const bool has_zero = std::ranges::any_of(shape.dims(), [](int64_t size) { return size == 0; });
  std::vector<OnnxAttribute> attributes;
  if (has_zero) attributes.push_back({"allowzero", int64_t{1}});
  return w.add("Reshape", {x, w.ints({shape.begin(), shape.end()})}, attributes);
}

}  // namespace

void reshape(OnnxWriter& w, const Node& n) {
  w.set(output_of(n), reshape_to(w, w.name(n.input(0)), n.attribute<Shape>("shape")));
}

void reshape_like(OnnxWriter& w, const Node& n) {
  w.set(output_of(n), w.add("Reshape", {w.name(n.input(0)), w.shape_of(n.input(1))}));
}

void flatten(OnnxWriter& w, const Node& n) {
  w.set(output_of(n), w.add("Flatten", {w.name(n.input(0))}, {{"axis", int64_t{1}}}));
}

void expand_dims(OnnxWriter& w, const Node& n) {
  w.set(output_of(n), w.add("Unsqueeze", {w.name(n.input(0)), w.ints(n.attribute<Ints>("axes"))}));
}

void squeeze(OnnxWriter& w, const Node& n) {
  const Value x = n.input(0);
  const Ints& axes = n.attribute<Ints>("axes");
  // Of pixels there is one: what is left has no order that channels could be first in.
  if (w.is_channels_first(x) && axes == Ints{1, 2}) {
    w.set(output_of(n), w.add("Squeeze", {w.channels_first(x), w.ints({2, 3})}));
    return;
  }
  w.set(output_of(n), w.add("Squeeze", {w.name(x), w.ints(axes)}));
}

void transpose(OnnxWriter& w, const Node& n) {
  w.set(output_of(n), w.transpose(w.name(n.input(0)), n.attribute<Ints>("permutation")));
}

void concat(OnnxWriter& w, const Node& n) {
  const bool first =
      std::ranges::any_of(n.inputs(), [&](const Value& x) { return w.is_channels_first(x); });
  const int64_t axis = n.attribute<int64_t>("axis");
  Names names;
  for (const Value& x : n.inputs()) names.push_back(first ? w.channels_first(x) : w.name(x));
  const std::string made = w.add("Concat", names, {{"axis", first ? first_axis(axis) : axis}});
  first ? w.set_channels_first(output_of(n), made) : w.set(output_of(n), made);
}

void slice(OnnxWriter& w, const Node& n) {
  const Value x = n.input(0);
  const bool first = w.is_channels_first(x);
  const Ints &begin = n.attribute<Ints>("begin"), &size = n.attribute<Ints>("size");
  Ints starts, ends, axes;
  for (size_t i = 0; i < begin.size(); ++i) {
    if (begin[i] == 0 && size[i] < 0) continue;  // the whole axis
    const auto axis = static_cast<int64_t>(i);
    starts.push_back(begin[i]);
    ends.push_back(size[i] < 0 ? INT64_MAX : begin[i] + size[i]);
    axes.push_back(first ? first_axis(axis) : axis);
  }
  const std::string whole = first ? w.channels_first(x) : w.name(x);
  const std::string made =
      axes.empty() ? whole : w.add("Slice", {whole, w.ints(starts), w.ints(ends), w.ints(axes)});
  first ? w.set_channels_first(output_of(n), made) : w.set(output_of(n), made);
}

void pad(OnnxWriter& w, const Node& n) {
  const Value x = n.input(0);
  const bool first = w.is_channels_first(x);
  Ints pads = n.attribute<Ints>("before"), after = n.attribute<Ints>("after");
  if (first) {
    pads = first_order(pads);
    after = first_order(after);
  }
  pads.insert(pads.end(), after.begin(), after.end());
  const std::string made =
      w.add("Pad", {first ? w.channels_first(x) : w.name(x), w.ints(pads), w.scalar(x.dtype(), 0)});
  first ? w.set_channels_first(output_of(n), made) : w.set(output_of(n), made);
}

void broadcast_to(OnnxWriter& w, const Node& n) {
  Ints shape = n.attribute<Ints>("shape");
  std::ranges::replace(shape, -1, 1);  // what x has there stays, when a 1 is asked for
  w.set(output_of(n), w.add("Expand", {w.name(n.input(0)), w.ints(shape)}));
}

void broadcast_like(OnnxWriter& w, const Node& n) {
  if (n.attribute<bool>("average")) {
    throw TranslationError(
        str_cat("it has no translation of BroadcastLike that divides, a gradient"));
  }
  w.set(output_of(n), w.add("Expand", {w.name(n.input(0)), w.shape_of(n.input(1))}));
}

void fill_like(OnnxWriter& w, const Node& n) {
  const std::string number = w.scalar(n.output_type().dtype, n.attribute<double>("value"));
  w.set(output_of(n), w.add("Expand", {number, w.shape_of(n.input(0))}));
}

// ReduceSum takes the axes as input, the others as attribute.
void reduce(OnnxWriter& w, const Node& n) {
  const std::string op = "Reduce" + n.op().name;
  const Value x = n.input(0);
  Ints axes = n.attribute<Ints>("axes");
  const bool keep = n.attribute<bool>("keep_dims");
  if (axes.empty()) {  // ONNX would reduce all
    w.set(output_of(n), w.add("Identity", {w.name(x)}));
    return;
  }
  // With the pixels gone, or with one axis left besides the batch, there is no order.
  const bool first = w.is_channels_first(x) && (keep || axes == Ints{1, 2} || axes.size() >= 3);
  if (first) axes = first_axes(axes);
  const std::string of = first ? w.channels_first(x) : w.name(x);
  const OnnxAttribute keep_dims{"keepdims", int64_t{keep}};
  const std::string made = op == "ReduceSum" ? w.add(op, {of, w.ints(axes)}, {keep_dims})
                                             : w.add(op, {of}, {{"axes", axes}, keep_dims});
  first&& keep ? w.set_channels_first(output_of(n), made) : w.set(output_of(n), made);
}

void arg(OnnxWriter& w, const Node& n) {
  w.set(output_of(n), w.add(n.op().name, {w.name(n.input(0))},
                            {{"axis", n.attribute<int64_t>("axis")}, {"keepdims", int64_t{0}}}));
}

void gather(OnnxWriter& w, const Node& n) {
  w.set(output_of(n),
        w.add("Gather", {w.name(n.input(0)), w.name(n.input(1))}, {{"axis", int64_t{0}}}));
}

void gather_axis(OnnxWriter& w, const Node& n) {
  const int64_t axis = n.attribute<int64_t>("axis"), batch = n.attribute<int64_t>("batch_dims");
  const std::string params = w.name(n.input(0)), indices = w.name(n.input(1));
  if (batch == 0) {
    w.set(output_of(n), w.add("Gather", {params, indices}, {{"axis", axis}}));
  } else if (batch == axis) {
    const int64_t rank = n.input(1).shape().rank();
    const std::string as_indices =
        w.add("Cast", {indices}, {{"to", int64_t{onnx_dtype(DType::kInt64)}}});
    const std::string places = w.add("Unsqueeze", {as_indices, w.ints({rank})});
    w.set(output_of(n), w.add("GatherND", {params, places}, {{"batch_dims", batch}}));
  } else {
    throw TranslationError(str_cat("it has no translation of GatherAxis along axis ", axis,
                                   " with ", batch, " batch axes (node \"", n.name(), "\")"));
  }
}

// An index outside of the depth gives zeros, which ONNX's OneHot does not say of negative ones.
void one_hot(OnnxWriter& w, const Node& n) {
  const Value indices = n.input(0);
  const int64_t depth = n.attribute<int64_t>("depth");
  Tensor all(DType::kInt64, {depth});
  for (int64_t i = 0; i < depth; ++i) all.flat<int64_t>()[static_cast<size_t>(i)] = i;
  const std::string wide =
      w.add("Cast", {w.name(indices)}, {{"to", int64_t{onnx_dtype(DType::kInt64)}}});
  const std::string column = w.add("Unsqueeze", {wide, w.ints({indices.shape().rank()})});
  w.set(output_of(n), w.add("Cast", {w.add("Equal", {column, w.constant(all)})},
                            {{"to", int64_t{onnx_dtype(n.attribute<DType>("dtype"))}}}));
}

void cumsum(OnnxWriter& w, const Node& n) {
  w.set(output_of(n), w.add("CumSum",
                            {w.name(n.input(0)),
                             w.constant(Tensor::scalar<int64_t>(n.attribute<int64_t>("axis")))},
                            {{"exclusive", int64_t{n.attribute<bool>("exclusive")}},
                             {"reverse", int64_t{n.attribute<bool>("reverse")}}}));
}

void sort(OnnxWriter& w, const Node& n) {
  const Value x = n.input(0);
  const int64_t count = n.attribute<int64_t>("count");
  const int64_t size = x.shape().dim(-1);
  if (count < 0 && size < 0) {
    throw TranslationError(str_cat(
        "it has no translation of Sort along an axis of unknown size (node \"", n.name(), "\")"));
  }
  const Names made = w.add_all("TopK", {w.name(x), w.ints({count < 0 ? size : count})}, 2,
                               {{"largest", int64_t{n.attribute<bool>("descending")}}});
  w.set(output_of(n, 0), made[0]);
  w.set(output_of(n, 1), made[1]);
}

// x[i]·x[j] for each j < i, by i and then j: those below the diagonal of the product.
void pairwise_dots(OnnxWriter& w, const Node& n) {
  const Value x = n.input(0);
  const int64_t count = x.shape()[1];
  const std::string vectors = w.name(x);
  const std::string products = w.add("MatMul", {vectors, w.transpose(vectors, {0, 2, 1})});
  Ints pairs;
  for (int64_t i = 0; i < count; ++i) {
    for (int64_t j = 0; j < i; ++j) pairs.push_back(i * count + j);
  }
  w.set(output_of(n),
        w.add("Gather", {w.add("Flatten", {products}, {{"axis", int64_t{1}}}), w.ints(pairs)},
              {{"axis", int64_t{1}}}));
}

void scatter_add(OnnxWriter& w, const Node& n) {
  const std::string zeros =
      w.add("Expand", {w.scalar(n.output_type().dtype, 0), w.shape_of(n.input(2))});
  const std::string wide =
      w.add("Cast", {w.name(n.input(0))}, {{"to", int64_t{onnx_dtype(DType::kInt64)}}});
  const std::string places = w.add("Unsqueeze", {wide, w.ints({n.input(0).shape().rank()})});
  w.set(output_of(n), w.add("ScatterND", {zeros, places, w.name(n.input(1))},
                            {{"reduction", std::string("add")}}));
}

}  // namespace trireme::formats::to_onnx
