// Parameter servers with a coordinator and workers, in one process over real sockets.
#include "ps/server/ps_server.h"

#include <gmock/gmock.h>

#include <atomic>
#include <thread>

#include "core/io/checkpoint.h"
#include "distributed/coordination/coordinator.h"
#include "distributed/coordination/directory_client.h"
#include "ps/client/ps_client.h"
#include "ps/client/shard_balance.h"
#include "ps/server/inspect_snapshot.h"
#include "tests/ps/server/slot_rig.h"
#include "tests/support/process.h"
#include "tests/support/server_views.h"

namespace trireme::ps::testing {
namespace {

using ::testing::AllOf;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using trireme::testing::TemporaryDirectory;

constexpr char kSecret[] = "s3cret";

class Server {
 public:
  explicit Server(PsServerOptions options) : server_(std::make_unique<PsServer>(options)) {}
  ~Server() { stop(); }
  void stop() { server_.reset(); }
  PsServer* operator->() { return server_.get(); }

 private:
  std::unique_ptr<PsServer> server_;
};

class PsServerTest : public ::testing::Test {
 protected:
  PsServerTest()
      : coordinator_({.secret = kSecret, .job_id = "job", .log = [](const std::string&) {}}) {}

  PsServerOptions server_options(int index, int servers, int replicas = 1) {
    PsServerOptions options;
    options.coordinator = coordinator_.address();
    options.secret = kSecret;
    options.job_id = "job";
    options.index = index;
    options.servers = servers;
    options.replicas = replicas;
    options.incarnation = ++incarnations_;
    options.host = "here";
    options.threads = 2;
    options.memory_limit = int64_t{1} << 30;
    return options;
  }
  void start(int servers, int replicas = 1) {
    for (int i = 0; i < servers; ++i) {
      servers_.push_back(std::make_unique<Server>(server_options(i, servers, replicas)));
    }
    servers_count_ = servers;
    replicas_ = replicas;
  }
  PsClientOptions client_options(int worker = 0, int workers = 1,
                                 Consistency consistency = Consistency::kAsync) const {
    PsClientOptions options;
    options.coordinator = coordinator_.address();
    options.secret = kSecret;
    options.job_id = "job";
    options.worker = worker;
    options.workers = workers;
    options.incarnation = 100 + static_cast<uint64_t>(worker);
    options.servers = servers_count_;
    options.replicas = replicas_;
    options.tables = {{.name = "sparse", .dim = 4},
                      {.name = "dense", .dim = 8, .rows = 16, .elements = 128}};
    options.dense = options.sparse = consistency;
    options.timeout = 30s;
    return options;
  }
  static void push(PsClient& client, int64_t step, const std::vector<int64_t>& keys,
                   float value = 1) {
    const std::vector<float> gradients(keys.size() * 4, value);
    const TableGradients pushed{
        .table = 0, .keys = client.prepare(0, keys), .rows = gradients.data()};
    client.push(step, 0, 1, 0.5, {&pushed, 1});
  }
  static std::vector<float> pull(PsClient& client, int64_t step, const std::vector<int64_t>& keys,
                                 int64_t snapshot = 0) {
    std::vector<float> rows(keys.size() * 4, -1);
    const TableKeys pulled{.table = 0, .keys = client.prepare(0, keys)};
    float* const target = rows.data();
    client.pull(step, {&pulled, 1}, {&target, 1}, snapshot);
    return rows;
  }
  static std::vector<int64_t> keys_up_to(int64_t count) {
    std::vector<int64_t> keys(static_cast<size_t>(count));
    for (int64_t i = 0; i < count; ++i) keys[static_cast<size_t>(i)] = i;
    return keys;
  }

  Coordinator coordinator_;
  TemporaryDirectory folder_;
  uint64_t incarnations_ = 0;
  int servers_count_ = 1, replicas_ = 1;
  std::vector<std::unique_ptr<Server>> servers_;
};

TEST_F(PsServerTest, KeepsRowsOnTwoServers) {
  start(2);
  PsClient client(client_options());
  const auto keys = keys_up_to(1000);
  push(client, 1, keys);
  push(client, 2, keys, 2);
  EXPECT_THAT(pull(client, 3, keys), Each(3.0F));
  EXPECT_THAT((*servers_[0])->status(), HasSubstr("table \"sparse\""));
}

TEST_F(PsServerTest, RunsASynchronousStepOfThreeWorkers) {
  start(2);
  std::vector<std::thread> workers;
  for (int w = 0; w < 3; ++w) {
    workers.emplace_back([&, w] {
      PsClient client(client_options(w, 3, Consistency::kSync));
      for (int step = 1; step <= 20; ++step) {
        EXPECT_THAT(pull(client, step, {1, 2, 3}), Each(static_cast<float>(6 * (step - 1))));
        push(client, step, {1, 2, 3}, static_cast<float>(w + 1));
      }
    });
  }
  for (std::thread& worker : workers) worker.join();
}

TEST_F(PsServerTest, LosesNothingWhenAPrimaryDies) {
  start(2, 2);
  PsClient client(client_options());
  const auto keys = keys_up_to(200);
  float pushed = 0;
  for (int step = 1; step <= 200; ++step) {
    push(client, step, keys);
    pushed += 1;
    if (step == 60) servers_[0]->stop();
    if (step == 120) {
      servers_[0] = std::make_unique<Server>(server_options(0, 2, 2));
    }
  }
  EXPECT_THAT(pull(client, 201, keys), Each(pushed));
}

TEST_F(PsServerTest, SurvivesTheDeathOfEachServerInTurn) {
  start(2, 2);
  PsClient client(client_options());
  const auto keys = keys_up_to(200);
  int step = 0;
  const auto push_until_safe = [&] {
    // Both slots have a backup in sync again.
    DirectoryClient directory({.address = coordinator_.address(),
                               .secret = kSecret,
                               .job_id = "job",
                               .index = 99,
                               .servers = 2,
                               .replicas = 2});
    const auto deadline = std::chrono::steady_clock::now() + 20s;
    for (;;) {
      push(client, ++step, keys);
      const ServerView view = directory.view();
      if (trireme::testing::has_all_backups(view)) return;
      ASSERT_LT(std::chrono::steady_clock::now(), deadline) << describe(view);
    }
  };
  for (int round = 0; round < 4; ++round) {
    push_until_safe();
    const auto victim = static_cast<size_t>(round % 2);
    servers_[victim]->stop();
    push(client, ++step, keys);
    servers_[victim] = std::make_unique<Server>(server_options(round % 2, 2, 2));
  }
  EXPECT_THAT(pull(client, step + 1, keys), Each(static_cast<float>(step)));
}

TEST_F(PsServerTest, GoesOnFromItsLastSnapshotWithoutABackup) {
  auto options = server_options(0, 1);
  options.snapshot_directory = folder_ / "snapshots";
  options.snapshot_interval = 0s;
  servers_.push_back(std::make_unique<Server>(options));
  PsClient client(client_options(0, 1, Consistency::kSync));
  for (int step = 1; step <= 20; ++step) {
    pull(client, step, {1});
    push(client, step, {1, 2});
  }
  // Until a snapshot is there; rows are at least those of it.
  const auto deadline = std::chrono::steady_clock::now() + 20s;
  while (io::list_checkpoints(options.snapshot_directory + "/job").empty()) {
    ASSERT_LT(std::chrono::steady_clock::now(), deadline);
    std::this_thread::sleep_for(10ms);
  }
  servers_[0]->stop();
  options.incarnation = ++incarnations_;
  servers_[0] = std::make_unique<Server>(options);
  const auto rows = pull(client, 21, {1, 2});
  EXPECT_GT(rows[0], 0);
  EXPECT_LE(rows[0], 20);
  EXPECT_EQ(rows[0], rows[4]);
  push(client, 21, {1, 2});
  EXPECT_EQ(pull(client, 22, {1})[0], rows[0] + 1);
}

// Rows that are not there read as new ones: a worker that went on would train another model.
TEST_F(PsServerTest, WithoutASnapshotAllTasksBeginAgain) {
  start(2);
  {
    PsClient client(client_options(0, 1, Consistency::kSync));
    for (int step = 1; step <= 20; ++step) {
      pull(client, step, {1, 2, 3});
      push(client, step, {1, 2, 3});
    }
    servers_[0]->stop();
    servers_[0] = std::make_unique<Server>(server_options(0, 2));
    try {
      const auto rows = pull(client, 21, {1, 2, 3});
      FAIL() << "rows of " << rows[0];
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kUnavailable);
      EXPECT_THAT(error.what(), HasSubstr("all tasks begin again"));
    }
  }
  // The other one still has its rows, and must not bring them into the new session.
  const std::atomic<bool> stop = false;
  EXPECT_THROW((*servers_[1])->run(stop), Error);
  servers_[1]->stop();
  servers_[1] = std::make_unique<Server>(server_options(1, 2));
  PsClientOptions options = client_options(0, 1, Consistency::kSync);
  options.incarnation = 200;
  PsClient client(options);
  EXPECT_EQ(client.last_step(1), 0);
  EXPECT_FALSE(client.is_trained());
  EXPECT_THAT(pull(client, 1, {1, 2, 3}), Each(0.0F));
}

// A snapshot of tables that were still getting their values would bring back half of them.
TEST_F(PsServerTest, WritesNoSnapshotBeforeTheFirstPush) {
  auto options = server_options(0, 1);
  options.snapshot_directory = folder_ / "snapshots";
  options.snapshot_interval = 0s;
  servers_.push_back(std::make_unique<Server>(options));
  const auto snapshots = [&] { return io::list_checkpoints(options.snapshot_directory + "/job"); };
  PsClient client(client_options());
  for (int i = 0; i < 20; ++i) {
    client.assign(1, std::vector<float>(128, 1.5F), true);
    std::this_thread::sleep_for(20ms);
    ASSERT_TRUE(snapshots().empty());
  }
  push(client, 1, {1});
  const auto deadline = std::chrono::steady_clock::now() + 20s;
  while (snapshots().empty()) {
    ASSERT_LT(std::chrono::steady_clock::now(), deadline);
    std::this_thread::sleep_for(10ms);
  }
}

// The same folder and name of the job, another coordinator: another launch, whose tables are not
// those of the snapshot.
TEST_F(PsServerTest, TakesNoSnapshotOfAnotherSession) {
  auto options = server_options(0, 1);
  options.snapshot_directory = folder_ / "snapshots";
  options.snapshot_interval = 0s;
  const auto snapshots = [&] { return io::list_checkpoints(options.snapshot_directory + "/job"); };
  const auto deadline = std::chrono::steady_clock::now() + 20s;
  {
    Coordinator earlier({.secret = kSecret, .job_id = "job", .log = [](const std::string&) {}});
    PsServerOptions first = options;
    first.coordinator = earlier.address();
    Server server(first);
    PsClientOptions its = client_options();
    its.coordinator = earlier.address();
    PsClient client(its);
    push(client, 1, {1});
    while (snapshots().empty()) {
      ASSERT_LT(std::chrono::steady_clock::now(), deadline);
      std::this_thread::sleep_for(10ms);
    }
  }
  options.snapshot_interval = 1h;  // it writes none itself
  servers_.push_back(std::make_unique<Server>(options));
  EXPECT_TRUE(snapshots().empty()) << "nothing can go on from them";
  PsClient client(client_options());
  servers_[0]->stop();
  options.incarnation = ++incarnations_;
  servers_[0] = std::make_unique<Server>(options);
  EXPECT_THROW(push(client, 1, {1}), Error);
}

// Rows of a table with slots, under full load, into 1, 2 and 3 servers.
TEST_F(PsServerTest, RestoresASnapshotIntoAnyNumberOfServers) {
  start(2);
  auto options = client_options(0, 2);
  TableSpec& table = options.tables[0];
  table.update = {.op = "ApplyAdagrad",
                  .attributes = {{"epsilon", 1e-7}, {"weight_decay", 0.0}},
                  .slot_names = {"accumulator"},
                  .slot_initials = {0.1}};
  table.initializer = {.kind = RowInitializer::Kind::kNormal, .b = 1, .key = 3};
  PsClient client(options);
  std::atomic<bool> stop = false;
  std::thread load([&, options]() mutable {
    options.worker = 1;
    PsClient other(options);
    // New rows all the time: what is not in all tensors would show.
    for (int64_t step = 1; !stop; ++step) {
      std::vector<int64_t> keys;
      for (int64_t i = 0; i < 300; ++i) keys.push_back(step * 100 + i);
      push(other, step, keys, 0.5F);
    }
  });
  push(client, 1, keys_up_to(3000));
  while (client.status().find("sparse") == std::string::npos) std::this_thread::yield();
  const std::string prefix = folder_ / "saved";
  const int64_t snapshot = client.open_snapshot();
  const int64_t written = client.save_snapshot(snapshot, prefix).rows;
  EXPECT_GE(written, 3000);
  // What was open stays open.
  std::vector<int64_t> keys;
  std::vector<float> saved;
  for (int part = 0; part < 2; ++part) {
    const auto bundle = io::load_checkpoint(str_cat(prefix, ".ps-0000", part, "-of-00002"));
    const auto rows = bundle.at("ps/sparse/keys").flat<int64_t>();
    const auto count = bundle.at("ps/sparse/keys").shape();
    EXPECT_EQ(bundle.at("ps/sparse/frequency").shape(), count);
    EXPECT_EQ(bundle.at("ps/sparse/version").shape(), count);
    for (const char* name : {"ps/sparse/weights", "ps/sparse/slot/accumulator"}) {
      EXPECT_EQ(bundle.at(name).shape(), Shape({count[0], 4})) << name;
    }
    keys.insert(keys.end(), rows.begin(), rows.end());
  }
  EXPECT_EQ(static_cast<int64_t>(keys.size()), written);
  const io::Inspector inspector = snapshot_inspector();
  EXPECT_TRUE(inspector.detect(prefix + ".ps"));
  EXPECT_THAT(inspector.print(prefix + ".ps"),
              HasSubstr(str_cat("sparse: ", written, " rows of 4")));
  saved = pull(client, 0, keys, snapshot);
  client.close_snapshot(snapshot);
  stop = true;
  load.join();

  for (int servers = 1; servers <= 3; ++servers) {
    const Coordinator coordinator(
        {.secret = kSecret, .job_id = "job", .log = [](const std::string&) {}});
    std::vector<std::unique_ptr<Server>> others;
    for (int i = 0; i < servers; ++i) {
      PsServerOptions other = server_options(i, servers);
      other.coordinator = coordinator.address();
      others.push_back(std::make_unique<Server>(other));
    }
    PsClientOptions reader = options;
    reader.coordinator = coordinator.address();
    reader.servers = servers;
    PsClient restored(reader);
    push(restored, 1, {7});  // goes
    restored.restore_snapshot(prefix);
    EXPECT_EQ(pull(restored, 0, keys), saved) << servers << " servers";
  }
}

// With more than 64 servers there are more virtual shards, and what says where they are is packed
// otherwise: none of the promises may hang on it.
TEST_F(PsServerTest, MoreThan64ServersKeepMoveSaveAndRestoreRows) {
  constexpr int kServers = 65;
  start(kServers, 2);
  PsClientOptions options = client_options(0, 1, Consistency::kSync);
  PsClient client(options);
  const auto keys = keys_up_to(2000);
  for (int step = 1; step <= 3; ++step) push(client, step, keys);
  DirectoryClient directory({.address = coordinator_.address(),
                             .secret = kSecret,
                             .job_id = "job",
                             .servers = kServers,
                             .replicas = 2});
  const auto wait_until_safe = [&](int64_t after) {
    const auto deadline = std::chrono::steady_clock::now() + 30s;
    for (ServerView view = directory.wait_for_view(after, 30s);; view = directory.view()) {
      if (trireme::testing::has_all_backups(view)) return view;
      if (std::chrono::steady_clock::now() > deadline) {
        throw Error(ErrorCode::kDeadlineExceeded, describe(view));
      }
    }
  };
  const ServerView before = wait_until_safe(1);
  ASSERT_EQ(before.slot_of_shard.size(), 128u);
  // Slots have one shard or two; slot 7 gets more, while the worker pushes.
  std::atomic<int> step = 3;
  std::jthread load([&](const std::stop_token& stop) {
    while (!stop.stop_requested()) push(client, ++step, keys);
  });
  auto in_slot = std::ranges::count(before.slot_of_shard, 7);
  EXPECT_LE(in_slot, 2);
  for (int shard = 120; in_slot < kMostShardsOfSlot; --shard, ++in_slot) {
    ASSERT_NE(before.slot_of_shard[static_cast<size_t>(shard)], 7);
    directory.move_shard(shard, 7, 30s);
  }
  EXPECT_THROW(
      try { directory.move_shard(30, 7, 30s); } catch (const Error& error) {
        EXPECT_THAT(error.what(), HasSubstr("as many as it may in a job of 65 servers"));
        throw;
      },
      Error);
  // What the shards above 63 are used for is told, too.
  ShardBalancer balancer(
      {.coordinator = coordinator_.address(), .secret = kSecret, .job_id = "job"});
  const auto use = balancer.use(0ms);
  const auto used = std::ranges::count_if(use, [](const ShardUse& one) { return one.rows > 0; });
  EXPECT_EQ(used, 128) << "the keys are in all of them";

  // The next server takes over with all that came.
  servers_[7]->stop();
  const int at_loss = step;
  while (step < at_loss + 3) std::this_thread::yield();
  load.request_stop();
  load.join();
  EXPECT_THAT(pull(client, step + 1, keys), Each(static_cast<float>(step)));
  servers_[7] = std::make_unique<Server>(server_options(7, kServers, 2));
  wait_until_safe(directory.view().number);

  const int64_t snapshot = client.open_snapshot();
  const std::string prefix = folder_ / "saved";
  client.save_snapshot(snapshot, prefix);
  client.close_snapshot(snapshot);
  push(client, ++step, keys);
  client.restore_snapshot(prefix);
  EXPECT_THAT(pull(client, 0, keys), Each(static_cast<float>(step - 1)));

  // Into 64 virtual shards, and back.
  const Coordinator coordinator(
      {.secret = kSecret, .job_id = "job", .log = [](const std::string&) {}});
  PsServerOptions other = server_options(0, 1);
  other.coordinator = coordinator.address();
  Server few(other);
  options.coordinator = coordinator.address();
  options.servers = options.replicas = 1;
  PsClient reader(options);
  reader.restore_snapshot(prefix);
  EXPECT_THAT(pull(reader, 0, keys), Each(static_cast<float>(step - 1)));
  const int64_t of_few = reader.open_snapshot();
  reader.save_snapshot(of_few, folder_ / "few");
  client.restore_snapshot(folder_ / "few");
  EXPECT_THAT(pull(client, 0, keys), Each(static_cast<float>(step - 1)));
}

// What no worker of ours would send: refused with one line, and the server goes on.
TEST_F(PsServerTest, RefusesBadInputAndLives) {
  start(1);
  PsClient client(client_options());
  push(client, 1, {1, 2, 3});
  const auto connection = connect_rpc(
      {.address = (*servers_[0])->address(), .secret = kSecret, .job_id = "job", .name = "ps"});
  const auto call = [&](const Message& request) {
    std::promise<RpcResult> promise;
    OutMessage message;
    message.pieces.push_back(request);
    connection->call(message, 20s, [&](RpcResult result) { promise.set_value(std::move(result)); });
    RpcResult result = promise.get_future().get();
    if (result.error != nullptr) throw Error(*result.error);
    return result.answer;
  };
  const auto refusal = [&](const MessageBytes& request) -> std::string {
    try {
      parse_answer(call(request.message()), RowType::kFloat32, {});
    } catch (const Error& error) {
      return error.what();
    }
    return "taken";
  };
  const RequestHeader push_header{
      .kind = RequestKind::kPush, .section_count = 1, .incarnation = 100, .sequence = 2, .step = 2};
  EXPECT_THAT(refusal(MessageBytes().add(std::vector<std::byte>(16))), HasSubstr("96 bytes"));
  RequestHeader header = push_header;
  header.magic = 1;
  EXPECT_THAT(refusal(MessageBytes().add(header)), HasSubstr("magic"));
  header = push_header;
  header.version = 9;
  EXPECT_THAT(refusal(MessageBytes().add(header)), HasSubstr("version"));
  header = push_header;
  header.kind = static_cast<RequestKind>(77);
  EXPECT_THAT(refusal(MessageBytes().add(header)), HasSubstr("kind"));
  EXPECT_THAT(refusal(MessageBytes().add(push_header)), HasSubstr("section"));
  EXPECT_THAT(refusal(MessageBytes()
                          .add(push_header)
                          .add(SectionHeader{
                              .table = 0, .has_keys = 1, .count = int64_t{1} << 39, .dim = 4})),
              HasSubstr("cut short"));
  header = push_header;
  header.kind = RequestKind::kControl;
  EXPECT_THAT(refusal(MessageBytes().add(header).add(std::vector<int64_t>{-1, -1, -1})),
              HasSubstr("control request"));
  EXPECT_THAT(refusal(MessageBytes().add(header)), HasSubstr("control request"));
  // A slot that is not here is somewhere else, for all that this server knows.
  header.slot = 1 << 20;
  EXPECT_EQ(refusal(MessageBytes().add(header)), "taken");
  header = push_header;
  header.kind = RequestKind::kEntry;
  EXPECT_THAT(refusal(MessageBytes().add(header)), HasSubstr("entry of a log"));
  EXPECT_EQ(refusal(MessageBytes().add(header).add(EntryHeader{
                .kind = EntryKind::kClear, .epoch = 99, .attempt = 99, .position = 1, .index = 1})),
            "taken");  // it says that this is the primary
  EXPECT_THAT(pull(client, 2, {1, 2, 3, 4}),
              ElementsAre(1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0));
  EXPECT_THROW(connect_rpc({.address = (*servers_[0])->address(),
                            .secret = "guessed",
                            .job_id = "job",
                            .name = "ps"}),
               Error);
}

// A full snapshot and one of what came later are together what an incremental checkpoint is.
TEST_F(PsServerTest, RestoresAnIncrementalSnapshotUponAFullOne) {
  start(2);
  PsClient client(client_options());
  const auto save = [&](const std::string& name, int64_t changed_since) {
    const int64_t snapshot = client.open_snapshot();
    const int64_t rows = client.save_snapshot(snapshot, folder_ / name, changed_since).rows;
    client.close_snapshot(snapshot);
    return rows;
  };
  push(client, 1, keys_up_to(100));
  EXPECT_EQ(save("full", -1), 100);
  push(client, 2, {5, 6, 200});
  EXPECT_EQ(save("later", 1), 3);
  push(client, 3, keys_up_to(300));
  client.restore_snapshot(folder_ / "full");
  EXPECT_THAT(pull(client, 0, {5}), Each(1.0F));
  EXPECT_THAT(pull(client, 0, {200}), Each(0.0F));
  client.restore_snapshot(folder_ / "later");
  EXPECT_THAT(pull(client, 0, {5, 6}), Each(2.0F));
  EXPECT_THAT(pull(client, 0, {99, 200}), Each(1.0F));
  EXPECT_THROW(client.restore_snapshot(folder_ / "nothing"), Error);
}

TEST_F(PsServerTest, ServesMetrics) {
  auto options = server_options(0, 1);
  options.metrics = MetricsAddress{};
  servers_.push_back(std::make_unique<Server>(options));
  PsClient client(client_options());
  push(client, 1, {1, 2, 3});
  pull(client, 2, {1, 2, 3});
  const auto fetched =
      trireme::testing::run({"/usr/bin/env", "bash", "-c",
                             str_cat("exec 3<>/dev/tcp/127.0.0.1/",
                                     (*servers_[0])
                                         ->metrics_address()
                                         .substr((*servers_[0])->metrics_address().find(':') + 1),
                                     "; printf 'GET /metrics HTTP/1.0\\r\\n\\r\\n' >&3; cat <&3")});
  EXPECT_THAT(fetched.out,
              AllOf(HasSubstr("trireme_ps_requests_total"), HasSubstr("trireme_ps_latency_seconds"),
                    HasSubstr("trireme_ps_table_rows"), HasSubstr("kind=\"push\"")));
}

}  // namespace
}  // namespace trireme::ps::testing
