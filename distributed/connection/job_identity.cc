// A certificate authority out of a secret, and a certificate by it, in memory.
#include <openssl/core_names.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <array>

#include "core/base/error.h"
#include "distributed/connection/tls_identity.h"

namespace trireme {
namespace {

using Bytes32 = std::array<unsigned char, 32>;

template <class T>
T* checked(T* object) {
  if (object == nullptr)
    throw failed("OpenSSL cannot make the job's certificate: ", openssl_error());
  return object;
}
void check(int result) {
  if (result <= 0) throw failed("OpenSSL cannot make the job's certificate: ", openssl_error());
}

// RFC 5869, with the purpose as salt.
Bytes32 derive(const std::string& secret, std::string purpose) {
  using Kdf = std::unique_ptr<EVP_KDF, OpensslFree<EVP_KDF_free>>;
  using Context = std::unique_ptr<EVP_KDF_CTX, OpensslFree<EVP_KDF_CTX_free>>;
  const Kdf kdf(checked(EVP_KDF_fetch(nullptr, "HKDF", nullptr)));
  const Context context(checked(EVP_KDF_CTX_new(kdf.get())));
  std::string hash = "SHA256", key = secret;
  const std::array parameters = {
      OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, hash.data(), 0),
      OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, key.data(), key.size()),
      OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SALT, purpose.data(), purpose.size()),
      OSSL_PARAM_construct_end()};
  Bytes32 result{};
  check(EVP_KDF_derive(context.get(), result.data(), result.size(), parameters.data()));
  OPENSSL_cleanse(key.data(), key.size());
  return result;
}

KeyPtr authority_key(const std::string& secret) {
  Bytes32 seed = derive(secret, "trireme job authority");
  KeyPtr key(EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, nullptr, seed.data(), seed.size()));
  OPENSSL_cleanse(seed.data(), seed.size());
  checked(key.get());
  return key;
}

// Part of the authority's name: what is signed by another secret's is found to be another's.
std::string fingerprint(EVP_PKEY* key) {
  Bytes32 raw{}, hash{};
  size_t size = raw.size();
  check(EVP_PKEY_get_raw_public_key(key, raw.data(), &size));
  check(EVP_Digest(raw.data(), size, hash.data(), nullptr, EVP_sha256(), nullptr));
  std::string text;
  for (size_t i = 0; i < 8; ++i) {
    text += "0123456789abcdef"[hash[i] >> 4];
    text += "0123456789abcdef"[hash[i] & 15];
  }
  return text;
}

void set_name(X509_NAME* name, const std::string& text) {
  // A common name has 64 bytes at most.
  check(X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8,
                                   reinterpret_cast<const unsigned char*>(text.data()),
                                   static_cast<int>(std::min<size_t>(text.size(), 64)), -1, 0));
}

void add_extension(X509* certificate, int kind, const std::string& value) {
  using Extension = std::unique_ptr<X509_EXTENSION, OpensslFree<X509_EXTENSION_free>>;
  const Extension extension(checked(X509V3_EXT_conf_nid(nullptr, nullptr, kind, value.c_str())));
  check(X509_add_ext(certificate, extension.get(), -1));
}

X509Ptr make_certificate(EVP_PKEY* key, const std::string& name, EVP_PKEY* signer,
                         const std::string& signer_name, const std::string& constraints) {
  X509Ptr certificate(checked(X509_new()));
  X509* x509 = certificate.get();
  check(X509_set_version(x509, X509_VERSION_3));
  std::array<unsigned char, 16> serial{};
  check(RAND_bytes(serial.data(), serial.size()));
  serial[0] = (serial[0] & 0x7f) | 0x40;  // positive
  using Number = std::unique_ptr<BIGNUM, OpensslFree<BN_free>>;
  const Number number(checked(BN_bin2bn(serial.data(), serial.size(), nullptr)));
  checked(BN_to_ASN1_INTEGER(number.get(), X509_get_serialNumber(x509)));
  // RFC 5280, 4.1.2.5: no date on which it is over. Clocks that are wrong do no harm either.
  check(ASN1_TIME_set_string_X509(X509_getm_notBefore(x509), "19700101000000Z"));
  check(ASN1_TIME_set_string_X509(X509_getm_notAfter(x509), "99991231235959Z"));
  set_name(X509_get_subject_name(x509), name);
  set_name(X509_get_issuer_name(x509), signer_name);
  check(X509_set_pubkey(x509, key));
  add_extension(x509, NID_basic_constraints, constraints);
  check(X509_sign(x509, signer, nullptr));
  return certificate;
}

}  // namespace

std::shared_ptr<const TlsIdentity> job_identity(const std::string& secret,
                                                const std::string& host) {
  if (secret.empty()) {
    throw invalid_argument(
        "TLS without certificates in files needs the job's secret: set TRIREME_SECRET, or give "
        "--tls-ca, --tls-cert and --tls-key");
  }
  const KeyPtr signer = authority_key(secret);
  const std::string name = "Trireme job " + fingerprint(signer.get());
  const X509Ptr authority =
      make_certificate(signer.get(), name, signer.get(), name, "critical,CA:TRUE");
  const KeyPtr key(checked(EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519")));
  const X509Ptr certificate = make_certificate(key.get(), host.empty() ? "a task" : host,
                                               signer.get(), name, "critical,CA:FALSE");

  auto identity = std::make_shared<TlsIdentity>();
  identity->context = make_tls_context();
  identity->of_job = true;
  identity->authorities = name;
  SSL_CTX* context = identity->context.get();
  check(X509_STORE_add_cert(SSL_CTX_get_cert_store(context), authority.get()));
  check(SSL_CTX_use_certificate(context, certificate.get()));
  check(SSL_CTX_use_PrivateKey(context, key.get()));
  return identity;
}

}  // namespace trireme
