// Data sets: where examples come from, and in what order and form a training loop gets them.
//
//   Dataset train = from_columns({{"image", images, DType::kFloat32, 1 / 255.f}, {"label",
//   labels}})
//                       .shuffle(seed).repeat().shard(world_size, rank).batch(128,
//                       true).prefetch(2);
//   Iterator it = train.iterator();
//   for (Element batch; it.next(batch);) step(batch);
//
// A Dataset is a value: a handle on an immutable chain of nodes that iterators share. Every node
// but a generator is a function from a position to an element, so shuffling, sharding and resuming
// are arithmetic on positions, and nothing has to be replayed. Datasets may be used from any
// thread; an Iterator belongs to one thread at a time.
//
// Building a chain throws Error{kInvalidArgument} for sizes and counts that make no sense.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/philox.h"
#include "core/tensor/tensor.h"

namespace trireme::data {

// One example or one batch: a tensor a component.
using Element = std::vector<Tensor>;

struct ComponentSpec {
  std::string name;
  DType dtype = DType::kFloat32;
  Shape shape;  // -1: differs between elements, e.g. the rows of the last, smaller batch
  bool operator==(const ComponentSpec&) const = default;
};
using ElementSpec = std::vector<ComponentSpec>;

inline constexpr int64_t kInfinite = -1;  // a cardinality: repeated for ever
inline constexpr int64_t kUnknown =
    -2;  // a cardinality: a generator tells its end only by reaching it
inline constexpr int64_t kForever = -1;  // a count for repeat()

// Where a source writes one component of one example: a row of the batch, or a tensor of its own.
struct RowView {
  DType dtype;
  void* data;
  int64_t elements;
  template <typename T>
  std::span<T> as() const {  // REQUIRES: dtype_of<T> == dtype
    return {static_cast<T*>(data), static_cast<size_t>(elements)};
  }
};

// Examples that can be read in any order, of one fixed type. read() is called from several threads
// at once.
class IndexedExamples {
 public:
  virtual ~IndexedExamples() = default;
  virtual ElementSpec spec() const = 0;  // every shape known
  virtual int64_t size() const = 0;      // constant
  // Fills every element of `out`, one view a component. REQUIRES: 0 ≤ index < size().
  virtual void read(int64_t index, std::span<const RowView> out) const = 0;
};

// A column of an in-memory data set: row i of `values` belongs to example i. With `as`, examples
// come out in that type as value * scale + shift: pixels stay u8 in memory and are scaled on the
// way into the batch.
struct Column {
  std::string name;
  Tensor values;
  std::optional<DType> as = {};
  float scale = 1;
  float shift = 0;
};

// What a map function knows of the element that it is given.
struct MapContext {
  int64_t index;   // in the source, whatever shuffle and shard did; behind batch(), the number of
                   // the batch
  uint64_t epoch;  // how often the source was read before
  uint64_t seed;   // of (MapOptions::seed, index): the same in every epoch and on every worker

  // Random numbers of this example in this epoch, for augmentation.
  PhiloxGenerator random() const { return PhiloxGenerator(seed, epoch); }
};
// Changes the element in place or replaces its tensors, which nobody else holds. Called from
// several threads at once.
using MapFunction = std::function<void(Element& element, const MapContext& context)>;
struct MapOptions {
  int threads = 1;                         // of its own; 0: whichever thread asks for the element
  uint64_t seed = 0;                       // of MapContext
  std::optional<ElementSpec> output = {};  // when the function changes names, types or shapes
};

// Fills `out` with the next element; false at the end.
using Generator = std::function<bool(Element& out)>;

class Node;
class Iterator;

class Dataset {
 public:
  explicit Dataset(std::shared_ptr<const Node> node) : node_(std::move(node)) {}

  Dataset map(MapFunction function, MapOptions options = {}) const;
  // A permutation of the whole data set, another in each epoch: a function of (seed, epoch), in
  // O(1) memory. Needs a cardinality, so not behind a generator or repeat().
  Dataset shuffle(uint64_t seed) const;
  // Stacks `size` elements along a new first axis. Components must agree in shape.
  Dataset batch(int64_t size, bool drop_remainder = false) const;
  // The same batches, but of each only the rows that batch_share() gives to part `index` of
  // `count`: what one of several workers trains on. Where that is none it is the batch's first row,
  // which the caller leaves out by weighting it with 0. Needs known shapes and a cardinality.
  Dataset batch_part(int64_t size, int64_t index, int64_t count) const;
  Dataset repeat(int64_t count = kForever) const;
  Dataset take(int64_t count) const;
  Dataset skip(int64_t count) const;
  Dataset shard(int64_t num_shards, int64_t index) const;  // elements index, index + num_shards, …
  // Keeps in memory each element that was read once. What is before it, shuffle too, is frozen at
  // epoch 0.
  Dataset cache() const;
  // Reads up to `depth` elements ahead on a thread of its own (on the threads of map() where there
  // are some).
  Dataset prefetch(int depth = 2) const;

  const ElementSpec& element_spec() const;
  int64_t cardinality() const;  // elements of one pass, kInfinite or kUnknown
  Iterator iterator() const;

 private:
  std::shared_ptr<const Node> node_;
};

// Reads a Dataset from its start. Threads, where the chain asks for them, start with the first
// next() and end with the Iterator, whatever they are doing: it waits for the elements that are
// being made.
class Iterator {
 public:
  explicit Iterator(std::shared_ptr<const Node> node);
  Iterator(Iterator&&) noexcept;
  Iterator& operator=(Iterator&&) noexcept;
  ~Iterator();

  // False at the end, `out` is then left alone. Tensors found in `out` are written over when they
  // have the right type and nobody else holds their buffer, so a loop that passes the same Element
  // back allocates nothing. An error of a source or a map function is thrown where its element
  // would have come, and again by later calls.
  bool next(Element& out);

  int64_t position() const;  // of the next element
  uint64_t epoch() const;  // of the element that next() gave last: repeat() counts it; a batch has
                           // its first row's

  // One line of text: what the consumer has seen, not what was read ahead. restore() continues with
  // the very next element; it throws Error for text that state() did not write or that belongs to
  // another chain. How many threads and how much prefetch may differ. A generator is read again and
  // discarded up to there.
  std::string state() const;
  void restore(std::string_view state);
  void seek(
      int64_t position);  // e.g. when the number of shards changed; 0 ≤ position ≤ cardinality

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

// `tensors` with one first dimension; row i of each is example i. The tensors are shared, not
// copied.
Dataset from_tensors(const std::vector<Tensor>& tensors, const std::vector<std::string>& names);
Dataset from_columns(std::vector<Column> columns);
Dataset from_examples(std::shared_ptr<const IndexedExamples> source);
// Random access by a function, for examples whose shapes differ. Called from several threads at
// once.
Dataset from_function(ElementSpec spec, int64_t size,
                      std::function<void(int64_t index, Element& out)> function);
// A stream, started anew in each epoch; it must yield the same elements for the same epoch. What is
// behind it runs in order, on one thread.
Dataset from_generator(ElementSpec spec, std::function<Generator(uint64_t epoch)> start);

}  // namespace trireme::data
