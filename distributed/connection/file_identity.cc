#include <fcntl.h>
#include <openssl/pem.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <vector>

#include "core/base/error.h"
#include "distributed/connection/certificate_text.h"
#include "distributed/connection/tls_identity.h"

namespace trireme {
namespace {

constexpr size_t kLargestFile = 1 << 20;

Error cannot_use(const std::string& option, const std::string& path, const std::string& why) {
  return invalid_argument(option, " ", path, ": ", why);
}

struct File {
  std::string option, path, text;

  BioPtr bio() const {
    BioPtr result(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
    if (result == nullptr) throw failed("no memory for ", path);
    return result;
  }
  Error error(const std::string& why) const { return cannot_use(option, path, why); }
};

// Root's keys may be read by a group, as secrets in a pod are.
void check_owner(const struct stat& found, const std::string& option, const std::string& path) {
  const mode_t refused = found.st_uid == 0 ? S_IWGRP | S_IRWXO : S_IRWXG | S_IRWXO;
  if ((found.st_mode & refused) != 0) {
    throw cannot_use(option, path,
                     "others may read or change this private key; chmod 600 it, and draw a new one "
                     "if they may have");
  }
}

File read(const std::string& option, const std::string& path, bool is_key) {
  File file{option, path, ""};
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) throw cannot_use(option, path, std::strerror(errno));
  struct Closer {
    int fd;
    ~Closer() { close(fd); }
  } closer{fd};
  struct stat found {};
  if (fstat(fd, &found) != 0 || !S_ISREG(found.st_mode)) throw file.error("is not a regular file");
  if (is_key) check_owner(found, option, path);
  std::array<char, 4096> buffer{};
  for (ssize_t count = 0; (count = ::read(fd, buffer.data(), buffer.size())) != 0;) {
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) throw file.error(std::strerror(errno));
    file.text.append(buffer.data(), static_cast<size_t>(count));
    if (file.text.size() > kLargestFile) throw file.error("is larger than 1 MiB; expected PEM");
  }
  return file;
}

std::vector<X509Ptr> certificates_in(const File& file) {
  std::vector<X509Ptr> certificates;
  const BioPtr bio = file.bio();
  while (X509* next = PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr)) {
    certificates.emplace_back(next);
  }
  const bool at_end = ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
  const std::string why = openssl_error();
  if (!at_end) throw file.error(str_cat("a certificate in it cannot be read: ", why));
  if (certificates.empty()) {
    throw file.error("expected certificates in PEM (\"-----BEGIN CERTIFICATE-----\"), found none");
  }
  return certificates;
}

KeyPtr key_in(const File& file) {
  const auto no_password = [](char*, int, int, void*) { return -1; };
  KeyPtr key(PEM_read_bio_PrivateKey(file.bio().get(), nullptr, no_password, nullptr));
  const std::string why = openssl_error();
  if (key == nullptr) {
    throw file.error(str_cat("expected a private key in PEM that is not encrypted: ", why));
  }
  return key;
}

}  // namespace

std::shared_ptr<const TlsIdentity> read_identity(const TlsFiles& files) {
  if (files.ca.empty() || files.certificate.empty() || files.key.empty()) {
    throw invalid_argument(
        "TLS from files needs all of --tls-ca, --tls-cert and --tls-key (tls { ca cert key } of a "
        "job, TRIREME_TLS_CA, TRIREME_TLS_CERT, TRIREME_TLS_KEY); ",
        files.ca.empty()            ? "the first"
        : files.certificate.empty() ? "the second"
                                    : "the third",
        " is missing");
  }
  const File ca = read("--tls-ca", files.ca, false);
  const File own = read("--tls-cert", files.certificate, false);
  File secret = read("--tls-key", files.key, true);
  const KeyPtr key = key_in(secret);
  OPENSSL_cleanse(secret.text.data(), secret.text.size());

  auto identity = std::make_shared<TlsIdentity>();
  identity->context = make_tls_context();
  identity->expected_name = files.name;
  identity->source = files.certificate;
  SSL_CTX* context = identity->context.get();
  X509_STORE* store = SSL_CTX_get_cert_store(context);
  for (const X509Ptr& authority : certificates_in(ca)) {
    if (X509_STORE_add_cert(store, authority.get()) != 1) throw ca.error(openssl_error());
    const std::string name = name_text(X509_get_subject_name(authority.get()));
    identity->authorities += (identity->authorities.empty() ? "" : "; ") + name;
  }
  // What is in the file is believed, be it the root or one that the root has signed.
  X509_STORE_set_flags(store, X509_V_FLAG_PARTIAL_CHAIN);

  const std::vector<X509Ptr> chain = certificates_in(own);
  if (SSL_CTX_use_certificate(context, chain[0].get()) != 1) {
    throw own.error(str_cat("the certificate cannot be used: ", openssl_error()));
  }
  for (size_t i = 1; i < chain.size(); ++i) {
    if (SSL_CTX_add1_chain_cert(context, chain[i].get()) != 1) throw own.error(openssl_error());
  }
  if (X509_check_private_key(chain[0].get(), key.get()) != 1) {
    ERR_clear_error();
    throw secret.error(str_cat("is not the key of the first certificate in ", files.certificate));
  }
  if (SSL_CTX_use_PrivateKey(context, key.get()) != 1) {
    throw secret.error(str_cat("the key cannot be used: ", openssl_error()));
  }
  return identity;
}

}  // namespace trireme
