// Iterators: reading a chain of nodes on the caller's thread, or ahead of it on threads of their
// own.
#include <algorithm>
#include <charconv>
#include <exception>
#include <thread>

#include "core/base/error.h"
#include "core/base/thread_annotations.h"
#include "core/data/node.h"

namespace trireme::data {
namespace {

// Workers that make elements position, position + 1, … into a ring of slots, and a consumer that
// takes them in order.
//
// A worker draws the next number under the lock, makes the element without it, and marks its slot
// ready. The first error or end in the order of positions is what the consumer meets; later slots
// are then never looked at.
class Pipeline {
 public:
  Pipeline(const Node& node, int64_t position, int threads, int depth)
      : node_(node), slots_(static_cast<size_t>(depth)), issued_(position), taken_(position) {
    try {
      for (int i = 0; i < threads; ++i) workers_.emplace_back([this] { work(); });
    } catch (...) {
      stop();
      throw;
    }
  }
  ~Pipeline() { stop(); }

  bool next(Element& out, uint64_t& epoch) {
    MutexLock lock(mutex_);
    Slot& slot = slots_[static_cast<size_t>(taken_) % slots_.size()];
    while (!slot.ready) filled_.wait(mutex_);
    if (slot.error) std::rethrow_exception(slot.error);
    if (slot.end) return false;
    // The consumer's old tensors go where the new ones came from, to be written over.
    std::swap(out, slot.element);
    epoch = slot.epoch;
    slot.ready = false;
    ++taken_;
    emptied_.notify_one();
    return true;
  }

 private:
  struct Slot {
    Element element;
    uint64_t epoch = 0;
    std::exception_ptr error;
    bool end = false;
    bool ready = false;  // whoever is to write the slot may; the consumer may read it
  };

  void work() {
    Context context;
    for (;;) {
      Position at;
      Slot* slot = nullptr;
      {
        MutexLock lock(mutex_);
        while (!stopping_ && (ended_ || issued_ - taken_ >= static_cast<int64_t>(slots_.size()))) {
          emptied_.wait(mutex_);
        }
        if (stopping_) return;
        at.index = issued_++;
        slot = &slots_[static_cast<size_t>(at.index) % slots_.size()];
      }
      // Nobody else touches the slot until it is ready.
      try {
        slot->end = !node_.read(context, at, slot->element);
        if (!slot->end) slot->epoch = node_.origin(context, at).epoch;
      } catch (...) {
        slot->error = std::current_exception();
      }
      MutexLock lock(mutex_);
      ended_ = ended_ || slot->end || slot->error != nullptr;
      slot->ready = true;
      filled_.notify_one();
    }
  }

  void stop() {
    {
      MutexLock lock(mutex_);
      stopping_ = true;
      emptied_.notify_all();
    }
    for (std::thread& worker : workers_) worker.join();
  }

  const Node& node_;
  std::vector<Slot> slots_;
  std::vector<std::thread> workers_;

  Mutex mutex_;
  ConditionVariable filled_, emptied_;
  int64_t issued_ GUARDED_BY(mutex_);  // the next position to be made
  int64_t taken_ GUARDED_BY(mutex_);   // the next position to be given to the consumer
  bool ended_ GUARDED_BY(mutex_) = false;
  bool stopping_ GUARDED_BY(mutex_) = false;
};

constexpr std::string_view kStateVersion = "trireme-iterator-1";

// Reads " name=value" off the front of `text`.
uint64_t take_field(std::string_view& text, std::string_view field, int base) {
  uint64_t value = 0;
  const std::string prefix = str_cat(' ', field, '=');
  if (text.starts_with(prefix)) {
    const char* begin = text.data() + prefix.size();
    const auto [end, status] = std::from_chars(begin, text.data() + text.size(), value, base);
    if (status == std::errc() && end != begin) {
      text.remove_prefix(static_cast<size_t>(end - text.data()));
      return value;
    }
  }
  throw data_loss("iterator state: expected \"", prefix.substr(1), "…\", found \"",
                  text.substr(0, 40), "\"; it is damaged or was not written by Iterator::state()");
}

std::string hex(uint64_t value) {
  char digits[17];
  const auto result = std::to_chars(digits, digits + 16, value, 16);
  return {digits, result.ptr};
}

}  // namespace

class Iterator::Impl {
 public:
  explicit Impl(NodePtr node) : node_(std::move(node)) {
    threads_ = std::max(node_->threads(), node_->prefetch() > 0 ? 1 : 0);
    if (node_->is_stream()) threads_ = std::min(threads_, 1);
    // One slot a worker, so that each has work while the consumer holds up, and those that were
    // asked for.
    depth_ = std::max(node_->prefetch(), 1) + threads_ - 1;
  }

  bool next(Element& out) {
    if (threads_ == 0) {
      const Position at{position_, 0};
      if (!node_->read(context_, at, out)) return false;
      epoch_ = node_->origin(context_, at).epoch;
    } else {
      if (!pipeline_) pipeline_ = std::make_unique<Pipeline>(*node_, position_, threads_, depth_);
      if (!pipeline_->next(out, epoch_)) return false;
    }
    ++position_;
    return true;
  }

  void move_to(int64_t position, uint64_t epoch, std::string_view who) {
    if (position < 0 || (node_->size() >= 0 && position > node_->size())) {
      throw invalid_argument(who, ": expected a position from 0 to ",
                             node_->size() >= 0 ? node_->size() : INT64_MAX, ", found ", position);
    }
    pipeline_.reset();
    position_ = position;
    epoch_ = epoch;
  }

  std::string state() const {
    std::string text = str_cat(kStateVersion, " position=", position_, " epoch=", epoch_,
                               " pipeline=", hex(node_->fingerprint()));
    return str_cat(text, " check=", hex(hash_name(text)));
  }

  void restore(std::string_view state) {
    std::string_view rest = state;
    if (!rest.starts_with(kStateVersion)) {
      throw data_loss("iterator state: expected it to begin with \"", kStateVersion, "\", found \"",
                      state.substr(0, 40), "\"");
    }
    rest.remove_prefix(kStateVersion.size());
    const uint64_t position = take_field(rest, "position", 10);
    const uint64_t epoch = take_field(rest, "epoch", 10);
    const uint64_t pipeline = take_field(rest, "pipeline", 16);
    const std::string_view checked = state.substr(0, state.size() - rest.size());
    const uint64_t check = take_field(rest, "check", 16);
    if (check != hash_name(checked) || !rest.empty()) {
      throw data_loss("iterator state: its check sum does not match: the text is damaged: \"",
                      state.substr(0, 200), "\"");
    }
    if (pipeline != node_->fingerprint()) {
      throw invalid_argument("iterator state: it was taken from another data set: from pipeline ",
                             hex(pipeline), ", this one is ", hex(node_->fingerprint()),
                             " (components, sizes, seeds and steps "
                             "must be the same); start it from the beginning or use seek()");
    }
    if (position > INT64_MAX)
      throw data_loss("iterator state: position ", position, " is out of range");
    move_to(static_cast<int64_t>(position), epoch, "iterator state");
  }

  int64_t position() const { return position_; }
  uint64_t epoch() const { return epoch_; }

 private:
  NodePtr node_;
  int threads_ = 0;
  int depth_ = 0;
  int64_t position_ = 0;
  uint64_t epoch_ = 0;
  Context context_;  // of the caller's thread
  std::unique_ptr<Pipeline> pipeline_;
};

Iterator::Iterator(NodePtr node) : impl_(std::make_unique<Impl>(std::move(node))) {}
Iterator::Iterator(Iterator&&) noexcept = default;
Iterator& Iterator::operator=(Iterator&&) noexcept = default;
Iterator::~Iterator() = default;
bool Iterator::next(Element& out) { return impl_->next(out); }
int64_t Iterator::position() const { return impl_->position(); }
uint64_t Iterator::epoch() const { return impl_->epoch(); }
std::string Iterator::state() const { return impl_->state(); }
void Iterator::restore(std::string_view state) { impl_->restore(state); }
void Iterator::seek(int64_t position) { impl_->move_to(position, 0, "seek"); }

Dataset Dataset::map(MapFunction function, MapOptions options) const {
  return Dataset(make_map(node_, std::move(function), std::move(options)));
}
Dataset Dataset::shuffle(uint64_t seed) const { return Dataset(make_shuffle(node_, seed)); }
Dataset Dataset::batch_part(int64_t size, int64_t index, int64_t count) const {
  return Dataset(make_batch_part(node_, size, index, count));
}

Dataset Dataset::batch(int64_t size, bool drop_remainder) const {
  return Dataset(make_batch(node_, size, drop_remainder));
}
Dataset Dataset::repeat(int64_t count) const { return Dataset(make_repeat(node_, count)); }
Dataset Dataset::take(int64_t count) const { return Dataset(make_take(node_, count)); }
Dataset Dataset::skip(int64_t count) const { return Dataset(make_skip(node_, count)); }
Dataset Dataset::shard(int64_t num_shards, int64_t index) const {
  return Dataset(make_shard(node_, num_shards, index));
}
Dataset Dataset::cache() const { return Dataset(make_cache(node_)); }
Dataset Dataset::prefetch(int depth) const { return Dataset(make_prefetch(node_, depth)); }
const ElementSpec& Dataset::element_spec() const { return node_->spec(); }
int64_t Dataset::cardinality() const { return node_->size(); }
Iterator Dataset::iterator() const { return Iterator(node_); }

}  // namespace trireme::data
