// Encryption as a user asks for it: by options, by variables, by the job; here on loopback.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/launcher/program.h"
#include "tests/support/certificates.h"

namespace trireme {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using testing::kProgram;
using ::testing::Not;
using testing::ProcessResult;
using testing::read_log;
using Words = std::vector<std::string>;

class TlsCommandTest : public ::testing::Test {
 protected:
  ProcessResult train(const Words& options, const Words& more = {}, const Words& environment = {}) {
    out_ = folder_ / ("out" + std::to_string(++runs_));
    Words words = {kProgram, "launch", "--workers", "2", "--threads", "1"};
    words.insert(words.end(), options.begin(), options.end());
    words.insert(words.end(), {folder_.write("job", testing::kSmallJob), "--output-dir", out_});
    words.insert(words.end(), {"--set", "distributed.backend=grpc"});
    words.insert(words.end(), more.begin(), more.end());
    return testing::run(words, environment);
  }
  // Of a certificate that no peer on loopback can believe: its name is another.
  struct Files {
    std::string ca, cert, key;
  };
  Files files_of_another_host() {
    const testing::TestAuthority company("Company");
    const auto own = company.issue({.names = {"DNS:elsewhere"}});
    const Files files{folder_ / "ca", folder_ / "cert", folder_ / "key"};
    testing::write_private(files.ca, company.certificate());
    testing::write_private(files.cert, own.certificate);
    testing::write_private(files.key, own.key);
    return files;
  }

  const testing::TemporaryDirectory folder_;
  std::string out_;
  int runs_ = 0;
};

TEST_F(TlsCommandTest, LossesDoNotDependOnIt) {
  const ProcessResult off = train({"--ps", "1", "--tls", "off"});
  ASSERT_EQ(off.exit_code, 0) << off.err;
  EXPECT_THAT(off.err, Not(HasSubstr("TLS is off")));  // nothing leaves loopback
  const std::string expected = read_log(out_ + "/log.csv");
  const ProcessResult on =
      train({"--ps", "1", "--tls", "on"}, {"--set", "parameter_servers.no_shared_memory=true"});
  ASSERT_EQ(on.exit_code, 0) << on.err;
  testing::expect_close(read_log(out_ + "/log.csv"), expected);
}

// Whether connections on loopback are encrypted is seen by who is refused.
TEST_F(TlsCommandTest, OptionsComeBeforeVariablesAndTheseBeforeTheJob) {
  const Files files = files_of_another_host();
  const Words job = {"--set", "distributed.tls.ca=" + files.ca,
                     "--set", "distributed.tls.cert=" + files.cert,
                     "--set", "distributed.tls.key=" + files.key};
  const auto with_mode = [&](const std::string& mode) {
    Words words = job;
    words.insert(words.end(), {"--set", "distributed.tls.mode=" + mode});
    return words;
  };
  EXPECT_EQ(train({}, with_mode("auto")).exit_code, 0);
  const ProcessResult refused = train({}, with_mode("on"));
  EXPECT_EQ(refused.exit_code, 2);
  EXPECT_THAT(refused.err,
              AllOf(HasSubstr("for elsewhere"), HasSubstr("does not have the name 127.0.0.1")));
  EXPECT_EQ(train({}, with_mode("on"), {"TRIREME_TLS=off"}).exit_code, 0);
  EXPECT_EQ(train({}, with_mode("off"), {"TRIREME_TLS=on"}).exit_code, 2);
  EXPECT_EQ(train({"--tls", "auto"}, with_mode("off"), {"TRIREME_TLS=on"}).exit_code, 0);
}

TEST_F(TlsCommandTest, WhatCannotBeUsedIsSaidBeforeAnythingStarts) {
  const ProcessResult missing =
      train({"--tls-ca", folder_ / "nothing", "--tls-cert", "c", "--tls-key", "k"});
  EXPECT_EQ(missing.exit_code, 2);
  EXPECT_THAT(missing.err,
              AllOf(HasSubstr("--tls-ca " + (folder_ / "nothing")), HasSubstr("No such file")));
  const ProcessResult mode = train({}, {"--set", "distributed.tls.mode=sometimes"});
  EXPECT_EQ(mode.exit_code, 2);
  EXPECT_THAT(mode.err, HasSubstr("distributed.tls.mode: sometimes: expected auto, on or off"));
  const ProcessResult half = train({"--tls-ca", folder_ / "ca"});
  EXPECT_EQ(half.exit_code, 2);
  EXPECT_THAT(half.err, HasSubstr("needs all of --tls-ca, --tls-cert and --tls-key"));
}

}  // namespace
}  // namespace trireme
