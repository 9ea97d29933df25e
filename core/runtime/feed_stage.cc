#include "core/runtime/feed_stage.h"

#include <cstring>

#include "core/base/error.h"
#include "core/base/logging.h"
#include "core/base/parallel.h"

namespace trireme {
namespace {

// To gather a tensor costs a copy on the host, a copy to a card costs some microseconds: up to
// here, gathering is cheaper.
constexpr size_t kSmall = 64 << 10;

void copy_in_parallel(void* to, const void* from, size_t bytes) {
  parallel_for(static_cast<int64_t>(bytes), 1 << 20, [&](int64_t begin, int64_t end) {
    std::memcpy(static_cast<char*>(to) + begin, static_cast<const char*>(from) + begin,
                static_cast<size_t>(end - begin));
  });
}

}  // namespace

FeedStage::FeedStage(Device& device, std::vector<Item> items) : device_(device) {
  for (const Item& item : items) {
    if (item.bytes > kSmall) {
      large_.push_back(item);
    } else {
      small_.push_back(item);
      small_bytes_ = item.offset + item.bytes;
    }
  }
  if (small_bytes_ > 0) gathered_ = device_.allocate_staging(small_bytes_);
  is_there_.resize(large_.size());
}

void FeedStage::copy(std::span<const void* const> feeds, char* base, bool prefetched) {
  Stream& stream = device_.stream(kComputeStream);
  if (small_bytes_ > 0) {
    for (const Item& item : small_) {
      if (item.bytes == 0) continue;
      std::memcpy(static_cast<char*>(gathered_->data()) + item.offset, feeds[item.feed],
                  item.bytes);
    }
    stream.copy(base, gathered_->data(), small_bytes_, CopyKind::kHostToDevice);
  }
  bool waited = false;
  for (size_t i = 0; i < large_.size(); ++i) {
    const Item& item = large_[i];
    if (!prefetched || !is_there_[i]) {
      stream.copy(base + item.offset, feeds[item.feed], item.bytes, CopyKind::kHostToDevice);
      continue;
    }
    if (!waited) stream.wait(*arrived_);
    waited = true;
    const char* from = static_cast<char*>(there_->data()) + item.offset - large_.front().offset;
    stream.copy(base + item.offset, from, item.bytes, CopyKind::kDeviceToDevice);
  }
  if (waited) {
    stream.record(*taken_);
    taken_recorded_ = true;
  }
  is_there_.assign(large_.size(), false);
}

// Memory of its own, at the first call. A card that is full goes on without.
bool FeedStage::prepare_prefetch() {
  if (there_ != nullptr) return true;
  if (cannot_prefetch_ || large_.empty() || device_.transfer_stream() == nullptr) return false;
  const size_t bytes = large_.back().offset + large_.back().bytes - large_.front().offset;
  try {
    host_ = device_.allocate_staging(bytes);
    there_ = device_.allocate(bytes);
  } catch (const Error& error) {
    if (error.code() != ErrorCode::kResourceExhausted) throw;
    log_warning(str_cat("batches are not copied ahead to ", device_.name(), ": ", error.what()));
    cannot_prefetch_ = true;
    host_.reset();
    return false;
  }
  arrived_ = device_.make_event();
  taken_ = device_.make_event();
  return true;
}

void FeedStage::prefetch(std::span<const Tensor> next) {
  if (!prepare_prefetch()) return;
  Stream& stream = *device_.transfer_stream();
  if (arrived_recorded_) arrived_->wait_on_host();  // what was staged before has left the host
  if (taken_recorded_) stream.wait(*taken_);
  for (size_t i = 0; i < large_.size(); ++i) {
    const Item& item = large_[i];
    is_there_[i] = item.feed < next.size() && next[item.feed].defined();
    if (!is_there_[i]) continue;
    const size_t offset = item.offset - large_.front().offset;
    char* staged = static_cast<char*>(host_->data()) + offset;
    copy_in_parallel(staged, next[item.feed].raw(), item.bytes);
    stream.copy(static_cast<char*>(there_->data()) + offset, staged, item.bytes,
                CopyKind::kHostToDevice);
  }
  stream.record(*arrived_);
  arrived_recorded_ = true;
}

void FeedStage::abandon() noexcept {
  is_there_.assign(large_.size(), false);
  arrived_recorded_ = taken_recorded_ = false;
  if (there_ == nullptr) return;
  try {
    device_.transfer_stream()->synchronize();
  } catch (...) {
    // The run that failed has told why.
  }
}

}  // namespace trireme
