// Whoever knows the job's secret may be wrong or malicious: the coordinator and the directory
// outlive every message in which one thing is out of range, and the job goes on with the right
// numbers.
// clang-format off
#include "core/base/thread_annotations.h"  // before gRPC, whose headers define the same macros
// clang-format on

#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>

#include <future>

#include "distributed/coordination/directory_client.h"
#include "distributed/coordination/rpc_channel.h"
#include "proto/coordination_service.grpc.pb.h"
#include "proto/directory_service.grpc.pb.h"
#include "tests/distributed/coordination/members.h"
#include "tests/support/mutated_message.h"

namespace trireme::testing {
namespace {

using std::chrono::milliseconds;

// What is not answered by then waits for others, as it should.
constexpr milliseconds kPatience{20};

class MessageMutationTest : public ::testing::Test {
 protected:
  MessageMutationTest()
      : coordinator_(options(&lines_)),
        members_(join_all(coordinator_.address(), 2, 2)),
        line_(connect_to_coordinator(
            {.address = coordinator_.address(), .security = {.secret = kSecret}, .job_id = "job"},
            milliseconds(10'000))),
        tasks_(coordination::Coordination::NewStub(line_.channel)),
        directory_(directory::Directory::NewStub(line_.channel)) {
    for (int index = 0; index < 2; ++index) {
      DirectoryClientOptions server{.address = coordinator_.address(),
                                    .secret = kSecret,
                                    .job_id = "job",
                                    .is_server = true,
                                    .index = index,
                                    .incarnation = 1,
                                    .server_address = "127.0.0.1:1",
                                    .host = "here",
                                    .servers = 2};
      servers_.push_back(std::make_unique<DirectoryClient>(server));
    }
  }

  static CoordinatorOptions options(Lines* lines) {
    CoordinatorOptions options = coordinator_options(2, lines);
    options.stop = [](const StoppedTask&) {};
    options.replace = [](const HungTask&) { return false; };
    return options;
  }

  // Calls `call` with each mutation of `message`.
  template <typename Message, typename Call>
  void with_each(Message message, Call call) {
    const std::function<void(const Message&)> visit = [&](const Message& mutated) {
      grpc::ClientContext context;
      context.set_deadline(std::chrono::system_clock::now() + kPatience);
      call(context, mutated);
      ++sent_;
    };
    visit(message);
    mutate_fields<Message>(message, message, 2, visit);
  }
  template <typename Message, typename Stream>
  static void finish(Stream& stream) {
    Message answer;
    while (stream.Read(&answer)) {
    }
    stream.Finish();
  }

  // All that the others do still works.
  void expect_all_is_well() {
    EXPECT_GT(sent_, 100);
    auto other =
        std::async(std::launch::async, [&] { members_[1]->client().barrier("after", 20s); });
    members_[0]->client().barrier("after", 20s);
    other.get();
    EXPECT_EQ(coordinator_.generation(), 1);
    EXPECT_EQ(coordinator_.members(), 2);
    const auto add = [&](int worker) {
      DirectoryClient client({.address = coordinator_.address(),
                              .secret = kSecret,
                              .job_id = "job",
                              .index = worker,
                              .incarnation = 1,
                              .servers = 2});
      double value = worker + 1;
      client.sum("all", 2, {&value, 1}, 20s);
      return value;
    };
    auto second = std::async(std::launch::async, [&] { return add(1); });
    EXPECT_EQ(add(0), 3);
    EXPECT_EQ(second.get(), 3);
    const ServerView view = servers_[0]->view();
    EXPECT_TRUE(std::ranges::all_of(view.servers, &ServerEntry::alive));
  }

  Lines lines_;
  Coordinator coordinator_;
  std::vector<std::unique_ptr<TestMember>> members_;
  CoordinatorLine line_;
  std::unique_ptr<coordination::Coordination::Stub> tasks_;
  std::unique_ptr<directory::Directory::Stub> directory_;
  std::vector<std::unique_ptr<DirectoryClient>> servers_;
  int sent_ = 0;
};

TEST_F(MessageMutationTest, TheCoordinatorOutlivesThem) {
  const auto attend = [&](grpc::ClientContext& context, const coordination::Beat& message) {
    const auto stream = tasks_->Attend(&context);
    stream->Write(message);
    stream->Write(message);
    stream->WritesDone();
    finish<coordination::Order>(*stream);
  };
  coordination::Beat joining;
  coordination::JoinMessage& join = *joining.mutable_join();
  join.set_rank(0);
  join.set_world_size(2);
  join.set_host("here");
  join.set_progress(3);
  join.set_task(99);
  (*join.mutable_handshake())["model"] = "other";
  with_each(joining, attend);
  coordination::Beat beat;
  beat.set_generation(1);
  beat.set_entered(3);
  beat.set_finished(2);
  beat.set_step(4);
  beat.set_what("a bucket");
  beat.set_waiting_ms(5);
  beat.set_late_ms(1);
  with_each(beat, attend);
  coordination::PeersRequest peers;
  peers.set_generation(1);
  peers.add_ranks(1);
  with_each(peers, [&](grpc::ClientContext& context, const auto& message) {
    coordination::PeersAnswer answer;
    tasks_->Peers(&context, message, &answer);
  });
  coordination::BarrierMessage barrier;
  barrier.set_generation(1);
  barrier.set_rank(1);
  barrier.set_name("another");
  barrier.set_timeout_ms(1);
  with_each(barrier, [&](grpc::ClientContext& context, const auto& message) {
    coordination::Done done;
    tasks_->Barrier(&context, message, &done);
  });
  coordination::KeyRequest key;
  key.set_key("nothing");
  key.set_timeout_ms(1);
  with_each(key, [&](grpc::ClientContext& context, const auto& message) {
    coordination::KeyValue value;
    tasks_->Get(&context, message, &value);
  });
  coordination::LauncherMessage launcher;
  launcher.set_workers(1);
  with_each(launcher, [&](grpc::ClientContext& context, const auto& message) {
    finish<coordination::LauncherOrder>(*tasks_->Launch(&context, message));
  });
  coordination::StopMessage stop;
  stop.set_who("nobody");
  stop.set_signal(15);
  with_each(stop, [&](grpc::ClientContext& context, const auto& message) {
    coordination::Done done;
    tasks_->Stop(&context, message, &done);
  });
  expect_all_is_well();
}

TEST_F(MessageMutationTest, TheDirectoryOutlivesThem) {
  directory::Report report;
  directory::Announcement& who = *report.mutable_announcement();
  who.set_servers(2);
  who.set_replicas(1);
  who.set_patience_ms(60'000);
  who.mutable_worker()->set_index(1);
  who.mutable_worker()->set_incarnation(1);
  directory::Snapshot& snapshot = *who.add_snapshots();
  snapshot.set_slot(1);
  snapshot.set_step(3);
  snapshot.set_age_ms(5);
  report.add_suspects(7);
  report.add_in_sync()->set_slot(1);
  report.add_moved()->set_id(4);
  report.add_lost_state()->set_slot(1);
  report.add_lost_steps()->set_steps(0);
  report.set_step(1);
  report.set_waiting_ms(1);
  report.set_progress(1);
  const auto attend = [&](grpc::ClientContext& context, const directory::Report& message) {
    const auto stream = directory_->Attend(&context);
    stream->Write(message);
    stream->Write(message);
    stream->WritesDone();
    finish<directory::View>(*stream);
  };
  with_each(report, attend);
  // As a server that the job does not have.
  who.mutable_server()->set_index(7);
  who.mutable_server()->set_incarnation(2);
  who.mutable_server()->set_address("127.0.0.1:2");
  with_each(report, [&](grpc::ClientContext& context, const directory::Report& message) {
    // In the place of one that it has, it replaces it: that is how it is started again.
    const int index = message.announcement().server().index();
    if (message.announcement().has_server() && index >= 0 && index < 2) return;
    attend(context, message);
  });
  directory::SumRequest sum;
  sum.set_name("another");
  sum.set_worker(1);
  sum.set_workers(3);
  sum.add_values(1);
  sum.set_timeout_ms(1);
  with_each(sum, [&](grpc::ClientContext& context, const auto& message) {
    directory::SumAnswer answer;
    directory_->Sum(&context, message, &answer);
  });
  directory::MoveRequest move;
  move.set_shard(3);
  move.set_to(7);
  move.set_timeout_ms(1);
  with_each(move, [&](grpc::ClientContext& context, const auto& message) {
    directory::MoveAnswer answer;
    directory_->Move(&context, message, &answer);
  });
  expect_all_is_well();
}

}  // namespace
}  // namespace trireme::testing
