// Certificate authorities and certificates for tests, in PEM.
#pragma once

#include <ctime>
#include <memory>
#include <string>
#include <vector>

namespace trireme::testing {

struct CertificateOptions {
  std::vector<std::string> names;  // as in subjectAltName: "DNS:n1", "IP:10.0.0.1"
  // Seconds from now.
  std::time_t from = -3600, until = 3600;
  std::string usage;  // extended key usage, e.g. "serverAuth"; empty: any
};

struct PemCertificate {
  std::string certificate, key;
};

class TestAuthority {
 public:
  explicit TestAuthority(const std::string& name);
  ~TestAuthority();
  std::string certificate() const;
  PemCertificate issue(const CertificateOptions& options) const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// Writes with mode 0600, through another file that then takes this name, as programs that renew
// certificates do.
void write_private(const std::string& path, const std::string& text);

}  // namespace trireme::testing
