// Whoever does not belong to the job is refused with a clear line, and the group goes on.
#include "tests/distributed/collective_grpc/intruder.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <thread>

#include "distributed/collective/grpc_wire.h"
#include "tests/distributed/collective_grpc/meeting.h"

namespace trireme::testing {
namespace {

using std::chrono::milliseconds;
using ::testing::AllOf;
using ::testing::HasSubstr;

Intruder::Metadata hello(int64_t generation, int rank) {
  return {{kJobKey, "grpc-test"},
          {kGenerationKey, std::to_string(generation)},
          {kRankKey, std::to_string(rank)},
          {kChannelKey, "0"},
          {kVersionKey, std::to_string(SegmentHeader::kVersion)}};
}

int tcp_connect(const std::string& address) {
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  to.sin_port = htons(static_cast<uint16_t>(std::stoi(address.substr(address.rfind(':') + 1))));
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  EXPECT_EQ(connect(fd, reinterpret_cast<const sockaddr*>(&to), sizeof(to)), 0);
  return fd;
}

TEST(GrpcIntruderTest, WrongSecretIsRefusedWhileTheGroupWorks) {
  Endpoints endpoints(2);
  const auto errors = run(endpoints, 1, {}, [&](Communicator& communicator) {
    check_sum(communicator);
    if (communicator.rank() == 0) {
      for (const char* secret : {"wrong", "", "open sesam", "open sesame!"}) {
        try {
          Intruder intruder(endpoints.all[0]->address(), secret, hello(1, 1));
          throw failed("the secret \"", secret, "\" was accepted");
        } catch (const Error& error) {
          EXPECT_EQ(error.code(), ErrorCode::kInvalidArgument);
          EXPECT_THAT(error.what(), HasSubstr("refused this task: its secret is "));
        }
      }
    }
    check_sum(communicator);
  });
  for (const auto& error : errors) EXPECT_FALSE(error) << error->what();
}

TEST(GrpcIntruderTest, MemberWithTheWrongSecretIsTold) {
  Endpoints endpoints(2);
  const auto errors =
      run(endpoints, 1, {.timeout = milliseconds(800)}, check_sum, [](Group& group) {
        if (group.rank == 1) group.secret = "from another job";
      });
  ASSERT_TRUE(errors[1]);
  EXPECT_EQ(errors[1]->code(), ErrorCode::kInvalidArgument);
  EXPECT_THAT(errors[1]->what(), AllOf(HasSubstr("rank 0 ("), HasSubstr("secret")));
  ASSERT_TRUE(errors[0]);
  EXPECT_THAT(errors[0]->what(), HasSubstr("rank 1 ("));
}

TEST(GrpcIntruderTest, StaleGenerationAndOtherJobAreRefused) {
  Endpoints endpoints(2);
  const auto errors = run(endpoints, 5, {}, [&](Communicator& communicator) {
    if (communicator.rank() == 0) {
      Intruder stale(endpoints.all[0]->address(), endpoints.secret, hello(4, 1));
      EXPECT_THAT(stale.finish(),
                  AllOf(HasSubstr("FAILED_PRECONDITION"), HasSubstr("generation 4 is over")));

      auto other = hello(5, 1);
      other[0].second = "another";
      EXPECT_THAT(Intruder(endpoints.all[0]->address(), endpoints.secret, other).finish(),
                  HasSubstr("job \"grpc-test\""));
    }
    check_sum(communicator);
  });
  for (const auto& error : errors) EXPECT_FALSE(error) << error->what();
}

TEST(GrpcIntruderTest, JunkOnTheSocketDisturbsNobody) {
  Endpoints endpoints(2);
  const auto errors = run(endpoints, 1, {}, [&](Communicator& communicator) {
    check_sum(communicator);
    if (communicator.rank() == 0) {
      const int fd = tcp_connect(endpoints.all[0]->address());
      const std::string junk(100'000, '\xa5');
      EXPECT_GT(send(fd, junk.data(), junk.size(), MSG_NOSIGNAL), 0);
      check_sum(communicator);
      // gRPC answers, perhaps, and then closes.
      std::string answer(4096, ' ');
      while (recv(fd, answer.data(), answer.size(), 0) > 0) {
      }
      close(fd);
    } else {
      check_sum(communicator);
    }
    check_sum(communicator);
  });
  for (const auto& error : errors) EXPECT_FALSE(error) << error->what();
}

// A member's own stream that says nonsense: rank 0 names it at once.
class GrpcGarbageTest : public ::testing::TestWithParam<std::string> {};

TEST_P(GrpcGarbageTest, NamesThePeer) {
  Endpoints endpoints(2);
  std::optional<Error> error;
  std::jthread rank0([&] {
    try {
      const auto communicator =
          endpoints.all[0]->connect(endpoints.group(1, 0), {.timeout = milliseconds(20'000)});
      check_sum(*communicator);
    } catch (const Error& caught) {
      error = caught;
    }
  });
  // In the place of rank 1, which never comes.
  Intruder intruder(endpoints.all[0]->address(), endpoints.secret, hello(1, 1));
  ASSERT_TRUE(intruder.is_welcome());
  const auto start = std::chrono::steady_clock::now();
  intruder.send(GetParam());
  rank0.join();
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(5));
  ASSERT_TRUE(error);
  EXPECT_EQ(error->code(), ErrorCode::kDataLoss) << error->what();
  EXPECT_THAT(error->what(), HasSubstr("rank 1 ("));
}

std::string bytes_of(SegmentHeader header, size_t payload = 0) {
  std::string bytes(reinterpret_cast<const char*>(&header), sizeof(header));
  return bytes + std::string(payload, 'x');
}

INSTANTIATE_TEST_SUITE_P(
    Messages, GrpcGarbageTest,
    ::testing::Values(
        "junk", std::string(100'000, '\xff'), bytes_of({.version = 9, .from = 1, .generation = 1}),
        bytes_of({.kind = static_cast<SegmentKind>(77), .from = 1, .generation = 1}),
        bytes_of({.from = 0, .generation = 1, .sequence = 1, .total = 4, .bytes = 4}, 4),
        bytes_of({.from = 1, .generation = 2, .sequence = 1, .total = 4, .bytes = 4}, 4),
        // More than follows, than the message has, than any message has; another message.
        bytes_of({.from = 1, .generation = 1, .sequence = 1, .total = 64, .bytes = 64}, 4),
        bytes_of({.from = 1, .generation = 1, .sequence = 1, .total = 4, .bytes = 64}, 64),
        bytes_of({.from = 1,
                  .generation = 1,
                  .sequence = 1,
                  .total = ~uint64_t{0},
                  .offset = ~uint64_t{0} - 3,
                  .bytes = 4},
                 4),
        bytes_of({.from = 1, .generation = 1, .sequence = 1, .total = 8, .bytes = 8}, 8),
        bytes_of({.from = 1, .generation = 1, .sequence = 2, .total = 4000, .bytes = 4000}, 4000)));

}  // namespace
}  // namespace trireme::testing
