// The records of event files: each is what stands behind the time and the step of an event, for
// EventWriter::add(). Tensors belong to a plugin of TensorBoard, which the metadata name.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace trireme::io {

std::string version_record();  // of a file's first record
std::string start_record();    // earlier values of this step and later ones are out of date
// What stands before the 4 bytes of a scalar. It is a simple_value, which every reader takes, and
// of which all of them drop what is out of date.
std::string scalar_record_prefix(std::string_view tag);

// So many values in [left, right), of the last bucket in [left, right].
struct HistogramBucket {
  double left, right, count;
};
// Buckets of one width from the least to the greatest of the finite values. Values that are all
// equal are counted in the last one; without values there are no buckets.
struct Histogram {
  std::vector<HistogramBucket> buckets;
  int64_t not_finite = 0;  // values that are in no bucket
};
Histogram make_histogram(std::span<const float> values, int buckets = 30);
std::string histogram_record(std::string_view tag, const Histogram& histogram,
                             std::string_view description = "");

// `pngs`: files of that width and height, at least one.
std::string image_record(std::string_view tag, int64_t width, int64_t height,
                         std::span<const std::string> pngs, std::string_view description = "");
// One or several texts in Markdown.
std::string text_record(std::string_view tag, std::string_view markdown);
// One graph a run. Inputs as TensorFlow names them: "node", "node:1", "^node" for an order only.
struct GraphNode {
  std::string name, op, device;
  std::vector<std::string> inputs;
  std::vector<std::pair<std::string, std::string>> attributes;  // as text
  std::vector<std::vector<int64_t>> output_shapes;              // -1: any size
};
std::string graph_record(std::span<const GraphNode> nodes);
// `json`: what Keras's Model.to_json() gives, of which TensorBoard draws the layers.
std::string layer_graph_record(std::string_view json);
// When nodes of the run's graph ran.
struct NodeTime {
  std::string node, device;
  uint32_t thread = 0;
  int64_t begin_us = 0, end_us = 0;
  std::string label;
};
// `tag` is the name under which the page of the graph offers them: "step 10".
std::string node_times_record(std::string_view tag, std::span<const NodeTime> times);

}  // namespace trireme::io
