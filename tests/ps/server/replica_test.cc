// Two slots that are fed the same log are equal, from the beginning or from any moment on.
#include <gmock/gmock.h>

#include <deque>
#include <random>

#include "tests/ps/server/slot_rig.h"

namespace trireme::ps::testing {
namespace {

using ::testing::ElementsAre;

// Carries entries to a backup, as late as the test wants.
class Wire final : public LogSink {
 public:
  Wire(SlotRig& backup, int64_t attempt) : backup_(backup), attempt_(attempt) {}

  void send(LogEntry entry) override {
    MutexLock lock(mutex_);  // rows come from the shards' threads
    entry.header.epoch = 1;
    entry.header.attempt = attempt_;
    entry.header.position = ++position_;
    entries_.push_back(joined(entry_request(entry, 0, 1)));
  }
  // Delivers what was sent so far, each `times` times.
  void deliver(int times = 1) {
    for (;;) {
      Message message;
      {
        MutexLock lock(mutex_);
        if (entries_.empty()) return;
        message = std::move(entries_.front());
        entries_.pop_front();
      }
      for (int i = 0; i < times; ++i) {
        EXPECT_EQ(deliver(message), Slot::Receipt::kTaken);
      }
    }
  }
  Slot::Receipt deliver(const Message& message) {
    const Request request = parse_request(message, {}, ShardMap({}));
    return backup_->apply(parse_entry(message, request.body), [] {});
  }
  std::deque<Message>& entries() { return entries_; }

 private:
  SlotRig& backup_;
  const int64_t attempt_;
  int64_t position_ = 0;
  Mutex mutex_;
  std::deque<Message> entries_;
};

// All rows of all tables, with slots, versions and frequencies.
std::string dump(SlotRig& slot) {
  const auto cut = slot.open_cut();
  std::string text;
  for (const auto& shard : cut->tables) {
    for (const auto* table : shard) {
      table->for_each([&](const RowView& row) {
        text += str_cat(row.key, " v", row.version, " f", row.frequency, ":");
        for (const float w : row.weight) text += str_cat(" ", w);
        for (const float s : row.slots) text += str_cat(" ", s);
        text += "\n";
      });
      table->for_each_waiting([&](const WaitingKey& key) {
        text += str_cat(key.key, " waits ", key.version, " ", key.sightings, "\n");
      });
    }
  }
  text += cut->state;
  slot->close_cut(cut->id);
  return text;
}

TableSpec adam_table() {
  TableSpec spec{.name = "adam", .dim = 3};
  spec.update.op = "ApplyAdam";
  spec.update.attributes = {
      {"beta1", 0.9}, {"beta2", 0.999}, {"epsilon", 1e-7}, {"weight_decay", 0.0}};
  spec.update.slot_names = {"m", "v"};
  spec.update.slot_initials = {0, 0};
  spec.initializer = {.kind = RowInitializer::Kind::kUniform, .a = -1, .b = 1, .key = 5};
  spec.admission.after = 2;
  return spec;
}

Rows random_rows(std::mt19937& random, int dim) {
  Rows rows;
  for (int i = 0; i < 30; ++i) {
    std::vector<float> row;
    for (int d = 0; d < dim; ++d) row.push_back(static_cast<float>(random() % 1000) / 1000);
    rows[static_cast<int64_t>(random() % 300)] = row;
  }
  return rows;
}

void push_steps(SlotRig& slot, int from, int to, int workers) {
  std::mt19937 random(static_cast<unsigned>(from));
  for (int step = from; step <= to; ++step) {
    for (int worker = 0; worker < workers; ++worker) {
      EXPECT_EQ(slot.push(worker, step, random_rows(random, 3), 0, 1, 0, 0.1F).code(),
                AnswerCode::kOk);
    }
  }
}

void export_all(SlotRig& slot, Wire& wire) {
  for (int shard = 0; shard < kVirtualShards; ++shard) {
    std::promise<void> exported;
    slot->export_shard(shard, [&](std::vector<LogEntry> entries) {
      for (LogEntry& entry : entries) wire.send(std::move(entry));
      exported.set_value();
    });
    exported.get_future().get();
  }
}

class ReplicaTest : public ::testing::TestWithParam<proto::Setup::Consistency> {};
INSTANTIATE_TEST_SUITE_P(Modes, ReplicaTest,
                         ::testing::Values(proto::Setup::SYNC, proto::Setup::ASYNC));

TEST_P(ReplicaTest, IsEqualAfterTheSameLog) {
  SlotRig primary, backup(int64_t{1} << 40, 3);  // another number of threads
  Wire wire(backup, 1);
  primary->promote(1);
  primary->attach(wire);
  export_all(primary, wire);
  primary.set_up(setup_of({adam_table()}, 3, GetParam()));
  push_steps(primary, 1, 30, 3);
  primary.push(1, 31, {{5, {1, 1, 1}}});  // held back in a synchronous job
  wire.deliver();
  EXPECT_TRUE(backup->is_complete());
  backup->promote(2);
  EXPECT_EQ(dump(primary), dump(backup));
}

// A backup comes while workers push: what it gets of each shard is of another moment.
TEST_P(ReplicaTest, CatchesUpWhileWorkGoesOn) {
  SlotRig primary, backup;
  primary.set_up(setup_of({adam_table()}, 3, GetParam()));
  push_steps(primary, 1, 10, 3);
  primary.push(0, 11, {{7, {1, 2, 3}}});  // held back at the moment when it begins
  Wire wire(backup, 1);
  primary->attach(wire);
  std::mt19937 random(99);
  int step = 12;
  primary.push(1, 11, {{8, {1, 2, 3}}});
  primary.push(2, 11, {{7, {1, 2, 3}}});
  for (int shard = 0; shard < kVirtualShards; ++shard) {
    std::promise<void> exported;
    primary->export_shard(shard, [&](std::vector<LogEntry> entries) {
      for (LogEntry& entry : entries) wire.send(std::move(entry));
      exported.set_value();
    });
    if (shard % 8 == 0) {
      for (int worker = 0; worker < 3; ++worker) {
        primary.push(worker, step, random_rows(random, 3), 0, 1, 0, 0.1F);
      }
      ++step;
    }
    exported.get_future().get();
    if (shard % 3 == 0) wire.deliver(2);
  }
  push_steps(primary, step, step + 5, 3);
  wire.deliver(2);
  ASSERT_TRUE(backup->is_complete());
  backup->promote(2);
  EXPECT_EQ(dump(primary), dump(backup));
  // And it knows what was pushed.
  EXPECT_EQ(backup.push(0, 11, {{7, {1, 2, 3}}}).code(), AnswerCode::kOk);
  EXPECT_EQ(dump(primary), dump(backup));
}

TEST(Replica, NoticesThatAnEntryIsMissing) {
  SlotRig primary, backup;
  Wire wire(backup, 1);
  primary.set_up(setup_of({sum_table()}, 1, proto::Setup::ASYNC));
  primary->attach(wire);
  primary.push(0, 1, {{1, {1, 1}}});
  primary.push(0, 2, {{1, {1, 1}}});
  ASSERT_EQ(wire.entries().size(), 3U);
  const auto entries = wire.entries();
  EXPECT_EQ(wire.deliver(entries[1]), Slot::Receipt::kMissing);  // it was told nothing at all
  EXPECT_EQ(wire.deliver(entries[0]), Slot::Receipt::kTaken);
  EXPECT_EQ(wire.deliver(entries[2]), Slot::Receipt::kMissing);
  EXPECT_EQ(wire.deliver(entries[1]), Slot::Receipt::kTaken);
  EXPECT_EQ(wire.deliver(entries[1]), Slot::Receipt::kTaken);
  EXPECT_EQ(wire.deliver(entries[2]), Slot::Receipt::kTaken);
  EXPECT_EQ(backup->last_index(), primary->last_index());
  backup->promote(2);
  EXPECT_EQ(wire.deliver(entries[2]), Slot::Receipt::kOutdated);
}

TEST(Replica, AcknowledgesOnlyWhatTheBackupHas) {
  SlotRig primary, backup;
  Wire wire(backup, 1);
  primary.set_up(setup_of({sum_table()}, 1, proto::Setup::ASYNC));
  primary->attach(wire);
  EXPECT_EQ(primary.push(0, 1, {{1, {1, 1}}}).code(), AnswerCode::kOk);  // it is not in sync yet
  primary->wait_for_backup(&wire);
  const Reply second = primary.push(0, 2, {{1, {1, 1}}});
  const Reply again = primary.push(0, 2, {{1, {1, 1}}});  // known is not acknowledged
  const Reply third = primary.push(0, 3, {{1, {1, 1}}});
  EXPECT_THAT(primary.rows({1}).at(1), ElementsAre(3, 3));  // applied, and all work is done
  EXPECT_FALSE(second.is_there() || again.is_there() || third.is_there());
  primary->backup_has(3, &wire);  // setup, 1, 2
  EXPECT_EQ(second.code(), AnswerCode::kOk);
  EXPECT_FALSE(third.is_there());
  primary->detach();
  EXPECT_EQ(third.code(), AnswerCode::kOk);
  EXPECT_EQ(again.code(), AnswerCode::kOk);
}

TEST(Replica, TellsWhoWaitsThatItIsNotThePrimaryAnyMore) {
  SlotRig primary, backup;
  Wire wire(backup, 1);
  primary.set_up(setup_of({sum_table()}, 1, proto::Setup::SYNC));
  primary->attach(wire);
  primary->wait_for_backup(&wire);
  const Reply pushed = primary.push(0, 1, {{1, {1, 1}}});
  const Reply pulled = primary.ask(0, 5, {1});
  primary->resign();
  EXPECT_EQ(pushed.code(), AnswerCode::kWrongView);
  EXPECT_EQ(pulled.code(), AnswerCode::kWrongView);
  EXPECT_EQ(primary.push(0, 2, {{1, {1, 1}}}).code(), AnswerCode::kWrongView);
}

}  // namespace
}  // namespace trireme::ps::testing
