#include "distributed/connection/tls_stream.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/x509v3.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include "core/base/error.h"
#include "distributed/connection/certificate_text.h"
#include "distributed/connection/tls_channel.h"
#include "distributed/connection/tls_errors.h"
#include "distributed/connection/tls_relay.h"

namespace trireme {
namespace {

constexpr size_t kChunk = 16 << 10;
constexpr size_t kFirstBytes = 8;
// protocol_version, fatal: what an end that speaks no TLS can tell TLS by.
constexpr std::array<char, 7> kAlert = {0x15, 3, 3, 0, 2, 2, 70};

int peer_index() {
  static const int index = SSL_get_ex_new_index(0, nullptr, nullptr, nullptr, nullptr);
  return index;
}

int verify(int ok, X509_STORE_CTX* store) {
  if (ok == 1) return 1;
  auto* ssl =
      static_cast<SSL*>(X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx()));
  auto* peer = static_cast<TlsPeer*>(SSL_get_ex_data(ssl, peer_index()));
  peer->verification = X509_STORE_CTX_get_error(store);
  if (X509* certificate = X509_STORE_CTX_get0_cert(store)) {
    peer->names = names_of(certificate);
    // Of a chain the one that is wrong tells more.
    X509* wrong = X509_STORE_CTX_get_current_cert(store);
    if (wrong == nullptr) wrong = certificate;
    peer->issuer = issuer_of(wrong);
    peer->from = date_text(X509_get0_notBefore(wrong));
    peer->until = date_text(X509_get0_notAfter(wrong));
  }
  return 0;
}

bool is_address(const std::string& host) {
  in6_addr address{};
  return inet_pton(AF_INET, host.c_str(), &address) == 1 ||
         inet_pton(AF_INET6, host.c_str(), &address) == 1;
}

SslPtr make_ssl(const TlsIdentity& identity, TlsPeer& peer) {
  SslPtr ssl(SSL_new(identity.context.get()));
  if (ssl == nullptr) throw failed("OpenSSL gives no TLS connection: ", openssl_error());
  SSL_set_ex_data(ssl.get(), peer_index(), &peer);
  SSL_set_verify(ssl.get(), SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, verify);
  const std::string& name = identity.expected_name.empty() ? peer.dialled : identity.expected_name;
  if (!identity.of_job && !name.empty()) {
    X509_VERIFY_PARAM* parameters = SSL_get0_param(ssl.get());
    X509_VERIFY_PARAM_set_hostflags(parameters, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    const int ok = is_address(name)
                       ? X509_VERIFY_PARAM_set1_ip_asc(parameters, name.c_str())
                       : X509_VERIFY_PARAM_set1_host(parameters, name.c_str(), name.size());
    if (ok != 1) throw invalid_argument("TLS: ", name, " can be no certificate's name");
  }
  if (peer.is_server) {
    SSL_set_connect_state(ssl.get());
  } else {
    SSL_set_accept_state(ssl.get());
  }
  return ssl;
}

class TlsStream final : public PendingStream {
 public:
  TlsStream(int socket, std::shared_ptr<const TlsIdentity> identity, TlsPeer peer)
      : socket_(socket), identity_(std::move(identity)), peer_(std::move(peer)) {
    channel_ = std::make_unique<TlsChannel>(make_ssl(*identity_, peer_));
    const int yes = 1;  // the last message of a handshake and the first byte after it go at once
    setsockopt(socket_, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
  }
  ~TlsStream() override {
    if (socket_ >= 0) close(socket_);
  }

  int descriptor() const override { return socket_; }

  Want handshake() override {
    while (true) {
      const auto result = channel_->handshake();
      if (result == TlsChannel::Result::kFailed) {
        // The alert with which the other end learns of it. What cannot be sent stays untold.
        try_flush();
        throw handshake_error(peer_, *identity_, channel_->error());
      }
      if (!flush()) return Want::kWrite;
      if (result == TlsChannel::Result::kDone) return Want::kNothing;
      if (!receive()) return Want::kRead;
    }
  }

  size_t read(void* data, size_t bytes) override {
    flush();
    while (true) {
      size_t count = 0;
      const auto result = channel_->decrypt(static_cast<char*>(data), bytes, &count);
      if (count > 0) return count;
      if (result == TlsChannel::Result::kClosed) throw gone("closed the connection");
      if (result == TlsChannel::Result::kFailed) throw failure();
      if (!receive()) return 0;
    }
  }

  size_t write(const void* data, size_t bytes) override {
    if (!flush()) return 0;
    const size_t count = std::min(bytes, kChunk);
    if (channel_->encrypt(static_cast<const char*>(data), count) != TlsChannel::Result::kDone) {
      throw failure();
    }
    flush();
    return count;
  }

  int release() override {
    SSL_set_ex_data(channel_->ssl(), peer_index(), nullptr);
    return start_tls_relay(std::exchange(socket_, -1), std::move(channel_));
  }

 private:
  Error gone(const std::string& how) const {
    return {ErrorCode::kUnavailable, str_cat("TLS: ", peer_.address, " ", how)};
  }
  // In TLS 1.3 a client's handshake is over before the server has seen its certificate: a refusal
  // comes in place of the first bytes.
  Error failure() const {
    if (!is_alert(channel_->error())) return gone("sent bytes that are no TLS");
    return handshake_error(peer_, *identity_, channel_->error());
  }

  // False: it has to wait until there is more.
  bool receive() {
    const ssize_t count = recv(socket_, channel_->incoming.space(kChunk), kChunk, MSG_DONTWAIT);
    if (count > 0) {
      channel_->incoming.added(static_cast<size_t>(count));
      if (first_.size() < 2) look_at_first(static_cast<size_t>(count));
      return true;
    }
    if (count < 0 && errno == EINTR) return receive();
    if (count < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return false;
    const std::string how = count == 0
                                ? "closed the connection"
                                : str_cat("broke the connection off (", std::strerror(errno), ")");
    if (SSL_is_init_finished(channel_->ssl()) == 0) throw closed_error(peer_, how);
    throw gone(how);
  }

  // `count`: of the bytes that came just now.
  void look_at_first(size_t count) {
    const ByteQueue& queue = channel_->incoming;
    first_.append(queue.data() + queue.size() - count, std::min(count, kFirstBytes));
    if (first_.size() < 2 || looks_like_tls(first_)) return;
    channel_->outgoing.clear();
    channel_->outgoing.append(kAlert.data(), kAlert.size());
    if (!peer_.is_server) try_flush();
    throw no_tls_error(peer_, first_);
  }

  // Whether all went.
  bool flush() {
    ByteQueue& queue = channel_->outgoing;
    while (!queue.empty()) {
      const ssize_t count = send(socket_, queue.data(), queue.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
      if (count > 0) {
        queue.take(static_cast<size_t>(count));
      } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
        return false;
      } else if (errno != EINTR) {
        // A peer that refuses this end says why before it closes: that can still be read.
        const int number = errno;
        queue.clear();
        throw_refusal();
        throw gone(str_cat("broke the connection off (", std::strerror(number), ")"));
      }
    }
    return true;
  }
  void try_flush() {
    const ByteQueue& queue = channel_->outgoing;
    if (queue.empty()) return;
    (void)!send(socket_, queue.data(), queue.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    // Bytes that were not read would make close() reset the connection, and the alert be lost.
    std::array<char, kChunk> rest;
    while (recv(socket_, rest.data(), rest.size(), MSG_DONTWAIT) ==
           static_cast<ssize_t>(rest.size())) {
    }
  }
  void throw_refusal() {
    if (!receive()) return;
    char none = 0;
    size_t count = 0;
    const auto result = SSL_is_init_finished(channel_->ssl()) == 1
                            ? channel_->decrypt(&none, 1, &count)
                            : channel_->handshake();
    if (result == TlsChannel::Result::kFailed && is_alert(channel_->error())) throw failure();
  }

  int socket_;
  const std::shared_ptr<const TlsIdentity> identity_;
  TlsPeer peer_;
  std::unique_ptr<TlsChannel> channel_;
  std::string first_;  // bytes, a few
};

}  // namespace

std::unique_ptr<PendingStream> make_tls_stream(int socket,
                                               std::shared_ptr<const TlsIdentity> identity,
                                               const std::string& peer,
                                               const std::string& dialled) {
  TlsPeer other;
  other.address = peer;
  other.dialled = dialled;
  other.is_server = !dialled.empty();
  try {
    return std::make_unique<TlsStream>(socket, std::move(identity), std::move(other));
  } catch (...) {
    close(socket);
    throw;
  }
}

}  // namespace trireme
