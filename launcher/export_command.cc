// trireme export and fetch-model: a model as a folder to hand on, and its check.
#include <CLI/CLI.hpp>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>

#include "core/base/error.h"
#include "launcher/commands.h"
#include "worker/model_files.h"
#include "worker/model_package.h"
#include "worker/model_text.h"

namespace trireme {
namespace {

struct Options {
  ModelSource source;
  std::string folder, data;
  std::vector<std::string> metrics;
  PackageOptions package;
  bool saved_model = false, keras = false, onnx = false, quiet = false;
};

void add_metrics(const std::vector<std::string>& texts, ModelCard& card) {
  for (const std::string& text : texts) {
    const size_t equals = text.find('=');
    char* end = nullptr;
    const std::string number = equals == std::string::npos ? "" : text.substr(equals + 1);
    const double value = std::strtod(number.c_str(), &end);
    if (number.empty() || *end != '\0') {
      throw invalid_argument("--metric ", text, ": expected NAME=NUMBER");
    }
    card.metrics[text.substr(0, equals)] = value;
  }
}

void export_model(const Options& given, const std::shared_ptr<const JobSchema>& schema) {
  Options options = given;
  const ModelReading reading = read_model(options.source, schema);
  ModelCard& card = options.package.card;
  const ModelCard known = card_of(reading.file, options.source.path);
  card.data = options.data.empty() ? known.data : options.data;
  card.metrics = known.metrics;
  card.precision = known.precision;
  card.epochs = known.epochs;
  add_metrics(options.metrics, card);
  for (const auto& [wanted, name] : {std::pair{options.saved_model, "saved-model"},
                                     {options.keras, "keras"},
                                     {options.onnx, "onnx"}}) {
    if (wanted) options.package.formats.emplace_back(name);
  }
  std::vector<std::string> notes = reading.file.notes;
  const std::vector<std::string> more =
      write_package(reading.file, options.folder, options.package, schema);
  notes.insert(notes.end(), more.begin(), more.end());
  const PackageReport report = check_package(options.folder);
  if (!options.quiet) {
    std::cerr << options.folder << ": " << report.files.size() << " files and " << kManifestFile
              << "\n"
              << report.summary;
    for (const std::string& note : notes) std::cerr << "note: " << note << "\n";
  }
  nlohmann::ordered_json line = {{"from", options.source.path}, {"to", options.folder}};
  line["files"] = nlohmann::json::array();
  for (const PackageFile& file : report.files) line["files"].push_back(file.path);
  line["notes"] = notes;
  std::cout << line.dump() << std::endl;
}

void fetch_model(const std::string& from, const std::string& to, bool overwrite, bool quiet) {
  const PackageReport report = fetch_package(from, to, overwrite);
  if (!quiet) {
    std::cerr << from << ": " << report.files.size() << " files are as the manifest has them\n"
              << report.summary;
    for (const std::string& extra : report.extras) {
      std::cerr << "not in the manifest" << (to.empty() ? "" : ", not copied") << ": "
                << nlohmann::json(extra).dump() << "\n";
    }
  }
  nlohmann::ordered_json line = {{"from", from}, {"to", to}, {"files", report.files.size()}};
  line["extras"] = report.extras;
  std::cout << line.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) << std::endl;
}

}  // namespace

void add_export_command(CLI::App& app, CommandContext& context) {
  CLI::App* command = app.add_subcommand(
      "export", "Make a folder of a model to hand on: weights, job, model card, manifest");
  command->footer(
      "Examples:\n"
      "  trireme export runs/digits_lenet lenet --license apache-2.0 --saved-model --onnx\n"
      "  trireme fetch-model lenet\n"
      "Data and metrics of the card follow from the training; --data and --metric say others.");
  auto options = std::make_shared<Options>();
  ModelCard& card = options->package.card;
  command
      ->add_option("FROM", options->source.path,
                   "A run's folder, a checkpoint, or a file or folder of another format")
      ->required();
  command->add_option("FOLDER", options->folder, "The folder that is made")->required();
  command->add_flag("--saved-model", options->saved_model, "Also as SavedModel, in saved_model/");
  command->add_flag("--keras", options->keras, "Also as model.keras");
  command->add_flag("--onnx", options->onnx, "Also as model.onnx");
  command
      ->add_option("--also", options->package.formats,
                   "Also in this format; trireme convert --help lists them")
      ->type_name("FORMAT")
      ->allow_extra_args(false);
  command->add_option("--license", card.license, "The model's licence, such as apache-2.0");
  command->add_option("--author", card.author, "Who made it");
  command->add_option("--description", card.description, "A paragraph of the card");
  for (const auto& [name, list, help] :
       {std::tuple{"--tag", &card.tags, "A tag of the card"},
        {"--dataset", &card.datasets, "A data set, as Hugging Face names it"},
        {"--language", &card.languages, "A language of the data, such as en"}}) {
    command->add_option(name, *list, help)->allow_extra_args(false);
  }
  command->add_option("--data", options->data, "What it was trained with, for people");
  command->add_option("--metric", options->metrics, "A figure of the card, in place of the run's")
      ->type_name("NAME=NUMBER")
      ->allow_extra_args(false);
  command
      ->add_option("--model", options->source.model,
                   "A job file with the layers, for files that have weights only")
      ->type_name("JOB");
  command->add_flag("--overwrite", options->package.overwrite,
                    "The folder is replaced where it is there");
  command->add_flag("--quiet", options->quiet, "No report on standard error");
  command->callback([options, schema = context.tables.schema] { export_model(*options, schema); });
}

void add_fetch_model_command(CLI::App& app) {
  struct FetchOptions {
    std::string from, to;
    bool overwrite = false, quiet = false;
  };
  auto options = std::make_shared<FetchOptions>();
  CLI::App* command = app.add_subcommand(
      "fetch-model", "Check an exported model against its manifest, and copy it");
  command
      ->add_option("FROM", options->from,
                   "A folder that trireme export made, or a zip archive of one")
      ->required();
  command->add_option("TO", options->to,
                      "Where it is copied to, all of what the manifest names or nothing; without "
                      "it, it is only checked");
  command->add_flag("--overwrite", options->overwrite, "TO is replaced where it is there");
  command->add_flag("--quiet", options->quiet, "No report on standard error");
  command->callback(
      [options] { fetch_model(options->from, options->to, options->overwrite, options->quiet); });
}

}  // namespace trireme
