// A Plan: a program for known shapes, checked and laid out. Order, streams, events, memory and
// prepared kernels.
//
// Made once for a set of feed shapes and then run many times without allocating. What devices can
// record is recorded at the second run, and replayed from then on (PlanRecording).
//
// Memory: every value between nodes lives at a fixed offset of its device's arena. Two values may
// share bytes when every use of one happens before the other is made, as the streams and their
// events order it.
#pragma once

#include <memory>
#include <vector>

#include "core/device/device.h"
#include "core/device/kernel_spec.h"
#include "core/graph/verify.h"
#include "core/passes/program.h"
#include "core/runtime/feed_stage.h"
#include "core/runtime/plan_recording.h"
#include "core/runtime/session.h"
#include "core/runtime/variable_store.h"

namespace trireme {

// One block of memory for each device, shared by the plans of a session and grown to the largest of
// them.
class Arena {
 public:
  explicit Arena(const DeviceSet& devices) : devices_(devices), buffers_(devices.all().size()) {}
  // `what` needs the bytes, for the error of a device that is full.
  void reserve(size_t device, size_t bytes, FunctionRef<std::string()> what);
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
  // kFeed: inputs are fed tensors, outputs where they come on a device with its own memory.
  enum class Kind { kKernel, kCopy, kFeed } kind = Kind::kKernel;
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
  // Whose events are recorded after this one, on their streams: its own. Of the members of a
  // collective on GPUs, which is enqueued when the last of them is launched, the last one's are
  // all.
  std::vector<int> records;
  std::shared_ptr<FeedStage> feed_stage;  // of a kFeed
  double total_us = 0;                    // SessionOptions::profile

  bool changes_variables() const { return kind == Kind::kKernel && is_update(*node); }
};

// A value of the arena, for the error of a device that is full.
struct ArenaValue {
  const Node* node;
  size_t device;
  TensorType type;
};

struct PlanMode {
  bool profile = false;  // each instruction alone, to time it; nothing is recorded
  bool record = true;
};

class Plan {
 public:
  // Throws Error listing every kernel that is missing, and invalid_argument when the shapes do not
  // fit.
  Plan(const Program& program, const std::vector<TensorType>& feed_types, const DeviceSet& devices,
       const KernelTable& kernels, VariableStore& variables, Arena& arena, PlanMode mode = {});
  ~Plan();

  // Issues everything, waits for it, and copies the fetched values. REQUIRES: feeds and results
  // have the plan's types.
  void run(std::span<const Tensor> feeds, std::span<Tensor> results, const FeedsAhead& ahead = {});

  // From now on each kernel tells when it ran; nothing is recorded. Call once, before run().
  void trace(const std::shared_ptr<Tracer>& tracer);

  const std::vector<TensorType>& feed_types() const { return feed_types_; }
  const std::vector<TensorType>& fetch_types() const { return fetch_types_; }
  const std::vector<Instruction>& instructions() const { return instructions_; }
  PlanStatistics statistics() const;
  int64_t runs() const { return runs_; }

 private:
  void bind_arena();
  void bind_feeds(std::span<const Tensor> feeds);
  void prepare_instructions();
  void prepare_events();
  void prepare_fetches();
  void issue_all();
  void issue_alone(Instruction& instruction);
  void issue(Instruction& instruction);
  void record_events(const Instruction& instruction);
  void note_collective(const Instruction& instruction);
  void settle();
  void prefetch_next();
  void issue_fetches();
  void read_fetches(std::span<Tensor> results);
  void* resolve(const Location& location) const;
  std::string largest_values(size_t device) const;
  void synchronize();
  void abandon() noexcept;

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
  std::span<const Tensor> next_;  // FeedsAhead::next of this run, until it is taken
  bool prefetched_ = false;       // of this run
  struct Fetch {
    Location location;
    size_t bytes;
    char* staged = nullptr;  // on the host, where the device has its own memory
  };
  // Of one device with its own memory: the other streams that its compute stream waits for first.
  struct FetchJoin {
    size_t device;
    std::unique_ptr<Event> event;
  };
  std::vector<Fetch> fetches_;
  std::vector<FetchJoin> fetch_joins_;
  std::vector<std::shared_ptr<Buffer>> fetch_memory_;
  std::vector<ArenaValue> arena_values_;
  std::vector<Tensor> constants_;                // keeps the memory of kFixed constants
  std::vector<std::pair<size_t, int>> streams_;  // (device, stream) in use
  std::vector<size_t> arena_bytes_;              // by device
  std::vector<const Instruction*> unsettled_;    // collectives of this run
  int64_t bound_generation_ = -1;
  int64_t runs_ = 0;
  PlanMode mode_;
  std::unique_ptr<PlanRecording> recording_;  // null: nothing is to be recorded
  PlanStatistics statistics_;
};

}  // namespace trireme
