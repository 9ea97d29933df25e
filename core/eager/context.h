// What eager computing keeps in each thread: the programs of functions that were called, and the
// tapes that are active.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <unordered_map>
#include <utility>
#include <vector>

#include "core/eager/program.h"
#include "core/eager/value.h"

namespace trireme::eager {

class TapeStorage;
struct BackwardProgram;

// The part of a function that is no tensor: axes, flags, sizes. Numbers with a point are kept by
// their bits.
class Words {
 public:
  static constexpr size_t kMost = 25;  // a part of 8 axes
  Words() = default;
  Words(std::initializer_list<int64_t> words) { append(std::span(words.begin(), words.size())); }
  Words& append(std::span<const int64_t> words);  // throws Error{kInvalidArgument} for too many
  Words& append(int64_t word) { return append(std::span(&word, 1)); }
  Words& append(double number);
  int64_t operator[](size_t i) const { return words_[i]; }
  double number(size_t i) const;
  std::vector<int64_t> from(size_t i) const {
    return {words_.begin() + static_cast<ptrdiff_t>(i),
            words_.begin() + static_cast<ptrdiff_t>(size_)};
  }
  size_t size() const { return size_; }

 private:
  std::array<int64_t, kMost> words_{};
  size_t size_ = 0;
};

// Builds a function in a graph, by the builders of core/ops.
using Builder = std::vector<trireme::Value> (*)(std::span<const trireme::Value> inputs,
                                                const Words& words);

class Context {
 public:
  // Of this thread: Trireme's ops and the CPU's kernels.
  static Context& current();
  Context();
  ~Context();
  Context(const Context&) = delete;

  // Replaces the ops and kernels that this thread computes with, for a program's own ops. Forgets
  // all programs. REQUIRES: no tape is active.
  void use(std::shared_ptr<const OpTable> ops, std::shared_ptr<const KernelTable> kernels);
  const std::shared_ptr<const OpTable>& ops() const { return ops_; }
  const std::shared_ptr<const KernelTable>& kernels() const { return kernels_; }

  // Calls a function: in the graph that is being made when an input stands for a node of it, else
  // at once. `results`: one for each output.
  void call(Builder builder, std::span<const Value* const> inputs, const Words& words,
            std::span<Value> results);

  // A scalar of x's dtype. Throws Error{kInvalidArgument} when the dtype cannot have it: 0.5 among
  // integers.
  Value number_like(const Value& x, double number);

  uint64_t next_id() { return next_id_++ < last_id_ ? next_id_ - 1 : more_ids(); }

  std::vector<TapeStorage*>& tapes() { return tapes_; }  // active, outermost first
  bool is_recording() const { return !tapes_.empty(); }

  // Counted by tests: programs that were made so far.
  int64_t programs_made() const { return programs_made_; }
  // Memory that was handed out newly; from time to time lets go of what is free.
  void count_allocation(size_t bytes);
  void* scratch(size_t bytes);

  // Room of a tape, used again by the next one.
  std::unique_ptr<TapeStorage> take_storage();
  void give_storage(std::unique_ptr<TapeStorage> storage);

  // Programs of gradients, by what the tape had recorded.
  using BackwardPrograms =
      std::unordered_map<uint64_t, std::vector<std::unique_ptr<BackwardProgram>>>;
  BackwardPrograms& backward() { return backward_; }
  void count_program() { ++programs_made_; }

  // While it is set, values that a graph uses and that are no nodes of it are kept here, with the
  // constants that they became. Returns what was set before.
  using Captures = std::vector<std::pair<Value, trireme::Value>>;
  Captures* set_captures(Captures* captures) { return std::exchange(captures_, captures); }
  trireme::Value capture(Graph& graph, const Value& value);

 private:
  struct Entry;
  Entry& find(Builder builder, std::span<const Value* const> inputs, const Words& words);
  Entry& insert(std::unique_ptr<Entry> entry);
  void build(Graph& graph, Builder builder, std::span<const Value* const> inputs,
             const Words& words, std::span<Value> results);
  void forget_programs();
  uint64_t more_ids();

  std::shared_ptr<const OpTable> ops_;
  std::shared_ptr<const KernelTable> kernels_;
  std::vector<std::unique_ptr<Entry>> table_;  // open addressing; a power of two
  size_t entries_ = 0;
  OutputPool scalars_{TensorType{DType::kFloat32, {}}};
  std::vector<TapeStorage*> tapes_;
  std::vector<std::unique_ptr<TapeStorage>> spare_storage_;
  BackwardPrograms backward_;
  Captures* captures_ = nullptr;
  std::shared_ptr<Buffer> scratch_;
  uint64_t next_id_ = 0, last_id_ = 0;
  int64_t programs_made_ = 0;
  size_t allocated_ = 0, trim_at_ = size_t{256} << 20;
};

}  // namespace trireme::eager
