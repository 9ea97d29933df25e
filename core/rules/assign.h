// Rules that are no optimizers: what is given is the value, or a part of it.
#pragma once

#include "core/rules/rule.h"

namespace trireme::rules {

// w = g
struct Assign {
  static constexpr RuleInfo kInfo{.name = "assign", .is_optimizer = false};
  void describe(OptionVisitor&) {}

  static constexpr std::string_view kOp = "Assign";
  static constexpr auto kSlots = slots();
  template <typename T>
  struct Factors {};
  template <typename T>
  TRIREME_FORMULA Factors<T> factors(double, double) const {
    return {};
  }
  template <typename T>
  TRIREME_FORMULA static void update(const Factors<T>&, T& w, T g) {
    w = g;
  }
};

// w += g
struct AssignAdd {
  static constexpr RuleInfo kInfo{.name = "assign_add", .is_optimizer = false};
  void describe(OptionVisitor&) {}

  static constexpr std::string_view kOp = "AssignAdd";
  static constexpr auto kSlots = slots();
  template <typename T>
  struct Factors {};
  template <typename T>
  TRIREME_FORMULA Factors<T> factors(double, double) const {
    return {};
  }
  template <typename T>
  TRIREME_FORMULA static void update(const Factors<T>&, T& w, T g) {
    w += g;
  }
};

// w = momentum·w + (1 − momentum)·g
struct MovingAverage {
  double momentum = 0;

  static constexpr RuleInfo kInfo{.name = "moving_average", .is_optimizer = false};
  void describe(OptionVisitor& v) {
    v.field({.name = "momentum", .help = "share that it keeps of itself"}, momentum);
  }

  static constexpr std::string_view kOp = "AssignMovingAverage";
  static constexpr auto kSlots = slots();
  template <typename T>
  struct Factors {
    T keep, take;
  };
  template <typename T>
  TRIREME_FORMULA Factors<T> factors(double, double) const {
    return {static_cast<T>(momentum), static_cast<T>(1 - momentum)};
  }
  template <typename T>
  TRIREME_FORMULA static void update(const Factors<T>& f, T& w, T g) {
    w = f.keep * w + f.take * g;
  }
};

// w = momentum·w + (1 − momentum)·g, and w = g in the first step.
struct WeightAverage {
  double momentum = 0;

  static constexpr RuleInfo kInfo{
      .name = "weight_average", .has_step = true, .is_optimizer = false};
  void describe(OptionVisitor& v) {
    v.field({.name = "momentum", .help = "share that it keeps of itself"}, momentum);
  }

  static constexpr std::string_view kOp = "AssignWeightAverage";
  static constexpr auto kSlots = slots();
  template <typename T>
  struct Factors {
    T keep, take;
  };
  template <typename T>
  TRIREME_FORMULA Factors<T> factors(double, double step) const {
    const double kept = step <= 1 ? 0 : momentum;
    return {static_cast<T>(kept), static_cast<T>(1 - kept)};
  }
  template <typename T>
  TRIREME_FORMULA static void update(const Factors<T>& f, T& w, T g) {
    w = f.keep * w + f.take * g;
  }
};

}  // namespace trireme::rules
