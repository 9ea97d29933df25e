// Who is refused, and what both ends say of it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <functional>

#include "core/base/error.h"
#include "tests/distributed/tls/meeting.h"
#include "tests/support/certificates.h"
#include "tests/support/process.h"

namespace trireme {
namespace {

using ::testing::AllOf;
using testing::CertificateOptions;
using ::testing::HasSubstr;
using testing::meet;
using testing::Meeting;
using ::testing::Not;
using testing::PemCertificate;
using testing::TemporaryDirectory;
using testing::TestAuthority;
using testing::write_private;

const std::string kSecret = "a secret of sixteen characters or more";

class TlsRefusalTest : public ::testing::Test {
 protected:
  // The files of a task.
  TlsFiles files(const std::string& task, const TestAuthority& believed,
                 const PemCertificate& own) {
    const TlsFiles files{.ca = folder_ / (task + "-ca.pem"),
                         .certificate = folder_ / (task + ".pem"),
                         .key = folder_ / (task + "-key.pem")};
    write_private(files.ca, believed.certificate());
    write_private(files.certificate, own.certificate);
    write_private(files.key, own.key);
    return files;
  }
  TlsFiles files(const std::string& task, const CertificateOptions& options) {
    return files(task, company_, company_.issue(options));
  }
  static std::string refusal(const std::function<void()>& call) {
    try {
      call();
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kInvalidArgument);
      return error.what();
    }
    return "";
  }

  TemporaryDirectory folder_;
  const TestAuthority company_{"Company"}, other_{"Others"};
  const CertificateOptions good_{.names = {"DNS:n1", "IP:127.0.0.1"}};
};

TEST_F(TlsRefusalTest, TasksWithOneSecretMeetByAnyName) {
  const auto one = make_job_encryption(kSecret, "n1"), two = make_job_encryption(kSecret, "n2");
  EXPECT_TRUE(meet(one.get(), two.get(), "any.name.or.alias").succeeded());
}

TEST_F(TlsRefusalTest, AnotherSecretIsRefusedByBothEndsInOneSentence) {
  const auto one = make_job_encryption(kSecret, "n1");
  const auto two = make_job_encryption(kSecret + "!", "n2");
  const Meeting meeting = meet(one.get(), two.get());
  EXPECT_THAT(meeting.client_error,
              AllOf(HasSubstr("the certificate of 127.0.0.1:"), HasSubstr("for CN=n2"),
                    HasSubstr("its secret is not that of this job")));
  EXPECT_THAT(meeting.server_error,
              AllOf(HasSubstr("10.1.2.3:4567 refuses this task's certificate"),
                    HasSubstr("start all tasks with the same secret")));
}

TEST_F(TlsRefusalTest, FilesOfOneAuthorityMeet) {
  const auto one = make_file_encryption(files("one", good_));
  const auto two = make_file_encryption(files("two", good_));
  EXPECT_TRUE(meet(one.get(), two.get()).succeeded());
  EXPECT_TRUE(meet(one.get(), two.get(), "n1").succeeded());
}

// Each end must notice it as the verifier, and understand it as the one that is refused.
TEST_F(TlsRefusalTest, AnExpiredCertificateIsRefusedWithItsDateOnBothSides) {
  const auto good = make_file_encryption(files("good", good_));
  const auto old =
      make_file_encryption(files("old", {.names = good_.names, .from = -7200, .until = -3600}));
  const Meeting served = meet(good.get(), old.get());
  EXPECT_THAT(served.client_error,
              AllOf(HasSubstr("the certificate of 127.0.0.1:"), HasSubstr("for n1, 127.0.0.1"),
                    HasSubstr("has expired, on "), HasSubstr("UTC now")));
  EXPECT_THAT(served.server_error,
              AllOf(HasSubstr("10.1.2.3:4567 refuses this task's certificate"),
                    HasSubstr("old.pem"), HasSubstr("it has expired, on "), HasSubstr("renew it")));
  const Meeting called = meet(old.get(), good.get());
  EXPECT_THAT(called.client_error,
              AllOf(HasSubstr("127.0.0.1:"), HasSubstr("refuses this task's certificate"),
                    HasSubstr("it has expired, on ")));
  EXPECT_THAT(called.server_error,
              AllOf(HasSubstr("the certificate of 10.1.2.3:4567"), HasSubstr("has expired, on ")));
}

TEST_F(TlsRefusalTest, ACertificateThatIsNotYetValidIsRefusedWithItsDateOnBothSides) {
  const auto good = make_file_encryption(files("good", good_));
  const auto early =
      make_file_encryption(files("early", {.names = good_.names, .from = 3600, .until = 7200}));
  for (const bool serves : {false, true}) {
    const Meeting meeting = serves ? meet(good.get(), early.get()) : meet(early.get(), good.get());
    const std::string& verifier = serves ? meeting.client_error : meeting.server_error;
    const std::string& refused = serves ? meeting.server_error : meeting.client_error;
    EXPECT_THAT(verifier, AllOf(HasSubstr("is valid only from "), HasSubstr("set the clocks")));
    EXPECT_THAT(refused, AllOf(HasSubstr("refuses this task's certificate"),
                               HasSubstr("it is valid only from ")));
  }
}

TEST_F(TlsRefusalTest, AnotherAuthorityIsNamedOnBothSides) {
  const auto good = make_file_encryption(files("good", good_));
  const auto foreign = make_file_encryption(files("foreign", company_, other_.issue(good_)));
  for (const bool serves : {false, true}) {
    const Meeting meeting =
        serves ? meet(good.get(), foreign.get()) : meet(foreign.get(), good.get());
    const std::string& verifier = serves ? meeting.client_error : meeting.server_error;
    const std::string& refused = serves ? meeting.server_error : meeting.client_error;
    EXPECT_THAT(verifier, HasSubstr("was issued by CN=Others, expected CN=Company"));
    EXPECT_THAT(refused, AllOf(HasSubstr("refuses this task's certificate"),
                               HasSubstr("issued by CN=Others: it believes other authorities")));
  }
}

TEST_F(TlsRefusalTest, AServerWithAnotherNameIsRefusedWithBothNames) {
  const auto good = make_file_encryption(files("good", good_));
  const auto elsewhere =
      make_file_encryption(files("elsewhere", {.names = {"DNS:n7", "IP:10.0.0.7"}}));
  for (const std::string dialled : {"127.0.0.1", "n1"}) {
    const Meeting meeting = meet(good.get(), elsewhere.get(), dialled);
    EXPECT_THAT(meeting.client_error, AllOf(HasSubstr("for n7, 10.0.0.7"),
                                            HasSubstr("does not have the name " + dialled)));
    EXPECT_THAT(meeting.server_error, AllOf(HasSubstr("refuses this task's certificate"),
                                            HasSubstr("which is for n7, 10.0.0.7")));
  }
}

// One name for all, where certificates say what a task is and not where: both ends ask for it.
TEST_F(TlsRefusalTest, ANameThatIsAskedOfEveryTaskIsAskedInBothDirections) {
  TlsFiles asked = files("asked", {.names = {"DNS:training.example"}});
  asked.name = "training.example";
  const auto good = make_file_encryption(asked);
  const auto wrong = make_file_encryption(files("wrong", good_));
  EXPECT_TRUE(meet(good.get(), good.get()).succeeded());
  for (const bool serves : {false, true}) {
    TlsFiles careless = files("wrong", {.names = {"DNS:web.example", "IP:127.0.0.1"}});
    const auto named = make_file_encryption(careless);
    const Meeting meeting = serves ? meet(good.get(), named.get()) : meet(named.get(), good.get());
    const std::string& verifier = serves ? meeting.client_error : meeting.server_error;
    if (serves) {
      EXPECT_THAT(verifier, AllOf(HasSubstr("for web.example, 127.0.0.1"),
                                  HasSubstr("does not have the name training.example")));
    } else {
      // The client finds first that the server is not where it dialled.
      EXPECT_THAT(meeting.client_error, HasSubstr("does not have the name 127.0.0.1"));
    }
  }
}

// Authorities of companies often issue for servers only.
TEST_F(TlsRefusalTest, ACertificateForServersOnlyIsRefusedAsAClientsWithWhatToDo) {
  const auto good = make_file_encryption(files("good", good_));
  const auto half =
      make_file_encryption(files("half", {.names = good_.names, .usage = "serverAuth"}));
  EXPECT_TRUE(meet(good.get(), half.get()).succeeded());
  const Meeting meeting = meet(half.get(), good.get());
  EXPECT_THAT(meeting.server_error,
              AllOf(HasSubstr("is not for clients"), HasSubstr("serverAuth and clientAuth")));
  EXPECT_THAT(meeting.client_error, HasSubstr("refuses this task's certificate"));
}

TEST_F(TlsRefusalTest, APeerInTheClearIsToldApartOnBothSides) {
  const auto encrypted = make_job_encryption(kSecret, "n1");
  const Meeting called = meet(nullptr, encrypted.get());
  EXPECT_THAT(called.server_error,
              AllOf(HasSubstr("10.1.2.3:4567 does not speak TLS"), HasSubstr("GET / HT"),
                    HasSubstr("start all tasks of a job with the same --tls")));
  const Meeting served = meet(encrypted.get(), nullptr);
  EXPECT_THAT(served.client_error, HasSubstr("does not speak TLS"));
}

// Ends that are not ours: what OpenSSL's own client and server say.
class TlsForeignerTest : public TlsRefusalTest {
 protected:
  // The error of our server, or of our client when `serves`, against a plain OpenSSL end.
  std::string ours_against(bool serves, int version, bool with_certificate) {
    const TlsFiles own = files("foreigner", good_);
    SSL_CTX* context = SSL_CTX_new(TLS_method());
    SSL_CTX_set_max_proto_version(context, version);
    if (with_certificate) {
      SSL_CTX_use_certificate_file(context, own.certificate.c_str(), SSL_FILETYPE_PEM);
      SSL_CTX_use_PrivateKey_file(context, own.key.c_str(), SSL_FILETYPE_PEM);
    }
    const testing::Sockets sockets = testing::connect_sockets();
    SSL* ssl = SSL_new(context);
    SSL_set_fd(ssl, serves ? sockets.server : sockets.client);
    serves ? SSL_set_accept_state(ssl) : SSL_set_connect_state(ssl);
    const auto ours = make_file_encryption(files("ours", good_));
    auto stream = serves ? ours->client(sockets.client, "127.0.0.1")
                         : ours->server(sockets.server, "10.1.2.3:4567");
    std::string error;
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(10);
    while (error.empty() && std::chrono::steady_clock::now() < deadline) {
      SSL_do_handshake(ssl);
      try {
        if (stream->handshake() == PendingStream::Want::kNothing) break;
      } catch (const Error& caught) {
        error = caught.what();
      }
      pollfd end{stream->descriptor(), POLLIN, 0};
      poll(&end, 1, 5);
    }
    SSL_free(ssl);
    SSL_CTX_free(context);
    close(serves ? sockets.server : sockets.client);
    return error;
  }
};

TEST_F(TlsForeignerTest, AClientWithoutACertificateIsRefused) {
  EXPECT_EQ(ours_against(false, TLS1_3_VERSION, true), "");  // the foreigner could be let in
  EXPECT_THAT(ours_against(false, TLS1_3_VERSION, false),
              HasSubstr("10.1.2.3:4567 shows no certificate"));
}

TEST_F(TlsForeignerTest, OlderVersionsOfTlsAreRefused) {
  EXPECT_THAT(ours_against(false, TLS1_2_VERSION, true),
              HasSubstr("10.1.2.3:4567 offers an older version of TLS, expected 1.3"));
  EXPECT_THAT(ours_against(true, TLS1_2_VERSION, true), HasSubstr("speaks no TLS 1.3"));
}

TEST_F(TlsRefusalTest, FilesThatCannotBeUsedAreRefusedByNameBeforeAnythingStarts) {
  const TlsFiles good = files("good", good_);
  const auto with = [&](const std::function<void(TlsFiles&)>& change) {
    TlsFiles changed = good;
    change(changed);
    return refusal([&] { make_file_encryption(changed); });
  };
  EXPECT_THAT(with([](TlsFiles& f) { f.key = ""; }), HasSubstr("the third is missing"));
  EXPECT_THAT(with([](TlsFiles& f) { f.ca += "x"; }),
              AllOf(HasSubstr("--tls-ca"), HasSubstr("No such file")));
  EXPECT_THAT(with([](TlsFiles& f) { f.certificate = f.key; }),
              AllOf(HasSubstr("--tls-cert"), HasSubstr("found none")));
  EXPECT_THAT(with([](TlsFiles& f) { f.key = f.ca; }),
              AllOf(HasSubstr("--tls-key"), HasSubstr("expected a private key in PEM")));
  const TlsFiles another = files("another", good_);
  EXPECT_THAT(with([&](TlsFiles& f) { f.key = another.key; }),
              HasSubstr("is not the key of the first certificate in "));
  EXPECT_THAT(with([&](TlsFiles& f) { f.ca = folder_ / ""; }), HasSubstr("not a regular file"));
  for (const mode_t mode : {0604, 0602, 0666}) {
    ASSERT_EQ(chmod(good.key.c_str(), mode), 0);
    EXPECT_THAT(with([](TlsFiles&) {}),
                AllOf(HasSubstr("--tls-key"), HasSubstr("others may read or change")));
  }
}

}  // namespace
}  // namespace trireme
