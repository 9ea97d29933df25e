// Losses: (predictions, labels) → the loss of each example, f32[batch], or of each element of it,
// f32[batch, time, …]. The model takes the mean of all; see add_losses() in train_graph.h.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "core/catalog/catalog.h"
#include "core/graph/graph.h"
#include "core/nn/labels.h"

namespace trireme::nn {

struct Loss {
  std::string name;
  std::function<Value(Value predictions, Value labels)> function;
  LabelDomain labels = LabelDomain::kAny;  // fit and evaluate refuse others
  bool takes_logits = false;               // predictions may be any numbers
  int label_power = 0;  // labels times u give the loss times u to this power; see in_label_units()
  // The loss that is shown from the mean that is minimized; null: that mean. In the units of labels
  // that were scaled, for one.
  std::function<double(double mean)> finish = {};
  // Which elements of the loss count, bool of its shape; null: all. The mean is that of those.
  std::function<Value(Value predictions, Value labels)> mask = {};
  std::optional<int64_t> ignored_class = {};  // a label that LabelDomain::kClass is to allow
};

// Each throws Error{kInvalidArgument} naming both shapes when they do not fit. `from_logits`:
// predictions are scores, as a model's last layer without activation gives them; else
// probabilities, whose logarithm is less exact.

struct SparseCategoricalOptions {
  bool from_logits = true;
  double label_smoothing = 0;                // the share that all classes get equally
  std::optional<int64_t> ignore_class = {};  // elements with this label do not count
};
// predictions: [batch, …, classes]; labels: integers [batch, …] or [batch, …, 1].
Loss sparse_categorical_cross_entropy(const SparseCategoricalOptions& options);
Loss sparse_categorical_cross_entropy(bool from_logits = true);
// predictions: [batch, …, classes]; labels: the same shape, one-hot or a distribution.
Loss categorical_cross_entropy(bool from_logits = true, double label_smoothing = 0);
// Labels from 0 to 1 in any type, of the predictions' shape up to axes of size 1; the mean over the
// last axis.
Loss binary_cross_entropy(bool from_logits = true, double label_smoothing = 0);
Loss mean_squared_error();

// One of Trireme's with its defaults. Throws Error{kInvalidArgument} as Catalog::find().
Loss loss_from_name(std::string_view name);

// Of labels that were divided by `unit` for the training: the loss is shown as it is of the labels
// themselves. `unit` is read whenever it is shown. A loss whose label_power is 0 stays as it is.
Loss in_label_units(Loss loss, std::shared_ptr<const double> unit);
// What `finish` becomes then.
std::function<double(double mean)> in_label_units(std::function<double(double mean)> finish,
                                                  int power, std::shared_ptr<const double> unit);

// Labels as f32 in the shape of the predictions; `what` names the loss or metric in the error.
Value match_labels(std::string_view what, Value predictions, Value labels);
// Labels as integers, i32 or i64, in the shape of the predictions [batch, …, classes] without their
// last axis.
Value class_labels(std::string_view what, Value predictions, Value labels);
// The mean of all but the first axis.
Value mean_per_example(Value x);
// The mean over the last axis, where there is one behind the batch: [batch] stays as it is.
Value mean_of_last_axis(Value x);
// log(x), finite also where x is 0.
Value log_of_probability(Value x);

// A loss as a job file names it. To add one: derive a class, and add it in
// register_core_losses(), or in a program's own list.
class LossOptions : public Component {
 public:
  static constexpr std::string_view kFamily = "loss";
  virtual Loss make() const = 0;
};
void register_core_losses(Catalog<LossOptions>& catalog);

// One without options.
template <Loss (*make_loss)()>
class PlainLoss : public LossOptions {
 public:
  Loss make() const override { return make_loss(); }
};

}  // namespace trireme::nn
