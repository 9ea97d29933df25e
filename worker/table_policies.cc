#include "worker/table_policies.h"

#include <string>

#include "core/base/error.h"
#include "core/nn/model.h"
#include "core/nn/residual_layers.h"
#include "proto/job.pb.h"
#include "worker/job_file.h"

namespace trireme {
namespace {

// The policy of a layer, or null.
const job::TablePolicy* policy_of(const job::Layer& layer) {
  switch (layer.kind_case()) {
    case job::Layer::kEmbedding:
      return layer.embedding().has_table() ? &layer.embedding().table() : nullptr;
    case job::Layer::kDlrm:
      return layer.dlrm().has_table() ? &layer.dlrm().table() : nullptr;
    case job::Layer::kWideDeep:
      return layer.wide_deep().has_table() ? &layer.wide_deep().table() : nullptr;
    default:
      return nullptr;
  }
}

// Calls visit(policy, the field's path in the job, index of the layer in its list) for all policies
// of a list of layers, in order; and nest(residual layer, path, index) for layers that have lists.
template <typename Visit, typename Nest>
void for_each(const google::protobuf::RepeatedPtrField<job::Layer>& layers, const std::string& path,
              Visit visit, Nest nest) {
  for (int i = 0; i < layers.size(); ++i) {
    const job::Layer& layer = layers[i];
    const std::string at = str_cat(path, "[", i, "].");
    const auto* kind = layer.GetDescriptor()->FindFieldByNumber(layer.kind_case());
    if (const job::TablePolicy* policy = policy_of(layer)) {
      visit(*policy, str_cat(at, kind->name(), ".table"), i);
    }
    if (layer.has_residual()) nest(layer.residual(), at + "residual.", i);
  }
}

void check_numbers(const JobFile& file, const job::TablePolicy& policy, const std::string& path) {
  const auto require = [&](bool condition, const char* field, std::string_view expectation) {
    if (condition) return;
    const std::string at = str_cat(path, ".", field);
    throw invalid_argument(file.where(at), at, ": expected ", expectation);
  };
  const double probability = policy.admit_probability();
  require(policy.admit_after() >= 0, "admit_after", "a number of pushes, or 0 for 1");
  require(probability >= 0 && probability <= 1, "admit_probability", "a number from 0 to 1");
  require(policy.evict_max_age() >= 0, "evict_max_age", "a number of steps, or 0 for never");
  require(policy.evict_min_frequency() >= 0, "evict_min_frequency", "a number of pushes");
  require(policy.evict_max_rows() >= 0, "evict_max_rows", "a number of rows, or 0 for no limit");
}

void check(const JobFile& file, const google::protobuf::RepeatedPtrField<job::Layer>& layers,
           const std::string& path, bool uses_servers) {
  for_each(
      layers, path,
      [&](const job::TablePolicy& policy, const std::string& at, int) {
        check_numbers(file, policy, at);
        if (uses_servers) return;
        throw invalid_argument(
            file.where(at), at,
            ": is about rows on parameter servers, and this training has none there; use strategy "
            "parameter_server or hybrid with servers (trireme launch --ps 1), or remove it");
      },
      [&](const job::Residual& residual, const std::string& at, int) {
        check(file, residual.layers(), at + "layers", uses_servers);
        check(file, residual.shortcut(), at + "shortcut", uses_servers);
      });
}

// Tables are called by the layers that they are in: "residual/embedding/embeddings".
void set(const JobFile& file, const google::protobuf::RepeatedPtrField<job::Layer>& layers,
         const nn::LayerList& built, const std::string& path, const std::string& prefix,
         std::span<ps::TableSpec> tables) {
  for_each(
      layers, path,
      [&](const job::TablePolicy& policy, const std::string& at, int i) {
        const std::string name = str_cat(prefix, built.at(static_cast<size_t>(i))->name(), "/");
        bool found = false;
        for (ps::TableSpec& table : tables) {
          if (!table.name.starts_with(name)) continue;
          found = true;
          if (policy.admit_after() > 0) table.admission.after = policy.admit_after();
          if (policy.admit_probability() > 0) {
            table.admission.probability = policy.admit_probability();
          }
          table.eviction = {.max_age = policy.evict_max_age(),
                            .min_frequency = policy.evict_min_frequency(),
                            .max_rows = policy.evict_max_rows()};
        }
        if (found) return;
        throw invalid_argument(file.where(at), at, ": the layer \"",
                               name.substr(0, name.size() - 1),
                               "\" has no table on the parameter servers");
      },
      [&](const job::Residual& residual, const std::string& at, int i) {
        const nn::Layer& layer = *built.at(static_cast<size_t>(i));
        const auto& parts = dynamic_cast<const nn::Residual&>(layer).options();
        const std::string inside = str_cat(prefix, layer.name(), "/");
        set(file, residual.layers(), parts.layers, at + "layers", inside, tables);
        set(file, residual.shortcut(), parts.shortcut, at + "shortcut", inside, tables);
      });
}

}  // namespace

void check_table_policies(const JobFile& file, bool uses_servers) {
  check(file, file.job().model().layers(), "model.layers", uses_servers);
}

void set_table_policies(const JobFile& file, const nn::Model& model,
                        std::span<ps::TableSpec> tables) {
  set(file, file.job().model().layers(), model.layers(), "model.layers", "", tables);
}

}  // namespace trireme
