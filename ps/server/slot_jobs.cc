#include "ps/server/slot_jobs.h"

#include <algorithm>
#include <cstring>

namespace trireme::ps {
namespace {

// A thread's room for rows that cannot be used where they are.
std::span<float> scratch(size_t elements) {
  static thread_local std::vector<float> room;
  if (room.size() < elements) room.resize(elements);
  return std::span(room).first(elements);
}

size_t padded(size_t bytes) { return (bytes + 7) / 8 * 8; }

PushContext context_of(const RequestHeader& header) {
  return {.step = header.step, .learning_rate = header.learning_rate};
}

class PullJob final : public ShardJob {
 public:
  PullJob(SlotShards& slot, std::shared_ptr<const JobSetup> setup, std::unique_ptr<Pull> pull,
          const AnswerHeader& header, BufferPool& buffers, size_t bytes)
      : ShardJob(slot, pull->shards, 0, bytes),
        setup_(std::move(setup)),
        pull_(std::move(pull)),
        buffer_(buffers.take(bytes)),
        bytes_(bytes) {
    AnswerHeader head = header;
    head.section_count = static_cast<uint32_t>(pull_->lists.size());
    std::memcpy(buffer_.get(), &head, sizeof(head));
    size_t at = sizeof(head);
    for (const auto& list : pull_->lists) {
      places_.push_back(at);
      const size_t size =
          list->keys.size() * row_bytes(pull_->header.row_type, setup_->dim(list->table));
      std::memset(buffer_.get() + at + size, 0, padded(size) - size);
      at += padded(size);
    }
  }

 private:
  void apply(Shard& shard, int number) override {
    const RowType type = pull_->header.row_type;
    int64_t rows = 0;
    for (size_t i = 0; i < pull_->lists.size(); ++i) {
      const ResolvedList& list = *pull_->lists[i];
      const ResolvedList::Range* const range = list.range_of(number);
      if (range == nullptr) continue;
      const int64_t dim = setup_->dim(list.table);
      std::byte* const out =
          buffer_.get() + places_[i] + static_cast<size_t>(range->begin) * row_bytes(type, dim);
      if (type == RowType::kFloat32) {
        read(shard, list, *range, reinterpret_cast<float*>(out));
      } else {
        const auto room = scratch(range->count() * static_cast<size_t>(dim));
        read(shard, list, *range, room.data());
        encode_rows(type, dim, room, out);
      }
      rows += static_cast<int64_t>(range->count());
    }
    slot_.load(number).rows_pulled.fetch_add(rows, std::memory_order_relaxed);
  }

  void read(const Shard& shard, const ResolvedList& list, const ResolvedList::Range& range,
            float* rows) const {
    const auto table = static_cast<size_t>(list.table);
    if (pull_->header.snapshot == 0) {
      shard.tables[table]->pull(list.keys_of(range), rows, &range.resolution);
    } else {
      // It was open when the pull was let in, and closing it comes behind in the queue.
      shard.snapshots[table]->pull(list.keys_of(range), rows);
    }
  }

  void finish() override {
    OutMessage answer;
    answer.pieces.push_back({buffer_, {buffer_.get(), bytes_}});
    pull_->responder->answer(std::move(answer));
  }

  const std::shared_ptr<const JobSetup> setup_;
  const std::unique_ptr<Pull> pull_;
  const std::shared_ptr<std::byte> buffer_;
  const size_t bytes_;
  std::vector<size_t> places_;  // of each section in the buffer
};

// Applies one section's rows of a shard as they came.
void apply_section(Shard& shard, const JobSetup& setup, const RequestHeader& header,
                   const Push::Section& section, const ResolvedList::Range& range) {
  const int64_t dim = setup.dim(section.list->table);
  const auto bytes = section.rows_of(range, header.row_type, dim);
  const float* rows = reinterpret_cast<const float*>(bytes.data());
  if (header.row_type != RowType::kFloat32) {
    const auto room = scratch(range.count() * static_cast<size_t>(dim));
    decode_rows(header.row_type, dim, bytes, room.data());
    rows = room.data();
  }
  shard.tables[static_cast<size_t>(section.list->table)]->push(
      section.list->keys_of(range), rows, context_of(header), &range.resolution);
}

bool is_sync(const JobSetup& setup, const Push::Section& section) {
  return setup.mode(section.list->table) == Mode::kSync;
}

class PushJob final : public ShardJob {
 public:
  PushJob(SlotShards& slot, std::shared_ptr<const JobSetup> setup, std::shared_ptr<const Push> push,
          ShardSet shards, int64_t index, std::function<void()> finish)
      : ShardJob(slot, shards, index, push->message.bytes.size()),
        setup_(std::move(setup)),
        push_(std::move(push)),
        finish_(std::move(finish)) {}

 private:
  void apply(Shard& shard, int number) override {
    int64_t rows = 0;
    for (const Push::Section& section : push_->sections) {
      if (is_sync(*setup_, section)) continue;
      const ResolvedList::Range* const range = section.list->range_of(number);
      if (range == nullptr) continue;
      apply_section(shard, *setup_, push_->header, section, *range);
      account(shard, section.list->table);
      rows += static_cast<int64_t>(range->count());
    }
    slot_.load(number).rows_pushed.fetch_add(rows, std::memory_order_relaxed);
  }
  void finish() override {
    if (finish_) finish_();
  }

  const std::shared_ptr<const JobSetup> setup_;
  const std::shared_ptr<const Push> push_;
  const std::function<void()> finish_;
};

// One contribution's rows of one table and shard.
struct Stream {
  const RequestHeader* header = nullptr;
  const Push::Section* section = nullptr;
  const ResolvedList::Range* range = nullptr;
  std::span<const int64_t> keys;
  const float* rows = nullptr;
};

class MergeJob final : public ShardJob {
 public:
  MergeJob(SlotShards& slot, std::shared_ptr<const JobSetup> setup,
           std::vector<Contribution> contributions, ShardSet shards, int64_t index, size_t cost,
           std::function<void()> finish)
      : ShardJob(slot, shards, index, cost),
        setup_(std::move(setup)),
        contributions_(std::move(contributions)),
        finish_(std::move(finish)) {}

 private:
  void apply(Shard& shard, int number) override {
    std::vector<Stream> streams;  // by table, then by rank
    int64_t rows = 0;
    for (const auto& [push, shards] : contributions_) {
      if (!shards[static_cast<size_t>(number)]) continue;
      for (const Push::Section& section : push->sections) {
        if (!is_sync(*setup_, section)) continue;
        const ResolvedList::Range* const range = section.list->range_of(number);
        if (range == nullptr) continue;
        streams.push_back({&push->header, &section, range, section.list->keys_of(*range)});
        rows += static_cast<int64_t>(range->count());
      }
    }
    std::ranges::stable_sort(streams, {}, [](const Stream& s) { return s.section->list->table; });
    for (size_t begin = 0; begin < streams.size();) {
      size_t end = begin + 1;
      const int table = streams[begin].section->list->table;
      while (end < streams.size() && streams[end].section->list->table == table) ++end;
      apply_table(shard, std::span(streams).subspan(begin, end - begin));
      account(shard, table);
      begin = end;
    }
    slot_.load(number).rows_pushed.fetch_add(rows, std::memory_order_relaxed);
  }

  void apply_table(Shard& shard, std::span<Stream> streams) const {
    if (streams.size() == 1) {
      const Stream& only = streams.front();
      return apply_section(shard, *setup_, *only.header, *only.section, *only.range);
    }
    const int table = streams.front().section->list->table;
    const auto dim = static_cast<size_t>(setup_->dim(table));
    size_t most = 0, encoded = 0;
    bool same = true;
    for (const Stream& s : streams) {
      most += s.keys.size();
      if (s.header->row_type != RowType::kFloat32) encoded += s.keys.size();
      same = same && s.section->list == streams.front().section->list;
    }
    if (same) most = streams.front().keys.size();
    const auto room = scratch((most + encoded) * dim);
    float* decoded = room.data() + most * dim;
    for (Stream& s : streams) {
      const auto bytes =
          s.section->rows_of(*s.range, s.header->row_type, static_cast<int64_t>(dim));
      s.rows = reinterpret_cast<const float*>(bytes.data());
      if (s.header->row_type == RowType::kFloat32) continue;
      decode_rows(s.header->row_type, static_cast<int64_t>(dim), bytes, decoded);
      s.rows = decoded;
      decoded += s.keys.size() * dim;
    }
    TableShard& rows = *shard.tables[static_cast<size_t>(table)];
    const PushContext context = context_of(*streams.front().header);
    if (same) {
      add_all(streams, most * dim, room.data());
      rows.push(streams.front().keys, room.data(), context, &streams.front().range->resolution);
    } else {
      static thread_local std::vector<int64_t> keys;
      merge(streams, dim, keys, room.data());
      rows.push(keys, room.data(), context);
    }
  }

  static void add_all(std::span<const Stream> streams, size_t elements, float* sums) {
    std::memcpy(sums, streams.front().rows, elements * sizeof(float));
    for (const Stream& s : streams.subspan(1)) {
      for (size_t i = 0; i < elements; ++i) sums[i] += s.rows[i];
    }
  }

  // Keys of each stream are sorted; rows of equal keys are added in the order of the streams.
  static void merge(std::span<Stream> streams, size_t dim, std::vector<int64_t>& keys,
                    float* sums) {
    keys.clear();
    for (;;) {
      const Stream* least = nullptr;
      for (const Stream& s : streams) {
        if (!s.keys.empty() && (least == nullptr || s.keys.front() < least->keys.front())) {
          least = &s;
        }
      }
      if (least == nullptr) return;
      const int64_t key = least->keys.front();
      float* const sum = sums + keys.size() * dim;
      keys.push_back(key);
      bool first = true;
      for (Stream& s : streams) {
        if (s.keys.empty() || s.keys.front() != key) continue;
        if (first) {
          std::memcpy(sum, s.rows, dim * sizeof(float));
          first = false;
        } else {
          for (size_t i = 0; i < dim; ++i) sum[i] += s.rows[i];
        }
        s.keys = s.keys.subspan(1);
        s.rows += dim;
      }
    }
  }

  void finish() override {
    if (finish_) finish_();
  }

  const std::shared_ptr<const JobSetup> setup_;
  const std::vector<Contribution> contributions_;
  const std::function<void()> finish_;
};

}  // namespace

std::shared_ptr<ShardJob> pull_job(SlotShards& slot, std::shared_ptr<const JobSetup> setup,
                                   std::unique_ptr<Pull> pull, const AnswerHeader& header,
                                   BufferPool& buffers) {
  size_t bytes = sizeof(header);
  for (const auto& list : pull->lists) {
    bytes += padded(list->keys.size() * row_bytes(pull->header.row_type, setup->dim(list->table)));
  }
  return std::make_shared<PullJob>(slot, std::move(setup), std::move(pull), header, buffers, bytes);
}

std::shared_ptr<ShardJob> push_job(SlotShards& slot, std::shared_ptr<const JobSetup> setup,
                                   std::shared_ptr<const Push> push, ShardSet shards, int64_t index,
                                   std::function<void()> finish) {
  ShardSet touched;
  for (const Push::Section& section : push->sections) {
    if (!is_sync(*setup, section)) touched |= section.list->shards;
  }
  touched &= shards;
  if (touched.none()) return nullptr;
  return std::make_shared<PushJob>(slot, std::move(setup), std::move(push), touched, index,
                                   std::move(finish));
}

std::shared_ptr<ShardJob> merge_job(SlotShards& slot, std::shared_ptr<const JobSetup> setup,
                                    std::vector<Contribution> contributions, int64_t index,
                                    std::function<void()> finish) {
  ShardSet shards;
  size_t cost = 0;
  for (const auto& [push, counts] : contributions) {
    for (const Push::Section& section : push->sections) {
      if (is_sync(*setup, section)) shards |= section.list->shards & counts;
    }
    cost += push->message.bytes.size();
  }
  return std::make_shared<MergeJob>(slot, std::move(setup), std::move(contributions), shards, index,
                                    cost, std::move(finish));
}

std::shared_ptr<ShardJob> growth_job(SlotShards& slot, std::shared_ptr<const Push> push,
                                     std::function<void(int64_t)> finish) {
  ShardSet shards;
  for (const Push::Section& section : push->sections) shards |= section.list->shards;
  auto sum = std::make_shared<std::atomic<int64_t>>(0);
  return make_job(
      slot, shards, kReads,
      [push, sum](Shard& shard, int number) {
        for (const Push::Section& section : push->sections) {
          const ResolvedList::Range* const range = section.list->range_of(number);
          if (range == nullptr) continue;
          const TableShard& table = *shard.tables[static_cast<size_t>(section.list->table)];
          sum->fetch_add(table.growth(section.list->keys_of(*range), &range->resolution),
                         std::memory_order_relaxed);
        }
      },
      [sum, finish = std::move(finish)] { finish(sum->load()); });
}

}  // namespace trireme::ps
