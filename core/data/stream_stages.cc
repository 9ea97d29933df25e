// The stages that read a stream in order where others compute positions: repeat, shuffle by
// blocks, concatenate, map on several threads, cache.
#include <algorithm>
#include <optional>

#include "core/base/error.h"
#include "core/data/chain_reader.h"
#include "core/data/stages.h"

namespace trireme::data {
namespace {

class RepeatStream final : public Stream {
 public:
  RepeatStream(NodePtr child, uint64_t pass, int64_t count)
      : child_(std::move(child), first_pass(pass, count)), count_(count) {}

  bool next(Element& out) override {
    while (count_ == kForever || done_ < count_) {
      if (child_.next(out)) return true;
      const bool empty = child_.position() == 0;
      ++done_;
      if (empty && count_ == kForever) return false;
      child_.move_to(0, child_.pass() + 1);
    }
    return false;
  }
  Position origin() const override { return child_.origin(); }
  void save(Cursor& cursor) const override {
    cursor.push_back(done_);
    child_.save(cursor);
  }
  void load(CursorInput& cursor) override {
    done_ = cursor.take(0, count_ == kForever ? INT64_MAX / 2 : count_);
    child_.load(cursor);
  }

 private:
  ChainReader child_;
  int64_t count_;
  int64_t done_ = 0;  // passes
};

class ShuffleStream final : public Stream {
 public:
  ShuffleStream(NodePtr child, uint64_t pass, uint64_t seed, int64_t block)
      : child_(std::move(child), pass), seed_(seed), block_size_(block) {}

  bool next(Element& out) override {
    if (!filled_) fill();
    if (given_ == size_) {
      // An empty block is the end.
      if (size_ < block_size_) return false;
      ++number_;
      given_ = 0;
      fill();
      if (size_ == 0) return false;
    }
    const int64_t place = place_in_block(seed_, child_.pass(), number_, given_++, size_);
    auto& [element, origin] = block_[static_cast<size_t>(place)];
    std::swap(out, element);
    origin_ = origin;
    return true;
  }
  Position origin() const override { return origin_; }
  void save(Cursor& cursor) const override {
    cursor.push_back(number_);
    cursor.push_back(given_);
    cursor.push_back(static_cast<int64_t>(start_.size()));
    cursor.insert(cursor.end(), start_.begin(), start_.end());
  }
  void load(CursorInput& cursor) override {
    number_ = cursor.take_count();
    given_ = cursor.take(0, block_size_);
    const auto start = cursor.take_all(cursor.take_count());
    if (start.empty()) return;
    start_.assign(start.begin(), start.end());
    CursorInput place(start_);
    child_.load(place);
    loaded_ = true;
  }

 private:
  void fill() {
    if (!loaded_) {
      start_.clear();
      child_.save(start_);
    }
    loaded_ = false;
    filled_ = true;
    size_ = 0;
    while (size_ < block_size_) {
      if (block_.size() == static_cast<size_t>(size_)) block_.emplace_back();
      auto& [element, origin] = block_[static_cast<size_t>(size_)];
      if (!child_.next(element)) break;
      origin = child_.origin();
      ++size_;
    }
    if (given_ > size_) throw data_loss("iterator state: a block of shuffle() has shrunk");
  }

  ChainReader child_;
  uint64_t seed_;
  int64_t block_size_;
  std::vector<std::pair<Element, Position>> block_;
  Cursor start_;         // of the child, before the block
  bool loaded_ = false;  // child_ is at start_
  bool filled_ = false;
  int64_t number_ = 0, size_ = 0, given_ = 0;
  Position origin_;
};

class ConcatenateStream final : public Stream {
 public:
  ConcatenateStream(const NodePtr& first, const NodePtr& second, uint64_t pass)
      : parts_{ChainReader(first, pass), ChainReader(second, pass)} {}

  bool next(Element& out) override {
    if (current_ == 0 && !parts_[0].next(out))
      current_ = 1;
    else if (current_ == 0)
      return true;
    return parts_[1].next(out);
  }
  Position origin() const override {
    Position origin = parts_[current_].origin();
    if (current_ == 1) origin.index += parts_[0].position();
    return origin;
  }
  void save(Cursor& cursor) const override {
    cursor.push_back(static_cast<int64_t>(current_));
    for (const ChainReader& part : parts_) part.save(cursor);
  }
  void load(CursorInput& cursor) override {
    current_ = static_cast<size_t>(cursor.take(0, 1));
    for (ChainReader& part : parts_) part.load(cursor);
  }

 private:
  ChainReader parts_[2];
  size_t current_ = 0;
};

// Reads the child in order and maps its elements on as many threads as map() asks for.
class MapStream final : public Stream, public Producer {
 public:
  MapStream(NodePtr child, uint64_t pass, const MapFunction& function, const MapOptions& options)
      : child_(std::move(child), pass), function_(function), options_(options) {}

  bool next(Element& out) override {
    const int threads = most_threads(options_.threads, "map");
    if (threads <= 1) {  // the caller's
      if (!child_.next(out)) return false;
      made_.origin = child_.origin();
      function_(out, map_context(options_.seed, made_.origin));
      check_element(out, *options_.output, "map");
      return true;
    }
    if (!pipeline_) {
      made_.cursor.clear();
      child_.save(made_.cursor);
      pipeline_.emplace(
          *this, 0,
          PipelineOptions{
              .threads = threads, .depth = threads + 1, .tune = options_.threads == kAuto});
    }
    std::swap(made_.element, out);
    const bool found = pipeline_->next(made_);
    std::swap(made_.element, out);
    return found;
  }
  Position origin() const override { return made_.origin; }
  void save(Cursor& cursor) const override {
    if (!pipeline_) return child_.save(cursor);
    cursor.insert(cursor.end(), made_.cursor.begin(), made_.cursor.end());
  }
  void load(CursorInput& cursor) override { child_.load(cursor); }

 private:
  bool claims() const override { return true; }
  void claim(PipelineSlot& slot) override {
    slot.end = !child_.next(slot.element);
    slot.origin = child_.origin();
    slot.cursor.clear();
    if (!slot.end) child_.save(slot.cursor);
  }
  void make(Context&, int64_t, PipelineSlot& slot) override {
    function_(slot.element, map_context(options_.seed, slot.origin));
    check_element(slot.element, *options_.output, "map");
  }

  ChainReader child_;
  const MapFunction& function_;
  const MapOptions& options_;
  MadeElement made_;                  // its cursor: the child's
  std::optional<Pipeline> pipeline_;  // ends before what it works with
};

// Elements of a stream that are held in memory for whoever reads them later, in any order.
class StreamCacheNode final : public Node {
 public:
  explicit StreamCacheNode(NodePtr child) : reader_(child, 0) {
    inherit(std::move(child));
    stream_ = false;
    threads_ = 0;
    tune_ = false;
    prefetch_ = 0;
    sign("cache", 0);
  }

  bool read(Context&, Position at, Element& out) const override {
    const Held* held = find(at.index);
    if (held == nullptr) return false;
    copy_element(held->element, out);  // a copy, because whoever gets it may write to it
    return true;
  }
  Position origin(Context&, Position at) const override {
    return {find(at.index)->index, at.epoch};
  }
  void save(Context&, Cursor&) const override {}
  void load(Context&, CursorInput&) const override {}

 private:
  struct Held {
    Element element;
    int64_t index;  // its origin's
  };
  const Held* find(int64_t index) const {
    MutexLock lock(mutex_);
    while (static_cast<int64_t>(held_.size()) <= index) {
      auto held = std::make_unique<Held>();
      if (!reader_.next(held->element)) return nullptr;
      held->index = reader_.origin().index;
      held_.push_back(std::move(held));
    }
    return held_[static_cast<size_t>(index)].get();
  }

  mutable Mutex mutex_;
  mutable ChainReader reader_ GUARDED_BY(mutex_);
  mutable std::vector<std::unique_ptr<const Held>> held_ GUARDED_BY(mutex_);
};

}  // namespace

NodePtr repeat_stream(NodePtr child, int64_t count) {
  const int64_t size = count == 0                               ? 0
                       : child->size() == kInfinite             ? kInfinite
                       : count == kForever && child->size() > 0 ? kInfinite
                                                                : kUnknown;
  return make_stream(
      child, child->spec(), str_cat("repeat ", count),
      [child, count](uint64_t pass) { return std::make_unique<RepeatStream>(child, pass, count); },
      size);
}

NodePtr shuffle_stream(NodePtr child, uint64_t seed, int64_t block) {
  return make_stream(
      child, child->spec(), str_cat("shuffle ", seed, ' ', block),
      [child, seed, block](uint64_t pass) {
        return std::make_unique<ShuffleStream>(child, pass, seed, block);
      },
      child->size());
}

NodePtr concatenate_streams(NodePtr first, NodePtr second) {
  const int64_t size = second->size() == kInfinite ? kInfinite : kUnknown;
  ElementSpec spec = merged_spec(first->spec(), second->spec(), "concatenate");
  return std::make_shared<StreamNode>(
      StreamNode::Options{.spec = std::move(spec),
                          .size = size,
                          .name = "concatenate",
                          .children = {first, second},
                          .start = [first, second](uint64_t pass) {
                            return std::make_unique<ConcatenateStream>(first, second, pass);
                          }});
}

NodePtr map_stream(NodePtr child, MapFunction function, MapOptions options) {
  if (!options.output) options.output = child->spec();
  struct Mapping {
    MapFunction function;
    MapOptions options;
  };
  ElementSpec spec = *options.output;
  const std::string name = str_cat("map ", options.seed);
  const int64_t size = child->size();
  const int own_thread = options.threads == 1 ? 1 : 0;
  auto mapping = std::make_shared<Mapping>(Mapping{std::move(function), std::move(options)});
  return std::make_shared<StreamNode>(StreamNode::Options{
      .spec = std::move(spec),
      .size = size,
      .name = name,
      .threads = own_thread,
      .children = {child},
      .start = [child, mapping](uint64_t pass) {
        return std::make_unique<MapStream>(child, pass, mapping->function, mapping->options);
      }});
}

NodePtr cache_stream(NodePtr child) { return std::make_shared<StreamCacheNode>(std::move(child)); }

}  // namespace trireme::data
