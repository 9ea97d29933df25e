// Elements from serialized tf.train.Example and SequenceExample messages: the features that are
// wanted, found by name, in one pass over the bytes.
//
// A SequenceExample is an Example (its context) with lists of steps behind it, so one parser reads
// both. Of a name that a record has twice the last counts, as in any protobuf map. Features that
// are not wanted are skipped. Calls from any thread.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/data/dataset.h"
#include "core/data/feature.h"
#include "core/data/record_set.h"

namespace trireme::data {

class ExampleParser {
 public:
  // A component a feature, in this order. Throws Error{kInvalidArgument} when two have one name or
  // one has none.
  explicit ExampleParser(std::vector<std::shared_ptr<const Feature>> features);

  const ElementSpec& spec() const { return spec_; }
  bool is_slow() const;  // some feature takes long: see Feature::is_slow()
  // Throws Error{kDataLoss} "feature "x": …" without a place. Features that `out` has no view of,
  // at its end, are not looked at. REQUIRES: the shapes of those are known.
  void parse(std::string_view record, std::span<const RowView> out) const;
  // The same for any shapes.
  void parse(std::string_view record, Element& out) const;

 private:
  struct Slot {
    uint32_t feature = UINT32_MAX;
    uint32_t hash = 0;
  };
  uint32_t find(std::string_view name, bool is_sequence) const;
  void find_values(std::string_view record, std::span<FeatureValue> values) const;
  void note_map_entry(std::string_view entry, bool is_sequence,
                      std::span<FeatureValue> values) const;

  std::vector<std::shared_ptr<const Feature>> features_;
  ElementSpec spec_;
  std::vector<Slot> slots_;  // a hash table with twice as many places
};

// The examples of files of records, by their numbers. `threads`: as MapOptions::threads.
Dataset from_examples(std::shared_ptr<const RecordSet> records,
                      std::shared_ptr<const ExampleParser> parser, int threads = 0);
Dataset tfrecord_examples(const std::vector<std::string>& paths,
                          std::vector<std::shared_ptr<const Feature>> features,
                          RecordOptions options = {}, int threads = 0);

}  // namespace trireme::data
