// An optimizer: heavy_ball, v = momentum·v + g and w −= lr·v (Polyak 1964). From this one rule
// follow its ops, its kernels for dense and sparse gradients, and what parameter servers do.
#include "core/nn/optimizers.h"
#include "core/rules/update_rule.h"
#include "core/runtime/built_in_kernels.h"
#include "own_parts.h"

namespace own {
namespace {

using namespace trireme;

struct HeavyBall {
  double momentum = 0.9;

  static constexpr RuleInfo kInfo{
      .name = "heavy_ball", .help = "Polyak's momentum.", .learning_rate = 0.01};
  void describe(OptionVisitor& v) {
    v.field({.name = "momentum",
             .help = "share that the velocity keeps of itself in a step",
             .range = from_below(0, 1)},
            momentum);
  }

  static constexpr std::string_view kOp = "ApplyHeavyBall";
  static constexpr auto kSlots = slots("velocity");
  template <typename T>
  struct Factors {
    T lr, momentum;
  };
  template <typename T>
  TRIREME_FORMULA Factors<T> factors(double lr, double) const {
    return {static_cast<T>(lr), static_cast<T>(momentum)};
  }
  template <typename T>
  TRIREME_FORMULA static void update(const Factors<T>& f, T& w, T& velocity, T g) {
    velocity = f.momentum * velocity + g;
    w -= f.lr * velocity;
  }
};

std::shared_ptr<const UpdateRule> rule() {
  return std::make_shared<const UpdateRule>(make_update_rule<HeavyBall>());
}

}  // namespace

void add_heavy_ball(OpTable& ops) { add_update_ops(ops, rule()); }
void add_heavy_ball(KernelTable& kernels) { add_update_kernels(kernels, *rule()); }
void add_heavy_ball(Catalog<nn::Optimizer>& optimizers) {
  nn::add_optimizer<HeavyBall>(optimizers);
}

}  // namespace own
