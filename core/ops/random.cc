// Random numbers as pure functions of (seed, step, example, position in the example): see
// core/device/random_rows.h.
//
// `key` is i64[2]: the step, and the global index of the example in row 0. A row is all that
// belongs to one index of axis 0. So a job draws the same numbers however its batch is split over
// workers, and a kernel may draw in any order. Since equal inputs give equal numbers, these ops are
// not stateful.
#include "core/ops/register.h"
#include "core/ops/rules.h"

namespace trireme::ops {
namespace {

void require_key(const InferenceContext& c, int input) {
  c.require(c.dtype(input) == DType::kInt64 && c.shape(input) == Shape{2},
            "a key of i64[2], {step, index of the first example}");
}

// `like` lends its type only.
OpDef random_like(std::string name) {
  return {
      .name = std::move(name),
      .min_inputs = 2,
      .max_inputs = 2,
      .attributes = {attribute<int64_t>("seed")},
      .infer =
          [](const InferenceContext& c) {
            require_key(c, 0);
            c.require_floating(1);
            return Types{c.input(1)};
          },
      .traits = {.kernel_dtype_input = -1, .shape_inputs = {1}},
  };
}

// Each element is dropped (0) with probability `rate`, the others are divided by 1 − rate
// (Srivastava et al. 2014). The gradient is the same op with the same key and seed, hence the same
// mask.
OpDef dropout_op() {
  return {
      .name = "Dropout",
      .min_inputs = 2,
      .max_inputs = 2,
      .attributes = {attribute<double>("rate").in(from_below(0, 1)), attribute<int64_t>("seed")},
      .infer =
          [](const InferenceContext& c) {
            c.require_floating();
            require_key(c, 1);
            return Types{c.input(0)};
          },
      .gradient =
          [](GradientContext& g) {
            g.set_grad(0, dropout(g.grad_of_output(), g.input(1), g.attribute<double>("rate"),
                                  g.attribute<int64_t>("seed")));
          },
      .traits = {.in_place_inputs = {0}, .precision = PrecisionClass::kFollow},
  };
}

}  // namespace

Value random_uniform(Value key, Value like, int64_t seed) {
  return build("RandomUniform", {key, like}, {{"seed", seed}});
}

Value random_normal(Value key, Value like, int64_t seed) {
  return build("RandomNormal", {key, like}, {{"seed", seed}});
}

Value random_truncated_normal(Value key, Value like, int64_t seed) {
  return build("RandomTruncatedNormal", {key, like}, {{"seed", seed}});
}

Value random_integers(Value key, Value like, int64_t seed, int64_t low, int64_t high) {
  if (low >= high || high - low > (int64_t{1} << 24)) {
    throw invalid_argument("random_integers: expected a range of 1 to 2^24 numbers; found [", low,
                           ", ", high, ")");
  }
  const Value u = random_uniform(key, fill_like(cast(like, DType::kFloat32), 0), seed);
  const Value drawn = cast(u * constant_like(u, static_cast<double>(high - low)), DType::kInt64);
  return drawn + constant_like(drawn, static_cast<double>(low));
}

Value categorical(Value logits, Value key, int64_t seed) {
  // The largest of logits + Gumbel noise (Maddison et al. 2014), in f32: rounded to 16 bits a
  // number below 1 may be 1, which is infinite noise. A 0 makes −∞, which is never the largest.
  if (logits.defined() && size_of(logits.dtype()) < 4) logits = cast(logits, DType::kFloat32);
  const Value noise = negate(log(negate(log(random_uniform(key, logits, seed)))));
  return argmax(logits + noise, -1);
}

Value dropout(Value x, Value key, double rate, int64_t seed) {
  return build("Dropout", {x, key}, {{"rate", rate}, {"seed", seed}});
}

}  // namespace trireme::ops

namespace trireme {

void register_random_ops(OpTable& table) {
  table.add(ops::random_like("RandomUniform"));
  table.add(ops::random_like("RandomNormal"));
  table.add(ops::random_like("RandomTruncatedNormal"));
  table.add(ops::dropout_op());
}

}  // namespace trireme
