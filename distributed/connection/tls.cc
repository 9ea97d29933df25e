#include "distributed/connection/tls.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <array>
#include <chrono>
#include <utility>

#include "core/base/error.h"
#include "core/base/logging.h"
#include "core/base/thread_annotations.h"
#include "distributed/connection/certificate_text.h"
#include "distributed/connection/tls_identity.h"
#include "distributed/connection/tls_stream.h"

namespace trireme {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::chrono::seconds kLookEvery(1);
constexpr std::chrono::seconds kComplainEvery(60);

// "n1 (10.0.0.1:29400)"
std::string peer_text(int socket, const std::string& host) {
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  std::array<char, INET6_ADDRSTRLEN> text{};
  std::string numeric, with_port;
  if (getpeername(socket, reinterpret_cast<sockaddr*>(&address), &size) == 0) {
    if (address.ss_family == AF_INET) {
      const auto& v4 = reinterpret_cast<const sockaddr_in&>(address);
      numeric = inet_ntop(AF_INET, &v4.sin_addr, text.data(), text.size());
      with_port = str_cat(numeric, ":", ntohs(v4.sin_port));
    } else if (address.ss_family == AF_INET6) {
      const auto& v6 = reinterpret_cast<const sockaddr_in6&>(address);
      numeric = inet_ntop(AF_INET6, &v6.sin6_addr, text.data(), text.size());
      with_port = str_cat("[", numeric, "]:", ntohs(v6.sin6_port));
    }
  }
  if (with_port.empty()) return host;
  return numeric == host ? with_port : str_cat(host, " (", with_port, ")");
}

// The identity of this moment is asked for by each connection.
class TlsEncryption : public Encryption {
 public:
  explicit TlsEncryption(bool covers_loopback) : covers_loopback_(covers_loopback) {}

  std::unique_ptr<PendingStream> client(int socket, const std::string& host) const override {
    return make_tls_stream(socket, identity(), peer_text(socket, host), host);
  }
  std::unique_ptr<PendingStream> server(int socket, const std::string& peer) const override {
    return make_tls_stream(socket, identity(), peer, "");
  }
  bool covers_loopback() const override { return covers_loopback_; }

 private:
  virtual std::shared_ptr<const TlsIdentity> identity() const = 0;

  const bool covers_loopback_;
};

class JobEncryption final : public TlsEncryption {
 public:
  JobEncryption(const std::string& secret, const std::string& host, bool covers_loopback)
      : TlsEncryption(covers_loopback), identity_(job_identity(secret, host)) {}

 private:
  std::shared_ptr<const TlsIdentity> identity() const override { return identity_; }

  const std::shared_ptr<const TlsIdentity> identity_;
};

// What of a file tells that it has been replaced or written to.
using Stamp = std::array<int64_t, 6>;
using Stamps = std::array<Stamp, 3>;

Stamp stamp_of(const std::string& path) {
  struct stat found {};
  if (stat(path.c_str(), &found) != 0) return {};
  return {static_cast<int64_t>(found.st_dev),
          static_cast<int64_t>(found.st_ino),
          static_cast<int64_t>(found.st_size),
          found.st_mtim.tv_sec,
          found.st_mtim.tv_nsec,
          static_cast<int64_t>(found.st_mode)};
}

class FileEncryption final : public TlsEncryption {
 public:
  FileEncryption(TlsFiles files, bool covers_loopback)
      : TlsEncryption(covers_loopback),
        files_(std::move(files)),
        read_(stamps()),
        looked_(Clock::now()) {
    identity_ = read_identity(files_);
    warn_of_dates();
  }

 private:
  Stamps stamps() const {
    return {stamp_of(files_.ca), stamp_of(files_.certificate), stamp_of(files_.key)};
  }

  std::shared_ptr<const TlsIdentity> identity() const override {
    MutexLock lock(mutex_);
    const auto now = Clock::now();
    if (now - looked_ >= kLookEvery) {
      looked_ = now;
      const Stamps found = stamps();
      if (found != read_) read_again(found);
    }
    return identity_;
  }

  void read_again(const Stamps& found) const REQUIRES(mutex_) {
    try {
      identity_ = read_identity(files_);
      read_ = found;
      complaint_.clear();
      log_info(str_cat("TLS: read ", files_.certificate, " again: for ",
                       names_of(identity_->certificate()), ", until ",
                       date_text(X509_get0_notAfter(identity_->certificate()))));
      warn_of_dates();
    } catch (const Error& error) {
      // They may be in the middle of being replaced, so the next second tries again.
      const auto now = Clock::now();
      if (complaint_ == error.what() && now - complained_ < kComplainEvery) return;
      complaint_ = error.what();
      complained_ = now;
      log_warning(
          str_cat("TLS: the certificates have changed and cannot be used; those that were "
                  "read before stay in use: ",
                  error.what()));
    }
  }

  void warn_of_dates() const {
    X509* const certificate = identity_->certificate();
    if (has_expired(certificate)) {
      log_warning(str_cat("TLS: the certificate ", files_.certificate, " has expired, on ",
                          date_text(X509_get0_notAfter(certificate)),
                          ": peers will refuse this task until it is renewed"));
    } else if (is_not_yet_valid(certificate)) {
      log_warning(str_cat("TLS: the certificate ", files_.certificate, " is valid only from ",
                          date_text(X509_get0_notBefore(certificate)),
                          ": peers will refuse this task until then"));
    }
  }

  const TlsFiles files_;
  mutable Mutex mutex_;
  mutable Stamps read_ GUARDED_BY(mutex_);
  mutable Clock::time_point looked_ GUARDED_BY(mutex_);
  mutable std::shared_ptr<const TlsIdentity> identity_;
  mutable std::string complaint_ GUARDED_BY(mutex_);
  mutable Clock::time_point complained_ GUARDED_BY(mutex_);
};

}  // namespace

std::shared_ptr<const Encryption> make_job_encryption(const std::string& secret,
                                                      const std::string& host,
                                                      bool covers_loopback) {
  return std::make_shared<JobEncryption>(secret, host, covers_loopback);
}

std::shared_ptr<const Encryption> make_file_encryption(const TlsFiles& files,
                                                       bool covers_loopback) {
  return std::make_shared<FileEncryption>(files, covers_loopback);
}

}  // namespace trireme
