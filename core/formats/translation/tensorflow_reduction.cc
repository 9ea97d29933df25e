// Reductions over axes, running sums and sorting.
#include "core/formats/translation/tensorflow_cells.h"

namespace trireme::formats::to_tensorflow {
namespace {

void reduce(TensorflowWriter& w, const Node& node, std::string_view op) {
  const Ints& axes = node.attribute<Ints>("axes");
  if (axes.empty()) return w.set(node, w.input(node, 0));
  w.set(node, w.add(op, {w.input(node, 0), w.numbers(axes)},
                    {{"keep_dims", node.attribute<bool>("keep_dims")}}));
}

void argument(TensorflowWriter& w, const Node& node, std::string_view op) {
  w.set(node, w.add(op, {w.input(node, 0), w.number(node.attribute<int64_t>("axis"))},
                    {{"output_type", tf::DT_INT64}}));
}

// So that the largest comes last: −x, or for whole numbers −x − 1, which always fits.
TensorflowValue turned(TensorflowWriter& w, const TensorflowValue& x, bool is_whole) {
  const TensorflowValue y = w.add("Neg", {x});
  return is_whole ? w.add("Sub", {y, w.scalar(x.type, 1)}) : y;
}

}  // namespace

void sum(TensorflowWriter& w, const Node& node) { reduce(w, node, "Sum"); }
void mean(TensorflowWriter& w, const Node& node) { reduce(w, node, "Mean"); }
void max(TensorflowWriter& w, const Node& node) { reduce(w, node, "Max"); }
void min(TensorflowWriter& w, const Node& node) { reduce(w, node, "Min"); }
void prod(TensorflowWriter& w, const Node& node) { reduce(w, node, "Prod"); }
void argmax(TensorflowWriter& w, const Node& node) { argument(w, node, "ArgMax"); }
void argmin(TensorflowWriter& w, const Node& node) { argument(w, node, "ArgMin"); }

void sum_like(TensorflowWriter& w, const Node& node) {
  const Shape &from = node.input(0).shape(), &to = node.input(1).shape();
  std::vector<int64_t> axes;
  const int added = from.rank() - to.rank();
  for (int i = 0; i < from.rank(); ++i) {
    const int64_t size = i < added ? 1 : to[i - added];
    if (i >= added && (size < 0) != (from[i] < 0) && size != 1) {
      throw TranslationError("an axis that may be summed or not");
    }
    if (i < added || (size == 1 && from[i] != 1)) axes.push_back(i);
  }
  TensorflowValue y = w.input(node, 0);
  if (!axes.empty()) {
    y = w.add(node.attribute<bool>("average") ? "Mean" : "Sum", {y, w.numbers(axes)},
              {{"keep_dims", false}});
    y = w.add("Reshape", {y, w.shape_of(node.input(1))});
  }
  w.set(node, y);
}

void cumsum(TensorflowWriter& w, const Node& node) {
  const tf::DataType type = w.input(node, 0).type;
  const bool is_narrow = type == tf::DT_HALF || type == tf::DT_BFLOAT16;
  const TensorflowValue x = is_narrow ? w.cast(w.input(node, 0), tf::DT_FLOAT) : w.input(node, 0);
  const TensorflowValue y = w.add("Cumsum", {x, w.number(node.attribute<int64_t>("axis"))},
                                  {{"exclusive", node.attribute<bool>("exclusive")},
                                   {"reverse", node.attribute<bool>("reverse")}});
  w.set(node, w.cast(y, type));
}

void sort(TensorflowWriter& w, const Node& node) {
  const TensorflowValue given = w.input(node, 0);
  const bool is_whole = !is_floating(node.input(0).dtype());
  const bool ascends = !node.attribute<bool>("descending");
  // −x of u8 does not fit.
  TensorflowValue x = given.type == tf::DT_UINT8 ? w.cast(given, tf::DT_INT32) : given;
  if (ascends) x = turned(w, x, is_whole);
  const int64_t count = node.attribute<int64_t>("count"), n = node.input(0).shape().dim(-1);
  TensorflowValue k;
  if (count >= 0 || n >= 0) {
    k = w.number(count >= 0 ? count : n);
  } else {
    const int64_t last = node.input(0).shape().rank() - 1;
    k = w.add("Reshape", {w.slice(w.shape_of(node.input(0)), {last}, {1}), w.numbers({})});
  }
  const TensorflowValues sorted =
      w.add_all("TopKV2", {x, k}, {{"sorted", true}, {"index_type", tf::DT_INT32}});
  w.set(node, 0, w.cast(ascends ? turned(w, sorted[0], is_whole) : sorted[0], given.type));
  w.set(node, 1, w.cast(sorted[1], tf::DT_INT64));
}

}  // namespace trireme::formats::to_tensorflow
