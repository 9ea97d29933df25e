#include "core/formats/keras/object_graph.h"

#include <charconv>

#include "core/base/error.h"
#include "core/io/input_file.h"
#include "proto/tf/trackable_object_graph.pb.h"

namespace trireme::formats {
namespace {

std::optional<int> number_of(std::string_view text) {
  int value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < 0) return std::nullopt;
  return value;
}

}  // namespace

ObjectGraph::ObjectGraph(const std::string& prefix) : bundle_(prefix) {
  if (!bundle_.contains(kObjectGraphKey)) {
    throw invalid_argument(prefix,
                           ": expected an object-based checkpoint of TensorFlow, found a bundle "
                           "without ",
                           kObjectGraphKey);
  }
  const Tensor bytes = bundle_.read(kObjectGraphKey);
  tf::TrackableObjectGraph graph;
  if (bytes.dtype() != DType::kString || bytes.elements() != 1 ||
      !graph.ParseFromString(bytes.flat<std::string>()[0]) || graph.nodes_size() == 0) {
    throw data_loss(prefix, ": ", kObjectGraphKey, " is no graph of objects; the file is damaged");
  }
  const auto checked = [&](int id) {
    if (id >= 0 && id < graph.nodes_size()) return id;
    throw data_loss(prefix, ": ", kObjectGraphKey, ": expected one of ", graph.nodes_size(),
                    " objects, found number ", id);
  };
  for (const auto& node : graph.nodes()) {
    Node& made = nodes_.emplace_back();
    for (const auto& child : node.children()) {
      made.children[child.local_name()] = checked(child.node_id());
    }
    for (const auto& attribute : node.attributes()) {
      if (attribute.name() == "VARIABLE_VALUE") made.key = attribute.checkpoint_key();
    }
    for (const auto& slot : node.slot_variables()) {
      made.slots.push_back({checked(slot.original_variable_node_id()),
                            checked(slot.slot_variable_node_id()), slot.slot_name()});
    }
  }
}

int ObjectGraph::child(int node, std::string_view name) const {
  const auto& all = children(node);
  const auto found = all.find(name);
  return found == all.end() ? -1 : found->second;
}

const std::map<std::string, int, std::less<>>& ObjectGraph::children(int node) const {
  return nodes_[static_cast<size_t>(node)].children;
}

std::vector<int> ObjectGraph::numbered(int node, std::string_view prefix) const {
  std::map<int, int> by_number;
  for (const auto& [name, child] : children(node)) {
    if (!name.starts_with(prefix)) continue;
    const std::optional<int> number = number_of(std::string_view(name).substr(prefix.size()));
    if (number) by_number[*number] = child;
  }
  std::vector<int> all;
  for (const auto& [number, child] : by_number) all.push_back(child);
  return all;
}

const std::optional<std::string>& ObjectGraph::key(int node) const {
  return nodes_[static_cast<size_t>(node)].key;
}

const std::vector<ObjectGraph::Slot>& ObjectGraph::slots(int node) const {
  return nodes_[static_cast<size_t>(node)].slots;
}

std::vector<bool> ObjectGraph::leads_to_variables(const Names& leave_out) const {
  // From variables to whoever has them.
  std::vector<std::vector<int>> owners(nodes_.size());
  std::vector<bool> leads(nodes_.size(), false);
  std::vector<int> left;
  for (size_t node = 0; node < nodes_.size(); ++node) {
    for (const auto& [name, child] : nodes_[node].children) {
      if (!leave_out.contains(name)) {
        owners[static_cast<size_t>(child)].push_back(static_cast<int>(node));
      }
    }
    if (!nodes_[node].key) continue;
    leads[node] = true;
    left.push_back(static_cast<int>(node));
  }
  while (!left.empty()) {
    const int at = left.back();
    left.pop_back();
    for (const int owner : owners[static_cast<size_t>(at)]) {
      if (leads[static_cast<size_t>(owner)]) continue;
      leads[static_cast<size_t>(owner)] = true;
      left.push_back(owner);
    }
  }
  return leads;
}

std::set<int> ObjectGraph::variables(int node, const Names& leave_out) const {
  std::set<int> found;
  std::vector<bool> seen(nodes_.size(), false);
  std::vector<int> left = {node};
  seen[static_cast<size_t>(node)] = true;
  while (!left.empty()) {
    const int at = left.back();
    left.pop_back();
    if (key(at)) found.insert(at);
    for (const auto& [name, child] : children(at)) {
      if (seen[static_cast<size_t>(child)] || leave_out.contains(name)) continue;
      seen[static_cast<size_t>(child)] = true;
      left.push_back(child);
    }
  }
  return found;
}

}  // namespace trireme::formats
