// The memory that the ranks of one group on one host share: a header, a cell a rank, and the slots
// through which tensors pass.
//
// Rank 0 makes it under a name that follows from the group; every other rank opens it, and as soon
// as all have, the name is removed: nothing stays behind however the processes end. What is found
// under the name is checked before it is used; what a dead job left there is replaced.
//
// Made and destroyed by the communicating thread; the mapping ends with the object.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>

#include "distributed/cluster/peer.h"
#include "distributed/collective/communicator.h"
#include "distributed/collective/stage_board.h"

namespace trireme {

class ShmSegment {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;

  // Returns when all ranks of `group` have it. Throws Error{kDeadlineExceeded} naming the ranks
  // that did not come, kUnavailable naming one that ended meanwhile, kResourceExhausted when
  // /dev/shm is too small, kDataLoss when another program holds the name; and what interrupts it.
  ShmSegment(const Group& group, const CommunicatorOptions& options);
  ~ShmSegment();
  ShmSegment(const ShmSegment&) = delete;

  StageCell* cells() const;
  // Two slots of slot_bytes() for each rank, written by it and read by all: for what it gives, and
  // for what it has reduced.
  std::byte* input(int rank, int parity) const;
  std::byte* result(int rank, int parity) const;
  size_t slot_bytes() const { return slot_bytes_; }
  // That the ranks may run on between them: each may be bound to some of its own.
  int cores() const;
  // Whether the process of this rank has ended.
  bool is_gone(int rank) const;

 private:
  struct Header;
  struct Member;

  Header* header() const { return reinterpret_cast<Header*>(base_); }
  Member& member(int rank) const;
  void introduce(int rank) const;
  void create(const Group& group, const CommunicatorOptions& options, TimePoint deadline);
  void open(const Group& group, const CommunicatorOptions& options, TimePoint deadline);
  bool try_open();
  void map(int fd);
  void unmap();
  [[noreturn]] void give_up(const Group& group) const;
  void throw_if_one_ended(const Group& group) const;
  void throw_if_given_up(const Group& group) const;
  void end_gathering(uint32_t state) const;

  const std::string name_;
  const uint64_t identity_;  // of the group: what the header must say
  const int size_;
  const size_t slot_bytes_;
  const std::chrono::milliseconds timeout_;
  size_t bytes_ = 0;
  std::string found_;  // what was under the name, when it was not this group's
  std::byte* base_ = nullptr;
};

}  // namespace trireme
