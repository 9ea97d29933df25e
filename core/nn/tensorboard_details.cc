// What TensorBoard shows beside figures: graphs, histograms, pictures, embeddings, times of nodes.
#include <algorithm>
#include <filesystem>

#include "core/base/error.h"
#include "core/base/logging.h"
#include "core/io/atomic_file.h"
#include "core/io/tensor_bundle.h"
#include "core/nn/board_graph.h"
#include "core/nn/board_images.h"
#include "core/nn/model.h"
#include "core/nn/tensorboard.h"
#include "core/runtime/tracer.h"

namespace trireme::nn {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kTable = "embeddings";  // how layers name a table of embeddings

// A variable's values as f32; nothing: its type has no histogram.
std::optional<std::vector<float>> numbers_of(const Tensor& tensor) {
  const auto converted = [](const auto& values) {
    std::vector<float> numbers;
    numbers.reserve(values.size());
    for (const auto& value : values) numbers.push_back(static_cast<float>(value));
    return numbers;
  };
  switch (tensor.dtype()) {
    case DType::kFloat32:
      return converted(tensor.flat<float>());
    case DType::kFloat64:
      return converted(tensor.flat<double>());
    case DType::kFloat16:
      return converted(tensor.flat<Half>());
    case DType::kBFloat16:
      return converted(tensor.flat<BFloat16>());
    default:
      return std::nullopt;
  }
}

std::optional<io::Histogram> histogram_of(const Tensor& tensor) {
  if (tensor.dtype() == DType::kFloat32) return io::make_histogram(tensor.flat<float>());
  const auto numbers = numbers_of(tensor);
  return numbers ? std::optional(io::make_histogram(*numbers)) : std::nullopt;
}

// A text in quotes, as protobuf's text format has it.
std::string quoted(const std::string& text) {
  std::string result = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') result += '\\';
    result += c;
  }
  return result + '"';
}

void remove_bundle(const std::string& prefix) {
  if (prefix.empty()) return;
  std::error_code ignored;
  const std::string name = fs::path(prefix).filename();
  std::vector<fs::path> files;
  for (fs::directory_iterator at(fs::path(prefix).parent_path(), ignored), end; at != end; ++at) {
    if (at->path().filename().string().starts_with(name + ".")) files.push_back(at->path());
  }
  for (const fs::path& file : files) fs::remove(file, ignored);
}

}  // namespace

void TensorBoard::write_graphs(Training& training, io::EventWriter& events) {
  Model& model = training.model();
  const TrainGraph& graph = model.train_graph();
  std::vector<Node*> roots = graph.targets();
  if (graph.forward.loss.defined()) roots.push_back(graph.forward.loss.node);
  const SessionOptions& session = model.session().options();
  std::string device = session.default_device;
  if (device.empty() && session.devices && !session.devices->all().empty()) {
    device = session.devices->names().front();
  }
  if (device.empty()) device = "/device:CPU:0";
  events.add(training.step(), io::graph_record(board_nodes(model.graph(), roots, device)));
  events.add(training.step(), io::layer_graph_record(layer_graph_json(model)));
}

void TensorBoard::write_inputs(Training& training, io::EventWriter& events) {
  const auto* const details = dynamic_cast<const TrainingDetails*>(&training);
  const data::Dataset* const validation = details == nullptr ? nullptr : details->validation();
  if (validation == nullptr || options_.images == 0) return;
  data::Iterator batches = validation->iterator();
  data::Element batch;
  if (!batches.next(batch) || batch.empty()) return;
  const auto pictures = input_pictures(batch[0], options_.images);
  if (!pictures) return;
  events.add(training.step(),
             io::image_record("inputs", pictures->width, pictures->height, pictures->pngs,
                              "The first inputs of the validation data"));
}

// Many numbers become few at once: they are the step's, whose memory is used again.
void TensorBoard::keep_gradients(const TrainingDetails& training) {
  gradients_.clear();
  if (!writes_here()) return;
  for (const auto& [name, gradient] : training.gradients()) {
    if (auto histogram = histogram_of(gradient)) gradients_[name] = std::move(*histogram);
  }
}

void TensorBoard::write_histograms(Training& training, io::EventWriter& events, int64_t epoch) {
  const auto write = [&](const std::string& tag, const io::Histogram& histogram) {
    if (histogram.not_finite > 0 && told_.insert(tag).second) {
      log_warning(str_cat("tensorboard: ", histogram.not_finite, " values of ", tag,
                          " are no finite numbers; its histogram shows the others"));
    }
    events.add(epoch, io::histogram_record(tag, histogram));
  };
  for (const auto& [name, value] : training.model().weights()) {
    if (const auto histogram = histogram_of(value)) write(name + "/histogram", *histogram);
  }
  for (const auto& [name, histogram] : gradients_) write("gradients/" + name, histogram);
  gradients_.clear();
}

// Of the first convolution.
void TensorBoard::write_filters(Training& training, io::EventWriter& events, int64_t epoch) {
  const StateMap weights = training.model().weights();
  for (const auto& layer : training.model().layers()) {
    for (const auto& [name, value] : weights) {
      if (!name.starts_with(layer->name() + "/")) continue;
      const auto picture = filter_picture(value);
      if (!picture) continue;
      events.add(epoch, io::image_record(name + "/image", picture->width, picture->height,
                                         picture->pngs, "Filters side by side, inputs below"));
      return;
    }
  }
}

void TensorBoard::write_tables(Training& training, io::EventWriter& events, int64_t epoch) {
  const auto* const details = dynamic_cast<const TrainingDetails*>(&training);
  if (details == nullptr) return;
  for (const auto& [name, table] : details->tables()) {
    // Of the validation, where there is one for both.
    const bool is_of_validation = name.starts_with("val_");
    if (!is_of_validation && details->tables().contains("val_" + name)) continue;
    const std::string tag = is_of_validation ? name.substr(4) : name;
    const Pictures picture = confusion_picture(table);
    events.add(epoch, io::image_record(tag, picture.width, picture.height, picture.pngs,
                                       "Rows: labels; columns: predictions; dark: a large part of "
                                       "the row"));
    if (const std::string text = confusion_text(table); !text.empty()) {
      events.add(epoch, io::text_record(tag + "/table", text));
    }
  }
}

// A checkpoint of the tables alone, and what tells the projector of it.
void TensorBoard::write_embeddings(Training& training, int64_t epoch) {
  StateMap tables;
  for (const auto& [name, value] : training.model().weights()) {
    const bool is_table = name == kTable || name.ends_with("/" + std::string(kTable));
    if (is_table && value.shape().rank() == 2) tables[name] = value;
  }
  if (tables.empty()) {
    if (told_.insert("embeddings").second) {
      log_warning("tensorboard: the model has no table of embeddings for the projector");
    }
    return;
  }
  // The projector looks into folders with event files, and nowhere else.
  const fs::path place = fs::absolute(fs::path(folder()) / "train");
  const std::string prefix = (place / str_cat("embeddings-", epoch)).string();
  io::BundleWriter writer(prefix);
  std::string config = str_cat("model_checkpoint_path: ", quoted(prefix), "\n");
  for (const auto& [name, table] : tables) {
    writer.add(name, table);
    config += str_cat("embeddings {\n  tensor_name: ", quoted(name), "\n");
    for (const std::string& metadata : options_.embeddings_metadata) {
      const size_t equals = metadata.find('=');
      if (!name.starts_with(metadata.substr(0, equals) + "/")) continue;
      config += str_cat("  metadata_path: ", quoted(metadata.substr(equals + 1)), "\n");
    }
    config += "}\n";
  }
  writer.finish();
  io::write_file_atomically((place / "projector_config.pbtxt").string(), config);
  if (embeddings_ != prefix) remove_bundle(embeddings_);
  embeddings_ = prefix;
}

void TensorBoard::write_node_times(Training& training, io::EventWriter& events) {
  const auto& tracer = training.model().options().session.tracer;
  if (!tracer) {
    throw invalid_argument(
        "tensorboard: profile_batch needs a tracer: expected SessionOptions::tracer");
  }
  std::map<int64_t, std::vector<io::NodeTime>> steps;
  for (const Span& span : tracer->spans()) {
    const bool is_asked =
        span.step >= options_.profile_batch.front() && span.step <= options_.profile_batch.back();
    if (!is_asked) continue;
    steps[span.step].push_back({.node = span.name,
                                .device = span.device,
                                .thread = static_cast<uint32_t>(span.stream),
                                .begin_us = span.begin_ns / 1000,
                                .end_us = span.end_ns / 1000,
                                .label = span.operation});
  }
  for (const auto& [step, times] : steps) {
    events.add(step, io::node_times_record(str_cat("step ", step), times));
  }
  if (tracer->dropped() > 0) {
    log_warning(
        str_cat("tensorboard: the steps of profile_batch come too late: the trace is full "
                "after ",
                tracer->spans().size(), " nodes; choose earlier steps"));
  } else if (steps.empty() && told_.insert("profile").second) {
    log_warning("tensorboard: none of the steps of profile_batch was taken by this process");
  }
}

}  // namespace trireme::nn
