// Recurrences in ONNX: its own LSTM, GRU and RNN where their semantics fit, else a Scan over the
// steps. They fit where no step is masked, where what is taken is the state of each step, and where
// the projection of the inputs is a product that the op can do itself.
#include "core/base/error.h"
#include "core/formats/translation/onnx_cells.h"
#include "core/formats/translation/onnx_writer.h"
#include "proto/onnx/onnx.pb.h"

namespace trireme::formats::to_onnx {
namespace {

// x·kernel + bias, as layers make it; `kernel` is not defined where x is something else.
struct Projection {
  Value x, kernel, bias;
};

Projection projection_of(OnnxWriter& w, Value sequence) {
  Projection p;
  Node* node = sequence.node;
  if (node->op().name == "BiasAdd" && w.weight_of(node->input(1)) != nullptr) {
    p.bias = node->input(1);
  } else if (node->op().name == "BiasAdd" && node->input(1).node->inputs().size() == 1) {
    p.bias = node->input(1);  // a part of a variable
  }
  if (p.bias.defined()) node = node->input(0).node;
  if (node->op().name != "MatMul" || node->attribute<bool>("transpose_a") ||
      node->attribute<bool>("transpose_b") || node->input(0).shape().rank() != 3 ||
      w.weight_of(node->input(1)) == nullptr) {
    return {};
  }
  p.x = node->input(0);
  p.kernel = node->input(1);
  return p;
}

// The inputs of a recurrent node of ours, by what its attributes say.
struct Operands {
  Value x, kernel, bias, h, c, mask;
  int64_t units;
  bool reverse;
};

Operands operands_of(const Node& n, bool has_cell) {
  Operands o{};
  size_t next = 0;
  const auto take = [&] { return n.inputs().at(next++); };
  o.x = take();
  o.kernel = take();
  if (n.attributes().has("has_bias") && n.attribute<bool>("has_bias")) o.bias = take();
  if (n.attribute<bool>("has_state")) {
    o.h = take();
    if (has_cell) o.c = take();
  }
  if (n.attribute<bool>("has_mask")) o.mask = take();
  o.units = o.kernel.shape()[0];
  o.reverse = n.attribute<bool>("reverse");
  return o;
}

// The number of each column of gates that lie in another order.
Ints gate_columns(int64_t units, const Ints& gates) {
  Ints columns;
  for (int64_t gate : gates) {
    for (int64_t i = 0; i < units; ++i) columns.push_back(gate * units + i);
  }
  return columns;
}

// A recurrence of ONNX's own, which has time in front, one more axis for directions, and matrices
// [directions, gates·units, in].
class OwnOp {
 public:
  OwnOp(OnnxWriter& writer, const Projection& projection, const Operands& operands, Ints gates)
      : w_(writer), p_(projection), o_(operands), gates_(std::move(gates)) {}

  // y: [batch, time, units]
  std::string write(std::string_view op, std::vector<OnnxAttribute> attributes) {
    attributes.push_back({"hidden_size", o_.units});
    attributes.push_back({"direction", std::string(o_.reverse ? "reverse" : "forward")});
    const std::string none;
    Names inputs = {w_.transpose(w_.name(p_.x), {1, 0, 2}),
                    matrix(p_.kernel),
                    matrix(o_.kernel),
                    p_.bias.defined() || o_.bias.defined() ? biases() : none,
                    none,
                    state(o_.h),
                    state(o_.c)};
    const std::string y = w_.add(op, inputs, attributes);
    return w_.transpose(w_.add("Squeeze", {y, w_.ints({1})}), {1, 0, 2});
  }

 private:
  std::string ordered(const std::string& x, int64_t axis) {
    if (gates_.size() < 4) return x;  // those of GRU and RNN lie as ours
    return w_.add("Gather", {x, w_.ints(gate_columns(o_.units, gates_))}, {{"axis", axis}});
  }
  std::string matrix(Value kernel) {
    return w_.add("Unsqueeze", {w_.transpose(ordered(w_.name(kernel), 1), {1, 0}), w_.ints({0})});
  }
  std::string bias(Value value) {
    if (value.defined()) return ordered(w_.name(value), 0);
    const auto size = static_cast<int64_t>(gates_.size()) * o_.units;
    return w_.constant(Tensor::zeros(o_.x.dtype(), {size}));
  }
  std::string biases() {
    const std::string both =
        w_.add("Concat", {bias(p_.bias), bias(o_.bias)}, {{"axis", int64_t{0}}});
    return w_.add("Unsqueeze", {both, w_.ints({0})});
  }
  std::string state(Value value) {
    return value.defined() ? w_.add("Unsqueeze", {w_.name(value), w_.ints({0})}) : "";
  }

  OnnxWriter& w_;
  const Projection& p_;
  const Operands& o_;
  Ints gates_;
};

// The steps as a Scan, whose body is a graph of its own: names of values outside of it are known
// within.
class Steps {
 public:
  Steps(OnnxWriter& writer, const Node& node, const Operands& operands)
      : w_(writer), o_(operands), prefix_(node.name() + "/step/") {
    body_.set_name(node.name() + "/step");
  }

  std::string add(std::string_view op, const Names& inputs) { return add_all(op, inputs, 1)[0]; }
  Names add_all(std::string_view op, const Names& inputs, int outputs, int64_t axis = 0) {
    onnx::NodeProto& node = *body_.add_node();
    node.set_op_type(std::string(op));
    for (const std::string& input : inputs) node.add_input(input);
    Names names;
    for (int i = 0; i < outputs; ++i) names.push_back(fresh(op));
    for (const std::string& name : names) node.add_output(name);
    node.set_name(names[0]);
    if (axis != 0) {
      onnx::AttributeProto& attribute = *node.add_attribute();
      attribute.set_name("axis");
      attribute.set_type(onnx::AttributeProto::INT);
      attribute.set_i(axis);
    }
    return names;
  }
  // The parts of [batch, count·units].
  Names split(const std::string& x, int count) {
    return add_all("Split", {x, w_.ints(Ints(static_cast<size_t>(count), o_.units))}, count, 1);
  }

  std::string state(Value initial) {
    return in(initial_state(initial), o_.x.dtype(), {-1, o_.units}, states_);
  }
  std::string step(Value sequence) {
    Shape shape = {sequence.shape()[0]};
    for (int axis = 2; axis < sequence.shape().rank(); ++axis)
      shape.push_back(sequence.shape()[axis]);
    return in(w_.name(sequence), sequence.dtype(), shape, sequences_);
  }
  // bool [batch, 1] of this step; empty: there is no mask.
  std::string mask() {
    if (!o_.mask.defined()) return "";
    return add("Unsqueeze", {step(o_.mask), w_.ints({1})});
  }
  // What a step gives, where the mask says that it counts.
  std::string where(const std::string& mask, const std::string& next, const std::string& before) {
    return mask.empty() ? next : add("Where", {mask, next, before});
  }

  // The outputs of all steps, [batch, time, units], of the new states.
  Names write(const Names& new_states) {
    for (const std::string& state : new_states) out(add("Identity", {state}));
    for (const std::string& state : new_states) out(add("Identity", {state}));
    Names inputs = states_;
    inputs.insert(inputs.end(), sequences_.begin(), sequences_.end());
    const Ints ones(sequences_.size(), 1), output_ones(new_states.size(), 1);
    const int64_t direction = o_.reverse ? 1 : 0;
    const Names made = w_.add_all("Scan", inputs, static_cast<int>(2 * new_states.size()),
                                  {{"body", static_cast<const onnx::GraphProto*>(&body_)},
                                   {"num_scan_inputs", static_cast<int64_t>(sequences_.size())},
                                   {"scan_input_axes", ones},
                                   {"scan_output_axes", output_ones},
                                   {"scan_input_directions", Ints(sequences_.size(), direction)},
                                   {"scan_output_directions", Ints(new_states.size(), direction)}});
    return {made.begin() + static_cast<std::ptrdiff_t>(new_states.size()), made.end()};
  }

 private:
  std::string fresh(std::string_view kind) { return str_cat(prefix_, kind, "_", count_++); }

  std::string in(const std::string& outside, DType dtype, const Shape& shape, Names& list) {
    list.push_back(outside);
    onnx::ValueInfoProto& info = *body_.add_input();
    info.set_name(fresh("input"));
    fill(info, dtype, shape);
    return info.name();
  }
  void out(const std::string& name) {
    onnx::ValueInfoProto& info = *body_.add_output();
    info.set_name(name);
    fill(info, o_.x.dtype(), {-1, o_.units});
  }
  static void fill(onnx::ValueInfoProto& info, DType dtype, const Shape& shape) {
    auto* tensor = info.mutable_type()->mutable_tensor_type();
    tensor->set_elem_type(onnx_dtype(dtype));
    for (int64_t size : shape) {
      auto* dim = tensor->mutable_shape()->add_dim();
      size < 0 ? dim->set_dim_param("batch") : dim->set_dim_value(size);
    }
  }
  std::string initial_state(Value given) {
    if (given.defined()) return w_.name(given);
    const std::string batch =
        w_.add("Slice", {w_.add("Shape", {w_.name(o_.x)}), w_.ints({0}), w_.ints({1})});
    return w_.add("Expand",
                  {w_.scalar(o_.x.dtype(), 0),
                   w_.add("Concat", {batch, w_.ints({o_.units})}, {{"axis", int64_t{0}}})});
  }

  OnnxWriter& w_;
  const Operands& o_;
  std::string prefix_;
  onnx::GraphProto body_;
  Names states_, sequences_;
  int count_ = 0;
};

void refuse_gates(OnnxWriter& w, const Node& n, std::initializer_list<int> outputs) {
  for (int i : outputs) {
    if (w.uses(output_of(n, i)) == 0) continue;
    throw TranslationError(str_cat("it has no translation of output ", i, " of ", n.op().name,
                                   " (node \"", n.name(), "\"), of a gradient"));
  }
}

}  // namespace

void lstm(OnnxWriter& w, const Node& n) {
  refuse_gates(w, n, {0});
  const Operands o = operands_of(n, true);
  const Projection p = projection_of(w, o.x);
  if (p.kernel.defined() && !o.mask.defined() && w.uses(output_of(n, 2)) == 0) {
    w.set(output_of(n, 1), OwnOp(w, p, o, {0, 3, 1, 2}).write("LSTM", {}));  // i, o, f, c
    return;
  }
  Steps s(w, n, o);
  const std::string h = s.state(o.h), c = s.state(o.c), x = s.step(o.x), mask = s.mask();
  const Names gates = s.split(s.add("Add", {x, s.add("MatMul", {h, w.name(o.kernel)})}), 4);
  const std::string kept = s.add("Mul", {s.add("Sigmoid", {gates[1]}), c});
  const std::string added = s.add("Mul", {s.add("Sigmoid", {gates[0]}), s.add("Tanh", {gates[2]})});
  const std::string new_c = s.add("Add", {kept, added});
  const std::string new_h = s.add("Mul", {s.add("Sigmoid", {gates[3]}), s.add("Tanh", {new_c})});
  const Names all = s.write({s.where(mask, new_h, h), s.where(mask, new_c, c)});
  w.set(output_of(n, 1), all[0]);
  w.set(output_of(n, 2), all[1]);
}

void gru(OnnxWriter& w, const Node& n) {
  refuse_gates(w, n, {0, 2});
  const Operands o = operands_of(n, false);
  const Projection p = projection_of(w, o.x);
  const bool reset_after = n.attribute<bool>("reset_after");
  if (p.kernel.defined() && !o.mask.defined()) {
    w.set(output_of(n, 1),
          OwnOp(w, p, o, {0, 1, 2}).write("GRU", {{"linear_before_reset", int64_t{reset_after}}}));
    return;
  }
  Steps s(w, n, o);
  const std::string h = s.state(o.h), mask = s.mask();
  const Names x = s.split(s.step(o.x), 3);
  const std::string kernel = w.name(o.kernel);
  std::string z, r, candidate;
  if (reset_after) {
    std::string inner = s.add("MatMul", {h, kernel});
    if (o.bias.defined()) inner = s.add("Add", {inner, w.name(o.bias)});
    const Names parts = s.split(inner, 3);
    z = s.add("Sigmoid", {s.add("Add", {x[0], parts[0]})});
    r = s.add("Sigmoid", {s.add("Add", {x[1], parts[1]})});
    candidate = s.add("Tanh", {s.add("Add", {x[2], s.add("Mul", {r, parts[2]})})});
  } else {
    const Names kernels =
        w.add_all("Split", {kernel, w.ints(Ints(3, o.units))}, 3, {{"axis", int64_t{1}}});
    z = s.add("Sigmoid", {s.add("Add", {x[0], s.add("MatMul", {h, kernels[0]})})});
    r = s.add("Sigmoid", {s.add("Add", {x[1], s.add("MatMul", {h, kernels[1]})})});
    const std::string inner = s.add("MatMul", {s.add("Mul", {r, h}), kernels[2]});
    candidate = s.add("Tanh", {s.add("Add", {x[2], inner})});
  }
  // z·h + (1 − z)·candidate
  const std::string change = s.add("Mul", {z, s.add("Sub", {h, candidate})});
  const Names all = s.write({s.where(mask, s.add("Add", {candidate, change}), h)});
  w.set(output_of(n, 1), all[0]);
}

void simple_rnn(OnnxWriter& w, const Node& n) {
  const Operands o = operands_of(n, false);
  const Projection p = projection_of(w, o.x);
  const std::string& activation = n.attribute<std::string>("activation");
  const std::string op = activation == "tanh"      ? "Tanh"
                         : activation == "relu"    ? "Relu"
                         : activation == "sigmoid" ? "Sigmoid"
                                                   : "";
  if (p.kernel.defined() && !o.mask.defined() && !op.empty()) {
    w.set(output_of(n),
          OwnOp(w, p, o, {0}).write("RNN", {{"activations", std::vector<std::string>{op}}}));
    return;
  }
  Steps s(w, n, o);
  const std::string h = s.state(o.h), mask = s.mask(), x = s.step(o.x);
  std::string next = s.add("Add", {x, s.add("MatMul", {h, w.name(o.kernel)})});
  if (!op.empty()) next = s.add(op, {next});
  w.set(output_of(n), s.write({s.where(mask, next, h)})[0]);
}

}  // namespace trireme::formats::to_onnx
