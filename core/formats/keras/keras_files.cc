#include "core/formats/keras/keras_files.h"

#include <chrono>
#include <cstring>
#include <ctime>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "core/base/error.h"
#include "core/formats/keras/model_weights.h"
#include "core/formats/keras/tf_checkpoint.h"
#include "core/io/atomic_file.h"
#include "core/io/hdf5_writer.h"
#include "core/io/input_file.h"
#include "core/io/zip_reader.h"
#include "core/io/zip_writer.h"

namespace trireme::formats {
namespace {

constexpr uint64_t kMostConfigBytes = uint64_t{64} << 20;
constexpr const char* kConfig = "config.json";
constexpr const char* kMetadata = "metadata.json";
constexpr const char* kWeights = "model.weights.h5";

ConfigContext context_of(const ReadOptions& options, const std::string& place) {
  return {.catalogs = *options.catalogs, .place = place};
}

// --- `.keras`

// The files of an archive or a folder.
class Archive {
 public:
  explicit Archive(const std::string& path) : path_(path) {
    if (!std::filesystem::is_directory(path)) zip_ = std::make_unique<io::ZipReader>(path);
  }

  std::string text(const char* name) const {
    if (zip_ == nullptr) return io::read_file(path_ + "/" + name, kMostConfigBytes);
    return zip_->read_text(find(name), kMostConfigBytes);
  }
  io::Hdf5File hdf5(const char* name) const {
    if (zip_ == nullptr) return io::Hdf5File(path_ + "/" + name);
    return io::Hdf5File(zip_->open(find(name)));
  }

 private:
  const io::ZipReader::Member& find(const char* name) const {
    const auto* const member = zip_->find(name);
    if (member != nullptr) return *member;
    throw data_loss(path_, ": expected a file ", name,
                    " in the archive, as Keras writes it, found ", "none");
  }

  std::string path_;
  std::unique_ptr<io::ZipReader> zip_;
};

bool is_keras(const std::string& path) {
  try {
    if (std::filesystem::is_directory(path)) {
      return std::filesystem::is_regular_file(path + "/" + kConfig) &&
             std::filesystem::is_regular_file(path + "/" + kWeights);
    }
    char head[4] = {};
    const io::InputFile file(path);
    if (file.size() < sizeof(head)) return false;
    file.read(0, head, sizeof(head));
    if (std::memcmp(head, "PK\3\4", sizeof(head)) != 0) return false;
    const io::ZipReader zip(path);
    return zip.find(kConfig) != nullptr && zip.find(kWeights) != nullptr;
  } catch (const std::exception&) {
    return false;
  }
}

ModelFile read_keras(const std::string& path, const ReadOptions& options) {
  const Archive archive(path);
  const Json json = parse_json(archive.text(kConfig), str_cat(path, ": ", kConfig));
  ConfigContext context = context_of(options, path);
  const Json metadata = parse_json(archive.text(kMetadata), str_cat(path, ": ", kMetadata));
  const Json& version = member(metadata, "keras_version");
  context.is_keras2 = version.is_string() && version.get<std::string>().starts_with("2.");
  ReadNetwork network = read_network(json, path, context.is_keras2, *options.catalogs);
  const io::Hdf5File hdf5 = archive.hdf5(kWeights);
  read_values(hdf5, WeightLayout::kKeras3, member(json, "compile_config"), context, network);
  return std::move(network.file);
}

std::string date_now() {
  const std::time_t now = std::chrono::system_clock::to_time_t(std::chrono::system_clock::now());
  std::tm parts{};
  gmtime_r(&now, &parts);
  char text[32];
  std::strftime(text, sizeof(text), "%Y-%m-%d@%H:%M:%S", &parts);
  return text;
}

void write_keras(const ModelFile& model, const std::string& path, const WriteOptions& options) {
  WrittenModel written = written_model(model, options);
  if (!written.training.is_null()) written.config["compile_config"] = written.training;
  const Json metadata = {{"keras_version", kKerasVersion}, {"date_saved", date_now()}};
  const io::Hdf5Contents contents = weights_contents(written.weights);
  const io::Hdf5Writer hdf5(contents);
  io::ZipWriter zip(path);
  zip.add(kMetadata, metadata.dump());
  zip.add(kConfig, written.config.dump());
  zip.add(kWeights, hdf5.size(), [&](const io::ZipWriter::Sink& sink) { hdf5.write(sink); });
  zip.commit();
}

// --- Whole models in `.h5`

bool has_layout(const std::string& path, std::initializer_list<KerasLayout> layouts) {
  try {
    if (!std::filesystem::is_regular_file(path) || !io::Hdf5File::is_one(path)) return false;
    const auto layout = layout_of(io::Hdf5File(path));
    return layout && std::ranges::find(layouts, *layout) != layouts.end();
  } catch (const std::exception&) {
    return false;
  }
}

ModelFile read_keras_h5(const std::string& path, const ReadOptions& options) {
  const io::Hdf5File hdf5(path);
  const std::string* const config = hdf5.root().text("model_config");
  if (config == nullptr) {
    throw invalid_argument(
        path, ": expected a whole model of Keras with the attribute model_config", ", found none");
  }
  const std::string* const version = hdf5.root().text("keras_version");
  const bool is_keras2 =
      version == nullptr || version->starts_with("2.") || version->starts_with("1.");
  const std::string place = str_cat(path, ": model_config");
  ReadNetwork network =
      read_network(parse_json(*config, place), path, is_keras2, *options.catalogs);
  const std::string* const training = hdf5.root().text("training_config");
  const Json training_json =
      training == nullptr ? Json() : parse_json(*training, str_cat(path, ": training_config"));
  ConfigContext context = context_of(options, path);
  context.is_keras2 = is_keras2;
  read_values(hdf5, WeightLayout::kLegacy, training_json, context, network);
  return std::move(network.file);
}

void write_keras_h5(const ModelFile& model, const std::string& path, const WriteOptions& options) {
  WrittenModel written = written_model(model, options);
  io::Hdf5Contents contents = legacy_contents(written.weights, true);
  contents.attributes["model_config"] = written.config.dump();
  contents.attributes["keras_version"] = std::string(kKerasVersion);
  contents.attributes["backend"] = "tensorflow";
  if (!written.training.is_null()) {
    Json training = written.training;
    training["optimizer_config"] = training["optimizer"];
    training.erase("optimizer");
    contents.attributes["training_config"] = training.dump();
  }
  io::write_hdf5(contents, path);
}

// --- Weights alone

// Weights that Keras spread over several files, and the map of them.
ModelFile read_shards_of(const std::string& path, const ReadOptions& options) {
  const auto shards = open_shards(path);
  if (options.model == nullptr) {
    ModelFile file;
    file.place = path;
    for (const auto& shard : shards) file.weights.merge(read_all(*shard));
    return file;
  }
  size_t found = 0;
  for (const auto& shard : shards) found += optimizer_variables(*shard, WeightLayout::kKeras3);
  return read_into_model(*options.model, path, found, *options.catalogs,
                         [&](KerasModelWeights& weights) { read_shards(shards, path, weights); });
}

ModelFile read_keras_weights(const std::string& path, const ReadOptions& options) {
  if (is_shard_map(path)) return read_shards_of(path, options);
  const io::Hdf5File hdf5(path);
  const auto layout = layout_of(hdf5);
  if (!layout || *layout == KerasLayout::kLegacyModel) {
    throw invalid_argument(path, ": expected weights of a Keras model, found an HDF5 file of ",
                           layout ? "a whole model" : "something else");
  }
  if (options.model == nullptr) {
    ModelFile file;
    file.place = path;
    file.weights = read_all(hdf5);
    return file;
  }
  const bool is_new = *layout == KerasLayout::kWeights;
  const size_t found = is_new ? optimizer_variables(hdf5, WeightLayout::kKeras3) : 0;
  return read_into_model(
      *options.model, path, found, *options.catalogs, [&](KerasModelWeights& weights) {
        is_new ? read_weights(hdf5, weights) : read_legacy_weights(hdf5, weights);
      });
}

void write_keras_weights(const ModelFile& model, const std::string& path,
                         const WriteOptions& options) {
  const WrittenModel written = written_model(model, options);
  io::write_hdf5(weights_contents(written.weights), path);
}

// --- Checkpoints of Keras 2

ModelFile read_keras_checkpoint(const std::string& path, const ReadOptions& options) {
  const std::string prefix = checkpoint_prefix(path);
  if (options.model == nullptr) {
    ModelFile file;
    file.place = path;
    file.weights = read_all_of_checkpoint(prefix);
    return file;
  }
  return read_into_model(*options.model, path, optimizer_variables_of(prefix), *options.catalogs,
                         [&](KerasModelWeights& weights) { read_tf_checkpoint(prefix, weights); });
}

void write_keras_checkpoint(const ModelFile& model, const std::string& path,
                            const WriteOptions& options) {
  write_tf_checkpoint(written_model(model, options).weights, checkpoint_prefix(path));
}

bool ends_with(const std::string& path, std::string_view end) { return path.ends_with(end); }

}  // namespace

Format keras_format() {
  return {.name = "keras",
          .help = "Keras 3's .keras: the archive of model.save(), or a folder with its files.",
          .detect = is_keras,
          .suits = [](const std::string& path) { return ends_with(path, ".keras"); },
          .read = read_keras,
          .write = write_keras};
}

Format keras_h5_format() {
  return {.name = "keras-h5",
          .help = "A whole model in Keras's older .h5, as Keras 2 and 3 write it.",
          .detect =
              [](const std::string& path) { return has_layout(path, {KerasLayout::kLegacyModel}); },
          .suits =
              [](const std::string& path) {
                return (ends_with(path, ".h5") || ends_with(path, ".hdf5")) &&
                       !ends_with(path, ".weights.h5");
              },
          .read = read_keras_h5,
          .write = write_keras_h5};
}

Format keras_weights_format() {
  return {.name = "keras-weights",
          .help = "Weights of a Keras model, as model.save_weights() writes them to .weights.h5.",
          .detect =
              [](const std::string& path) {
                return is_shard_map(path) ||
                       has_layout(path, {KerasLayout::kWeights, KerasLayout::kLegacyWeights});
              },
          .suits = [](const std::string& path) { return ends_with(path, ".weights.h5"); },
          .read = read_keras_weights,
          .write = write_keras_weights};
}

Format keras_checkpoint_format() {
  return {.name = "keras-checkpoint",
          .help =
              "Weights of a Keras model in TensorFlow's object-based checkpoint, as Keras 2's "
              "model.save_weights() writes them.",
          .detect = is_tf_checkpoint,
          .suits = [](const std::string& path) { return ends_with(path, ".index"); },
          .read = read_keras_checkpoint,
          .write = write_keras_checkpoint};
}

}  // namespace trireme::formats
