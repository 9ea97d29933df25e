// Who is refused, with one clear line on both sides, while the job goes on.
#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/distributed/coordination/members.h"

namespace trireme::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

class CoordinatorRefusalTest : public ::testing::Test {
 protected:
  CoordinatorRefusalTest()
      : coordinator_(coordinator_options(2, &lines_)),
        address_(coordinator_.address()),
        members_(join_all(address_, 2, 2)) {}

  // Nothing of what was refused has reached the job.
  ~CoordinatorRefusalTest() override {
    auto other =
        std::async(std::launch::async, [&] { members_[1]->client().barrier("after", 5s); });
    members_[0]->client().barrier("after", 5s);
    other.get();
    EXPECT_EQ(members_[0]->faults() + members_[1]->faults(), 0u);
    EXPECT_EQ(coordinator_.generation(), 1);
    EXPECT_EQ(coordinator_.members(), 2);
  }

  Error refused(ClientOptions options, int rank = 0) {
    return error_of([&] { TestMember(options, rank, 2).join(); });
  }

  Lines lines_;
  Coordinator coordinator_;
  const std::string address_;
  std::vector<std::unique_ptr<TestMember>> members_;
};

TEST_F(CoordinatorRefusalTest, AWrongSecret) {
  auto options = client_options(address_);
  for (const char* secret : {"s3cre", "s3crets", "x", "S3cret"}) {
    options.secret = secret;
    const auto error = refused(options);
    EXPECT_EQ(error.code(), ErrorCode::kInvalidArgument);
    EXPECT_EQ(error.what(), str_cat("the coordinator at ", address_,
                                    " refused this task: its secret is not the job's (set "
                                    "TRIREME_SECRET to the job's)"));
  }
  const auto line = lines_.wait_for("refused a connection");
  EXPECT_THAT(line, AllOf(HasSubstr("refused a connection from 127.0.0.1:"),
                          HasSubstr("its secret is not the job's"), Not(HasSubstr(kSecret))));
}

TEST_F(CoordinatorRefusalTest, NoSecret) {
  auto options = client_options(address_);
  options.secret = "";
  EXPECT_THAT(refused(options).what(), HasSubstr("refused this task: its secret is missing"));
  EXPECT_NE(lines_.wait_for("its secret is missing"), "");
}

TEST_F(CoordinatorRefusalTest, AnotherJob) {
  auto options = client_options(address_);
  options.job_id = "other";
  EXPECT_THAT(refused(options).what(),
              HasSubstr("it belongs to the job \"other\", this is the job \"job\""));
  EXPECT_NE(lines_.wait_for("it belongs to the job \"other\""), "");
}

// Whatever its bytes: it is a key, and is never sent. A name is.
TEST_F(CoordinatorRefusalTest, AStrangeSecretAndAStrangeName) {
  auto options = client_options(address_);
  for (const std::string& secret : {std::string("line\n"), std::string("ü"), std::string(" "),
                                    std::string(5000, 'x'), std::string(1, '\0')}) {
    options.secret = secret;
    EXPECT_THAT(error_of([&] { CoordinatorClient client(options); }).what(),
                HasSubstr("its secret is not the job's"));
  }
  options.secret = kSecret;
  options.job_id = "line\n";
  EXPECT_THAT(error_of([&] { CoordinatorClient client(options); }).what(),
              HasSubstr("the job's name must have at most 1024 printable"));
}

TEST_F(CoordinatorRefusalTest, ASecondRankZero) {
  const auto error = refused(client_options(address_));
  EXPECT_EQ(error.code(), ErrorCode::kInvalidArgument);
  EXPECT_THAT(error.what(), HasSubstr("two tasks were started as rank 0"));
  EXPECT_EQ(lines_.wait_for("two tasks"), str_cat("refused: ", error.what()));
}

TEST_F(CoordinatorRefusalTest, AnotherGraph) {
  TestMember member(address_, 1, 2);
  member.request.handshake["graph"] = "9f8e";
  const auto error = error_of([&] { member.join(); });
  EXPECT_EQ(error.code(), ErrorCode::kInvalidArgument);
  EXPECT_STREQ(error.what(),
               "rank 1 (host thread, pid 1001) has graph 9f8e, the job has 1a2b: all tasks must "
               "run the same program and job file on the same data");
  EXPECT_EQ(lines_.wait_for("9f8e"), str_cat("refused: ", error.what()));
}

TEST_F(CoordinatorRefusalTest, AnotherWorldSize) {
  TestMember member(address_, 1, 4);
  EXPECT_THAT(error_of([&] { member.join(); }).what(),
              HasSubstr("has world_size 4, the job has 2"));
}

TEST_F(CoordinatorRefusalTest, WhatIsTooLong) {
  TestMember member(address_, 1, 2);
  member.request.handshake["graph"] = std::string(2 << 20, 'x');
  EXPECT_THAT(error_of([&] { member.join(); }).what(), HasSubstr("its handshake is too long"));
  member.request.handshake["graph"] = std::string(5 << 20, 'x');
  EXPECT_NE(error_of([&] { member.join(); }).code(), ErrorCode::kInternal);
  EXPECT_NE(error_of([&] { members_[0]->client().put("k", std::string(5 << 20, 'x')); }).code(),
            ErrorCode::kInternal);
}

TEST_F(CoordinatorRefusalTest, APeerThatSpeaksSomethingElse) {
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(static_cast<uint16_t>(std::stoi(address_.substr(address_.rfind(':') + 1))));
  inet_pton(AF_INET, "127.0.0.1", &to.sin_addr);
  for (const std::string& garbage :
       {std::string("GET / HTTP/1.0\r\n\r\n"), std::string(100'000, '\xff'), std::string()}) {
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ASSERT_EQ(connect(fd, reinterpret_cast<sockaddr*>(&to), sizeof(to)), 0);
    send(fd, garbage.data(), garbage.size(), MSG_NOSIGNAL);
    close(fd);
  }
}

// What answers there is no coordinator.
TEST_F(CoordinatorRefusalTest, AServerThatSpeaksSomethingElse) {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in at{};
  at.sin_family = AF_INET;
  inet_pton(AF_INET, "127.0.0.1", &at.sin_addr);
  socklen_t length = sizeof(at);
  ASSERT_EQ(bind(fd, reinterpret_cast<sockaddr*>(&at), sizeof(at)), 0);
  ASSERT_EQ(listen(fd, 8), 0);
  ASSERT_EQ(getsockname(fd, reinterpret_cast<sockaddr*>(&at), &length), 0);
  auto options = client_options("127.0.0.1:" + std::to_string(ntohs(at.sin_port)));
  options.connect_timeout = 200ms;
  EXPECT_EQ(error_of([&] { CoordinatorClient client(options); }).code(), ErrorCode::kUnavailable);
  close(fd);
}

}  // namespace
}  // namespace trireme::testing
