// Turns a program for known shapes into an order, types and memory. Private to the runtime;
//
// plan_builder.h uses it.
#pragma once

#include <unordered_map>
#include <vector>

#include "core/passes/program.h"
#include "core/runtime/plan.h"

namespace trireme {

// The nodes of a program in the order in which they will be issued, placeholders first. Nodes that
// mutate a variable come after all other readers of it, and otherwise as early as they can (a
// gradient's memory is then free again); communication too. Updates that wait for communication
// come last, so that the computing goes on meanwhile. Nodes with the same attribute "collective"
// talk to each other: all of them are issued before anything that needs one of them. Throws Error
// naming the nodes of a cycle (a value read from a variable that must be both before and after its
// update).
std::vector<Node*> issue_order(const Program& program);

// Output types with every dimension known, for all nodes of `order`, when the program's feeds have
// `feed_types`.
using NodeTypes = std::unordered_map<const Node*, std::vector<TensorType>>;
NodeTypes infer_types(const Program& program, const std::vector<Node*>& order,
                      const std::vector<TensorType>& feed_types);

// A stretch of memory that one or more values share (views, in-place results).
struct Storage {
  Location::Kind kind = Location::Kind::kArena;
  size_t device = 0;
  size_t bytes = 0;
  size_t offset = 0;                // the result, for kArena
  int feed = -1;                    // kFeed
  void* address = nullptr;          // kFixed
  int first = -1;                   // instruction that makes it
  std::vector<int> makers;          // of the members, when this is a pack: values side by side
  size_t pack = SIZE_MAX;           // the storage that this one is a member of,
  size_t offset_in_pack = 0;        // and where in it
  std::vector<int> last_by_stream;  // last instruction of each stream that touches it; -1: none
  bool lives_to_end = false;        // fetched
};

// For every instruction, the last instruction of each stream that is known to be done when it
// starts.
using Clocks = std::vector<std::vector<int>>;

// Gives every arena storage an offset so that storages whose lives overlap do not. Returns bytes by
// device.
std::vector<size_t> assign_offsets(std::vector<Storage>& storages, const Clocks& clocks,
                                   size_t device_count);

}  // namespace trireme
