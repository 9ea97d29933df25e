// The memory of the fake cards, and page-locked host memory.
//
// Each allocation of device memory is a mapping of its own, which ends at a page without access and
// has canaries in what is left before it and after. No page of it has access but while an Access
// lives: host code that follows a device address dies. Fresh memory is not a number in each float
// format, and a large number as an integer; freed addresses are not given out again for long.
// Called under the fake driver's lock.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>

namespace trireme::fake_cuda {

struct Allocation {
  uintptr_t address = 0;
  size_t bytes = 0;
  int card = 0;
  bool pinned = false;  // host memory that cards see
  uintptr_t map = 0;    // device memory: the pages, with one without access at either end
  size_t map_bytes = 0;

  uintptr_t end() const { return address + bytes; }
};

class Memory {
 public:
  // Null when the system has no more.
  const Allocation* allocate(int card, size_t bytes);
  const Allocation* allocate_pinned(int card, size_t bytes);
  // The canaries' problem, when there is one. REQUIRES: it is an allocation's first address.
  std::optional<std::string> free(uintptr_t address);

  // The allocation that `address` is in; one past the end does not count.
  const Allocation* find(uintptr_t address) const;
  // What an address is, for errors: "24 bytes past the end of 4096 bytes on card 0".
  std::string describe(uintptr_t address) const;
  // Whether it is where device memory is or was.
  bool is_device_address(uintptr_t address) const;
  size_t used(int card) const;
  size_t count() const { return live_.size(); }

  // What was written out of bounds since the last check, on all cards. REQUIRES: an Access lives.
  std::optional<std::string> check_canaries() const;

  // Gives access to all device memory while it lives.
  class Access {
   public:
    explicit Access(Memory& memory) : memory_(memory) { memory_.set_access(true); }
    ~Access() { memory_.set_access(false); }
    Access(const Access&) = delete;
    Access& operator=(const Access&) = delete;

   private:
    Memory& memory_;
  };

 private:
  void set_access(bool open);
  void set_access(const Allocation& allocation, bool open) const;
  std::optional<std::string> check_canaries(const Allocation& allocation) const;

  std::map<uintptr_t, Allocation> live_;   // by address
  std::map<uintptr_t, Allocation> freed_;  // what errors still know of
  std::deque<uintptr_t> freed_order_;      // keys of freed_, oldest first
  std::map<int, size_t> used_;             // by card
  int pattern_file_ = -1;
  bool open_ = false;
};

}  // namespace trireme::fake_cuda
