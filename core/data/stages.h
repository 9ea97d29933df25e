// How the methods of Dataset make their nodes; for core/data only. Each throws
// Error{kInvalidArgument} for arguments that make no sense.
//
// Where the number and the order of a stage's elements follow from those of its children by
// arithmetic, the node is a function of the position. The others are streams (stream_node.h).
#pragma once

#include "core/data/node.h"
#include "core/data/stream_node.h"

namespace trireme::data {

NodePtr make_map(NodePtr child, MapFunction function, MapOptions options);
NodePtr make_shuffle(NodePtr child, uint64_t seed);
NodePtr make_shuffle_blocks(NodePtr child, uint64_t seed, int64_t block);
NodePtr make_batch(NodePtr child, int64_t size, bool drop_remainder);
NodePtr make_batch_part(NodePtr child, int64_t size, int64_t index, int64_t count);
NodePtr make_padded_batch(NodePtr child, int64_t size, PaddingOptions options);
NodePtr make_repeat(NodePtr child, int64_t count);
NodePtr make_take(NodePtr child, int64_t count);
NodePtr make_skip(NodePtr child, int64_t count);
NodePtr make_shard(NodePtr child, int64_t num_shards, int64_t index);
NodePtr make_cache(NodePtr child);
NodePtr make_prefetch(NodePtr child, int depth, int threads);
NodePtr make_rename(NodePtr child, const std::vector<std::string>& names);
NodePtr make_concatenate(NodePtr first, NodePtr second);
// Examples are known by the number and the epoch that child `leader` gives them.
NodePtr make_zip(std::vector<NodePtr> children, size_t leader = 0);
NodePtr make_filter(NodePtr child, Predicate keep);
NodePtr make_take_while(NodePtr child, Predicate go_on);
NodePtr make_ignore_errors(NodePtr child);
NodePtr make_unique(NodePtr child);
NodePtr make_scan(NodePtr child, Element initial, ScanFunction function, ElementSpec output);
NodePtr make_rejection_resample(NodePtr child, ResampleOptions options);
NodePtr make_interleave(NodePtr child, ExpandFunction expand, ElementSpec output,
                        InterleaveOptions options);
NodePtr make_unbatch(NodePtr child);
NodePtr make_window(NodePtr child, WindowOptions options);
NodePtr make_group_by_window(NodePtr child, GroupOptions options);
NodePtr make_sample(std::vector<NodePtr> children, SampleOptions options);
NodePtr make_choose(std::vector<NodePtr> children, NodePtr choice, bool stop_on_empty);

// The same stages over children that are streams or of unknown size.
NodePtr map_stream(NodePtr child, MapFunction function, MapOptions options);
NodePtr repeat_stream(NodePtr child, int64_t count);
NodePtr shuffle_stream(NodePtr child, uint64_t seed, int64_t block);
NodePtr concatenate_streams(NodePtr first, NodePtr second);
NodePtr cache_stream(NodePtr child);

// Of one child. `name` is the stage's, with what decides which element is where.
NodePtr make_stream(NodePtr child, ElementSpec spec, std::string name,
                    std::function<std::unique_ptr<Stream>(uint64_t pass)> start,
                    int64_t size = kUnknown);

// How many threads a stage that asks for `threads` may have. Throws Error for a number that makes
// no sense; `what` is the stage.
int most_threads(int threads, std::string_view what);
MapContext map_context(uint64_t seed, Position origin);
// The epoch of the first of `count` passes over a child, in pass `epoch` of repeat(count).
uint64_t first_pass(uint64_t epoch, int64_t count);
// Where element `index` of block `number`, which has `size` elements, comes from within the block.
int64_t place_in_block(uint64_t seed, uint64_t epoch, int64_t number, int64_t index, int64_t size);
// What elements of either spec are: the same components, whose shapes may differ in sizes.
ElementSpec merged_spec(const ElementSpec& a, const ElementSpec& b, std::string_view what);
// Stacks `elements` of equal types; the first is example `first` of the data set.
void stack(std::span<const Element> elements, const ElementSpec& spec, int64_t first, Element& out);

// How padded batches of elements of `spec` are made.
class Padder {
 public:
  Padder(const ElementSpec& spec, PaddingOptions options, std::string_view what);
  ElementSpec batch_spec(int64_t rows) const;  // rows -1: differs
  std::string signature() const;
  // Makes a batch of `elements`; the first is example `first` of the data set.
  void stack(std::span<const Element> elements, int64_t first, Element& out) const;
  // The same, with the sizes that are open in the options padded up to `length`; 0: to the longest.
  void stack(std::span<const Element> elements, int64_t first, int64_t length, Element& out) const;

 private:
  bool has_length(size_t component) const;

  std::string what_;
  ElementSpec spec_;
  PaddingOptions options_;
};

}  // namespace trireme::data
