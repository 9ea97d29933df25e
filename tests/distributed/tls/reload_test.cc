// Certificates that are renewed while tasks run.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <functional>
#include <thread>

#include "tests/distributed/tls/meeting.h"
#include "tests/support/certificates.h"
#include "tests/support/process.h"

namespace trireme {
namespace {

using ::testing::HasSubstr;
using testing::meet;
using testing::PemCertificate;
using testing::TemporaryDirectory;
using testing::TestAuthority;
using testing::write_private;

class TlsReloadTest : public ::testing::Test {
 protected:
  void write(const PemCertificate& own) {
    write_private(files_.certificate, own.certificate);
    write_private(files_.key, own.key);
  }
  // Whether it is so within some seconds: files are looked at once a second.
  static bool comes(const std::function<bool()>& condition) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(10);
    while (!condition()) {
      if (std::chrono::steady_clock::now() > deadline) return false;
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
    }
    return true;
  }

  const TestAuthority company_{"Company"}, other_{"Others"};
  const testing::CertificateOptions good_{.names = {"IP:127.0.0.1"}};
  TemporaryDirectory folder_;
  const TlsFiles files_{
      .ca = folder_ / "ca.pem", .certificate = folder_ / "own.pem", .key = folder_ / "key.pem"};
};

// A cluster that runs for longer than its certificates are valid is not restarted for new ones.
TEST_F(TlsReloadTest, RenewedFilesAreUsedByTheNextConnections) {
  write_private(files_.ca, company_.certificate());
  write(company_.issue({.names = good_.names, .from = -7200, .until = -60}));
  const auto encryption = make_file_encryption(files_);
  EXPECT_THAT(meet(encryption.get(), encryption.get()).client_error, HasSubstr("has expired"));
  write(company_.issue(good_));
  EXPECT_TRUE(comes([&] { return meet(encryption.get(), encryption.get()).succeeded(); }));
  // Another authority, too.
  write_private(files_.ca, other_.certificate());
  EXPECT_TRUE(comes([&] {
    return meet(encryption.get(), encryption.get()).client_error.find("expected CN=Others") !=
           std::string::npos;
  }));
}

TEST_F(TlsReloadTest, BrokenFilesLeaveTheLastGoodOnesInUseUntilTheyAreMended) {
  write_private(files_.ca, company_.certificate());
  write(company_.issue(good_));
  const auto encryption = make_file_encryption(files_);
  ::testing::internal::CaptureStderr();
  write_private(files_.certificate, company_.issue(good_).certificate);  // of another key
  const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(2500);
  while (std::chrono::steady_clock::now() < end) {
    ASSERT_TRUE(meet(encryption.get(), encryption.get()).succeeded());
  }
  const std::string log = ::testing::internal::GetCapturedStderr();
  const std::string complaint = "is not the key of the first certificate";
  EXPECT_THAT(log, HasSubstr(complaint));
  EXPECT_EQ(log.find(complaint), log.rfind(complaint)) << "said more than once: " << log;
  write_private(files_.ca, other_.certificate());
  write(other_.issue(good_));
  const auto others = make_file_encryption(files_);
  EXPECT_TRUE(comes([&] { return meet(encryption.get(), others.get()).succeeded(); }));
}

}  // namespace
}  // namespace trireme
