#include "core/eager/tape.h"

#include <algorithm>

#include "core/base/error.h"
#include "core/eager/context.h"
#include "core/eager/tape_storage.h"

namespace trireme::eager {

Tape::Tape() : storage_(Context::current().take_storage()) {
  Context::current().tapes().push_back(storage_.get());
}

Tape::~Tape() {
  Context& context = Context::current();
  std::erase(context.tapes(), storage_.get());
  storage_->clear();
  context.give_storage(std::move(storage_));
}

void Tape::watch(const Value& value) { storage_->watch(value); }

void Tape::gradient(const Value& target, std::span<const Value> sources, std::span<Value> results) {
  TRIREME_CHECK(sources.size() == results.size(), "a result for each source");
  std::ranges::fill(results, Value());
  storage_->gradient(Context::current(), target, sources, Value(), results);
}

std::vector<Value> Tape::gradient(const Value& target, std::span<const Value> sources) {
  std::vector<Value> results(sources.size());
  gradient(target, sources, results);
  return results;
}

Value Tape::gradient(const Value& target, const Value& source) {
  Value result;
  gradient(target, std::span(&source, 1), std::span(&result, 1));
  return result;
}

std::vector<Value> Tape::gradient(const Value& target, std::span<const Value> sources,
                                  const Value& seed) {
  std::vector<Value> results(sources.size());
  storage_->gradient(Context::current(), target, sources, seed, results);
  return results;
}

}  // namespace trireme::eager
