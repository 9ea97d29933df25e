#include "core/nn/callbacks.h"

#include <cmath>

#include "core/base/error.h"
#include "core/nn/model.h"

namespace trireme::nn {
namespace {

constexpr std::string_view kEarlyStopping = "callback/early_stopping/";

std::string key(std::string_view name) { return str_cat(kEarlyStopping, name); }

std::vector<std::string> read_lines(const std::string& path) {
  std::ifstream in(path);
  std::vector<std::string> lines;
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  return lines;
}

}  // namespace

CheckpointCallback::CheckpointCallback(CheckpointCallbackOptions options)
    : options_(std::move(options)),
      manager_(options_.directory, io::CheckpointOptions{.keep_last = options_.keep_last}) {
  if (options_.every_steps < 0) {
    throw invalid_argument("checkpoints: every_steps must not be negative; found ",
                           options_.every_steps);
  }
}

void CheckpointCallback::on_train_begin(Training& training) {
  saved_step_ = training.resumed() ? training.step() : -1;
  saved_epoch_ = training.epoch();
}

void CheckpointCallback::save_now(Training& training) {
  // The same step counts again when its epoch has ended meanwhile: the progress in it differs.
  if (saved_step_ == training.step() && saved_epoch_ == training.epoch()) return;
  manager_.save(training.step(), training.state());
  saved_step_ = training.step();
  saved_epoch_ = training.epoch();
}

void CheckpointCallback::on_batch_end(Training& training, Logs) {
  if (options_.every_steps > 0 && training.step() % options_.every_steps == 0) save_now(training);
}

void CheckpointCallback::on_epoch_end(Training& training, Logs) {
  if (options_.every_epoch) save_now(training);
}

void CheckpointCallback::on_train_end(Training& training) {
  if (training.step() > 0) save_now(training);
}

EarlyStopping::EarlyStopping(EarlyStoppingOptions options) : options_(std::move(options)) {
  if (options_.patience < 0 || !(options_.min_delta >= 0)) {
    throw invalid_argument("early stopping: patience and min_delta must not be negative");
  }
}

void EarlyStopping::on_epoch_end(Training& training, Logs logs) {
  const LogValue* monitored = nullptr;
  std::string names;
  for (const LogValue& log : logs) {
    if (log.name == options_.monitor) monitored = &log;
    names += str_cat(names.empty() ? "" : ", ", log.name);
  }
  if (monitored == nullptr) {
    throw invalid_argument("early stopping: there is no \"", options_.monitor,
                           "\" to monitor; this training has ", names);
  }
  const double gain =
      options_.higher_is_better ? monitored->value - best_ : best_ - monitored->value;
  if (std::isnan(best_) || gain > options_.min_delta) {
    best_ = monitored->value;
    waited_ = 0;
    if (options_.restore_best_weights) best_weights_ = training.model().weights();
    return;
  }
  // As in Keras: patience 0 and 1 both stop at the first epoch that is no better.
  if (++waited_ >= options_.patience) {
    stopped_ = true;
    training.request_stop(str_cat(options_.monitor, " has not improved on ", best_, " for ",
                                  waited_, waited_ == 1 ? " epoch" : " epochs"));
  }
}

void EarlyStopping::on_train_end(Training& training) {
  // A training that was interrupted keeps its own weights: it will be resumed.
  if (stopped_ && !best_weights_.empty()) training.model().set_weights(best_weights_);
}

void EarlyStopping::save(StateMap& state) const {
  state[key("best")] = Tensor::scalar<double>(best_);
  state[key("waited")] = Tensor::scalar<int64_t>(waited_);
  for (const auto& [name, value] : best_weights_) state[key("weights/") + name] = value;
}

void EarlyStopping::restore(const StateMap& state) {
  // A training that began without early stopping starts to watch now.
  auto best = state.find(key("best"));
  auto waited = state.find(key("waited"));
  if (best == state.end() || waited == state.end()) return;
  best_ = best->second.item<double>();
  waited_ = waited->second.item<int64_t>();
  const std::string prefix = key("weights/");
  for (auto it = state.lower_bound(prefix); it != state.end() && it->first.starts_with(prefix);
       ++it) {
    best_weights_[it->first.substr(prefix.size())] = it->second;
  }
}

void CsvLog::on_train_begin(Training& training) {
  std::vector<std::string> lines;
  if (training.resumed()) lines = read_lines(path_);
  header_ = lines.empty() ? "" : lines[0];
  // Opening truncates, so kept lines are written again.
  out_.open(path_, std::ios::trunc);
  if (!out_) throw failed(path_, ": cannot be written; is its directory there?");
  for (size_t i = 0; i < lines.size(); ++i) {
    const bool keep = i == 0 || std::atoll(lines[i].c_str()) < training.epoch();
    if (keep) out_ << lines[i] << '\n';
  }
  out_.flush();
}

void CsvLog::on_epoch_end(Training& training, Logs logs) {
  std::string header = "epoch", line = std::to_string(training.epoch() - 1);
  for (const LogValue& log : logs) {
    header += str_cat(",", log.name);
    char number[32];
    std::snprintf(number, sizeof number, ",%.9g", log.value);
    line += number;
  }
  if (header_.empty()) {
    header_ = header;
    out_ << header << '\n';
  } else if (header_ != header) {
    throw invalid_argument(path_, ":1: expected the columns \"", header, "\", found \"", header_,
                           "\"; choose another file");
  }
  out_ << line << std::endl;
  if (!out_) throw failed(path_, ": writing failed; is the disk full?");
}

}  // namespace trireme::nn
