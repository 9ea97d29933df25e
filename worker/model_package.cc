#include "worker/model_package.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <sstream>

#include "core/base/error.h"
#include "core/data/line_reader.h"
#include "core/formats/safetensors_format.h"
#include "core/io/atomic_file.h"
#include "worker/model_card.h"
#include "worker/model_files.h"
#include "worker/model_text.h"
#include "worker/sha256.h"

namespace trireme {
namespace {

namespace fs = std::filesystem;
using formats::ModelFile;
using nlohmann::ordered_json;

constexpr int kVersion = 1;
constexpr uint64_t kMaxText = 64 << 20;  // of job files and the like

std::string in(const std::string& folder, const std::string& name) { return folder + "/" + name; }

// Under which name a further format lies in the folder.
std::string file_of(const std::string& format) {
  if (format == "saved-model") return "saved_model";
  if (format == "onnx") return "model.onnx";
  if (format == "keras") return "model.keras";
  if (format == "keras-weights") return "model.weights.h5";
  if (format == "keras-h5") return "model.h5";
  return "model." + format;
}

ordered_json signature_of(const std::string& name, const TensorType& type) {
  ordered_json one = {{"name", name}, {"type", input_type_name(type.dtype)}};
  one["shape"] = ordered_json::array();
  for (const int64_t dim : type.shape) one["shape"].push_back(dim);
  return one;
}

ordered_json config_of(const ModelFile& file, const ModelCard& card) {
  const auto model = formats::make_network(file);
  ordered_json config = {{"library_name", "trireme"}, {"version", kVersion}, {"name", file.name}};
  ordered_json& signature = config["signature"];
  signature["inputs"] = ordered_json::array();
  for (const auto& input : file.inputs) {
    signature["inputs"].push_back(signature_of(input.name, input.type));
  }
  signature["outputs"] = ordered_json::array();
  for (const OutputType& output : output_types(*model)) {
    signature["outputs"].push_back(signature_of(output.name, output.type));
  }
  int64_t parameters = 0;
  for (const auto& [name, value] : file.weights) parameters += value.elements();
  config["parameters"] = parameters;
  config["precision"] = card.precision;
  config["layers"] = ordered_json::array();
  for (const auto& layer : file.layers) {
    ordered_json one = {{"name", layer->name()}, {"type", layer->type()}};
    if (!layer->inputs().empty()) one["inputs"] = layer->inputs();
    config["layers"].push_back(std::move(one));
  }
  if (file.training) config["steps"] = file.training->step;
  if (file.training && file.training->optimizer) {
    config["optimizer"] = file.training->optimizer->name();
  }
  if (card.epochs > 0) config["epochs"] = card.epochs;
  if (!card.data.empty()) config["data"] = card.data;
  if (!card.metrics.empty()) config["metrics"] = card.metrics;
  if (!card.license.empty()) config["license"] = card.license;
  return config;
}

std::vector<PackageFile> files_in(const std::string& folder) {
  std::vector<PackageFile> files;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    if (entry.is_directory() && !entry.is_symlink()) continue;
    const std::string path = fs::relative(entry.path(), folder).generic_string();
    if (path == kManifestFile) continue;
    files.push_back({.path = path, .size = 0, .sha256 = {}});
    if (!entry.is_regular_file() || entry.is_symlink()) continue;
    files.back().size = entry.file_size();
  }
  std::ranges::sort(files, {}, &PackageFile::path);
  return files;
}

void write_manifest(const std::string& folder) {
  ordered_json manifest = {{"version", kVersion}, {"files", ordered_json::array()}};
  for (const PackageFile& file : files_in(folder)) {
    manifest["files"].push_back({{"path", file.path},
                                 {"size", file.size},
                                 {"sha256", sha256_of_file(in(folder, file.path))}});
  }
  io::write_file_atomically(in(folder, kManifestFile), manifest.dump(2) + "\n");
}

}  // namespace

std::vector<std::string> write_package(const ModelFile& file, const std::string& folder,
                                       const PackageOptions& options,
                                       std::shared_ptr<const JobSchema> schema) {
  for (const std::string& format : options.formats) known_format(format, schema);
  std::vector<std::string> notes;
  const auto fill = [&](const std::string& inside) {
    io::create_directories(inside);
    const std::string job = print_job(*schema, file);
    io::write_file_atomically(in(inside, kPackageJob), job);
    ModelFile kept = file;
    kept.job_text = job;
    // The state of a training is no part of what is handed on.
    if (kept.training) kept.training->slots.clear();
    formats::safetensors_format().write(kept, in(inside, kPackageWeights),
                                        {.catalogs = &schema->catalogs()});
    if (!file.preprocessing.empty()) {
      io::write_file_atomically(in(inside, kPackagePreprocessing), file.preprocessing);
    }
    for (const std::string& format : options.formats) {
      if (format == "safetensors") continue;
      write_model(kept, in(inside, file_of(format)), format, false, schema, notes);
    }
    const ordered_json config = config_of(file, options.card);
    io::write_file_atomically(in(inside, kConfigFile), config.dump(2) + "\n");
    io::write_file_atomically(in(inside, kCardFile), card_text(file, config.dump(), options.card));
    write_manifest(inside);
  };
  write_whole(folder, options.overwrite, fill);
  return notes;
}

bool is_package(const std::string& path) {
  std::error_code error;
  return std::ranges::all_of(
      std::array{kManifestFile, kConfigFile, kPackageJob, kPackageWeights},
      [&](const char* name) { return fs::is_regular_file(in(path, name), error); });
}

data::PreprocessingPtr preprocessing_of_package(const std::string& folder) {
  const std::string path = in(folder, kPackagePreprocessing);
  std::error_code error;
  if (!fs::is_regular_file(path, error)) return nullptr;
  const std::string text = data::read_text(path, kMaxText, "a preprocessing");
  return data::parse_preprocessing(Tensor::scalar<std::string>(text), path);
}

ModelFile read_package(const std::string& folder, const JobSchema& schema) {
  ModelFile file = formats::safetensors_format().read(in(folder, kPackageWeights),
                                                      {&schema.catalogs(), nullptr});
  file.place = folder;
  file.job_text = data::read_text(in(folder, kPackageJob), kMaxText, "a job file");
  file.preprocessing = data::preprocessing_text(preprocessing_of_package(folder));
  return file;
}

}  // namespace trireme
