// Scaled dot-product attention (Vaswani et al. 2017) that does not store the scores (Dao et al.
// 2022).
#include "core/ops/attention.h"

#include <algorithm>
#include <cmath>

#include "core/ops/register.h"
#include "core/ops/rules.h"

namespace trireme {
namespace {

DType sums_dtype(DType x) {
  return x == DType::kFloat16 || x == DType::kBFloat16 ? DType::kFloat32 : x;
}

bool known(int64_t size) { return size >= 0; }
bool same(int64_t a, int64_t b) { return a == b || a < 0 || b < 0; }

std::vector<AttributeDef> attention_attributes() {
  return {attribute<bool>("causal"), attribute<double>("scale").in(above(0)),
          // Of a packed input; 0: q, k and v are inputs of their own.
          attribute<int64_t>("kv_heads").in(at_least(0)).or_else(int64_t{0})};
}

// Shapes of the operands, from inputs `first` on.
struct Operands {
  bool packed;
  int q, k, v, mask;  // inputs; mask: −1 for none
  int64_t batch, q_len, k_len, heads, kv_heads, dim, value_dim;
};

int operand_count(bool packed) { return packed ? 1 : 3; }

Operands operands_of(const InferenceContext& c, int first) {
  Operands o{};
  const int64_t kv_heads = c.attribute<int64_t>("kv_heads");
  o.packed = kv_heads > 0;
  const int count = operand_count(o.packed);
  c.require(c.input_count() == first + count || c.input_count() == first + count + 1,
            o.packed ? "the packed q, k and v, and maybe a mask" : "q, k, v, and maybe a mask");
  o.q = first;
  o.k = o.packed ? first : first + 1;
  o.v = o.packed ? first : first + 2;
  o.mask = c.input_count() > first + count ? first + count : -1;
  for (int i = first; i < first + count; ++i) {
    c.require_floating(i);
    c.require(c.dtype(i) == c.dtype(first), "q, k and v of one dtype");
    c.require(c.shape(i).rank() == 4, o.packed ? "[batch, length, heads + 2·kv_heads, d]"
                                               : "q, k and v [batch, length, heads, d]");
  }
  const Shape &q = c.shape(o.q), &k = c.shape(o.k), &v = c.shape(o.v);
  o.batch = known(q[0]) ? q[0] : known(k[0]) ? k[0] : v[0];
  o.q_len = q[1];
  o.k_len = known(k[1]) ? k[1] : v[1];
  o.heads = o.packed ? q[2] - 2 * kv_heads : q[2];
  o.kv_heads = o.packed ? kv_heads : k[2];
  o.dim = q[3];
  o.value_dim = v[3];
  c.require(o.heads > 0 && o.kv_heads > 0 && o.heads % o.kv_heads == 0,
            "a number of heads that is a multiple of that of k and v");
  c.require(o.dim > 0 && o.value_dim > 0, "heads of a known size above 0");
  if (!o.packed) {
    c.require(k[3] == o.dim, "keys as long as queries");
    c.require(v[2] == o.kv_heads && same(k[1], v[1]), "as many values as keys");
    c.require(same(q[0], k[0]) && same(q[0], v[0]) && same(k[0], v[0]), "q, k and v of one batch");
  }
  if (o.mask >= 0) {
    const Shape& mask = c.shape(o.mask);
    const auto fits = [](int64_t size, int64_t wanted) { return size == 1 || same(size, wanted); };
    c.require(c.dtype(o.mask) == DType::kBool && mask.rank() == 4 && fits(mask[0], o.batch) &&
                  fits(mask[1], o.heads) && fits(mask[2], o.q_len) && same(mask[3], o.k_len),
              "a bool mask [batch or 1, heads or 1, q_len or 1, k_len]");
  }
  return o;
}

TensorType log_sum_exp_type(const InferenceContext& c, const Operands& o) {
  return {sums_dtype(c.dtype(o.q)), {o.batch, o.heads, o.q_len}};
}
TensorType result_type(const InferenceContext& c, const Operands& o) {
  return {c.dtype(o.q), {o.batch, o.q_len, o.heads, o.value_dim}};
}

// --- the same by products, in which each axis is one of the score matrix

// q [batch, kv_heads, group, q_len, d]; k, v [batch, kv_heads, 1, k_len, d].
struct Split {
  Value q, k, v;
  int64_t heads, kv_heads, q_len, k_len;
  int64_t group() const { return heads / kv_heads; }
};

// [batch, length, heads, d] → [batch, kv_heads, heads/kv_heads, length, d]
Value by_heads(Value x, int64_t kv_heads) {
  const Shape& shape = x.shape();
  const int64_t group = shape[2] / kv_heads;
  return ops::transpose(ops::reshape(x, {-1, shape[1], kv_heads, group, shape[3]}),
                        {0, 2, 3, 1, 4});
}
// And back.
Value by_positions(Value x) {
  const Shape& shape = x.shape();
  return ops::reshape(ops::transpose(x, {0, 3, 1, 2, 4}),
                      {-1, shape[3], shape[1] * shape[2], shape[4]});
}

Split split_operands(Value q, Value k, Value v) {
  const Shape &qs = q.shape(), &ks = k.shape();
  if (!known(qs[1]) || !known(ks[1]) || !known(v.shape()[1])) {
    throw invalid_argument("attention by products: expected known lengths, found queries ",
                           q.type(), " and keys ", k.type());
  }
  const int64_t kv_heads = ks[2];
  return {by_heads(q, kv_heads),
          by_heads(k, kv_heads),
          by_heads(v, kv_heads),
          qs[2],
          kv_heads,
          qs[1],
          ks[1]};
}

// Which keys each query sees, broadcast to [batch, kv_heads, group, q_len, k_len]; undefined: all.
Value seen_keys(Graph& graph, const Split& s, bool causal, Value mask) {
  Value seen;
  if (causal) {
    Tensor triangle = Tensor::zeros(DType::kBool, {s.q_len, s.k_len});
    for (int64_t i = 0; i < s.q_len; ++i) {
      std::fill_n(triangle.flat<bool>().data() + i * s.k_len, std::min(i + 1, s.k_len), true);
    }
    seen = ops::constant(graph, triangle);
  }
  if (mask.defined()) {
    const Shape& shape = mask.shape();
    const bool by_head = shape[1] != 1;
    const Value wide = ops::reshape(
        mask, {-1, by_head ? s.kv_heads : 1, by_head ? s.group() : 1, shape[2], shape[3]});
    seen = seen.defined() ? ops::logical_and(seen, wide) : wide;
  }
  return seen;
}

Value only_where(Value seen, Value x, double otherwise) {
  return seen.defined() ? ops::select(seen, x, ops::fill_like(x, otherwise)) : x;
}

Value scaled_products(Value a, Value b, double scale) {
  return ops::matmul(a, b, false, true) * ops::scalar(a.graph(), a.dtype(), scale);
}

// The operands of a node in wide floats, and what its gradient rules share.
struct Scores {
  Value q, k, v;  // as the op has them
  Split s;
  Value shares;  // e^(scores − log_sum_exp), 0 where a key is not seen
  double scale;
};

Value wide(Value x) { return ops::cast(x, sums_dtype(x.dtype())); }

Scores scores_of(GradientContext& g, int first, Value log_sum_exp) {
  const int64_t kv_heads = g.attribute<int64_t>("kv_heads");
  const int count = operand_count(kv_heads > 0);
  const bool has_mask = static_cast<int>(g.node().inputs().size()) > first + count;
  Scores x{};
  x.scale = g.attribute<double>("scale");
  if (kv_heads > 0) {
    const Value packed = wide(g.input(first));
    const int64_t heads = packed.shape()[2] - 2 * kv_heads;
    const auto part = [&](int64_t from, int64_t size) {
      return ops::slice(packed, {0, 0, from, 0}, {-1, -1, size, -1});
    };
    x.q = part(0, heads);
    x.k = part(heads, kv_heads);
    x.v = part(heads + kv_heads, kv_heads);
  } else {
    x.q = wide(g.input(first));
    x.k = wide(g.input(first + 1));
    x.v = wide(g.input(first + 2));
  }
  x.s = split_operands(x.q, x.k, x.v);
  const Value seen = seen_keys(g.graph(), x.s, g.attribute<bool>("causal"),
                               has_mask ? g.input(first + count) : Value());
  const Value lse = ops::reshape(log_sum_exp, {-1, x.s.kv_heads, x.s.group(), x.s.q_len, 1});
  // What is not seen must not become e^∞ on the way: its gradient would be no number.
  const Value exponent = scaled_products(x.s.q, x.s.k, x.scale) - lse;
  x.shares = only_where(seen, ops::exp(only_where(seen, exponent, 0)), 0);
  return x;
}

Value over_group(Value x) { return ops::sum(x, {2}, true); }

// Sets the gradients of the operands, given by heads.
void set_operand_grads(GradientContext& g, int first, Value dq, Value dk, Value dv) {
  const DType dtype = g.input(first).dtype();
  dq = by_positions(dq);
  dk = by_positions(dk);
  dv = by_positions(dv);
  if (g.attribute<int64_t>("kv_heads") > 0) {
    g.set_grad(first, ops::cast(ops::concat({dq, dk, dv}, 2), dtype));
    return;
  }
  g.set_grad(first, ops::cast(dq, dtype));
  g.set_grad(first + 1, ops::cast(dk, dtype));
  g.set_grad(first + 2, ops::cast(dv, dtype));
}

void attention_gradient(GradientContext& g) {
  const int64_t kv_heads = g.attribute<int64_t>("kv_heads");
  const int count = operand_count(kv_heads > 0);
  std::vector<Value> sums(static_cast<size_t>(count));
  if (g.has_grad_of_output(0)) {
    std::vector<Value> inputs = {g.grad_of_output(0), g.output(0), g.output(1)};
    inputs.insert(inputs.end(), g.node().inputs().begin(), g.node().inputs().end());
    Node& grad = g.graph().add("AttentionGrad", inputs, g.node().attributes());
    for (int i = 0; i < count; ++i) sums[static_cast<size_t>(i)] = grad.output(i);
  }
  if (g.has_grad_of_output(1)) {
    // Only where somebody differentiates twice or uses the sums: by products.
    const Scores x = scores_of(g, 0, g.output(1));
    const Value upstream =
        ops::reshape(wide(g.grad_of_output(1)), {-1, x.s.kv_heads, x.s.group(), x.s.q_len, 1});
    const Value ds = x.shares * upstream * ops::scalar(g.graph(), x.q.dtype(), x.scale);
    set_operand_grads(g, 0, ops::matmul(ds, x.s.k), over_group(ops::matmul(ds, x.s.q, true, false)),
                      ops::zeros_like(x.s.v));
    for (int i = 0; i < count; ++i) {
      Value& sum = sums[static_cast<size_t>(i)];
      const Value more = g.input_gradients()[static_cast<size_t>(i)].values;
      sum = sum.defined() ? sum + more : more;
    }
  }
  for (int i = 0; i < count; ++i) g.set_grad(i, sums[static_cast<size_t>(i)]);
}

// softmax(scale·q·kᵀ)·v for each head; the score matrix is never stored.
// q: [batch, q_len, heads, d], k: [batch, k_len, kv_heads, d], v: [batch, k_len, kv_heads, e]
// floating, heads a multiple of kv_heads; or with kv_heads > 0 all of them packed: [batch, length,
// heads + 2·kv_heads, d]. mask, which may be left out: bool [batch or 1, heads or 1, q_len or 1,
// k_len]. Outputs: y [batch, q_len, heads, e]; the logarithm of each query's sum [batch, heads,
// q_len] (−∞ where it sees no key, and y is 0), f32 for 16-bit floats.
OpDef attention_op() {
  return {
      .name = "Attention",
      .min_inputs = 1,
      .max_inputs = 4,
      .attributes = attention_attributes(),
      .infer = [](const InferenceContext& c) -> std::vector<TensorType> {
        const Operands o = operands_of(c, 0);
        return {result_type(c, o), log_sum_exp_type(c, o)};
      },
      .gradient = attention_gradient,
      .traits = {.precision = PrecisionClass::kProduct, .has_small_by_f32 = true},
  };
}

// The gradient of Attention's y for its operands. dy, y: [batch, q_len, heads, e]; log_sum_exp:
// [batch, heads, q_len]; then Attention's inputs. With s = scale·q·kᵀ, p = e^(s − log_sum_exp):
//   dv = pᵀ·dy; ds = p∘(dy·vᵀ − Σ dy∘y); dq = scale·ds·k; dk = scale·dsᵀ·q.
// Outputs: one of the type of each operand.
OpDef attention_grad_op() {
  return {
      .name = "AttentionGrad",
      .min_inputs = 4,
      .max_inputs = 7,
      .attributes = attention_attributes(),
      .infer = [](const InferenceContext& c) -> std::vector<TensorType> {
        const Operands o = operands_of(c, 3);
        const TensorType y = result_type(c, o), sums = log_sum_exp_type(c, o);
        for (int i : {0, 1}) {
          c.require(c.dtype(i) == y.dtype && compatible(c.shape(i), y.shape),
                    "dy and y of the type of Attention's y");
        }
        c.require(c.dtype(2) == sums.dtype && compatible(c.shape(2), sums.shape),
                  "log_sum_exp of the type that Attention gives");
        std::vector<TensorType> types = {c.input(o.q)};
        if (!o.packed) types.insert(types.end(), {c.input(o.k), c.input(o.v)});
        return types;
      },
      .gradient =
          [](GradientContext& g) {
            const Value dy_given = g.input(0), y_given = g.input(1), lse = g.input(2);
            const Scores x = scores_of(g, 3, lse);
            const Value scale = ops::scalar(g.graph(), x.q.dtype(), x.scale);
            const Value dy = by_heads(wide(dy_given), x.s.kv_heads),
                        y = by_heads(wide(y_given), x.s.kv_heads);
            const Value p = x.shares, q = x.s.q, k = x.s.k, v = x.s.v;
            // The upstream gradients, by heads: a of dq, b of dk, c of dv.
            Value a, b, c;
            if (g.attribute<int64_t>("kv_heads") > 0) {
              const Value u = wide(g.grad_of_output(0));
              const auto part = [&](int64_t from, int64_t size) {
                return by_heads(ops::slice(u, {0, 0, from, 0}, {-1, -1, size, -1}), x.s.kv_heads);
              };
              a = part(0, x.s.heads);
              b = part(x.s.heads, x.s.kv_heads);
              c = part(x.s.heads + x.s.kv_heads, x.s.kv_heads);
            } else {
              const auto upstream = [&](int i, Value like) {
                return g.has_grad_of_output(i) ? by_heads(wide(g.grad_of_output(i)), x.s.kv_heads)
                                               : ops::zeros_like(like);
              };
              a = upstream(0, q);
              b = upstream(1, k);
              c = upstream(2, v);
            }
            const Value centred = ops::matmul(dy, v, false, true) - ops::sum(dy * y, {-1}, true);
            const Value ds = p * centred;
            const Value of_ds =
                (ops::matmul(a, k, false, true) + ops::matmul(q, b, false, true)) * scale;
            const Value of_products = of_ds * p;                                  // of dy·vᵀ
            const Value of_dot = ops::negate(ops::sum(of_products, {-1}, true));  // of Σ dy∘y
            const Value of_p = ops::matmul(dy, c, false, true) + of_ds * centred;
            const Value of_scores = of_p * p;
            const DType dtype = dy_given.dtype();
            g.set_grad(0, ops::cast(by_positions(ops::matmul(p, c) + ops::matmul(of_products, v) +
                                                 of_dot * y),
                                    dtype));
            g.set_grad(1, ops::cast(by_positions(of_dot * dy), dtype));
            g.set_grad(2, ops::reshape(ops::negate(ops::sum(of_scores, {-1}, true)),
                                       {-1, x.s.heads, x.s.q_len}));
            set_operand_grads(g, 3, (ops::matmul(ds, b) + ops::matmul(of_scores, k)) * scale,
                              over_group(ops::matmul(ds, a, true, false) +
                                         ops::matmul(of_scores, q, true, false)) *
                                  scale,
                              over_group(ops::matmul(of_products, dy, true, false)));
          },
      .traits = {.precision = PrecisionClass::kProduct, .has_small_by_f32 = true},
  };
}

}  // namespace

void register_attention_ops(OpTable& table) {
  table.add(attention_op());
  table.add(attention_grad_op());
}

namespace ops {
namespace {

AttentionOutputs build_attention(std::vector<Value> inputs, int64_t kv_heads,
                                 const AttentionOptions& options) {
  const Value first = inputs[0];
  if (options.mask.defined()) inputs.push_back(options.mask);
  const double dim = first.shape().rank() == 4 ? static_cast<double>(first.shape()[3]) : 1;
  Node& node =
      first.graph().add("Attention", std::move(inputs),
                        {{"causal", options.causal},
                         {"scale", options.scale.value_or(1 / std::sqrt(std::max(dim, 1.0)))},
                         {"kv_heads", kv_heads}});
  return {node.output(0), node.output(1)};
}

}  // namespace

AttentionOutputs attention(Value q, Value k, Value v, const AttentionOptions& options) {
  return build_attention({q, k, v}, 0, options);
}

AttentionOutputs packed_attention(Value qkv, int64_t kv_heads, const AttentionOptions& options) {
  if (kv_heads < 1) throw invalid_argument("packed attention: kv_heads must be at least 1");
  return build_attention({qkv}, kv_heads, options);
}

ComposedAttention composed_attention(Value q, Value k, Value v,
                                     const ComposedAttentionOptions& options) {
  for (Value x : {q, k, v}) {
    if (x.shape().rank() != 4) {
      throw invalid_argument("attention: expected [batch, length, heads, d], found ", x.type());
    }
  }
  const Split s = split_operands(q, k, v);
  const double scale =
      options.attention.scale.value_or(1 / std::sqrt(static_cast<double>(q.shape()[3])));
  Value scores = scaled_products(s.q, s.k, scale);
  const auto by_group = [&](Value x) {  // [batch, heads, q_len, k_len] → and the group
    const Shape& shape = x.shape();
    const bool by_head = shape[1] != 1;
    return reshape(x, {-1, by_head ? s.kv_heads : 1, by_head ? s.group() : 1, shape[2], shape[3]});
  };
  if (options.bias.defined()) scores = scores + by_group(options.bias);
  const Value seen = seen_keys(q.graph(), s, options.attention.causal, options.attention.mask);
  // Large beside any score, and small enough that a sum with it stays finite in every dtype.
  constexpr double kUnseen = -3e4;
  Value shares = softmax(only_where(seen, scores, kUnseen));
  if (seen.defined()) shares = only_where(seen, shares, 0);
  const Value flat = reshape(shares, {-1, s.heads, s.q_len, s.k_len});
  if (options.dropout > 0) {
    shares = reshape(dropout(flat, options.random_key, options.dropout, options.seed),
                     {-1, s.kv_heads, s.group(), s.q_len, s.k_len});
  }
  return {by_positions(matmul(shares, s.v)), flat};
}

}  // namespace ops
}  // namespace trireme
