// Jobs on two hosts: what somebody on the network between them can read, and who is refused.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "tests/launcher/program.h"
#include "tests/netlab/capture.h"
#include "tests/support/certificates.h"
#include "tests/support/process.h"
#include "tests/support/training_log.h"

namespace trireme {
namespace {

using namespace std::chrono_literals;
using ::testing::AllOf;
using testing::Capture;
using testing::CertificateOptions;
using ::testing::HasSubstr;
using testing::kProgram;
using testing::Process;
using testing::ProcessResult;
using testing::TemporaryDirectory;
using testing::TestAuthority;
using testing::write_private;
using Words = std::vector<std::string>;

class NetlabTlsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    const ProcessResult works = testing::run({kNetwork, "check"});
    if (works.exit_code != 0) GTEST_SKIP() << works.out << works.err;
    const ProcessResult up = testing::run({kNetwork, "up", kName, "2", "1gbit"});
    ASSERT_EQ(up.exit_code, 0) << up.err;
    is_up_ = true;
    job_ = folder_.write("job.textproto", testing::kSmallJob);
  }
  void TearDown() override {
    if (is_up_) testing::run({kNetwork, "down", kName});
  }

  std::unique_ptr<Process> launch(int rank, const Words& options,
                                  const std::string& secret = kSecret) {
    Words words = {kNetwork, "run", kName, std::to_string(rank + 1), kProgram, "launch"};
    words.insert(words.end(), {"--nodes", "2", "--node-rank", std::to_string(rank)});
    words.insert(words.end(), {"--coordinator", "10.78.0.1:29400", "--threads", "1"});
    words.insert(words.end(), {"--log-dir", folder_ / ("logs" + std::to_string(rank))});
    words.insert(words.end(), {"--join-timeout", "8", "--grace", "1"});
    words.insert(words.end(), options.begin(), options.end());
    words.insert(words.end(), {job_, "--output-dir", folder_ / ("out" + std::to_string(++runs_))});
    words.insert(words.end(), {"--set", "distributed.backend=grpc"});
    return std::make_unique<Process>(words, Words{"TRIREME_SECRET=" + secret});
  }
  // Trains on both hosts; what went between them.
  std::map<std::string, std::string> capture_of(const Words& options) {
    Capture capture(kName);
    const auto first = launch(0, options), second = launch(1, options);
    const ProcessResult one = first->wait(60s), two = second->wait(60s);
    EXPECT_EQ(one.exit_code, 0) << one.err;
    EXPECT_EQ(two.exit_code, 0) << two.err;
    output_ = one.err + two.err;
    return capture.stop();
  }

  // Options for a task with a certificate by `issuer`, of a cluster that believes the company.
  Words with_files(const std::string& task, const TestAuthority& issuer,
                   const CertificateOptions& options) {
    const auto own = issuer.issue(options);
    const Words paths = {folder_ / (task + "-ca"), folder_ / (task + "-cert"),
                         folder_ / (task + "-key")};
    write_private(paths[0], company_.certificate());
    write_private(paths[1], own.certificate);
    write_private(paths[2], own.key);
    return {"--tls-ca", paths[0], "--tls-cert", paths[1], "--tls-key", paths[2]};
  }
  // What the launchers of both hosts say when the second may not join the first.
  struct Said {
    std::string first, second;
  };
  Said refused(const Words& first_options, const Words& second_options,
               const std::string& second_secret = kSecret) {
    const auto first = launch(0, first_options);
    EXPECT_TRUE(first->wait_for_error_output("logs in ", 30s));
    const auto second = launch(1, second_options, second_secret);
    const ProcessResult two = second->wait(40s);
    EXPECT_EQ(two.exit_code, 2) << two.err;
    first->signal(SIGTERM);
    const ProcessResult one = first->wait(40s);
    EXPECT_NE(one.exit_code, 0);
    return {one.err, two.err};
  }

  static inline const std::string kNetwork =
      std::string(TRIREME_SOURCE_DIR) + "/tests/support/local_network";
  static inline const std::string kName = "tls-" + std::to_string(getpid());
  static inline const std::string kSecret = "of-two-hosts-0123456789";
  const TestAuthority company_{"Company"}, other_{"Others"};
  const CertificateOptions first_host_{.names = {"IP:10.78.0.1"}},
      second_host_{.names = {"IP:10.78.0.2"}};
  TemporaryDirectory folder_;
  std::string job_, output_;
  bool is_up_ = false;
  int runs_ = 0;
};

// Whether a direction of a connection is nothing but records of TLS 1.3, of which some are
// encrypted data. The capture may end within one.
bool is_tls(const std::string& stream) {
  bool encrypted = false;
  for (size_t at = 0; at + 5 <= stream.size();) {
    const auto byte = [&](size_t i) { return static_cast<unsigned char>(stream[at + i]); };
    const bool known = byte(0) == 0x17 || (!encrypted && (byte(0) == 0x16 || byte(0) == 0x14));
    if (!known || byte(1) != 3 || (byte(2) != 3 && byte(2) != 1)) return false;
    encrypted |= byte(0) == 0x17;
    at += 5 + byte(3) * 256U + byte(4);
  }
  return encrypted;
}

// Of gRPC, the protocol and the model: each would be in a connection in the clear.
const Words kPayload = {"PRI * HTTP/2.0", "trireme", "grpc", "logits"};

int occurrences(const std::map<std::string, std::string>& streams, const std::string& text) {
  int count = 0;
  for (const auto& [name, bytes] : streams) count += bytes.find(text) != std::string::npos ? 1 : 0;
  return count;
}

TEST_F(NetlabTlsTest, ConnectionsBetweenHostsAreEncryptedWithoutBeingAskedFor) {
  const auto streams = capture_of({"--ps", "1", "--workers", "1"});
  // The second host's launcher, worker and server reach the first one's coordinator and server.
  EXPECT_GE(streams.size(), 8U);
  size_t bytes = 0;
  for (const auto& [name, stream] : streams) {
    EXPECT_TRUE(is_tls(stream)) << name << ": " << stream.substr(0, 40);
    bytes += stream.size();
  }
  EXPECT_GT(bytes, 30'000U);
  for (const std::string& text : kPayload) EXPECT_EQ(occurrences(streams, text), 0) << text;
}

// The test above could not fail if this one did not see what is in the clear.
TEST_F(NetlabTlsTest, TlsOffIsInTheClearAndSaidInTheLog) {
  const auto streams = capture_of({"--ps", "1", "--workers", "1", "--tls", "off"});
  for (const std::string& text : kPayload) EXPECT_GT(occurrences(streams, text), 0) << text;
  for (const auto& [name, stream] : streams) EXPECT_FALSE(is_tls(stream)) << name;
  EXPECT_THAT(output_, HasSubstr("TLS is off: whoever is on the network can read and change"));
}

TEST_F(NetlabTlsTest, FilesOfACompanysAuthorityAreUsedAndLeaveNothingInTheClear) {
  Capture capture(kName);
  const auto first = launch(0, with_files("first", company_, first_host_));
  const auto second = launch(1, with_files("second", company_, second_host_));
  const ProcessResult one = first->wait(60s), two = second->wait(60s);
  EXPECT_EQ(one.exit_code, 0) << one.err;
  EXPECT_EQ(two.exit_code, 0) << two.err;
  const auto streams = capture.stop();
  EXPECT_FALSE(streams.empty());
  for (const auto& [name, stream] : streams) EXPECT_TRUE(is_tls(stream)) << name;
}

TEST_F(NetlabTlsTest, AnExpiredCertificateIsRefusedWithItsDateOnBothHosts) {
  CertificateOptions expired = second_host_;
  expired.until = -60;
  const Said said =
      refused(with_files("first", company_, first_host_), with_files("second", company_, expired));
  EXPECT_THAT(said.first, AllOf(HasSubstr("the certificate of 10.78.0.2:"),
                                HasSubstr("has expired, on "), HasSubstr("UTC now")));
  EXPECT_THAT(said.second, AllOf(HasSubstr("10.78.0.1:29400 refuses this task's certificate"),
                                 HasSubstr("it has expired, on ")));
}

TEST_F(NetlabTlsTest, AnotherNameIsRefusedWithBothNamesOnBothHosts) {
  const auto named = [&](const std::string& task, const std::string& name) {
    Words options = with_files(task, company_, {.names = {"DNS:" + name}});
    options.insert(options.end(), {"--tls-name", "training.example"});
    return options;
  };
  const Said said = refused(named("first", "training.example"), named("second", "web.example"));
  EXPECT_THAT(said.first,
              AllOf(HasSubstr("the certificate of 10.78.0.2:"), HasSubstr(", for web.example, "),
                    HasSubstr("does not have the name training.example")));
  EXPECT_THAT(said.second, AllOf(HasSubstr("10.78.0.1:29400 refuses this task's certificate"),
                                 HasSubstr("which is for web.example")));
}

// A server whose certificate names another host: here the first host's worker is the client, too.
TEST_F(NetlabTlsTest, AServerWithAnotherNameIsRefusedByItsClients) {
  const auto first = launch(0, with_files("first", company_, {.names = {"IP:10.78.0.9"}}));
  const ProcessResult one = first->wait(40s);
  EXPECT_EQ(one.exit_code, 2) << one.err;
  EXPECT_THAT(one.err, AllOf(HasSubstr("the certificate of 10.78.0.1:29400, for 10.78.0.9, does "
                                       "not have the name 10.78.0.1 by which it was reached"),
                             HasSubstr("refuses this task's certificate"),
                             HasSubstr("which is for 10.78.0.9")));
}

TEST_F(NetlabTlsTest, AnotherAuthorityIsRefusedByNameOnBothHosts) {
  const Said said = refused(with_files("first", company_, first_host_),
                            with_files("second", other_, second_host_));
  EXPECT_THAT(said.first, AllOf(HasSubstr("the certificate of 10.78.0.2:"),
                                HasSubstr("was issued by CN=Others, expected CN=Company")));
  EXPECT_THAT(said.second, AllOf(HasSubstr("10.78.0.1:29400 refuses this task's certificate"),
                                 HasSubstr("issued by CN=Others")));
}

TEST_F(NetlabTlsTest, AnotherSecretIsRefusedOnBothHosts) {
  const Said said = refused({}, {}, kSecret + "-another");
  EXPECT_THAT(said.second, AllOf(HasSubstr("the certificate of 10.78.0.1:29400"),
                                 HasSubstr("its secret is not that of this job")));
  EXPECT_THAT(said.first, AllOf(HasSubstr("10.78.0.2:"), HasSubstr("its secret is another")));
}

TEST_F(NetlabTlsTest, AHostInTheClearIsRefusedOnBothHosts) {
  const Said said = refused({}, {"--tls", "off"});
  EXPECT_THAT(said.second, HasSubstr("this job's connections are encrypted"));
  EXPECT_THAT(said.first,
              AllOf(HasSubstr("10.78.0.2"), HasSubstr("this job's connections are encrypted")));
  const Said other = refused({"--tls", "off"}, {});
  EXPECT_THAT(other.second, HasSubstr("this job's connections are not encrypted"));
  EXPECT_THAT(other.first, HasSubstr("it wants to speak TLS"));
}

}  // namespace
}  // namespace trireme
