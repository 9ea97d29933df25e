// Threads that make elements ahead of whoever takes them; for core/data only.
//
// They make elements `position`, `position` + 1, … into a ring of slots, and next() gives them in
// order. The first error or end in the order of positions is what the consumer meets, and meets
// again; later slots are then never looked at. Dropping a Pipeline waits for the elements that are
// being made. One consumer at a time.
#pragma once

#include <exception>
#include <thread>
#include <vector>

#include "core/base/thread_annotations.h"
#include "core/data/degree_tuner.h"
#include "core/data/node.h"

namespace trireme::data {

// One element, where it comes from and where its chain is after it.
struct MadeElement {
  Element element;
  Position origin;
  Cursor cursor;
};

struct PipelineSlot : MadeElement {
  std::exception_ptr error;
  bool end = false;
  bool ready = false;  // whoever is to write the slot may; the consumer may read it
};

// What the threads of a Pipeline do.
class Producer {
 public:
  virtual ~Producer() = default;
  // The part of an element that is made in order, by one thread at a time. Sets slot.end.
  virtual bool claims() const { return false; }
  virtual void claim(PipelineSlot& /*slot*/) {}
  // The rest, by several threads at once. Sets slot.end.
  virtual void make(Context& context, int64_t index, PipelineSlot& slot) = 0;
};

struct PipelineOptions {
  int threads = 1;
  int depth = 1;      // slots
  bool tune = false;  // how many of the threads work is found by measuring
};

class Pipeline {
 public:
  Pipeline(Producer& producer, int64_t position, const PipelineOptions& options);
  Pipeline(const Pipeline&) = delete;
  ~Pipeline() { stop(); }

  // False at the end. The tensors found in `out` are written over by elements to come.
  bool next(MadeElement& out);

 private:
  void work(int worker);
  bool rest(int worker) EXCLUDES(mutex_);
  bool draw(int64_t& index, PipelineSlot*& slot) EXCLUDES(mutex_);
  void finish(PipelineSlot& slot) EXCLUDES(mutex_);
  void stop();

  Producer& producer_;
  std::vector<PipelineSlot> slots_;
  std::vector<std::thread> workers_;

  Mutex claim_mutex_;  // taken before mutex_
  Mutex mutex_;
  ConditionVariable filled_, emptied_;
  int64_t issued_ GUARDED_BY(mutex_);  // the next position to be made
  int64_t taken_ GUARDED_BY(mutex_);   // the next position to be given to the consumer
  DegreeTuner tuner_ GUARDED_BY(mutex_);
  bool ended_ GUARDED_BY(mutex_) = false;
  bool stopping_ GUARDED_BY(mutex_) = false;
};

}  // namespace trireme::data
