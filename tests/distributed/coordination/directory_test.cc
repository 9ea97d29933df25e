// The directory's decisions, with made-up times.
#include "distributed/coordination/directory.h"

#include <gmock/gmock.h>

#include <map>
#include <set>

#include "core/base/error.h"
#include "distributed/coordination/sums.h"
#include "tests/distributed/coordination/members.h"

namespace trireme::testing {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class Job {
 public:
  explicit Job(int servers, int replicas = 2) : servers_(servers) {
    directory.check({.servers = servers, .replicas = replicas});
    incarnations.resize(static_cast<size_t>(servers));
  }
  // All come, and all backups get in sync.
  void start() {
    for (int i = 0; i < servers_; ++i) come(i);
    synchronise();
  }
  void come(int index, const std::vector<Directory::Snapshot>& snapshots = {}) {
    ServerEntry server;
    server.index = index;
    server.incarnation = ++incarnation(index);
    server.address = "n" + std::to_string(index) + ":1";
    server.host = "n" + std::to_string(index);
    directory.attend(server, now, snapshots);
  }
  void die(int index) { directory.detach(index, incarnation(index), false, now); }
  void say_in_sync(int slot) {
    const SlotEntry entry = this->slot(slot);
    directory.backup_is_in_sync(entry.primary, incarnation(entry.primary), slot, entry.epoch,
                                incarnation(entry.backup));
  }
  void synchronise() {
    for (int i = 0; i < servers_; ++i) {
      if (slot(i).primary >= 0 && slot(i).backup >= 0) say_in_sync(i);
    }
  }
  // All but `silent` beat meanwhile.
  void advance(std::chrono::milliseconds time, int silent = -1) {
    for (const auto end = now + time; now < end;) {
      now += 50ms;
      for (int i = 0; i < servers_; ++i) {
        if (i != silent) directory.beat(i, incarnation(i), now);
      }
      directory.tick(now);
    }
  }
  uint64_t& incarnation(int index) { return incarnations[static_cast<size_t>(index)]; }
  const SlotEntry& slot(int index) const {
    return directory.view().slots[static_cast<size_t>(index)];
  }
  // "0+1": primary 0, backup 1 in sync; "0~1": not in sync; "0" no backup; "-" waits.
  std::vector<std::string> slots() const {
    std::vector<std::string> texts;
    for (const SlotEntry& slot : directory.view().slots) {
      std::string text = slot.primary < 0 ? "-" : std::to_string(slot.primary);
      if (slot.backup >= 0) text += (slot.backup_in_sync ? "+" : "~") + std::to_string(slot.backup);
      texts.push_back(text);
    }
    return texts;
  }
  int64_t number() const { return directory.view().number; }

  std::chrono::steady_clock::time_point now = std::chrono::steady_clock::time_point(1h);
  Directory directory;
  std::vector<uint64_t> incarnations;

 private:
  const int servers_;
};

TEST(DirectoryTest, WaitsForAllServersAndGivesEachItsSlot) {
  Job job(3);
  job.come(2);
  job.come(0);
  EXPECT_EQ(job.number(), 0);
  EXPECT_FALSE(job.directory.view().servers[1].alive);
  job.come(1);
  EXPECT_EQ(job.number(), 1);
  EXPECT_THAT(job.slots(), ElementsAre("0~1", "1~2", "2~0"));
  // Equal ranges of shards, one behind the other.
  std::map<int, int> shards;
  for (const int slot : job.directory.view().slot_of_shard) ++shards[slot];
  EXPECT_EQ(shards, (std::map<int, int>{{0, 22}, {1, 21}, {2, 21}}));
  EXPECT_TRUE(std::ranges::is_sorted(job.directory.view().slot_of_shard));
}

// Says its slot's primary.
void say_moved(Job& job, const std::string& error = "") {
  const ShardMove move = job.directory.view().move.value();
  const int server = job.slot(move.from).primary;
  job.directory.shard_moved(server, job.incarnation(server), move.id, error);
}

TEST(DirectoryTest, MovesOneShardAfterTheOther) {
  Job job(2);
  EXPECT_THROW(job.directory.move_shard(3, 1), Error);  // nobody is here yet
  job.start();
  EXPECT_THROW(job.directory.move_shard(64, 1), Error);
  EXPECT_THROW(job.directory.move_shard(3, 2), Error);
  const int64_t number = job.number();
  const int64_t first = job.directory.move_shard(3, 1), second = job.directory.move_shard(40, 0);
  EXPECT_GT(job.number(), number);
  EXPECT_EQ(job.directory.view().move->shard, 3);
  EXPECT_EQ(job.directory.view().slot_of_shard[3], 0);
  say_moved(job);
  EXPECT_EQ(job.directory.view().slot_of_shard[3], 1);
  EXPECT_EQ(job.directory.outcome(first), "");
  EXPECT_EQ(job.directory.view().move->shard, 40);
  EXPECT_EQ(job.directory.outcome(second), std::nullopt);
  say_moved(job, "there is no room");
  EXPECT_EQ(job.directory.view().slot_of_shard[40], 1);
  EXPECT_EQ(job.directory.outcome(second), "there is no room");
  EXPECT_FALSE(job.directory.view().move);
  EXPECT_EQ(job.directory.outcome(job.directory.move_shard(3, 1)), "");  // it is there
}

// Whoever is on the way when a server dies stays, and is moved when both slots are whole again.
TEST(DirectoryTest, BeginsAMoveAnewWhenAServerDies) {
  Job job(2);
  job.start();
  const int64_t ticket = job.directory.move_shard(3, 1);
  const ShardMove before = *job.directory.view().move;
  job.die(1);
  EXPECT_FALSE(job.directory.view().move);
  // Its former part is no news any more.
  job.directory.shard_moved(0, job.incarnation(0), before.id, "");
  EXPECT_EQ(job.directory.view().slot_of_shard[3], 0);
  job.come(1);
  job.advance(100ms);
  EXPECT_FALSE(job.directory.view().move);
  job.synchronise();
  job.advance(100ms);
  ASSERT_TRUE(job.directory.view().move);
  EXPECT_GT(job.directory.view().move->id, before.id);
  say_moved(job);
  EXPECT_EQ(job.directory.view().slot_of_shard[3], 1);
  EXPECT_EQ(job.directory.outcome(ticket), "");
}

// It would be on one server only.
TEST(DirectoryTest, DoesNotMoveAShardToASlotWithoutItsBackup) {
  Job job(3);
  job.start();
  const int64_t ticket = job.directory.move_shard(3, 1);
  job.die(2);  // the backup of slot 1
  ASSERT_TRUE(job.directory.view().move);
  say_moved(job);
  EXPECT_EQ(job.directory.view().slot_of_shard[3], 0);
  EXPECT_EQ(job.directory.outcome(ticket), std::nullopt);
  job.directory.forget_move(ticket);
  EXPECT_FALSE(job.directory.view().move);
}

TEST(DirectoryTest, PromotesABackupThatIsInSyncAtOnce) {
  Job job(2);
  job.start();
  EXPECT_THAT(job.slots(), ElementsAre("0+1", "1+0"));
  const int64_t number = job.number(), epoch = job.slot(0).epoch;
  job.die(0);
  EXPECT_THAT(job.slots(), ElementsAre("1", "1"));
  EXPECT_GT(job.number(), number);
  EXPECT_EQ(job.slot(0).epoch, epoch + 1);
  EXPECT_FALSE(job.slot(0).restore);
  EXPECT_EQ(job.slot(1).epoch, epoch);
  // It comes back as the backup of both, with nothing in it yet.
  job.come(0);
  EXPECT_THAT(job.slots(), ElementsAre("1~0", "1~0"));
  job.synchronise();
  EXPECT_THAT(job.slots(), ElementsAre("1+0", "1+0"));
  job.die(1);
  EXPECT_THAT(job.slots(), ElementsAre("0", "0"));
}

// A backup that lacks the end of the log would lose what was acknowledged.
TEST(DirectoryTest, NeverPromotesABackupThatIsNotInSync) {
  Job job(2);
  job.start();
  job.die(0);
  job.come(0);
  job.say_in_sync(0);
  job.die(1);
  EXPECT_THAT(job.slots(), ElementsAre("0", "-"));
  const int64_t epoch = job.slot(1).epoch;
  job.come(1, {{.slot = 1, .step = 5}});
  EXPECT_THAT(job.slots(), ElementsAre("0~1", "1~0"));
  EXPECT_TRUE(job.slot(1).restore);
  EXPECT_FALSE(job.slot(0).restore);
  EXPECT_EQ(job.slot(1).epoch, epoch + 1);
}

TEST(DirectoryTest, WaitsForTheServerWhenThereIsOneReplica) {
  Job job(2, 1);
  job.start();
  EXPECT_THAT(job.slots(), ElementsAre("0", "1"));
  job.die(1);
  EXPECT_THAT(job.slots(), ElementsAre("0", "-"));
  job.advance(60s, 1);
  EXPECT_THAT(job.slots(), ElementsAre("0", "-"));
  job.directory.take_log();
  job.come(1, {{.slot = 1, .step = 17, .age = 2500ms}});
  EXPECT_THAT(job.slots(), ElementsAre("0", "1"));
  EXPECT_TRUE(job.slot(1).restore);
  EXPECT_FALSE(job.slot(0).restore);
  EXPECT_THAT(job.directory.take_log(),
              Contains(AllOf(HasSubstr("slot 1 goes on from the last snapshot"),
                             HasSubstr("of step 17, 2.5 s old"))));
  EXPECT_EQ(job.directory.lost_state(), "");
}

// Workers must never go on with rows that only look like those of the slot.
TEST(DirectoryTest, GivesNobodyASlotWhoseStateIsLost) {
  Job job(2, 1);
  job.start();
  job.die(1);
  job.come(1, {{.slot = 0, .step = 17}});  // of another slot
  EXPECT_THAT(job.slots(), ElementsAre("0", "-"));
  EXPECT_THAT(job.directory.lost_state(), HasSubstr("without the rows of slot 1"));
}

// Of a slot that has a replica the other one goes on, snapshots or not.
TEST(DirectoryTest, LosesNoStateWhileThereIsAReplica) {
  Job job(2);
  job.start();
  job.die(0);
  job.come(0);
  job.synchronise();
  job.die(1);
  job.come(1);
  EXPECT_EQ(job.directory.lost_state(), "");
  job.die(1);  // the backup of both, not in sync
  job.die(0);
  job.come(1);
  EXPECT_EQ(job.directory.lost_state(), "");  // the primary may still come
  job.come(0);
  EXPECT_THAT(job.directory.lost_state(), HasSubstr("without the rows of slot 0"));
}

// It was to begin from a snapshot that turns out to be damaged.
TEST(DirectoryTest, BelievesAPrimaryThatHasNothingToGoOnFrom) {
  Job job(1, 1);
  job.start();
  job.die(0);
  job.come(0, {{.slot = 0, .step = 3}});
  const int64_t epoch = job.slot(0).epoch;
  job.directory.state_is_lost(0, job.incarnation(0), 0, epoch - 1, "late");
  job.directory.state_is_lost(0, job.incarnation(0) - 1, 0, epoch, "replaced");
  EXPECT_EQ(job.directory.lost_state(), "");
  job.directory.state_is_lost(0, job.incarnation(0), 0, epoch, "its snapshot is damaged");
  EXPECT_THAT(job.directory.lost_state(), HasSubstr("its snapshot is damaged"));
}

// The supervisor may be quicker than the end of the old connection.
TEST(DirectoryTest, TakesANewIncarnationForTheEndOfTheOldOne) {
  Job job(2);
  job.start();
  job.come(0);
  EXPECT_THAT(job.slots(), ElementsAre("1~0", "1~0"));
  const int64_t number = job.number();
  job.directory.detach(0, 1, false, job.now);  // the old connection's end
  EXPECT_EQ(job.number(), number);
}

TEST(DirectoryTest, RefusesAnIncarnationThatWasGivenUp) {
  Job job(2);
  job.start();
  ServerEntry server;
  server.index = 0;
  server.incarnation = 1;
  EXPECT_THAT(error_of([&] { job.directory.attend(server, job.now); }).what(),
              HasSubstr("is here already"));
  job.die(0);
  const Error error = error_of([&] { job.directory.attend(server, job.now); });
  EXPECT_EQ(error.code(), ErrorCode::kDeadlineExceeded);
  EXPECT_THAT(error.what(), HasSubstr("has been given up"));
}

// What a primary said of a backup that has been lost since is not true of the next one.
TEST(DirectoryTest, IgnoresOldNewsOfABackup) {
  Job job(2);
  job.start();
  const SlotEntry before = job.slot(0);
  job.die(1);
  job.come(1);
  EXPECT_THAT(job.slots(), ElementsAre("0~1", "0~1"));
  job.directory.backup_is_in_sync(0, 1, 0, before.epoch, 1);  // of the first incarnation of 1
  job.directory.backup_is_in_sync(1, 2, 0, before.epoch, 2);  // not by the primary
  job.directory.backup_is_in_sync(0, 1, 1, 1, 2);             // an old epoch
  EXPECT_THAT(job.slots(), ElementsAre("0~1", "0~1"));
  job.directory.backup_is_in_sync(0, 1, 0, before.epoch, 2);
  EXPECT_THAT(job.slots(), ElementsAre("0+1", "0~1"));
}

TEST(DirectoryTest, GivesUpASilentServerWhenItsSlotsHaveAnotherReplica) {
  Job job(2);
  job.start();
  job.advance(1900ms, 0);
  EXPECT_THAT(job.slots(), ElementsAre("0+1", "1+0"));
  job.advance(300ms, 0);
  EXPECT_THAT(job.slots(), ElementsAre("1", "1"));
  // The last copy is waited for.
  job.advance(60s, 1);
  EXPECT_THAT(job.slots(), ElementsAre("1", "1"));
}

TEST(DirectoryTest, GivesUpASuspectedServerSoonerUnlessItIsHeardOf) {
  Job job(2);
  job.start();
  job.directory.suspect(0, job.now);
  job.advance(1500ms);
  EXPECT_THAT(job.slots(), ElementsAre("0+1", "1+0"));
  job.directory.suspect(0, job.now);
  job.advance(1100ms, 0);
  EXPECT_THAT(job.slots(), ElementsAre("1", "1"));
}

// When the directory itself stood still, the beats that it has not read yet were sent.
TEST(DirectoryTest, DoesNotTakeItsOwnPauseForSilence) {
  Job job(2);
  job.start();
  job.advance(100ms);
  job.now += 10s;
  job.directory.tick(job.now);
  EXPECT_THAT(job.slots(), ElementsAre("0+1", "1+0"));
}

TEST(DirectoryTest, GivesASlotAnotherBackupWhenItsServerStaysAway) {
  Job job(3);
  job.start();
  job.die(1);
  EXPECT_THAT(job.slots(), ElementsAre("0", "2", "2+0"));
  job.advance(9s);
  EXPECT_THAT(job.slots(), ElementsAre("0", "2", "2+0"));
  job.advance(2s);
  EXPECT_THAT(job.slots(), ElementsAre("0~2", "2~0", "2+0"));
  job.come(1);
  EXPECT_THAT(job.slots(), ElementsAre("0~2", "2~0", "2+0"));
}

// On a busy machine the directory's own thread runs late, and so do those that read for it.
TEST(DirectoryTest, SilenceIsCountedWhileTheDirectoryRuns) {
  Job job(2);
  job.start();
  job.advance(50ms);
  // All are silent, and the directory looks every 400 ms only: it is late itself.
  for (int i = 0; i < 10; ++i) job.directory.tick(job.now += 400ms);
  EXPECT_THAT(job.slots(), ElementsAre("0+1", "1+0"));
  // It looks in time again: now the silence of one counts.
  job.advance(1900ms, 1);
  EXPECT_THAT(job.slots(), ElementsAre("0+1", "1+0"));
  job.advance(300ms, 1);
  EXPECT_THAT(job.slots(), ElementsAre("0", "0"));
}

// The text of a job grows with its servers, not with their square.
TEST(DirectoryTest, NamesSomeOfManyServersInItsLines) {
  Job job(1024);
  job.start();
  size_t bytes = 0;
  for (const std::string& line : job.directory.take_log()) {
    EXPECT_LT(line.size(), 300u) << line;
    bytes += line.size();
  }
  EXPECT_LT(bytes, 10'000u);
  EXPECT_EQ(job.directory.view().slot_of_shard.size(), 1024u);
  for (int i = 1; i < 1024; ++i) job.die(i);
  for (const std::string& line : job.directory.take_log()) EXPECT_LT(line.size(), 300u) << line;
}

// Each server holds a virtual shard at least, and jobs of today keep the shards that they have.
TEST(DirectoryTest, ThereAreAsManyVirtualShardsAsServersNeed) {
  for (const auto& [servers, shards] :
       std::map<int, size_t>{{1, 64}, {64, 64}, {65, 128}, {128, 128}, {700, 1024}}) {
    Job job(servers, 1);
    job.start();
    const auto& slots = job.directory.view().slot_of_shard;
    EXPECT_EQ(slots.size(), shards);
    EXPECT_EQ(std::set<int>(slots.begin(), slots.end()).size(), static_cast<size_t>(servers));
  }
}

TEST(DirectoryTest, RefusesJobsThatCannotBeOrDiffer) {
  Directory directory;
  EXPECT_THAT(error_of([&] { directory.check({.servers = 1, .replicas = 2}); }).what(),
              HasSubstr("2 replicas on 1 parameter server"));
  EXPECT_THAT(error_of([&] { directory.check({.servers = 0, .replicas = 1}); }).what(),
              HasSubstr("expected 1 to 1024"));
  directory.check({.servers = 2, .replicas = 2});
  EXPECT_THAT(error_of([&] { directory.check({.servers = 2, .replicas = 1}); }).what(),
              HasSubstr("give all tasks the same options"));
  ServerEntry server;
  server.index = 2;
  EXPECT_THAT(error_of([&] { directory.attend(server, {}); }).what(),
              HasSubstr("no parameter server 2 among 2"));
}

TEST(SumsTest, AddsInTheOrderOfTheRanksAndAnswersAgain) {
  Sums sums;
  sums.add("loss", 2, 3, std::vector<double>{1e-30, 1});
  sums.add("loss", 0, 3, std::vector<double>{1e30, 2});
  EXPECT_EQ(sums.find("loss"), nullptr);
  EXPECT_THAT(sums.missing("loss"), ElementsAre(1));
  sums.add("loss", 2, 3, std::vector<double>{3, 1});  // it died and came again
  sums.add("loss", 1, 3, std::vector<double>{-1e30, 3});
  ASSERT_NE(sums.find("loss"), nullptr);
  EXPECT_THAT(*sums.find("loss"), ElementsAre(3, 6));
  sums.add("next", 0, 3, std::vector<double>{7});
  sums.add("loss", 1, 3, std::vector<double>{0, 0});
  EXPECT_THAT(*sums.find("loss"), ElementsAre(3, 6));
}

TEST(SumsTest, RefusesWhatDoesNotFit) {
  Sums sums;
  sums.add("loss", 0, 2, std::vector<double>{1});
  EXPECT_THAT(error_of([&] {
                sums.add("loss", 1, 2, std::vector<double>{1, 2});
              }).what(),
              HasSubstr("others came with other numbers"));
  EXPECT_THAT(error_of([&] { sums.add("loss", 2, 2, std::vector<double>{1}); }).what(),
              HasSubstr("no rank 2 among 2"));
  EXPECT_EQ(error_of([&] {
              for (int i = 0; i < 1000; ++i)
                sums.add(std::to_string(i), 0, 2, std::vector<double>{1});
            }).code(),
            ErrorCode::kResourceExhausted);
}

// It has never said anything, and the workers wait for it alone.
TEST(DirectoryTest, AsksForAServerThatHangsBeforeItComes) {
  std::vector<HungTask> asked;
  Directory directory({.hung_after = 5s, .replace = [&](const HungTask& task) {
                         asked.push_back(task);
                         return true;
                       }});
  directory.check({.servers = 2, .replicas = 1});
  auto now = std::chrono::steady_clock::time_point(1h);
  ServerEntry here{.index = 1, .incarnation = 1};
  directory.attend(here, now);
  const auto advance = [&](std::chrono::milliseconds time) {
    for (const auto end = now + time; now < end;) {
      now += 50ms;
      directory.beat(1, 1, now);
      directory.tick(now);
    }
  };
  advance(4900ms);
  EXPECT_TRUE(asked.empty());
  advance(300ms);
  ASSERT_EQ(asked.size(), 1u);
  EXPECT_EQ(asked[0].type, TaskType::kParameterServer);
  EXPECT_EQ(asked[0].index, 0);
  EXPECT_EQ(asked[0].start, -1);  // whichever start runs, if it has run for so long
  EXPECT_EQ(asked[0].running_for, 5s);
  EXPECT_THAT(asked[0].why, HasSubstr("parameter server 0 has not come for 5"));
  advance(4900ms);
  EXPECT_EQ(asked.size(), 1u);  // the next start gets as long
  here = {.index = 0, .incarnation = 1};
  directory.attend(here, now);
  directory.tick(now);
  EXPECT_EQ(asked.size(), 1u);
}

}  // namespace
}  // namespace trireme::testing
