// How fed tensors get to a device with its own memory: the small ones of a run gathered into one
// copy, each large one by itself, or ahead of the run that uses it.
//
// Belongs to one plan and one device; used by the thread that runs the plan.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "core/device/device.h"

namespace trireme {

class FeedStage {
 public:
  struct Item {
    size_t feed;  // which fed tensor
    size_t bytes;
    size_t offset;  // from the first item in the device's memory
  };
  // `items` by size, as they lie side by side on the device.
  FeedStage(Device& device, std::vector<Item> items);
  ~FeedStage() { abandon(); }  // nothing may still be on its way to memory that goes

  // Enqueues on the compute stream that `feeds` (addresses on the host) come to `base`. What does
  // not fit into the gathered copy is read before the stream is done. `prefetched`: the feeds are
  // those that prefetch() took last.
  void copy(std::span<const void* const> feeds, char* base, bool prefetched);

  // Starts to copy the large ones of `next` (a tensor a feed, the first ones of them), beside
  // whatever the device does now. They are read before this returns. Does nothing on a device
  // without a transfer stream.
  void prefetch(std::span<const Tensor> next);

  // After an error: waits for what is under way and forgets it.
  void abandon() noexcept;

 private:
  bool prepare_prefetch();

  Device& device_;
  std::vector<Item> small_, large_;
  size_t small_bytes_ = 0;
  std::shared_ptr<Buffer> gathered_;  // the small ones, on the host

  // The large ones of the next run: first here on the host, then here on the device.
  std::shared_ptr<Buffer> host_, there_;
  std::unique_ptr<Event> arrived_, taken_;
  bool arrived_recorded_ = false, taken_recorded_ = false, cannot_prefetch_ = false;
  std::vector<bool> is_there_;  // by large item
};

}  // namespace trireme
