// What of TLS is used, whatever the identity is.
#if defined(__aarch64__)
#include <asm/hwcap.h>
#include <sys/auxv.h>
#endif

#include "core/base/error.h"
#include "distributed/connection/tls_identity.h"

namespace trireme {
namespace {

// Without instructions for AES, ChaCha20 is the faster by far.
bool has_fast_aes() {
#if defined(__x86_64__)
  return __builtin_cpu_supports("aes") != 0;
#elif defined(__aarch64__)
  return (getauxval(AT_HWCAP) & HWCAP_AES) != 0;
#else
  return false;
#endif
}

}  // namespace

SslContextPtr make_tls_context() {
  SslContextPtr context(SSL_CTX_new(TLS_method()));
  if (context == nullptr) throw failed("OpenSSL gives no TLS context: ", openssl_error());
  SSL_CTX* ctx = context.get();
  SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                               SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
  SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                            SSL_MODE_RELEASE_BUFFERS);
  SSL_CTX_set_max_cert_list(ctx, 32 << 10);  // of a peer that is not known yet
  const char* ciphers =
      has_fast_aes() ? "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256"
                     : "TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384";
  const bool ok = SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION) == 1 &&
                  SSL_CTX_set_num_tickets(ctx, 0) == 1 &&
                  SSL_CTX_set_ciphersuites(ctx, ciphers) == 1 &&
                  SSL_CTX_set1_groups_list(ctx, "X25519:P-256:P-384") == 1;
  if (!ok) throw failed("OpenSSL cannot do TLS 1.3 as it is set up here: ", openssl_error());
  return context;
}

bool looks_like_tls(std::string_view bytes) {
  // A record of TLS: change_cipher_spec, alert, handshake or application data, of version 3.x.
  return bytes.size() >= 2 && bytes[0] >= 0x14 && bytes[0] <= 0x17 && bytes[1] == 0x03;
}

}  // namespace trireme
