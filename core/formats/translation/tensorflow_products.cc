// Products of matrices, and attention made of them.
#include "core/formats/translation/tensorflow_cells.h"

namespace trireme::formats::to_tensorflow {
namespace {

// The inputs of an Attention, each [batch, heads, length, d], and their sizes.
struct Operands {
  TensorflowValue q, k, v;
  int64_t heads, kv_heads, q_len, k_len, dim, value_dim;
  int mask;  // the input; -1: there is none
};

Operands operands_of(TensorflowWriter& w, const Node& node) {
  const int64_t packed = node.attribute<int64_t>("kv_heads");
  const Shape& q = node.input(0).shape();
  const Shape& k = packed > 0 ? q : node.input(1).shape();
  const Shape& v = packed > 0 ? q : node.input(2).shape();
  Operands o{.q = {},
             .k = {},
             .v = {},
             .heads = packed > 0 ? q[2] - 2 * packed : q[2],
             .kv_heads = packed > 0 ? packed : k[2],
             .q_len = q[1],
             .k_len = k[1],
             .dim = q[3],
             .value_dim = v[3],
             .mask = -1};
  const int operands = packed > 0 ? 1 : 3;
  if (static_cast<int>(node.inputs().size()) > operands) o.mask = operands;
  const auto by_heads = [&](const TensorflowValue& x) { return w.transpose(x, {0, 2, 1, 3}); };
  if (packed > 0) {
    const TensorflowValue all = by_heads(w.input(node, 0));
    const auto part = [&](int64_t from, int64_t size) {
      return w.slice(all, {0, from, 0, 0}, {-1, size, -1, -1});
    };
    o.q = part(0, o.heads);
    o.k = part(o.heads, packed);
    o.v = part(o.heads + packed, packed);
  } else {
    o.q = by_heads(w.input(node, 0));
    o.k = by_heads(w.input(node, 1));
    o.v = by_heads(w.input(node, 2));
  }
  return o;
}

// bool, to be broadcast to [batch, heads, q_len, k_len]: which keys a query sees.
TensorflowValue seen_keys(TensorflowWriter& w, const Node& node, const Operands& o) {
  TensorflowValue seen;
  if (node.attribute<bool>("causal")) {
    const auto range = [&](int input, int64_t length) {
      if (length >= 0) {
        return w.add("Range", {w.number(0), w.number(length), w.number(1)});
      }
      const TensorflowValue size = w.slice(w.shape_of(node.input(input)), {1}, {1});
      return w.add("Range", {w.number(0), w.reshape(size, {}), w.number(1)});
    };
    const int keys = node.attribute<int64_t>("kv_heads") > 0 ? 0 : 1;
    seen = w.add("GreaterEqual",
                 {w.reshape(range(0, o.q_len), {-1, 1}), w.reshape(range(keys, o.k_len), {1, -1})});
  }
  if (o.mask < 0) return seen;
  const TensorflowValue& mask = w.input(node, o.mask);
  return seen.name.empty() ? mask : w.add("LogicalAnd", {seen, mask});
}

}  // namespace

void matmul(TensorflowWriter& w, const Node& node) {
  const Shape &a = node.input(0).shape(), &b = node.input(1).shape();
  const bool ta = node.attribute<bool>("transpose_a"), tb = node.attribute<bool>("transpose_b");
  const auto product = [&](const TensorflowValue& x, const TensorflowValue& y, bool tx, bool ty) {
    return w.add("MatMul", {x, y}, {{"transpose_a", tx}, {"transpose_b", ty}});
  };
  const TensorflowValue x = w.input(node, 0), y = w.input(node, 1);
  if (a.rank() == 2 && b.rank() == 2) return w.set(node, product(x, y, ta, tb));
  const Shape& shape = node.output_type().shape;
  if (b.rank() == 2 && !ta && a.last(a.rank() - 1).is_known() && shape.dim(-1) > 0 &&
      a.dim(-1) > 0) {
    // One product over all rows.
    const TensorflowValue rows = product(w.reshape(x, {-1, a.dim(-1)}), y, false, tb);
    std::vector<int64_t> sizes(shape.begin(), shape.end());
    sizes[0] = shape.last(shape.rank() - 1).elements() > 0 ? -1 : shape[0];
    return w.set(node, w.reshape(rows, sizes));
  }
  w.set(node, w.add("BatchMatMulV2", {x, y}, {{"adj_x", ta}, {"adj_y", tb}}));
}

void bias_add(TensorflowWriter& w, const Node& node) {
  // BiasAdd wants an axis besides that of the bias.
  const bool is_vector = node.input(0).shape().rank() < 2;
  w.set(node, w.add(is_vector ? "AddV2" : "BiasAdd", {w.input(node, 0), w.input(node, 1)}));
}

void pairwise_dots(TensorflowWriter& w, const Node& node) {
  const int64_t n = node.input(0).shape()[1];
  if (n < 0) throw TranslationError("a number of vectors that is not known");
  const TensorflowValue x = w.input(node, 0);
  const TensorflowValue dots = w.add("BatchMatMulV2", {x, x}, {{"adj_x", false}, {"adj_y", true}});
  std::vector<int64_t> pairs;
  for (int64_t i = 0; i < n; ++i) {
    for (int64_t j = 0; j < i; ++j) pairs.push_back(i * n + j);
  }
  w.set(node, w.add("GatherV2", {w.reshape(dots, {-1, n * n}), w.numbers(pairs), w.number(1)},
                    {{"batch_dims", int64_t{0}}}));
}

void attention(TensorflowWriter& w, const Node& node) {
  Operands o = operands_of(w, node);
  const tf::DataType given = o.q.type;
  if (given == tf::DT_HALF || given == tf::DT_BFLOAT16) {
    for (TensorflowValue* x : {&o.q, &o.k, &o.v}) *x = w.cast(*x, tf::DT_FLOAT);
  }
  // Heads that share keys become more rows of queries.
  const int64_t group = o.heads / o.kv_heads;
  const auto require_known = [&](int64_t length) {
    if (length < 0) throw TranslationError("heads that share keys, of a length that is not known");
  };
  const auto regroup = [&](const TensorflowValue& x, int64_t heads, int64_t rows, int64_t width) {
    if (group == 1) return x;
    require_known(o.q_len);
    require_known(o.k_len);
    return w.reshape(x, {-1, heads, rows, width});
  };
  o.q = regroup(o.q, o.kv_heads, group * o.q_len, o.dim);
  const TensorflowValue products =
      w.add("BatchMatMulV2", {o.q, o.k}, {{"adj_x", false}, {"adj_y", true}});
  TensorflowValue scores =
      w.add("Mul", {products, w.scalar(o.q.type, node.attribute<double>("scale"))});
  scores = regroup(scores, o.heads, o.q_len, o.k_len);
  const TensorflowValue seen = seen_keys(w, node, o);
  // Far below any score, and finite: a query that sees no key has equal shares, which become 0.
  constexpr double kUnseen = -1e30;
  if (!seen.name.empty()) {
    scores = w.add("SelectV2", {seen, scores, w.scalar(scores.type, kUnseen)});
  }
  TensorflowValue shares = w.add("Softmax", {scores});
  if (o.mask >= 0) shares = w.add("SelectV2", {seen, shares, w.scalar(shares.type, 0)});
  shares = regroup(shares, o.kv_heads, group * o.q_len, o.k_len);
  TensorflowValue y = w.add("BatchMatMulV2", {shares, o.v}, {{"adj_x", false}, {"adj_y", false}});
  y = regroup(y, o.heads, o.q_len, o.value_dim);
  w.set(node, w.cast(w.transpose(y, {0, 2, 1, 3}), given));
}

}  // namespace trireme::formats::to_tensorflow
