// A Plan: a program for known shapes, checked and laid out. Order, streams, events, memory and
// prepared kernels.
//
// Made once for a set of feed shapes and then run many times by an Executor without allocating.
//
// Memory: every value between nodes lives at a fixed offset of its device's arena. Two values may
// share bytes when every use of one happens before the other is made, as the streams and their
// events order it.
#pragma once

#include <memory>
#include <vector>

#include "core/device/device.h"
#include "core/passes/program.h"
#include "core/runtime/session.h"
#include "core/runtime/variable_store.h"

namespace trireme {

// One block of memory for each device, shared by the plans of a session and grown to the largest of
// them.
class Arena {
 public:
  explicit Arena(const DeviceSet& devices) : devices_(devices), buffers_(devices.all().size()) {}
  void reserve(size_t device, size_t bytes);
  char* base(size_t device) const {
    return buffers_[device] ? static_cast<char*>(buffers_[device]->data()) : nullptr;
  }
  int64_t generation() const { return generation_; }  // changes when any base does

 private:
  const DeviceSet& devices_;
  std::vector<std::shared_ptr<Buffer>> buffers_;
  int64_t generation_ = 0;
};

// Where a value's bytes are.
struct Location {
  enum class Kind { kArena, kFeed, kFixed } kind = Kind::kArena;
  size_t device = 0;        // index in the DeviceSet
  size_t offset = 0;        // kArena: from the device's base
  int feed = -1;            // kFeed: which fed tensor
  void* address = nullptr;  // kFixed: a variable or a constant
};

struct Instruction {
  enum class Kind { kKernel, kCopy } kind = Kind::kKernel;
  const Node* node = nullptr;
  size_t device = 0;
  int stream = kComputeStream;
  PreparedKernel kernel;
  CopyKind copy_kind = CopyKind::kDeviceToDevice;
  size_t copy_bytes = 0;
  std::vector<Location> inputs, outputs;
  Location scratch;
  // Resolved addresses of the above; patched when the arena moves or another tensor is fed.
  std::vector<void*> input_addresses, output_addresses;
  KernelArgs args{};
  std::vector<int> waits;        // instructions of other streams whose events come first
  std::unique_ptr<Event> event;  // recorded afterwards when another stream waits for it
  double total_us = 0;           // SessionOptions::profile
};

class Plan {
 public:
  // Throws Error listing every kernel that is missing, and invalid_argument when the shapes do not
  // fit.
  Plan(const Program& program, const std::vector<TensorType>& feed_types, const DeviceSet& devices,
       const KernelTable& kernels, VariableStore& variables, Arena& arena);

  // Issues everything, waits for it, and copies the fetched values. REQUIRES: feeds and results
  // have the plan's types.
  void run(std::span<const Tensor> feeds, std::span<Tensor> results, bool profile);

  // From now on each kernel tells when it ran. Call once, before run().
  void trace(const std::shared_ptr<Tracer>& tracer);

  const std::vector<TensorType>& feed_types() const { return feed_types_; }
  const std::vector<TensorType>& fetch_types() const { return fetch_types_; }
  const std::vector<Instruction>& instructions() const { return instructions_; }
  const PlanStatistics& statistics() const { return statistics_; }
  int64_t runs() const { return runs_; }

 private:
  void bind_arena();
  void bind_feeds(std::span<const Tensor> feeds);
  void issue(Instruction& instruction);
  void* resolve(const Location& location) const;
  void synchronize();

  struct FeedUse {
    size_t instruction;
    size_t input;
    size_t offset;
  };

  const DeviceSet& devices_;
  Arena& arena_;
  std::vector<TensorType> feed_types_, fetch_types_;
  std::vector<Instruction> instructions_;
  std::vector<std::vector<FeedUse>> feed_uses_;  // by feed
  std::vector<const void*> bound_feeds_;
  std::vector<Location> fetch_locations_;
  std::vector<Tensor> constants_;                // keeps the memory of kFixed constants
  std::vector<std::pair<size_t, int>> streams_;  // (device, stream) in use
  std::vector<size_t> arena_bytes_;              // by device
  int64_t bound_generation_ = -1;
  int64_t runs_ = 0;
  PlanStatistics statistics_;
};

}  // namespace trireme
