// Ops that change variables in place. What they compute is in core/device/update_rows.h, once for
// all devices' rows.
//
// Inputs always come in the order variable, slots, lr, step, gradient (or indices, rows), so that a
// pass finds the variable first and the gradient last. Output 0 is the memory of the variable,
// hence its new value.
//
// Each op NAME is there as NAME + "If", too, with one more input at the end, a bool[]: where that
// is false, nothing changes.
#include "core/ops/register.h"
#include "core/ops/rules.h"

namespace trireme::ops {
namespace {

struct UpdateInputs {
  int slots = 0;  // beside the variable
  bool has_lr = false;
  bool has_step = false;
  bool is_sparse = false;
};

Types infer_update(const InferenceContext& c, const UpdateInputs& inputs) {
  c.require_floating();
  int next = 1;
  for (; next <= inputs.slots; ++next) {
    c.require(c.input(next) == c.input(0), "slots of the variable's dtype and shape");
  }
  if (inputs.has_lr) {
    c.require(c.input(next) == TensorType{DType::kFloat32, {}}, "a learning rate of f32[]");
    ++next;
  }
  if (inputs.has_step) {
    c.require(c.input(next) == TensorType{DType::kInt64, {}}, "a step of i64[]");
    ++next;
  }
  if (inputs.is_sparse) {
    c.require(c.shape(0).rank() >= 1, "a variable with rows");
    c.require((c.dtype(next) == DType::kInt32 || c.dtype(next) == DType::kInt64) &&
                  c.shape(next).rank() == 1,
              "indices of i32 or i64, [n]");
    Shape rows = c.shape(next).first(1);
    for (int64_t size : c.shape(0).last(c.shape(0).rank() - 1)) rows.push_back(size);
    ++next;
    c.require(c.dtype(next) == c.dtype(0) && compatible(c.shape(next), rows),
              "one row of the variable's dtype and row shape for each index");
  } else {
    c.require(c.dtype(next) == c.dtype(0) && compatible(c.shape(next), c.shape(0)),
              "a value of the variable's dtype and shape");
  }
  return {c.input(0)};
}

OpDef update(std::string name, const UpdateInputs& inputs) {
  const int count = 1 + inputs.slots + inputs.has_lr + inputs.has_step + (inputs.is_sparse ? 2 : 1);
  std::vector<int> mutated(static_cast<size_t>(inputs.slots) + 1);
  for (int i = 0; i <= inputs.slots; ++i) mutated[static_cast<size_t>(i)] = i;
  return {
      .name = std::move(name),
      .min_inputs = count,
      .max_inputs = count,
      .infer = [inputs](const InferenceContext& c) { return infer_update(c, inputs); },
      .traits = {.mutated_inputs = std::move(mutated), .is_stateful = true},
  };
}

OpDef guarded(OpDef op) {
  op.name += "If";
  ++op.min_inputs;
  ++op.max_inputs;
  op.infer = [infer = std::move(op.infer)](const InferenceContext& c) {
    c.require(c.input(c.input_count() - 1) == TensorType{DType::kBool, {}},
              "a bool[] after the inputs of the update");
    return infer(c.without_last_input());
  };
  return op;
}

// Without `only_if` it is done in any case.
Node& add_node(std::string_view op, std::vector<Value> inputs, Attributes attributes,
               Value only_if) {
  if (!only_if.defined()) return *build(op, std::move(inputs), std::move(attributes)).node;
  inputs.push_back(only_if);
  return *build(std::string(op) + "If", std::move(inputs), std::move(attributes)).node;
}

// Without momentum the slot is left out even when given.
std::vector<Value> with_slot(std::vector<Value> before, Value slot, double momentum,
                             std::string_view op, const std::vector<Value>& after) {
  if (momentum != 0) {
    if (!slot.defined())
      throw invalid_argument(op, ": momentum ", momentum, " needs a slot variable");
    before.push_back(slot);
  }
  before.insert(before.end(), after.begin(), after.end());
  return before;
}

}  // namespace

Node& assign(Value variable, Value value) { return add_node("Assign", {variable, value}, {}, {}); }

Node& assign_add(Value variable, Value value) {
  return add_node("AssignAdd", {variable, value}, {}, {});
}

Node& assign_moving_average(Value variable, Value value, double momentum, Value only_if) {
  return add_node("AssignMovingAverage", {variable, value}, {{"momentum", momentum}}, only_if);
}

// Momentum has a slot of its own, and so an op.
UpdateOp update_op(const SgdOptions& o) {
  return {o.momentum == 0 ? "ApplySgd" : "ApplyMomentum",
          {{"momentum", o.momentum}, {"nesterov", o.nesterov}, {"weight_decay", o.weight_decay}}};
}

UpdateOp update_op(const RmsPropOptions& o) {
  return {o.momentum == 0 ? "ApplyRmsProp" : "ApplyRmsPropMomentum",
          {{"rho", o.rho}, {"momentum", o.momentum}, {"epsilon", o.epsilon}}};
}

UpdateOp update_op(const AdagradOptions& o) { return {"ApplyAdagrad", {{"epsilon", o.epsilon}}}; }

UpdateOp update_op(const AdamOptions& o) {
  return {"ApplyAdam",
          {{"beta1", o.beta1},
           {"beta2", o.beta2},
           {"epsilon", o.epsilon},
           {"weight_decay", o.weight_decay}}};
}

Node& apply_sgd(Value variable, Value velocity, Value lr, Value gradient, const SgdOptions& options,
                Value only_if) {
  const UpdateOp op = update_op(options);
  return add_node(op.name,
                  with_slot({variable}, velocity, options.momentum, op.name, {lr, gradient}),
                  op.attributes, only_if);
}

Node& apply_sgd_sparse(Value variable, Value velocity, Value lr, Value indices, Value rows,
                       const SgdOptions& options, Value only_if) {
  const UpdateOp op = update_op(options);
  return add_node(op.name + "Sparse",
                  with_slot({variable}, velocity, options.momentum, op.name, {lr, indices, rows}),
                  op.attributes, only_if);
}

Node& apply_rmsprop(Value variable, Value mean_square, Value momentum, Value lr, Value gradient,
                    const RmsPropOptions& options, Value only_if) {
  const UpdateOp op = update_op(options);
  return add_node(
      op.name,
      with_slot({variable, mean_square}, momentum, options.momentum, op.name, {lr, gradient}),
      op.attributes, only_if);
}

Node& apply_rmsprop_sparse(Value variable, Value mean_square, Value momentum, Value lr,
                           Value indices, Value rows, const RmsPropOptions& options,
                           Value only_if) {
  const UpdateOp op = update_op(options);
  return add_node(
      op.name + "Sparse",
      with_slot({variable, mean_square}, momentum, options.momentum, op.name, {lr, indices, rows}),
      op.attributes, only_if);
}

Node& apply_adagrad(Value variable, Value accumulator, Value lr, Value gradient,
                    const AdagradOptions& options, Value only_if) {
  const UpdateOp op = update_op(options);
  return add_node(op.name, {variable, accumulator, lr, gradient}, op.attributes, only_if);
}

Node& apply_adagrad_sparse(Value variable, Value accumulator, Value lr, Value indices, Value rows,
                           const AdagradOptions& options, Value only_if) {
  const UpdateOp op = update_op(options);
  return add_node(op.name + "Sparse", {variable, accumulator, lr, indices, rows}, op.attributes,
                  only_if);
}

Node& apply_adam(Value variable, Value m, Value v, Value lr, Value step, Value gradient,
                 const AdamOptions& options, Value only_if) {
  const UpdateOp op = update_op(options);
  return add_node(op.name, {variable, m, v, lr, step, gradient}, op.attributes, only_if);
}

Node& apply_adam_sparse(Value variable, Value m, Value v, Value lr, Value step, Value indices,
                        Value rows, const AdamOptions& options, Value only_if) {
  const UpdateOp op = update_op(options);
  return add_node(op.name + "Sparse", {variable, m, v, lr, step, indices, rows}, op.attributes,
                  only_if);
}

}  // namespace trireme::ops

namespace trireme {

void register_update_ops(OpTable& table) {
  using ops::update;
  const auto add = [&](OpDef op) {
    table.add(ops::guarded(op));
    table.add(std::move(op));
  };
  for (const char* name : {"Assign", "AssignAdd", "AssignMovingAverage"}) add(update(name, {}));
  for (const bool is_sparse : {false, true}) {
    const std::string suffix = is_sparse ? "Sparse" : "";
    add(update("ApplySgd" + suffix, {.slots = 0, .has_lr = true, .is_sparse = is_sparse}));
    add(update("ApplyMomentum" + suffix, {.slots = 1, .has_lr = true, .is_sparse = is_sparse}));
    add(update("ApplyRmsProp" + suffix, {.slots = 1, .has_lr = true, .is_sparse = is_sparse}));
    add(update("ApplyRmsPropMomentum" + suffix,
               {.slots = 2, .has_lr = true, .is_sparse = is_sparse}));
    add(update("ApplyAdagrad" + suffix, {.slots = 1, .has_lr = true, .is_sparse = is_sparse}));
    add(update("ApplyAdam" + suffix,
               {.slots = 2, .has_lr = true, .has_step = true, .is_sparse = is_sparse}));
  }
}

}  // namespace trireme
