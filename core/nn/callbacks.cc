#include "core/nn/callbacks.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <fstream>
#include <utility>

#include "core/base/error.h"
#include "core/base/log_file.h"
#include "core/io/atomic_file.h"
#include "core/io/input_file.h"
#include "core/nn/model.h"

namespace trireme::nn {
namespace {

constexpr std::string_view kEarlyStopping = "callback/early_stopping/";
constexpr std::string_view kCsvLines = "callback/csv_log/lines";

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
  // Also of a training that another process began, which may have ended before it could save.
  const auto latest = training.resumed() ? manager_.latest() : std::nullopt;
  saved_step_ = latest && latest->step == training.step() ? training.step() : -1;
  saved_epoch_ = training.epoch();
}

void CheckpointCallback::save_now(Training& training) {
  // The same step counts again when its epoch has ended meanwhile: the progress in it differs.
  if (saved_step_ == training.step() && saved_epoch_ == training.epoch()) return;
  if (options_.before) options_.before(training.step());
  manager_.save(training.step(), training.state());
  if (options_.after) options_.after(manager_.list());
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
  if (++waited_ >= options_.patience) stop(training);
}

void EarlyStopping::on_epoch_begin(Training& training) {
  if (waited_ > 0 && waited_ >= options_.patience) stop(training);
}

void EarlyStopping::stop(Training& training) {
  stopped_ = true;
  training.request_stop(str_cat(options_.monitor, " has not improved on ", best_, " for ", waited_,
                                waited_ == 1 ? " epoch" : " epochs"));
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
  best_weights_.clear();
  const std::string prefix = key("weights/");
  for (auto it = state.lower_bound(prefix); it != state.end() && it->first.starts_with(prefix);
       ++it) {
    best_weights_[it->first.substr(prefix.size())] = it->second;
  }
}

CsvLog::CsvLog(std::string path, std::function<bool()> writes)
    : path_(std::move(path)), writes_(std::move(writes)) {}

void CsvLog::on_train_begin(Training& training) {
  // A state without lines is older than this callback: the file has them.
  if (training.resumed() && lines_.empty()) lines_ = read_lines(path_);
  drop_from(training.epoch());
  write();
}

void CsvLog::on_epoch_begin(Training& training) {
  drop_from(training.epoch());
  write();
}

void CsvLog::on_epoch_end(Training& training, Logs logs) {
  const int64_t epoch = training.epoch() - 1;
  std::string header = "epoch", line = std::to_string(epoch);
  for (const LogValue& log : logs) {
    header += str_cat(",", log.name);
    char number[32];
    std::snprintf(number, sizeof number, ",%.9g", log.value);
    line += number;
  }
  drop_from(epoch);
  if (lines_.empty()) {
    lines_.push_back(header);
  } else if (lines_[0] != header) {
    throw invalid_argument(path_, ":1: expected the columns \"", header, "\", found \"", lines_[0],
                           "\"; choose another file");
  }
  lines_.push_back(line);
  write();
}

void CsvLog::on_train_end(Training&) { write(); }

void CsvLog::save(StateMap& state) const {
  if (lines_.empty()) return;
  state[std::string(kCsvLines)] =
      Tensor::from<std::string>({static_cast<int64_t>(lines_.size())}, lines_);
}

void CsvLog::restore(const StateMap& state) {
  const auto found = state.find(std::string(kCsvLines));
  if (found == state.end()) return;
  const auto lines = found->second.flat<std::string>();
  lines_.assign(lines.begin(), lines.end());
  close();  // what is in the file may be another's
}

void CsvLog::drop_from(int64_t epoch) {
  const auto is_late = [&](const std::string& line) { return std::atoll(line.c_str()) >= epoch; };
  if (lines_.empty()) return;
  const auto end = std::remove_if(lines_.begin() + 1, lines_.end(), is_late);
  if (end == lines_.end()) return;
  lines_.erase(end, lines_.end());
  close();
}

void CsvLog::write() {
  if (writes_ && !writes_()) {
    close();  // whoever writes now may do so until it is this process's turn again
    return;
  }
  if (fd_ >= 0 && written_ == lines_.size()) return;
  std::string text;
  for (size_t i = fd_ < 0 ? 0 : written_; i < lines_.size(); ++i) text += lines_[i] + '\n';
  if (fd_ < 0) {
    io::AtomicFile file(path_);
    file.append(text);
    fd_ = file.commit_open();
  } else {
    const off_t end = ::lseek(fd_, 0, SEEK_CUR);
    if (!write_all(fd_, text.data(), text.size())) {
      const Error error = io::file_error("append a line", path_, errno);
      if (::ftruncate(fd_, end) == 0) ::lseek(fd_, end, SEEK_SET);  // no half a line
      throw Error(error);
    }
  }
  written_ = lines_.size();
}

void CsvLog::close() {
  if (fd_ >= 0) ::close(std::exchange(fd_, -1));
}

CsvLog::~CsvLog() { close(); }

}  // namespace trireme::nn
