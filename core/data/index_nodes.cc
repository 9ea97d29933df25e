// Nodes that only choose which element comes next, by arithmetic on positions: shuffle, repeat,
// take, skip, shard, prefetch, concatenate.
#include <algorithm>

#include "core/base/error.h"
#include "core/data/permutation.h"
#include "core/data/stages.h"

namespace trireme::data {
namespace {

class IndexNode : public Node {
 public:
  explicit IndexNode(NodePtr child) { inherit(std::move(child)); }

  bool read(Context& context, Position at, Element& out) const override {
    return forward(at) && child().read(context, at, out);
  }
  bool read_rows(Context& context, Position at, std::span<const RowView> rows) const override {
    return forward(at) && child().read_rows(context, at, rows);
  }
  Position origin(Context& context, Position at) const override {
    return forward(at) ? child().origin(context, at) : at;
  }

 protected:
  // Turns a position of this node into one of the child; false past the end.
  virtual bool forward(Position& at) const = 0;
};

class ShuffleNode final : public IndexNode {
 public:
  ShuffleNode(NodePtr child, uint64_t seed) : IndexNode(std::move(child)), seed_(seed) {
    if (size_ < 0 || stream_) {
      throw invalid_argument(
          "shuffle: expected a data set of known size that can be read in any "
          "order, found ",
          size_ == kInfinite && !stream_
              ? "one that repeats for ever; shuffle before repeat()"
              : "a stream; use shuffle(seed, block_size), or snapshot() before");
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

// Blocks of `block` elements stay where they are; within each its elements change places.
class BlockShuffleNode final : public IndexNode {
 public:
  BlockShuffleNode(NodePtr child, uint64_t seed, int64_t block)
      : IndexNode(std::move(child)), seed_(seed), block_(block) {
    sign("shuffle by blocks", static_cast<int64_t>(seed), block);
  }

 private:
  bool forward(Position& at) const override {
    if (size_ >= 0 && at.index >= size_) return false;
    const int64_t number = at.index / block_;
    at.index = number * block_ +
               place_in_block(seed_, at.epoch, number, at.index % block_,
                              size_ < 0 ? block_ : std::min(block_, size_ - number * block_));
    return true;
  }

  uint64_t seed_;
  int64_t block_;
};

class RenameNode final : public IndexNode {
 public:
  RenameNode(NodePtr child, const std::vector<std::string>& names) : IndexNode(std::move(child)) {
    if (names.size() != spec_.size()) {
      throw invalid_argument("rename: expected ", spec_.size(), " names, one a component, found ",
                             names.size());
    }
    for (size_t i = 0; i < names.size(); ++i) spec_[i].name = names[i];
    check_spec(spec_, "rename");
    name_ = "rename";
  }

 private:
  bool forward(Position&) const override { return true; }
};

class ConcatenateNode final : public Node {
 public:
  ConcatenateNode(NodePtr first, NodePtr second) {
    inherit(std::move(first));
    first_size_ = size_;
    const Node& other = *second;
    spec_ = merged_spec(spec_, other.spec(), "concatenate");
    if (other.size() < 0) {
      size_ = other.size();
    } else if (__builtin_add_overflow(size_, other.size(), &size_)) {
      size_ = kInfinite;
    }
    threads_ = std::max(threads_, other.threads());
    tune_ = tune_ || other.tunes_threads();
    prefetch_ = std::max(prefetch_, other.prefetch());
    sign("concatenate", static_cast<int64_t>(other.fingerprint()));
    children_.push_back(std::move(second));
  }
  bool read(Context& context, Position at, Element& out) const override {
    return part(at).read(context, at, out);
  }
  bool read_rows(Context& context, Position at, std::span<const RowView> rows) const override {
    return part(at).read_rows(context, at, rows);
  }
  // Numbers of the second part follow those of the first, so that their random numbers differ.
  Position origin(Context& context, Position at) const override {
    const int64_t offset = at.index < first_size_ ? 0 : first_size_;
    Position origin = part(at).origin(context, at);
    origin.index += offset;
    return origin;
  }

 private:
  const Node& part(Position& at) const {
    if (at.index < first_size_) return *children_[0];
    at.index -= first_size_;
    return *children_[1];
  }

  int64_t first_size_ = 0;
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
  PrefetchNode(NodePtr child, int depth, int threads) : IndexNode(std::move(child)) {
    if (depth < 1 || depth > 4096) {
      throw invalid_argument("prefetch: expected a depth from 1 to 4096, found ", depth);
    }
    prefetch_ = std::max(prefetch_, depth);
    tune_ = tune_ || threads == kAuto;
    threads_ = std::max({threads_, most_threads(threads, "prefetch"), 1});
    name_ = "prefetch";
  }

 private:
  bool forward(Position&) const override { return true; }
};

class RepeatNode final : public IndexNode {
 public:
  RepeatNode(NodePtr child, int64_t count) : IndexNode(std::move(child)), count_(count) {
    child_size_ = size_;
    if (count == 0) {
      size_ = 0;
    } else if (size_ > 0) {
      if (count == kForever || __builtin_mul_overflow(size_, count, &size_)) size_ = kInfinite;
    }
    sign("repeat", count);
  }

 private:
  bool forward(Position& at) const override {
    if (child_size_ == 0) return false;
    const int64_t pass = child_size_ == kInfinite ? 0 : at.index / child_size_;
    if (count_ != kForever && pass >= count_) return false;
    at = {child_size_ == kInfinite ? at.index : at.index % child_size_,
          first_pass(at.epoch, count_) + static_cast<uint64_t>(pass)};
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
  if (count < kForever)
    throw invalid_argument("repeat: expected a count or kForever, found ", count);
  if (child->is_stream() || child->size() == kUnknown)
    return repeat_stream(std::move(child), count);
  return std::make_shared<RepeatNode>(std::move(child), count);
}
NodePtr make_shuffle_blocks(NodePtr child, uint64_t seed, int64_t block) {
  if (block < 1) throw invalid_argument("shuffle: expected blocks of at least 1, found ", block);
  if (child->is_stream() || child->size() == kUnknown) {
    return shuffle_stream(std::move(child), seed, block);
  }
  return std::make_shared<BlockShuffleNode>(std::move(child), seed, block);
}
NodePtr make_rename(NodePtr child, const std::vector<std::string>& names) {
  return std::make_shared<RenameNode>(std::move(child), names);
}
NodePtr make_concatenate(NodePtr first, NodePtr second) {
  if (first->size() == kInfinite) {
    throw invalid_argument("concatenate: the first data set is endless, nothing can follow it");
  }
  const bool by_index = !first->is_stream() && !second->is_stream() && first->size() >= 0 &&
                        second->size() != kUnknown;
  if (!by_index) return concatenate_streams(std::move(first), std::move(second));
  return std::make_shared<ConcatenateNode>(std::move(first), std::move(second));
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
NodePtr make_prefetch(NodePtr child, int depth, int threads) {
  return std::make_shared<PrefetchNode>(std::move(child), depth, threads);
}

}  // namespace trireme::data
