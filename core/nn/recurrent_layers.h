// Recurrent layers over sequences [batch, time, features], with the variables, options and defaults
// that Keras's have: each is one op for all steps (core/ops/recurrent.h).
//
// They leave out the steps that the mask of their input marks as padding. Besides the sequence an
// LSTM may be called on its two initial states, the others on one: [batch, units] each.
#pragma once

#include <memory>
#include <string>

#include "core/nn/layer.h"
#include "core/ops/recurrent.h"

namespace trireme::nn {

// What all recurrent layers are told besides their weights.
struct SequenceOptions {
  bool return_sequences = false;  // h of each step; else that of the last
  bool go_backwards = false;      // from the last step to the first; h of each step in that order
  double dropout = 0;             // of the features, the same ones at each step of an example
};

// A recurrent layer, as Bidirectional sees it.
class RecurrentLayer {
 public:
  virtual ~RecurrentLayer() = default;
  virtual const SequenceOptions& sequence() const = 0;
  // Calls it from the last step to the first, in place of what go_backwards says; h of each step
  // stands at the time of its input.
  virtual void set_turned(bool turned) = 0;
};

// Hochreiter and Schmidhuber 1997. Variables: kernel [features, 4·units] and recurrent_kernel
// [units, 4·units] with the gates i, f, c, o, and bias [4·units].
struct LstmOptions {
  int64_t units = 0;  // must be given
  Activation activation = Activation::kTanh;
  Activation recurrent_activation = Activation::kSigmoid;
  bool use_bias = true;
  bool unit_forget_bias = true;  // the bias of f starts at 1
  Initializer kernel_initializer = glorot_uniform();
  Initializer recurrent_initializer = orthogonal();
  Initializer bias_initializer = zeros();
  RegularizerPtr kernel_regularizer = {}, recurrent_regularizer = {}, bias_regularizer = {};
  RegularizerPtr activity_regularizer = {};
  ConstraintPtr kernel_constraint = {}, recurrent_constraint = {}, bias_constraint = {};
  double dropout = 0;
  double recurrent_dropout = 0;
  bool return_sequences = false;
  bool return_state = false;  // h and c of the last step side by side, [batch, 2·units]
  bool go_backwards = false;
  bool stateful = false;
  std::string name = "";

  void describe(OptionVisitor& visitor);
  void check() const;
};
class Lstm : public LayerOf<LstmOptions>, public RecurrentLayer {
 public:
  using LayerOf::LayerOf;
  std::string type() const override { return "lstm"; }
  Value call_inputs(BuildContext& context, std::span<const Value> inputs) override;
  const SequenceOptions& sequence() const override { return sequence_; }
  void set_turned(bool turned) override { turned_ = turned; }

 private:
  SequenceOptions sequence_;
  bool turned_ = false;
};

// Cho et al. 2014. Variables: kernel [features, 3·units] and recurrent_kernel [units, 3·units] with
// the gates z, r, h, and bias: [2, 3·units] with reset_after (for the input and for the state),
// else [3·units].
struct GruOptions {
  int64_t units = 0;  // must be given
  Activation activation = Activation::kTanh;
  Activation recurrent_activation = Activation::kSigmoid;
  bool use_bias = true;
  Initializer kernel_initializer = glorot_uniform();
  Initializer recurrent_initializer = orthogonal();
  Initializer bias_initializer = zeros();
  RegularizerPtr kernel_regularizer = {}, recurrent_regularizer = {}, bias_regularizer = {};
  RegularizerPtr activity_regularizer = {};
  ConstraintPtr kernel_constraint = {}, recurrent_constraint = {}, bias_constraint = {};
  double dropout = 0;
  double recurrent_dropout = 0;
  bool reset_after = true;
  bool return_sequences = false;
  bool go_backwards = false;
  bool stateful = false;
  std::string name = "";

  void describe(OptionVisitor& visitor);
  void check() const;
};
class Gru : public LayerOf<GruOptions>, public RecurrentLayer {
 public:
  using LayerOf::LayerOf;
  std::string type() const override { return "gru"; }
  Value call_inputs(BuildContext& context, std::span<const Value> inputs) override;
  const SequenceOptions& sequence() const override { return sequence_; }
  void set_turned(bool turned) override { turned_ = turned; }

 private:
  SequenceOptions sequence_;
  bool turned_ = false;
};

// h = activation(x·kernel + h·recurrent_kernel + bias).
struct SimpleRnnOptions {
  int64_t units = 0;  // must be given
  Activation activation = Activation::kTanh;
  bool use_bias = true;
  Initializer kernel_initializer = glorot_uniform();
  Initializer recurrent_initializer = orthogonal();
  Initializer bias_initializer = zeros();
  RegularizerPtr kernel_regularizer = {}, recurrent_regularizer = {}, bias_regularizer = {};
  RegularizerPtr activity_regularizer = {};
  ConstraintPtr kernel_constraint = {}, recurrent_constraint = {}, bias_constraint = {};
  double dropout = 0;
  double recurrent_dropout = 0;
  bool return_sequences = false;
  bool go_backwards = false;
  bool stateful = false;
  std::string name = "";

  void describe(OptionVisitor& visitor);
  void check() const;
};
class SimpleRnn : public LayerOf<SimpleRnnOptions>, public RecurrentLayer {
 public:
  using LayerOf::LayerOf;
  std::string type() const override { return "simple_rnn"; }
  Value call_inputs(BuildContext& context, std::span<const Value> inputs) override;
  const SequenceOptions& sequence() const override { return sequence_; }
  void set_turned(bool turned) override { turned_ = turned; }

 private:
  SequenceOptions sequence_;
  bool turned_ = false;
};

// A recurrent layer in both directions, each with variables of its own, and what both give put
// together. Variables: "forward_NAME/…" and "backward_NAME/…", NAME being the inner layer's.
enum class MergeMode { kConcat, kSum, kMultiply, kAverage };
struct BidirectionalOptions {
  LayerList layer;  // one
  MergeMode merge_mode = MergeMode::kConcat;
  std::string name = "";

  void describe(OptionVisitor& visitor);
  void check() const;
};
class Bidirectional : public LayerOf<BidirectionalOptions> {
 public:
  using LayerOf::LayerOf;
  std::string type() const override { return "bidirectional"; }
  Value call(BuildContext& context, Value x) override;
};

// A layer applied to each step of [batch, time, …] by itself, with one set of variables.
struct TimeDistributedOptions {
  LayerList layer;  // one
  std::string name = "";

  void describe(OptionVisitor& visitor);
  void check() const;
};
class TimeDistributed : public LayerOf<TimeDistributedOptions> {
 public:
  using LayerOf::LayerOf;
  std::string type() const override { return "time_distributed"; }
  Value call(BuildContext& context, Value x) override;
};

}  // namespace trireme::nn
