#include "distributed/connection/tls_channel.h"

#include <algorithm>
#include <utility>

#include "core/base/error.h"

namespace trireme {
namespace {

TlsChannel* channel_of(BIO* bio) { return static_cast<TlsChannel*>(BIO_get_data(bio)); }

int bio_read(BIO* bio, char* data, int bytes) {
  BIO_clear_retry_flags(bio);
  ByteQueue& queue = channel_of(bio)->incoming;
  if (queue.empty()) {
    BIO_set_retry_read(bio);
    return -1;
  }
  const size_t count = std::min(queue.size(), static_cast<size_t>(bytes));
  std::memcpy(data, queue.data(), count);
  queue.take(count);
  return static_cast<int>(count);
}

int bio_write(BIO* bio, const char* data, int bytes) {
  BIO_clear_retry_flags(bio);
  channel_of(bio)->outgoing.append(data, static_cast<size_t>(bytes));
  return bytes;
}

long bio_control(BIO*, int command, long, void*) { return command == BIO_CTRL_FLUSH ? 1 : 0; }

BIO* make_bio(TlsChannel* channel) {
  static const BIO_METHOD* const method = [] {
    BIO_METHOD* made = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "tls channel");
    TRIREME_CHECK(made != nullptr);
    BIO_meth_set_read(made, bio_read);
    BIO_meth_set_write(made, bio_write);
    BIO_meth_set_ctrl(made, bio_control);
    return made;
  }();
  BIO* bio = BIO_new(method);
  TRIREME_CHECK(bio != nullptr);
  BIO_set_data(bio, channel);
  BIO_set_init(bio, 1);
  return bio;
}

}  // namespace

std::string openssl_error() {
  const unsigned long code = ERR_peek_last_error();
  ERR_clear_error();
  const char* reason = code == 0 ? nullptr : ERR_reason_error_string(code);
  return reason == nullptr ? "unknown error" : reason;
}

TlsChannel::TlsChannel(SslPtr ssl, uint64_t bytes_of_key)
    : ssl_(std::move(ssl)), bytes_of_key_(bytes_of_key) {
  BIO* bio = make_bio(this);
  SSL_set_bio(ssl_.get(), bio, bio);
}

TlsChannel::Result TlsChannel::result_of(int result) {
  switch (SSL_get_error(ssl_.get(), result)) {
    case SSL_ERROR_NONE:
      return Result::kDone;
    case SSL_ERROR_WANT_READ:
      return Result::kNeedsInput;
    case SSL_ERROR_ZERO_RETURN:
      return Result::kClosed;
    default:
      error_ = ERR_peek_error();
      ERR_clear_error();
      return Result::kFailed;
  }
}

TlsChannel::Result TlsChannel::handshake() {
  ERR_clear_error();
  return result_of(SSL_do_handshake(ssl_.get()));
}

TlsChannel::Result TlsChannel::decrypt(char* data, size_t bytes, size_t* count) {
  ERR_clear_error();
  *count = 0;
  while (*count < bytes) {
    size_t got = 0;
    const int result = SSL_read_ex(ssl_.get(), data + *count, bytes - *count, &got);
    if (result != 1) return result_of(result);
    *count += got;
  }
  return Result::kDone;
}

TlsChannel::Result TlsChannel::encrypt(const char* data, size_t bytes) {
  ERR_clear_error();
  sent_with_key_ += bytes;
  if (sent_with_key_ > bytes_of_key_) {
    sent_with_key_ = bytes;
    SSL_key_update(ssl_.get(), SSL_KEY_UPDATE_NOT_REQUESTED);
  }
  while (bytes > 0) {
    size_t written = 0;
    const int result = SSL_write_ex(ssl_.get(), data, bytes, &written);
    // Memory takes everything, so there is nothing to wait for.
    if (result != 1) return result_of(result), Result::kFailed;
    data += written;
    bytes -= written;
  }
  return Result::kDone;
}

void TlsChannel::close() {
  ERR_clear_error();
  SSL_shutdown(ssl_.get());
  ERR_clear_error();
}

}  // namespace trireme
