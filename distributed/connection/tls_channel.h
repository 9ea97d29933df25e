// One end of a TLS connection over bytes in memory: what the network brought goes in, what is to be
// sent comes out. It makes no system call. Private to this folder. One thread at a time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "distributed/connection/byte_queue.h"
#include "distributed/connection/openssl.h"

namespace trireme {

class TlsChannel {
 public:
  enum class Result { kDone, kNeedsInput, kClosed, kFailed };

  // A sender's key is changed after so many bytes: AES-GCM keeps its promise for 2^24.5 records of
  // one key (RFC 8446, 5.5), which a fast network sends within minutes.
  static constexpr uint64_t kBytesOfKey = uint64_t{32} << 30;

  explicit TlsChannel(SslPtr ssl, uint64_t bytes_of_key = kBytesOfKey);

  SSL* ssl() const { return ssl_.get(); }
  // From the network, and for it.
  ByteQueue incoming, outgoing;

  Result handshake();
  // Decrypts what came, at most `bytes`; `count`: how many. kNeedsInput with some bytes or none.
  Result decrypt(char* data, size_t bytes, size_t* count);
  // Encrypts all of it. kFailed: the connection is dead.
  Result encrypt(const char* data, size_t bytes);
  // Tells the peer that nothing follows.
  void close();

  // OpenSSL's code of the last kFailed; 0: the peer's bytes ended.
  unsigned long error() const { return error_; }

 private:
  Result result_of(int result);

  SslPtr ssl_;
  const uint64_t bytes_of_key_;
  uint64_t sent_with_key_ = 0;
  unsigned long error_ = 0;
};

}  // namespace trireme
