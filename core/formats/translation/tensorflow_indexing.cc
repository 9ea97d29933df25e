// Ops that pick elements by number.
#include <limits>

#include "core/formats/translation/tensorflow_cells.h"

namespace trireme::formats::to_tensorflow {
namespace {

// The number of rows of `like`, i32[].
TensorflowValue rows_of(TensorflowWriter& w, Value like) {
  const int64_t rows = like.shape()[0];
  if (rows >= 0) return w.number(rows);
  return w.add("Reshape", {w.slice(w.shape_of(like), {0}, {1}), w.numbers({})});
}

TensorflowValue unsigned_number(TensorflowWriter& w, uint64_t value) {
  tf::TensorProto proto;
  proto.set_dtype(tf::DT_UINT64);
  proto.mutable_tensor_shape();
  proto.add_uint64_val(value);
  return w.add("Const", {}, {{"value", proto}, {"dtype", tf::DT_UINT64}});
}

}  // namespace

void gather(TensorflowWriter& w, const Node& node) {
  w.set(node, w.add("GatherV2", {w.input(node, 0), w.input(node, 1), w.number(0)},
                    {{"batch_dims", int64_t{0}}}));
}

void gather_axis(TensorflowWriter& w, const Node& node) {
  w.set(node, w.add("GatherV2",
                    {w.input(node, 0), w.input(node, 1), w.number(node.attribute<int64_t>("axis"))},
                    {{"batch_dims", node.attribute<int64_t>("batch_dims")}}));
}

void flat_index(TensorflowWriter& w, const Node& node) {
  const Shape &indices = node.input(0).shape(), &like = node.input(1).shape();
  const int64_t axes = indices.dim(-1);
  if (axes < 0) throw TranslationError("a number of coordinates that is not known");
  std::vector<int64_t> strides(static_cast<size_t>(axes), 1);
  for (int64_t i = axes - 1; i > 0; --i) {
    const int64_t size = like[static_cast<int>(i)];
    if (size < 0) throw TranslationError("an indexed axis other than the first of unknown size");
    strides[static_cast<size_t>(i - 1)] = strides[static_cast<size_t>(i)] * size;
  }
  const TensorflowValue wide = w.cast(w.input(node, 0), tf::DT_INT64);
  const TensorflowValue products =
      w.add("Mul", {wide, w.constant(Tensor::from<int64_t>({axes}, strides))});
  w.set(node, w.add("Sum", {products, w.numbers({indices.rank() - 1})}, {{"keep_dims", false}}));
}

void scatter_add(TensorflowWriter& w, const Node& node) {
  w.set(node, w.add("UnsortedSegmentSum",
                    {w.input(node, 1), w.input(node, 0), rows_of(w, node.input(2))}));
}

void segment_max(TensorflowWriter& w, const Node& node) {
  const TensorflowValue y =
      w.add("UnsortedSegmentMax", {w.input(node, 0), w.input(node, 1), rows_of(w, node.input(2))});
  if (!is_floating(node.input(0).dtype())) return w.set(node, y);
  // Of no rows TensorFlow gives the lowest finite number.
  const TensorflowValue lowest = w.scalar(y.type, -std::numeric_limits<double>::infinity());
  const TensorflowValue rows =
      w.add("UnsortedSegmentSum",
            {w.add("OnesLike", {w.input(node, 1)}), w.input(node, 1), rows_of(w, node.input(2))});
  std::vector<int64_t> column(static_cast<size_t>(node.input(2).shape().rank()), 1);
  column[0] = -1;
  const TensorflowValue is_empty =
      w.add("Equal", {w.reshape(rows, column), w.scalar(rows.type, 0)});
  w.set(node, w.add("SelectV2", {is_empty, lowest, y}));
}

void one_hot(TensorflowWriter& w, const Node& node) {
  const tf::DataType type = tensorflow_type(node.attribute<DType>("dtype"));
  w.set(node, w.add("OneHot",
                    {w.input(node, 0), w.number(node.attribute<int64_t>("depth")),
                     w.scalar(type, 1), w.scalar(type, 0)},
                    {{"axis", int64_t{-1}}}));
}

// As core/device/hash_bucket.h has it; numbers without a sign wrap around.
void hash_bucket(TensorflowWriter& w, const Node& node) {
  const auto salt = static_cast<uint64_t>(node.attribute<int64_t>("salt"));
  const auto number = [&](uint64_t value) { return unsigned_number(w, value); };
  const TensorflowValue wide = w.cast(w.input(node, 0), tf::DT_INT64);
  TensorflowValue z = w.cast(wide, tf::DT_UINT64);
  z = w.add("AddV2", {z, number((salt + 1) * 0x9e3779b97f4a7c15u)});
  const auto mixed = [&](uint64_t shift) {
    return w.add("BitwiseXor", {z, w.add("RightShift", {z, number(shift)})});
  };
  z = w.add("Mul", {mixed(30), number(0xbf58476d1ce4e5b9u)});
  z = w.add("Mul", {mixed(27), number(0x94d049bb133111ebu)});
  z = w.add("FloorMod",
            {mixed(31), number(static_cast<uint64_t>(node.attribute<int64_t>("buckets")))});
  w.set(node, w.cast(z, tf::DT_INT64));
}

}  // namespace trireme::formats::to_tensorflow
