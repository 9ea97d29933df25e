#include "worker/handshake.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>

#include <sstream>

#include "core/base/philox.h"
#include "core/graph/serialize.h"
#include "core/nn/model.h"
#include "worker/data_fingerprint.h"
#include "worker/job_components.h"
#include "worker/preprocessing.h"

namespace trireme {
namespace {

std::string hex(uint64_t number) {
  std::ostringstream text;
  text << std::hex << number;
  return text.str();
}

// What must be equal on all workers, with all defaults.
std::string meaning_of(const JobFile& file) {
  const auto job = with_defaults(file.schema(), file.message());
  const auto* const reflection = job->GetReflection();
  const auto* const type = job->GetDescriptor();
  reflection->ClearField(job.get(), type->FindFieldByName("output_dir"));
  // Files may have other names on another host; whoever got here has been believed.
  const auto* const distributed = type->FindFieldByName("distributed");
  if (reflection->HasField(*job, distributed)) {
    google::protobuf::Message& spread = *reflection->MutableMessage(job.get(), distributed);
    spread.GetReflection()->ClearField(&spread, spread.GetDescriptor()->FindFieldByName("tls"));
  }
  return job->SerializeAsString();
}

}  // namespace

std::map<std::string, std::string> handshake_of(const Task& task) {
  std::string collectives;
  for (const auto& node : task.model->graph().nodes()) {
    if (node->op().traits.is_communication) append_key(node->attributes(), collectives);
  }
  std::map<std::string, std::string> fields =
      data_fingerprint(task.file, task.data, task.options.data_dir);
  fields.insert({{"version", "1"},
                 {"job", hex(hash_name(meaning_of(task.file)))},
                 {"graph", hex(graph_hash(task.model->graph()))},
                 {"collectives", hex(hash_name(collectives))}});
  update_preprocessing(task, fields);
  return fields;
}

// A group shares the preprocessing of a checkpoint with the state; workers of servers do not.
void update_preprocessing(const Task& task, std::map<std::string, std::string>& handshake) {
  handshake["preprocessing"] =
      hex(hash_name(task.communicates() ? task.own_preprocessing
                                        : data::preprocessing_text(task.data.preprocessing)));
}

}  // namespace trireme
