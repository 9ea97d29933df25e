// What the entries of a slot's log do, on the primary and on the backup.
#include <algorithm>
#include <cstring>

#include "proto/ps.pb.h"
#include "ps/server/row_batch.h"
#include "ps/server/slot.h"

namespace trireme::ps {
namespace {

void make_tables(Shard& shard, int number, const JobSetup& setup) {
  for (const TableSpec& spec : setup.tables) {
    shard.tables.push_back(std::make_unique<TableShard>(spec, number, setup.shards.shards()));
  }
}

void clear_tables(Shard& shard, int) {
  for (const auto& table : shard.tables) table->clear();
}

}  // namespace

void Slot::add(std::shared_ptr<ShardJob> job, const std::shared_ptr<Ack>& ack, Dispatch& dispatch) {
  if (ack != nullptr) ack->expect();
  dispatch.add(std::move(job));
}

void Slot::advance_gate(int64_t index, const std::shared_ptr<Ack>& ack, Dispatch& dispatch) {
  gate_.advance(ledger_, members_.frozen(), [&](std::vector<Contribution> contributions) {
    add(merge_job(shards_, setup_, std::move(contributions), index, arrival(ack)), ack, dispatch);
  });
}

void Slot::enter_push(std::shared_ptr<Push> push, int64_t index, const std::shared_ptr<Ack>& ack,
                      Dispatch& dispatch) {
  const RequestHeader& header = push->header;
  const ShardSet shards = ledger_.lacking(header, shards_of(header));
  ledger_.record(header, shards);
  newest_step_ = std::max(newest_step_, header.step);
  trained_ = true;
  if (setup_->any_sync) {
    const bool held = gate_.hold(push, shards);
    const bool has_sync = std::ranges::any_of(push->sections, [&](const Push::Section& section) {
      return setup_->mode(section.list->table) == Mode::kSync;
    });
    // What has no rows is not missed by anybody.
    if (!held && has_sync) ledger_.mark_dropped(header);
    advance_gate(index, ack, dispatch);
  }
  if (auto job = push_job(shards_, setup_, std::move(push), shards, index, arrival(ack))) {
    add(std::move(job), ack, dispatch);
  }
}

void Slot::do_setup(std::shared_ptr<const JobSetup> setup, Dispatch& dispatch) {
  setup_ = std::move(setup);
  ledger_ = WorkerLedger(setup_->workers, members_.owned());
  // Without backup workers every step waits for worker 0.
  std::function<bool(int64_t)> is_saved;
  if (setup_->backup_workers > 0) {
    is_saved = [setup = setup_](int64_t step) { return setup->is_saved(step); };
  }
  gate_ = Gate(setup_->required(), members_.owned(), std::move(is_saved));
  // Not an entry's work: rows that a catching-up backup gets need the tables at once. Of all
  // shards: any of them may come.
  dispatch.add(
      make_job(shards_, all_shards(shard_count()), 0, [setup = setup_](Shard& shard, int number) {
        if (shard.tables.empty()) make_tables(shard, number, *setup);
      }));
}

void Slot::do_entry(const LogEntry& entry, const std::shared_ptr<Ack>& ack, Dispatch& dispatch) {
  const EntryHeader& header = entry.header;
  const auto job = [&](ShardSet shards, std::function<void(Shard&, int)> apply) {
    add(make_job(shards_, shards, header.index, std::move(apply), arrival(ack)), ack, dispatch);
  };
  switch (header.kind) {
    case EntryKind::kSetup:
      return do_setup(std::make_shared<const JobSetup>(body_text(entry.body), options_.ops),
                      dispatch);
    case EntryKind::kEvict:
      return job(members_.owned() - members_.frozen(),
                 [evict = step_of(entry.body)](Shard& shard, int) {
                   for (const auto& table : shard.tables) table->evict(evict.step, evict.flag != 0);
                 });
    case EntryKind::kClock: {
      const Step clock = step_of(entry.body);
      ledger_.raise(static_cast<int>(clock.worker), clock.step);
      return advance_gate(header.index, ack, dispatch);
    }
    case EntryKind::kClear: {
      const Step clear = step_of(entry.body);
      ledger_.restart(clear.step);
      gate_.restart(clear.step);
      newest_step_ = clear.step;
      trained_ = false;
      if (clear.flag != 0) return;
      return job(members_.owned(), clear_tables);
    }
    case EntryKind::kFreeze:
      members_.freeze(header.shard);
      return;
    case EntryKind::kThaw:
      members_.thaw(header.shard);
      return advance_gate(header.index, ack, dispatch);
    case EntryKind::kLeave:
    case EntryKind::kStage:
      job(only(header.shard), clear_tables);
      return do_leave(header.shard, header.index, ack, dispatch);
    case EntryKind::kArrive:
      return do_arrive(entry, ack, dispatch);
    case EntryKind::kRows:
      return job(only(header.shard),
                 [body = entry.body, table = static_cast<size_t>(header.table)](Shard& shard, int) {
                   TableShard& rows = *shard.tables.at(table);
                   for_each_row(body, rows.spec(), [&](const RowView& row) { rows.assign(row); });
                 });
    case EntryKind::kWaiting:
      return job(only(header.shard),
                 [body = entry.body, table = static_cast<size_t>(header.table)](Shard& shard, int) {
                   TableShard& rows = *shard.tables.at(table);
                   for (const WaitingKey& key : waiting_keys_of(body)) rows.assign_waiting(key);
                 });
    case EntryKind::kAssign:
      return do_assign(entry, ack, dispatch);
    default:
      throw invalid_argument("an entry of a log: kind ", static_cast<uint32_t>(header.kind),
                             " is not known; use the same version of Trireme everywhere");
  }
}

void Slot::assign(std::string_view serialized_assign, Done done) {
  const auto setup = require_setup();
  LogEntry entry{.header = {.kind = EntryKind::kAssign}, .body = bytes_of(serialized_assign)};
  check_entry(entry.header, entry.body, setup.get(), EntrySource::kPrimary, options_.ops);
  proto::Assign assign;
  assign.ParseFromArray(serialized_assign.data(), static_cast<int>(serialized_assign.size()));
  ShardSet touched;
  for (const int64_t key : assign.keys()) {
    touched.set(static_cast<size_t>(setup->shards.shard_of(assign.table(), key)));
  }
  append(std::move(entry), std::move(done), touched);
}

void Slot::do_assign(const LogEntry& entry, const std::shared_ptr<Ack>& ack, Dispatch& dispatch) {
  const auto assign = std::make_shared<proto::Assign>();
  const std::string_view bytes = body_text(entry.body);
  assign->ParseFromArray(bytes.data(), static_cast<int>(bytes.size()));
  const auto places =
      std::make_shared<std::vector<std::vector<int>>>(static_cast<size_t>(setup_->shards.shards()));
  ShardSet shards;
  for (int i = 0; i < assign->keys_size(); ++i) {
    const int shard = setup_->shards.shard_of(assign->table(), assign->keys(i));
    shards.set(static_cast<size_t>(shard));
    (*places)[static_cast<size_t>(shard)].push_back(i);
  }
  const auto apply = [assign, places, step = newest_step_](Shard& shard, int number) {
    TableShard& table = *shard.tables.at(static_cast<size_t>(assign->table()));
    const auto dim = static_cast<size_t>(table.spec().dim);
    std::vector<float> row(dim);
    for (const int i : (*places)[static_cast<size_t>(number)]) {
      const char* const from = assign->rows().data() + static_cast<size_t>(i) * dim * sizeof(float);
      std::memcpy(row.data(), from, dim * sizeof(float));
      table.assign({.key = assign->keys(i), .version = step, .weight = row}, !assign->replace());
    }
  };
  add(make_job(shards_, shards, entry.header.index, apply, arrival(ack)), ack, dispatch);
}

}  // namespace trireme::ps
