#include "launcher/sweep/trial_run.h"

#include <google/protobuf/message.h>
#include <google/protobuf/text_format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <sstream>

#include "core/base/error.h"
#include "core/base/log_file.h"
#include "core/base/suggest.h"
#include "core/base/text_file.h"
#include "core/io/atomic_file.h"
#include "core/io/checkpoint.h"
#include "proto/job.pb.h"

namespace trireme::sweep {
namespace {

namespace fs = std::filesystem;
using nlohmann::ordered_json;

constexpr int64_t kTail = 64 * 1024;  // of a trial's log: its result and what went wrong are there
constexpr uint64_t kMaxLog = 64 << 20;
constexpr int kInterruptedCode = 130;

double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

std::string comment(const Plan& plan, const Setting& setting, int64_t trial) {
  std::string text = str_cat("# ", trial_name(trial), " of a sweep of ", plan.job_path, ":\n");
  for (size_t i = 0; i < setting.size(); ++i) {
    text += str_cat("#   ", plan.parameters[i].path, " = ", printable(setting[i]), "\n");
  }
  return text;
}

void write_job(const TrialHost& host, int64_t trial, const std::string& folder,
               const std::string& path) {
  const Setting& setting = host.settings[static_cast<size_t>(trial)];
  const JobFile job = trial_job(host.plan, setting, folder, host.schema);
  std::string text;
  google::protobuf::TextFormat::PrintToString(job.message(), &text);
  io::write_file_atomically(path, comment(host.plan, setting, trial) + text);
}

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) {
    while (line.ends_with('\r')) line.pop_back();
    line.erase(0, line.rfind('\r') + 1);  // npos + 1 is 0
    if (!line.empty()) lines.push_back(std::move(line));
  }
  return lines;
}

// What the command said last: its error, where it said one.
std::string last_words(const std::string& printed) {
  constexpr std::string_view kError = "trireme: ";
  const std::vector<std::string> lines = lines_of(printed);
  const auto error = std::find_if(lines.rbegin(), lines.rend(), [&](const std::string& line) {
    return line.starts_with(kError);
  });
  if (error != lines.rend()) return error->substr(kError.size());
  return lines.empty() ? "it printed nothing" : lines.back();
}

// The line of results of `trireme train`; discarded: it printed none.
ordered_json result_line(const std::string& printed) {
  const std::vector<std::string> lines = lines_of(printed);
  for (auto line = lines.rbegin(); line != lines.rend(); ++line) {
    if (line->starts_with("{\"job\":")) return ordered_json::parse(*line, nullptr, false);
  }
  return ordered_json::parse("", nullptr, false);
}

std::vector<std::string> cells_of(const std::string& line) {
  std::vector<std::string> cells;
  for (size_t begin = 0; begin <= line.size();) {
    const size_t end = std::min(line.find(',', begin), line.size());
    cells.push_back(line.substr(begin, end - begin));
    begin = end + 1;
  }
  return cells;
}

// The values of an epoch, counted from 1, in a log.csv; NaN where there is none. Throws
// Error{kDataLoss}.
std::map<std::string, double> values_of_epoch(const std::string& path, int64_t epoch) {
  const std::vector<std::string> lines = lines_of(read_text_file(path, kMaxLog, "a log"));
  const std::vector<std::string> names =
      lines.empty() ? std::vector<std::string>() : cells_of(lines[0]);
  for (size_t i = 1; i < lines.size(); ++i) {
    const std::vector<std::string> cells = cells_of(lines[i]);
    if (cells[0] != std::to_string(epoch - 1)) continue;
    std::map<std::string, double> values;
    for (size_t j = 1; j < names.size() && j < cells.size(); ++j) {
      if (names[j] == "data_wait_ms") continue;
      // An empty cell is a figure that does not exist in this epoch.
      values[names[j]] = cells[j].empty() ? std::nan("") : std::strtod(cells[j].c_str(), nullptr);
    }
    return values;
  }
  throw data_loss(path, ": expected a line of epoch ", epoch - 1, ", found ", lines.size(),
                  " lines without one");
}

}  // namespace

std::string trial_folder(const std::string& sweep_folder, int64_t trial) {
  return (fs::path(sweep_folder) / trial_name(trial)).string();
}

TrialRun::TrialRun(const TrialHost& host, const ProcessGuard& guard, int64_t trial, int64_t target,
                   std::vector<int> cpus)
    : host_(host), trial_(trial), target_(target), folder_(trial_folder(host.folder, trial)) {
  io::create_directories(folder_);
  const std::string job = folder_ + "/job.textproto";
  write_job(host, trial, folder_, job);
  TaskCommand command{.program = host.program,
                      .arguments = {"trireme", "train", job, "--threads", str_cat(host.threads)},
                      .environment = host.environment,
                      .cpus = std::move(cpus)};
  command.environment["OMP_NUM_THREADS"] = std::to_string(host.threads);
  auto& arguments = command.arguments;
  arguments.insert(arguments.end(), host.plan.train_arguments.begin(),
                   host.plan.train_arguments.end());
  if (target < host.plan.epochs) {
    arguments.push_back(str_cat("--stop-after-epochs=", target));
  }
  // What a process left that died before its first checkpoint is no loss.
  arguments.emplace_back(io::list_checkpoints(folder_ + "/checkpoints").empty() ? "--overwrite"
                                                                                : "--resume");
  log_ = open_log_file(folder_ + "/trial.log");
  struct stat status {};
  fstat(log_, &status);
  log_begin_ = status.st_size;
  started_ = now();
  try {
    process_ = std::make_unique<TaskProcess>(command, log_, log_, guard);
  } catch (...) {
    ::close(log_);
    throw;
  }
}

TrialRun::~TrialRun() { ::close(log_); }

std::string TrialRun::printed() const {
  struct stat status {};
  fstat(log_, &status);
  const int64_t begin = std::max(log_begin_, int64_t{status.st_size} - kTail);
  std::string text(static_cast<size_t>(std::max<int64_t>(0, status.st_size - begin)), '\0');
  const ssize_t count = ::pread(log_, text.data(), text.size(), begin);
  text.resize(count > 0 ? static_cast<size_t>(count) : 0);
  return text;
}

std::optional<Event> TrialRun::poll_end(bool stopping) {
  const std::optional<TaskEnd> end = process_->poll_end();
  if (!end) return std::nullopt;
  Event event{.trial = trial_, .target = target_, .seconds = now() - started_};
  const std::string text = printed();
  if (end->success()) return result_of(std::move(event), text);
  const bool told = end->number == kInterruptedCode && !end->by_signal;
  event.kind = stopping                          ? EventKind::kInterrupted
               : end->restart_may_help() || told ? EventKind::kKilled
                                                 : EventKind::kFailed;
  event.error =
      end->by_signal ? end->to_string() : str_cat(last_words(text), " (", end->to_string(), ")");
  return event;
}

Event TrialRun::result_of(Event event, const std::string& printed) const {
  event.kind = EventKind::kFailed;
  const ordered_json line = result_line(printed);
  try {
    if (line.is_discarded()) throw data_loss(folder_, "/trial.log: has no line of results");
    TrialResult& result = event.result;
    result.epochs = line.at("epochs").get<int64_t>();
    result.steps = line.at("steps").get<int64_t>();
    const auto reason = line.at("stop_reason").get<std::string>();
    result.finished = !reason.starts_with("--stop-after-epochs");
    // The figures of the model that is saved.
    const bool restored = line.value("restored_best", false);
    const int64_t epoch = restored ? line.at("best_epoch").get<int64_t>() : result.epochs;
    result.values = values_of_epoch(folder_ + "/log.csv", epoch);
  } catch (const nlohmann::json::exception& error) {
    event.error =
        str_cat(folder_, "/trial.log: its line of results is not understood: ", error.what());
    return event;
  } catch (const Error& error) {
    event.error = error.what();
    return event;
  }
  const std::string& metric = host_.plan.metric;
  const auto found = event.result.values.find(metric);
  if (found == event.result.values.end()) {
    std::vector<std::string> names;
    std::string list;
    for (const auto& [name, value] : event.result.values) {
      names.push_back(name);
      list += (list.empty() ? "" : ", ") + name;
    }
    throw invalid_argument("--metric ", metric, ": a trial's log has no such column in its epoch ",
                           event.result.epochs, "; it has ", list, did_you_mean(metric, names));
  }
  if (!std::isfinite(found->second)) {
    event.error = str_cat(metric, " is ", found->second, " after epoch ", event.result.epochs);
    return event;
  }
  event.kind = EventKind::kResult;
  return event;
}

void write_result(const TrialHost& host, const SweepState& state, int64_t number) {
  const Trial& trial = state.trial(number);
  ordered_json json = {{"trial", trial_name(number)}, {"status", name(trial.status)}};
  json["setting"] = ordered_json::object();
  for (size_t i = 0; i < host.plan.parameters.size(); ++i) {
    json["setting"][host.plan.parameters[i].path] = host.settings[static_cast<size_t>(number)][i];
  }
  json["metric"] = host.plan.metric;
  if (const auto value = state.last_value(number)) json["value"] = *value;
  json["rungs"] = ordered_json::array();
  for (const TrialResult& result : trial.results) {
    json["rungs"].push_back(
        {{"epochs", result.epochs}, {"steps", result.steps}, {"values", result.values}});
  }
  json["seconds"] = trial.seconds;
  if (trial.kills > 0) json["killed"] = trial.kills;
  if (trial.status == TrialStatus::kFailed) json["error"] = trial.error;
  io::write_file_atomically(
      trial_folder(host.folder, number) + "/result.json",
      json.dump(1, ' ', false, ordered_json::error_handler_t::replace) + "\n");
}

}  // namespace trireme::sweep
