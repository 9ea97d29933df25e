// What a tape has recorded: the steps that were run on values that it watches, and these values.
//
// One thread. Recording allocates nothing where a tape before it recorded as much.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "core/eager/program.h"
#include "core/eager/value.h"

namespace trireme::eager {

class Context;

// Numbers of values, by their ids. Open addressing; clear() keeps the room.
class IdMap {
 public:
  static constexpr uint32_t kNone = ~uint32_t{0};
  uint32_t find(uint64_t id) const;           // kNone: it is not there
  void insert(uint64_t id, uint32_t number);  // REQUIRES: it is not there
  void clear();

 private:
  struct Entry {
    uint64_t id = 0;
    uint32_t number = 0;
  };
  size_t place(uint64_t id) const {
    return (id * 0x9E3779B97F4A7C15u) >> 20 & (entries_.size() - 1);
  }
  std::vector<Entry> entries_;  // a power of two; the id 0 is nobody's
  size_t count_ = 0;
};

// A gradient, for whatever was recorded in the same way.
struct BackwardProgram {
  std::vector<uint64_t> signature;
  std::unique_ptr<Program> program;  // null: no source has a gradient
  std::vector<int> result_of;        // for each source: which result it is; −1: none
  size_t results = 0;
};

class TapeStorage {
 public:
  void watch(const Value& value);
  bool watches(const Value& value) const;

  // `input(i)` is input number i of the step.
  template <typename Input>
  void record(const Step& step, std::span<const Value> outputs, Input input) {
    if (paused_) return;
    bool watched = false;
    for (size_t i = 0; i < step.inputs.size() && !watched; ++i) watched = watches(input(i));
    if (!watched) return;
    records_.push_back(&step);
    for (size_t i = 0; i < step.inputs.size(); ++i) links_.push_back(number_of(input(i), false));
    links_.push_back(static_cast<uint32_t>(values_.size()));
    for (const Value& output : outputs) number_of(output, true);
  }

  // REQUIRES: a result for each source, undefined.
  void gradient(Context& context, const Value& target, std::span<const Value> sources,
                const Value& seed, std::span<Value> results);
  void clear();

 private:
  uint32_t number_of(const Value& value, bool is_watched);
  void gradient_of_symbols(const Value& target, std::span<const Value> sources, const Value& seed,
                           std::span<Value> results) const;
  const BackwardProgram& backward(Context& context, uint32_t target,
                                  std::span<const uint32_t> sources, const Value& seed);
  std::unique_ptr<BackwardProgram> build(Context& context, uint32_t target,
                                         std::span<const uint32_t> sources,
                                         const Value& seed) const;

  std::vector<const Step*> records_;
  std::vector<uint32_t>
      links_;                  // of each record: the numbers of its inputs, and of its first output
  std::vector<Value> values_;  // by number
  std::vector<char> watched_;  // by number
  IdMap numbers_;
  std::vector<trireme::Value> symbols_;  // watched nodes of a graph that is being made
  std::vector<uint64_t> signature_;
  std::vector<uint32_t> source_numbers_;
  std::vector<const Value*> inputs_;
  std::vector<Value> gradients_;
  bool paused_ = false;
};

}  // namespace trireme::eager
