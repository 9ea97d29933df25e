// A model as a folder to hand on: what `trireme export` writes and `trireme fetch-model` checks.
//
//   README.md          the model card, with the fields that Hugging Face reads in front
//   config.json        name, signature, layers and figures, for programs
//   job.textproto      the model as a job file
//   model.safetensors  the weights
//   preprocessing.textproto  what the data went through, where a training knows it
//   manifest.json      size and SHA-256 of each other file
//
// and the model in other formats, where they were asked for.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "core/data/preprocessing.h"
#include "core/formats/model_file.h"
#include "worker/job_schema.h"

namespace trireme {

inline constexpr const char* kManifestFile = "manifest.json";
inline constexpr const char* kConfigFile = "config.json";
inline constexpr const char* kCardFile = "README.md";
inline constexpr const char* kPackageJob = "job.textproto";
inline constexpr const char* kPackageWeights = "model.safetensors";
inline constexpr const char* kPackagePreprocessing = "preprocessing.textproto";

// What a model card says beside what follows from the model.
struct ModelCard {
  std::string license, author, description;
  std::vector<std::string> tags, datasets, languages;
  std::string data;                       // what it was trained with, for people
  std::map<std::string, double> metrics;  // of the last epoch
  std::string precision = "float32";
  int64_t epochs = 0;  // finished; 0: not known
};

// Data and figures of a training: of the job that `file` holds, and of log.csv in the run's folder
// that `path` is or lies in. What is not there is left empty.
ModelCard card_of(const formats::ModelFile& file, const std::string& path);

struct PackageOptions {
  ModelCard card;
  std::vector<std::string> formats;  // further ones, by name
  bool overwrite = false;
};
// The folder, whole or not at all. Throws Error as write_model(). Returns what further formats
// could not say.
std::vector<std::string> write_package(const formats::ModelFile& file, const std::string& folder,
                                       const PackageOptions& options,
                                       std::shared_ptr<const JobSchema> schema);

// Whether the folder is one.
bool is_package(const std::string& path);
// The model in it; it is not compared with the manifest.
formats::ModelFile read_package(const std::string& folder, const JobSchema& schema);

// Null: it has none. Throws Error{kDataLoss} when it cannot be read.
data::PreprocessingPtr preprocessing_of_package(const std::string& folder);

struct PackageFile {
  std::string path;  // within the folder
  uint64_t size = 0;
  std::string sha256;
};
struct PackageReport {
  std::vector<PackageFile> files;   // of the manifest
  std::vector<std::string> extras;  // that are in the folder and not in the manifest
  std::string summary;              // what it is, for people
};
// Compares all files with the manifest: names, then sizes, then contents. Throws Error{kDataLoss}
// that names the first that is missing, no plain file, or another, and Error{kInvalidArgument} for
// a manifest that names a path outside of the folder.
PackageReport check_package(const std::string& folder);
// The same of a folder or a zip archive of one; what the manifest names is copied to `to`, whole or
// not at all, unless `to` is empty.
PackageReport fetch_package(const std::string& from, const std::string& to, bool overwrite);

}  // namespace trireme
