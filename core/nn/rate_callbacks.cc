#include "core/nn/rate_callbacks.h"

#include <algorithm>
#include <cmath>

#include "core/base/error.h"
#include "core/base/logging.h"
#include "core/nn/model.h"

namespace trireme::nn {
namespace {

using Mode = ReduceLrOnPlateauOptions::Mode;
constexpr EnumName<Mode> kModes[] = {
    {Mode::kAuto, "AUTO"}, {Mode::kMin, "MIN"}, {Mode::kMax, "MAX"}};

}  // namespace

void ReduceLrOnPlateauOptions::describe(OptionVisitor& visitor) {
  visitor.field({.name = "monitor", .help = "the name of a value of each epoch"}, monitor);
  visitor.field({.name = "factor",
                 .help = "what the learning rate is multiplied by",
                 .range = from_below(0, 1)},
                factor);
  visitor.field({.name = "patience",
                 .help = "epochs without improvement after which that happens",
                 .range = at_least(0)},
                patience);
  visitor.field({.name = "mode",
                 .help = "which values are better; AUTO: higher ones of accuracy and auc, else "
                         "lower ones"},
                mode, kModes);
  visitor.field(
      {.name = "min_delta", .help = "a smaller change is no improvement", .range = at_least(0)},
      min_delta);
  visitor.field({.name = "cooldown",
                 .help = "epochs after a change of the rate that do not count",
                 .range = at_least(0)},
                cooldown);
  visitor.field({.name = "min_lr", .help = "the least learning rate", .range = at_least(0)},
                min_lr);
}

ReduceLrOnPlateau::ReduceLrOnPlateau(ReduceLrOnPlateauOptions options)
    : options_(std::move(options)) {
  check_options(*this, "reduce_lr_on_plateau");
}

bool ReduceLrOnPlateau::higher_is_better() const {
  if (options_.mode != Mode::kAuto) return options_.mode == Mode::kMax;
  return options_.monitor.ends_with("accuracy") || options_.monitor.ends_with("auc");
}

std::string ReduceLrOnPlateau::key(const std::string& name) const {
  return str_cat("callback/reduce_lr_on_plateau/", options_.monitor, "/", name);
}

void ReduceLrOnPlateau::on_train_begin(Training& training) {
  require_monitored(options_.monitor, training.log_names());
  if (training.model().compiled().optimizer->has_schedule()) {
    throw invalid_argument(
        "reduce_lr_on_plateau: expected an optimizer with a constant learning rate, found one with "
        "a schedule; leave one of them out");
  }
}

void ReduceLrOnPlateau::on_epoch_end(Training& training, Logs logs) {
  const auto monitored = std::ranges::find(logs, options_.monitor, &LogValue::name);
  TRIREME_CHECK(monitored != logs.end(), "the log has no ", options_.monitor);
  if (!monitored->value) {
    throw invalid_argument("reduce_lr_on_plateau: epoch ", training.epoch(), " has no ",
                           options_.monitor, "; monitor another figure");
  }
  const double value = *monitored->value;
  if (cooling_ > 0) {
    --cooling_;
    waited_ = 0;
  }
  const double gain = !best_ ? 0 : higher_is_better() ? value - *best_ : *best_ - value;
  if (!best_ || gain > options_.min_delta) {
    best_ = value;
    waited_ = 0;
    return;
  }
  if (cooling_ > 0 || ++waited_ < options_.patience) return;
  const double rate = training.learning_rate();
  if (rate <= options_.min_lr) return;
  const double reduced = std::max(rate * options_.factor, options_.min_lr);
  training.set_learning_rate(reduced);
  cooling_ = options_.cooldown;
  waited_ = 0;
  if (writes()) {
    log_info(str_cat("epoch ", training.epoch(), ": ", options_.monitor, " has not improved on ",
                     *best_, "; the learning rate is ", reduced, " now"));
  }
}

void ReduceLrOnPlateau::save(StateMap& state) const {
  if (!best_) return;
  state[key("best")] = Tensor::scalar<double>(*best_);
  state[key("waited")] = Tensor::scalar<int64_t>(waited_);
  state[key("cooling")] = Tensor::scalar<int64_t>(cooling_);
}

void ReduceLrOnPlateau::restore(const StateMap& state) {
  best_.reset();
  waited_ = cooling_ = 0;
  const auto best = state.find(key("best")), waited = state.find(key("waited")),
             cooling = state.find(key("cooling"));
  if (best == state.end() || waited == state.end() || cooling == state.end()) return;
  best_ = best->second.item<double>();
  waited_ = waited->second.item<int64_t>();
  cooling_ = cooling->second.item<int64_t>();
}

std::vector<std::optional<double>> LogGradientNorm::figures(const Training&) const {
  if (steps_ == 0) return {std::nullopt};
  return {sum_ / static_cast<double>(steps_)};
}

void LogGradientNorm::on_epoch_begin(Training& training) {
  // One that was interrupted and goes on keeps what it has.
  if (training.epoch() == epoch_ && steps_ > 0) return;
  epoch_ = training.epoch();
  sum_ = 0;
  steps_ = 0;
}

void LogGradientNorm::on_batch_end(Training& training, Logs) {
  sum_ += training.gradient_norm().value();
  ++steps_;
}

void LogGradientNorm::save(StateMap& state) const {
  state["callback/log_gradient_norm/sum"] = Tensor::scalar<double>(sum_);
  state["callback/log_gradient_norm/steps"] = Tensor::scalar<int64_t>(steps_);
  state["callback/log_gradient_norm/epoch"] = Tensor::scalar<int64_t>(epoch_);
}

void LogGradientNorm::restore(const StateMap& state) {
  sum_ = 0;
  steps_ = epoch_ = 0;
  const auto sum = state.find("callback/log_gradient_norm/sum"),
             steps = state.find("callback/log_gradient_norm/steps"),
             epoch = state.find("callback/log_gradient_norm/epoch");
  if (sum == state.end() || steps == state.end() || epoch == state.end()) return;
  sum_ = sum->second.item<double>();
  steps_ = steps->second.item<int64_t>();
  epoch_ = epoch->second.item<int64_t>();
}

void TerminateOnNan::on_batch_end(Training& training, Logs logs) {
  const std::optional<double>& loss = logs[0].value;
  if (!loss || std::isfinite(*loss)) return;
  training.request_stop(str_cat("the loss of step ", training.step(), " is ", *loss));
}

void register_rate_callbacks(Catalog<Callback>& catalog) {
  catalog.add<ReduceLrOnPlateau>(
      "reduce_lr_on_plateau", "ReduceLROnPlateau",
      "Multiplies the learning rate when a value has stopped to improve.");
  catalog.add<TerminateOnNan>(
      "terminate_on_nan", "TerminateOnNaN",
      "Ends the training where a loss is not a number, which is an error without it.");
  catalog.add<LogLearningRate>("log_learning_rate", "",
                               "A column learning_rate in the logs and in log.csv.");
  catalog.add<LogGradientNorm>("log_gradient_norm", "",
                               "A column gradient_norm: the mean norm of the gradient of all "
                               "variables and workers, before it is clipped.");
}

}  // namespace trireme::nn
