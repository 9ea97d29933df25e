// What the bytes of a request and of its answer say: flat little-endian arrays, a header, then a
// section for each table with its keys and rows. Nothing is believed before it is checked.
//
//   request:  RequestHeader | SectionHeader, keys i64[count] or nothing, rows | SectionHeader …
//   answer:   AnswerHeader  | rows of section 0 | rows of section 1 | … ;  or an error's text
//   control:  RequestHeader | a ControlRequest;  AnswerHeader | a ControlAnswer: to the last byte
//
// Every part begins at a multiple of 8 bytes, and rows are padded to it, the last ones too. Keys of
// a section are unique and in the order (virtual shard, key). Rows are [count, dim] of the
// section's row type; int8 rows each begin with their f32 scale.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "ps/protocol/rpc.h"
#include "ps/table/shard_set.h"

namespace trireme::ps {

// Parts of a message are padded to so many bytes; buffers have an alignment of their own.
inline constexpr size_t kWireAlignment = 8;

inline constexpr uint32_t kWireMagic = 0x31535054;  // "TPS1"
inline constexpr uint32_t kWireVersion = 2;

// What a header may say at most, so that sums of it cannot overflow.
inline constexpr int64_t kMostSteps = int64_t{1} << 40;
inline constexpr int32_t kMostParts = 1 << 16;  // of a step
inline constexpr uint64_t kMostSequences = uint64_t{1} << 57;

enum class RequestKind : uint32_t {
  kPull = 1,     // rows for keys
  kPush = 2,     // gradients; applied once for each (worker, sequence)
  kControl = 3,  // a ControlRequest of proto/ps.proto follows the header
  kEntry = 4,    // an entry of a slot's log for its backup
  kMove = 5,     // a piece of a virtual shard that moves here, as an entry
};

enum class RowType : uint32_t { kFloat32 = 0, kBFloat16 = 1, kFloat16 = 2, kInt8 = 3 };
// Of one row of `dim` elements, padding to 8 at the end of all rows not counted.
size_t row_bytes(RowType type, int64_t dim);

struct RequestHeader {
  uint32_t magic = kWireMagic;
  uint32_t version = kWireVersion;
  RequestKind kind = RequestKind::kPull;
  int32_t slot = 0;  // the server slot it is for
  int64_t view = 0;  // the ServerView that the sender knows
  int32_t worker = 0;
  uint32_t section_count = 0;
  uint64_t incarnation = 0;  // of the worker
  uint64_t sequence = 0;     // kPush: from 1, by worker and slot
  int64_t step = 0;          // kPush: that it belongs to, from 1; kPull: that it is for
  int32_t part = 0;          // kPush: of `parts` pushes of this step
  int32_t parts = 1;
  float learning_rate = 0;
  RowType row_type = RowType::kFloat32;  // of all sections; kPull: wanted for the answer
  int64_t snapshot = 0;                  // kPull: id of an open snapshot; 0: the rows as they are
  // All parts of this worker's steps up to this one were acknowledged by all slots (kPull, kPush).
  // After a slot came back from an older snapshot it thus knows for which pushes not to wait.
  int64_t acknowledged_step = 0;
  // kPush: the virtual shards that this push is complete for, those without a row of it included,
  // as pack_shards() packs them. Each shard counts a push once; one that moves to another slot gets
  // its part there.
  uint64_t shards = kAllShards;
};
static_assert(sizeof(RequestHeader) == 96);

struct SectionHeader {
  uint32_t table = 0;
  uint32_t has_keys = 0;  // 0: the list with this id was sent before on behalf of this worker
  uint64_t list_id = 0;   // hash of table and keys
  int64_t count = 0;      // of keys
  int64_t dim = 0;        // what the sender thinks that the table has
};
static_assert(sizeof(SectionHeader) == 32);

enum class AnswerCode : uint32_t {
  kOk = 0,
  kError = 1,      // text follows; error_code says which
  kNeedKeys = 2,   // a list id is not known (any more): send again with keys
  kWrongView = 3,  // this server does not hold that slot, or a shard is not in it: see `view`
  kDropped = 4,    // sync with backup workers: this push came too late for its step; do not resend
};

struct AnswerHeader {
  uint32_t magic = kWireMagic;
  AnswerCode code = AnswerCode::kOk;
  uint32_t error_code = 0;  // ErrorCode
  uint32_t section_count = 0;
  int64_t view = 0;  // the server's
  int64_t step = 0;  // finished by all workers that count, as this slot knows
};
static_assert(sizeof(AnswerHeader) == 32);

// The keys of one table in one slot, in wire order, with where each virtual shard's begin.
struct KeyList {
  uint64_t id = 0;
  int table = 0;
  std::vector<int64_t> keys;
  struct Range {
    int shard = 0;
    int64_t begin = 0, end = 0;
  };
  std::vector<Range> ranges;  // of the shards that occur
};
// REQUIRES: `keys` in wire order.
std::shared_ptr<const KeyList> make_key_list(int table, std::vector<int64_t> keys,
                                             const ShardMap& shards);
uint64_t key_list_id(int table, std::span<const int64_t> keys);

// A section of a request as it came: borrowed from the message.
struct Section {
  SectionHeader header;
  std::span<const int64_t> keys;    // empty without has_keys
  std::span<const std::byte> rows;  // empty for kPull
};
struct Request {
  RequestHeader header;
  std::vector<Section> sections;
  std::span<const std::byte> body;  // kControl, kEntry, kMove
};

// The header alone, its fields checked. Throws as parse_request().
RequestHeader parse_header(const Message& message);

// Throws Error{kInvalidArgument} unless these are a list of keys of this table: in wire order, none
// that the table cannot have, with this id. For keys that travel outside of a section.
void check_key_list(int table, uint64_t list_id, std::span<const int64_t> keys,
                    const TableSpec& spec, const ShardMap& shards);

// Throws Error{kInvalidArgument} that says what was expected and found where: magic, version,
// lengths, counts, tables (against `tables`), dim, keys out of order or negative.
Request parse_request(const Message& message, std::span<const TableSpec> tables,
                      const ShardMap& shards);

struct Answer {
  AnswerHeader header;
  std::vector<std::span<const std::byte>> rows;  // of each section that was asked for
  std::span<const std::byte> body;  // without sections: what follows, such as a ControlAnswer
};
// `sections`: rows and dims that were asked for, in order. Throws Error{kDataLoss} for an answer
// that does not fit, and the Error that the answer carries.
struct ExpectedRows {
  int64_t count = 0, dim = 0;
};
Answer parse_answer(const Message& message, RowType row_type,
                    std::span<const ExpectedRows> sections);

OutMessage error_answer(const Error& error, int64_t view);
OutMessage plain_answer(AnswerCode code, int64_t view, int64_t step = 0);
// kOk, and bytes that the other side knows: a ControlAnswer.
OutMessage body_answer(std::string_view body, int64_t view, int64_t step = 0);

// Rows between f32 and what travels. `wire`: row_bytes(type, dim) each. An int8 row that holds an
// infinity or a NaN comes out as NaN everywhere: it must not look like numbers.
void encode_rows(RowType type, int64_t dim, std::span<const float> rows, std::byte* wire);
void decode_rows(RowType type, int64_t dim, std::span<const std::byte> wire, float* rows);
// The same, for what is sent again and again: `residual`, as long as rows, holds what rounding lost
// so far and is added first (error feedback).
void encode_rows(RowType type, int64_t dim, std::span<const float> rows, float* residual,
                 std::byte* wire);

}  // namespace trireme::ps
