#include "core/nn/callbacks.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <fstream>
#include <utility>

#include "core/base/activity.h"
#include "core/base/error.h"
#include "core/base/log_file.h"
#include "core/base/logging.h"
#include "core/base/uninterrupted.h"
#include "core/io/atomic_file.h"
#include "core/io/input_file.h"
#include "core/nn/model.h"
#include "core/nn/rate_callbacks.h"
#include "core/nn/tensorboard.h"

namespace trireme::nn {
namespace {

constexpr std::string_view kEarlyStopping = "callback/early_stopping/";

std::string key(std::string_view name) { return str_cat(kEarlyStopping, name); }

// Calls `visit(rest of the name, value)` for the names that start with `prefix`.
template <typename Visit>
void for_each_below(const StateMap& state, const std::string& prefix, Visit visit) {
  for (auto it = state.lower_bound(prefix); it != state.end() && it->first.starts_with(prefix);
       ++it) {
    visit(it->first.substr(prefix.size()), it->second);
  }
}

std::vector<std::string> read_lines(const std::string& path) {
  std::ifstream in(path);
  std::vector<std::string> lines;
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  return lines;
}

constexpr std::string_view kDataWait = "data_wait_ms";

// The last cell of a line with its comma, where the header says that it is data_wait_ms.
std::string_view data_wait_cell(std::string_view header, std::string_view line) {
  const size_t comma = line.rfind(',');
  if (!header.ends_with(kDataWait) || comma == std::string_view::npos) return "";
  return line.substr(comma);
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
  saved_step_ = saved_revision_ = -1;
  if (latest && latest->step == training.step()) {
    saved_step_ = training.step();
    if (holds(*latest, training)) saved_revision_ = training.revision();
  }
  keep_best();
}

// Of checkpoints of the same step: was it written before the epoch was validated, or before the
// best weights were restored?
bool CheckpointCallback::holds(const io::CheckpointInfo& checkpoint,
                               const Training& training) const {
  const io::BundleReader reader(checkpoint.prefix);
  const auto number = [&](const std::string& name) {
    return reader.contains(name) ? reader.read(name).item<int64_t>() : 0;
  };
  return number("epoch") == training.epoch() && (number(key("restored")) != 0) == best().restored;
}

void CheckpointCallback::save_now(Training& training) {
  if (saved_revision_ == training.revision()) return;
  const ActivityScope writing(Activity::kCheckpoint);
  const Uninterrupted saving;
  // A step is saved again when its epoch was validated; what lies beside it is the same.
  if (options_.before && saved_step_ != training.step()) options_.before(training.step());
  manager_.save(training.step(), training.state());
  keep_best();
  if (options_.after) options_.after(manager_.list());
  saved_step_ = training.step();
  saved_revision_ = training.revision();
}

void CheckpointCallback::keep_best() {
  const int64_t step = best().step;
  if (step < 0) return;
  if (const auto marked = manager_.best(); marked && marked->step == step) return;
  const auto kept = manager_.list();
  if (std::ranges::find(kept, step, &io::CheckpointInfo::step) != kept.end()) {
    manager_.mark_best(step);
  }
}

void CheckpointCallback::on_validation_begin(Training& training) {
  if (options_.every_epoch) save_now(training);
}

void CheckpointCallback::on_batch_end(Training& training, Logs) {
  if (options_.every_steps > 0 && training.step() % options_.every_steps == 0) save_now(training);
}

void CheckpointCallback::on_epoch_end(Training& training, Logs) {
  if (options_.every_epoch || best().step == training.step()) save_now(training);
}

void CheckpointCallback::on_failure(Training& training) {
  if (training.step() > 0 && options_.saves_on_failure) save_now(training);
}

void CheckpointCallback::on_train_end(Training& training) {
  if (training.step() > 0) save_now(training);
}

EarlyStopping::EarlyStopping(EarlyStoppingOptions options) : options_(std::move(options)) {
  if (options_.patience < 0 || !(options_.min_delta >= 0)) {
    throw invalid_argument("early stopping: patience and min_delta must not be negative");
  }
}

void require_monitored(const std::string& monitor, std::span<const std::string> names) {
  std::string known;
  for (const std::string& name : names) {
    if (name == monitor) return;
    known += str_cat(known.empty() ? "" : ", ", name);
  }
  throw invalid_argument("early stopping: there is no \"", monitor,
                         "\" to monitor; this training has ", known);
}

void EarlyStopping::on_train_begin(Training& training) {
  require_monitored(options_.monitor, training.log_names());
}

void EarlyStopping::on_epoch_end(Training& training, Logs logs) {
  const auto monitored = std::ranges::find(logs, options_.monitor, &LogValue::name);
  TRIREME_CHECK(monitored != logs.end(), "the log has no ", options_.monitor);
  if (!monitored->value) {
    throw invalid_argument(
        "early stopping: epoch ", training.epoch(), " has no ", options_.monitor,
        ": there were no examples, or for an area under the curve those of one class only; "
        "monitor another figure");
  }
  const double value = *monitored->value;
  const double gain = options_.higher_is_better ? value - best_ : best_ - value;
  if (std::isnan(best_) || gain > options_.min_delta) {
    best_ = value;
    waited_ = 0;
    best_epoch_ = {training.epoch(), training.step(), {}};
    for (const LogValue& log : logs) {
      if (log.value) best_epoch_.logs[std::string(log.name)] = *log.value;
    }
    if (options_.restore_best_weights) {
      best_weights_ = training.model().weights();
      best_weights_.merge(training.model().averages());
    }
    return;
  }
  // As in Keras: patience 0 and 1 both stop at the first epoch that is no better.
  if (++waited_ >= options_.patience) stop(training);
}

void EarlyStopping::on_epoch_begin(Training& training) {
  if (waited_ > 0 && waited_ >= options_.patience) return stop(training);
  if (restored_) {
    log_warning(str_cat("the training goes on with the weights of epoch ", best_epoch_.epoch,
                        ", which were restored after epoch ", training.epoch()));
  }
  restored_ = false;
}

std::string EarlyStopping::reason() const {
  return str_cat(options_.monitor, " has not improved on ", best_, " for ", waited_,
                 waited_ == 1 ? " epoch" : " epochs");
}

void EarlyStopping::stop(Training& training) { training.request_stop(reason()); }

void EarlyStopping::on_train_end(Training& training) {
  // One that ends for another reason, a signal or the loss of its group, will be resumed.
  const std::string& reason = training.stop_reason();
  if (!reason.empty() && reason != this->reason()) return;
  if (restored_ || !options_.restore_best_weights) return;
  if (best_weights_.empty()) return;  // no epoch was finished
  restored_ = true;
  if (best_epoch_.epoch == training.epoch()) return;
  training.model().set_weights(best_weights_);
  training.changed();
}

void EarlyStopping::save(StateMap& state) const {
  state[key("monitor")] = Tensor::scalar<std::string>(options_.monitor);
  state[key("best")] = Tensor::scalar<double>(best_);
  state[key("waited")] = Tensor::scalar<int64_t>(waited_);
  state[key("restored")] = Tensor::scalar<int64_t>(restored_ ? 1 : 0);
  state[key("best_epoch")] = Tensor::scalar<int64_t>(best_epoch_.epoch);
  state[key("best_step")] = Tensor::scalar<int64_t>(best_epoch_.step);
  for (const auto& [name, value] : best_epoch_.logs) {
    state[key("best_logs/") + name] = Tensor::scalar<double>(value);
  }
  for (const auto& [name, value] : best_weights_) state[key("weights/") + name] = value;
}

void EarlyStopping::restore(const StateMap& state) {
  best_ = std::numeric_limits<double>::quiet_NaN();
  waited_ = 0;
  best_epoch_ = {};
  best_weights_.clear();
  restored_ = false;
  // A training that began without early stopping starts to watch now.
  auto best = state.find(key("best"));
  auto waited = state.find(key("waited"));
  if (best == state.end() || waited == state.end()) return;
  if (const auto found = state.find(key("monitor"));
      found != state.end() && found->second.item<std::string>() != options_.monitor) {
    log_warning(str_cat("the checkpoint's best epoch is one of ", found->second.item<std::string>(),
                        "; ", options_.monitor,
                        " is monitored now: the best epoch is looked for from here on"));
    return;
  }
  StateMap weights;
  for_each_below(state, key("weights/"),
                 [&](const std::string& name, const Tensor& value) { weights[name] = value; });
  const bool has_best = !std::isnan(best->second.item<double>());
  if (options_.restore_best_weights && has_best && weights.empty()) {
    log_warning(
        "the checkpoint was saved without restore_best and has no weights of its best epoch: the "
        "best epoch is looked for from here on");
    return;
  }
  best_ = best->second.item<double>();
  waited_ = waited->second.item<int64_t>();
  const auto epoch = state.find(key("best_epoch")), step = state.find(key("best_step"));
  if (epoch != state.end() && step != state.end()) {
    best_epoch_ = {epoch->second.item<int64_t>(), step->second.item<int64_t>(), {}};
  }
  if (const auto found = state.find(key("restored")); found != state.end()) {
    restored_ = found->second.item<int64_t>() != 0;
  }
  for_each_below(state, key("best_logs/"), [&](const std::string& name, const Tensor& value) {
    best_epoch_.logs[name] = value.item<double>();
  });
  if (options_.restore_best_weights) best_weights_ = std::move(weights);
}

CsvLog::CsvLog(std::string path, std::function<bool()> writes)
    : path_(std::move(path)), is_main_(true) {
  set_writes(std::move(writes));
}

void CsvLog::describe(OptionVisitor& visitor) {
  visitor.field({.name = "file", .help = "where to write it", .keras = "filename"}, path_);
}

void CsvLog::check() const {
  if (path_.empty()) throw invalid_argument("expected a file, such as file: \"loss.csv\"");
}

std::string CsvLog::key() const {
  return is_main_ ? "callback/csv_log/lines" : str_cat("callback/csv_log/", path_, "/lines");
}

void CsvLog::on_train_begin(Training& training) {
  // A state without lines is older than this callback: the file has them.
  if (training.resumed() && lines_.empty()) {
    const std::vector<std::string> found = read_lines(path_);
    for (const std::string& line : found) {
      lines_.push_back(line.substr(0, line.size() - data_wait_cell(found[0], line).size()));
    }
  }
  take_data_waits();
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
    // A figure that does not exist is an empty cell.
    char number[32] = ",";
    if (log.value) std::snprintf(number, sizeof number, ",%.9g", *log.value);
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
  data_waits_.resize(lines_.size());
  char wait[32];
  std::snprintf(wait, sizeof wait, "%.3f", training.data_wait_ms());
  data_waits_.back() = wait;
  write();
}

void CsvLog::on_train_end(Training&) { write(); }

void CsvLog::save(StateMap& state) const {
  if (lines_.empty()) return;
  state[key()] = Tensor::from<std::string>({static_cast<int64_t>(lines_.size())}, lines_);
}

void CsvLog::restore(const StateMap& state) {
  const auto found = state.find(key());
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
  if (data_waits_.size() > lines_.size()) data_waits_.resize(lines_.size());
  close();
}

// What the file says of epochs that are the checkpoint's, too.
void CsvLog::take_data_waits() {
  if (!shows_data_wait_ || lines_.empty() || !data_waits_.empty()) return;
  const std::vector<std::string> found = read_lines(path_);  // none: there is no file
  data_waits_.resize(lines_.size());
  for (size_t i = 1; i < std::min(found.size(), lines_.size()); ++i) {
    const std::string_view cell = data_wait_cell(found[0], found[i]);
    if (!cell.empty() && found[i] == str_cat(lines_[i], cell)) data_waits_[i] = cell.substr(1);
  }
}

std::string CsvLog::text_of(size_t line) const {
  std::string text = lines_[line];
  if (shows_data_wait_) {
    text += ',';
    if (line == 0) {
      text += kDataWait;
    } else if (line < data_waits_.size()) {
      text += data_waits_[line];
    }
  }
  return text + '\n';
}

void CsvLog::write() {
  if (!writes()) {
    close();  // whoever writes now may do so until it is this process's turn again
    return;
  }
  if (fd_ >= 0 && written_ == lines_.size()) return;
  std::string text;
  for (size_t i = fd_ < 0 ? 0 : written_; i < lines_.size(); ++i) text += text_of(i);
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

void register_core_callbacks(Catalog<Callback>& catalog) {
  catalog.add<CsvLog>(
      "csv_log", "CSVLogger",
      "A line of figures an epoch in a file, beside the log.csv of the output folder.");
  register_rate_callbacks(catalog);
  register_tensorboard(catalog);
}

}  // namespace trireme::nn
