// Nothing is lost and nothing counts twice, whoever is killed when: two servers that hold each
// other's rows, three workers that push whole numbers over a bad network, SIGKILL at random
// moments. In the end every row is the sum of the acknowledged pushes.
//
// TRIREME_CHAOS_SECONDS and TRIREME_CHAOS_KILLS make it longer (6 and 4), TRIREME_CHAOS_SEED
// repeats one, TRIREME_CHAOS_MOVES=1 moves virtual shards to and fro meanwhile.
#include <gmock/gmock.h>
#include <signal.h>

#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <future>
#include <numeric>
#include <random>
#include <thread>

#include "core/base/thread_annotations.h"
#include "core/io/atomic_file.h"
#include "distributed/coordination/coordinator.h"
#include "distributed/coordination/directory_client.h"
#include "ps/client/ps_client.h"
#include "tests/ps/client/chaos_content.h"
#include "tests/support/process.h"
#include "tests/support/server_views.h"

namespace trireme::ps::testing {
namespace {

using namespace std::chrono_literals;
using trireme::testing::Process;
using trireme::testing::TemporaryDirectory;
using Clock = std::chrono::steady_clock;

constexpr char kSecret[] = "s3cret";

int64_t number_from(const char* variable, int64_t otherwise) {
  const char* text = std::getenv(variable);
  return text == nullptr ? otherwise : std::atoll(text);
}

bool all_in_sync(const ServerView& view) {
  return view.number > 0 && trireme::testing::has_all_backups(view);
}

class Chaos {
 public:
  // `patience`: of the directory with a server that says nothing.
  Chaos(uint64_t seed, std::chrono::milliseconds patience, bool is_sync = false)
      : is_sync_(is_sync),
        random_(seed),
        coordinator_({.secret = kSecret,
                      .job_id = "job",
                      .heartbeat_timeout = patience,
                      .log = [this](const std::string& line) { note(line); }}) {
    DirectoryClientOptions options;
    options.address = coordinator_.address();
    options.secret = kSecret;
    options.job_id = "job";
    options.servers = kChaosServers;
    options.replicas = 2;
    options.on_view = [this](const ServerView& view) {
      MutexLock lock(mutex_);
      view_ = view;
      changed_.notify_all();
    };
    watcher_ = std::make_unique<DirectoryClient>(options);
    tasks_.resize(kChaosServers + kChaosWorkers);
    for (size_t i = 0; i < tasks_.size(); ++i) start(i);
  }

  bool is_server(size_t task) const { return task < kChaosServers; }
  std::string name(size_t task) const {
    return is_server(task) ? str_cat("server ", task) : str_cat("worker ", task - kChaosServers);
  }
  size_t any_task() { return random_() % tasks_.size(); }
  // Returns how many shards have moved, until it is told to stop.
  int64_t move_shards(const std::atomic<bool>& stop) EXCLUDES(mutex_) {
    std::mt19937_64 random(7);
    int64_t moved = 0;
    while (!stop) {
      const auto shard = static_cast<int>(random() % 64);
      int to = 0;
      {
        MutexLock lock(mutex_);
        to = 1 - view_.slot_of_shard[static_cast<size_t>(shard)];
      }
      try {
        watcher_->move_shard(shard, to, 1s);
        ++moved;
      } catch (const Error&) {  // it takes its time after a server's death
      }
    }
    return moved;
  }
  double any_fraction() { return std::uniform_real_distribution<double>(0, 1)(random_); }

  // The promise is to survive the death of any one: another one has to wait until both replicas are
  // whole again.
  bool wait_until_in_sync(std::chrono::milliseconds timeout) EXCLUDES(mutex_) {
    const auto deadline = Clock::now() + timeout;
    MutexLock lock(mutex_);
    while (!all_in_sync(view_) && Clock::now() < deadline) changed_.wait_until(mutex_, deadline);
    return all_in_sync(view_);
  }
  std::string view() EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    return describe(view_);
  }

  int64_t kill_and_start_again(size_t task) {
    const auto at = Clock::now().time_since_epoch() / 1ns;
    tasks_[task].process->signal(SIGKILL);
    tasks_[task].process->wait();
    start(task);
    return at;
  }
  void stop(size_t task) { tasks_[task].process->signal(SIGSTOP); }
  // It has to find out by itself that it does not count any more.
  void wake_and_start_again(size_t task) {
    tasks_[task].process->signal(SIGCONT);
    EXPECT_EQ(tasks_[task].process->wait(30s).exit_code, 75) << all_logs();
    start(task);
  }
  // A push of this worker that began after `time` and was acknowledged.
  bool wait_for_push(int worker, Clock::time_point time, std::chrono::milliseconds timeout) const {
    const auto deadline = Clock::now() + timeout;
    while (Clock::now() < deadline) {
      const auto records = journal(worker);
      if (!records.empty() && records.back().begun_ns > time.time_since_epoch() / 1ns) return true;
      std::this_thread::sleep_for(10ms);
    }
    return false;
  }
  // Asks the workers to end; all of them did, as they should.
  void end_workers() {
    // One that was started a moment ago does not hear SIGTERM before it has begun.
    const auto now = Clock::now();
    for (int worker = 0; worker < kChaosWorkers; ++worker) {
      EXPECT_TRUE(wait_for_push(worker, now, std::chrono::seconds(30))) << "worker " << worker;
    }
    int64_t last = 0;
    for (int worker = 0; worker < kChaosWorkers; ++worker) {
      const auto records = journal(worker);
      if (!records.empty()) last = std::max(last, records.back().step);
    }
    // A moment ahead of all of them.
    io::write_file_atomically(folder_ / "last", std::to_string(last + 20));
    for (size_t i = kChaosServers; i < tasks_.size(); ++i) tasks_[i].process->signal(SIGTERM);
    for (size_t i = kChaosServers; i < tasks_.size(); ++i) {
      EXPECT_EQ(tasks_[i].process->wait(60s).exit_code, 0) << name(i) << "\n" << log(i);
    }
  }
  // In the order of acknowledgement; of all incarnations.
  std::vector<ChaosRecord> journal(int worker) const {
    std::vector<ChaosRecord> records;
    std::ifstream in(folder_ / str_cat("journal-", worker), std::ios::binary);
    for (ChaosRecord record; in.read(reinterpret_cast<char*>(&record), sizeof(record));) {
      records.push_back(record);
    }
    return records;
  }
  std::string log(size_t task) const {
    std::ifstream in(folder_ / str_cat("log-", task));
    return {std::istreambuf_iterator<char>(in), {}};
  }
  std::string all_logs() EXCLUDES(mutex_) {
    std::string text;
    for (size_t i = 0; i < tasks_.size(); ++i) text += str_cat(name(i), ":\n", log(i));
    MutexLock lock(mutex_);
    return text + "coordinator:\n" + lines_ + describe(view_);
  }
  PsClientOptions reader() const {
    PsClientOptions options;
    options.coordinator = coordinator_.address();
    options.secret = kSecret;
    options.job_id = "job";
    options.workers = kChaosWorkers;
    options.incarnation = 1'000'000;
    options.servers = kChaosServers;
    options.replicas = 2;
    options.tables = chaos_tables();
    options.dense = options.sparse = is_sync_ ? Consistency::kSync : Consistency::kAsync;
    options.timeout = 30s;
    return options;
  }

 private:
  struct Task {
    std::unique_ptr<Process> process;
    int incarnation = 0;
  };

  void start(size_t task) {
    const auto index = is_server(task) ? task : task - kChaosServers;
    tasks_[task].process.reset();
    tasks_[task].process = std::make_unique<Process>(std::vector<std::string>{
        TRIREME_CHAOS_PROGRAM, is_server(task) ? "server" : "worker", coordinator_.address(),
        std::to_string(index), std::to_string(++tasks_[task].incarnation),
        folder_ / str_cat("log-", task), folder_ / str_cat("journal-", index),
        is_sync_ ? "sync" : "async", folder_ / "last"});
  }
  void note(const std::string& line) EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    lines_ += line + "\n";
  }

  const bool is_sync_;
  const TemporaryDirectory folder_;
  std::mt19937_64 random_;
  Mutex mutex_;
  ConditionVariable changed_;
  ServerView view_ GUARDED_BY(mutex_);
  std::string lines_ GUARDED_BY(mutex_);
  Coordinator coordinator_;
  std::unique_ptr<DirectoryClient> watcher_;
  std::vector<Task> tasks_;
};

struct Kill {
  size_t task = 0;
  int64_t at_ns = 0;
};

// From each kill to the end of the first push that was begun after it, of any worker; in seconds.
std::vector<double> recoveries(const Chaos& chaos, const std::vector<Kill>& kills, bool servers) {
  std::vector<double> seconds;
  for (const Kill& kill : kills) {
    if (chaos.is_server(kill.task) != servers) continue;
    int64_t first = std::numeric_limits<int64_t>::max();
    for (int worker = 0; worker < kChaosWorkers; ++worker) {
      // Of a killed worker: its own.
      if (!servers && kill.task != static_cast<size_t>(kChaosServers + worker)) continue;
      for (const ChaosRecord& record : chaos.journal(worker)) {
        if (record.begun_ns > kill.at_ns) first = std::min(first, record.acknowledged_ns);
      }
    }
    // A worker may be killed again, or the test end, before its next push.
    if (!servers && first == std::numeric_limits<int64_t>::max()) continue;
    seconds.push_back(static_cast<double>(first - kill.at_ns) * 1e-9);
  }
  std::ranges::sort(seconds);
  return seconds;
}

std::string summary(const std::vector<double>& sorted) {
  if (sorted.empty()) return "none";
  return str_cat(sorted.size(), " kills, recovery: median ", sorted[(sorted.size() - 1) / 2],
                 " s, max ", sorted.back(), " s");
}

// Ends the workers; then every row must be the sum of their acknowledged pushes. Returns how many
// those were.
int64_t end_and_expect_sums(Chaos& chaos, int64_t most_unnoted) {
  chaos.end_workers();
  if (::testing::Test::HasFailure()) {
    ADD_FAILURE() << chaos.all_logs();
    return 0;
  }
  // Each worker's acknowledged steps are 1, 2, …; one that was killed between an acknowledgement
  // and its note has a gap there, and knew from the servers that it had pushed that step.
  std::vector<int64_t> steps;
  int64_t pushes = 0;
  for (int worker = 0; worker < kChaosWorkers; ++worker) {
    auto journal = chaos.journal(worker);
    EXPECT_FALSE(journal.empty()) << chaos.all_logs();
    if (journal.empty()) return 0;
    EXPECT_EQ(journal.back().acknowledged_ns, 0);
    steps.push_back(journal.back().step);
    journal.pop_back();
    pushes += static_cast<int64_t>(journal.size());
    for (size_t i = 1; i < journal.size(); ++i) {
      EXPECT_GT(journal[i].step, journal[i - 1].step) << "worker " << worker;
    }
    EXPECT_LE(steps.back() - static_cast<int64_t>(journal.size()), most_unnoted)
        << "worker " << worker;
  }
  PsClient reader(chaos.reader());
  const ChaosSums expected(steps);
  std::vector<int64_t> keys(kKeyRange);
  std::iota(keys.begin(), keys.end(), 0);
  std::vector<float> sparse(expected.sparse.size()), dense(expected.dense.size());
  const std::vector<TableKeys> tables = {{0, reader.prepare(0, keys)}, {1, reader.all_keys(1)}};
  const std::vector<float*> targets = {sparse.data(), dense.data()};
  reader.pull(0, tables, targets);
  EXPECT_EQ(sparse, expected.sparse) << chaos.all_logs();
  EXPECT_EQ(dense, expected.dense);
  return pushes;
}

class ChaosTest : public ::testing::TestWithParam<bool> {};

INSTANTIATE_TEST_SUITE_P(Consistency, ChaosTest, ::testing::Bool(),
                         [](const auto& info) { return info.param ? "Sync" : "Async"; });

TEST_P(ChaosTest, EveryRowIsTheSumOfTheAcknowledgedPushes) {
  const auto seed = static_cast<uint64_t>(
      number_from("TRIREME_CHAOS_SEED", static_cast<int64_t>(std::random_device()())));
  const auto duration = std::chrono::seconds(number_from("TRIREME_CHAOS_SECONDS", 6));
  const int64_t wanted = number_from("TRIREME_CHAOS_KILLS", 4);
  SCOPED_TRACE(str_cat("TRIREME_CHAOS_SEED=", seed));
  // A killed server is missed at once; one that a busy machine holds up is not to be.
  Chaos chaos(seed, 10s, GetParam());
  ASSERT_TRUE(chaos.wait_until_in_sync(30s)) << chaos.all_logs();

  std::atomic<bool> stop{false};
  const bool moves_shards = number_from("TRIREME_CHAOS_MOVES", 0) != 0;
  auto moved =
      std::async(std::launch::async, [&] { return moves_shards ? chaos.move_shards(stop) : 0; });
  struct Stop {
    std::atomic<bool>& flag;
    ~Stop() { flag = true; }
  } at_the_end{stop};
  std::vector<Kill> kills;
  const auto begun = Clock::now();
  for (int64_t i = 0; i < wanted; ++i) {
    const double fraction =
        (static_cast<double>(i) + chaos.any_fraction()) / static_cast<double>(wanted);
    std::this_thread::sleep_until(begun +
                                  std::chrono::duration_cast<Clock::duration>(duration * fraction));
    const size_t task = chaos.any_task();
    if (chaos.is_server(task)) {
      ASSERT_TRUE(chaos.wait_until_in_sync(30s)) << chaos.all_logs();
    }
    kills.push_back({.task = task, .at_ns = chaos.kill_and_start_again(task)});
  }
  std::this_thread::sleep_until(begun + duration);
  stop = true;
  const int64_t moves = moved.get();
  EXPECT_EQ(moves > 0, moves_shards);
  const int64_t pushes = end_and_expect_sums(chaos, wanted);

  const auto of_servers = recoveries(chaos, kills, true);
  const auto of_workers = recoveries(chaos, kills, false);
  std::printf("chaos %s: %lld pushes acknowledged, %lld shards moved; servers: %s; workers: %s\n",
              GetParam() ? "sync" : "async", static_cast<long long>(pushes),
              static_cast<long long>(moves), summary(of_servers).c_str(),
              summary(of_workers).c_str());
  if (!of_servers.empty()) {
    EXPECT_LT(of_servers[(of_servers.size() - 1) / 2], 1) << summary(of_servers);
  }
}

// A primary that stands still closes no connection. The others go on without it; when it wakes up,
// with requests that it has not read and a log that its backup never saw, nobody obeys it.
TEST(ChaosStopTest, AServerThatWakesUpLateChangesNothing) {
  Chaos chaos(1, 2s);
  ASSERT_TRUE(chaos.wait_until_in_sync(30s)) << chaos.all_logs();
  ASSERT_TRUE(chaos.wait_for_push(0, Clock::now(), 30s)) << chaos.all_logs();
  chaos.stop(0);
  const auto stopped = Clock::now();
  ASSERT_TRUE(chaos.wait_for_push(1, stopped, 30s)) << chaos.all_logs();
  chaos.wake_and_start_again(0);
  ASSERT_TRUE(chaos.wait_until_in_sync(30s)) << chaos.all_logs();
  ASSERT_TRUE(chaos.wait_for_push(1, Clock::now(), 30s)) << chaos.all_logs();
  end_and_expect_sums(chaos, 0);
}

}  // namespace
}  // namespace trireme::ps::testing
