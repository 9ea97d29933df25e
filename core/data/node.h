// The links of a Dataset's chain; for core/data only.
//
// A Node is immutable and shared by iterators and their threads. What a thread needs to remember
// between two reads (scratch tensors, where a stream is) is in its Context, which no other thread
// touches.
#pragma once

#include <memory>
#include <span>
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

// Where the streams of a chain are, as numbers: a part of Iterator::state().
using Cursor = std::vector<int64_t>;

// Takes the numbers of a Cursor one after another. Throws Error{kDataLoss} for one that is missing
// or out of its range.
class CursorInput {
 public:
  explicit CursorInput(std::span<const int64_t> numbers) : rest_(numbers) {}
  int64_t take(int64_t low, int64_t high);
  int64_t take_count() { return take(0, INT64_MAX / 2); }  // which may still be counted up
  uint64_t take_bits() { return static_cast<uint64_t>(take(INT64_MIN, INT64_MAX)); }
  // `count` numbers that belong together.
  std::span<const int64_t> take_all(int64_t count);
  bool empty() const { return rest_.empty(); }

 private:
  std::span<const int64_t> rest_;
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

class Node;
using NodePtr = std::shared_ptr<const Node>;

class Node {
 public:
  Node() = default;
  Node(const Node&) = delete;
  Node& operator=(const Node&) = delete;
  virtual ~Node() = default;

  const ElementSpec& spec() const { return spec_; }
  int64_t size() const { return size_; }
  int threads() const { return threads_; }           // how many the chain asks for
  bool tunes_threads() const { return tune_; }       // as many of them as it takes are to work
  int prefetch() const { return prefetch_; }         // how many elements ahead the chain asks for
  bool is_stream() const { return stream_; }         // must be read in order, on one thread
  const std::string& name() const { return name_; }  // of the stage: "map"
  const std::vector<NodePtr>& children() const { return children_; }
  // Of everything that decides which element is where, and not of threads.
  uint64_t fingerprint() const { return fingerprint_; }

  // Makes element `at`; false past the end. REQUIRES: at.index ≥ 0.
  virtual bool read(Context& context, Position at, Element& out) const = 0;
  // The same, into rows of another tensor. REQUIRES: every shape of spec() is known.
  virtual bool read_rows(Context& context, Position at, std::span<const RowView> rows) const;
  // Where the element that was just read comes from.
  virtual Position origin(Context& context, Position at) const = 0;

  // Appends where the streams of this chain are on this thread, and brings them there again: the
  // position that is read next is then found without reading what is before it. Here: the
  // children's.
  virtual void save(Context& context, Cursor& cursor) const;
  virtual void load(Context& context, CursorInput& cursor) const;

 protected:
  // Adds a child and takes over what it says; the constructor then changes what its node changes.
  void inherit(NodePtr child);
  const Node& child() const { return *children_[0]; }
  // Gives the node its name, and mixes that and the numbers into the fingerprint.
  void sign(std::string_view op, int64_t a, int64_t b = 0);

  ElementSpec spec_;
  int64_t size_ = 0;
  int threads_ = 0;
  bool tune_ = false;
  int prefetch_ = 0;
  bool stream_ = false;
  uint64_t fingerprint_ = 0;
  std::string name_;
  std::vector<NodePtr> children_;
};

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
// Throws Error for no component, and for two of one name.
void check_spec(const ElementSpec& spec, std::string_view what);
bool has_known_shapes(const ElementSpec& spec);
Shape stacked(const Shape& shape, int64_t rows);  // [rows, …]
// Throws Error when `spec` leaves no room for another dimension.
void require_stackable(const ElementSpec& spec, std::string_view what);
// a * b + c; throws Error when no position can be that large.
int64_t scaled_position(int64_t a, int64_t b, int64_t c);
// Uniform in [0, 1): number `index` of (seed, epoch).
double uniform_number(uint64_t seed, uint64_t epoch, int64_t index);

}  // namespace trireme::data
