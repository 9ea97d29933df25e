#include "core/eager/ops.h"

#include "core/base/error.h"

namespace trireme::eager {
namespace {

using In = std::span<const trireme::Value>;
using Out = std::vector<trireme::Value>;

Value run(Builder builder, std::initializer_list<const Value*> inputs, const Words& words = {}) {
  Value result;
  Context::current().call(builder, inputs, words, std::span(&result, 1));
  return result;
}

// Sizes behind a flag.
Words flagged(bool flag, std::span<const int64_t> sizes) {
  return Words{flag ? 1 : 0}.append(sizes);
}

}  // namespace

#define TRIREME_UNARY(op, function, ...)                                             \
  Value function(const Value& x) {                                                   \
    return run([](In in, const Words&) { return Out{ops::function(in[0])}; }, {&x}); \
  }
#define TRIREME_BINARY(op, function, ...)                                                       \
  Value function(const Value& a, const Value& b) {                                              \
    return run([](In in, const Words&) { return Out{ops::function(in[0], in[1])}; }, {&a, &b}); \
  }
#include "core/ops/elementwise_rows.h"

Value select(const Value& condition, const Value& when_true, const Value& when_false) {
  return run([](In in, const Words&) { return Out{ops::select(in[0], in[1], in[2])}; },
             {&condition, &when_true, &when_false});
}

Value cast(const Value& x, DType dtype) {
  return run([](In in, const Words& w) { return Out{ops::cast(in[0], static_cast<DType>(w[0]))}; },
             {&x}, {static_cast<int64_t>(dtype)});
}

Value matmul(const Value& a, const Value& b, bool transpose_a, bool transpose_b) {
  return run(
      [](In in, const Words& w) { return Out{ops::matmul(in[0], in[1], w[0] != 0, w[1] != 0)}; },
      {&a, &b}, {transpose_a, transpose_b});
}

Value sum(const Value& x, const ops::Axes& axes, bool keep_dims) {
  return run([](In in, const Words& w) { return Out{ops::sum(in[0], w.from(1), w[0] != 0)}; }, {&x},
             flagged(keep_dims, axes));
}

Value mean(const Value& x, const ops::Axes& axes, bool keep_dims) {
  return run([](In in, const Words& w) { return Out{ops::mean(in[0], w.from(1), w[0] != 0)}; },
             {&x}, flagged(keep_dims, axes));
}

Value max(const Value& x, const ops::Axes& axes, bool keep_dims) {
  return run([](In in, const Words& w) { return Out{ops::max(in[0], w.from(1), w[0] != 0)}; }, {&x},
             flagged(keep_dims, axes));
}

Value argmax(const Value& x, int64_t axis) {
  return run([](In in, const Words& w) { return Out{ops::argmax(in[0], w[0])}; }, {&x}, {axis});
}

Value reshape(const Value& x, const Shape& shape) {
  return run([](In in, const Words& w) { return Out{ops::reshape(in[0], Shape(w.from(0)))}; }, {&x},
             Words().append(shape.dims()));
}

Value expand_dims(const Value& x, const ops::Axes& axes) {
  return run([](In in, const Words& w) { return Out{ops::expand_dims(in[0], w.from(0))}; }, {&x},
             Words().append(axes));
}

Value squeeze(const Value& x, const ops::Axes& axes) {
  return run([](In in, const Words& w) { return Out{ops::squeeze(in[0], w.from(0))}; }, {&x},
             Words().append(axes));
}

Value transpose(const Value& x, const ops::Axes& permutation) {
  return run([](In in, const Words& w) { return Out{ops::transpose(in[0], w.from(0))}; }, {&x},
             Words().append(permutation));
}

Value concat(std::span<const Value> parts, int64_t axis) {
  std::vector<const Value*> inputs;
  for (const Value& part : parts) inputs.push_back(&part);
  Value result;
  Context::current().call(
      [](In in, const Words& w) {
        return Out{ops::concat({in.begin(), in.end()}, w[0])};
      },
      inputs, {axis}, std::span(&result, 1));
  return result;
}

Value gather(const Value& params, const Value& indices) {
  return run([](In in, const Words&) { return Out{ops::gather(in[0], in[1])}; },
             {&params, &indices});
}

Value one_hot(const Value& indices, int64_t depth) {
  return run([](In in, const Words& w) { return Out{ops::one_hot(in[0], w[0])}; }, {&indices},
             {depth});
}

Value zeros_like(const Value& x) {
  return run([](In in, const Words&) { return Out{ops::zeros_like(in[0])}; }, {&x});
}

Value ones_like(const Value& x) {
  return run([](In in, const Words&) { return Out{ops::ones_like(in[0])}; }, {&x});
}

Value stop_gradient(const Value& x) {
  return run([](In in, const Words&) { return Out{ops::stop_gradient(in[0])}; }, {&x});
}

Value softmax(const Value& logits) {
  return run([](In in, const Words&) { return Out{ops::softmax(in[0])}; }, {&logits});
}

Value log_softmax(const Value& logits) {
  return run([](In in, const Words&) { return Out{ops::log_softmax(in[0])}; }, {&logits});
}

Value sparse_softmax_cross_entropy(const Value& logits, const Value& labels) {
  return run(
      [](In in, const Words&) { return Out{ops::sparse_softmax_cross_entropy(in[0], in[1])}; },
      {&logits, &labels});
}

std::vector<Value> apply(Builder builder, std::initializer_list<const Value*> inputs,
                         const Words& words, size_t outputs) {
  std::vector<Value> results(outputs);
  Context::current().call(builder, inputs, words, results);
  return results;
}

Value operator+(const Value& a, const Value& b) { return add(a, b); }
Value operator-(const Value& a, const Value& b) { return subtract(a, b); }
Value operator*(const Value& a, const Value& b) { return multiply(a, b); }
Value operator/(const Value& a, const Value& b) { return divide(a, b); }
Value operator-(const Value& x) { return negate(x); }

#define TRIREME_WITH_NUMBER(symbol)                       \
  Value operator symbol(const Value& a, double b) {       \
    return a symbol Context::current().number_like(a, b); \
  }                                                       \
  Value operator symbol(double a, const Value& b) {       \
    return Context::current().number_like(b, a) symbol b; \
  }
TRIREME_WITH_NUMBER(+)
TRIREME_WITH_NUMBER(-)
TRIREME_WITH_NUMBER(*)
TRIREME_WITH_NUMBER(/)
#undef TRIREME_WITH_NUMBER

}  // namespace trireme::eager
