#include "ps/server/row_batch.h"

#include <algorithm>
#include <cstring>

namespace trireme::ps {

void RowBatch::add(const RowView& row) {
  TRIREME_CHECK(row.weight.size() + row.slots.size() == width_, "a row of ", row.weight.size(),
                " elements and ", row.slots.size(), " of slots, expected ", width_, " together");
  keys_.push_back(row.key);
  versions_.push_back(row.version);
  frequencies_.push_back(row.frequency);
  values_.insert(values_.end(), row.weight.begin(), row.weight.end());
  values_.insert(values_.end(), row.slots.begin(), row.slots.end());
}

Message RowBatch::take() {
  const auto count = static_cast<int64_t>(keys_.size());
  std::vector<std::byte> bytes;
  bytes.reserve(sizeof(count) + this->bytes());
  const auto append = [&](const void* from, size_t size) {
    const auto* const p = static_cast<const std::byte*>(from);
    bytes.insert(bytes.end(), p, p + size);
  };
  append(&count, sizeof(count));
  for (auto* numbers : {&keys_, &versions_, &frequencies_}) {
    append(numbers->data(), numbers->size() * sizeof(int64_t));
    numbers->clear();
  }
  append(values_.data(), values_.size() * sizeof(float));
  values_.clear();
  return own(std::move(bytes));
}

void for_each_row(const Message& body, const TableSpec& spec,
                  const std::function<void(const RowView&)>& visit) {
  const auto dim = static_cast<size_t>(spec.dim);
  const size_t width = dim * static_cast<size_t>(1 + spec.slots());
  const size_t each = 3 * sizeof(int64_t) + width * sizeof(float);
  int64_t count = -1;
  if (body.bytes.size() >= sizeof(count)) std::memcpy(&count, body.bytes.data(), sizeof(count));
  const size_t rest = body.bytes.size() - std::min(body.bytes.size(), sizeof(count));
  if (count < 0 || rest % each != 0 || rest / each != static_cast<size_t>(count)) {
    throw invalid_argument("table \"", spec.name, "\": expected a batch of whole rows of ", each,
                           " bytes, found ", count, " rows in ", body.bytes.size(), " bytes");
  }
  const auto n = static_cast<size_t>(count);
  const auto* const keys = reinterpret_cast<const int64_t*>(body.bytes.data() + sizeof(count));
  const auto* const values = reinterpret_cast<const float*>(keys + 3 * n);
  for (size_t i = 0; i < n; ++i) {
    const float* const row = values + i * width;
    visit({.key = keys[i],
           .version = keys[n + i],
           .frequency = keys[2 * n + i],
           .weight = {row, dim},
           .slots = {row + dim, width - dim}});
  }
}

Message bytes_of(std::span<const WaitingKey> keys) {
  const auto bytes = std::as_bytes(keys);
  return own(std::vector<std::byte>(bytes.begin(), bytes.end()));
}

std::span<const WaitingKey> waiting_keys_of(const Message& body) {
  if (body.bytes.size() % sizeof(WaitingKey) != 0) {
    throw invalid_argument("expected waiting keys of ", sizeof(WaitingKey), " bytes, found ",
                           body.bytes.size(), " bytes");
  }
  return {reinterpret_cast<const WaitingKey*>(body.bytes.data()),
          body.bytes.size() / sizeof(WaitingKey)};
}

}  // namespace trireme::ps
