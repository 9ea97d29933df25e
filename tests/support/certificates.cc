#include "tests/support/certificates.h"

#include <fcntl.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <stdexcept>

namespace trireme::testing {
namespace {

void require(bool condition) {
  if (!condition) throw std::runtime_error("OpenSSL cannot make a certificate for a test");
}

struct Free {
  void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
  void operator()(X509* certificate) const { X509_free(certificate); }
  void operator()(BIO* bio) const { BIO_free(bio); }
};
using Key = std::unique_ptr<EVP_PKEY, Free>;
using Certificate = std::unique_ptr<X509, Free>;

std::string text_of(BIO* bio) {
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio, &data);
  return {data, static_cast<size_t>(size)};
}

std::string pem(X509* certificate) {
  const std::unique_ptr<BIO, Free> bio(BIO_new(BIO_s_mem()));
  require(PEM_write_bio_X509(bio.get(), certificate) == 1);
  return text_of(bio.get());
}

std::string pem(EVP_PKEY* key) {
  const std::unique_ptr<BIO, Free> bio(BIO_new(BIO_s_mem()));
  require(PEM_write_bio_PrivateKey(bio.get(), key, nullptr, nullptr, 0, nullptr, nullptr) == 1);
  return text_of(bio.get());
}

Key new_key() { return Key(EVP_PKEY_Q_keygen(nullptr, nullptr, "EC", "P-256")); }

void extend(X509* certificate, int kind, const std::string& value) {
  X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, nullptr, kind, value.c_str());
  require(extension != nullptr && X509_add_ext(certificate, extension, -1) == 1);
  X509_EXTENSION_free(extension);
}

void set_name(X509_NAME* name, const std::string& text) {
  require(X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
                                     reinterpret_cast<const unsigned char*>(text.c_str()), -1, -1,
                                     0) == 1);
}

Certificate begin(EVP_PKEY* key, const std::string& name, const std::string& issuer,
                  std::time_t from, std::time_t until) {
  static std::atomic<long> serial{1};
  Certificate certificate(X509_new());
  require(X509_set_version(certificate.get(), X509_VERSION_3) == 1);
  ASN1_INTEGER_set(X509_get_serialNumber(certificate.get()), serial++);
  X509_gmtime_adj(X509_getm_notBefore(certificate.get()), from);
  X509_gmtime_adj(X509_getm_notAfter(certificate.get()), until);
  set_name(X509_get_subject_name(certificate.get()), name);
  set_name(X509_get_issuer_name(certificate.get()), issuer);
  require(X509_set_pubkey(certificate.get(), key) == 1);
  return certificate;
}

}  // namespace

struct TestAuthority::Impl {
  std::string name;
  Key key;
  Certificate certificate;
};

TestAuthority::TestAuthority(const std::string& name) : impl_(new Impl{name, new_key(), nullptr}) {
  impl_->certificate = begin(impl_->key.get(), name, name, -86400, 86400);
  extend(impl_->certificate.get(), NID_basic_constraints, "critical,CA:TRUE");
  require(X509_sign(impl_->certificate.get(), impl_->key.get(), EVP_sha256()) > 0);
}
TestAuthority::~TestAuthority() = default;

std::string TestAuthority::certificate() const { return pem(impl_->certificate.get()); }

PemCertificate TestAuthority::issue(const CertificateOptions& options) const {
  const Key key = new_key();
  const Certificate certificate =
      begin(key.get(), "a task", impl_->name, options.from, options.until);
  std::string names;
  for (const std::string& name : options.names) names += (names.empty() ? "" : ",") + name;
  if (!names.empty()) extend(certificate.get(), NID_subject_alt_name, names);
  if (!options.usage.empty()) extend(certificate.get(), NID_ext_key_usage, options.usage);
  require(X509_sign(certificate.get(), impl_->key.get(), EVP_sha256()) > 0);
  return {pem(certificate.get()), pem(key.get())};
}

void write_private(const std::string& path, const std::string& text) {
  const std::string other = path + ".new";
  unlink(other.c_str());
  const int fd = open(other.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  require(fd >= 0 && write(fd, text.data(), text.size()) == static_cast<ssize_t>(text.size()));
  close(fd);
  require(std::rename(other.c_str(), path.c_str()) == 0);
}

}  // namespace trireme::testing
