#include "core/formats/saved_model/saved_model_writer.h"

#include <filesystem>

#include "core/formats/saved_model/object_graph.h"
#include "core/formats/saved_model/serving_graph.h"
#include "core/io/atomic_file.h"
#include "core/io/atomic_folder.h"
#include "core/io/tensor_bundle.h"
#include "proto/tf/saved_model.pb.h"

namespace trireme::formats {
namespace {

namespace fs = std::filesystem;

constexpr const char* kPb = "saved_model.pb";

// TensorFlow's limit of a message.
constexpr size_t kMostBytes = (size_t{1} << 31) - 1;

void require_batch(const InferenceGraph& graph, const std::string& place) {
  for (size_t i = 0; i < graph.features.size(); ++i) {
    if (graph.features[i].shape().rank() > 0) continue;
    throw invalid_argument(place, ": input \"", graph.input_names[i],
                           "\": expected a batch in front, found ", graph.features[i].type());
  }
}

void write_variables(const ServingGraph& served, const nn::StateMap& weights,
                     const tf::TrackableObjectGraph& objects, const std::string& prefix) {
  io::BundleWriter bundle(prefix);
  for (const ServedVariable& variable : served.variables) {
    bundle.add(variable.checkpoint_key, weights.at(variable.name));
  }
  bundle.add("_CHECKPOINTABLE_OBJECT_GRAPH", Tensor::scalar(objects.SerializeAsString()));
  bundle.finish();
}

}  // namespace

void write_saved_model(const ModelFile& model, const std::string& path,
                       const WriteOptions& options) {
  write_graph_as_saved_model(inference_graph(model), model.weights, model.job_text, model.place,
                             path);
  if (options.notes != nullptr && model.training.has_value()) {
    options.notes->push_back(
        "the optimizer and its state are left out: a SavedModel is for inference");
  }
}

void write_graph_as_saved_model(const InferenceGraph& graph, const nn::StateMap& weights,
                                const std::string& job_text, const std::string& place,
                                const std::string& path) {
  require_batch(graph, place);
  tf::SavedModel file;
  file.set_saved_model_schema_version(1);
  tf::MetaGraphDef& meta_graph = *file.add_meta_graphs();
  meta_graph.mutable_meta_info_def()->add_tags("serve");
  meta_graph.mutable_meta_info_def()->set_stripped_default_attrs(true);
  const ServingGraph served = write_serving_graph(graph, meta_graph);
  tf::TrackableObjectGraph checkpoint;
  write_object_graphs(served, *meta_graph.mutable_object_graph_def(), checkpoint);
  if (file.ByteSizeLong() > kMostBytes) {
    throw invalid_argument(path, ": expected a graph of at most 2 GiB, which TensorFlow reads, ",
                           "found constants of ", file.ByteSizeLong() >> 20, " MiB");
  }

  io::AtomicFolder folder(
      path, [](const std::string& there) { return fs::exists(fs::path(there) / kPb); });
  const fs::path inside = folder.temporary();
  write_variables(served, weights, checkpoint, (inside / "variables" / "variables").string());
  if (!job_text.empty()) {
    const fs::path extra = inside / "assets.extra" / "trireme";
    io::create_directories(extra.string());
    io::write_file_atomically((extra / "job.textproto").string(), job_text);
  }
  io::write_file_atomically((inside / kPb).string(), file.SerializeAsString());
  folder.commit();
}

}  // namespace trireme::formats
