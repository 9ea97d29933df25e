// An entry of a slot's log, or a piece of a shard: any bytes are one that fits the job, or an
// Error.
#include <cstdlib>

#include "ps/server/entry_check.h"
#include "ps/server/row_batch.h"
#include "tests/fuzz/data/fuzz.h"
#include "tests/fuzz/ps/ps.h"
#include "tests/fuzz/ps/setup.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace trireme::ps;
  static const JobSetup setup(trireme::fuzz::serialized_setup());
  if (size < 1) return 0;
  const auto source = static_cast<EntrySource>(data[0] % 3);
  const JobSetup* const known = (data[0] & 4) != 0 ? &setup : nullptr;
  const Message message = trireme::fuzz::aligned_message(data + 1, size - 1);
  try {
    const ReceivedEntry entry = parse_entry(message, message.bytes);
    check_entry(entry, known, source);
    if (entry.header.shard < -1 || entry.header.shard >= kVirtualShards) std::abort();
    if (entry.header.kind == EntryKind::kRows || entry.header.kind == EntryKind::kShardRows) {
      const TableSpec& spec = setup.tables.at(static_cast<size_t>(entry.header.table));
      for_each_row(entry.body, spec, [&](const RowView& row) {
        if (row.key < 0 || (spec.is_dense() && row.key >= spec.rows)) std::abort();
      });
    }
  } catch (const trireme::Error& error) {
    if (error.code() == trireme::ErrorCode::kInternal) std::abort();
  }
  return 0;
}
