// A request to a parameter server: any bytes are a request whose every key and row lies inside the
// message, or an Error that says what is wrong.
#include <cstdlib>

#include "ps/protocol/wire.h"
#include "tests/fuzz/data/fuzz.h"
#include "tests/fuzz/ps/ps.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace trireme::ps;
  static const std::vector<TableSpec> tables = {
      {.name = "a", .dim = 3},
      {.name = "b", .dim = 8, .rows = 100, .elements = 800},
      {.name = "c", .dim = 1, .rows = 3, .elements = 2},
  };
  static const ShardMap shards(tables);
  // The id of a list of keys is a hash that no fuzzer guesses: it is put right where there is a
  // single list, so that what comes behind is reached too.
  std::vector<uint8_t> bytes(data, data + size);
  const size_t at = sizeof(RequestHeader);
  SectionHeader section;
  if (size >= at + sizeof(section)) {
    std::memcpy(&section, bytes.data() + at, sizeof(section));
    const size_t room = (size - at - sizeof(section)) / sizeof(int64_t);
    if (section.count >= 0 && static_cast<uint64_t>(section.count) <= room) {
      std::vector<int64_t> keys(static_cast<size_t>(section.count));
      if (!keys.empty()) {
        std::memcpy(keys.data(), bytes.data() + at + sizeof(section), keys.size() * 8);
      }
      section.list_id = key_list_id(static_cast<int>(section.table), keys);
      std::memcpy(bytes.data() + at, &section, sizeof(section));
    }
  }
  const Message message = trireme::fuzz::aligned_message(bytes.data(), bytes.size());
  trireme::fuzz::only_user_errors([&] {
    const Request request = parse_request(message, tables, shards);
    int64_t sum = static_cast<int64_t>(request.body.size());
    for (const Section& part : request.sections) {
      const TableSpec& table = tables.at(part.header.table);
      for (const int64_t key : part.keys) {
        if (key < 0 || (table.is_dense() && key >= table.rows)) std::abort();
        sum ^= key;
      }
      if (part.header.has_keys == 1) {
        make_key_list(static_cast<int>(part.header.table), {part.keys.begin(), part.keys.end()},
                      shards);
      }
      if (request.header.kind != RequestKind::kPush) continue;
      std::vector<float> rows(static_cast<size_t>(part.header.count * table.dim));
      decode_rows(request.header.row_type, table.dim, part.rows, rows.data());
    }
    if (sum == 0x123456789) std::abort();  // so that all keys are read
  });
  return 0;
}
