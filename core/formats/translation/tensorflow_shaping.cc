// Ops that move elements. Sizes are constants where they are known, which converters of
// TensorFlow's want.
#include <algorithm>

#include "core/formats/translation/tensorflow_cells.h"

namespace trireme::formats::to_tensorflow {
namespace {

std::vector<int64_t> sizes_of(const Shape& shape) { return {shape.begin(), shape.end()}; }

int64_t unknown_sizes(const Shape& shape) { return std::ranges::count(shape.dims(), int64_t{-1}); }

// x in the type of `like`, which is known but for one size, or is looked at when it runs.
TensorflowValue shaped_like(TensorflowWriter& w, const TensorflowValue& x, Value like) {
  // A size of 0 would leave the -1 open.
  const bool has_none = std::ranges::count(like.shape().dims(), int64_t{0}) > 0;
  if (unknown_sizes(like.shape()) <= 1 && !has_none) return w.reshape(x, sizes_of(like.shape()));
  return w.add("Reshape", {x, w.shape_of(like)});
}

}  // namespace

void reshape(TensorflowWriter& w, const Node& node) {
  const Shape& asked = node.attribute<Shape>("shape");
  const Shape& known = node.output_type().shape;
  w.set(node, w.reshape(w.input(node, 0), sizes_of(known.is_known() ? known : asked)));
}

void reshape_like(TensorflowWriter& w, const Node& node) {
  w.set(node, shaped_like(w, w.input(node, 0), node.input(1)));
}

void flatten(TensorflowWriter& w, const Node& node) {
  const Shape& shape = node.output_type().shape;
  if (unknown_sizes(shape) <= 1 && shape[1] != 0) {
    return w.set(node, w.reshape(w.input(node, 0), sizes_of(shape)));
  }
  const TensorflowValue batch = w.slice(w.shape_of(node.input(0)), {0}, {1});
  const TensorflowValue sizes = w.add("ConcatV2", {batch, w.numbers({shape[1]}), w.number(0)});
  w.set(node, w.add("Reshape", {w.input(node, 0), sizes}));
}

void expand_dims(TensorflowWriter& w, const Node& node) {
  TensorflowValue y = w.input(node, 0);
  const Shape& shape = node.output_type().shape;
  const Ints& axes = node.attribute<Ints>("axes");
  if (axes.size() > 1 && unknown_sizes(shape) <= 1 &&
      std::ranges::count(shape.dims(), int64_t{0}) == 0) {
    return w.set(node, w.reshape(y, sizes_of(shape)));
  }
  for (const int64_t axis : axes) y = w.add("ExpandDims", {y, w.number(axis)});
  w.set(node, y);
}

void squeeze(TensorflowWriter& w, const Node& node) {
  const Ints& axes = node.attribute<Ints>("axes");
  if (axes.empty()) return w.set(node, w.input(node, 0));
  w.set(node, w.add("Squeeze", {w.input(node, 0)}, {{"squeeze_dims", axes}}));
}

void transpose(TensorflowWriter& w, const Node& node) {
  w.set(node, w.transpose(w.input(node, 0), node.attribute<Ints>("permutation")));
}

void concat(TensorflowWriter& w, const Node& node) {
  TensorflowValues parts;
  for (int i = 0; i < static_cast<int>(node.inputs().size()); ++i)
    parts.push_back(w.input(node, i));
  if (parts.size() == 1) return w.set(node, parts[0]);
  parts.push_back(w.number(node.attribute<int64_t>("axis")));
  w.set(node, w.add("ConcatV2", parts));
}

void slice(TensorflowWriter& w, const Node& node) {
  w.set(node,
        w.slice(w.input(node, 0), node.attribute<Ints>("begin"), node.attribute<Ints>("size")));
}

void slice_like(TensorflowWriter& w, const Node& node) {
  w.set(node, w.add("Slice", {w.input(node, 0), w.numbers(node.attribute<Ints>("begin")),
                              w.shape_of(node.input(1))}));
}

void pad(TensorflowWriter& w, const Node& node) {
  const Ints &before = node.attribute<Ints>("before"), &after = node.attribute<Ints>("after");
  std::vector<int32_t> paddings;
  for (size_t i = 0; i < before.size(); ++i) {
    paddings.push_back(static_cast<int32_t>(before[i]));
    paddings.push_back(static_cast<int32_t>(after[i]));
  }
  if (std::ranges::count(paddings, 0) == static_cast<std::ptrdiff_t>(paddings.size())) {
    return w.set(node, w.input(node, 0));
  }
  const Shape shape{static_cast<int64_t>(before.size()), 2};
  w.set(node, w.add("Pad", {w.input(node, 0), w.constant(Tensor::from<int32_t>(shape, paddings))}));
}

void broadcast_to(TensorflowWriter& w, const Node& node) {
  const Value x = node.input(0);
  const Shape& shape = node.output_type().shape;
  if (shape == x.shape()) return w.set(node, w.input(node, 0));
  if (shape.is_known()) {
    return w.set(node, w.add("BroadcastTo", {w.input(node, 0), w.numbers(sizes_of(shape))}));
  }
  // Aligned at the right: sizes that are not known are those of x.
  const TensorflowValue found = w.shape_of(x);
  TensorflowValues parts;
  const int added = shape.rank() - x.shape().rank();
  for (int i = 0; i < shape.rank(); ++i) {
    parts.push_back(shape[i] >= 0 ? w.numbers({shape[i]}) : w.slice(found, {i - added}, {1}));
  }
  if (parts.size() > 1) {
    parts.push_back(w.number(0));
    parts = {w.add("ConcatV2", parts)};
  }
  w.set(node, w.add("BroadcastTo", {w.input(node, 0), parts[0]}));
}

void broadcast_like(TensorflowWriter& w, const Node& node) {
  if (node.attribute<bool>("average")) throw TranslationError("it is of trainings only");
  const Value x = node.input(0), like = node.input(1);
  if (x.shape().is_known() && x.shape() == like.shape()) return w.set(node, w.input(node, 0));
  w.set(node, w.add("BroadcastTo", {w.input(node, 0), w.shape_of(like)}));
}

}  // namespace trireme::formats::to_tensorflow
