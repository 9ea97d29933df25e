#include "core/data/chain_reader.h"

#include <algorithm>

#include "core/base/error.h"

namespace trireme::data {

// Reading from one position on: on the caller's thread, or ahead of it.
class ChainReader::Reading final : public Producer {
 public:
  // `start`: where streams are. The chain outlives this.
  Reading(const Node& node, uint64_t pass, Cursor start, bool stateful)
      : node_(node), pass_(pass), start_(std::move(start)), stateful_(stateful) {}

  void start_threads(int64_t position, const PipelineOptions& options) {
    pipeline_.emplace(*this, position, options);
  }
  bool ahead() const { return pipeline_.has_value(); }
  bool next(MadeElement& out) { return pipeline_->next(out); }

  // On the caller's thread.
  bool read(int64_t index, Element& out, Position& origin) {
    return read(context_, index, out, origin);
  }
  void add_place(Cursor& cursor) {
    if (loaded_) {
      node_.save(context_, cursor);
    } else {
      cursor.insert(cursor.end(), start_.begin(), start_.end());
    }
  }

  void make(Context& context, int64_t index, PipelineSlot& slot) override {
    slot.end = !read(context, index, slot.element, slot.origin);
    if (!stateful_ || slot.end) return;
    slot.cursor.clear();
    node_.save(context, slot.cursor);
  }

 private:
  bool read(Context& context, int64_t index, Element& out, Position& origin) {
    if (stateful_ && !loaded_) {
      loaded_ = true;  // of a stream there is one thread
      if (!start_.empty()) {
        CursorInput input(start_);
        node_.load(context, input);
        if (!input.empty()) throw data_loss("iterator state: it has more numbers than its stages");
      }
    }
    const Position at{index, pass_};
    if (!node_.read(context, at, out)) return false;
    origin = node_.origin(context, at);
    return true;
  }

  const Node& node_;
  const uint64_t pass_;
  const Cursor start_;
  const bool stateful_;
  bool loaded_ = false;
  Context context_;  // of the caller's thread
  std::optional<Pipeline> pipeline_;
};

ChainReader::ChainReader(NodePtr node, uint64_t pass)
    : node_(std::move(node)), stateful_(node_->is_stream()), pass_(pass) {
  threads_ = std::max(node_->threads(), node_->prefetch() > 0 ? 1 : 0);
  if (stateful_) threads_ = std::min(threads_, 1);
  tune_ = node_->tunes_threads() && threads_ > 1;
  // One slot a worker, so that each has work while the consumer holds up, and those that were
  // asked for.
  depth_ = std::max(node_->prefetch(), 1) + threads_ - 1;
}

ChainReader::ChainReader(ChainReader&& other) noexcept = default;
ChainReader& ChainReader::operator=(ChainReader&&) noexcept = default;
ChainReader::~ChainReader() = default;

bool ChainReader::next(Element& out) {
  if (!stateful_) return read(out);
  if (error_) std::rethrow_exception(error_);
  if (ended_) return false;
  try {
    ended_ = !read(out);
  } catch (...) {
    error_ = std::current_exception();
    throw;
  }
  return !ended_;
}

bool ChainReader::read(Element& out) {
  if (!reading_) {
    reading_ = std::make_unique<Reading>(*node_, pass_, made_.cursor, stateful_);
    if (threads_ > 0) {
      reading_->start_threads(position_, {.threads = threads_, .depth = depth_, .tune = tune_});
    }
  }
  if (reading_->ahead()) {
    std::swap(made_.element, out);
    const bool found = reading_->next(made_);
    std::swap(made_.element, out);
    if (!found) return false;
  } else if (!reading_->read(position_, out, made_.origin)) {
    return false;
  }
  ++position_;
  return true;
}

void ChainReader::move_to(int64_t position, uint64_t pass, Cursor cursor) {
  reading_.reset();
  error_ = nullptr;
  ended_ = false;
  position_ = position;
  pass_ = pass;
  made_.cursor = std::move(cursor);
}

void ChainReader::place(Cursor& cursor) const {
  cursor.clear();
  if (stateful_) add_place(cursor);
}

void ChainReader::add_place(Cursor& cursor) const {
  if (reading_ && !reading_->ahead()) {
    reading_->add_place(cursor);
  } else {
    cursor.insert(cursor.end(), made_.cursor.begin(), made_.cursor.end());
  }
}

void ChainReader::save(Cursor& cursor) const {
  cursor.push_back(position_);
  cursor.push_back(static_cast<int64_t>(pass_));
  if (!stateful_) return;
  const size_t count = cursor.size();
  cursor.push_back(0);
  add_place(cursor);
  cursor[count] = static_cast<int64_t>(cursor.size() - count - 1);
}

void ChainReader::load(CursorInput& cursor) {
  const int64_t position = cursor.take(0, node_->size() >= 0 ? node_->size() : INT64_MAX / 2);
  const uint64_t pass = cursor.take_bits();
  Cursor streams;
  if (stateful_) {
    const auto numbers = cursor.take_all(cursor.take_count());
    streams.assign(numbers.begin(), numbers.end());
  }
  move_to(position, pass, std::move(streams));
}

}  // namespace trireme::data
