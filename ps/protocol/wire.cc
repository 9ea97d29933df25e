#include "ps/protocol/wire.h"

#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <utility>

namespace trireme::ps {
namespace {

static_assert(std::endian::native == std::endian::little, "arrays are sent as they lie in memory");

constexpr size_t kMostErrorText = 4096;
// More than any memory holds, and small enough that no product of counts overflows.
constexpr int64_t kMostKeys = int64_t{1} << 40;

// Walks over a message; nothing is read that is not there.
class Cursor {
 public:
  Cursor(const char* what, std::span<const std::byte> bytes, ErrorCode code)
      : what_(what), bytes_(bytes), code_(code) {
    TRIREME_CHECK(reinterpret_cast<uintptr_t>(bytes.data()) % kWireAlignment == 0,
                  "a message must begin at a multiple of 8");
  }

  size_t at() const { return at_; }
  size_t left() const { return bytes_.size() - at_; }

  template <typename... Parts>
  [[noreturn]] void fail(size_t at, const Parts&... parts) const {
    throw Error(code_, str_cat(what_, " of ", bytes_.size(), " bytes, byte ", at, ": ", parts...));
  }

  template <typename Header>
  Header read(const char* name) {
    static_assert(sizeof(Header) % kWireAlignment == 0);
    if (left() < sizeof(Header)) {
      fail(at_, "expected ", sizeof(Header), " bytes of ", name, ", found ", left());
    }
    Header header;
    std::memcpy(&header, bytes_.data() + at_, sizeof(Header));
    at_ += sizeof(Header);
    return header;
  }

  // `count` things of `each` bytes, and the padding behind them.
  std::span<const std::byte> take(uint64_t count, size_t each, const char* name) {
    if (each > 0 && count > left() / each) {
      fail(at_, "expected ", count, " ", name, " of ", each, " bytes, found ", left(),
           " bytes: it is cut short, or the count is wrong");
    }
    const size_t size = static_cast<size_t>(count) * each;
    const size_t padded = (size + kWireAlignment - 1) / kWireAlignment * kWireAlignment;
    if (padded > left()) {
      fail(at_, "expected ", size, " bytes of ", name, " padded to ", padded, ", found ", left());
    }
    const auto part = bytes_.subspan(at_, size);
    at_ += padded;
    return part;
  }

  std::span<const std::byte> rest() {
    const auto part = bytes_.subspan(at_);
    at_ = bytes_.size();
    return part;
  }

  void expect_end() const {
    if (left() > 0) fail(at_, "expected the end, found ", left(), " bytes more");
  }

 private:
  const char* what_;
  std::span<const std::byte> bytes_;
  ErrorCode code_;
  size_t at_ = 0;
};

void check_header(const Cursor& cursor, const RequestHeader& header) {
  if (header.magic != kWireMagic) {
    cursor.fail(0, "expected the magic number 0x", std::hex, kWireMagic, ", found 0x", header.magic,
                ": this is no request of a worker");
  }
  if (header.version != kWireVersion) {
    cursor.fail(offsetof(RequestHeader, version), "expected version ", kWireVersion,
                " of the wire format, found ", header.version,
                "; use the same version of Trireme everywhere");
  }
  const auto kind = static_cast<uint32_t>(header.kind);
  if (kind < 1 || kind > 5) {
    cursor.fail(offsetof(RequestHeader, kind), "expected a kind of request from 1 to 5, found ",
                kind);
  }
  if (header.slot < 0) {
    cursor.fail(offsetof(RequestHeader, slot), "expected a slot from 0 on, found ", header.slot);
  }
  if (header.worker < 0) {
    cursor.fail(offsetof(RequestHeader, worker), "expected a worker from 0 on, found ",
                header.worker);
  }
  const auto row_type = static_cast<uint32_t>(header.row_type);
  if (row_type > 3) {
    cursor.fail(offsetof(RequestHeader, row_type), "expected a row type from 0 to 3, found ",
                row_type);
  }
  if (header.step < 0 || header.step > kMostSteps) {
    cursor.fail(offsetof(RequestHeader, step), "expected a step from 0 to ", kMostSteps, ", found ",
                header.step);
  }
  if (header.acknowledged_step < 0 || header.acknowledged_step > kMostSteps) {
    cursor.fail(offsetof(RequestHeader, acknowledged_step), "expected a step from 0 to ",
                kMostSteps, ", found ", header.acknowledged_step);
  }
  if (header.step > 0 && header.acknowledged_step > header.step) {
    cursor.fail(offsetof(RequestHeader, acknowledged_step), "expected a step up to ", header.step,
                ", which the request is for, found ", header.acknowledged_step);
  }
  if (header.kind != RequestKind::kPush) return;
  if (header.sequence == 0 || header.sequence > kMostSequences) {
    cursor.fail(offsetof(RequestHeader, sequence), "expected the sequence of a push, from 1 to ",
                kMostSequences, ", found ", header.sequence);
  }
  if (header.step == 0) {
    cursor.fail(offsetof(RequestHeader, step),
                "expected the step of a push, which is from 1 on, found 0");
  }
  if (header.parts < 1 || header.parts > kMostParts || header.part < 0 ||
      header.part >= header.parts) {
    cursor.fail(offsetof(RequestHeader, part), "expected a part from 0 on of 1 to ", kMostParts,
                ", found ", header.part, " of ", header.parts);
  }
  if (!std::isfinite(header.learning_rate)) {
    cursor.fail(offsetof(RequestHeader, learning_rate), "expected a learning rate, found ",
                header.learning_rate);
  }
}

void check_keys(const Cursor& cursor, size_t at, std::span<const int64_t> keys, int table,
                const TableSpec& spec, const ShardMap& shards) {
  const int64_t limit = spec.is_dense() ? spec.rows : std::numeric_limits<int64_t>::max();
  int last_shard = -1;
  int64_t last = -1;
  for (size_t i = 0; i < keys.size(); ++i) {
    const int64_t key = keys[i];
    if (key < 0 || key >= limit) {
      cursor.fail(at + i * sizeof(key), "table \"", spec.name, "\": expected a key from 0 ",
                  spec.is_dense() ? str_cat("to ", spec.rows - 1) : "on", ", found ", key);
    }
    const int shard = shards.shard_of(table, key);
    if (shard < last_shard || (shard == last_shard && key <= last)) {
      cursor.fail(at + i * sizeof(key), "table \"", spec.name,
                  "\": expected keys in order of "
                  "(virtual shard, key), none twice; found ",
                  key, " of shard ", shard, " behind ", last, " of shard ", last_shard);
    }
    last_shard = shard;
    last = key;
  }
}

Section parse_section(Cursor& cursor, const RequestHeader& request,
                      std::span<const TableSpec> tables, const ShardMap& shards) {
  const size_t at = cursor.at();
  Section section{.header = cursor.read<SectionHeader>("a section's header")};
  const SectionHeader& header = section.header;
  if (header.table >= tables.size()) {
    cursor.fail(at + offsetof(SectionHeader, table), "expected one of the ", tables.size(),
                " tables of the job, counted from 0, found table ", header.table);
  }
  const TableSpec& spec = tables[header.table];
  if (header.has_keys > 1) {
    cursor.fail(at + offsetof(SectionHeader, has_keys), "expected 0 or 1 for has_keys, found ",
                header.has_keys);
  }
  if (header.count < 0 || header.count > kMostKeys) {
    cursor.fail(at + offsetof(SectionHeader, count), "table \"", spec.name,
                "\": expected a count of keys from 0 on, found ", header.count);
  }
  if (header.dim != spec.dim) {
    cursor.fail(at + offsetof(SectionHeader, dim), "table \"", spec.name,
                "\": expected rows of dimension ", spec.dim, ", found ", header.dim);
  }
  const auto count = static_cast<uint64_t>(header.count);
  const auto table = static_cast<int>(header.table);
  if (header.has_keys == 1) {
    const size_t begin = cursor.at();
    const auto bytes = cursor.take(count, sizeof(int64_t), "keys");
    section.keys = {reinterpret_cast<const int64_t*>(bytes.data()), static_cast<size_t>(count)};
    check_keys(cursor, begin, section.keys, table, spec, shards);
    const uint64_t id = key_list_id(table, section.keys);
    if (header.list_id != id) {
      cursor.fail(at + offsetof(SectionHeader, list_id), "table \"", spec.name,
                  "\": expected the id of these keys, 0x", std::hex, id, ", found 0x",
                  header.list_id);
    }
  }
  if (request.kind == RequestKind::kPush) {
    section.rows = cursor.take(count, row_bytes(request.row_type, spec.dim), "rows");
  }
  return section;
}

// Text of a peer, fit for one line of a log.
std::string printable(std::span<const std::byte> bytes) {
  std::string text(reinterpret_cast<const char*>(bytes.data()),
                   std::min(bytes.size(), kMostErrorText));
  for (char& c : text) {
    if (static_cast<unsigned char>(c) < ' ' || c == 0x7f) c = '?';
  }
  return text;
}

template <typename Header>
std::vector<std::byte> bytes_of(const Header& header, size_t more = 0) {
  std::vector<std::byte> bytes(sizeof(header) + more);
  std::memcpy(bytes.data(), &header, sizeof(header));
  return bytes;
}

}  // namespace

size_t row_bytes(RowType type, int64_t dim) {
  const auto elements = static_cast<size_t>(dim);
  switch (type) {
    case RowType::kFloat32:
      return elements * sizeof(float);
    case RowType::kBFloat16:
    case RowType::kFloat16:
      return elements * 2;
    case RowType::kInt8:
      return sizeof(float) + elements;
  }
  TRIREME_CHECK(false, "row type ", static_cast<uint32_t>(type));
}

uint64_t key_list_id(int table, std::span<const int64_t> keys) {
  // Four chains, since one multiplication waits for the one before it in its chain. Every step is a
  // bijection of the chain's state, so that lists which differ in one key never meet there.
  constexpr uint64_t kOdd = 0x9e3779b97f4a7c15ull;
  // They begin far apart: small numbers, as keys are, must not take one chain to where another is.
  uint64_t chains[4] = {mix_bits(1), mix_bits(2), mix_bits(3), mix_bits(4)};
  const auto step = [](uint64_t& chain, uint64_t value) {
    chain = (chain ^ value) * kOdd;
    chain ^= chain >> 29;
  };
  size_t i = 0;
  for (; i + 4 <= keys.size(); i += 4) {
    for (size_t lane = 0; lane < 4; ++lane) {
      step(chains[lane], static_cast<uint64_t>(keys[i + lane]));
    }
  }
  for (; i < keys.size(); ++i) step(chains[i % 4], static_cast<uint64_t>(keys[i]));
  uint64_t id = mix_bits(mix_bits(static_cast<uint64_t>(table) + 1) + keys.size());
  for (const uint64_t chain : chains) id = mix_bits((id ^ chain) + kOdd);
  return id;
}

std::shared_ptr<const KeyList> make_key_list(int table, std::vector<int64_t> keys,
                                             const ShardMap& shards) {
  auto list = std::make_shared<KeyList>();
  list->id = key_list_id(table, keys);
  list->table = table;
  list->keys = std::move(keys);
  const auto count = static_cast<int64_t>(list->keys.size());
  for (int64_t i = 0; i < count; ++i) {
    const int shard = shards.shard_of(table, list->keys[static_cast<size_t>(i)]);
    if (list->ranges.empty() || list->ranges.back().shard != shard) {
      TRIREME_CHECK(list->ranges.empty() || list->ranges.back().shard < shard,
                    "keys are not in the order of their shards");
      list->ranges.push_back({.shard = shard, .begin = i, .end = i});
    }
    list->ranges.back().end = i + 1;
  }
  return list;
}

RequestHeader parse_header(const Message& message) {
  Cursor cursor("a request", message.bytes, ErrorCode::kInvalidArgument);
  const auto header = cursor.read<RequestHeader>("a request's header");
  check_header(cursor, header);
  return header;
}

void check_key_list(int table, uint64_t list_id, std::span<const int64_t> keys,
                    const TableSpec& spec, const ShardMap& shards) {
  const Cursor cursor("a list of keys", std::as_bytes(keys), ErrorCode::kInvalidArgument);
  check_keys(cursor, 0, keys, table, spec, shards);
  if (const uint64_t id = key_list_id(table, keys); id != list_id) {
    cursor.fail(0, "table \"", spec.name, "\": expected the id of these keys, 0x", std::hex, id,
                ", found 0x", list_id);
  }
}

Request parse_request(const Message& message, std::span<const TableSpec> tables,
                      const ShardMap& shards) {
  Cursor cursor("a request", message.bytes, ErrorCode::kInvalidArgument);
  Request request{.header = cursor.read<RequestHeader>("a request's header")};
  const RequestHeader& header = request.header;
  check_header(cursor, header);
  if (header.kind == RequestKind::kControl || header.kind == RequestKind::kEntry ||
      header.kind == RequestKind::kMove) {
    request.body = cursor.rest();
    return request;
  }
  if (header.section_count > cursor.left() / sizeof(SectionHeader)) {
    cursor.fail(offsetof(RequestHeader, section_count), "expected at most ",
                cursor.left() / sizeof(SectionHeader), " sections in the bytes that follow, found ",
                header.section_count);
  }
  request.sections.reserve(header.section_count);
  for (uint32_t i = 0; i < header.section_count; ++i) {
    request.sections.push_back(parse_section(cursor, header, tables, shards));
  }
  cursor.expect_end();
  return request;
}

Answer parse_answer(const Message& message, RowType row_type,
                    std::span<const ExpectedRows> sections) {
  Cursor cursor("an answer", message.bytes, ErrorCode::kDataLoss);
  Answer answer{.header = cursor.read<AnswerHeader>("an answer's header")};
  const AnswerHeader& header = answer.header;
  if (header.magic != kWireMagic) {
    cursor.fail(0, "expected the magic number 0x", std::hex, kWireMagic, ", found 0x", header.magic,
                ": this is no answer of a parameter server");
  }
  switch (header.code) {
    case AnswerCode::kError: {
      const auto last = static_cast<uint32_t>(ErrorCode::kInternal);
      throw Error(header.error_code <= last ? static_cast<ErrorCode>(header.error_code)
                                            : ErrorCode::kFailed,
                  printable(cursor.rest()));
    }
    case AnswerCode::kNeedKeys:
    case AnswerCode::kWrongView:
    case AnswerCode::kDropped:
      cursor.expect_end();
      return answer;
    case AnswerCode::kOk:
      break;
    default:
      cursor.fail(offsetof(AnswerHeader, code), "expected a code from 0 to 4, found ",
                  static_cast<uint32_t>(header.code));
  }
  if (header.section_count != sections.size()) {
    cursor.fail(offsetof(AnswerHeader, section_count), "expected ", sections.size(),
                " sections, as was asked for, found ", header.section_count);
  }
  if (sections.empty()) {
    answer.body = cursor.rest();
    return answer;
  }
  answer.rows.reserve(sections.size());
  for (const ExpectedRows& expected : sections) {
    TRIREME_CHECK(expected.count >= 0 && expected.count <= kMostKeys && expected.dim >= 0);
    answer.rows.push_back(cursor.take(static_cast<uint64_t>(expected.count),
                                      row_bytes(row_type, expected.dim), "rows"));
  }
  cursor.expect_end();
  return answer;
}

OutMessage error_answer(const Error& error, int64_t view) {
  const std::string_view text = std::string_view(error.what()).substr(0, kMostErrorText);
  AnswerHeader header{
      .code = AnswerCode::kError, .error_code = static_cast<uint32_t>(error.code()), .view = view};
  auto bytes = bytes_of(header, text.size());
  std::memcpy(bytes.data() + sizeof(header), text.data(), text.size());
  return {{own(std::move(bytes))}};
}

OutMessage plain_answer(AnswerCode code, int64_t view, int64_t step) {
  return {{own(bytes_of(AnswerHeader{.code = code, .view = view, .step = step}))}};
}

OutMessage body_answer(std::string_view body, int64_t view, int64_t step) {
  const AnswerHeader header{.view = view, .step = step};
  auto bytes = bytes_of(header, body.size());
  std::memcpy(bytes.data() + sizeof(header), body.data(), body.size());
  return {{own(std::move(bytes))}};
}

}  // namespace trireme::ps
