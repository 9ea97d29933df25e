// Normalisation, in f32 where the input is of 16 bits.
#include "core/formats/translation/tensorflow_cells.h"

namespace trireme::formats::to_tensorflow {
namespace {

struct Statistics {
  TensorflowValue mean, variance, centred;
};

// Over `axes`, which stay with size 1.
Statistics statistics_of(TensorflowWriter& w, const TensorflowValue& x,
                         const std::vector<int64_t>& axes) {
  const auto mean_of = [&](const TensorflowValue& v) {
    return w.add("Mean", {v, w.numbers(axes)}, {{"keep_dims", true}});
  };
  const TensorflowValue mean = mean_of(x);
  const TensorflowValue centred = w.add("Sub", {x, mean});
  return {mean, mean_of(w.add("Square", {centred})), centred};
}

TensorflowValue root(TensorflowWriter& w, const TensorflowValue& variance, double epsilon) {
  return w.add("Rsqrt", {w.add("AddV2", {variance, w.scalar(variance.type, epsilon)})});
}

}  // namespace

void layer_norm(TensorflowWriter& w, const Node& node) {
  const TensorflowValue given = w.input(node, 0), gamma = w.input(node, 1);
  const TensorflowValue x = w.cast(given, gamma.type);
  const Statistics s = statistics_of(w, x, {node.input(0).shape().rank() - 1});
  const TensorflowValue r = root(w, s.variance, node.attribute<double>("epsilon"));
  const TensorflowValue scaled = w.add("Mul", {w.add("Mul", {s.centred, r}), gamma});
  w.set(node, w.cast(w.add("AddV2", {scaled, w.input(node, 2)}), given.type));
}

void batch_norm(TensorflowWriter& w, const Node& node) {
  const TensorflowValue given = w.input(node, 0), scale = w.input(node, 1);
  const TensorflowValue x = w.cast(given, scale.type);
  std::vector<int64_t> axes;
  for (int i = 0; i + 1 < node.input(0).shape().rank(); ++i) axes.push_back(i);
  const Statistics s = statistics_of(w, x, axes);
  const TensorflowValue r = root(w, s.variance, node.attribute<double>("epsilon"));
  const TensorflowValue scaled = w.add("Mul", {w.add("Mul", {s.centred, r}), scale});
  w.set(node, 0, w.cast(w.add("AddV2", {scaled, w.input(node, 2)}), given.type));
  w.set(node, 1, w.reshape(s.mean, {-1}));
  w.set(node, 2, w.reshape(s.variance, {-1}));
}

}  // namespace trireme::formats::to_tensorflow
