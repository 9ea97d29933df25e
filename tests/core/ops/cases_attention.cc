#include <cmath>

#include "core/base/error.h"
#include "tests/support/op_cases.h"

namespace trireme::testing {
namespace {

struct Sizes {
  const char* label;
  int64_t batch, q_len, k_len, heads, kv_heads, dim, value_dim;
};

// Small ones are differentiated; the rest are there for how kernels cut work up.
const Sizes kSizes[] = {
    {"ones", 1, 1, 1, 1, 1, 1, 1},
    {"small", 1, 2, 3, 1, 1, 2, 1},
    {"two_heads", 1, 2, 2, 2, 2, 1, 2},
    {"grouped", 1, 2, 2, 4, 2, 1, 1},
    {"one_key_head", 1, 3, 2, 2, 1, 1, 1},
    {"more_queries", 1, 3, 1, 1, 1, 2, 2},
    {"more_keys", 1, 2, 6, 2, 1, 1, 1},
    {"odd", 2, 37, 53, 3, 3, 17, 33},
    {"blocks", 1, 53, 401, 2, 1, 16, 16},
    {"one_query", 3, 1, 77, 2, 2, 16, 16},
    {"wide_heads", 1, 19, 23, 2, 1, 130, 70},
    {"few_heads_long", 1, 145, 230, 1, 1, 24, 24},
};

enum Mask { kNone, kByKey, kByQuery, kByHead };

std::string label_of(const Sizes& s, bool causal, Mask mask, bool packed) {
  const char* const masks[] = {"", "_mask", "_mask_by_query", "_mask_by_head"};
  return str_cat(s.label, causal ? "_causal" : "", masks[mask], packed ? "_packed" : "");
}

// The case of Attention, or of its gradient.
OpCase attention_case(const Sizes& s, bool causal, Mask mask, bool packed, bool grad) {
  std::vector<OpInput> inputs;
  if (grad) {
    const double lowest = 1 + std::log(static_cast<double>(s.k_len));
    const Shape y{s.batch, s.q_len, s.heads, s.value_dim};
    inputs = {real(y), real(y, -0.5, 0.5),
              statistic({s.batch, s.heads, s.q_len}, lowest, lowest + 1)};
  }
  if (packed) {
    inputs.push_back(real({s.batch, s.q_len, s.heads + 2 * s.kv_heads, s.dim}));
  } else {
    inputs.push_back(real({s.batch, s.q_len, s.heads, s.dim}));
    inputs.push_back(real({s.batch, s.k_len, s.kv_heads, s.dim}));
    inputs.push_back(real({s.batch, s.k_len, s.kv_heads, s.value_dim}));
  }
  if (mask != kNone) {
    inputs.push_back(fixed(DType::kBool,
                           {mask == kByQuery ? 1 : s.batch, mask == kByHead ? s.heads : 1,
                            mask == kByKey ? 1 : s.q_len, packed ? s.q_len : s.k_len},
                           0, 2));
  }
  OpCase op_case{grad ? "AttentionGrad" : "Attention",
                 label_of(s, causal, mask, packed),
                 std::move(inputs),
                 {{"causal", causal},
                  {"scale", s.dim > 8 ? 0.15 : 0.5},
                  {"kv_heads", packed ? s.kv_heads : int64_t{0}}}};
  // The logarithm of a query that sees no key has no derivative.
  const bool may_see_none = !grad && mask != kNone && (causal || s.k_len < 6);
  op_case.check_gradient = s.q_len < 4 && !may_see_none;
  op_case.gradient_tolerance = 2e-5;
  op_case.tolerance_f32 = 1e-4;
  op_case.tolerance_small = 3e-2;
  return op_case;
}

}  // namespace

std::vector<OpCase> attention_cases() {
  std::vector<OpCase> cases;
  const auto add = [&](const Sizes& s, bool causal, Mask mask, bool packed) {
    for (bool grad : {false, true}) {
      cases.push_back(attention_case(s, causal, mask, packed, grad));
    }
  };
  for (const Sizes& s : kSizes) {
    for (bool causal : {false, true}) add(s, causal, kNone, false);
    add(s, false, kByKey, false);
    add(s, true, kByQuery, false);
    add(s, false, kByHead, false);
  }
  for (const Sizes& s : {Sizes{"small", 1, 2, 2, 2, 1, 2, 2}, Sizes{"odd", 3, 67, 67, 6, 2, 24, 24},
                         Sizes{"blocks", 1, 200, 200, 2, 2, 16, 16}}) {
    add(s, true, kNone, true);
    add(s, false, kByHead, true);
  }
  return cases;
}

}  // namespace trireme::testing
