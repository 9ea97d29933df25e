#include "launcher/sweep/report.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <iomanip>
#include <nlohmann/json.hpp>
#include <set>

#include "core/base/error.h"
#include "core/base/suggest.h"
#include "core/io/atomic_file.h"
#include "launcher/sweep/slurm.h"

namespace trireme::sweep {
namespace {

using nlohmann::ordered_json;

constexpr size_t kWidestCell = 40;

std::string six_digits(double value) { return str_cat(std::setprecision(6), value); }

// The shortest ends of the paths that tell them apart: "learning_rate".
std::vector<std::string> short_names(const std::vector<Parameter>& parameters) {
  std::vector<std::string> names;
  for (const Parameter& parameter : parameters) {
    const auto ends_alike = [&](const std::string& end) {
      return std::ranges::count_if(parameters, [&](const Parameter& other) {
               return other.path == end || other.path.ends_with("." + end);
             }) > 1;
    };
    size_t dot = parameter.path.rfind('.');
    while (dot != std::string::npos && dot > 0 && ends_alike(parameter.path.substr(dot + 1))) {
      dot = parameter.path.rfind('.', dot - 1);
    }
    names.push_back(dot == std::string::npos ? parameter.path : parameter.path.substr(dot + 1));
  }
  return names;
}

std::string csv_cell(const std::string& text) {
  if (text.find_first_of(",\"\n\r") == std::string::npos) return text;
  std::string quoted = "\"";
  for (const char c : text) quoted += c == '"' ? "\"\"" : std::string(1, c);
  return quoted + "\"";
}

std::string as_table(const std::vector<std::vector<std::string>>& rows) {
  std::vector<size_t> widths(rows.front().size());
  for (const auto& row : rows) {
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  }
  std::string text;
  for (const auto& row : rows) {
    std::string line;
    for (size_t i = 0; i < row.size(); ++i) {
      line += row[i] + std::string(widths[i] - row[i].size() + 2, ' ');
    }
    line.erase(line.find_last_not_of(' ') + 1);
    text += line + "\n";
  }
  return text;
}

int64_t total_steps(const SweepState& state) {
  int64_t steps = 0;
  for (const Trial& trial : state.trials()) {
    if (!trial.results.empty()) steps += trial.results.back().steps;
  }
  return steps;
}

}  // namespace

std::string results_table(const TrialHost& host, const SweepState& state, size_t rows) {
  std::vector<std::vector<std::string>> table = {
      {"trial", "status", host.plan.metric, "epochs", "seconds"}};
  for (const std::string& name : short_names(host.plan.parameters)) table[0].push_back(name);
  const std::vector<int64_t> order = state.ranking();
  for (size_t i = 0; i < order.size() && i < rows; ++i) {
    const Trial& trial = state.trial(order[i]);
    const auto value = state.last_value(order[i]);
    std::vector<std::string> row = {
        trial_name(order[i]), std::string(name(trial.status)), value ? six_digits(*value) : "-",
        trial.results.empty() ? "-" : std::to_string(trial.results.back().epochs),
        str_cat(std::fixed, std::setprecision(1), trial.seconds)};
    for (const std::string& one : host.settings[static_cast<size_t>(order[i])]) {
      const std::string cell = printable(one);
      row.push_back(cell.size() > kWidestCell ? cell.substr(0, kWidestCell - 3) + "..." : cell);
    }
    table.push_back(std::move(row));
  }
  std::string text = as_table(table);
  if (order.size() > rows) {
    text += str_cat("… and ", order.size() - rows, " more in ", host.folder, "/results.csv\n");
  }
  for (size_t i = 0, shown = 0; i < order.size() && shown < rows; ++i) {
    const Trial& trial = state.trial(order[i]);
    if (trial.status != TrialStatus::kFailed) continue;
    ++shown;
    text += str_cat(trial_name(order[i]), " failed: ", trial.error, "\n");
  }
  return text;
}

void write_results(const TrialHost& host, const SweepState& state) {
  std::set<std::string> figures;
  for (const Trial& trial : state.trials()) {
    if (trial.results.empty()) continue;
    for (const auto& [name, value] : trial.results.back().values) figures.insert(name);
  }
  std::string text = "trial,status,epochs,steps,seconds";
  for (const Parameter& parameter : host.plan.parameters) text += "," + csv_cell(parameter.path);
  for (const std::string& figure : figures) text += "," + csv_cell(figure);
  text += ",error\n";
  for (size_t i = 0; i < state.trials().size(); ++i) {
    const Trial& trial = state.trials()[i];
    const TrialResult* const last = trial.results.empty() ? nullptr : &trial.results.back();
    text += str_cat(trial_name(static_cast<int64_t>(i)), ",", name(trial.status), ",",
                    last == nullptr ? 0 : last->epochs, ",", last == nullptr ? 0 : last->steps, ",",
                    std::fixed, std::setprecision(3), trial.seconds);
    for (const std::string& value : host.settings[i]) text += "," + csv_cell(value);
    for (const std::string& figure : figures) {
      const bool has =
          last != nullptr && last->values.contains(figure) && !std::isnan(last->values.at(figure));
      text += ",";
      if (has) text += str_cat(std::setprecision(9), last->values.at(figure));
    }
    text += "," + csv_cell(trial.status == TrialStatus::kFailed ? trial.error : "") + "\n";
  }
  io::write_file_atomically(host.folder + "/results.csv", text);
}

std::string best_text(const TrialHost& host, const SweepState& state) {
  const auto best = state.best();
  if (!best) return "";
  const std::string folder = trial_folder(host.folder, *best);
  std::string setting;
  for (size_t i = 0; i < host.plan.parameters.size(); ++i) {
    setting += str_cat(" --set ", shell_word(host.plan.parameters[i].path + "=" +
                                             host.settings[static_cast<size_t>(*best)][i]));
  }
  std::string arguments;
  for (const std::string& argument : host.plan.train_arguments)
    arguments += " " + shell_word(argument);
  return str_cat("best: ", trial_name(*best), " with ", host.plan.metric, " ",
                 six_digits(*state.last_value(*best)), " in ", folder, ":", setting,
                 "\ngo on with it: trireme train ", shell_word(folder + "/job.textproto"),
                 " --resume", arguments,
                 state.trial(*best).results.back().epochs >= host.plan.epochs
                     ? str_cat(" --set epochs=", 2 * host.plan.epochs)
                     : "",
                 "\n");
}

std::string result_line(const TrialHost& host, const SweepState& state, const RunnerEnd& end,
                        int jobs) {
  constexpr const char* kSearches[] = {"grid", "random", "asha"};
  const auto digits = [](double value) { return std::strtod(six_digits(value).c_str(), nullptr); };
  ordered_json line = {{"sweep", host.folder},
                       {"search", kSearches[static_cast<int>(host.plan.search)]},
                       {"trials", host.plan.trials},
                       {"done", state.count(TrialStatus::kDone)},
                       {"stopped", state.count(TrialStatus::kPaused)},
                       {"failed", state.count(TrialStatus::kFailed)},
                       {"steps", total_steps(state)},
                       {"metric", host.plan.metric}};
  if (const auto best = state.best()) {
    line["best"] = *state.last_value(*best);
    line["best_trial"] = trial_name(*best);
    line["setting"] = ordered_json::object();
    for (size_t i = 0; i < host.plan.parameters.size(); ++i) {
      line["setting"][host.plan.parameters[i].path] = host.settings[static_cast<size_t>(*best)][i];
    }
    line["folder"] = trial_folder(host.folder, *best);
  }
  line["jobs"] = jobs;
  line["cpu_seconds"] = digits(end.cpu_seconds);
  line["seconds"] = digits(end.seconds);
  return line.dump(-1, ' ', false, ordered_json::error_handler_t::replace);
}

std::string submitted_line(const TrialHost& host, const std::string& job, int tasks) {
  return ordered_json{
      {"sweep", host.folder}, {"trials", host.plan.trials}, {"slurm_job", job}, {"tasks", tasks}}
      .dump(-1, ' ', false, ordered_json::error_handler_t::replace);
}

}  // namespace trireme::sweep
