// Optimizers: which slots a variable has, and the node that updates it. The arithmetic is in the
// Apply ops' kernels, so that a parameter server runs the same.
//
// Immutable; any thread. Constructors throw Error{kInvalidArgument} for options that make no sense.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/catalog/catalog.h"
#include "core/graph/gradient_context.h"
#include "core/nn/schedules.h"
#include "core/ops/ops.h"

namespace trireme::nn {

struct SlotSpec {
  std::string name;    // "m"
  double initial = 0;  // of each element
};

struct UpdateInputs {
  Value variable;
  Gradient gradient;
  Value learning_rate;       // f32 scalar
  Value step;                // i64 scalar, 1 for the first
  std::vector<Value> slots;  // as in Optimizer::slots()
  Value only_if = {};        // bool[], false where nothing is to change; may be undefined
};

// "optimizer/adam/m/dense/kernel".
std::string slot_name(std::string_view optimizer, std::string_view slot, std::string_view variable);

class Optimizer : public Component {
 public:
  static constexpr std::string_view kFamily = "optimizer";
  const std::string& name() const { return name_; }  // "adam"
  // `step`: how many steps were taken before.
  double learning_rate(int64_t step) const { return schedule_(step); }
  virtual std::vector<SlotSpec> slots() const = 0;
  // What apply() does to a dense variable, for whoever keeps variable and slots elsewhere.
  virtual ops::UpdateOp update_op() const = 0;
  // A sparse gradient gives the sparse op.
  virtual Node& apply(const UpdateInputs& inputs) const = 0;

 protected:
  Optimizer(std::string name, Schedule schedule)
      : name_(std::move(name)), schedule_(std::move(schedule)) {}

 private:
  std::string name_;
  Schedule schedule_;
};

class Sgd : public Optimizer {
 public:
  explicit Sgd(Schedule learning_rate = constant_rate(0.01), ops::SgdOptions options = {});
  std::vector<SlotSpec> slots() const override;  // "momentum", where there is one
  ops::UpdateOp update_op() const override { return ops::update_op(options_); }
  Node& apply(const UpdateInputs& inputs) const override;

 private:
  ops::SgdOptions options_;
};

class RmsProp : public Optimizer {
 public:
  explicit RmsProp(Schedule learning_rate = constant_rate(0.001), ops::RmsPropOptions options = {});
  std::vector<SlotSpec> slots() const override;  // "rms", and "momentum" where there is one
  ops::UpdateOp update_op() const override { return ops::update_op(options_); }
  Node& apply(const UpdateInputs& inputs) const override;

 private:
  ops::RmsPropOptions options_;
};

class Adagrad : public Optimizer {
 public:
  explicit Adagrad(Schedule learning_rate = constant_rate(0.001), ops::AdagradOptions options = {},
                   double initial_accumulator = 0.1);
  std::vector<SlotSpec> slots() const override;  // "accumulator"
  ops::UpdateOp update_op() const override { return ops::update_op(options_); }
  Node& apply(const UpdateInputs& inputs) const override;

 private:
  ops::AdagradOptions options_;
  double initial_accumulator_;
};

class Adam : public Optimizer {
 public:
  explicit Adam(Schedule learning_rate = constant_rate(0.001), ops::AdamOptions options = {});
  std::vector<SlotSpec> slots() const override;  // "m", "v"
  ops::UpdateOp update_op() const override { return ops::update_op(options_); }
  Node& apply(const UpdateInputs& inputs) const override;

 private:
  ops::AdamOptions options_;
};

void register_core_optimizers(Catalog<Optimizer>& catalog);

}  // namespace trireme::nn
