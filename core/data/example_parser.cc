#include "core/data/example_parser.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>

#include "core/base/error.h"
#include "core/data/feature_lists.h"
#include "core/data/node.h"
#include "core/data/threaded_examples.h"

namespace trireme::data {
namespace {

// Of the length and the first and last bytes: names of one record differ there as a rule, and where
// they do not, the comparison decides.
uint32_t hash_of(std::string_view name, bool is_sequence) {
  uint64_t head = 0, tail = 0;
  if (name.size() >= 8) {
    std::memcpy(&head, name.data(), 8);
    std::memcpy(&tail, name.data() + name.size() - 8, 8);
  } else {
    std::memcpy(&head, name.data(), name.size());
  }
  uint64_t hash = (head ^ std::rotl(tail, 29) ^ (name.size() * 2 + (is_sequence ? 1 : 0))) *
                  0x9e3779b97f4a7c15u;
  return static_cast<uint32_t>(hash >> 32);
}

// Space for the values of one record.
class ValueSpace {
 public:
  explicit ValueSpace(size_t count) {
    if (count > small_.size()) large_.resize(count);
    values_ = std::span(count > small_.size() ? large_.data() : small_.data(), count);
  }
  std::span<FeatureValue> values() const { return values_; }

 private:
  std::array<FeatureValue, 48> small_;
  std::vector<FeatureValue> large_;
  std::span<FeatureValue> values_;
};

[[noreturn]] void throw_in_feature(const Error& error, const std::string& name) {
  throw error.with_context(str_cat("feature \"", name, "\""));
}

}  // namespace

ExampleParser::ExampleParser(std::vector<std::shared_ptr<const Feature>> features)
    : features_(std::move(features)), slots_(std::bit_ceil(2 * features_.size() + 1)) {
  if (features_.empty()) throw invalid_argument("expected at least one feature, found none");
  for (size_t i = 0; i < features_.size(); ++i) {
    const Feature& feature = *features_[i];
    if (feature.name.empty()) {
      throw invalid_argument("feature ", i + 1, ": expected a name, found none");
    }
    for (const ComponentSpec& component : spec_) {
      if (component.name == feature.name) {
        throw invalid_argument("two features have the name \"", feature.name, "\"");
      }
    }
    const TensorType type = feature.type();
    spec_.push_back({feature.name, type.dtype, type.shape});
    const uint32_t hash = hash_of(feature.name, feature.is_sequence());
    size_t at = hash & (slots_.size() - 1);
    while (slots_[at].feature != UINT32_MAX) at = (at + 1) & (slots_.size() - 1);
    slots_[at] = {static_cast<uint32_t>(i), hash};
  }
}

bool ExampleParser::is_slow() const {
  return std::ranges::any_of(features_, [](const auto& feature) { return feature->is_slow(); });
}

uint32_t ExampleParser::find(std::string_view name, bool is_sequence) const {
  const uint32_t hash = hash_of(name, is_sequence);
  for (size_t at = hash & (slots_.size() - 1);; at = (at + 1) & (slots_.size() - 1)) {
    const Slot& slot = slots_[at];
    if (slot.feature == UINT32_MAX) return UINT32_MAX;
    const Feature& feature = *features_[slot.feature];
    if (slot.hash == hash && feature.name == name && feature.is_sequence() == is_sequence) {
      return slot.feature;
    }
  }
}

namespace {

// The length that `at` begins with, which must reach exactly to `end`: as the last field of a
// message has it. Lengths of more than two bytes are left to the slower way.
bool take_last(const char*& at, const char* end, uint8_t tag) {
  if (end - at < 2 || static_cast<uint8_t>(*at) != tag) return false;
  size_t length = static_cast<uint8_t>(at[1]);
  at += 2;
  if (length >= 0x80) {
    if (at == end || static_cast<uint8_t>(*at) >= 0x80) return false;
    length = (length & 0x7f) | static_cast<size_t>(static_cast<uint8_t>(*at)) << 7;
    ++at;
  }
  return length == static_cast<size_t>(end - at);
}

// An entry as all writers of today make it: the key, and behind it one list and nothing more.
// False: it has another form, or is damaged.
bool take_usual_entry(std::string_view entry, std::string_view& key, FeatureValue& value) {
  const char* at = entry.data();
  const char* const end = at + entry.size();
  if (entry.size() < 2 || *at != 0x0a) return false;
  const size_t length = static_cast<uint8_t>(at[1]);
  if (length >= 0x80 || length > static_cast<size_t>(end - at) - 2) return false;
  key = {at + 2, length};
  at += 2 + length;
  if (!take_last(at, end, 0x12) || at == end) return false;
  const auto tag = static_cast<uint8_t>(*at);
  if (tag != 0x0a && tag != 0x12 && tag != 0x1a) return false;
  if (!take_last(at, end, tag)) return false;
  value = {static_cast<ListKind>(tag >> 3), {at, static_cast<size_t>(end - at)}};
  return true;
}

}  // namespace

// A key and what belongs to it, in either order.
void ExampleParser::note_map_entry(std::string_view entry, bool is_sequence,
                                   std::span<FeatureValue> values) const {
  std::string_view key, value;
  FeatureValue usual;
  if (!is_sequence && take_usual_entry(entry, key, usual)) {
    const uint32_t feature = find(key, false);
    if (feature < values.size()) values[feature] = usual;
    return;
  }
  key = {};
  for (WireReader fields(entry); fields.next();) {
    if (!fields.is_bytes()) continue;
    if (fields.number() == 1) key = fields.bytes();
    if (fields.number() == 2) value = fields.bytes();
  }
  const uint32_t feature = find(key, is_sequence);
  if (feature >= values.size()) return;
  if (is_sequence) {
    values[feature] = {ListKind::kBytes, value};
    return;
  }
  try {
    values[feature] = feature_value(value);
  } catch (const Error& error) {
    throw_in_feature(error, features_[feature]->name);
  }
}

void ExampleParser::find_values(std::string_view record, std::span<FeatureValue> values) const {
  for (WireReader fields(record); fields.next();) {
    // Example.features or SequenceExample.context, and SequenceExample.feature_lists.
    if (fields.number() > 2 || !fields.is_bytes()) continue;
    const bool is_sequence = fields.number() == 2;
    for (WireReader entries(fields.bytes()); entries.next();) {
      if (entries.number() == 1 && entries.is_bytes()) {
        note_map_entry(entries.bytes(), is_sequence, values);
      }
    }
  }
}

void ExampleParser::parse(std::string_view record, std::span<const RowView> out) const {
  const ValueSpace space(out.size());
  const std::span<FeatureValue> values = space.values();
  find_values(record, values);
  for (size_t i = 0; i < out.size(); ++i) {
    try {
      features_[i]->read(values[i], out[i]);
    } catch (const Error& error) {
      throw_in_feature(error, features_[i]->name);
    }
  }
}

void ExampleParser::parse(std::string_view record, Element& out) const {
  const ValueSpace space(features_.size());
  const std::span<FeatureValue> values = space.values();
  find_values(record, values);
  out.resize(features_.size());
  for (size_t i = 0; i < out.size(); ++i) {
    try {
      features_[i]->read(values[i], out[i]);
    } catch (const Error& error) {
      throw_in_feature(error, features_[i]->name);
    }
  }
}

namespace {

class RecordExamples final : public ThreadedExamples {
 public:
  RecordExamples(std::shared_ptr<const RecordSet> records,
                 std::shared_ptr<const ExampleParser> parser, int threads)
      : records_(std::move(records)), parser_(std::move(parser)), threads_(threads) {}
  ElementSpec spec() const override { return parser_->spec(); }
  int threads() const override { return threads_; }
  int64_t size() const override { return records_->size(); }
  void read(int64_t index, std::span<const RowView> out) const override { parse(index, out); }

  // `out`: as ExampleParser::parse() has it.
  template <typename Out>
  void parse(int64_t index, Out&& out) const {
    thread_local RecordBuffer buffer;
    const std::string_view record = records_->read(index, buffer);
    try {
      parser_->parse(record, out);
    } catch (const Error& error) {
      throw error.with_context(records_->place(index));
    }
  }

 private:
  std::shared_ptr<const RecordSet> records_;
  std::shared_ptr<const ExampleParser> parser_;
  int threads_;
};

}  // namespace

Dataset from_examples(std::shared_ptr<const RecordSet> records,
                      std::shared_ptr<const ExampleParser> parser, int threads) {
  auto examples = std::make_shared<RecordExamples>(std::move(records), std::move(parser), threads);
  ElementSpec spec = examples->spec();
  if (has_known_shapes(spec)) return from_examples(std::move(examples));
  const int64_t size = examples->size();
  return from_function(std::move(spec), size,
                       [examples](int64_t index, Element& out) { examples->parse(index, out); });
}

Dataset tfrecord_examples(const std::vector<std::string>& paths,
                          std::vector<std::shared_ptr<const Feature>> features,
                          RecordOptions options, int threads) {
  return from_examples(std::make_shared<const RecordSet>(paths, options),
                       std::make_shared<const ExampleParser>(std::move(features)), threads);
}

}  // namespace trireme::data
