#include "core/data/pipeline.h"

namespace trireme::data {

Pipeline::Pipeline(Producer& producer, int64_t position, const PipelineOptions& options)
    : producer_(producer),
      slots_(static_cast<size_t>(options.depth)),
      issued_(position),
      taken_(position),
      tuner_(options.threads, options.tune) {
  try {
    for (int i = 0; i < options.threads; ++i) workers_.emplace_back([this, i] { work(i); });
  } catch (...) {
    stop();
    throw;
  }
}

bool Pipeline::next(MadeElement& out) {
  MutexLock lock(mutex_);
  PipelineSlot& slot = slots_[static_cast<size_t>(taken_) % slots_.size()];
  while (!slot.ready) filled_.wait(mutex_);
  if (slot.error) std::rethrow_exception(slot.error);
  if (slot.end) return false;
  // The consumer's old tensors go where the new ones came from, to be written over.
  std::swap(out, static_cast<MadeElement&>(slot));
  slot.ready = false;
  ++taken_;
  if (tuner_.tunes()) {
    emptied_.notify_all();  // whoever wakes may be one that rests
  } else {
    emptied_.notify_one();
  }
  return true;
}

// Until this thread is one of those that are to work; false when it is to end. Whoever rests must
// not hold the others up, so this comes before claim_mutex_ is taken.
bool Pipeline::rest(int worker) {
  MutexLock lock(mutex_);
  while (!stopping_ && worker >= tuner_.degree()) emptied_.wait(mutex_);
  return !stopping_;
}

// The next position and its slot; false when the thread is to end.
bool Pipeline::draw(int64_t& index, PipelineSlot*& slot) {
  MutexLock lock(mutex_);
  while (!stopping_ && (ended_ || issued_ - taken_ >= static_cast<int64_t>(slots_.size()))) {
    if (!ended_) tuner_.idle();
    emptied_.wait(mutex_);
  }
  if (stopping_) return false;
  index = issued_++;
  slot = &slots_[static_cast<size_t>(index) % slots_.size()];
  return true;
}

void Pipeline::finish(PipelineSlot& slot) {
  MutexLock lock(mutex_);
  ended_ = ended_ || slot.end || slot.error != nullptr;
  slot.ready = true;
  filled_.notify_one();
  if (tuner_.tunes() && tuner_.count(DegreeTuner::Clock::now())) emptied_.notify_all();
}

void Pipeline::work(int worker) {
  Context context;
  while (rest(worker)) {
    int64_t index = 0;
    PipelineSlot* slot = nullptr;
    // Nobody else touches the slot until it is ready.
    if (producer_.claims()) {
      MutexLock in_order(claim_mutex_);
      if (!draw(index, slot)) return;
      try {
        producer_.claim(*slot);
      } catch (...) {
        slot->error = std::current_exception();
      }
    } else if (!draw(index, slot)) {
      return;
    }
    if (!slot->error && !slot->end) {
      try {
        producer_.make(context, index, *slot);
      } catch (...) {
        slot->error = std::current_exception();
      }
    }
    finish(*slot);
  }
}

void Pipeline::stop() {
  {
    MutexLock lock(mutex_);
    stopping_ = true;
    emptied_.notify_all();
  }
  for (std::thread& worker : workers_) worker.join();
}

}  // namespace trireme::data
