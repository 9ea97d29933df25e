// Servers and workers with a real coordinator; servers that are to be killed or stopped are
// processes.
#include "distributed/coordination/directory_client.h"

#include <gmock/gmock.h>
#include <signal.h>

#include "tests/distributed/coordination/members.h"
#include "tests/support/process.h"

namespace trireme::testing {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using Clock = std::chrono::steady_clock;

DirectoryClientOptions directory_options(const Coordinator& coordinator, int servers,
                                         int replicas) {
  DirectoryClientOptions options;
  options.address = coordinator.address();
  options.secret = kSecret;
  options.job_id = "job";
  options.servers = servers;
  options.replicas = replicas;
  options.connect_timeout = 10s;
  return options;
}

// What one task hears.
class Task {
 public:
  explicit Task(DirectoryClientOptions options) {
    options.on_view = [this](const ServerView& view) {
      MutexLock lock(mutex_);
      views_.push_back(view);
      changed_.notify_all();
    };
    options.on_lost = [this](const Error& error) {
      MutexLock lock(mutex_);
      lost_.push_back(error);
      changed_.notify_all();
    };
    client_ = std::make_unique<DirectoryClient>(std::move(options));
  }
  static std::unique_ptr<Task> server(const Coordinator& coordinator, int index, int servers,
                                      int replicas, uint64_t incarnation = 1) {
    DirectoryClientOptions options = directory_options(coordinator, servers, replicas);
    options.is_server = true;
    options.index = index;
    options.incarnation = incarnation;
    options.server_address = "127.0.0.1:" + std::to_string(4000 + index);
    options.host = "thread";
    return std::make_unique<Task>(std::move(options));
  }
  // The first view that fits.
  template <typename Fits>
  ServerView wait_for(Fits fits, std::chrono::milliseconds timeout = 10s) EXCLUDES(mutex_) {
    const auto deadline = Clock::now() + timeout;
    MutexLock lock(mutex_);
    for (;;) {
      for (const ServerView& view : views_) {
        if (fits(view)) return view;
      }
      if (Clock::now() >= deadline) {
        throw Error(ErrorCode::kDeadlineExceeded,
                    views_.empty() ? "no view" : describe(views_.back()));
      }
      changed_.wait_until(mutex_, deadline);
    }
  }
  Error wait_for_loss() EXCLUDES(mutex_) {
    const auto deadline = Clock::now() + 10s;
    MutexLock lock(mutex_);
    while (lost_.empty() && Clock::now() < deadline) changed_.wait_until(mutex_, deadline);
    return lost_.empty() ? Error(ErrorCode::kInternal, "not lost") : lost_.front();
  }
  DirectoryClient& client() { return *client_; }

 private:
  Mutex mutex_;
  ConditionVariable changed_;
  std::vector<ServerView> views_ GUARDED_BY(mutex_);
  std::vector<Error> lost_ GUARDED_BY(mutex_);
  std::unique_ptr<DirectoryClient> client_;  // last: its thread calls into the others
};

std::unique_ptr<Process> start_server(const Coordinator& coordinator, int index, int servers,
                                      int replicas, int incarnation = 1) {
  return std::make_unique<Process>(std::vector<std::string>{
      TRIREME_MEMBER, "server", coordinator.address(), kSecret, std::to_string(index),
      std::to_string(servers), std::to_string(replicas), std::to_string(incarnation)});
}

bool all_in_sync(const ServerView& view) {
  return std::ranges::all_of(
      view.slots, [](const SlotEntry& slot) { return slot.backup >= 0 && slot.backup_in_sync; });
}

TEST(DirectoryClientTest, TellsEverybodyWhenAllServersHaveCome) {
  Lines lines;
  Coordinator coordinator(coordinator_options(1, &lines));
  Task worker(directory_options(coordinator, 2, 1));
  auto second = Task::server(coordinator, 1, 2, 1);
  EXPECT_THAT(error_of([&] { worker.client().wait_for_view(1, 100ms); }).what(),
              HasSubstr("parameter server 0 has not come within 0.1 s"));
  auto first = Task::server(coordinator, 0, 2, 1);
  const ServerView view = worker.client().wait_for_view(1, 10s);
  EXPECT_EQ(view.number, 1);
  EXPECT_EQ(view.servers[1].address, "127.0.0.1:4001");
  EXPECT_EQ(view.slot_of_shard.size(), 64u);
  EXPECT_EQ(second->wait_for([](const ServerView& v) { return v.number == 1; }).slots.size(), 2u);
  // A goodbye moves slots as a loss does.
  first.reset();
  const ServerView after = worker.wait_for([](const ServerView& v) { return v.number > 1; });
  EXPECT_EQ(after.slots[0].primary, -1);
  EXPECT_THAT(error_of([&] { worker.client().wait_for_view(2, 50ms); }).what(),
              HasSubstr("parameter server 0 has not come back within"));
}

// The kernel closes the sockets of a process that dies: the next view comes within moments.
TEST(DirectoryClientTest, PromotesTheBackupOfAKilledServerWithinMoments) {
  Lines lines;
  Coordinator coordinator(coordinator_options(1, &lines));
  Task worker(directory_options(coordinator, 2, 2));
  auto stays = start_server(coordinator, 0, 2, 2);
  auto victim = start_server(coordinator, 1, 2, 2);
  worker.wait_for(all_in_sync);
  const auto start = Clock::now();
  victim->signal(SIGKILL);
  const auto promoted = worker.wait_for([](const ServerView& view) {
    return view.slots.size() == 2 && view.slots[1].primary == 0 && !view.servers[1].alive;
  });
  const auto took = Clock::now() - start;
  EXPECT_LT(took, 500ms);
  RecordProperty("promoted_ms", static_cast<int>(took / 1ms));
  EXPECT_EQ(promoted.slots[1].epoch, 2);
  victim = start_server(coordinator, 1, 2, 2, 2);
  const auto back = worker.wait_for(
      [&](const ServerView& view) { return view.number > promoted.number && all_in_sync(view); });
  EXPECT_EQ(back.slots[1].primary, 0);
  EXPECT_EQ(back.slots[1].backup, 1);
  EXPECT_EQ(back.servers[1].incarnation, 2u);
}

// One that is stopped closes no socket. When it wakes up it hears that it does not count any more.
TEST(DirectoryClientTest, GivesUpAStoppedServerAndTellsIt) {
  Lines lines;
  Coordinator coordinator(coordinator_options(1, &lines));
  Task worker(directory_options(coordinator, 2, 2));
  auto stays = start_server(coordinator, 0, 2, 2);
  auto stopped = start_server(coordinator, 1, 2, 2);
  worker.wait_for(all_in_sync);
  stopped->signal(SIGSTOP);
  worker.client().suspect(1);
  worker.wait_for([](const ServerView& view) {
    return view.slots.size() == 2 && view.slots[1].primary == 0 && !view.servers[1].alive;
  });
  EXPECT_THAT(lines.wait_for("does not count any more"), HasSubstr("parameter server 1"));
  stopped->signal(SIGCONT);
  EXPECT_TRUE(stopped->wait_for_error_output("does not count any more", 10s));
  EXPECT_EQ(stopped->wait().exit_code, 75);
}

TEST(DirectoryClientTest, RefusesWhoDoesNotFitAndSaysWhy) {
  Lines lines;
  Coordinator coordinator(coordinator_options(1, &lines));
  auto server = Task::server(coordinator, 0, 2, 1);
  const auto refusal = [&](const DirectoryClientOptions& options) {
    return error_of([&] { Task task(options); });
  };
  EXPECT_THAT(refusal(directory_options(coordinator, 3, 1)).what(),
              HasSubstr("another one of the job 2 with 1"));
  auto options = directory_options(coordinator, 2, 1);
  options.secret = "other";
  const Error error = refusal(options);
  EXPECT_EQ(error.code(), ErrorCode::kInvalidArgument);
  EXPECT_THAT(error.what(), HasSubstr("secret is not the job"));
  EXPECT_THAT(error_of([&] { Task::server(coordinator, 5, 2, 1); }).what(),
              HasSubstr("no parameter server 5 among 2"));
}

TEST(DirectoryClientTest, HearsOfTheCoordinatorsEnd) {
  Lines lines;
  auto coordinator = std::make_unique<Coordinator>(coordinator_options(1, &lines));
  auto server = Task::server(*coordinator, 0, 1, 1);
  coordinator.reset();
  EXPECT_EQ(server->wait_for_loss().code(), ErrorCode::kCancelled);  // in order: the job is over
  EXPECT_EQ(error_of([&] { server->client().wait_for_view(9, 10s); }).code(),
            ErrorCode::kUnavailable);
}

TEST(DirectoryClientTest, AddsOverAllWorkersAndNamesWhoIsMissing) {
  Lines lines;
  Coordinator coordinator(coordinator_options(2, &lines));
  auto options = directory_options(coordinator, 1, 1);
  Task zero(options);
  options.index = 1;
  Task one(options);
  std::vector<double> a = {1, 2}, b = {10, 20};
  EXPECT_THAT(error_of([&] { zero.client().sum("epoch 1", 2, a, 100ms); }).what(),
              AllOf(HasSubstr("rank 1 has not come to the sum \"epoch 1\" within 0.1 s")));
  auto other = std::async(std::launch::async, [&] { one.client().sum("epoch 1", 2, b, 10s); });
  zero.client().sum("epoch 1", 2, a, 10s);
  other.get();
  EXPECT_THAT(a, ElementsAre(11, 22));
  EXPECT_THAT(b, ElementsAre(11, 22));
  // A worker that died and does its epoch again.
  std::vector<double> again = {0, 0};
  zero.client().sum("epoch 1", 2, again, 10s);
  EXPECT_THAT(again, ElementsAre(11, 22));
}

// Whoever has seen the rows that are lost must have no say in what follows: neither as a server,
// nor as a worker, nor in a sum or a group of workers.
TEST(DirectoryClientTest, LostStateEndsAllTasksOfItsSessionAndNoOthers) {
  Lines lines;
  Coordinator coordinator(coordinator_options(2, &lines));
  const auto client = [&] {
    return std::make_unique<CoordinatorClient>(
        ClientOptions{.address = coordinator.address(), .secret = kSecret, .job_id = "job"});
  };
  const auto group = client();
  const Greeting before = group->hello();
  auto waiting = std::async(std::launch::async, [&] {
    return error_of([&] { group->join({.rank = 0, .world_size = 2}); });
  });
  auto stays = Task::server(coordinator, 0, 2, 1), dies = Task::server(coordinator, 1, 2, 1);
  auto options = directory_options(coordinator, 2, 1);
  options.step = [] { return 41; };
  Task worker(options);
  worker.wait_for([](const ServerView& view) { return view.number == 1; });
  ASSERT_NE(lines.wait_for("has joined"), "");
  std::vector<double> values = {1};
  auto adding = std::async(std::launch::async, [&] {
    return error_of([&] { worker.client().sum("a", 2, values, 30s); });
  });

  dies.reset();
  worker.wait_for([](const ServerView& view) { return view.slots[1].primary < 0; });
  dies = Task::server(coordinator, 1, 2, 1, 2);
  for (const Error& error :
       {worker.wait_for_loss(), stays->wait_for_loss(), adding.get(), waiting.get(),
        error_of([&] { group->join({.rank = 0, .world_size = 2}); }),
        error_of([&] { worker.client().sum("b", 2, values, 30s); })}) {
    EXPECT_EQ(error.code(), ErrorCode::kUnavailable);
    EXPECT_THAT(error.what(),
                AllOf(HasSubstr("without the rows of slot 1"), HasSubstr("all tasks begin again")));
  }
  EXPECT_NE(lines.wait_for("all tasks begin again"), "");

  // The server that came belongs to the new session, as do all who come from now on.
  stays = Task::server(coordinator, 0, 2, 1, 2);
  Task next(directory_options(coordinator, 2, 1));
  const ServerView view = next.client().wait_for_view(1, 10s);
  EXPECT_FALSE(view.slots[1].restore);
  const Greeting after = client()->hello();
  EXPECT_EQ(after.run, before.run);
  EXPECT_NE(after.session, before.session);
  EXPECT_EQ(after.session, view.session);
  EXPECT_EQ(after.reached, 41);
  next.client().lost_steps(-1, 0, 7);
  EXPECT_NE(lines.wait_for("7 steps are lost"), "");
  EXPECT_EQ(client()->hello().lost_steps, 7);
  EXPECT_EQ(client()->hello().reached, 0) << "told once";
}

// Each launch is another one, wherever it is; a coordinator that is told goes on with one.
TEST(DirectoryClientTest, EachCoordinatorDrawsAnId) {
  Lines lines;
  const Coordinator one(coordinator_options(1, &lines)), two(coordinator_options(1, &lines));
  EXPECT_FALSE(one.run().empty());
  EXPECT_NE(one.run(), two.run());
  CoordinatorOptions options = coordinator_options(1, &lines);
  options.run = one.run();
  EXPECT_EQ(Coordinator(options).run(), one.run());
}

}  // namespace
}  // namespace trireme::testing
