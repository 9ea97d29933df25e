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

 private:
  template <typename T>
  std::shared_ptr<T> component(const pb::Message& message, const std::string& path) const {
    return std::shared_ptr<T>(
        dynamic_cast<T*>(read_component(schema_, message, path, where_).release()));
  }

  std::vector<ModelInput> inputs(const Fields& model) const {
    std::vector<ModelInput> all;
    for (int i = 0; i < model.size("inputs"); ++i) {
      const Fields fields(model.element("inputs", i));
      const std::string path = str_cat("model.inputs[", i, "]");
      const std::string type = fields.text("type");
      const auto* const known =
          std::ranges::find(kTypes, type, [](const auto& t) { return t.second; });
      if (known == std::end(kTypes)) {
        throw invalid_argument(where_(path + ".type"), path, ".type: there is no type '", type,
                               "'; expected float32, int64 or another of `trireme describe job`");
      }
      std::vector<int64_t> dims = {-1};
      for (int k = 0; k < fields.size("shape"); ++k) dims.push_back(fields.whole("shape", k));
      if (dims.size() > Shape::kMaxRank) {
        throw invalid_argument(where_(path + ".shape"), path, ".shape: expected at most ",
                               Shape::kMaxRank - 1, " dimensions, found ", dims.size() - 1);
      }
      std::string name = fields.text("name");
      if (name.empty()) name = str_cat("feature_", i);
      all.push_back({std::move(name), {known->first, Shape(dims)}});
    }
    return all;
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

// Writes it.
class ModelWriter {
 public:
  explicit ModelWriter(const JobSchema& schema) : schema_(schema) {}

  std::unique_ptr<pb::Message> write(const ModelFile& file) const {
    auto job = schema_.new_job();
    set(*job, "name", file.name);
    pb::Message& model = part(*job, "model");
    for (size_t i = 0; i < file.inputs.size(); ++i) {
      write_input(file.inputs[i], i, add(model, "inputs"));
    }
    for (const auto& layer : file.layers) {
      add(model, "layers").CopyFrom(*component(schema_.catalogs().layers, *layer));
    }
    write_outputs(file, *job);
    if (file.training && file.training->optimizer) {
      part(*job, "optimizer")
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
      set(target, "layer", output.output);
      if (output.weight != 1) {
        target.GetReflection()->SetDouble(&target, &named(target, "weight"), output.weight);
      }
      if (!output.labels.empty()) set(target, "labels", output.labels);
      if (output.loss) write_losses(output, target);
    }
  }

  void write_losses(const OutputTraining& output, pb::Message& target) const {
    part(target, "loss").CopyFrom(*component(schema_.catalogs().losses, *output.loss));
    for (const auto& metric : output.metrics) {
      add(target, "metrics").CopyFrom(*component(schema_.catalogs().metrics, *metric));
    }
    for (const auto& metric : output.weighted_metrics) {
      add(target, "weighted_metrics").CopyFrom(*component(schema_.catalogs().metrics, *metric));
    }
  }

  static void set(pb::Message& message, const std::string& name, const std::string& text) {
    message.GetReflection()->SetString(&message, &named(message, name), text);
  }
  static pb::Message& part(pb::Message& message, const std::string& name) {
    return *message.GetReflection()->MutableMessage(&message, &named(message, name));
  }
  static pb::Message& add(pb::Message& message, const std::string& list) {
    return *message.GetReflection()->AddMessage(&message, &named(message, list));
  }
  std::unique_ptr<pb::Message> component(const CatalogBase& catalog, Component& what) const {
    return write_component(schema_, catalog, what, WrittenFields::kChanged);
  }

  static void write_input(const ModelInput& input, size_t index, pb::Message& message) {
    if (input.name != str_cat("feature_", index)) set(message, "name", input.name);
    if (input.type.dtype != DType::kFloat32) {
      set(message, "type", std::string(input_type_name(input.type.dtype)));
    }
    const auto& shape = named(message, "shape");
    const auto dims = input.type.shape.dims();
    for (size_t i = 1; i < dims.size(); ++i) {
      message.GetReflection()->AddInt64(&message, &shape, dims[i]);
    }
  }

  const JobSchema& schema_;
};

}  // namespace

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
  std::string text;
  pb::TextFormat::Printer printer;
  printer.SetUseUtf8StringEscaping(true);
  printer.PrintToString(*ModelWriter(schema).write(file), &text);
  return text;
}

}  // namespace trireme
