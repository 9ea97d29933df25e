// The links of a Dataset's chain; for core/data only.
//
// A Node is immutable and shared by iterators and their threads. What a thread needs to remember
// between two reads (scratch tensors, an open generator) is in its Context, which no other thread
// touches.
#pragma once

#include <memory>
#include <typeinfo>
#include <utility>
#include <vector>

#include "core/data/dataset.h"

namespace trireme::data {

// Which element of which pass over the data.
struct Position {
  int64_t index = 0;
  uint64_t epoch = 0;
};

struct NodeState {
  virtual ~NodeState() = default;
};

class Context {
 public:
  // The state of `node` on this thread, made at its first use. A node may have several, of
  // different types.
  template <typename State>
  State& state(const Node* node) {
    for (const Entry& entry : entries_) {
      if (entry.node == node && *entry.type == typeid(State))
        return static_cast<State&>(*entry.state);
    }
    entries_.push_back({node, &typeid(State), std::make_unique<State>()});
    return static_cast<State&>(*entries_.back().state);
  }

 private:
  struct Entry {
    const Node* node;
    const std::type_info* type;
    std::unique_ptr<NodeState> state;
  };
  std::vector<Entry> entries_;
};

class Node {
 public:
  Node() = default;
  Node(const Node&) = delete;
  Node& operator=(const Node&) = delete;
  virtual ~Node() = default;

  const ElementSpec& spec() const { return spec_; }
  int64_t size() const { return size_; }
  int threads() const { return threads_; }    // how many the chain asks for
  int prefetch() const { return prefetch_; }  // how many elements ahead the chain asks for
  bool is_stream() const { return stream_; }  // must be read in order, on one thread
  // Of everything that decides which element is where, and not of threads.
  uint64_t fingerprint() const { return fingerprint_; }

  // Makes element `at`; false past the end. REQUIRES: at.index ≥ 0.
  virtual bool read(Context& context, Position at, Element& out) const = 0;
  // The same, into rows of another tensor. REQUIRES: every shape of spec() is known.
  virtual bool read_rows(Context& context, Position at, std::span<const RowView> rows) const;
  // Where the element comes from.
  virtual Position origin(Context& context, Position at) const = 0;

 protected:
  // Takes over what `child` says; the constructor then changes what its node changes.
  void inherit(const Node& child);
  void sign(std::string_view op, int64_t a, int64_t b = 0);  // mixes into the fingerprint

  ElementSpec spec_;
  int64_t size_ = 0;
  int threads_ = 0;
  int prefetch_ = 0;
  bool stream_ = false;
  uint64_t fingerprint_ = 0;
};

using NodePtr = std::shared_ptr<const Node>;

NodePtr make_map(NodePtr child, MapFunction function, MapOptions options);
NodePtr make_shuffle(NodePtr child, uint64_t seed);
NodePtr make_batch(NodePtr child, int64_t size, bool drop_remainder);
NodePtr make_batch_part(NodePtr child, int64_t size, int64_t index, int64_t count);
NodePtr make_repeat(NodePtr child, int64_t count);
NodePtr make_take(NodePtr child, int64_t count);
NodePtr make_skip(NodePtr child, int64_t count);
NodePtr make_shard(NodePtr child, int64_t num_shards, int64_t index);
NodePtr make_cache(NodePtr child);
NodePtr make_prefetch(NodePtr child, int depth);

// Makes `tensor` one of this type whose memory is nobody else's: the one that is there when it can
// be used.
void prepare(Tensor& tensor, DType dtype, const Shape& shape);
RowView view(Tensor& tensor);
void copy_values(const Tensor& from,
                 const RowView& to);  // REQUIRES: same dtype and number of elements
// Copies the values, into the tensors of `out` where they can be used.
void copy_element(const Element& from, Element& out);
// Throws Error unless `element` is what `spec` promises; `what` names who made it.
void check_element(const Element& element, const ElementSpec& spec, std::string_view what);
bool has_known_shapes(const ElementSpec& spec);
// a * b + c; throws Error when no position can be that large.
int64_t scaled_position(int64_t a, int64_t b, int64_t c);

}  // namespace trireme::data
