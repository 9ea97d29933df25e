// The client against servers that answer as they should not, die and come back.
#include "ps/client/ps_client.h"

#include <gmock/gmock.h>

#include <atomic>
#include <csignal>
#include <future>
#include <map>
#include <numeric>

#include "distributed/coordination/coordinator.h"
#include "tests/ps/client/fake_server.h"

namespace trireme::ps::testing {
namespace {

using namespace std::chrono_literals;
using ::testing::AllOf;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::FloatNear;
using ::testing::HasSubstr;

constexpr int64_t kDim = 4;

class PsClientTest : public ::testing::Test {
 protected:
  explicit PsClientTest(int servers = 2)
      : coordinator_({.secret = kSecret, .job_id = "job", .log = [](const std::string&) {}}) {
    for (int i = 0; i < servers; ++i) {
      servers_.push_back(std::make_unique<FakeServer>(coordinator_.address(), i, servers));
    }
  }
  PsClientOptions options() const {
    PsClientOptions options;
    options.coordinator = coordinator_.address();
    options.secret = kSecret;
    options.job_id = "job";
    options.incarnation = 1;
    options.servers = static_cast<int>(servers_.size());
    options.tables = {{.name = "sparse", .dim = kDim},
                      {.name = "dense", .dim = 8, .rows = 16, .elements = 128}};
    options.timeout = 20s;
    options.resend_after = 100ms;
    return options;
  }
  FakeServer& server(int index) { return *servers_[static_cast<size_t>(index)]; }
  // All rows of both.
  std::map<int64_t, std::vector<float>> rows(int table = 0) {
    auto all = server(0).rows(table);
    all.merge(server(1).rows(table));
    return all;
  }
  static void push(PsClient& client, int64_t step, const std::vector<int64_t>& keys,
                   float value = 1) {
    const std::vector<float> gradients(keys.size() * kDim, value);
    const TableGradients pushed{
        .table = 0, .keys = client.prepare(0, keys), .rows = gradients.data()};
    client.push(step, 0, 1, 0.5, {&pushed, 1});
  }
  static std::vector<float> pull(PsClient& client, int64_t step, const std::vector<int64_t>& keys) {
    std::vector<float> rows(keys.size() * kDim, -1);
    const TableKeys pulled{.table = 0, .keys = client.prepare(0, keys)};
    float* const target = rows.data();
    client.pull(step, {&pulled, 1}, {&target, 1});
    return rows;
  }

  Coordinator coordinator_;
  std::vector<std::unique_ptr<FakeServer>> servers_;
};

template <typename Call>
Error error_of(Call call) {
  try {
    call();
  } catch (const Error& error) {
    return error;
  }
  return {ErrorCode::kInternal, "nothing was thrown"};
}

std::vector<int64_t> many_keys() {
  std::vector<int64_t> keys(1000);
  for (size_t i = 0; i < keys.size(); ++i) keys[i] = static_cast<int64_t>(i * i % 701);
  return keys;
}

TEST_F(PsClientTest, AddsEqualKeysAndPullsThemInTheOrderGiven) {
  PsClient client(options());
  push(client, 1, {7, 3, 7, 1'000'000'000'000});
  EXPECT_THAT(rows()[7], Each(2));
  EXPECT_THAT(rows()[3], Each(1));
  const auto pulled = pull(client, 2, {3, 7, 5, 7});
  EXPECT_THAT(std::vector(pulled.begin(), pulled.begin() + 12),
              ElementsAre(1, 1, 1, 1, 2, 2, 2, 2, 0, 0, 0, 0));
  EXPECT_THAT(std::vector(pulled.begin() + 12, pulled.end()), Each(2));
}

TEST_F(PsClientTest, SendsADenseTableAndASparseOneInOneMessageEach) {
  PsClient client(options());
  std::vector<float> dense(128), sparse(2 * kDim, 1);
  std::iota(dense.begin(), dense.end(), 0.0F);
  const std::vector<int64_t> keys = {1, 2};
  const std::vector<TableGradients> pushed = {{0, client.prepare(0, keys), sparse.data()},
                                              {1, client.all_keys(1), dense.data()}};
  client.push(1, 0, 1, 0.5, pushed);
  EXPECT_EQ(server(0).pushes(), 1);
  EXPECT_EQ(server(1).pushes(), 1);
  std::vector<float> back(128), sparse_back(2 * kDim);
  const std::vector<TableKeys> wanted = {{1, client.all_keys(1)}, {0, client.prepare(0, keys)}};
  const std::vector<float*> targets = {back.data(), sparse_back.data()};
  client.pull(2, wanted, targets);
  EXPECT_EQ(back, dense);
  EXPECT_EQ(sparse_back, sparse);
  // Half of the dense rows each: bytes are balanced.
  EXPECT_EQ(server(0).rows(1).size(), 8u);
}

TEST_F(PsClientTest, SendsAListOfKeysOnce) {
  PsClient client(options());
  pull(client, 1, {1, 2, 3, 4, 5, 6, 7, 8});
  EXPECT_EQ(server(0).sections_without_keys() + server(1).sections_without_keys(), 0);
  push(client, 1, {1, 2, 3, 4, 5, 6, 7, 8});
  pull(client, 2, {1, 2, 3, 4, 5, 6, 7, 8});
  EXPECT_EQ(server(0).sections_without_keys(), 2);
  EXPECT_EQ(server(1).sections_without_keys(), 2);
  // One that the server has forgotten comes again.
  server(0).behave({.forget_lists = 1});
  push(client, 2, {1, 2, 3, 4, 5, 6, 7, 8});
  EXPECT_EQ(rows().size(), 8u);
  for (const auto& [key, row] : rows()) EXPECT_THAT(row, Each(2)) << key;
}

TEST_F(PsClientTest, SendsAgainWhatGotNoAnswerAndIsCountedOnce) {
  PsClient client(options());
  server(0).behave({.silent = 2, .wrong_view = 2, .unavailable = 2, .without_setup = 1});
  server(1).behave({.silent = 1, .wrong_view = 1});
  for (int step = 1; step <= 5; ++step) push(client, step, many_keys());
  std::map<int64_t, int> expected;
  for (const int64_t key : many_keys()) expected[key] += 5;
  EXPECT_EQ(rows().size(), expected.size());
  for (const auto& [key, row] : rows()) EXPECT_THAT(row, Each(expected[key])) << key;
  EXPECT_EQ(client.last_step(1), 5);
}

// Without a replica or a snapshot nobody may be answered by a server that has come back empty: the
// call that waits ends, and says why.
TEST_F(PsClientTest, EndsWhenAServerHasComeBackWithoutItsRows) {
  PsClient client(options());
  push(client, 1, many_keys());
  server(1).behave({.is_hanging = true});
  auto pushing = std::async(std::launch::async, [&] { push(client, 2, many_keys()); });
  server(1).stop();
  servers_[1] = std::make_unique<FakeServer>(coordinator_.address(), 1, 2, 2);
  const Error error = error_of([&] { pushing.get(); });
  EXPECT_EQ(error.code(), ErrorCode::kUnavailable);
  EXPECT_THAT(error.what(), AllOf(HasSubstr("parameter server 1"),
                                  HasSubstr("has come back without the rows of slot 1"),
                                  HasSubstr("all tasks begin again")));
  EXPECT_EQ(server(1).pushes(), 0);
}

TEST_F(PsClientTest, NamesWhoDoesNotAnswer) {
  auto short_options = options();
  short_options.timeout = 1500ms;
  PsClient client(short_options);
  server(1).behave({.is_hanging = true});
  const Error late = error_of([&] { push(client, 1, many_keys()); });
  EXPECT_EQ(late.code(), ErrorCode::kDeadlineExceeded);
  EXPECT_THAT(late.what(), AllOf(HasSubstr("push of step 1, part 0, slot 1 on parameter server 1"),
                                 HasSubstr("does not answer")));
  server(1).stop();
  EXPECT_THAT(error_of([&] { pull(client, 2, many_keys()); }).what(),
              AllOf(HasSubstr("pull of step 2, slot 1"), HasSubstr("has not come back")));
}

TEST_F(PsClientTest, PassesOnWhatAServerRefuses) {
  PsClient client(options());
  server(0).behave({.error = "no memory for 3 rows"});
  const Error error = error_of([&] { push(client, 1, many_keys()); });
  EXPECT_EQ(error.code(), ErrorCode::kFailed);
  EXPECT_THAT(error.what(), AllOf(HasSubstr("push of step 1"), HasSubstr("slot 0"),
                                  HasSubstr("no memory for 3 rows")));
  auto other = options();
  other.tables.pop_back();
  EXPECT_THAT(error_of([&] { PsClient second(other); }).what(), HasSubstr("set up differently"));
}

TEST_F(PsClientTest, CountsAPushThatWasDroppedOnce) {
  PsClient client(options());
  server(0).behave({.drops = true});
  server(1).behave({.drops = true});
  push(client, 1, many_keys());
  EXPECT_EQ(client.dropped_pushes(), 1);
}

TEST_F(PsClientTest, SaysWhichStepsWereAcknowledged) {
  PsClient client(options());
  const TableGradients nothing{.table = 0, .keys = client.prepare(0, {}), .rows = nullptr};
  // Resumed behind step 6, two parts a step.
  for (int step = 7; step <= 9; ++step) {
    for (int part = 0; part < 2; ++part) client.push(step, part, 2, 0.5, {&nothing, 1});
    EXPECT_EQ(server(0).acknowledged_step(), step - 1);
  }
  EXPECT_EQ(server(0).pushes(), 6);
  EXPECT_EQ(client.last_step(2), 9);
}

// A shard went from one to the other while they were asked, and neither answer is about it.
TEST_F(PsClientTest, AsksAgainWhatEachShardHasOfItsPushes) {
  PsClient client(options());
  for (int step = 1; step <= 3; ++step) push(client, step, many_keys());
  server(0).behave({.shard_away = 2});
  server(1).behave({.shard_away = 1});
  EXPECT_EQ(client.last_step(1), 3);
}

// What rounding loses in one step is made good in the next ones.
TEST_F(PsClientTest, RoundsOnTheWireWithErrorFeedbackForDenseTables) {
  for (const RowType type : {RowType::kBFloat16, RowType::kFloat16, RowType::kInt8}) {
    auto rounded = options();
    rounded.worker = static_cast<int>(type);
    rounded.workers = 4;
    rounded.push_type = type;
    rounded.pull_type = type;
    PsClient client(rounded);
    std::vector<float> gradients(128), before(128), after(128);
    for (size_t i = 0; i < gradients.size(); ++i) gradients[i] = 0.01F * static_cast<float>(i) / 3;
    const TableKeys wanted{1, client.all_keys(1)};
    const auto exact = [&] {
      std::vector<float> all(128);
      for (const auto& [key, row] : rows(1)) std::copy_n(row.begin(), 8, all.begin() + key * 8);
      return all;
    };
    before = exact();
    for (int step = 1; step <= 50; ++step) {
      const TableGradients pushed{1, client.all_keys(1), gradients.data()};
      client.push(step, 0, 1, 0.5, {&pushed, 1});
    }
    after = exact();
    for (size_t i = 0; i < 128; ++i) {
      EXPECT_NEAR((after.empty() ? 0 : after[i]) - before[i], 50 * gradients[i], 0.008) << i;
    }
    float* const target = before.data();
    client.pull(51, {&wanted, 1}, {&target, 1});
    for (size_t i = 0; i < 128; ++i) EXPECT_THAT(before[i], FloatNear(after[i], 0.25F)) << i;
    EXPECT_TRUE(server(0).row_types().contains(type));
  }
}

// Rows that were pulled are used again, until they are too old; new ones are asked for.
TEST_F(PsClientTest, UsesHotRowsAgainWithinTheirStaleness) {
  auto cached = options();
  cached.dense = cached.sparse = Consistency::kAsync;
  cached.cache_staleness = 2;
  PsClient client(cached), other(options());
  push(other, 1, {1, 2, 3, 4, 5, 6});
  EXPECT_THAT(pull(client, 1, {5, 1, 2, 1, 6}), Each(1));
  push(other, 2, {1, 2, 3, 4, 5, 6});
  const auto rows = pull(client, 3, {3, 1, 1, 5, 4});
  EXPECT_THAT(std::vector(rows.begin(), rows.begin() + kDim), Each(2));
  EXPECT_THAT(std::vector(rows.begin() + kDim, rows.begin() + 4 * kDim), Each(1));
  EXPECT_THAT(std::vector(rows.begin() + 4 * kDim, rows.end()), Each(2));
  // All of these are there: no server is asked.
  server(0).behave({.is_hanging = true});
  server(1).behave({.is_hanging = true});
  EXPECT_THAT(pull(client, 3, {2, 1, 6}), Each(1));
  server(0).behave({});
  server(1).behave({});
  EXPECT_THAT(pull(client, 4, {1, 2, 3, 4, 5, 6}), Each(2));
  cached.sparse = Consistency::kSync;
  EXPECT_THAT(error_of([&] { PsClient refused(cached); }).what(), HasSubstr("cached rows"));
}

TEST_F(PsClientTest, KeepsManyCallsUnderWay) {
  PsClient client(options());
  const auto keys = client.prepare(0, many_keys());
  const std::vector<float> gradients(1000 * kDim, 1);
  std::vector<std::promise<void>> ended(40);
  server(0).behave({.silent = 5});
  for (int i = 0; i < 40; ++i) {
    const TableGradients pushed{0, keys, gradients.data()};
    client.push_async(i / 4 + 1, i % 4, 4, 0.5, {&pushed, 1},
                      [&ended, i](std::unique_ptr<Error> error) {
                        EXPECT_EQ(error, nullptr);
                        ended[static_cast<size_t>(i)].set_value();
                      });
  }
  for (auto& one : ended) one.get_future().get();
  EXPECT_EQ(server(0).pushes(), 40);
  EXPECT_EQ(server(1).pushes(), 40);
  EXPECT_EQ(client.last_step(4), 10);
}

TEST_F(PsClientTest, EndsWhatIsUnderWayWithItself) {
  auto client = std::make_unique<PsClient>(options());
  server(0).behave({.is_hanging = true});
  const std::vector<float> gradients(kDim, 1);
  const TableGradients pushed{0, client->prepare(0, std::vector<int64_t>{1}), gradients.data()};
  std::promise<std::string> ended;
  client->push_async(1, 0, 1, 0.5, {&pushed, 1}, [&ended](std::unique_ptr<Error> error) {
    ended.set_value(error == nullptr ? "done" : error->what());
  });
  client.reset();
  EXPECT_THAT(ended.get_future().get(), HasSubstr("has ended"));
}

// Such a server keeps its connections and says nothing: a worker that is to stop does not wait for
// it until it is killed.
TEST_F(PsClientTest, GivesASilentServerUpWhenItIsToldToStop) {
  std::atomic<int> signal = 0;
  auto with = options();
  with.stop_signal = [&] { return signal.load(); };
  PsClient client(with);
  push(client, 1, {1, 2, 3});
  for (int i = 0; i < 2; ++i) server(i).behave({.is_stopped = true});
  auto pushed = std::async(std::launch::async, [&] {
    return error_of([&] { push(client, 2, {1, 2, 3}); });
  });
  EXPECT_EQ(pushed.wait_for(300ms), std::future_status::timeout) << "nobody told it to stop";
  signal = SIGTERM;
  ASSERT_EQ(pushed.wait_for(8s), std::future_status::ready);
  const Error error = pushed.get();
  EXPECT_EQ(error.code(), ErrorCode::kCancelled);
  EXPECT_THAT(error.what(), AllOf(HasSubstr("push of step 2"), HasSubstr("told to stop by SIGTERM"),
                                  HasSubstr("its server does not answer")));
}

// The other worker never came: with it the sum would be complete.
TEST_F(PsClientTest, GivesAbsentWorkersUpWhenItIsToldToStop) {
  std::atomic<int> signal = 0;
  auto with = options();
  with.workers = 2;
  with.stop_signal = [&] { return signal.load(); };
  PsClient client(with);
  double value = 1;
  auto added = std::async(std::launch::async, [&] {
    return error_of([&] { client.sum("the end of an epoch", {&value, 1}); });
  });
  EXPECT_EQ(added.wait_for(300ms), std::future_status::timeout) << "nobody told it to stop";
  signal = SIGINT;
  ASSERT_EQ(added.wait_for(8s), std::future_status::ready);
  const Error error = added.get();
  EXPECT_EQ(error.code(), ErrorCode::kCancelled);
  EXPECT_THAT(error.what(), AllOf(HasSubstr("the end of an epoch"),
                                  HasSubstr("told to stop by SIGINT"), HasSubstr("are gone")));
}

// A failed job's own error ends the wait for a sum, not the deadline of the wait.
TEST_F(PsClientTest, EndsASumWithTheErrorOfTheJob) {
  auto with = options();
  with.workers = 2;
  PsClient client(with);
  double value = 1;
  auto added = std::async(std::launch::async, [&] {
    return error_of([&] { client.sum("the end of an epoch", {&value, 1}); });
  });
  EXPECT_EQ(added.wait_for(200ms), std::future_status::timeout);
  coordinator_.fail(Error(ErrorCode::kResourceExhausted, "the disk of rank 1 is full"));
  ASSERT_EQ(added.wait_for(8s), std::future_status::ready);
  EXPECT_THAT(added.get().what(), HasSubstr("the disk of rank 1 is full"));
}

TEST_F(PsClientTest, NamesTheServersThatDoNotCome) {
  auto three = options();
  Coordinator other({.secret = kSecret, .job_id = "job", .log = [](const std::string&) {}});
  three.coordinator = other.address();
  three.servers = 1;
  three.timeout = three.join_timeout = 200ms;
  EXPECT_THAT(error_of([&] { PsClient client(three); }).what(),
              HasSubstr("parameter server 0 has not come"));
}

}  // namespace
}  // namespace trireme::ps::testing
