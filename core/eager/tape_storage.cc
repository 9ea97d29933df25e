#include "core/eager/tape_storage.h"

#include <algorithm>

#include "core/autodiff/gradients.h"
#include "core/base/error.h"
#include "core/eager/context.h"
#include "core/ops/ops.h"

namespace trireme::eager {
namespace {

// While it lives the tape does not record: its own gradient is not among what it differentiates.
class Pause {
 public:
  explicit Pause(bool& paused) : paused_(paused) { paused_ = true; }
  ~Pause() { paused_ = false; }
  Pause(const Pause&) = delete;

 private:
  bool& paused_;
};

uint64_t hash_of(std::span<const uint64_t> words) {
  uint64_t hash = words.size();
  for (const uint64_t word : words) hash = (hash ^ word) * 0x9E3779B97F4A7C15u ^ hash >> 29;
  return hash;
}

}  // namespace

uint32_t IdMap::find(uint64_t id) const {
  if (entries_.empty()) return kNone;
  for (size_t i = place(id);; i = (i + 1) & (entries_.size() - 1)) {
    if (entries_[i].id == id) return entries_[i].number;
    if (entries_[i].id == 0) return kNone;
  }
}

void IdMap::insert(uint64_t id, uint32_t number) {
  if (2 * (count_ + 1) > entries_.size()) {
    const std::vector<Entry> old = std::move(entries_);
    entries_.assign(std::max<size_t>(64, 2 * old.size()), {});
    count_ = 0;
    for (const Entry& entry : old) {
      if (entry.id != 0) insert(entry.id, entry.number);
    }
  }
  size_t i = place(id);
  while (entries_[i].id != 0) i = (i + 1) & (entries_.size() - 1);
  entries_[i] = {id, number};
  ++count_;
}

void IdMap::clear() {
  if (count_ > 0) std::ranges::fill(entries_, Entry());
  count_ = 0;
}

void TapeStorage::watch(const Value& value) {
  if (!value.defined()) throw invalid_argument("a tape cannot watch a value that is undefined");
  if (!is_floating(value.dtype())) {
    throw invalid_argument("a tape watches floating-point numbers, found ", value.type());
  }
  if (value.is_symbol()) {
    symbols_.push_back(value.symbol());
    return;
  }
  const uint32_t number = number_of(value, true);
  watched_[number] = 1;
}

bool TapeStorage::watches(const Value& value) const {
  const uint32_t number = numbers_.find(value.id());
  return number != IdMap::kNone && watched_[number] != 0;
}

uint32_t TapeStorage::number_of(const Value& value, bool is_watched) {
  const uint32_t known = numbers_.find(value.id());
  if (known != IdMap::kNone) return known;
  const auto number = static_cast<uint32_t>(values_.size());
  values_.push_back(value);
  watched_.push_back(is_watched ? 1 : 0);
  numbers_.insert(value.id(), number);
  return number;
}

void TapeStorage::clear() {
  records_.clear();
  links_.clear();
  values_.clear();
  watched_.clear();
  numbers_.clear();
  symbols_.clear();
}

void TapeStorage::gradient_of_symbols(const Value& target, std::span<const Value> sources,
                                      const Value& seed, std::span<Value> results) const {
  std::vector<trireme::Value> wrt;
  for (const Value& source : sources) {
    if (source.is_symbol()) wrt.push_back(source.symbol());
  }
  std::vector<trireme::Value> seeds;
  if (seed.defined()) {
    seeds.push_back(seed.is_symbol() ? seed.symbol()
                                     : ops::constant(target.symbol().graph(), seed.tensor()));
  }
  const std::vector<Gradient> found = gradients(target.symbol(), wrt, seeds);
  auto next = found.begin();
  for (size_t i = 0; i < sources.size(); ++i) {
    if (!sources[i].is_symbol()) continue;
    const Gradient& gradient = *next++;
    if (gradient.defined()) results[i] = Value(densify(gradient, sources[i].symbol()));
  }
}

void TapeStorage::gradient(Context& context, const Value& target, std::span<const Value> sources,
                           const Value& seed, std::span<Value> results) {
  if (!target.defined()) throw invalid_argument("a tape's target is undefined");
  if (seed.defined() && seed.type() != target.type()) {
    throw invalid_argument("the seed of a gradient has the type of the target, ", target.type(),
                           "; found ", seed.type());
  }
  if (target.is_symbol()) return gradient_of_symbols(target, sources, seed, results);
  source_numbers_.clear();
  for (const Value& source : sources) {
    const uint32_t number = source.defined() ? numbers_.find(source.id()) : IdMap::kNone;
    if (number == IdMap::kNone || watched_[number] == 0) {
      throw invalid_argument(
          "a tape gives gradients with respect to values that it watches, and to what was computed "
          "from them; watch(x) comes before x is used");
    }
    source_numbers_.push_back(number);
  }
  const uint32_t number = numbers_.find(target.id());
  if (number == IdMap::kNone) return;
  const Pause pause(paused_);
  const BackwardProgram& found = backward(context, number, source_numbers_, seed);
  if (found.program == nullptr) return;
  inputs_.clear();
  for (const Value& value : values_) inputs_.push_back(&value);
  if (seed.defined()) inputs_.push_back(&seed);
  gradients_.resize(found.results);
  found.program->run(inputs_, gradients_);
  for (size_t i = 0; i < results.size(); ++i) {
    if (found.result_of[i] >= 0) results[i] = gradients_[static_cast<size_t>(found.result_of[i])];
  }
  gradients_.clear();
}

const BackwardProgram& TapeStorage::backward(Context& context, uint32_t target,
                                             std::span<const uint32_t> sources, const Value& seed) {
  signature_.clear();
  for (const Step* step : records_) signature_.push_back(reinterpret_cast<uintptr_t>(step));
  signature_.insert(signature_.end(), links_.begin(), links_.end());
  signature_.insert(signature_.end(), {values_.size(), target, seed.defined() ? 1u : 0u});
  signature_.insert(signature_.end(), sources.begin(), sources.end());
  auto& candidates = context.backward()[hash_of(signature_)];
  for (const auto& candidate : candidates) {
    if (candidate->signature == signature_) return *candidate;
  }
  candidates.push_back(build(context, target, sources, seed));
  return *candidates.back();
}

// What was recorded becomes a graph once more; its values are fed, and what differentiates it is
// the program.
std::unique_ptr<BackwardProgram> TapeStorage::build(Context& context, uint32_t target,
                                                    std::span<const uint32_t> sources,
                                                    const Value& seed) const {
  auto result = std::make_unique<BackwardProgram>();
  result->signature = signature_;
  result->result_of.assign(sources.size(), -1);
  Graph graph(context.ops());
  std::vector<trireme::Value> nodes(values_.size());
  const auto node_of = [&](uint32_t number) {
    if (!nodes[number].defined()) {
      const TensorType& type = values_[number].type();
      nodes[number] = ops::placeholder(graph, "recorded", type.dtype, type.shape);
    }
    return nodes[number];
  };
  size_t link = 0;
  for (const Step* step : records_) {
    std::vector<trireme::Value> inputs;
    for (size_t i = 0; i < step->inputs.size(); ++i) inputs.push_back(node_of(links_[link++]));
    Node& node = graph.add(step->op->name, std::move(inputs), step->attributes);
    const uint32_t first = links_[link++];
    for (int i = 0; i < node.output_count(); ++i) {
      nodes[first + static_cast<uint32_t>(i)] = node.output(i);
    }
  }
  std::vector<trireme::Value> wrt, seeds, outputs;
  for (const uint32_t source : sources) wrt.push_back(node_of(source));
  const trireme::Value loss = node_of(target);
  if (seed.defined()) seeds.push_back(ops::placeholder(graph, "seed", seed.dtype(), seed.shape()));
  const std::vector<Gradient> found = gradients(loss, wrt, seeds);
  for (size_t i = 0; i < found.size(); ++i) {
    if (!found[i].defined()) continue;
    result->result_of[i] = static_cast<int>(outputs.size());
    outputs.push_back(densify(found[i], wrt[i]));
  }
  result->results = outputs.size();
  if (outputs.empty()) return result;
  std::vector<trireme::Value> inputs;
  for (uint32_t i = 0; i < values_.size(); ++i) inputs.push_back(node_of(i));
  inputs.insert(inputs.end(), seeds.begin(), seeds.end());
  result->program = std::make_unique<Program>(inputs, outputs, *context.ops(), *context.kernels());
  context.count_program();
  return result;
}

}  // namespace trireme::eager
