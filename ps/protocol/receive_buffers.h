// Memory for messages that arrive. Large pieces are used again, because the kernel takes longer to
// give out fresh pages than the network to fill them.
//
// Shared by the connections of a server or client; any thread. Buffers may outlive it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "core/base/thread_annotations.h"

namespace trireme::ps {

class ReceiveBuffers : public std::enable_shared_from_this<ReceiveBuffers> {
 public:
  // So many bytes are kept at most for the next message.
  static std::shared_ptr<ReceiveBuffers> make(size_t keep_bytes = size_t{64} << 20);

  // Not initialised, and aligned to 8: memory costs only as it is filled. Null when there is none.
  std::shared_ptr<std::byte> take(size_t bytes) EXCLUDES(mutex_);

 private:
  struct Block {
    std::unique_ptr<uint64_t[]> words;
    size_t bytes = 0;
  };
  explicit ReceiveBuffers(size_t keep_bytes) : keep_bytes_(keep_bytes) {}
  void give_back(Block block) EXCLUDES(mutex_);

  const size_t keep_bytes_;
  Mutex mutex_;
  std::vector<Block> kept_ GUARDED_BY(mutex_);
  size_t kept_bytes_ GUARDED_BY(mutex_) = 0;
};

}  // namespace trireme::ps
