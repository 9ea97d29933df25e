#include "core/nn/recurrent_layers.h"

#include <algorithm>

#include "core/base/error.h"

namespace trireme::nn {
namespace {

// --- what the options of the three layers have in common

void describe_units(OptionVisitor& visitor, int64_t& units) {
  visitor.field({.name = "units",
                 .help = "width of the state and of the output",
                 .range = at_least(1),
                 .default_text = "must be given"},
                units);
}

template <typename Options>
void describe_weights(OptionVisitor& visitor, Options& options) {
  visitor.field({.name = "use_bias", .help = "adds a bias"}, options.use_bias);
  describe(visitor, {.name = "kernel_initializer", .help = "first values of the kernel"},
           options.kernel_initializer);
  describe(visitor,
           {.name = "recurrent_initializer", .help = "first values of the recurrent kernel"},
           options.recurrent_initializer);
  describe(visitor, {.name = "bias_initializer", .help = "first values of the bias"},
           options.bias_initializer);
  describe_weight_rules(visitor, options);
  describe(visitor, {.name = "recurrent_regularizer", .help = "penalty of the recurrent kernel"},
           options.recurrent_regularizer);
  describe(visitor,
           {.name = "recurrent_constraint", .help = "of the recurrent kernel after each step"},
           options.recurrent_constraint);
}

template <typename Options>
void describe_sequence(OptionVisitor& visitor, Options& options) {
  visitor.field({.name = "dropout",
                 .help = "share of the features that are set to 0 while training, the same at each "
                         "step of an example",
                 .range = from_below(0, 1)},
                options.dropout);
  visitor.field({.name = "recurrent_dropout",
                 .help = "0: no other is possible where all steps are one op",
                 .range = from_below(0, 1)},
                options.recurrent_dropout);
  visitor.field({.name = "return_sequences",
                 .help = "gives the state of each step, [batch, time, units], not only the last"},
                options.return_sequences);
  visitor.field({.name = "go_backwards",
                 .help = "goes from the last step to the first, and gives the steps in that order"},
                options.go_backwards);
  visitor.field({.name = "stateful", .help = "false: no state is kept between batches"},
                options.stateful);
}

template <typename Options>
void check_sequence(const Options& options, std::string_view type) {
  if (options.recurrent_dropout > 0) {
    throw invalid_argument(type, ": recurrent_dropout: expected 0, found ",
                           options.recurrent_dropout,
                           "; the steps are one op, between which nothing can be dropped. Use "
                           "dropout");
  }
  if (options.stateful) {
    throw invalid_argument(type,
                           ": stateful: examples are shuffled and shared by workers, so that no "
                           "state goes from one batch to the next; use longer sequences, or give "
                           "the initial state as an input");
  }
}

void require_activation(std::string_view type, std::string_view option, Activation found,
                        Activation expected, std::string_view name) {
  if (found == expected) return;
  throw invalid_argument(type, ": ", option, ": expected ", name,
                         ", the one that the op of all steps has");
}

template <typename Options>
SequenceOptions sequence_of(const Options& options) {
  return {.return_sequences = options.return_sequences,
          .go_backwards = options.go_backwards,
          .dropout = options.dropout};
}

// --- building

// The steps of a sequence in the opposite order.
Value reversed(Value x) {
  const int64_t steps = x.shape()[1];
  std::vector<int64_t> order(static_cast<size_t>(steps));
  for (int64_t i = 0; i < steps; ++i) order[static_cast<size_t>(i)] = steps - 1 - i;
  const Value indices = ops::constant(x.graph(), Tensor::from<int64_t>({steps}, order));
  ops::Axes swapped = {1, 0};
  for (int i = 2; i < x.shape().rank(); ++i) swapped.push_back(i);
  return ops::transpose(ops::gather(ops::transpose(x, swapped), indices), swapped);
}

// One call of a recurrent layer.
class Recurrence {
 public:
  Recurrence(BuildContext& context, std::span<const Value> inputs, const SequenceOptions& options,
             bool turned, size_t states, int64_t units)
      : context_(context), options_(options), turned_(turned), mask_(context.mask(inputs[0])) {
    if (inputs.size() != 1 && inputs.size() != 1 + states) {
      throw invalid_argument("expected one input, the sequence, or ", 1 + states,
                             " with its initial state", states > 1 ? "s h and c" : "", ", found ",
                             inputs.size());
    }
    const Shape& shape = inputs[0].shape();
    context.require(
        is_floating(inputs[0].dtype()) && shape.rank() == 3 && shape[1] > 0 && shape[2] > 0,
        "a sequence [batch, time, features] with a known number of steps",
        shape.rank() == 2 ? "add a reshape or an embedding layer before it" : "");
    for (size_t i = 1; i < inputs.size(); ++i) {
      context.require(inputs[i].shape().rank() == 2 && inputs[i].shape()[1] == units,
                      str_cat("an initial state [batch, ", units, "]"), "", i);
    }
    x_ = inputs[0];
    if (context.training() && options.dropout > 0) {
      const Value first = ops::slice(x_, {0, 0, 0}, {-1, 1, -1});
      x_ = x_ * ops::dropout(ops::ones_like(first), context.random_key(), options.dropout,
                             context.layer_seed());
    }
    steps_.mask = mask_;
    steps_.reverse = options.go_backwards != turned;
    if (inputs.size() > 1) steps_.state = inputs[1];
    if (inputs.size() > 2) steps_.cell = inputs[2];
  }

  const ops::RecurrentOptions& steps() const { return steps_; }
  int64_t features() const { return x_.shape()[2]; }

  // x·kernel + bias of all steps; bias may be undefined.
  Value project(Value kernel, Value bias) const {
    const Value y = ops::matmul(x_, kernel);
    return bias.defined() ? ops::bias_add(y, bias) : y;
  }
  Value last(Value h) const { return ops::last_step(h, steps_.reverse); }
  Value output(Value h, const RegularizerPtr& activity_regularizer) {
    const Value y = sequence_or_last(h);
    context_.add_activity_loss(activity_regularizer, y);
    return y;
  }

 private:
  Value sequence_or_last(Value h) {
    if (!options_.return_sequences) return last(h);
    const bool in_order_of_steps = options_.go_backwards && !turned_;
    const Value y = in_order_of_steps ? reversed(h) : h;
    if (mask_.defined()) context_.set_mask(y, in_order_of_steps ? reversed(mask_) : mask_);
    return y;
  }

  BuildContext& context_;
  const SequenceOptions& options_;
  bool turned_;
  Value mask_, x_;
  ops::RecurrentOptions steps_;
};

// Of `gates` gates; the values of each gate of a kernel are drawn as those of the whole matrix, as
// Keras does.
template <typename Options>
Value recurrent_kernel(BuildContext& context, const Options& options, int64_t gates) {
  const Shape shape{options.units, gates * options.units};
  return context.variable("recurrent_kernel", shape, options.recurrent_initializer, fans_of(shape));
}
template <typename Options>
Value input_kernel(BuildContext& context, const Options& options, int64_t features, int64_t gates) {
  const Shape shape{features, gates * options.units};
  return context.variable("kernel", shape, options.kernel_initializer, fans_of(shape),
                          options.kernel_regularizer, options.kernel_constraint);
}
template <typename Options>
Value bias_of(BuildContext& context, const Options& options, const Shape& shape,
              const Initializer& initializer, Value kernel) {
  return context.variable("bias", shape, initializer, fans_of(kernel.shape()),
                          options.bias_regularizer, options.bias_constraint);
}

// `initializer`, with 1 in the place of the forget gate, the second of four.
Initializer forget_gate_ones(const Initializer& initializer, int64_t units) {
  return [=](const InitializerInput& input) {
    Tensor bias = initializer(input);
    const auto values = bias.flat<float>();
    std::fill_n(values.begin() + units, units, 1.0f);
    return bias;
  };
}

}  // namespace

// --- LSTM

void LstmOptions::describe(OptionVisitor& visitor) {
  describe_units(visitor, units);
  nn::describe(visitor, {.name = "activation", .help = "of the candidate and the output: TANH"},
               activation);
  nn::describe(visitor, {.name = "recurrent_activation", .help = "of the gates: SIGMOID"},
               recurrent_activation);
  visitor.field({.name = "unit_forget_bias", .help = "the bias of the forget gate starts at 1"},
                unit_forget_bias);
  describe_weights(visitor, *this);
  describe_sequence(visitor, *this);
  visitor.field({.name = "return_state",
                 .help = "gives h and c of the last step side by side, [batch, 2·units]"},
                return_state);
}

void LstmOptions::check() const {
  require_activation("lstm", "activation", activation, Activation::kTanh, "TANH");
  require_activation("lstm", "recurrent_activation", recurrent_activation, Activation::kSigmoid,
                     "SIGMOID");
  check_sequence(*this, "lstm");
  if (return_state && return_sequences) {
    throw invalid_argument(
        "lstm: return_state and return_sequences: a layer gives one value; choose one of them");
  }
}

Value Lstm::call_inputs(BuildContext& context, std::span<const Value> inputs) {
  sequence_ = sequence_of(options_);
  Recurrence recurrence(context, inputs, sequence_, turned_, 2, options_.units);
  const Value kernel = input_kernel(context, options_, recurrence.features(), 4);
  const Value recurrent = recurrent_kernel(context, options_, 4);
  Value bias;
  if (options_.use_bias) {
    const Initializer& initializer = options_.bias_initializer;
    bias = bias_of(
        context, options_, {4 * options_.units},
        options_.unit_forget_bias ? forget_gate_ones(initializer, options_.units) : initializer,
        kernel);
  }
  const auto [h, c] = ops::lstm(recurrence.project(kernel, bias), recurrent, recurrence.steps());
  if (options_.return_state) {
    const Value last = recurrence.last(h);
    context.add_activity_loss(options_.activity_regularizer, last);
    return ops::concat({last, recurrence.last(c)}, 1);
  }
  return recurrence.output(h, options_.activity_regularizer);
}

// --- GRU

void GruOptions::describe(OptionVisitor& visitor) {
  describe_units(visitor, units);
  nn::describe(visitor, {.name = "activation", .help = "of the candidate: TANH"}, activation);
  nn::describe(visitor, {.name = "recurrent_activation", .help = "of the gates: SIGMOID"},
               recurrent_activation);
  describe_weights(visitor, *this);
  visitor.field({.name = "reset_after",
                 .help = "the reset gate is applied after the product with the state, not before"},
                reset_after);
  describe_sequence(visitor, *this);
}

void GruOptions::check() const {
  require_activation("gru", "activation", activation, Activation::kTanh, "TANH");
  require_activation("gru", "recurrent_activation", recurrent_activation, Activation::kSigmoid,
                     "SIGMOID");
  check_sequence(*this, "gru");
}

Value Gru::call_inputs(BuildContext& context, std::span<const Value> inputs) {
  sequence_ = sequence_of(options_);
  Recurrence recurrence(context, inputs, sequence_, turned_, 1, options_.units);
  const Value kernel = input_kernel(context, options_, recurrence.features(), 3);
  const Value recurrent = recurrent_kernel(context, options_, 3);
  Value bias, recurrent_bias;
  if (options_.use_bias) {
    const int64_t width = 3 * options_.units;
    const Shape shape = options_.reset_after ? Shape{2, width} : Shape{width};
    bias = bias_of(context, options_, shape, options_.bias_initializer, kernel);
    if (options_.reset_after) {
      recurrent_bias = ops::squeeze(ops::slice(bias, {1, 0}, {1, -1}), {0});
      bias = ops::squeeze(ops::slice(bias, {0, 0}, {1, -1}), {0});
    }
  }
  return recurrence.output(ops::gru(recurrence.project(kernel, bias), recurrent, recurrent_bias,
                                    options_.reset_after, recurrence.steps()),
                           options_.activity_regularizer);
}

// --- the simple recurrence

namespace {

std::string name_of(Activation activation) {
  switch (activation) {
    case Activation::kNone:
      return "none";
    case Activation::kRelu:
      return "relu";
    case Activation::kSigmoid:
      return "sigmoid";
    case Activation::kTanh:
      return "tanh";
    default:
      return "";
  }
}

}  // namespace

void SimpleRnnOptions::describe(OptionVisitor& visitor) {
  describe_units(visitor, units);
  nn::describe(visitor, {.name = "activation", .help = "of each step: TANH, RELU, SIGMOID or NONE"},
               activation);
  describe_weights(visitor, *this);
  describe_sequence(visitor, *this);
}

void SimpleRnnOptions::check() const {
  if (name_of(activation).empty()) {
    throw invalid_argument(
        "simple_rnn: activation: expected TANH, RELU, SIGMOID or NONE, which "
        "the op of all steps has");
  }
  check_sequence(*this, "simple_rnn");
}

Value SimpleRnn::call_inputs(BuildContext& context, std::span<const Value> inputs) {
  sequence_ = sequence_of(options_);
  Recurrence recurrence(context, inputs, sequence_, turned_, 1, options_.units);
  const Value kernel = input_kernel(context, options_, recurrence.features(), 1);
  const Value recurrent = recurrent_kernel(context, options_, 1);
  Value bias;
  if (options_.use_bias) {
    bias = bias_of(context, options_, {options_.units}, options_.bias_initializer, kernel);
  }
  return recurrence.output(ops::simple_rnn(recurrence.project(kernel, bias), recurrent,
                                           name_of(options_.activation), recurrence.steps()),
                           options_.activity_regularizer);
}

// --- around others

namespace {

void require_one(const LayerList& layers, std::string_view type) {
  if (layers.size() == 1) return;
  throw invalid_argument(type, ": layer: expected one layer, found ", layers.size());
}

}  // namespace

void BidirectionalOptions::describe(OptionVisitor& visitor) {
  visitor.components({.name = "layer", .help = "the recurrent layer that goes both ways"}, layer);
  static constexpr EnumName<MergeMode> kNames[] = {{MergeMode::kConcat, "CONCAT"},
                                                   {MergeMode::kSum, "SUM"},
                                                   {MergeMode::kMultiply, "MUL"},
                                                   {MergeMode::kAverage, "AVE"}};
  visitor.field({.name = "merge_mode", .help = "how what both ways give becomes one"}, merge_mode,
                kNames);
}

void BidirectionalOptions::check() const {
  require_one(layer, "bidirectional");
  const auto* inner = dynamic_cast<const RecurrentLayer*>(layer[0].get());
  if (inner == nullptr) {
    throw invalid_argument("bidirectional: layer: expected an lstm, gru or simple_rnn, found ",
                           layer[0]->type());
  }
}

Value Bidirectional::call(BuildContext& context, Value x) {
  Layer& layer = *options_.layer[0];
  auto& recurrent = dynamic_cast<RecurrentLayer&>(layer);
  const std::string name = layer.name().empty() ? layer.type() : layer.name();
  layer.set_name("forward_" + name);
  const Value forward = context.call(layer, x);
  layer.set_name("backward_" + name);
  recurrent.set_turned(true);
  const Value backward = context.call(layer, x);
  recurrent.set_turned(false);
  layer.set_name(name);
  Value y;
  switch (options_.merge_mode) {
    case MergeMode::kConcat:
      y = ops::concat({forward, backward}, forward.shape().rank() - 1);
      break;
    case MergeMode::kSum:
      y = forward + backward;
      break;
    case MergeMode::kMultiply:
      y = forward * backward;
      break;
    case MergeMode::kAverage:
      y = (forward + backward) * ops::fill_like(forward, 0.5);
      break;
  }
  const Value mask = context.mask(x);
  if (!recurrent.sequence().return_sequences || !mask.defined()) return y;
  // As Keras: padding gives zeros here, not the state that is held.
  y = y * ops::cast(ops::expand_dims(mask, {2}), y.dtype());
  context.set_mask(y, mask);
  return y;
}

void TimeDistributedOptions::describe(OptionVisitor& visitor) {
  visitor.components({.name = "layer", .help = "what is applied to each step"}, layer);
}

void TimeDistributedOptions::check() const { require_one(layer, "time_distributed"); }

Value TimeDistributed::call(BuildContext& context, Value x) {
  const Shape& shape = x.shape();
  context.require(shape.rank() >= 2 && shape[1] > 0,
                  "a sequence [batch, time, …] with a known number of steps");
  Layer& layer = *options_.layer[0];
  if (layer.name().empty()) layer.set_name(layer.type());
  Shape flat{-1};
  for (int i = 2; i < shape.rank(); ++i) flat.push_back(shape[i]);
  const Value y = context.call_on_steps(layer, ops::reshape(x, flat), shape[1]);
  Shape steps{-1, shape[1]};
  for (int i = 1; i < y.shape().rank(); ++i) steps.push_back(y.shape()[i]);
  const Value result = ops::reshape(y, steps);
  if (context.mask(x).defined()) context.set_mask(result, context.mask(x));
  return result;
}

}  // namespace trireme::nn
