#include "tests/support/fake_cuda/memory.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <vector>

namespace trireme::fake_cuda {
namespace {

constexpr size_t kPage = 4096;
constexpr size_t kAlignment = 256;
constexpr size_t kPatternBytes = 8 << 20;
constexpr uint16_t kFresh = 0x7fff;
constexpr unsigned char kCanary = 0xc5;
constexpr size_t kFreedKept = 1024;

size_t round_up(size_t n, size_t to) { return (n + to - 1) / to * to; }

// REQUIRES: at most a page.
bool all_canary(uintptr_t from, uintptr_t to) {
  static const std::vector<unsigned char> page(kPage, kCanary);
  return memcmp(reinterpret_cast<const void*>(from), page.data(), to - from) == 0;
}

uintptr_t first_not_canary(uintptr_t from, uintptr_t to) {
  while (from < to && *reinterpret_cast<const unsigned char*>(from) == kCanary) ++from;
  return from;
}

}  // namespace

const Allocation* Memory::allocate(int card, size_t bytes) {
  if (pattern_file_ < 0) {
    // Fresh pages are private copies of this file's: they cost nothing until they are written.
    pattern_file_ = memfd_create("trireme-fake-gpu", MFD_CLOEXEC);
    if (pattern_file_ < 0) return nullptr;
    const std::vector<uint16_t> pattern(kPatternBytes / 2, kFresh);
    if (write(pattern_file_, pattern.data(), kPatternBytes) != static_cast<ssize_t>(kPatternBytes))
      return nullptr;
  }
  Allocation a;
  a.card = card;
  a.bytes = bytes;
  const size_t padded = round_up(bytes, kAlignment), data_bytes = round_up(padded, kPage);
  a.map_bytes = data_bytes + 2 * kPage;
  void* map =
      mmap(nullptr, a.map_bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (map == MAP_FAILED) return nullptr;
  a.map = reinterpret_cast<uintptr_t>(map);
  const uintptr_t data = a.map + kPage;
  for (size_t done = 0; done < data_bytes; done += kPatternBytes) {
    void* piece =
        mmap(reinterpret_cast<void*>(data + done), std::min(kPatternBytes, data_bytes - done),
             PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_FIXED | MAP_NORESERVE, pattern_file_, 0);
    if (piece == MAP_FAILED) {
      munmap(map, a.map_bytes);
      return nullptr;
    }
  }
  // As far to the end as alignment allows, so that the page without access follows closely.
  a.address = data + data_bytes - padded;
  memset(reinterpret_cast<void*>(data), kCanary, a.address - data);
  memset(reinterpret_cast<void*>(a.end()), kCanary, padded - bytes);
  if (!open_) set_access(a, false);
  used_[card] += padded;
  return &(live_[a.address] = a);
}

const Allocation* Memory::allocate_pinned(int card, size_t bytes) {
  Allocation a;
  a.card = card;
  a.bytes = bytes;
  a.pinned = true;
  a.map_bytes = round_up(std::max<size_t>(bytes, 1), kPage);
  void* map =
      mmap(nullptr, a.map_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (map == MAP_FAILED) return nullptr;
  a.map = a.address = reinterpret_cast<uintptr_t>(map);
  auto* words = static_cast<uint16_t*>(map);
  std::fill_n(words, bytes / 2, kFresh);
  return &(live_[a.address] = a);
}

std::optional<std::string> Memory::free(uintptr_t address) {
  const auto at = live_.find(address);
  const Allocation a = at->second;
  live_.erase(at);
  if (a.pinned) {
    munmap(reinterpret_cast<void*>(a.map), a.map_bytes);
    return std::nullopt;
  }
  set_access(a, true);
  std::optional<std::string> problem = check_canaries(a);
  used_[a.card] -= round_up(a.bytes, kAlignment);
  // The addresses stay taken, without pages behind them.
  mmap(reinterpret_cast<void*>(a.map), a.map_bytes, PROT_NONE,
       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
  freed_[a.address] = a;
  freed_order_.push_back(a.address);
  if (freed_order_.size() > kFreedKept) {
    const auto oldest = freed_.find(freed_order_.front());
    munmap(reinterpret_cast<void*>(oldest->second.map), oldest->second.map_bytes);
    freed_.erase(oldest);
    freed_order_.pop_front();
  }
  return problem;
}

const Allocation* Memory::find(uintptr_t address) const {
  auto at = live_.upper_bound(address);
  if (at == live_.begin()) return nullptr;
  --at;
  return address < at->second.end() ? &at->second : nullptr;
}

std::string Memory::describe(uintptr_t address) const {
  char number[32];
  snprintf(number, sizeof number, "0x%zx", static_cast<size_t>(address));
  const std::string text = number;
  if (address < kPage) return text + ", a null pointer";
  for (const auto* all : {&live_, &freed_}) {
    for (const auto& [first, a] : *all) {
      if (a.pinned ? address < a.address || address >= a.end()
                   : address < a.map || address >= a.map + a.map_bytes)
        continue;
      const std::string which =
          std::to_string(a.bytes) + " bytes " +
          (a.pinned ? "of page-locked host memory" : "on card " + std::to_string(a.card)) +
          (all == &freed_ ? " that have been freed" : "");
      if (address < a.address)
        return text + ", " + std::to_string(a.address - address) + " bytes before " + which;
      if (address >= a.end())
        return text + ", " + std::to_string(address - a.end()) + " bytes past the end of " + which;
      return text + ", " + std::to_string(address - a.address) + " bytes into " + which;
    }
  }
  return text + ", which is not device memory";
}

bool Memory::is_device_address(uintptr_t address) const {
  for (const auto* all : {&live_, &freed_}) {
    // Mappings do not overlap, so only the one that begins before can hold it, or the one after,
    // of which it may be in the page without access.
    auto at = all->upper_bound(address);
    for (int i = 0; i < 2; ++i) {
      if (at != all->end() && !at->second.pinned && address >= at->second.map &&
          address < at->second.map + at->second.map_bytes)
        return true;
      if (at == all->begin()) break;
      --at;
    }
  }
  return false;
}

size_t Memory::used(int card) const {
  const auto at = used_.find(card);
  return at == used_.end() ? 0 : at->second;
}

std::optional<std::string> Memory::check_canaries() const {
  for (const auto& [address, a] : live_)
    if (auto problem = check_canaries(a)) return problem;
  return std::nullopt;
}

std::optional<std::string> Memory::check_canaries(const Allocation& a) const {
  if (a.pinned) return std::nullopt;
  const uintptr_t first = a.map + kPage, last = a.address + round_up(a.bytes, kAlignment);
  if (all_canary(first, a.address) && all_canary(a.end(), last)) return std::nullopt;
  uintptr_t wrong = first_not_canary(first, a.address);
  if (wrong == a.address) wrong = first_not_canary(a.end(), last);
  // Put right, so that it is told once.
  memset(reinterpret_cast<void*>(first), kCanary, a.address - first);
  memset(reinterpret_cast<void*>(a.end()), kCanary, last - a.end());
  return "something was written out of bounds at " + describe(wrong);
}

void Memory::set_access(bool open) {
  open_ = open;
  for (const auto& [address, a] : live_)
    if (!a.pinned) set_access(a, open);
}

void Memory::set_access(const Allocation& a, bool open) const {
  mprotect(reinterpret_cast<void*>(a.map + kPage), a.map_bytes - 2 * kPage,
           open ? PROT_READ | PROT_WRITE : PROT_NONE);
}

}  // namespace trireme::fake_cuda
