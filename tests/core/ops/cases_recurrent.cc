// Recurrences: units that fill vectors and that do not, one step and several, states, masks, and
// both directions.
#include <cmath>

#include "core/base/error.h"
#include "tests/support/op_cases.h"

namespace trireme::testing {
namespace {

struct Sizes {
  int64_t batch, time, units;
};

struct Form {
  const char* label;
  bool has_state, has_mask, reverse;
};
constexpr Form kForms[] = {{"plain", false, false, false},
                           {"backwards", false, false, true},
                           {"from_a_state", true, false, false},
                           {"masked", true, true, false},
                           {"masked_backwards", false, true, true}};

// The last ones are for the tiles of the CPU: more rows and more columns than one holds.
constexpr Sizes kSizes[] = {{2, 3, 2}, {1, 1, 1}, {3, 2, 17}, {19, 4, 70}};

bool is_small(const Sizes& s) { return s.units <= 2; }

OpInput mask_of(const Sizes& s) { return fixed(DType::kBool, {s.batch, s.time}, 0, 2); }
OpInput gates_of(const Sizes& s, int64_t gates) {
  return real({s.batch, s.time, gates * s.units}, 0.1, 0.9);
}
OpInput steps_of(const Sizes& s) { return real({s.batch, s.time, s.units}, -1, 1); }
// Weights as small as in a model: else errors grow from step to step.
OpInput kernel_of(const Sizes& s, int64_t gates) {
  const double most = s.units <= 2 ? 1 : 1 / std::sqrt(static_cast<double>(s.units));
  return real({s.units, gates * s.units}, -most, most);
}
OpInput state_of(const Sizes& s) { return real({s.batch, s.units}, -1, 1); }

class Cases {
 public:
  void add(const char* op, const std::string& label, std::vector<OpInput> inputs,
           Attributes attributes, bool check_gradient) {
    OpCase made{op, label, std::move(inputs), std::move(attributes)};
    made.check_gradient = check_gradient;
    made.has_second_derivative = false;
    made.refuses_gradient = std::string_view(op).ends_with("Grad");
    made.tolerance_small = 3e-2;  // errors of a step go through the steps behind it
    all.push_back(std::move(made));
  }
  std::vector<OpCase> all;
};

void add_lstm(Cases& cases, const Sizes& s, const Form& form, const std::string& label) {
  const Attributes attributes{
      {"has_state", form.has_state}, {"has_mask", form.has_mask}, {"reverse", form.reverse}};
  const OpInput kernel = kernel_of(s, 4);
  std::vector<OpInput> inputs = {real({s.batch, s.time, 4 * s.units}), kernel};
  if (form.has_state) inputs.insert(inputs.end(), {state_of(s), state_of(s)});
  if (form.has_mask) inputs.push_back(mask_of(s));
  cases.add("Lstm", label, inputs, attributes, is_small(s));
  for (const bool more : {false, true}) {
    Attributes of_grad = attributes;
    of_grad.set("has_dc", more);
    of_grad.set("has_dgates", more);
    inputs = {gates_of(s, 4), steps_of(s), kernel};
    if (form.has_state) inputs.push_back(state_of(s));
    inputs.push_back(steps_of(s));
    if (more) inputs.insert(inputs.end(), {steps_of(s), gates_of(s, 4)});
    if (form.has_mask) inputs.push_back(mask_of(s));
    cases.add("LstmGrad", label + (more ? "_all" : ""), inputs, of_grad, false);
  }
}

void add_gru(Cases& cases, const Sizes& s, const Form& form, const std::string& label) {
  for (const bool reset_after : {false, true}) {
    for (const bool has_bias : {false, true}) {
      if (has_bias && !reset_after) continue;
      const std::string of =
          label + (reset_after ? "_after" : "_before") + (has_bias ? "_bias" : "");
      const Attributes attributes{{"reset_after", reset_after},
                                  {"has_bias", has_bias},
                                  {"has_state", form.has_state},
                                  {"has_mask", form.has_mask},
                                  {"reverse", form.reverse}};
      std::vector<OpInput> inputs = {real({s.batch, s.time, 3 * s.units}), kernel_of(s, 3)};
      if (has_bias) inputs.push_back(real({3 * s.units}));
      if (form.has_state) inputs.push_back(state_of(s));
      if (form.has_mask) inputs.push_back(mask_of(s));
      cases.add("Gru", of, inputs, attributes, is_small(s));
    }
    for (const bool more : {false, true}) {
      const Attributes attributes{{"reset_after", reset_after}, {"has_state", form.has_state},
                                  {"has_mask", form.has_mask},  {"has_dinner", more},
                                  {"has_dgates", more},         {"reverse", form.reverse}};
      std::vector<OpInput> inputs = {gates_of(s, 3), steps_of(s), steps_of(s), kernel_of(s, 3)};
      if (form.has_state) inputs.push_back(state_of(s));
      inputs.push_back(steps_of(s));
      if (more) inputs.insert(inputs.end(), {steps_of(s), gates_of(s, 3)});
      if (form.has_mask) inputs.push_back(mask_of(s));
      cases.add("GruGrad", label + (reset_after ? "_after" : "_before") + (more ? "_all" : ""),
                inputs, attributes, false);
    }
  }
}

void add_simple_rnn(Cases& cases, const Sizes& s, const Form& form, const std::string& label) {
  for (const std::string activation : {"tanh", "relu", "sigmoid", "none"}) {
    const Attributes attributes{{"activation", activation},
                                {"has_state", form.has_state},
                                {"has_mask", form.has_mask},
                                {"reverse", form.reverse}};
    const OpInput kernel = kernel_of(s, 1);
    std::vector<OpInput> inputs = {real({s.batch, s.time, s.units}), kernel};
    if (form.has_state) inputs.push_back(state_of(s));
    if (form.has_mask) inputs.push_back(mask_of(s));
    const std::string of = label + "_" + activation;
    cases.add("SimpleRnn", of, inputs, attributes, is_small(s));
    inputs = {steps_of(s), steps_of(s), kernel};
    if (form.has_mask) inputs.push_back(mask_of(s));
    cases.add("SimpleRnnGrad", of, inputs, attributes, false);
  }
}

}  // namespace

std::vector<OpCase> recurrent_cases() {
  Cases cases;
  for (const Sizes& s : kSizes) {
    for (const Form& form : kForms) {
      const std::string label = str_cat(form.label, "_", s.batch, "x", s.time, "x", s.units);
      add_lstm(cases, s, form, label);
      add_gru(cases, s, form, label);
      add_simple_rnn(cases, s, form, label);
    }
  }
  return cases.all;
}

}  // namespace trireme::testing
