// What the file of an update rule includes. A rule is how a variable changes: an optimizer, or an
// assignment. It is one struct, and from it follow its ops (dense, sparse, guarded, grouped), their
// kernels, the nn::Optimizer with its entry in the catalog, and the rows of parameter servers.
//
//   // v = momentum·v − lr·g; w += v
//   struct Heavy {
//     double momentum = 0.9;                           // options: numbers and flags, with defaults
//
//     static constexpr RuleInfo kInfo{.name = "heavy", .help = "Momentum.", .learning_rate = 0.01};
//     void describe(OptionVisitor& v) {
//       v.field({"momentum", "share of the last step", from_below(0, 1)}, momentum);
//     }
//
//     static constexpr std::string_view kOp = "ApplyHeavy";
//     static constexpr auto kSlots = slots("velocity");  // any number; each begins as zeros
//     // What holds for all elements of a step, as numbers of the element's type.
//     template <typename T>
//     struct Factors {
//       T lr, momentum;
//     };
//     template <typename T>
//     TRIREME_FORMULA Factors<T> factors(double lr, double step) const {
//       return {static_cast<T>(lr), static_cast<T>(momentum)};
//     }
//     // One element: variable, slots in their order, gradient. It depends on that element only, so
//     // that a variable may be cut anywhere.
//     template <typename T>
//     TRIREME_FORMULA static void update(const Factors<T>& f, T& w, T& v, T g) {
//       v = f.momentum * v - f.lr * g;
//       w += v;
//     }
//   };
//
// `step` counts from 1. Options become attributes of the op's nodes. What a rule may have besides:
//   - std::string_view complaint() const: why options do not go together; empty: they do;
//   - void describe_slots(OptionVisitor&), double initial(size_t slot) const: options that are no
//     attributes, and the first values of slots that follow from them;
//   - forms: a rule whose options choose among several formulas has, in place of kOp, kSlots,
//     Factors, factors() and update(), a struct with those for each of them; `using Forms =
//     RuleForms<A, B>`, and with_form(visit), which calls visit(form) with the one that the options
//     choose (sgd.h). Forms may share an op when they have the same slots;
//   - bool is_plain_descent() const: with these options it does w −= lr·g, no more, so that a
//     product may be accumulated into the variable.
//
// A rule is copied as bytes, to GPUs too, where kernels call the same functions: what it calls
// must be there, such as std::sqrt and std::pow.
#pragma once

#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "core/base/host_device.h"
#include "core/catalog/option_visitor.h"

// A function that loops are made of. It is always part of the loop that calls it: the linker must
// not choose among copies that are compiled for several levels of a processor.
#define TRIREME_FORMULA TRIREME_HOST_DEVICE __attribute__((always_inline)) inline

namespace trireme {

struct RuleInfo {
  std::string_view name;         // as in job files and checkpoints: "adam"
  std::string_view keras;        // Keras's name: "Adam"; empty: Keras has none
  std::string_view help;         // one sentence
  double learning_rate = 0.001;  // where a job says none
  bool has_step = false;         // factors() depends on the step
  bool is_optimizer = true;      // false: an assignment, without learning rate and sparse form
};

template <typename... Names>
constexpr std::array<std::string_view, sizeof...(Names)> slots(Names... names) {
  return {std::string_view(names)...};
}

template <typename... F>
struct RuleForms {};

// The option of rules whose weights may decay, apart from the gradient: w −= lr·weight_decay·w
// before the rest of a step, as in Keras. Its name is known to nn::Optimizer, which leaves
// variables out.
inline void describe_weight_decay(OptionVisitor& v, double& weight_decay) {
  v.field({.name = "weight_decay",
           .help = "times the learning rate: the share of itself that a weight loses in a step",
           .range = at_least(0)},
          weight_decay);
}

// --- What a rule leaves out.

template <typename Rule>
concept HasForms = requires {
  typename Rule::Forms;
};

// visit(form) for the form that the rule's options choose.
template <typename Rule, typename Visit>
TRIREME_FORMULA void with_form(const Rule& rule, const Visit& visit) {
  if constexpr (HasForms<Rule>) {
    rule.with_form(visit);
  } else {
    visit(rule);
  }
}

// How many slots a form has, and the most that a form of a rule has.
template <typename Form>
inline constexpr int kSlotsOf = static_cast<int>(Form::kSlots.size());

template <typename Rule>
struct MostSlots {
  static constexpr int kValue = kSlotsOf<Rule>;
};
template <HasForms Rule>
struct MostSlots<Rule> {
  template <typename... F>
  static constexpr int most(RuleForms<F...>) {
    int most = 0;
    ((most = kSlotsOf<F> > most ? kSlotsOf<F> : most), ...);
    return most;
  }
  static constexpr int kValue = most(typename Rule::Forms{});
};

}  // namespace trireme
