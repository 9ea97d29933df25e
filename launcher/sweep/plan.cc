#include "launcher/sweep/plan.h"

#include <google/protobuf/message.h>

#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <string_view>

#include "core/base/error.h"
#include "core/base/suggest.h"
#include "launcher/sweep/field_paths.h"
#include "proto/job.pb.h"

namespace trireme::sweep {
namespace {

using nlohmann::ordered_json;

constexpr int kVersion = 1;
constexpr const char* kSearches[] = {"grid", "random", "asha"};

std::vector<JobOption> options_of(const Plan& plan, const Setting& setting) {
  std::vector<JobOption> options;
  for (size_t i = 0; i < setting.size(); ++i) {
    const Parameter& parameter = plan.parameters[i];
    options.push_back({parameter.origin + ": value", parameter.path, setting[i]});
  }
  return options;
}

std::string shown(const ordered_json& value) {
  std::string text = value.is_string() ? value.get<std::string>() : value.dump();
  for (char& c : text) {
    if (c == '\n') c = ' ';
  }
  return printable(text);
}

// The first line in which two texts differ.
std::string first_difference(const std::string& then, const std::string& now) {
  size_t line = 1, begin = 0;
  for (size_t i = 0; i < then.size() && i < now.size() && then[i] == now[i]; ++i) {
    if (then[i] != '\n') continue;
    ++line;
    begin = i + 1;
  }
  const auto line_at = [&](const std::string& text) {
    return begin >= text.size() ? std::string("the end")
                                : printable(text.substr(begin, text.find('\n', begin) - begin));
  };
  return str_cat("line ", line, " was '", line_at(then), "' and is '", line_at(now), "'");
}

}  // namespace

std::vector<int64_t> Plan::rungs() const {
  std::vector<int64_t> rungs;
  if (search == Search::kAsha) {
    for (int64_t rung = min_epochs; rung < epochs; rung *= reduction) rungs.push_back(rung);
  }
  rungs.push_back(epochs);
  return rungs;
}

std::vector<Setting> Plan::settings() const {
  Space space(parameters, seed);
  if (search == Search::kGrid) return space.grid(points);
  std::vector<Setting> settings;
  for (int64_t i = 0; i < trials; ++i) settings.push_back(space.draw(i));
  return settings;
}

std::string Plan::to_json() const {
  ordered_json json = {
      {"version", kVersion},  {"job", job_path}, {"search", kSearches[static_cast<int>(search)]},
      {"trials", trials},     {"seed", seed},    {"metric", metric},
      {"maximize", maximize}, {"epochs", epochs}};
  if (search == Search::kAsha) {
    json["min_epochs"] = min_epochs;
    json["reduction"] = reduction;
  }
  if (points) json["points"] = *points;
  json["vary"] = ordered_json::array();
  for (const Parameter& parameter : parameters) {
    json["vary"].push_back(parameter.path + "=" + parameter.spec);
  }
  json["set"] = overrides;
  json["train_arguments"] = train_arguments;
  json["job_text"] = job_text;
  return json.dump(1) + "\n";
}

Plan Plan::from_json(const std::string& text, const std::string& name) {
  const auto json = ordered_json::parse(text, nullptr, false);
  try {
    if (json.is_discarded()) throw data_loss(name, ": is not JSON");
    if (json.at("version") != kVersion) {
      throw data_loss(name, ": expected version ", kVersion, ", found ", json.at("version").dump());
    }
    Plan plan;
    plan.job_path = json.at("job").get<std::string>();
    const auto search = json.at("search").get<std::string>();
    const auto* const found = std::ranges::find(kSearches, search);
    if (found == std::end(kSearches)) throw data_loss(name, ": has no search ", search);
    plan.search = static_cast<Search>(found - std::begin(kSearches));
    plan.trials = json.at("trials").get<int64_t>();
    plan.seed = json.at("seed").get<uint64_t>();
    plan.metric = json.at("metric").get<std::string>();
    plan.maximize = json.at("maximize").get<bool>();
    plan.epochs = json.at("epochs").get<int64_t>();
    plan.min_epochs = json.value("min_epochs", int64_t{1});
    plan.reduction = json.value("reduction", int64_t{4});
    if (json.contains("points")) plan.points = json.at("points").get<int64_t>();
    for (const auto& vary : json.at("vary")) {
      plan.parameters.push_back(parse_parameter(vary.get<std::string>(), "--vary "));
    }
    plan.overrides = json.at("set").get<std::vector<std::string>>();
    plan.train_arguments = json.at("train_arguments").get<std::vector<std::string>>();
    plan.job_text = json.at("job_text").get<std::string>();
    const bool in_range = plan.trials >= 1 && plan.trials <= kMaxTrials && plan.epochs >= 1 &&
                          plan.min_epochs >= 1 && plan.reduction >= 2 && !plan.parameters.empty();
    if (!in_range) throw data_loss(name, ": a number is out of its range");
    return plan;
  } catch (const nlohmann::json::exception& error) {
    throw data_loss(name, ": is no plan of a sweep: ", error.what());
  }
}

std::vector<std::string> Plan::differences_from(const Plan& other) const {
  const auto then = ordered_json::parse(to_json()), now = ordered_json::parse(other.to_json());
  std::vector<std::string> differences;
  for (const auto& [name, value] : now.items()) {
    const ordered_json before = then.contains(name) ? then.at(name) : ordered_json();
    if (before == value || name == "job") continue;
    const bool grows = name == "trials" && search != Search::kGrid && other.trials >= trials;
    if (grows) continue;
    if (name == "job_text") {
      differences.push_back(
          str_cat("the job file: ", first_difference(before.get<std::string>(), other.job_text)));
    } else {
      differences.push_back(str_cat(name, " was ", before.is_null() ? "not given" : shown(before),
                                    " and is ", shown(value)));
    }
  }
  for (const auto& [name, value] : then.items()) {
    if (!now.contains(name)) {
      differences.push_back(str_cat(name, " was ", shown(value), " and is not given"));
    }
  }
  return differences;
}

std::optional<bool> is_maximized(const std::string& metric) {
  const auto has = [&](std::string_view part) { return metric.find(part) != std::string::npos; };
  for (const std::string_view part :
       {"loss", "error", "perplexity", "entropy", "divergence", "hinge", "poisson"}) {
    if (has(part)) return false;
  }
  for (const std::string_view part :
       {"accuracy", "auc", "precision", "recall", "f1", "fbeta", "r2", "iou", "sensitivity",
        "specificity", "true_positives", "true_negatives"}) {
    if (has(part)) return true;
  }
  return std::nullopt;
}

JobFile base_job(const Plan& plan, const std::shared_ptr<const JobSchema>& schema) {
  return JobFile::parse(plan.job_text, plan.job_path, plan.overrides, {}, schema);
}

JobFile trial_job(const Plan& plan, const Setting& setting, const std::string& output_dir,
                  const std::shared_ptr<const JobSchema>& schema) {
  std::vector<JobOption> options = options_of(plan, setting);
  options.push_back({"--output-dir", "output_dir", output_dir});
  return JobFile::parse(plan.job_text, plan.job_path, plan.overrides, options, schema);
}

void resolve_parameters(Plan& plan, const std::shared_ptr<const JobSchema>& schema) {
  const JobFile base = base_job(plan, schema);
  for (Parameter& parameter : plan.parameters) {
    parameter.path = resolve_path(base.message(), parameter.path, parameter.origin);
  }
  for (size_t i = 0; i < plan.parameters.size(); ++i) {
    for (size_t j = 0; j < i; ++j) {
      const Parameter &one = plan.parameters[j], &other = plan.parameters[i];
      if (one.path == other.path) {
        throw invalid_argument(other.origin, ": ", one.path, " is varied twice");
      }
      if (is_below(one.path, other.path)) {
        throw invalid_argument(other.origin, ": would replace ", one.path,
                               ", which is varied before it; give this one first");
      }
    }
  }
  // Each value with the first ones of the others: a type or a range that is wrong is said now.
  Setting first;
  for (const Parameter& parameter : plan.parameters) first.push_back(parameter.extremes().front());
  for (size_t i = 0; i < first.size(); ++i) {
    const Parameter& parameter = plan.parameters[i];
    for (const std::string& value : parameter.extremes()) {
      Setting setting = first;
      setting[i] = value;
      const JobFile job = trial_job(plan, setting, "unused", schema);
      // What this value chose must still be chosen when the others are set.
      Setting until(setting.begin(), setting.begin() + static_cast<std::ptrdiff_t>(i) + 1);
      const JobFile chosen = trial_job(plan, until, "unused", schema);
      const std::string then = kind_at(chosen.message(), parameter.path);
      const std::string now = kind_at(job.message(), parameter.path);
      if (then == now) continue;
      throw invalid_argument(parameter.origin, ": a parameter below ", parameter.path, " makes ",
                             now, " of its value ", then,
                             "; vary what all of its values have, or sweep each by itself");
    }
  }
}

std::string trial_name(int64_t number) {
  char text[32];
  std::snprintf(text, sizeof text, "trial-%04lld", static_cast<long long>(number));
  return text;
}

}  // namespace trireme::sweep
