// Data sets: where examples come from, and in what order and form a training loop gets them.
//
//   Dataset train = from_columns({{"image", images, DType::kFloat32, 1 / 255.f}, {"label",
//   labels}})
//                       .shuffle(seed).repeat().shard(world_size, rank).batch(128,
//                       true).prefetch(2);
//   Iterator it = train.iterator();
//   for (Element batch; it.next(batch);) step(batch);
//
// A Dataset is a value: a handle on an immutable chain of nodes that iterators share. Wherever it
// can be, a node is a function from a position to an element, so shuffling, sharding and resuming
// are arithmetic on positions. The other stages ("streams": filter, flat_map, …) are read in order
// and remember a few numbers, so that resuming need not replay either. What a stage gives never
// depends on threads. Datasets may be used from any thread; an Iterator belongs to one thread at a
// time. docs/data-pipeline.md has the stages with tf.data's names.
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
    -2;  // a cardinality: a stream tells its end only by reaching it
inline constexpr int64_t kForever = -1;  // a count for repeat()
inline constexpr int kAuto = -1;         // a number of threads: found by measuring

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
  // Of its own; 0: whichever thread asks for the element; kAuto: up to the machine's, as many as
  // make a difference.
  int threads = 1;
  uint64_t seed = 0;                       // of MapContext
  std::optional<ElementSpec> output = {};  // when the function changes names, types or shapes
};

// Fills `out` with the next element; false at the end.
using Generator = std::function<bool(Element& out)>;

// A source that is read in order and can say where it is, so that resuming does not read what came
// before. Used by one thread at a time.
class ExampleStream {
 public:
  virtual ~ExampleStream() = default;
  virtual bool next(Element& out) = 0;             // false at the end
  virtual std::vector<int64_t> place() const = 0;  // a few numbers, e.g. a file and an offset
  // Goes on after the element at which place() was that, in a new stream of the same epoch.
  virtual void go_to(std::span<const int64_t> place) = 0;
};

class Dataset;
using Predicate = std::function<bool(const Element& element)>;
// A data set of each element, for flat_map() and interleave(); the same for the same element.
using ExpandFunction = std::function<Dataset(const Element& element)>;
// Changes the state that it carries from element to element, and the element.
using ScanFunction = std::function<void(Element& state, Element& element)>;

struct InterleaveOptions {
  int64_t cycle_length = 1;  // data sets that are open at once
  int64_t block_length = 1;  // elements of one before the next has its turn
  int prefetch = 0;          // elements that each reads ahead on a thread of its own
};

struct WindowOptions {
  int64_t size = 1;    // elements of a window, which are stacked along a new first axis
  int64_t shift = 0;   // from one window to the next; 0: `size`
  int64_t stride = 1;  // from one element of a window to the next
  bool drop_remainder = false;
};

struct PaddingOptions {
  // Of each component of an example, -1: the longest of the batch. Empty: -1 where the spec says
  // so.
  std::vector<Shape> shapes = {};
  std::vector<double> values = {};  // what fills up each component; empty: 0, or "" for strings
  bool drop_remainder = false;
  // Of these components the sizes before padding are a component "NAME_length", i64 [batch], right
  // behind them: the first axis's.
  std::vector<std::string> lengths = {};
};

struct BucketOptions {
  std::string component;             // whose first axis is the length; empty: the first
  std::vector<int64_t> boundaries;   // ascending; a length below the first is in the first bucket
  std::vector<int64_t> batch_sizes;  // one more than boundaries
  PaddingOptions padding = {};
  // Pads up to the bucket's boundary - 1, so that shapes are few; then no length may be above the
  // last boundary - 1.
  bool pad_to_boundary = false;
};

struct GroupOptions {
  std::function<int64_t(const Element& element)> key;
  std::function<int64_t(int64_t key)> window_size;  // elements of a batch of that key
  PaddingOptions padding = {};
  std::function<int64_t(int64_t key)> padded_length = {};  // empty, 0: the longest of the batch
  std::string name = "group_by_window";                    // for messages and the fingerprint
};

struct SampleOptions {
  std::vector<double> weights = {};  // empty: equal
  uint64_t seed = 0;
  bool stop_on_empty = false;  // else those that have ended are left out
};

struct ResampleOptions {
  std::function<int64_t(const Element& element)> class_of;
  std::vector<double> target;        // of each class its share, in any unit
  std::vector<double> initial = {};  // as they come; empty: counted on the way
  uint64_t seed = 0;
};

class Node;
class Iterator;

class Dataset {
 public:
  explicit Dataset(std::shared_ptr<const Node> node) : node_(std::move(node)) {}

  Dataset map(MapFunction function, MapOptions options = {}) const;
  // A permutation of the whole data set, another in each epoch: a function of (seed, epoch), in
  // O(1) memory. Needs a cardinality, so not behind a generator or repeat().
  Dataset shuffle(uint64_t seed) const;
  // For streams, and where neighbours in a file should be read together: permutes each block of
  // `block_size` elements, again another way in each epoch. Of a stream one block is in memory.
  Dataset shuffle(uint64_t seed, int64_t block_size) const;
  // Stacks `size` elements along a new first axis. Components must agree in shape.
  Dataset batch(int64_t size, bool drop_remainder = false) const;
  // The same batches, but of each only the rows that batch_share() gives to part `index` of
  // `count`: what one of several workers trains on. Where that is none it is the batch's first row,
  // which the caller leaves out by weighting it with 0. Of a stream all rows are read, by each
  // part.
  Dataset batch_part(int64_t size, int64_t index, int64_t count) const;
  Dataset repeat(int64_t count = kForever) const;
  Dataset take(int64_t count) const;
  Dataset skip(int64_t count) const;
  Dataset shard(int64_t num_shards, int64_t index) const;  // elements index, index + num_shards, …
  // Keeps in memory each element that was read once. What is before it, shuffle too, is frozen at
  // epoch 0.
  Dataset cache() const;
  // Keeps all elements of epoch 0 in a file, which is written when it is first read, or taken as it
  // is where another run has written it. A fingerprint holds the file to this chain; functions are
  // not a part of it: remove the file when one has changed.
  Dataset cache(const std::string& path) const;
  // The same, written at once: so also streams have a cardinality then and can be shuffled.
  Dataset snapshot(const std::string& path) const;
  void save(const std::string& path) const;  // one pass, for load()
  // Components have these names from here on.
  Dataset rename(const std::vector<std::string>& names) const;
  Dataset enumerate(int64_t start = 0, const std::string& name = "index") const;  // comes first
  Dataset concatenate(const Dataset& other) const;

  // Streams.
  Dataset filter(Predicate keep) const;
  Dataset take_while(Predicate go_on) const;
  Dataset ignore_errors() const;  // leaves out elements that cannot be made; not behind a stream
  // Leaves out elements that were there before. Holds those that it has seen, and sees them again
  // when it is resumed.
  Dataset unique() const;
  // `initial` and what the function makes of it are a part of Iterator::state(): keep it small.
  Dataset scan(Element initial, ScanFunction function,
               std::optional<ElementSpec> output = {}) const;
  // Leaves out elements at random, so that classes come as often as `target` says.
  Dataset rejection_resample(ResampleOptions options) const;
  // The elements of the data sets that `expand` makes, of `output`'s names and types: one data set
  // after the other, or `cycle_length` of them in turns.
  Dataset flat_map(ExpandFunction expand, ElementSpec output) const;
  Dataset interleave(ExpandFunction expand, ElementSpec output, InterleaveOptions options) const;
  Dataset unbatch() const;  // the rows of each element
  Dataset rebatch(int64_t size,
                  bool drop_remainder = false) const;  // other batches of the same rows
  // Windows over the elements, one stacked tensor a component.
  Dataset window(WindowOptions options) const;
  // Batches of elements whose shapes differ in sizes, each filled up.
  Dataset padded_batch(int64_t size, PaddingOptions options = {}) const;
  // Padded batches of elements of about one length. Elements that wait for their batch are in
  // memory: up to a batch a bucket, in Iterator::state() a number each.
  Dataset bucket_by_sequence_length(BucketOptions options) const;
  Dataset group_by_window(GroupOptions options) const;
  // Reads up to `depth` elements ahead on `threads` threads of its own (on those of map() where
  // there are more), which may be kAuto. A stream is read by one.
  Dataset prefetch(int depth = 2, int threads = 1) const;

  // change(*this), for stages of one's own in a chain.
  Dataset apply(const std::function<Dataset(const Dataset&)>& change) const;
  // Reads all elements: `add(total, element)` for each.
  void reduce(Element& total, const std::function<void(Element& total, const Element&)>& add) const;
  Element get_single_element() const;  // throws Error unless there is one and no more

  const ElementSpec& element_spec() const;
  int64_t cardinality() const;  // elements of one pass, kInfinite or kUnknown
  Iterator iterator() const;
  // Of everything that decides which element is where but functions; threads are no part of it.
  uint64_t fingerprint() const;

  const std::shared_ptr<const Node>& node() const { return node_; }  // for core/data

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
  // E.g. when the number of shards changed; 0 ≤ position ≤ cardinality. Streams are read again from
  // their start, but to go back by one or two elements costs no more than restore(). `pass`: the
  // epoch that begins at position 0, at first 0; nothing: as it is.
  void seek(int64_t position, std::optional<uint64_t> pass = {});

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

// `tensors` with one first dimension; row i of each is example i. The tensors are shared, not
// copied.
Dataset from_tensors(const std::vector<Tensor>& tensors, const std::vector<std::string>& names);
Dataset from_columns(std::vector<Column> columns);
Dataset from_examples(std::shared_ptr<const IndexedExamples> source);
// Random access by a function, for examples whose shapes differ; `size` may be kInfinite. Called
// from several threads at once.
Dataset from_function(ElementSpec spec, int64_t size,
                      std::function<void(int64_t index, Element& out)> function);
// A stream, started anew in each epoch; it must yield the same elements for the same epoch. What is
// behind it runs in order, on one thread.
Dataset from_generator(ElementSpec spec, std::function<Generator(uint64_t epoch)> start);
// The same for a stream that can say where it is.
Dataset from_stream(ElementSpec spec,
                    std::function<std::unique_ptr<ExampleStream>(uint64_t epoch)> start);
// What save(), snapshot() or cache(path) wrote.
Dataset load(const std::string& path);
// One element of these tensors.
Dataset from_element(const Element& element, const std::vector<std::string>& names);
// i64 numbers, "value".
Dataset range(int64_t start, int64_t stop, int64_t step = 1);
Dataset counter(int64_t start = 0, int64_t step = 1);  // for ever
Dataset random(uint64_t seed);                         // for ever, uniform in [0, 2^63)
// The names of the files that a pattern such as "/data/*.txt" matches, sorted: "file".
Dataset list_files(const std::string& pattern);

// Elements of all data sets side by side, as long as each has one. Names must differ: see rename().
Dataset zip(const std::vector<Dataset>& datasets);
// The next element of one of them, drawn at random with their weights.
Dataset sample_from_datasets(const std::vector<Dataset>& datasets, SampleOptions options = {});
// The next element of the one that `choice` (i64 scalars) names. One that has ended is passed over,
// or ends it all.
Dataset choose_from_datasets(const std::vector<Dataset>& datasets, const Dataset& choice,
                             bool stop_on_empty = false);

}  // namespace trireme::data
