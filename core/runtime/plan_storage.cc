#include "core/runtime/plan_storage.h"

#include <algorithm>
#include <utility>

namespace trireme {

size_t StorageMap::add(Storage storage) {
  storage.last_by_stream.assign(streams_, -1);
  storages_.push_back(std::move(storage));
  return storages_.size() - 1;
}

void StorageMap::touch(const std::vector<size_t>& storages, size_t stream, int index) {
  for (size_t storage : storages) {
    int& last = storages_[storage].last_by_stream[stream];
    last = std::max(last, index);
  }
}

bool StorageMap::dies(size_t storage, const Uses& uses) const {
  const Storage& s = storages_[storage];
  return s.kind == Location::Kind::kArena && !s.lives_to_end && s.feed < 0 && uses.at(storage) == 1;
}

size_t StorageMap::in_place(const Node& node, size_t bytes, size_t stream, const Uses& uses) const {
  for (int input : node.op().traits.in_place_inputs) {
    if (input >= static_cast<int>(node.inputs().size())) continue;
    const size_t candidate = of(node.input(input));
    const Storage& storage = storages_[candidate];
    if (storage.bytes != bytes || !dies(candidate, uses)) continue;
    const auto is_candidate = [&](const Value& other) { return of(other) == candidate; };
    if (std::ranges::count_if(node.inputs(), is_candidate) != 1) continue;
    // Another stream may still be reading it.
    bool elsewhere = false;
    for (size_t s = 0; s < storage.last_by_stream.size(); ++s) {
      elsewhere |= s != stream && storage.last_by_stream[s] >= 0;
    }
    if (!elsewhere) return candidate;
  }
  return SIZE_MAX;
}

void StorageMap::pack_outputs(const Node& node, const std::vector<TensorType>& outputs,
                              size_t device, int index, const Uses& uses) {
  const size_t pack = add({.device = device});
  size_t offset = 0;
  for (int i = 0; i < node.output_count(); ++i) {
    const size_t bytes = outputs[static_cast<size_t>(i)].bytes();
    size_t member = of(node.input(i));
    const Storage& input = storages_[member];
    if (input.device != device || input.bytes != bytes || input.pack != SIZE_MAX ||
        !dies(member, uses)) {
      member = add({.device = device, .bytes = bytes, .first = index});
    }
    storages_[member].pack = pack;
    storages_[member].offset_in_pack = offset;
    offset += align_up(bytes);
    put({const_cast<Node*>(&node), i}, member);
  }
  storages_[pack].bytes = offset;
}

}  // namespace trireme
