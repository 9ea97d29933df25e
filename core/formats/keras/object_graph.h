// The objects of a TensorFlow checkpoint, checked, by their names. For the sources of this folder
// only.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "core/io/tensor_bundle.h"

namespace trireme::formats {

inline constexpr std::string_view kObjectGraphKey = "_CHECKPOINTABLE_OBJECT_GRAPH";
inline constexpr std::string_view kVariableSuffix = "/.ATTRIBUTES/VARIABLE_VALUE";

class ObjectGraph {
 public:
  struct Slot {
    int variable = 0, slot = 0;  // nodes
    std::string name;
  };

  explicit ObjectGraph(const std::string& prefix);

  const io::BundleReader& bundle() const { return bundle_; }
  // -1: there is no child of that name.
  int child(int node, std::string_view name) const;
  const std::map<std::string, int, std::less<>>& children(int node) const;
  // The children that are named "PREFIX0", "PREFIX1" …, by their numbers.
  std::vector<int> numbered(int node, std::string_view prefix) const;
  // The key of a variable's value; nothing: it is none.
  const std::optional<std::string>& key(int node) const;
  const std::vector<Slot>& slots(int node) const;
  using Names = std::set<std::string, std::less<>>;
  // The nodes of variables that are reached from `node`, but not through children of these names.
  std::set<int> variables(int node, const Names& leave_out) const;
  // For each node, whether there are any.
  std::vector<bool> leads_to_variables(const Names& leave_out) const;

 private:
  struct Node {
    std::map<std::string, int, std::less<>> children;
    std::optional<std::string> key;
    std::vector<Slot> slots;
  };

  io::BundleReader bundle_;
  std::vector<Node> nodes_;
};

}  // namespace trireme::formats
