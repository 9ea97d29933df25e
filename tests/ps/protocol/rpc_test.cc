// What every transport of the parameter servers must do.
#include "ps/protocol/rpc.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <charconv>
#include <condition_variable>
#include <deque>
#include <future>
#include <mutex>
#include <random>
#include <thread>

#include "core/base/thread_annotations.h"
#include "tests/ps/protocol/messages.h"
#include "tests/support/free_ports.h"

namespace trireme::ps {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using namespace std::chrono_literals;

constexpr std::chrono::seconds kPatience{60};

struct Transport {
  const char* name;
  bool shared_memory;
  int connections;
};

void echo(Message request, std::unique_ptr<Responder> responder) {
  responder->answer({{std::move(request)}});
}

std::vector<std::byte> random_bytes(size_t count, uint64_t seed) {
  std::vector<std::byte> bytes((count + 7) / 8 * 8);
  std::mt19937_64 random(seed);
  for (size_t i = 0; i < bytes.size(); i += 8) {
    const uint64_t word = random();
    std::memcpy(bytes.data() + i, &word, 8);
  }
  bytes.resize(count);
  return bytes;
}

std::future<RpcResult> call(RpcConnection& connection, OutMessage request,
                            std::chrono::milliseconds timeout = kPatience) {
  auto promise = std::make_shared<std::promise<RpcResult>>();
  auto result = promise->get_future();
  connection.call(std::move(request), timeout,
                  [promise](RpcResult end) { promise->set_value(std::move(end)); });
  return result;
}

ErrorCode code_of(const RpcResult& result) {
  EXPECT_NE(result.error, nullptr) << "there is an answer";
  return result.error == nullptr ? ErrorCode::kInternal : result.error->code();
}

// Keeps requests until the test has looked at them.
class Held {
 public:
  RequestHandler handler() {
    return [this](Message request, std::unique_ptr<Responder> responder) {
      const std::lock_guard lock(mutex_);
      held_.emplace_back(std::move(request), std::move(responder));
      changed_.notify_all();
    };
  }
  void wait_for(size_t count) {
    std::unique_lock lock(mutex_);
    ASSERT_TRUE(changed_.wait_for(lock, kPatience, [&] { return held_.size() >= count; }));
  }
  std::deque<std::pair<Message, std::unique_ptr<Responder>>> take() {
    const std::lock_guard lock(mutex_);
    return std::exchange(held_, {});
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::pair<Message, std::unique_ptr<Responder>>> held_;
};

class RpcTest : public ::testing::TestWithParam<Transport> {
 protected:
  static RpcServerOptions server_options() { return {.secret = "s3cret", .job_id = "job"}; }
  static ConnectOptions options(const RpcServer& server) {
    return {.address = server.address(),
            .secret = "s3cret",
            .job_id = "job",
            .name = "ps 1",
            .shared_memory = GetParam().shared_memory,
            .connections = GetParam().connections};
  }
};
INSTANTIATE_TEST_SUITE_P(Transports, RpcTest,
                         ::testing::Values(Transport{"tcp", false, 1}, Transport{"tcp3", false, 3},
                                           Transport{"shm", true, 1}),
                         [](const auto& info) { return info.param.name; });

TEST_P(RpcTest, SaysWhoThePeerIs) {
  const auto server = make_rpc_server(server_options(), echo);
  const auto connection = connect_rpc(options(*server));
  EXPECT_THAT(connection->peer(), HasSubstr("ps 1 (" + server->address()));
  EXPECT_EQ(connection->peer().find("shared memory") != std::string::npos,
            GetParam().shared_memory);
  EXPECT_FALSE(server->shared_memory_host().empty());
}

TEST_P(RpcTest, CarriesMessagesOfAnySize) {
  const auto server = make_rpc_server(server_options(), echo);
  const auto connection = connect_rpc(options(*server));
  for (const size_t size : {size_t{0}, size_t{1}, size_t{7}, size_t{8}, size_t{24}, size_t{4096},
                            size_t{65535}, size_t{65536}, (size_t{1} << 20) - 24,
                            (size_t{1} << 20) + 1, (size_t{8} << 20) + 3, size_t{64} << 20}) {
    const auto bytes = random_bytes(size, size);
    const RpcResult result = call(*connection, {{own(bytes)}}).get();
    ASSERT_EQ(result.error, nullptr) << result.error->what();
    EXPECT_TRUE(std::ranges::equal(result.answer.bytes, bytes)) << size;
    EXPECT_EQ(reinterpret_cast<uintptr_t>(result.answer.bytes.data()) % 8, 0U);
  }
}

TEST_P(RpcTest, JoinsThePiecesOfAMessage) {
  const auto server = make_rpc_server(server_options(), echo);
  const auto connection = connect_rpc(options(*server));
  OutMessage request;
  std::vector<std::byte> whole;
  for (const size_t size : {3U, 0U, 100'000U, 1U, 5000U, 0U, 3'000'000U, 17U, 0U}) {
    const auto piece = random_bytes(size, size);
    whole.insert(whole.end(), piece.begin(), piece.end());
    request.pieces.push_back(own(piece));
  }
  const RpcResult result = call(*connection, std::move(request)).get();
  ASSERT_EQ(result.error, nullptr);
  EXPECT_TRUE(std::ranges::equal(result.answer.bytes, whole));
}

TEST_P(RpcTest, HandsRequestsOverInTheirOrder) {
  // By one call at a time; that the answer comes after it is more than a sanitizer sees.
  Mutex mutex;
  std::vector<uint64_t> order;
  const auto server =
      make_rpc_server(server_options(), [&](Message request, std::unique_ptr<Responder> responder) {
        uint64_t number = 0;
        std::memcpy(&number, request.bytes.data(), sizeof(number));
        {
          MutexLock lock(mutex);
          order.push_back(number);
        }
        responder->answer({});
      });
  const auto connection = connect_rpc(options(*server));
  std::vector<std::future<RpcResult>> results;
  std::mt19937_64 random(1);
  for (uint64_t i = 0; i < 1000; ++i) {
    auto bytes = random_bytes(8 + (i % 50 == 0 ? random() % 2'000'000 : random() % 3000), i);
    std::memcpy(bytes.data(), &i, sizeof(i));
    results.push_back(call(*connection, {{own(std::move(bytes))}}));
  }
  for (auto& result : results) ASSERT_EQ(result.get().error, nullptr);
  MutexLock lock(mutex);
  ASSERT_EQ(order.size(), 1000U);
  EXPECT_TRUE(std::ranges::is_sorted(order));
}

TEST_P(RpcTest, AnswersAThousandCallsLaterFromOtherThreads) {
  Held held;
  const auto server = make_rpc_server(server_options(), held.handler());
  const auto connection = connect_rpc(options(*server));
  std::vector<std::future<RpcResult>> results;
  for (int i = 0; i < 1000; ++i) {
    results.push_back(call(*connection, text_message(std::to_string(i))));
  }
  held.wait_for(1000);
  auto requests = held.take();
  std::vector<std::thread> threads;
  for (size_t t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (size_t i = requests.size(); i-- > 0;) {
        if (i % 4 != t) continue;
        requests[i].second->answer(text_message("answer " + text_of(requests[i].first)));
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (int i = 0; i < 1000; ++i) {
    const RpcResult result = results[static_cast<size_t>(i)].get();
    ASSERT_EQ(result.error, nullptr);
    EXPECT_EQ(text_of(result.answer), "answer " + std::to_string(i));
  }
}

TEST_P(RpcTest, ManyThreadsMayCall) {
  const auto server = make_rpc_server(server_options(), echo);
  const auto connection = connect_rpc(options(*server));
  std::atomic<int> good = 0;
  std::vector<std::thread> threads;
  for (uint64_t t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (uint64_t i = 0; i < 200; ++i) {
        const auto bytes = random_bytes(i * 97, t * 1000 + i);
        const RpcResult result = call(*connection, {{own(bytes)}}).get();
        if (result.error == nullptr && std::ranges::equal(result.answer.bytes, bytes)) ++good;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(good, 800);
}

// Both ways are full at once, and neither side waits for the other to read.
TEST_P(RpcTest, ManyLongMessagesPassBothWaysAtATime) {
  const auto server = make_rpc_server(server_options(), echo);
  const auto connection = connect_rpc(options(*server));
  const Message request = own(random_bytes(size_t{5} << 20, 1));
  std::vector<std::future<RpcResult>> results;
  for (int i = 0; i < 20; ++i) results.push_back(call(*connection, {{request}}));
  for (auto& result : results) {
    const RpcResult end = result.get();
    ASSERT_EQ(end.error, nullptr) << end.error->what();
    EXPECT_TRUE(std::ranges::equal(end.answer.bytes, request.bytes));
  }
}

TEST_P(RpcTest, ACallWithoutAnAnswerMeetsItsDeadline) {
  Held held;
  const auto server = make_rpc_server(server_options(), held.handler());
  const auto connection = connect_rpc(options(*server));
  auto patient = call(*connection, text_message("patient"));
  auto hasty = call(*connection, text_message("hasty"), 50ms);
  const RpcResult late = hasty.get();
  EXPECT_EQ(code_of(late), ErrorCode::kDeadlineExceeded);
  EXPECT_THAT(late.error->what(), HasSubstr("ps 1"));
  EXPECT_THAT(late.error->what(), HasSubstr("0.05 s"));
  // What comes too late is dropped, and the connection goes on.
  held.wait_for(2);
  for (auto& [request, responder] : held.take()) responder->answer({{request}});
  const RpcResult result = patient.get();
  ASSERT_EQ(result.error, nullptr);
  EXPECT_EQ(text_of(result.answer), "patient");
}

TEST_P(RpcTest, ADroppedRequestIsRefused) {
  const auto server =
      make_rpc_server(server_options(), [](Message, std::unique_ptr<Responder> /*dropped*/) {});
  const auto connection = connect_rpc(options(*server));
  EXPECT_EQ(code_of(call(*connection, {}).get()), ErrorCode::kInternal);
  EXPECT_EQ(code_of(call(*connection, {}).get()), ErrorCode::kInternal);
}

TEST_P(RpcTest, AServerThatEndsFailsAllCallsAndEachLaterOne) {
  Held held;
  auto server = make_rpc_server(server_options(), held.handler());
  const auto connection = connect_rpc(options(*server));
  std::vector<std::future<RpcResult>> results;
  for (int i = 0; i < 10; ++i) results.push_back(call(*connection, text_message("wait")));
  held.wait_for(10);
  server.reset();
  for (auto& result : results) EXPECT_EQ(code_of(result.get()), ErrorCode::kUnavailable);
  EXPECT_EQ(code_of(call(*connection, {}).get()), ErrorCode::kUnavailable);
  // Whoever still holds a request may answer it, to nobody.
  for (auto& [request, responder] : held.take()) responder->answer({{request}});
}

TEST_P(RpcTest, AConnectionThatEndsFailsItsCallsAndTheServerGoesOn) {
  Held held;
  const auto server = make_rpc_server(server_options(), held.handler());
  auto connection = connect_rpc(options(*server));
  auto result = call(*connection, text_message("wait"));
  held.wait_for(1);
  connection.reset();
  EXPECT_EQ(code_of(result.get()), ErrorCode::kUnavailable);
  for (auto& [request, responder] : held.take()) responder->answer({{request}});
  const auto next = connect_rpc(options(*server));
  auto second = call(*next, text_message("again"));
  held.wait_for(1);
  for (auto& [request, responder] : held.take()) responder->answer({{request}});
  EXPECT_EQ(text_of(second.get().answer), "again");
}

// While answers to other calls are on their way, and lie in the same piece of what came.
TEST_P(RpcTest, ACallbackMayDropTheConnection) {
  for (int i = 0; i < 20; ++i) {
    Held held;
    const auto server = make_rpc_server(server_options(), held.handler());
    auto connection = connect_rpc(options(*server));
    RpcConnection& used = *connection;
    std::promise<void> dropped;
    used.call({}, kPatience, [&](const RpcResult&) {
      connection.reset();
      dropped.set_value();
    });
    auto second = call(used, {}), third = call(used, {});
    held.wait_for(3);
    for (auto& [request, responder] : held.take()) responder->answer({});
    dropped.get_future().wait();
    // Answered, or ended with the connection.
    second.get();
    third.get();
  }
}

TEST_P(RpcTest, ServersComeAndGo) {
  for (int i = 0; i < 10; ++i) {
    const auto server = make_rpc_server(server_options(), echo);
    const auto first = connect_rpc(options(*server)), second = connect_rpc(options(*server));
    EXPECT_EQ(call(*first, {}).get().error, nullptr);
    if (i % 2 == 0) {
      EXPECT_EQ(call(*second, {}).get().error, nullptr);
    }
  }
}

TEST_P(RpcTest, RefusesARequestThatIsTooLongAndGoesOn) {
  auto limits = server_options();
  limits.max_message_bytes = 1000;
  const auto server = make_rpc_server(limits, echo);
  const auto connection = connect_rpc(options(*server));
  std::vector<std::future<RpcResult>> results;
  for (int i = 0; i < 10; ++i) {
    results.push_back(call(*connection, {{own(random_bytes(i % 2 == 0 ? 1000 : 5'000'000, 1))}}));
  }
  for (size_t i = 0; i < results.size(); ++i) {
    const RpcResult result = results[i].get();
    if (i % 2 == 0) {
      EXPECT_EQ(result.error, nullptr);
    } else {
      EXPECT_EQ(code_of(result), ErrorCode::kInvalidArgument);
      EXPECT_THAT(result.error->what(), HasSubstr("at most 1000 bytes, found one of 5000000"));
    }
  }
}

TEST_P(RpcTest, RefusesToSendOrTakeWhatIsTooLong) {
  const Message large = own(random_bytes(5000, 1));
  const auto server =
      make_rpc_server(server_options(), [&](Message request, std::unique_ptr<Responder> responder) {
        responder->answer(request.bytes.empty() ? OutMessage{{large}} : OutMessage{});
      });
  auto limits = options(*server);
  limits.max_message_bytes = 1000;
  const auto connection = connect_rpc(limits);
  EXPECT_EQ(code_of(call(*connection, {{large}}).get()), ErrorCode::kInvalidArgument);
  EXPECT_EQ(code_of(call(*connection, {}).get()), ErrorCode::kInvalidArgument);
  EXPECT_EQ(call(*connection, text_message("small")).get().error, nullptr);
}

TEST_P(RpcTest, GoesOverTcpWhenTheServerOffersNoSharedMemory) {
  auto without = server_options();
  without.shared_memory = false;
  const auto server = make_rpc_server(without, echo);
  EXPECT_EQ(server->shared_memory_host(), "");
  const auto connection = connect_rpc(options(*server));
  EXPECT_THAT(connection->peer(), Not(HasSubstr("shared memory")));
  EXPECT_EQ(call(*connection, {}).get().error, nullptr);
}

TEST_P(RpcTest, RefusesAWrongSecretAndAnotherJob) {
  const auto server = make_rpc_server(server_options(), echo);
  for (const bool wrong_secret : {true, false}) {
    auto wrong = options(*server);
    (wrong_secret ? wrong.secret : wrong.job_id) = "another";
    try {
      connect_rpc(wrong);
      FAIL() << "was accepted";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kInvalidArgument);
      EXPECT_THAT(error.what(), HasSubstr(server->address()));
      EXPECT_THAT(error.what(), HasSubstr(wrong_secret ? "secret" : "job"));
      EXPECT_THAT(error.what(), Not(HasSubstr("s3cret")));
    }
  }
  EXPECT_EQ(call(*connect_rpc(options(*server)), {}).get().error, nullptr);
}

TEST_P(RpcTest, NamesTheAddressWhereNobodyAnswers) {
  const std::string address = "127.0.0.1:" + std::to_string(testing::free_ports());
  try {
    connect_rpc({.address = address, .name = "ps 1", .connect_timeout = 100ms});
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kUnavailable);
    EXPECT_THAT(error.what(), HasSubstr("ps 1 (" + address + ")"));
  }
}

TEST_P(RpcTest, WaitsForAServerThatStartsLater) {
  const int port = testing::free_ports();
  auto later = std::async(std::launch::async, [&] {
    return connect_rpc({.address = "127.0.0.1:" + std::to_string(port),
                        .secret = "s3cret",
                        .job_id = "job",
                        .shared_memory = GetParam().shared_memory,
                        .connections = GetParam().connections,
                        .connect_timeout = kPatience});
  });
  EXPECT_EQ(later.wait_for(50ms), std::future_status::timeout);
  auto there = server_options();
  there.port = port;
  const auto server = make_rpc_server(there, echo);
  EXPECT_EQ(call(*later.get(), {}).get().error, nullptr);
}

// What is not of this protocol at all comes to a port sooner or later.
TEST(RpcServerTest, SurvivesGarbageOnItsPort) {
  const auto server = make_rpc_server({.secret = "s", .job_id = "j"}, echo);
  const std::string address = server->address();
  uint16_t port = 0;
  std::from_chars(address.data() + address.rfind(':') + 1, address.data() + address.size(), port);
  const std::string preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
  for (const std::string& start : {std::string("GET / HTTP/1.1\r\n\r\n"), std::string(), preface}) {
    const int fd = socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in to{.sin_family = AF_INET, .sin_port = htons(port), .sin_addr = {}};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    ASSERT_EQ(connect(fd, reinterpret_cast<sockaddr*>(&to), sizeof(to)), 0);
    const auto garbage = random_bytes(100'000, start.size());
    (void)!send(fd, start.data(), start.size(), MSG_NOSIGNAL);
    (void)!send(fd, garbage.data(), garbage.size(), MSG_NOSIGNAL);
    close(fd);
  }
  const auto connection = connect_rpc({.address = address, .secret = "s", .job_id = "j"});
  EXPECT_EQ(call(*connection, {}).get().error, nullptr);
}

TEST(RpcServerTest, NamesThePortThatItCannotHave) {
  const auto server = make_rpc_server({.secret = "s", .job_id = "j"}, echo);
  const std::string address = server->address();
  int port = 0;
  std::from_chars(address.data() + address.rfind(':') + 1, address.data() + address.size(), port);
  try {
    make_rpc_server({.port = port, .secret = "s", .job_id = "j"}, echo);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kInvalidArgument);
    EXPECT_THAT(error.what(), HasSubstr(address));
  }
}

}  // namespace
}  // namespace trireme::ps
