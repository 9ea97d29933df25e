#include "core/nn/load_weights.h"

#include <regex>
#include <unordered_set>

#include "core/base/error.h"

namespace trireme::nn {
namespace {

constexpr size_t kListed = 8;

std::string list(const std::vector<std::string>& names) {
  std::string text;
  for (size_t i = 0; i < names.size() && i < kListed; ++i) text += (i == 0 ? "" : ", ") + names[i];
  if (names.size() > kListed) text += str_cat(" and ", names.size() - kListed, " more");
  return text;
}

std::vector<std::regex> patterns(const LoadOptions& options) {
  std::vector<std::regex> made;
  for (const WeightMap& map : options.map) {
    try {
      made.emplace_back(map.pattern);
    } catch (const std::regex_error& error) {
      throw invalid_argument("the map of weights: \"", map.pattern,
                             "\" is no regular expression: ", error.what());
    }
  }
  return made;
}

}  // namespace

bool is_weight(const std::string& name) {
  static const std::unordered_set<std::string> kProgress = {
      "step", "epoch", "epoch_step", "epoch_sums", "dataset_state", "random_seed"};
  return !kProgress.contains(name) && !name.starts_with("optimizer/") &&
         !name.starts_with("callback/") && name.find('/') != std::string::npos;
}

std::string LoadReport::to_string() const {
  const size_t all = loaded.size() + missing.size() + left_out.size() + other_shape.size();
  std::string text = str_cat("loaded ", loaded.size(), " of ", all, " weights");
  if (!missing.empty()) text += "; not found: " + list(missing);
  if (!other_shape.empty()) {
    std::vector<std::string> names;
    for (const OtherShape& other : other_shape) {
      names.push_back(
          str_cat(other.name, " (expected ", other.wanted, ", found ", other.found, ")"));
    }
    text += "; of another shape: " + list(names);
  }
  if (!left_out.empty()) text += "; left out by the map: " + list(left_out);
  if (!unused.empty()) text += "; not used of the file: " + list(unused);
  return text;
}

LoadReport load_weights(Model& model, const StateMap& weights, const LoadOptions& options) {
  const std::vector<std::regex> known = patterns(options);
  LoadReport report;
  std::unordered_set<std::string> used;
  std::vector<std::pair<const VariableSpec*, const Tensor*>> found;
  for (const VariableSpec& spec : model.variables().all()) {
    if (spec.role == VariableRole::kSlot) continue;
    const std::string& name = spec.copy_of.empty() ? spec.name : spec.copy_of;
    std::string source = name;
    bool is_wanted = true;
    for (size_t i = 0; i < known.size(); ++i) {
      if (!std::regex_match(name, known[i])) continue;
      source = std::regex_replace(name, known[i], options.map[i].replacement);
      is_wanted = !options.map[i].replacement.empty();
      break;
    }
    const bool is_copy = !spec.copy_of.empty();
    if (!is_wanted) {
      if (!is_copy) report.left_out.push_back(name);
      continue;
    }
    const auto at = weights.find(source);
    if (at == weights.end()) {
      if (!is_copy)
        report.missing.push_back(source == name ? name : str_cat(name, " (", source, ")"));
      continue;
    }
    used.insert(source);
    if (at->second.type() != spec.value.type()) {
      if (!is_copy) report.other_shape.push_back({name, spec.value.type(), at->second.type()});
      continue;
    }
    if (!is_copy) report.loaded.push_back(name);
    found.emplace_back(&spec, &at->second);
  }
  for (const auto& [name, value] : weights) {
    if (is_weight(name) && !used.contains(name)) report.unused.push_back(name);
  }
  const bool wants_none = report.missing.empty() && report.other_shape.empty();
  if (report.loaded.empty() && !(wants_none && report.left_out.empty())) {
    throw invalid_argument("no weight of the model was found: ", report.to_string());
  }
  if (options.strict && !(report.missing.empty() && report.other_shape.empty())) {
    throw invalid_argument("strict: every weight must be found: ", report.to_string());
  }
  for (const auto& [spec, value] : found) model.session().variables().set(spec->name, *value);
  return report;
}

}  // namespace trireme::nn
