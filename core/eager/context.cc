#include "core/eager/context.h"

#include <atomic>
#include <bit>
#include <cmath>

#include "core/base/error.h"
#include "core/eager/tape_storage.h"
#include "core/ops/ops.h"
#include "core/runtime/built_in_kernels.h"

namespace trireme::eager {

Words& Words::append(std::span<const int64_t> words) {
  if (size_ + words.size() > kMost) {
    throw invalid_argument("a function of values takes at most ", kMost, " sizes and axes");
  }
  for (const int64_t word : words) words_[size_++] = word;
  return *this;
}

Words& Words::append(double number) { return append(std::bit_cast<int64_t>(number)); }

double Words::number(size_t i) const { return std::bit_cast<double>(words_[i]); }

// A function at inputs of some types.
struct Context::Entry {
  uint64_t hash = 0;
  Builder builder = nullptr;
  Words words;
  std::vector<TensorType> inputs;
  std::unique_ptr<Program> program;

  bool is_of(Builder function, std::span<const Value* const> given, const Words& other) const {
    if (function != builder || given.size() != inputs.size() || other.size() != words.size()) {
      return false;
    }
    for (size_t i = 0; i < words.size(); ++i) {
      if (words[i] != other[i]) return false;
    }
    for (size_t i = 0; i < given.size(); ++i) {
      if (given[i]->type() != inputs[i]) return false;
    }
    return true;
  }
};

namespace {

uint64_t mix(uint64_t hash, uint64_t word) {
  hash = (hash ^ word) * 0x9E3779B97F4A7C15u;
  return hash ^ hash >> 32;
}

uint64_t hash_of(Builder builder, std::span<const Value* const> inputs, const Words& words) {
  uint64_t hash = mix(inputs.size(), reinterpret_cast<uintptr_t>(builder));
  for (const Value* input : inputs) {
    hash = mix(hash, static_cast<uint64_t>(input->dtype()) << 8 |
                         static_cast<uint64_t>(input->shape().rank()));
    for (const int64_t size : input->shape()) hash = mix(hash, static_cast<uint64_t>(size));
  }
  for (size_t i = 0; i < words.size(); ++i) hash = mix(hash, static_cast<uint64_t>(words[i]));
  return hash;
}

constexpr size_t kMostPrograms = 8192;

}  // namespace

Context::Context() : ops_(core_op_table()), kernels_(built_in_kernels()) { table_.resize(256); }
Context::~Context() = default;

Context& Context::current() {
  thread_local Context context;
  return context;
}

void Context::use(std::shared_ptr<const OpTable> ops, std::shared_ptr<const KernelTable> kernels) {
  TRIREME_CHECK(tapes_.empty(), "a tape is active");
  forget_programs();
  ops_ = std::move(ops);
  kernels_ = std::move(kernels);
}

void Context::forget_programs() {
  backward_.clear();
  for (auto& entry : table_) entry.reset();
  entries_ = 0;
}

uint64_t Context::more_ids() {
  // In blocks, so that threads do not meet at every value. 0 is nobody's.
  constexpr uint64_t kBlock = 1 << 20;
  static std::atomic<uint64_t> next{1};
  next_id_ = next.fetch_add(kBlock, std::memory_order_relaxed);
  last_id_ = next_id_ + kBlock;
  return next_id_++;
}

void Context::call(Builder builder, std::span<const Value* const> inputs, const Words& words,
                   std::span<Value> results) {
  for (size_t i = 0; i < inputs.size(); ++i) {
    if (!inputs[i]->defined()) throw invalid_argument("input ", i, " of a function is undefined");
  }
  for (const Value* input : inputs) {
    if (input->is_symbol()) {
      build(input->symbol().graph(), builder, inputs, words, results);
      return;
    }
  }
  find(builder, inputs, words).program->run(inputs, results);
}

void Context::build(Graph& graph, Builder builder, std::span<const Value* const> inputs,
                    const Words& words, std::span<Value> results) {
  std::vector<trireme::Value> nodes;
  for (const Value* input : inputs) {
    nodes.push_back(input->is_symbol() ? input->symbol() : capture(graph, *input));
  }
  const std::vector<trireme::Value> found = builder(nodes, words);
  for (size_t i = 0; i < results.size(); ++i) results[i] = Value(found[i]);
}

trireme::Value Context::capture(Graph& graph, const Value& value) {
  for (const TapeStorage* tape : tapes_) {
    if (tape->watches(value)) {
      throw invalid_argument(
          "a traced function uses a value that a tape watches and that is not among its inputs: "
          "its gradient would be lost; make it an input");
    }
  }
  if (captures_ == nullptr) return ops::constant(graph, value.tensor());
  for (const auto& [known, node] : *captures_) {
    if (known.id() == value.id()) return node;
  }
  captures_->emplace_back(value, ops::constant(graph, value.tensor()));
  return captures_->back().second;
}

Value Context::number_like(const Value& x, double number) {
  if (is_integer(x.dtype()) && number != std::floor(number)) {
    throw invalid_argument(number, " is no number of ", x.type(), "; cast the value first");
  }
  if (x.is_symbol()) {
    return Value(ops::scalar(x.symbol().graph(), x.dtype(), number));
  }
  if (x.dtype() != DType::kFloat32) return Value(ops::scalar_tensor(x.dtype(), number));
  Tensor scalar = scalars_.take();
  scalar.flat<float>()[0] = static_cast<float>(number);
  return Value(std::move(scalar));
}

Context::Entry& Context::find(Builder builder, std::span<const Value* const> inputs,
                              const Words& words) {
  const uint64_t hash = hash_of(builder, inputs, words);
  for (size_t i = hash & (table_.size() - 1);; i = (i + 1) & (table_.size() - 1)) {
    Entry* const entry = table_[i].get();
    if (entry == nullptr) break;
    if (entry->hash == hash && entry->is_of(builder, inputs, words)) return *entry;
  }
  // What a tape has recorded refers to programs.
  if (entries_ >= kMostPrograms && tapes_.empty()) forget_programs();
  auto entry = std::make_unique<Entry>();
  entry->hash = hash;
  entry->builder = builder;
  entry->words = words;
  Graph graph(ops_);
  std::vector<trireme::Value> nodes;
  for (const Value* input : inputs) {
    entry->inputs.push_back(input->type());
    nodes.push_back(ops::placeholder(graph, "x", input->dtype(), input->shape()));
  }
  entry->program = std::make_unique<Program>(nodes, builder(nodes, words), *ops_, *kernels_);
  count_program();
  return insert(std::move(entry));
}

Context::Entry& Context::insert(std::unique_ptr<Entry> entry) {
  if (2 * (entries_ + 1) > table_.size()) {
    std::vector<std::unique_ptr<Entry>> old(2 * table_.size());
    old.swap(table_);
    entries_ = 0;
    for (auto& kept : old) {
      if (kept) insert(std::move(kept));
    }
  }
  size_t i = entry->hash & (table_.size() - 1);
  while (table_[i]) i = (i + 1) & (table_.size() - 1);
  table_[i] = std::move(entry);
  ++entries_;
  return *table_[i];
}

void Context::count_allocation(size_t bytes) {
  allocated_ += bytes;
  if (allocated_ < trim_at_) return;
  constexpr size_t kLeast = size_t{256} << 20;
  size_t held = 0;
  for (const auto& entry : table_) {
    if (entry) held += entry->program->trim();
  }
  for (const auto& [hash, programs] : backward_) {
    for (const auto& backward : programs) {
      if (backward->program) held += backward->program->trim();
    }
  }
  allocated_ = held;
  trim_at_ = std::max(kLeast, 2 * held);
}

void* Context::scratch(size_t bytes) {
  if (scratch_ == nullptr || scratch_->bytes() < bytes) {
    scratch_ = allocate_host(std::max<size_t>(bytes, 4096));
  }
  return scratch_->data();
}

std::unique_ptr<TapeStorage> Context::take_storage() {
  if (spare_storage_.empty()) return std::make_unique<TapeStorage>();
  std::unique_ptr<TapeStorage> storage = std::move(spare_storage_.back());
  spare_storage_.pop_back();
  return storage;
}

void Context::give_storage(std::unique_ptr<TapeStorage> storage) {
  spare_storage_.push_back(std::move(storage));
}

}  // namespace trireme::eager
