#include "worker/tensorboard_run.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>
#include <google/protobuf/text_format.h>

#include <filesystem>

#include "proto/job.pb.h"
#include "worker/job_schema.h"

namespace trireme {
namespace {

namespace pb = google::protobuf;

// Fields of the frame that change what a training arrives at.
constexpr const char* kFrame[] = {"epochs", "batch_size", "steps_per_epoch", "seed", "precision"};
// Parts whose every option counts. Layers have too many for a table.
constexpr const char* kParts[] = {"optimizer", "loss"};

class Values {
 public:
  void add_field(const pb::Message& message, const pb::FieldDescriptor& field,
                 const std::string& path) {
    if (field.is_repeated()) return;
    const pb::Reflection& reflection = *message.GetReflection();
    switch (field.cpp_type()) {
      case pb::FieldDescriptor::CPPTYPE_MESSAGE:
        if (reflection.HasField(message, &field)) {
          add_message(reflection.GetMessage(message, &field), path);
        }
        return;
      case pb::FieldDescriptor::CPPTYPE_BOOL:
        values_[path] = reflection.GetBool(message, &field);
        return;
      case pb::FieldDescriptor::CPPTYPE_STRING:
        if (const std::string text = reflection.GetString(message, &field); !text.empty()) {
          values_[path] = text;
        }
        return;
      case pb::FieldDescriptor::CPPTYPE_ENUM:
        values_[path] = reflection.GetEnum(message, &field)->name();
        return;
      default: {
        std::string text;
        pb::TextFormat::PrintFieldValueToString(message, &field, -1, &text);
        values_[path] = std::strtod(text.c_str(), nullptr);
      }
    }
  }

  // Options of a component stand beside those of its family, as --set names them.
  void add_message(const pb::Message& message, const std::string& path) {
    const pb::Reflection& reflection = *message.GetReflection();
    std::vector<const pb::FieldDescriptor*> fields;
    reflection.ListFields(message, &fields);
    const pb::OneofDescriptor* const kind = kind_of(*message.GetDescriptor());
    for (const auto* const field : fields) {
      if (kind != nullptr && field->containing_oneof() == kind) {
        values_[path] = field->name();
        add_message(reflection.GetMessage(message, field), path);
      } else {
        add_field(message, *field, path + "." + field->name());
      }
    }
  }

  io::HParamValues take() { return std::move(values_); }

 private:
  io::HParamValues values_;
};

}  // namespace

io::HParamValues job_hparams(const JobFile& file) {
  Values values;
  const pb::Descriptor& frame = *file.job().GetDescriptor();
  for (const char* const name : kFrame) {
    values.add_field(file.job(), *frame.FindFieldByName(name), name);
  }
  const pb::Message& job = file.message();
  for (const char* const name : kParts) {
    if (const auto* const field = job.GetDescriptor()->FindFieldByName(name)) {
      values.add_field(job, *field, name);
    }
  }
  io::HParamValues result = values.take();
  if (const auto rate = file.number("optimizer.learning_rate")) {
    result["optimizer.learning_rate"] = *rate;
  }
  return result;
}

nn::TensorBoardRun tensorboard_run(const Task& task, std::function<int()> rank) {
  nn::TensorBoardRun run{
      .log_dir = (std::filesystem::path(task.file.job().output_dir()) / "tensorboard").string(),
      .hparams = job_hparams(task.file),
      .rank = std::move(rank)};
  run.hparams["workers"] = static_cast<double>(task.cluster.world_size);
  pb::TextFormat::PrintToString(task.file.message(), &run.job);
  return run;
}

}  // namespace trireme
