// UpdateRule: a rule (core/rules/rule.h) as ops, kernels and parameter servers know it, by
// functions that are compiled where make_update_rule() is called.
//
// What that file is compiled for, the loops are: kernels of a processor level make rules of their
// own. Hence all that holds arithmetic has internal linkage here, and is reached by pointers.
//
// Immutable; any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <typeindex>
#include <utility>
#include <vector>

#include "core/graph/attribute_def.h"
#include "core/graph/attributes.h"
#include "core/rules/rule.h"
#include "core/tensor/shape.h"

namespace trireme {

// The op of a dense update with its attributes.
struct UpdateOp {
  std::string name;
  Attributes attributes;
};

struct SlotSpec {
  std::string name;                 // "m"
  double initial = 0;               // of each element
  std::optional<Shape> shape = {};  // nothing: the variable's
};

// The loops of a form. `rule` and `factors`: the options, and what is made of them for a step.
template <typename T>
struct UpdateLoops {
  void (*begin)(const void* rule, double lr, double step, void* factors);
  void (*span)(const void* factors, void* const* state, size_t stride, size_t offset,
               const T* gradient, size_t count);
  void (*rows)(const void* factors, T* const* rows, const T* const* gradients, size_t count,
               size_t dim);
};

// What an update does in one step. Any cut of variables gives the same bytes.
template <typename T>
class UpdateStep {
 public:
  static constexpr size_t kMostBytes = 16 * sizeof(T);

  UpdateStep(const UpdateLoops<T>& loops, const void* rule, double lr, int64_t step)
      : span_(loops.span), rows_(loops.rows) {
    loops.begin(rule, lr, static_cast<double>(step), factors_);
  }

  // `count` elements from `offset` on, of the variable state[0] and its slots state[stride],
  // state[2·stride], …; `gradient` is theirs.
  void span(void* const* state, size_t stride, size_t offset, const T* gradient,
            size_t count) const {
    span_(factors_, state, stride, offset, gradient, count);
  }
  // Rows of `dim` elements, each with its slots behind it, and a gradient for each.
  void rows(T* const* rows, const T* const* gradients, size_t count, size_t dim) const {
    rows_(factors_, rows, gradients, count, dim);
  }

 private:
  decltype(UpdateLoops<T>::span) span_;
  decltype(UpdateLoops<T>::rows) rows_;
  alignas(16) std::byte factors_[kMostBytes];
};

// A rule with the options of one node.
template <typename T>
class Updater {
 public:
  Updater(const UpdateLoops<T>& loops, std::shared_ptr<const void> rule)
      : loops_(loops), rule_(std::move(rule)) {}
  // `step` counts from 1.
  UpdateStep<T> begin(double lr, int64_t step) const { return {loops_, rule_.get(), lr, step}; }

 private:
  UpdateLoops<T> loops_;
  std::shared_ptr<const void> rule_;
};

struct UpdateRule {
  // A dense op of the rule, of one of its forms. Others are made of it: see UpdateFacts.
  struct Op {
    std::string name;
    int slots;
  };

  std::type_index type;  // of the rule
  RuleInfo info;
  std::vector<Op> ops;
  std::vector<AttributeDef> attributes;  // its options; every op has them
  // Throw Error{kInvalidArgument} when the options in `attributes` are for another op than `op`,
  // and kInternal when one is missing.
  Updater<float> (*f32)(std::string_view op, const Attributes& attributes);
  Updater<double> (*f64)(std::string_view op, const Attributes& attributes);
  // Whether they do w −= lr·g, no more.
  bool (*is_plain_descent)(const Attributes& attributes);

  template <typename T>
  Updater<T> updater(std::string_view op, const Attributes& attributes) const {
    if constexpr (std::is_same_v<T, float>) {
      return f32(op, attributes);
    } else {
      return f64(op, attributes);
    }
  }
};

// Visitors that give options the values of attributes, that make attributes of options, and that
// note what attributes there are.
std::unique_ptr<OptionVisitor> attribute_reader(const Attributes& from);
std::unique_ptr<OptionVisitor> attribute_writer(Attributes& to);
std::unique_ptr<OptionVisitor> attribute_collector(std::vector<AttributeDef>& to);
[[noreturn]] void throw_other_form(std::string_view op, std::string_view form,
                                   const Attributes& attributes);

template <typename Rule>
std::vector<AttributeDef> rule_attributes() {
  std::vector<AttributeDef> defs;
  Rule().describe(*attribute_collector(defs));
  return defs;
}

template <typename Rule>
Rule rule_from(const Attributes& attributes) {
  Rule rule;
  rule.describe(*attribute_reader(attributes));
  return rule;
}

template <typename Rule>
UpdateOp update_op(Rule rule) {
  UpdateOp op;
  rule.describe(*attribute_writer(op.attributes));
  with_form(rule, [&](const auto& form) { op.name = form.kOp; });
  return op;
}

// The slots of a variable that `rule` updates.
template <typename Rule>
std::vector<SlotSpec> rule_slots(const Rule& rule) {
  std::vector<SlotSpec> specs;
  with_form(rule, [&](const auto& form) {
    for (const std::string_view name : form.kSlots) specs.push_back({std::string(name)});
  });
  if constexpr (requires { rule.initial(size_t{}); }) {
    for (size_t i = 0; i < specs.size(); ++i) specs[i].initial = rule.initial(i);
  }
  return specs;
}

template <typename Rule>
std::vector<UpdateRule::Op> rule_ops() {
  std::vector<UpdateRule::Op> ops;
  const auto add = [&]<typename Form>() {
    for (const UpdateRule::Op& op : ops) {
      if (op.name == Form::kOp) return;
    }
    ops.push_back({std::string(Form::kOp), kSlotsOf<Form>});
  };
  if constexpr (HasForms<Rule>) {
    [&]<typename... F>(RuleForms<F...>) {
      (add.template operator()<F>(), ...);
    }(typename Rule::Forms{});
  } else {
    add.template operator()<Rule>();
  }
  return ops;
}

// --- The loops. Everything below is static: see above.

template <typename Form, typename T, typename... Slots>
static void update_each(const typename Form::template Factors<T> factors, size_t count,
                        T* __restrict w, const T* __restrict g, Slots* __restrict... slots) {
#pragma GCC ivdep
  for (size_t i = 0; i < count; ++i) Form::update(factors, w[i], slots[i]..., g[i]);
}

template <typename Form, typename T, size_t... I>
static void update_span(const void* factors, void* const* state, [[maybe_unused]] size_t stride,
                        size_t offset, const T* gradient, size_t count, std::index_sequence<I...>) {
  update_each<Form, T>(*static_cast<const typename Form::template Factors<T>*>(factors), count,
                       static_cast<T*>(state[0]) + offset, gradient,
                       (static_cast<T*>(state[(I + 1) * stride]) + offset)...);
}

template <typename Form, typename T, size_t... I>
static void update_rows(const void* made, T* const* rows, const T* const* gradients, size_t count,
                        size_t dim, std::index_sequence<I...>) {
  const auto factors = *static_cast<const typename Form::template Factors<T>*>(made);
  if (dim == 1) {  // without a loop inside
    for (size_t i = 0; i < count; ++i) {
      T* const w = rows[i];
      Form::update(factors, w[0], w[I + 1]..., gradients[i][0]);
    }
    return;
  }
  for (size_t i = 0; i < count; ++i) {
    T* const w = rows[i];
    update_each<Form, T>(factors, dim, w, gradients[i], (w + (I + 1) * dim)...);
  }
}

template <typename Rule, typename Form, typename T>
static UpdateLoops<T> loops_of_form() {
  using Factors = typename Form::template Factors<T>;
  using Slots = std::make_index_sequence<static_cast<size_t>(kSlotsOf<Form>)>;
  static_assert(
      std::is_trivially_copyable_v<Factors> && sizeof(Factors) <= UpdateStep<T>::kMostBytes,
      "the factors of a rule are at most 16 numbers");
  return {[](const void* rule, double lr, double step, void* factors) {
            with_form(*static_cast<const Rule*>(rule), [&](const auto& form) {
              if constexpr (std::is_same_v<std::remove_cvref_t<decltype(form)>, Form>) {
                const Factors made = form.template factors<T>(lr, step);
                std::memcpy(factors, &made, sizeof(made));
              }
            });
          },
          [](const void* factors, void* const* state, size_t stride, size_t offset,
             const T* gradient, size_t count) {
            update_span<Form, T>(factors, state, stride, offset, gradient, count, Slots{});
          },
          [](const void* factors, T* const* rows, const T* const* gradients, size_t count,
             size_t dim) { update_rows<Form, T>(factors, rows, gradients, count, dim, Slots{}); }};
}

template <typename Rule, typename T>
static Updater<T> updater_of_rule(std::string_view op, const Attributes& attributes) {
  const Rule rule = rule_from<Rule>(attributes);
  UpdateLoops<T> loops{};
  with_form(rule, [&](const auto& form) {
    if (op != form.kOp) throw_other_form(op, form.kOp, attributes);
    loops = loops_of_form<Rule, std::remove_cvref_t<decltype(form)>, T>();
  });
  return {loops, std::make_shared<const Rule>(rule)};
}

template <typename Rule>
static UpdateRule make_update_rule() {
  static_assert(std::is_trivially_copyable_v<Rule>, "a rule is numbers and flags");
  return {.type = typeid(Rule),
          .info = Rule::kInfo,
          .ops = rule_ops<Rule>(),
          .attributes = rule_attributes<Rule>(),
          .f32 = &updater_of_rule<Rule, float>,
          .f64 = &updater_of_rule<Rule, double>,
          .is_plain_descent = [](const Attributes& attributes) {
            if constexpr (requires(const Rule& rule) { rule.is_plain_descent(); }) {
              return rule_from<Rule>(attributes).is_plain_descent();
            } else {
              (void)attributes;
              return false;
            }
          }};
}

}  // namespace trireme
