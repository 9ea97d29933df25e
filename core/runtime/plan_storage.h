// Which storage each value of a plan lies in, and which values share one. Private to the runtime.
#pragma once

#include <map>
#include <unordered_map>
#include <vector>

#include "core/runtime/plan_layout.h"

namespace trireme {

// Filled while the instructions of a plan are made, in their order.
class StorageMap {
 public:
  // How many inputs are still to be read of each storage.
  using Uses = std::map<size_t, int>;

  explicit StorageMap(size_t streams) : streams_(streams) {}

  size_t add(Storage storage);
  Storage& operator[](size_t storage) { return storages_[storage]; }
  const Storage& operator[](size_t storage) const { return storages_[storage]; }
  std::vector<Storage>& all() { return storages_; }

  // REQUIRES: the value has one.
  size_t of(Value value) const { return of_value_.at(value); }
  bool has(Value value) const { return of_value_.contains(value); }
  void put(Value value, size_t storage) { of_value_[value] = storage; }

  // Notes that the instruction `index` of `stream` uses these.
  void touch(const std::vector<size_t>& storages, size_t stream, int index);

  // An input whose memory output 0, of `bytes`, may take over on `stream`: nobody else needs it
  // from this instruction on. SIZE_MAX: there is none.
  size_t in_place(const Node& node, size_t bytes, size_t stream, const Uses& uses) const;

  // Lays the outputs of `node`, made by the instruction `index`, side by side. An input that dies
  // here becomes the output, so that nothing is copied; what cannot (a variable, a value that
  // others still read) gets a place of its own, and the kernel copies it there.
  void pack_outputs(const Node& node, const std::vector<TensorType>& outputs, size_t device,
                    int index, const Uses& uses);

 private:
  // True when it lies in the arena, and what is read of it now is the last that anybody reads.
  bool dies(size_t storage, const Uses& uses) const;

  size_t streams_;
  std::vector<Storage> storages_;
  std::unordered_map<Value, size_t, ValueHash> of_value_;
};

}  // namespace trireme
