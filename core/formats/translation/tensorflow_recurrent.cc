// Recurrences: step by step where there are few steps, so that every reader takes them, else as a
// loop whose outputs go into a list of tensors.
#include <functional>

#include "core/formats/translation/tensorflow_cells.h"

namespace trireme::formats::to_tensorflow {
namespace {

constexpr int64_t kMostUnrolled = 128;  // steps

// The states of a step, each [batch, units]: h, and c of an LSTM. The first is also what it gives.
using States = TensorflowValues;
// What is the same in all steps, such as the kernel.
using Weights = TensorflowValues;
using Step = std::function<States(TensorflowWriter& w, const TensorflowValue& x,
                                  const States& states, const Weights& weights)>;

struct Recurrence {
  int64_t units = 0;
  Step step;
  Weights weights;
  std::vector<Shape> weight_shapes;
  States initial;  // empty: zeros
  size_t states = 1;
  TensorflowValue mask;      // no name: all steps are there
  std::vector<int> outputs;  // of the node, for each state; -1: it is not asked for
};

TensorflowValue product(TensorflowWriter& w, const TensorflowValue& a, const TensorflowValue& b) {
  return w.add("MatMul", {a, b}, {{"transpose_a", false}, {"transpose_b", false}});
}

// Step `at` (i32[]) of a sequence [batch, time, …].
TensorflowValue step_of(TensorflowWriter& w, const TensorflowValue& sequence,
                        const TensorflowValue& at) {
  return w.add("GatherV2", {sequence, at, w.number(1)}, {{"batch_dims", int64_t{0}}});
}

// `after` in the rows where the step is there (bool [batch]), else `before`.
void hold(TensorflowWriter& w, const TensorflowValue& is_there, const States& before,
          States& after) {
  const TensorflowValue column = w.reshape(is_there, {-1, 1});
  for (size_t i = 0; i < after.size(); ++i) {
    after[i] = w.add("SelectV2", {column, after[i], before[i]});
  }
}

States first_states(TensorflowWriter& w, const TensorflowValue& x, const Recurrence& r) {
  if (!r.initial.empty()) return r.initial;
  const TensorflowValue step = step_of(w, x, w.number(0));
  const TensorflowValue zeros = w.add("ZerosLike", {w.slice(step, {0, 0}, {-1, r.units})});
  return States(r.states, zeros);
}

void write_unrolled(TensorflowWriter& w, const Node& node, const Recurrence& r) {
  const int64_t steps = node.input(0).shape()[1];
  const bool reverse = node.attribute<bool>("reverse");
  const auto unpacked = [&](const TensorflowValue& x) {
    return w.add_all("Unpack", {x}, {{"num", steps}, {"axis", int64_t{1}}});
  };
  const TensorflowValue x = w.input(node, 0);
  const TensorflowValues inputs = unpacked(x);
  const TensorflowValues there = r.mask.name.empty() ? TensorflowValues() : unpacked(r.mask);
  States states = first_states(w, x, r);
  std::vector<TensorflowValues> given(r.states, TensorflowValues(static_cast<size_t>(steps)));
  for (int64_t step = 0; step < steps; ++step) {
    const auto at = static_cast<size_t>(reverse ? steps - 1 - step : step);
    States after = r.step(w, inputs[at], states, r.weights);
    if (!there.empty()) hold(w, there[at], states, after);
    states = std::move(after);
    for (size_t i = 0; i < r.states; ++i) given[i][at] = states[i];
  }
  for (size_t i = 0; i < r.states; ++i) {
    if (r.outputs[i] >= 0)
      w.set(node, r.outputs[i], w.add("Pack", given[i], {{"axis", int64_t{1}}}));
  }
}

// The arguments of both functions of a loop: the counter, the states, a list for each state, the
// sequence, the weights and maybe the mask.
struct Loop {
  std::vector<std::string> names;
  TensorflowValues values;
  std::vector<Shape> shapes;

  void add(std::string name, TensorflowValue value, Shape shape) {
    names.push_back(std::move(name));
    values.push_back(std::move(value));
    shapes.push_back(shape);
  }
};

void write_loop(TensorflowWriter& w, const Node& node, const Recurrence& r) {
  const Shape& shape = node.input(0).shape();
  const int64_t steps = shape[1];
  const bool reverse = node.attribute<bool>("reverse");
  const TensorflowValue x = w.input(node, 0);
  const std::vector<int64_t> element = {-1, r.units};
  Loop loop;
  loop.add("step", w.number(0), {});
  const States first = first_states(w, x, r);
  for (size_t i = 0; i < r.states; ++i) loop.add(str_cat("state_", i), first[i], {-1, r.units});
  for (size_t i = 0; i < r.states; ++i) {
    loop.add(str_cat("list_", i),
             w.add("TensorListReserve", {w.numbers(element), w.number(steps)},
                   {{"element_dtype", x.type}}),
             {});
  }
  loop.add("x", x, shape);
  for (size_t i = 0; i < r.weights.size(); ++i) {
    loop.add(str_cat("weight_", i), r.weights[i], r.weight_shapes[i]);
  }
  if (!r.mask.name.empty()) loop.add("mask", r.mask, shape.first(2));

  const std::string condition = w.add_function("while_condition", [&](TensorflowWriter& f) {
    TensorflowValues arguments;
    for (size_t i = 0; i < loop.names.size(); ++i) {
      arguments.push_back(f.add_argument(loop.names[i], loop.values[i].type));
    }
    f.add_result("goes_on", f.add("Less", {arguments[0], f.number(steps)}));
  });
  const std::string body = w.add_function("while_body", [&](TensorflowWriter& f) {
    TensorflowValues arguments;
    for (size_t i = 0; i < loop.names.size(); ++i) {
      arguments.push_back(f.add_argument(loop.names[i], loop.values[i].type));
    }
    const auto part = [&](size_t from, size_t count) {
      return TensorflowValues(arguments.begin() + static_cast<std::ptrdiff_t>(from),
                              arguments.begin() + static_cast<std::ptrdiff_t>(from + count));
    };
    const States states = part(1, r.states);
    const size_t lists = 1 + r.states, sequence = lists + r.states;
    const TensorflowValue at =
        reverse ? f.add("Sub", {f.number(steps - 1), arguments[0]}) : arguments[0];
    States after = r.step(f, step_of(f, arguments[sequence], at), states,
                          part(sequence + 1, r.weights.size()));
    if (!r.mask.name.empty()) hold(f, step_of(f, arguments.back(), at), states, after);
    TensorflowValues results = {f.add("AddV2", {arguments[0], f.number(1)})};
    results.insert(results.end(), after.begin(), after.end());
    for (size_t i = 0; i < r.states; ++i) {
      results.push_back(f.add("TensorListSetItem", {arguments[lists + i], at, after[i]},
                              {{"resize_if_index_out_of_bounds", false}}));
    }
    for (size_t i = sequence; i < arguments.size(); ++i) {
      results.push_back(f.add("Identity", {arguments[i]}));
    }
    for (size_t i = 0; i < results.size(); ++i) {
      f.add_result(str_cat(loop.names[i], "_after"), results[i]);
    }
  });
  tf::AttrValue shapes, condition_function, body_function;
  for (const Shape& of : loop.shapes) {
    set_tensorflow_shape(of, shapes.mutable_list()->add_shape());
  }
  condition_function.mutable_func()->set_name(condition);
  body_function.mutable_func()->set_name(body);
  const TensorflowValues after = w.add_all("StatelessWhile", loop.values,
                                           {{"cond", condition_function},
                                            {"body", body_function},
                                            {"output_shapes", shapes},
                                            {"parallel_iterations", int64_t{10}}});
  for (size_t i = 0; i < r.states; ++i) {
    if (r.outputs[i] < 0) continue;
    const TensorflowValue all =
        w.add("TensorListStack", {after[1 + r.states + i], w.numbers(element)},
              {{"element_dtype", x.type}, {"num_elements", steps}});
    w.set(node, r.outputs[i], w.transpose(all, {1, 0, 2}));
  }
}

void write(TensorflowWriter& w, const Node& node, const Recurrence& r) {
  if (node.input(0).shape()[1] <= kMostUnrolled) return write_unrolled(w, node, r);
  write_loop(w, node, r);
}

// Takes the states and the mask from the inputs that are left.
void take_rest(TensorflowWriter& w, const Node& node, int next, Recurrence& r) {
  if (node.attribute<bool>("has_state")) {
    for (size_t i = 0; i < r.states; ++i) r.initial.push_back(w.input(node, next++));
  }
  if (node.attribute<bool>("has_mask")) r.mask = w.input(node, next);
}

void add_weight(TensorflowWriter& w, const Node& node, int input, Recurrence& r) {
  r.weights.push_back(w.input(node, input));
  r.weight_shapes.push_back(node.input(input).shape());
}

}  // namespace

void lstm(TensorflowWriter& w, const Node& node) {
  Recurrence r;
  r.units = node.input(1).shape()[1] / 4;
  r.states = 2;
  r.outputs = {1, 2};
  add_weight(w, node, 1, r);
  take_rest(w, node, 2, r);
  r.step = [](TensorflowWriter& f, const TensorflowValue& x, const States& states,
              const Weights& weights) -> States {
    const TensorflowValue z = f.add("AddV2", {x, product(f, states[0], weights[0])});
    const TensorflowValues gates =
        f.add_all("Split", {f.number(1), z}, {{"num_split", int64_t{4}}});
    const auto sigmoid = [&](size_t i) { return f.add("Sigmoid", {gates[i]}); };
    const TensorflowValue kept = f.add("Mul", {sigmoid(1), states[1]});
    const TensorflowValue added = f.add("Mul", {sigmoid(0), f.add("Tanh", {gates[2]})});
    const TensorflowValue c = f.add("AddV2", {kept, added});
    return {f.add("Mul", {sigmoid(3), f.add("Tanh", {c})}), c};
  };
  write(w, node, r);
}

void gru(TensorflowWriter& w, const Node& node) {
  Recurrence r;
  const int64_t units = r.units = node.input(1).shape()[1] / 3;
  r.outputs = {1};
  const bool reset_after = node.attribute<bool>("reset_after"),
             has_bias = node.attribute<bool>("has_bias");
  if (reset_after) {
    add_weight(w, node, 1, r);
  } else {
    // Of the gates, and of the candidate.
    const TensorflowValue kernel = w.input(node, 1);
    r.weights = {w.slice(kernel, {0, 0}, {-1, 2 * units}),
                 w.slice(kernel, {0, 2 * units}, {-1, units})};
    r.weight_shapes = {{units, 2 * units}, {units, units}};
  }
  if (has_bias) add_weight(w, node, 2, r);
  take_rest(w, node, has_bias ? 3 : 2, r);
  r.step = [=](TensorflowWriter& f, const TensorflowValue& x, const States& states,
               const Weights& weights) -> States {
    const TensorflowValue& h = states[0];
    const auto split = [&](const TensorflowValue& v, int64_t count) {
      return f.add_all("Split", {f.number(1), v}, {{"num_split", count}});
    };
    const auto sigmoid = [&](const TensorflowValue& a, const TensorflowValue& b) {
      return f.add("Sigmoid", {f.add("AddV2", {a, b})});
    };
    TensorflowValue inner = product(f, h, weights[0]);
    if (has_bias) inner = f.add("AddV2", {inner, weights[1]});
    const TensorflowValues of_x = split(x, 3), of_h = split(inner, reset_after ? 3 : 2);
    const TensorflowValue z = sigmoid(of_x[0], of_h[0]), reset = sigmoid(of_x[1], of_h[1]);
    const TensorflowValue recurrent = reset_after
                                          ? f.add("Mul", {reset, of_h[2]})
                                          : product(f, f.add("Mul", {reset, h}), weights[1]);
    const TensorflowValue g = f.add("Tanh", {f.add("AddV2", {of_x[2], recurrent})});
    const TensorflowValue rest = f.add("Sub", {f.scalar(z.type, 1), z});
    return {f.add("AddV2", {f.add("Mul", {z, h}), f.add("Mul", {rest, g})})};
  };
  write(w, node, r);
}

void simple_rnn(TensorflowWriter& w, const Node& node) {
  Recurrence r;
  r.units = node.input(1).shape()[1];
  r.outputs = {0};
  add_weight(w, node, 1, r);
  take_rest(w, node, 2, r);
  const std::string activation = node.attribute<std::string>("activation");
  r.step = [activation](TensorflowWriter& f, const TensorflowValue& x, const States& states,
                        const Weights& weights) -> States {
    const TensorflowValue z = f.add("AddV2", {x, product(f, states[0], weights[0])});
    if (activation == "none") return {z};
    return {f.add(activation == "relu"      ? "Relu"
                  : activation == "sigmoid" ? "Sigmoid"
                                            : "Tanh",
                  {z})};
  };
  write(w, node, r);
}

}  // namespace trireme::formats::to_tensorflow
