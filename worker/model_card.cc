#include "worker/model_card.h"

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "core/base/error.h"
#include "worker/job_record.h"
#include "worker/model_files.h"

namespace trireme {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

// A scalar of YAML: JSON's texts are among them, whatever is in them.
std::string yaml(const std::string& text) { return json(text).dump(); }

void add_list(std::string& text, const std::string& name, const std::vector<std::string>& values) {
  if (values.empty()) return;
  text += name + ":\n";
  for (const std::string& value : values) text += "- " + yaml(value) + "\n";
}

std::string shown_shape(const json& signature) {
  std::string text;
  for (const json& dim : signature["shape"]) {
    const int64_t size = dim.get<int64_t>();
    text += (text.empty() ? "" : ", ") + (size < 0 ? std::string("batch") : std::to_string(size));
  }
  return signature["type"].get<std::string>() + "[" + text + "]";
}

std::string number_text(double value) {
  std::ostringstream text;
  text << value;
  return text.str();
}

// The columns of a log's last line.
std::map<std::string, double> last_figures(const std::string& path) {
  std::ifstream log(path);
  std::string names, line, last;
  std::getline(log, names);
  while (std::getline(log, line)) {
    if (!line.empty()) last = line;
  }
  std::map<std::string, double> figures;
  std::istringstream columns(names), cells(last);
  for (std::string name, cell;
       std::getline(columns, name, ',') && std::getline(cells, cell, ',');) {
    char* end = nullptr;
    const double value = std::strtod(cell.c_str(), &end);
    if (!cell.empty() && *end == '\0') figures[name] = value;
  }
  return figures;
}

}  // namespace

std::vector<OutputType> output_types(const nn::Model& model) {
  std::vector<OutputType> types;
  const nn::Forward& forward = model.inference();
  const auto& outputs = model.network().outputs();
  for (size_t i = 0; i < outputs.size(); ++i) {
    types.push_back({model.network().name_of(outputs[i]),
                     (i == 0 ? forward.predictions : forward.other_predictions.at(i - 1)).type()});
  }
  return types;
}

ModelCard card_of(const formats::ModelFile& file, const std::string& path) {
  ModelCard card;
  const std::map<std::string, std::string> facts = recorded_facts(file.job_text);
  if (const auto data = facts.find("data"); data != facts.end()) card.data = data->second;
  if (const auto precision = facts.find("precision"); precision != facts.end()) {
    card.precision = precision->second;
  }
  // "runs/x", "runs/x/checkpoints" or "runs/x/checkpoints/ckpt-20".
  fs::path folder = fs::absolute(path).lexically_normal();
  for (int up = 0; up < 3; ++up, folder = folder.parent_path()) {
    std::error_code error;
    const fs::path log = folder / "log.csv";
    if (!fs::is_regular_file(log, error)) continue;
    card.metrics = last_figures(log);
    if (const auto epoch = card.metrics.find("epoch"); epoch != card.metrics.end()) {
      card.epochs = static_cast<int64_t>(epoch->second) + 1;
    }
    for (const char* const none : {"epoch", "data_wait_ms", "learning_rate"}) {
      card.metrics.erase(none);
    }
    break;
  }
  return card;
}

std::string card_text(const formats::ModelFile& file, const std::string& config_text,
                      const ModelCard& card) {
  const json config = json::parse(config_text);
  std::string text = "---\nlibrary_name: trireme\n";
  if (!card.license.empty()) text += "license: " + yaml(card.license) + "\n";
  std::vector<std::string> tags = {"trireme"};
  tags.insert(tags.end(), card.tags.begin(), card.tags.end());
  add_list(text, "language", card.languages);
  add_list(text, "tags", tags);
  add_list(text, "datasets", card.datasets);
  if (!card.metrics.empty()) {
    std::vector<std::string> names;
    for (const auto& [name, value] : card.metrics) names.push_back(name);
    add_list(text, "metrics", names);
    text += "model-index:\n- name: " + yaml(file.name) +
            "\n  results:\n  - task:\n      type: other\n    dataset:\n      name: " +
            yaml(card.data.empty() ? "the training's" : card.data) +
            "\n      type: other\n    metrics:\n";
    for (const auto& [name, value] : card.metrics) {
      text += "    - type: " + yaml(name) + "\n      value: " + number_text(value) + "\n";
    }
  }
  text += "---\n\n# " + file.name + "\n\n";
  if (!card.description.empty()) text += card.description + "\n\n";
  if (!card.author.empty()) text += "By " + card.author + ".\n\n";
  text += "## Model\n\n";
  text += str_cat(file.layers.size(), " layers, ", config["parameters"].get<int64_t>(),
                  " parameters, computed in ", card.precision, ".\n\n");
  text += "| | name | type |\n|---|---|---|\n";
  for (const char* const side : {"inputs", "outputs"}) {
    for (const json& one : config["signature"][side]) {
      text += str_cat("| ", side[0] == 'i' ? "input" : "output", " | `",
                      one["name"].get<std::string>(), "` | `", shown_shape(one), "` |\n");
    }
  }
  text += "\n## Training\n\n";
  text +=
      card.data.empty() ? "What it was trained with is not known.\n" : "Data: " + card.data + ".\n";
  if (file.training && file.training->step > 0) {
    text += str_cat("\n", file.training->step, " steps");
    if (card.epochs > 0)
      text += str_cat(" in ", card.epochs, card.epochs == 1 ? " epoch" : " epochs");
    if (file.training->optimizer) text += " with " + file.training->optimizer->name();
    text += ".\n";
  }
  if (!card.metrics.empty()) {
    text += "\n| metric | after the last epoch |\n|---|---|\n";
    for (const auto& [name, value] : card.metrics) {
      text += "| " + name + " | " + number_text(value) + " |\n";
    }
  }
  text +=
      "\n## Use\n\n"
      "    trireme fetch-model THIS_FOLDER            # checks each file\n"
      "    trireme predict THIS_FOLDER/job.textproto --checkpoint THIS_FOLDER --input FILE\n"
      "    trireme convert THIS_FOLDER model.keras    # or another format\n";
  return text;
}

}  // namespace trireme
