#include "launcher/sweep/dashboard.h"

#include <charconv>
#include <cmath>
#include <ctime>
#include <set>

#include "core/io/hparams.h"

namespace trireme::sweep {
namespace {

io::HParamValue value_of(const std::string& text) {
  if (text == "true" || text == "false") return text == "true";
  double number = 0;
  const auto [end, status] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (status == std::errc() && end == text.data() + text.size()) return number;
  return text;
}

io::HParamValues values_of(const Plan& plan, const Setting& setting) {
  io::HParamValues values;
  for (size_t i = 0; i < setting.size(); ++i) {
    values[plan.parameters[i].path] = value_of(setting[i]);
  }
  return values;
}

io::SessionStatus status_of(TrialStatus status) {
  switch (status) {
    case TrialStatus::kDone:
    case TrialStatus::kPaused:
      return io::SessionStatus::kSuccess;
    case TrialStatus::kFailed:
      return io::SessionStatus::kFailure;
    case TrialStatus::kRunning:
      return io::SessionStatus::kRunning;
    case TrialStatus::kNew:
    case TrialStatus::kInterrupted:
      break;
  }
  return io::SessionStatus::kUnknown;
}

}  // namespace

void write_dashboard(const TrialHost& host, const SweepState& state) {
  std::vector<io::HParamValues> all;
  std::set<std::string> figures;
  for (size_t i = 0; i < state.trials().size(); ++i) {
    const Trial& trial = state.trials()[i];
    if (trial.starts == 0) continue;
    io::HParamSession session{.values = values_of(host.plan, host.settings[i]),
                              .group = trial_name(static_cast<int64_t>(i)),
                              .status = status_of(trial.status)};
    if (trial.ended()) {
      session.end_seconds = static_cast<double>(std::time(nullptr));
      session.start_seconds = session.end_seconds - trial.seconds;
    }
    if (!trial.results.empty()) {
      session.step = trial.results.back().steps;
      for (const auto& [name, value] : trial.results.back().values) {
        if (std::isnan(value)) continue;
        session.metrics[name] = value;
        figures.insert(name);
      }
    }
    io::write_session(trial_folder(host.folder, static_cast<int64_t>(i)), session);
    all.push_back(std::move(session.values));
  }
  if (all.empty()) return;
  // The figure that trials are compared by comes first.
  std::vector<io::HParamMetric> metrics = {{.tag = host.plan.metric}};
  for (const std::string& figure : figures) {
    if (figure != host.plan.metric) metrics.push_back({.tag = figure});
  }
  io::write_experiment(host.folder, io::unite(all), metrics, "trials of " + host.plan.job_path);
}

}  // namespace trireme::sweep
