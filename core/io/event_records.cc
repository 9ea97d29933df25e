#include "core/io/event_records.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <map>

#include "core/base/error.h"
#include "core/io/varint.h"
#include "proto/tf/event.pb.h"
#include "proto/tf/graph.pb.h"
#include "proto/tf/step_stats.pb.h"

namespace trireme::io {
namespace {

constexpr int kGraphProducer = 22;  // of GraphDef: nothing newer is used

std::string text(std::string_view view) { return std::string(view); }

// A value of `plugin` in an event of its own.
tf::Summary::Value& add_value(tf::Event& event, std::string_view tag, std::string_view plugin,
                              std::string_view description) {
  tf::Summary::Value& value = *event.mutable_summary()->add_value();
  value.set_tag(text(tag));
  value.mutable_metadata()->mutable_plugin_data()->set_plugin_name(text(plugin));
  value.mutable_metadata()->set_summary_description(text(description));
  return value;
}

tf::TensorProto& tensor_of(tf::Summary::Value& value, tf::DataType dtype, tf::DataClass data_class,
                           std::initializer_list<int64_t> shape) {
  value.mutable_metadata()->set_data_class(data_class);
  tf::TensorProto& tensor = *value.mutable_tensor();
  tensor.set_dtype(dtype);
  tensor.mutable_tensor_shape();
  for (const int64_t size : shape) tensor.mutable_tensor_shape()->add_dim()->set_size(size);
  return tensor;
}

}  // namespace

std::string version_record() {
  tf::Event event;
  event.set_file_version("brain.Event:2");
  event.mutable_source_metadata()->set_writer("trireme.core.io.event_file");
  return event.SerializeAsString();
}

std::string start_record() {
  tf::Event event;
  event.mutable_session_log()->set_status(tf::SessionLog::START);
  return event.SerializeAsString();
}

std::string scalar_record_prefix(std::string_view tag) {
  tf::Summary::Value value;
  value.set_tag(text(tag));
  // Value.simple_value, a float, whose bytes come behind.
  const std::string inner = value.SerializeAsString() + "\x15";
  std::string summary = "\x0a";
  append_varint(summary, inner.size() + sizeof(float));
  summary += inner;
  std::string what = "\x2a";
  append_varint(what, summary.size() + sizeof(float));
  return what + summary;
}

Histogram make_histogram(std::span<const float> values, int buckets) {
  TRIREME_CHECK(buckets > 0);
  Histogram result;
  double least = std::numeric_limits<double>::infinity(), greatest = -least;
  for (const float value : values) {
    if (!std::isfinite(value)) {
      ++result.not_finite;
      continue;
    }
    least = std::min<double>(least, value);
    greatest = std::max<double>(greatest, value);
  }
  const auto finite = static_cast<double>(static_cast<int64_t>(values.size()) - result.not_finite);
  if (finite == 0) return result;
  const auto count = static_cast<size_t>(buckets);
  result.buckets.resize(count);
  if (least == greatest) {
    for (HistogramBucket& bucket : result.buckets) bucket = {least, greatest, 0};
    result.buckets.back().count = finite;
    return result;
  }
  const double width = (greatest - least) / buckets;
  for (size_t i = 0; i < count; ++i) {
    result.buckets[i] = {least + width * static_cast<double>(i),
                         i + 1 == count ? greatest : least + width * static_cast<double>(i + 1), 0};
  }
  for (const float value : values) {
    if (!std::isfinite(value)) continue;
    const auto place = static_cast<size_t>((value - least) / width);
    ++result.buckets[std::min(place, count - 1)].count;
  }
  return result;
}

std::string histogram_record(std::string_view tag, const Histogram& histogram,
                             std::string_view description) {
  tf::Event event;
  tf::TensorProto& tensor =
      tensor_of(add_value(event, tag, "histograms", description), tf::DT_DOUBLE,
                tf::DATA_CLASS_TENSOR, {static_cast<int64_t>(histogram.buckets.size()), 3});
  static_assert(sizeof(HistogramBucket) == 3 * sizeof(double) &&
                std::endian::native == std::endian::little);
  tensor.set_tensor_content(histogram.buckets.data(),
                            histogram.buckets.size() * sizeof(HistogramBucket));
  return event.SerializeAsString();
}

std::string image_record(std::string_view tag, int64_t width, int64_t height,
                         std::span<const std::string> pngs, std::string_view description) {
  tf::Event event;
  tf::TensorProto& tensor =
      tensor_of(add_value(event, tag, "images", description), tf::DT_STRING,
                tf::DATA_CLASS_BLOB_SEQUENCE, {static_cast<int64_t>(pngs.size()) + 2});
  tensor.add_string_val(std::to_string(width));
  tensor.add_string_val(std::to_string(height));
  for (const std::string& png : pngs) tensor.add_string_val(png);
  return event.SerializeAsString();
}

std::string text_record(std::string_view tag, std::string_view markdown) {
  tf::Event event;
  tensor_of(add_value(event, tag, "text", ""), tf::DT_STRING, tf::DATA_CLASS_TENSOR, {})
      .add_string_val(text(markdown));
  return event.SerializeAsString();
}

std::string graph_record(std::span<const GraphNode> nodes) {
  tf::GraphDef graph;
  graph.mutable_versions()->set_producer(kGraphProducer);
  for (const GraphNode& node : nodes) {
    tf::NodeDef& def = *graph.add_node();
    def.set_name(node.name);
    def.set_op(node.op);
    def.set_device(node.device);
    for (const std::string& input : node.inputs) def.add_input(input);
    for (const auto& [name, value] : node.attributes) (*def.mutable_attr())[name].set_s(value);
    auto& shapes = *(*def.mutable_attr())["_output_shapes"].mutable_list();
    for (const std::vector<int64_t>& shape : node.output_shapes) {
      tf::TensorShapeProto& to = *shapes.add_shape();
      for (const int64_t size : shape) to.add_dim()->set_size(size);
    }
  }
  tf::Event event;
  event.set_graph_def(graph.SerializeAsString());
  return event.SerializeAsString();
}

std::string layer_graph_record(std::string_view json) {
  tf::Event event;
  tf::Summary::Value& value = add_value(event, "keras", "graph_keras_model", "");
  value.mutable_metadata()->mutable_plugin_data()->set_content("1");  // the version
  // As Keras writes it: readers make a list of one text of it, unless its class is said.
  tensor_of(value, tf::DT_STRING, tf::DATA_CLASS_UNKNOWN, {}).add_string_val(text(json));
  return event.SerializeAsString();
}

std::string node_times_record(std::string_view tag, std::span<const NodeTime> times) {
  tf::RunMetadata metadata;
  std::map<std::string, tf::DeviceStepStats*> devices;
  for (const NodeTime& time : times) {
    tf::DeviceStepStats*& device = devices[time.device];
    if (device == nullptr) {
      device = metadata.mutable_step_stats()->add_dev_stats();
      device->set_device(time.device);
    }
    tf::NodeExecStats& node = *device->add_node_stats();
    node.set_node_name(time.node);
    node.set_all_start_micros(time.begin_us);
    node.set_op_end_rel_micros(time.end_us - time.begin_us);
    node.set_all_end_rel_micros(time.end_us - time.begin_us);
    node.set_thread_id(time.thread);
    node.set_timeline_label(time.label);
  }
  tf::Event event;
  event.mutable_tagged_run_metadata()->set_tag(text(tag));
  event.mutable_tagged_run_metadata()->set_run_metadata(metadata.SerializeAsString());
  return event.SerializeAsString();
}

}  // namespace trireme::io
