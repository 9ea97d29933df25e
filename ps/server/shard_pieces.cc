#include "ps/server/shard_pieces.h"

#include <cstring>
#include <type_traits>

#include "ps/server/row_batch.h"

namespace trireme::ps {
namespace {

void append_bytes(std::vector<std::byte>& bytes, std::span<const std::byte> more) {
  const size_t at = bytes.size();
  bytes.resize(at + more.size());
  if (!more.empty()) std::memcpy(bytes.data() + at, more.data(), more.size());
}
template <typename Header>
requires std::is_trivially_copyable_v<Header>
void append(std::vector<std::byte>& bytes, const Header& header) {
  append_bytes(bytes, std::as_bytes(std::span(&header, 1)));
}

}  // namespace

void copy_rows(const Shard& shard, int number, EntryKind rows, EntryKind waiting,
               std::vector<LogEntry>& entries) {
  for (size_t table = 0; table < shard.tables.size(); ++table) {
    const TableShard& from = *shard.tables[table];
    const auto add = [&](EntryKind kind, Message body) {
      entries.push_back(
          {.header = {.kind = kind, .shard = number, .table = static_cast<int64_t>(table)},
           .body = std::move(body)});
    };
    RowBatch batch(from.spec());
    from.for_each([&](const RowView& row) {
      batch.add(row);
      if (batch.bytes() >= kBatchBytes) add(rows, batch.take());
    });
    if (!batch.empty()) add(rows, batch.take());
    std::vector<WaitingKey> keys;
    from.for_each_waiting([&](const WaitingKey& key) { keys.push_back(key); });
    if (!keys.empty()) add(waiting, bytes_of(keys));
  }
}

std::vector<std::byte> part_of_push(const Push& push, const ShardSet& shards,
                                    const JobSetup& setup) {
  std::vector<std::byte> sections;
  RequestHeader header = push.header;
  header.shards = pack_shards(shards, setup.shards.shards());
  header.section_count = 0;
  for (const Push::Section& section : push.sections) {
    const ResolvedList& list = *section.list;
    if (setup.mode(list.table) != Mode::kSync || !list.shards.intersects(shards)) continue;
    const int64_t dim = setup.dim(list.table);
    std::vector<int64_t> keys;
    std::vector<std::byte> rows;
    for (const ResolvedList::Range& range : list.ranges) {
      if (!shards[static_cast<size_t>(range.shard)]) continue;
      const auto some = list.keys_of(range);
      keys.insert(keys.end(), some.begin(), some.end());
      append_bytes(rows, section.rows_of(range, header.row_type, dim));
    }
    rows.resize((rows.size() + 7) / 8 * 8);
    append(sections, SectionHeader{.table = static_cast<uint32_t>(list.table),
                                   .has_keys = 1,
                                   .list_id = key_list_id(list.table, keys),
                                   .count = static_cast<int64_t>(keys.size()),
                                   .dim = dim});
    append_bytes(sections, std::as_bytes(std::span(keys)));
    append_bytes(sections, rows);
    ++header.section_count;
  }
  std::vector<std::byte> request;
  append(request, header);
  append_bytes(request, sections);
  return request;
}

}  // namespace trireme::ps
