#include "worker/model_files.h"

#include <unistd.h>

#include <algorithm>
#include <filesystem>

#include "core/base/error.h"
#include "core/data/line_reader.h"
#include "core/io/atomic_file.h"
#include "core/io/checkpoint.h"
#include "core/nn/catalogs.h"
#include "worker/model_formats.h"
#include "worker/model_text.h"
#include "worker/trireme_format.h"

namespace trireme {
namespace {

namespace fs = std::filesystem;
using formats::Format;
using formats::ModelFile;

std::string names_of(const std::vector<Format>& all) {
  std::string names;
  for (const Format& format : all) names += (names.empty() ? "" : ", ") + format.name;
  return names;
}

bool is_there(const std::string& path) {
  std::error_code error;
  return fs::symlink_status(path, error).type() != fs::file_type::not_found && !error;
}

// A folder beside `path` in which it is written; gone at the end.
class Workplace {
 public:
  explicit Workplace(const std::string& path)
      : folder_(str_cat(io::directory_of(path), "/.", fs::path(path).filename().string(), ".",
                        ::getpid(), ".tmp")) {
    fs::remove_all(folder_);
    io::create_directories(folder_);
  }
  ~Workplace() {
    std::error_code error;
    fs::remove_all(folder_, error);
  }
  Workplace(const Workplace&) = delete;

  std::string at(const std::string& name) const { return folder_ + "/" + name; }
  // What was written: a file or a folder of that name, or several files whose names begin with it.
  // The one of that name, or an index, comes last: without it the others mean nothing.
  std::vector<std::string> written(const std::string& name) const {
    std::vector<std::string> names;
    for (const auto& entry : fs::directory_iterator(folder_)) {
      names.push_back(entry.path().filename().string());
    }
    const auto is_last = [&](const std::string& one) {
      return one == name || one == name + ".index";
    };
    std::ranges::sort(names);
    std::ranges::stable_partition(names, [&](const std::string& one) { return !is_last(one); });
    return names;
  }

 private:
  std::string folder_;
};

// A file is replaced by one rename; of a folder the former goes aside first.
void put_in_place(const Workplace& workplace, const std::string& from, const std::string& to) {
  std::error_code error;
  if (fs::is_directory(to, error)) {
    const std::string aside = workplace.at("former");
    fs::rename(to, aside);
    fs::rename(from, to, error);
    if (error) {
      fs::rename(aside, to);
      throw failed(to, ": the new folder cannot take its place: ", error.message());
    }
  } else {
    fs::rename(from, to, error);
    if (error) throw failed(to, ": it cannot be put in place: ", error.message());
  }
  io::sync_directory(io::directory_of(to));
}

// "runs/x/" means what "runs/x" does.
std::string without_slash(std::string path) {
  while (path.size() > 1 && path.back() == '/') path.pop_back();
  return path;
}

ModelFile model_of_job_file(const std::string& path, const JobSchema& schema) {
  constexpr uint64_t kMaxBytes = 16 << 20;
  return parse_model(schema, data::read_text(path, kMaxBytes, "a job file"), path);
}

// Layers and training of `described`, where the file has weights only.
void take_layers(const ModelFile& described, ModelFile& file) {
  file.name = described.name;
  file.layers = described.layers;
  file.outputs = described.outputs;
  if (file.inputs.empty() || !described.inputs.empty()) file.inputs = described.inputs;
  if (!described.training) return;
  if (!file.training) file.training.emplace();
  file.training->optimizer = described.training->optimizer;
  file.training->outputs = described.training->outputs;
}

}  // namespace

const Format& format_named(const std::string& name, const std::vector<Format>& all) {
  for (const Format& format : all) {
    if (format.name == name) return format;
  }
  throw invalid_argument("there is no format '", name, "'; expected ", names_of(all));
}

const Format& format_of(const std::string& path, const std::vector<Format>& all) {
  for (const Format& format : all) {
    if (format.detect(path)) return format;
  }
  if (!is_there(path)) {
    throw not_found(path, ": there is no such file or folder");
  }
  throw invalid_argument(path, ": it is no model of a known format: ", names_of(all),
                         "; --from FORMAT reads it as one and says what is wrong with it");
}

ModelReading read_model(const ModelSource& source, std::shared_ptr<const JobSchema> schema) {
  const std::vector<Format> all = model_formats(schema);
  const std::string path = without_slash(source.path);
  const Format& format =
      source.format.empty() ? format_of(path, all) : format_named(source.format, all);
  std::optional<ModelFile> given;
  if (!source.model.empty()) {
    given = model_of_job_file(source.model, *schema);
    if (!source.inputs.empty()) given->inputs = source.inputs;
  }
  ModelReading reading{.file = format.read(path, {.catalogs = &schema->catalogs(),
                                                  .model = given ? &*given : nullptr}),
                       .format = format.name,
                       .report = {}};
  ModelFile& file = reading.file;
  if (given) {
    take_layers(*given, file);
  } else if (file.layers.empty() && !file.job_text.empty()) {
    take_layers(parse_model(*schema, file.job_text, path + ": its job"), file);
  }
  if (file.layers.empty()) {
    throw invalid_argument(path, ": it has weights only (", file.weights.size(),
                           " of them); give the layers with --model JOB.textproto");
  }
  if (!source.inputs.empty()) file.inputs = source.inputs;
  if (file.inputs.empty()) {
    throw invalid_argument(path,
                           ": it does not say what the model takes; give the shape of an "
                           "example with --input-shape, such as --input-shape 28,28,1");
  }
  const auto model = formats::make_network(file);
  reading.report =
      nn::load_weights(*model, file.weights, {.map = source.map, .strict = !source.partial});
  file.weights = model->weights();
  return reading;
}

bool is_model_file(const std::string& path) {
  return std::ranges::any_of(model_formats(),
                             [&](const Format& format) { return format.detect(path); });
}

nn::StateMap read_weights(const std::string& path, const nn::Model& model,
                          std::shared_ptr<const JobSchema> schema) {
  if (is_own_checkpoint(path)) return io::load_checkpoint(own_checkpoint(path));
  const std::vector<Format> all = model_formats(schema);
  const ModelFile built = formats::model_file_of(model);
  return format_of(path, all)
      .read(path, {.catalogs = &schema->catalogs(), .model = &built})
      .weights;
}

void known_format(const std::string& name, const std::shared_ptr<const JobSchema>& schema) {
  (void)format_named(name, model_formats(schema));
}

void write_whole(const std::string& given_path, bool overwrite,
                 const std::function<void(const std::string& inside)>& fill) {
  const std::string path = without_slash(given_path);
  if (is_there(path) && !overwrite) {
    throw invalid_argument(path, ": it is there already; --overwrite replaces it");
  }
  io::create_directories(io::directory_of(path));
  const Workplace workplace(path);
  const std::string inside = workplace.at(fs::path(path).filename().string());
  fill(inside);
  const std::string folder = io::directory_of(path);
  const std::vector<std::string> names = workplace.written(fs::path(path).filename().string());
  for (const std::string& name : names) {
    if (!overwrite && is_there(folder + "/" + name)) {
      throw invalid_argument(folder, "/", name, ": it is there already; --overwrite replaces it");
    }
  }
  for (const std::string& name : names) {
    put_in_place(workplace, workplace.at(name), folder + "/" + name);
  }
}

std::string write_model(const ModelFile& file, const std::string& given_path,
                        const std::string& format_name, bool overwrite,
                        std::shared_ptr<const JobSchema> schema, std::vector<std::string>& notes) {
  const std::vector<Format> all = model_formats(schema);
  const std::string path = without_slash(given_path);
  const Format* format = format_name.empty() ? nullptr : &format_named(format_name, all);
  for (const Format& one : all) {
    if (format == nullptr && one.suits && one.suits(path)) format = &one;
  }
  if (format == nullptr) {
    throw invalid_argument(path,
                           ": no format has that ending; give one with --to: ", names_of(all));
  }
  if (!format->write) throw invalid_argument("files of format ", format->name, " are only read");
  write_whole(path, overwrite, [&](const std::string& inside) {
    format->write(file, inside, {.catalogs = &schema->catalogs(), .notes = &notes});
  });
  return format->name;
}

}  // namespace trireme
