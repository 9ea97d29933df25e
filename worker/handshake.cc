#include "worker/handshake.h"

#include <sstream>

#include "core/base/philox.h"
#include "core/graph/serialize.h"
#include "core/nn/model.h"
#include "proto/job.pb.h"
#include "worker/data_fingerprint.h"
#include "worker/preprocessing.h"

namespace trireme {
namespace {

std::string hex(uint64_t number) {
  std::ostringstream text;
  text << std::hex << number;
  return text.str();
}

}  // namespace

std::map<std::string, std::string> handshake_of(const Task& task) {
  job::Job job = task.file.job();
  job.clear_output_dir();
  // Files may have other names on another host; whoever got here has been believed.
  if (job.has_distributed()) job.mutable_distributed()->clear_tls();
  std::string collectives;
  for (const auto& node : task.model->graph().nodes()) {
    if (node->op().traits.is_communication) append_key(node->attributes(), collectives);
  }
  std::map<std::string, std::string> fields =
      data_fingerprint(job, task.data, task.options.data_dir);
  fields.insert({{"version", "1"},
                 {"job", hex(hash_name(job.SerializeAsString()))},
                 {"graph", hex(graph_hash(task.model->graph()))},
                 {"collectives", hex(hash_name(collectives))}});
  update_preprocessing(task, fields);
  return fields;
}

// A group shares the preprocessing of a checkpoint with the state; workers of servers do not.
void update_preprocessing(const Task& task, std::map<std::string, std::string>& handshake) {
  handshake["preprocessing"] = hex(hash_name(
      task.communicates() ? task.own_preprocessing : preprocessing_text(*task.data.preprocessing)));
}

}  // namespace trireme
