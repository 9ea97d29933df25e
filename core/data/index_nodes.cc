// Nodes that only choose which element comes next: shuffle, repeat, take, skip, shard, prefetch.
#include <algorithm>

#include "core/base/error.h"
#include "core/data/node.h"
#include "core/data/permutation.h"

namespace trireme::data {
namespace {

class IndexNode : public Node {
 public:
  explicit IndexNode(NodePtr child) : child_(std::move(child)) { inherit(*child_); }

  bool read(Context& context, Position at, Element& out) const override {
    return forward(at) && child_->read(context, at, out);
  }
  bool read_rows(Context& context, Position at, std::span<const RowView> rows) const override {
    return forward(at) && child_->read_rows(context, at, rows);
  }
  Position origin(Context& context, Position at) const override {
    return forward(at) ? child_->origin(context, at) : at;
  }

 protected:
  // Turns a position of this node into one of the child; false past the end.
  virtual bool forward(Position& at) const = 0;

  NodePtr child_;
};

class ShuffleNode final : public IndexNode {
 public:
  ShuffleNode(NodePtr child, uint64_t seed) : IndexNode(std::move(child)), seed_(seed) {
    if (size_ < 0) {
      throw invalid_argument("shuffle: expected a data set of known size, found ",
                             size_ == kInfinite
                                 ? "one that repeats for ever; shuffle before repeat()"
                                 : "a generator; read it into memory and use from_tensors()");
    }
    sign("shuffle", static_cast<int64_t>(seed));
  }

 private:
  bool forward(Position& at) const override {
    if (at.index >= size_) return false;
    at.index = Permutation(size_, seed_, at.epoch)(at.index);
    return true;
  }

  uint64_t seed_;
};

class TakeNode final : public IndexNode {
 public:
  TakeNode(NodePtr child, int64_t count) : IndexNode(std::move(child)), count_(count) {
    if (count < 0) throw invalid_argument("take: expected a count of at least 0, found ", count);
    if (size_ != kUnknown) size_ = size_ == kInfinite ? count : std::min(size_, count);
    sign("take", count);
  }

 private:
  bool forward(Position& at) const override { return at.index < count_; }

  int64_t count_;
};

class SkipNode final : public IndexNode {
 public:
  SkipNode(NodePtr child, int64_t count) : IndexNode(std::move(child)), count_(count) {
    if (count < 0) throw invalid_argument("skip: expected a count of at least 0, found ", count);
    if (size_ >= 0) size_ = std::max<int64_t>(size_ - count, 0);
    sign("skip", count);
  }

 private:
  bool forward(Position& at) const override {
    at.index = scaled_position(at.index, 1, count_);
    return true;
  }

  int64_t count_;
};

class ShardNode final : public IndexNode {
 public:
  ShardNode(NodePtr child, int64_t num_shards, int64_t index)
      : IndexNode(std::move(child)), num_shards_(num_shards), index_(index) {
    if (num_shards < 1 || index < 0 || index >= num_shards) {
      throw invalid_argument("shard: expected 0 ≤ index < num_shards, found index ", index, " of ",
                             num_shards);
    }
    if (size_ >= 0) size_ = size_ / num_shards + (index < size_ % num_shards ? 1 : 0);
    sign("shard", num_shards, index);
  }

 private:
  bool forward(Position& at) const override {
    at.index = scaled_position(at.index, num_shards_, index_);
    return true;
  }

  int64_t num_shards_, index_;
};

class PrefetchNode final : public IndexNode {
 public:
  PrefetchNode(NodePtr child, int depth) : IndexNode(std::move(child)) {
    if (depth < 1 || depth > 4096) {
      throw invalid_argument("prefetch: expected a depth from 1 to 4096, found ", depth);
    }
    prefetch_ = std::max(prefetch_, depth);
  }

 private:
  bool forward(Position&) const override { return true; }
};

// Of a generator the length is known only once it has ended; it is then kept for this thread.
struct LearnedSize : NodeState {
  int64_t size = kUnknown;
  int64_t seen = 0;  // elements from the first on without a gap
  Element scratch;
};

class RepeatNode final : public IndexNode {
 public:
  RepeatNode(NodePtr child, int64_t count) : IndexNode(std::move(child)), count_(count) {
    if (count < kForever)
      throw invalid_argument("repeat: expected a count or kForever, found ", count);
    child_size_ = size_;
    if (count == 0) {
      size_ = 0;
    } else if (size_ > 0) {
      if (count == kForever || __builtin_mul_overflow(size_, count, &size_)) size_ = kInfinite;
    }
    sign("repeat", count);
  }

  bool read(Context& context, Position at, Element& out) const override {
    if (child_size_ != kUnknown) return IndexNode::read(context, at, out);
    if (count_ == 0) return false;
    auto& learned = context.state<LearnedSize>(this);
    if (learned.size == kUnknown) {
      if (child_->read(context, {at.index, first_epoch(at)}, out)) {
        if (at.index == learned.seen) ++learned.seen;
        return true;
      }
      while (at.index != learned.seen &&
             child_->read(context, {learned.seen, first_epoch(at)}, learned.scratch)) {
        ++learned.seen;
      }
      learned.size = learned.seen;
    }
    return divide(at, learned.size) && child_->read(context, at, out);
  }
  bool read_rows(Context& context, Position at, std::span<const RowView> rows) const override {
    return child_size_ == kUnknown ? Node::read_rows(context, at, rows)
                                   : IndexNode::read_rows(context, at, rows);
  }
  Position origin(Context& context, Position at) const override {
    if (child_size_ != kUnknown) return IndexNode::origin(context, at);
    const int64_t size = context.state<LearnedSize>(this).size;
    if (size == kUnknown) {
      at.epoch = first_epoch(at);
    } else {
      divide(at, size);
    }
    return child_->origin(context, at);
  }

 private:
  bool forward(Position& at) const override { return divide(at, child_size_); }

  uint64_t first_epoch(Position at) const {
    return count_ == kForever ? at.epoch : at.epoch * static_cast<uint64_t>(count_);
  }
  bool divide(Position& at, int64_t size) const {
    if (size == 0) return false;
    const int64_t pass = size == kInfinite ? 0 : at.index / size;
    if (count_ != kForever && pass >= count_) return false;
    at = {size == kInfinite ? at.index : at.index % size,
          first_epoch(at) + static_cast<uint64_t>(pass)};
    return true;
  }

  int64_t count_;
  int64_t child_size_ = 0;
};

}  // namespace

NodePtr make_shuffle(NodePtr child, uint64_t seed) {
  return std::make_shared<ShuffleNode>(std::move(child), seed);
}
NodePtr make_repeat(NodePtr child, int64_t count) {
  return std::make_shared<RepeatNode>(std::move(child), count);
}
NodePtr make_take(NodePtr child, int64_t count) {
  return std::make_shared<TakeNode>(std::move(child), count);
}
NodePtr make_skip(NodePtr child, int64_t count) {
  return std::make_shared<SkipNode>(std::move(child), count);
}
NodePtr make_shard(NodePtr child, int64_t num_shards, int64_t index) {
  return std::make_shared<ShardNode>(std::move(child), num_shards, index);
}
NodePtr make_prefetch(NodePtr child, int depth) {
  return std::make_shared<PrefetchNode>(std::move(child), depth);
}

}  // namespace trireme::data
