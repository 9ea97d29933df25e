#include "core/io/growing_buffer.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <utility>

#include "core/base/error.h"

namespace trireme::io {
namespace {

class MappedBuffer final : public Buffer {
 public:
  MappedBuffer(void* data, size_t bytes, size_t capacity)
      : Buffer(data, bytes, true), capacity_(capacity) {}
  ~MappedBuffer() override {
    if (capacity_ > 0) ::munmap(data(), capacity_);
  }

 private:
  size_t capacity_;
};

// Batches are gathered from places all over a data set: with small pages each row costs a walk of
// the page table (6% of a step of a small perceptron). Both are wishes; nothing depends on them.
void ask_for_huge_pages(void* data, size_t bytes) { (void)::madvise(data, bytes, MADV_HUGEPAGE); }
void make_huge_pages(void* data, size_t bytes) {
#ifdef MADV_COLLAPSE
  (void)::madvise(data, bytes, MADV_COLLAPSE);
#else
  (void)::madvise(data, bytes, 25);  // Linux 6.1 has it, these headers do not
#endif
}

size_t whole_pages(size_t bytes) {
  const auto page = static_cast<size_t>(::sysconf(_SC_PAGESIZE));
  return (bytes + page - 1) / page * page;
}

}  // namespace

uint64_t memory_limit() {
  static const uint64_t limit = [] {
    uint64_t bytes = static_cast<uint64_t>(::sysconf(_SC_PHYS_PAGES)) *
                     static_cast<uint64_t>(::sysconf(_SC_PAGESIZE));
    // "max" where there is none: then nothing is read.
    uint64_t group = 0;
    if (std::ifstream("/sys/fs/cgroup/memory.max") >> group && group > 0) {
      bytes = std::min(bytes, group);
    }
    return bytes;
  }();
  return limit;
}

void check_fits_memory(uint64_t bytes, const std::string& name) {
  constexpr uint64_t kMiB = 1 << 20;
  if (bytes <= memory_limit()) return;
  throw Error(
      ErrorCode::kResourceExhausted,
      str_cat(name, ": needs ", bytes / kMiB, " MiB in memory or more, this process may use ",
              memory_limit() / kMiB, " MiB; use a machine with more, or fewer examples"));
}

GrowingBuffer::GrowingBuffer(std::string name) : name_(std::move(name)) {}

GrowingBuffer::~GrowingBuffer() {
  if (capacity_ > 0) ::munmap(data_, capacity_);
}

void GrowingBuffer::reserve(size_t bytes) {
  check_fits_memory(bytes, name_);
  const size_t capacity = whole_pages(std::max(bytes, capacity_ + capacity_ / 2));
  void* const data = capacity_ == 0 ? ::mmap(nullptr, capacity, PROT_READ | PROT_WRITE,
                                             MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
                                    : ::mremap(data_, capacity_, capacity, MREMAP_MAYMOVE);
  if (data == MAP_FAILED) {
    throw Error(ErrorCode::kResourceExhausted,
                str_cat(name_, ": there is no memory for ", bytes, " bytes of its contents"));
  }
  data_ = static_cast<uint8_t*>(data);
  capacity_ = capacity;
  ask_for_huge_pages(data_, capacity_);
}

std::span<uint8_t> GrowingBuffer::add(size_t bytes) {
  if (bytes > capacity_ - size_) reserve(size_ + bytes);
  size_ += bytes;
  return {data_ + size_ - bytes, bytes};
}

void GrowingBuffer::drop(size_t bytes) {
  TRIREME_CHECK(bytes <= size_);
  size_ -= bytes;
}

std::shared_ptr<Buffer> GrowingBuffer::take() {
  if (capacity_ == 0) return allocate_host(1);
  // What is behind the contents goes back at once.
  const size_t needed = whole_pages(std::max<size_t>(size_, 1));
  if (needed < capacity_) ::munmap(data_ + needed, capacity_ - needed);
  make_huge_pages(data_, needed);
  size_ = capacity_ = 0;
  auto buffer = std::make_shared<MappedBuffer>(data_, needed, needed);
  data_ = nullptr;
  return buffer;
}

}  // namespace trireme::io
