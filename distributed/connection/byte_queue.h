// Bytes that are appended at the end and taken from the front. Private to this folder.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <memory>
#include <utility>

namespace trireme {

class ByteQueue {
 public:
  bool empty() const { return begin_ == end_; }
  size_t size() const { return end_ - begin_; }
  const char* data() const { return bytes_.get() + begin_; }

  void take(size_t count) {
    begin_ += count;
    if (begin_ == end_) begin_ = end_ = 0;
  }

  // Space for `count` bytes behind the last; added() says how many of them were written.
  char* space(size_t count) {
    if (capacity_ - end_ < count) make_space(count);
    return bytes_.get() + end_;
  }
  void added(size_t count) { end_ += count; }

  void append(const char* data, size_t count) {
    std::memcpy(space(count), data, count);
    added(count);
  }

  void clear() { begin_ = end_ = 0; }
  void swap(ByteQueue& other) {
    std::swap(bytes_, other.bytes_);
    std::swap(begin_, other.begin_);
    std::swap(end_, other.end_);
    std::swap(capacity_, other.capacity_);
  }

 private:
  void make_space(size_t count) {
    const size_t used = size();
    if (capacity_ >= used + count) {
      std::memmove(bytes_.get(), data(), used);
    } else {
      const size_t capacity = std::max(used + count, 2 * capacity_);
      std::unique_ptr<char[]> larger(new char[capacity]);  // not zeroed: it is written before read
      if (used > 0) std::memcpy(larger.get(), data(), used);
      bytes_ = std::move(larger);
      capacity_ = capacity;
    }
    begin_ = 0;
    end_ = used;
  }

  std::unique_ptr<char[]> bytes_;
  size_t begin_ = 0, end_ = 0, capacity_ = 0;
};

}  // namespace trireme
