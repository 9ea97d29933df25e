// Memory that two processes of one host share: a ring of bytes each way.
//
// It has no name, so that nothing is left of it however the processes end: the side that makes it
// tells the other where to find it among its open files. What the other side writes there is
// checked before it is believed.
//
// An end is used by its ShmStream, one thread at a time for each direction.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

namespace trireme::ps {

// Where the maker's memory is.
struct ShmOffer {
  int64_t pid = 0;
  int64_t file = 0;  // descriptor there
  uint64_t ring_bytes = 0;
  uint64_t token = 0;  // in the memory too: a file that took the number meanwhile has it not
};

// Equal exactly for processes that can share memory this way: of one boot, one container, one user.
std::string host_for_rings();

class ShmRing {
 public:
  // Each way. What passes through stays in the caches when it is small; when it is large, less is
  // waited.
  static constexpr uint64_t kRingBytes = uint64_t{8} << 20;

  // Throws Error{kResourceExhausted} when there is no memory.
  static std::unique_ptr<ShmRing> make(uint64_t ring_bytes = kRingBytes);
  // Maps what the other side made. Throws Error{kInvalidArgument} when it is not there.
  static std::unique_ptr<ShmRing> open(const ShmOffer& offer);
  ~ShmRing();
  ShmRing(const ShmRing&) = delete;

  const ShmOffer& offer() const { return offer_; }
  // The other side has mapped it: it need not be found any more.
  void close_file();

  // ---- out ----
  // Copies as much of `bytes` as there is room for, and says how much. Throws Error{kDataLoss} when
  // the other side's numbers cannot be. What was written is seen after publish().
  size_t write(std::span<const std::byte> bytes);
  void publish();
  // The other side is to wake this one when there is room.
  void want_room();
  bool has_room() const;

  // ---- in ----
  // What can be read at once, without what lies beyond the ring's end; empty: nothing is there.
  // Throws as write().
  std::span<const std::byte> readable() const;
  void taken(size_t bytes);

  // ---- waiting ----
  // Sleeps until the other side, or wake_self(), has done something since prepare_sleep(); but a
  // second at most. Between the two the caller looks once more whether there is nothing to do.
  uint32_t prepare_sleep();
  void sleep(uint32_t prepared);
  void do_not_sleep();
  void wake_self();

 private:
  struct Side;
  struct Shared;
  ShmRing() = default;
  void map(int file);
  uint64_t room() const;
  void wake_other();
  static size_t total_bytes(uint64_t ring_bytes);

  ShmOffer offer_;
  int file_ = -1;
  Shared* shared_ = nullptr;
  Side* mine_ = nullptr;
  Side* theirs_ = nullptr;
  std::byte* out_ = nullptr;
  const std::byte* in_ = nullptr;
  // Our own numbers, where the other side cannot reach them.
  uint64_t written_ = 0;
  uint64_t taken_ = 0;
};

}  // namespace trireme::ps
