#include "worker/model_text.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>
#include <google/protobuf/text_format.h>

#include <algorithm>

#include "core/base/error.h"
#include "core/nn/catalogs.h"
#include "core/nn/network.h"
#include "proto/job.pb.h"
#include "worker/job_file.h"
#include "worker/job_text.h"
#include "worker/job_values.h"

namespace trireme {
namespace {

namespace pb = google::protobuf;
using formats::ModelFile;
using formats::ModelInput;
using formats::OutputTraining;

constexpr std::pair<DType, std::string_view> kTypes[] = {
    {DType::kFloat32, "float32"}, {DType::kFloat16, "float16"}, {DType::kBFloat16, "bfloat16"},
    {DType::kFloat64, "float64"}, {DType::kInt32, "int32"},     {DType::kInt64, "int64"},
    {DType::kUInt8, "uint8"},     {DType::kBool, "bool"},       {DType::kString, "string"},
};

const pb::FieldDescriptor& named(const pb::Message& message, const std::string& name) {
  const auto* const field = message.GetDescriptor()->FindFieldByName(name);
  TRIREME_CHECK(field != nullptr, "a job has no field '", name, "'");
  return *field;
}

// The fields of one message.
class Fields {
 public:
  explicit Fields(const pb::Message& message) : message_(message) {}

  std::string text(const std::string& name) const {
    return reflection().GetString(message_, &named(message_, name));
  }
  double number(const std::string& name) const {
    return reflection().GetDouble(message_, &named(message_, name));
  }
  const pb::Message& part(const std::string& name) const {
    return reflection().GetMessage(message_, &named(message_, name));
  }
  bool has(const std::string& name) const {
    return reflection().HasField(message_, &named(message_, name));
  }
  int size(const std::string& list) const {
    return reflection().FieldSize(message_, &named(message_, list));
  }
  const pb::Message& element(const std::string& list, int i) const {
    return reflection().GetRepeatedMessage(message_, &named(message_, list), i);
  }
  int64_t whole(const std::string& list, int i) const {
    return reflection().GetRepeatedInt64(message_, &named(message_, list), i);
  }

 private:
  const pb::Reflection& reflection() const { return *message_.GetReflection(); }
  const pb::Message& message_;
};

// Reads what a job says of its model.
class ModelReader {
 public:
  ModelReader(const JobSchema& schema, const JobWhere& where) : schema_(schema), where_(where) {}

  ModelFile read(const pb::Message& job, const std::string& place) const {
    const Fields fields(job);
    ModelFile file;
    file.place = place;
    if (!fields.text("name").empty()) file.name = fields.text("name");
    file.inputs = inputs(Fields(fields.part("model")));
    file.layers = layers(Fields(fields.part("model")));
    formats::TrainingPart training;
    if (fields.has("optimizer")) {
      training.optimizer = component<nn::Optimizer>(fields.part("optimizer"), "optimizer");
    }
    for (int i = 0; i < fields.size("outputs"); ++i) {
      training.outputs.push_back(
          output(Fields(fields.element("outputs", i)), str_cat("outputs[", i, "].")));
      const std::string& layer = training.outputs.back().output;
      if (std::ranges::find(file.outputs, layer) == file.outputs.end()) {
        file.outputs.push_back(layer);
      }
    }
    if (fields.has("loss")) training.outputs = {losses(fields, "")};
    if (training.optimizer || !training.outputs.empty()) file.training = std::move(training);
    return file;
  }

  std::vector<ModelInput> inputs(const Fields& model) const {
    std::vector<ModelInput> all;
    for (int i = 0; i < model.size("inputs"); ++i) {
      const Fields fields(model.element("inputs", i));
      const std::string path = str_cat("model.inputs[", i, "]");
      DType type = DType::kFloat32;
      try {
        type = input_type_of(fields.text("type"));
      } catch (const Error& error) {
        throw Error(error.code(), str_cat(where_(path + ".type"), path, ".type: ", error.what()));
      }
      std::vector<int64_t> dims = {-1};
      for (int k = 0; k < fields.size("shape"); ++k) dims.push_back(fields.whole("shape", k));
      if (dims.size() > Shape::kMaxRank) {
        throw invalid_argument(where_(path + ".shape"), path, ".shape: expected at most ",
                               Shape::kMaxRank - 1, " dimensions, found ", dims.size() - 1);
      }
      std::string name = fields.text("name");
      if (name.empty()) name = str_cat("feature_", i);
      all.push_back({std::move(name), {type, Shape(dims)}});
    }
    return all;
  }

 private:
  template <typename T>
  std::shared_ptr<T> component(const pb::Message& message, const std::string& path) const {
    return std::shared_ptr<T>(
        dynamic_cast<T*>(read_component(schema_, message, path, where_).release()));
  }

  // Each with a name, as Model gives one to those without.
  std::vector<std::shared_ptr<nn::Layer>> layers(const Fields& model) const {
    nn::Network network;
    for (int i = 0; i < model.size("layers"); ++i) {
      const std::string path = str_cat("model.layers[", i, "]");
      auto layer = component<nn::Layer>(model.element("layers", i), path);
      try {
        network.add(std::move(layer));
      } catch (const Error& error) {
        throw Error(error.code(), str_cat(where_(path), "layer ", i + 1, ": ", error.what()));
      }
    }
    return network.layers();
  }

  std::vector<std::shared_ptr<nn::MetricOptions>> metrics(const Fields& fields,
                                                          const std::string& list,
                                                          const std::string& prefix) const {
    std::vector<std::shared_ptr<nn::MetricOptions>> all;
    for (int i = 0; i < fields.size(list); ++i) {
      all.push_back(component<nn::MetricOptions>(fields.element(list, i),
                                                 str_cat(prefix, list, "[", i, "]")));
    }
    return all;
  }

  OutputTraining losses(const Fields& fields, const std::string& prefix) const {
    OutputTraining training;
    if (fields.has("loss")) {
      training.loss = component<nn::LossOptions>(fields.part("loss"), prefix + "loss");
    }
    training.metrics = metrics(fields, "metrics", prefix);
    training.weighted_metrics = metrics(fields, "weighted_metrics", prefix);
    return training;
  }

  OutputTraining output(const Fields& fields, const std::string& prefix) const {
    OutputTraining training = losses(fields, prefix);
    training.output = fields.text("layer");
    training.weight = fields.number("weight");
    training.labels = fields.text("labels");
    return training;
  }

  const JobSchema& schema_;
  const JobWhere& where_;
};

void set_text(pb::Message& message, const std::string& name, const std::string& text) {
  message.GetReflection()->SetString(&message, &named(message, name), text);
}
pb::Message& mutable_part(pb::Message& message, const std::string& name) {
  return *message.GetReflection()->MutableMessage(&message, &named(message, name));
}
pb::Message& add(pb::Message& message, const std::string& list) {
  return *message.GetReflection()->AddMessage(&message, &named(message, list));
}

void write_input(const ModelInput& input, size_t index, pb::Message& message) {
  if (input.name != str_cat("feature_", index)) set_text(message, "name", input.name);
  if (input.type.dtype != DType::kFloat32) {
    set_text(message, "type", std::string(input_type_name(input.type.dtype)));
  }
  const auto& shape = named(message, "shape");
  const auto dims = input.type.shape.dims();
  for (size_t i = 1; i < dims.size(); ++i) {
    message.GetReflection()->AddInt64(&message, &shape, dims[i]);
  }
}

// Writes it.
class ModelWriter {
 public:
  explicit ModelWriter(const JobSchema& schema) : schema_(schema) {}

  std::unique_ptr<pb::Message> write(const ModelFile& file) const {
    auto job = schema_.new_job();
    set_text(*job, "name", file.name);
    pb::Message& model = mutable_part(*job, "model");
    for (size_t i = 0; i < file.inputs.size(); ++i) {
      write_input(file.inputs[i], i, add(model, "inputs"));
    }
    for (const auto& layer : file.layers) {
      add(model, "layers").CopyFrom(*component(schema_.catalogs().layers, *layer));
    }
    write_outputs(file, *job);
    if (file.training && file.training->optimizer) {
      mutable_part(*job, "optimizer")
          .CopyFrom(*component(schema_.catalogs().optimizers, *file.training->optimizer));
    }
    return job;
  }

 private:
  // One loss of the last layer is the job's; else each output says what it is.
  void write_outputs(const ModelFile& file, pb::Message& job) const {
    const std::string last = file.layers.empty() ? "" : file.layers.back()->name();
    std::vector<OutputTraining> all;
    if (file.training) all = file.training->outputs;
    for (OutputTraining& output : all) {
      if (output.output.empty()) output.output = file.outputs.empty() ? last : file.outputs[0];
    }
    for (const std::string& name : file.outputs) {
      const bool is_there = std::ranges::find(all, name, &OutputTraining::output) != all.end();
      if (!is_there) all.push_back({.output = name});
    }
    if (all.size() == 1 && all[0].output == last && all[0].weight == 1 && all[0].labels.empty()) {
      if (all[0].loss) write_losses(all[0], job);
      return;
    }
    for (const OutputTraining& output : all) {
      pb::Message& target = add(job, "outputs");
      set_text(target, "layer", output.output);
      if (output.weight != 1) {
        target.GetReflection()->SetDouble(&target, &named(target, "weight"), output.weight);
      }
      if (!output.labels.empty()) set_text(target, "labels", output.labels);
      if (output.loss) write_losses(output, target);
    }
  }

  void write_losses(const OutputTraining& output, pb::Message& target) const {
    mutable_part(target, "loss").CopyFrom(*component(schema_.catalogs().losses, *output.loss));
    for (const auto& metric : output.metrics) {
      add(target, "metrics").CopyFrom(*component(schema_.catalogs().metrics, *metric));
    }
    for (const auto& metric : output.weighted_metrics) {
      add(target, "weighted_metrics").CopyFrom(*component(schema_.catalogs().metrics, *metric));
    }
  }

  std::unique_ptr<pb::Message> component(const CatalogBase& catalog, Component& what) const {
    return write_component(schema_, catalog, what, WrittenFields::kChanged);
  }

  const JobSchema& schema_;
};

// Leaves of a component's message only what is not the default.
void prune(const JobSchema& schema, const CatalogBase& catalog, pb::Message& message) {
  const auto component =
      read_component(schema, message, catalog.family(), [](const auto&) { return std::string(); });
  message.CopyFrom(*write_component(schema, catalog, *component, WrittenFields::kChanged));
}

std::string text_of(const pb::Message& job) {
  std::string text;
  pb::TextFormat::Printer printer;
  printer.SetUseUtf8StringEscaping(true);
  printer.PrintToString(job, &text);
  return text;
}

}  // namespace

std::vector<ModelInput> inputs_of(const JobFile& file) {
  const JobWhere where = [&](const std::string& field) { return file.where(field); };
  return ModelReader(file.schema(), where).inputs(Fields(Fields(file.message()).part("model")));
}

void set_inputs(const std::vector<TensorType>& features, pb::Message& job) {
  pb::Message& model = mutable_part(job, "model");
  model.GetReflection()->ClearField(&model, &named(model, "inputs"));
  for (size_t i = 0; i < features.size(); ++i) {
    write_input({str_cat("feature_", i), features[i]}, i, add(model, "inputs"));
  }
}

void check_inputs(const JobFile& file, const std::vector<TensorType>& features) {
  const std::vector<ModelInput> inputs = inputs_of(file);
  if (inputs.empty()) return;
  if (inputs.size() != features.size()) {
    throw invalid_argument(file.where("model.inputs[0]"), "model.inputs: expected ", inputs.size(),
                           " features, found that the data have ", features.size());
  }
  for (size_t i = 0; i < inputs.size(); ++i) {
    const TensorType& wanted = inputs[i].type;
    if (wanted.dtype == features[i].dtype && compatible(wanted.shape, features[i].shape)) continue;
    const std::string field = str_cat("model.inputs[", i, "]");
    throw invalid_argument(file.where(field), field, ": expected ", wanted,
                           " from the data, found ", features[i]);
  }
}

std::optional<job::ModelWeights> initial_weights_of(const JobFile& file) {
  const Fields model(Fields(file.message()).part("model"));
  if (!model.has("weights")) return std::nullopt;
  job::ModelWeights weights;
  TRIREME_CHECK(weights.ParseFromString(model.part("weights").SerializeAsString()),
                "model.weights is the message of proto/job.proto");
  return weights;
}

DType input_type_of(std::string_view name) {
  const auto* const known = std::ranges::find(kTypes, name, [](const auto& t) { return t.second; });
  if (known != std::end(kTypes)) return known->first;
  throw invalid_argument("there is no type '", name,
                         "'; expected float32, float16, bfloat16, float64, int32, int64, uint8, "
                         "bool or string");
}

std::string_view input_type_name(DType type) {
  const auto* const known = std::ranges::find(kTypes, type, [](const auto& t) { return t.first; });
  TRIREME_CHECK(known != std::end(kTypes), "a type has no name in job files");
  return known->second;
}

ModelFile model_of(const JobSchema& schema, const pb::Message& job, const std::string& place,
                   const JobWhere& where) {
  return ModelReader(schema, where).read(job, place);
}

ModelFile model_of(const JobFile& file) {
  return model_of(file.schema(), file.message(), file.path(),
                  [&](const std::string& field) { return file.where(field); });
}

ModelFile parse_model(const JobSchema& schema, const std::string& text, const std::string& place) {
  const auto job = schema.new_job();
  JobPlaces places;
  parse_job_text(schema, text, {.name = place, .places = &places}, *job);
  const auto where = [&](const std::string& field) {
    const auto found = places.find(field);
    return found == places.end()
               ? place + ": "
               : str_cat(place, ":", found->second.first, ":", found->second.second, ": ");
  };
  check_values(*job, where);
  return model_of(schema, *job, place, where);
}

std::string print_model(const JobSchema& schema, const ModelFile& file) {
  return text_of(*ModelWriter(schema).write(file));
}

std::string print_job(const JobSchema& schema, const ModelFile& file) {
  if (file.job_text.empty()) return print_model(schema, file);
  const auto job = schema.new_job();
  parse_job_text(schema, file.job_text, {.name = file.place + ": its job"}, *job);
  for (const char* const of_model :
       {"name", "model", "loss", "outputs", "metrics", "weighted_metrics", "optimizer"}) {
    job->GetReflection()->ClearField(job.get(), &named(*job, of_model));
  }
  const Fields fields(*job);
  if (fields.has("data")) prune(schema, schema.catalogs().data, mutable_part(*job, "data"));
  for (int i = 0; i < fields.size("callbacks"); ++i) {
    prune(schema, schema.catalogs().callbacks,
          *job->GetReflection()->MutableRepeatedMessage(job.get(), &named(*job, "callbacks"), i));
  }
  job->MergeFrom(*ModelWriter(schema).write(file));
  return text_of(*job);
}

}  // namespace trireme
