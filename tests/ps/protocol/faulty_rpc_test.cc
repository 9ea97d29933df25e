// The faulty connection does what its seed says: others rely on it to find what they lose.
#include "tests/support/faulty_rpc.h"

#include <gmock/gmock.h>

#include <condition_variable>
#include <map>
#include <mutex>

#include "tests/ps/protocol/messages.h"

namespace trireme::testing {
namespace {

using namespace std::chrono_literals;
using ps::Message;
using ps::Responder;
using ps::RpcResult;

struct Outcome {
  std::map<std::string, int> ends;  // by error, "" for an answer
  std::map<std::string, int> seen;  // at the server, by request
  std::shared_ptr<RpcFaultCounts> counts = std::make_shared<RpcFaultCounts>();
};

Outcome run(const RpcFaults& faults, int calls) {
  Outcome outcome;
  std::mutex mutex;
  std::condition_variable changed;
  int ended = 0;
  {
    const auto server =
        ps::make_rpc_server({.secret = "s", .job_id = "j"},
                            [&](const Message& request, std::unique_ptr<Responder> responder) {
                              {
                                const std::lock_guard lock(mutex);
                                ++outcome.seen[ps::text_of(request)];
                              }
                              responder->answer({{request}});
                            });
    const auto connection = make_faulty_rpc(
        ps::connect_rpc({.address = server->address(), .secret = "s", .job_id = "j"}), faults,
        outcome.counts);
    for (int i = 0; i < calls; ++i) {
      connection->call(ps::text_message(std::to_string(i)), 200ms, [&](const RpcResult& result) {
        const std::lock_guard lock(mutex);
        ++outcome.ends[result.error == nullptr ? "" : std::string(name(result.error->code()))];
        ++ended;
        changed.notify_all();
      });
    }
    std::unique_lock lock(mutex);
    changed.wait_for(lock, 60s, [&] { return ended == calls; });
  }
  EXPECT_EQ(ended, calls);
  return outcome;
}

const std::string kGone(name(ErrorCode::kUnavailable));
const std::string kLate(name(ErrorCode::kDeadlineExceeded));

TEST(FaultyRpcTest, DoesNothingUnlessAsked) {
  Outcome outcome = run({}, 100);
  EXPECT_EQ(outcome.ends[""], 100);
  EXPECT_EQ(outcome.seen.size(), 100U);
}

TEST(FaultyRpcTest, LosesRequestsAndAnswers) {
  Outcome outcome = run({.lose_request = 0.2, .lose_answer = 0.2, .silence = 0.1}, 300);
  const auto& counts = *outcome.counts;
  EXPECT_GT(counts.lost_requests, 0);
  EXPECT_GT(counts.lost_answers, 0);
  EXPECT_GT(counts.silences, 0);
  EXPECT_EQ(outcome.ends[kGone], counts.lost_requests + counts.lost_answers);
  EXPECT_EQ(outcome.ends[kLate], counts.silences);
  EXPECT_EQ(outcome.seen.size(), 300U - static_cast<size_t>(counts.lost_requests));
}

TEST(FaultyRpcTest, SendsTwiceAndLate) {
  Outcome outcome =
      run({.twice = 0.3, .delay = 0.1, .late_answer = 0.2, .longest_delay = 5ms}, 200);
  EXPECT_EQ(outcome.ends[""], 200);
  EXPECT_EQ(outcome.seen.size(), 200U);
  EXPECT_GT(outcome.counts->delays, 0);
  EXPECT_GT(outcome.counts->late_answers, 0);
  const auto twice =
      std::ranges::count_if(outcome.seen, [](const auto& e) { return e.second > 1; });
  EXPECT_GT(twice, 0);
}

TEST(FaultyRpcTest, BreaksForGood) {
  Outcome outcome = run({.seed = 3, .cut = 0.05}, 300);
  EXPECT_GE(outcome.counts->cut, 1);
  EXPECT_GT(outcome.ends[kGone], 0);
  EXPECT_EQ(outcome.ends[kGone] + outcome.ends[""], 300);
}

TEST(FaultyRpcTest, OneSeedIsOneFate) {
  const RpcFaults faults{.seed = 9, .lose_request = 0.5};
  EXPECT_EQ(run(faults, 50).seen, run(faults, 50).seen);
}

}  // namespace
}  // namespace trireme::testing
