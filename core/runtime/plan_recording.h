// A plan's work that its devices can record: made into few recordings, each replayed by one call.
//
// Instructions that follow each other and only enqueue are one piece, over all streams and devices
// that record. Between pieces stands what the host does: feeding, copies from and to the host,
// nodes on a CPU, kernels that wait for a network. All pieces are replayed on one stream, the
// origin, and what comes before or after them is ordered with it by events. A piece also ends where
// collectives must settle (PreparedKernel::settle) before variables change.
//
// Used by the thread that runs the plan. Everything must have run once before it is recorded:
// libraries load code and take memory at their first call.
#pragma once

#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "core/base/parallel.h"
#include "core/device/device.h"

namespace trireme {

struct Instruction;

class PlanRecording {
 public:
  // Keeps references to both.
  PlanRecording(const DeviceSet& devices, std::vector<Instruction>& instructions);

  // True when there is something to record.
  bool any() const { return !pieces_.empty(); }
  // (index in the DeviceSet, stream) on which recordings are replayed. REQUIRES: any().
  std::pair<size_t, int> origin() const { return {origin_device_, kComputeStream}; }

  // What the plan does itself.
  struct Calls {
    FunctionRef<void(Instruction&)> issue;
    FunctionRef<void(const Instruction&)> issued;  // a collective, by a replay
    FunctionRef<void()> settle;                    // all collectives so far
  };
  // Issues the plan; what is recorded by replaying, the rest through `calls`. Records first what
  // has no recording. A piece whose kernels' versions have changed is issued once, and recorded the
  // next time.
  void run(const Calls& calls);
  // Addresses have changed.
  void forget();

  int recordings() const { return recordings_; }  // that were made so far
  int recorded_instructions() const { return recorded_instructions_; }

 private:
  // A stream other than the origin that a piece uses.
  struct Join {
    Stream* stream;
    std::unique_ptr<Event> event;  // of the stream's device
    bool busy_before = false;      // something that is not recorded is issued there before
  };
  struct Piece {
    size_t begin, end;
    std::vector<int> waits;    // instructions before it that it waits for
    std::vector<int> awaited;  // its instructions that others wait for afterwards
    std::vector<Join> joins;
    std::vector<size_t> collectives;  // its instructions that must settle
    std::vector<size_t> versioned;    // its instructions that have a version
    std::vector<int64_t> versions;    // theirs when it ran last
    std::unique_ptr<Recording> recording;
  };
  bool records(const Instruction& instruction) const;
  Stream& stream_of(const Instruction& instruction) const;
  void describe(Piece& piece);
  void join(Piece& piece, const Instruction& instruction);
  std::vector<int64_t> versions(const Piece& piece) const;
  void record(Piece& piece);
  void replay(Piece& piece);

  const DeviceSet& devices_;
  std::vector<Instruction>& instructions_;
  std::vector<Piece> pieces_;
  size_t origin_device_ = 0;
  Stream* origin_ = nullptr;            // null: no device records
  std::unique_ptr<Event> fork_, done_;  // of the origin: inside of a recording, and after it
  int recordings_ = 0, recorded_instructions_ = 0;
};

}  // namespace trireme
