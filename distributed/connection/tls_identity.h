// What a task shows in TLS handshakes and whom it believes. Immutable; any thread. Private to this
// folder.
#pragma once

#include <memory>
#include <string>

#include "distributed/connection/openssl.h"
#include "distributed/connection/tls.h"

namespace trireme {

struct TlsIdentity {
  SslContextPtr context;
  bool of_job = false;        // made from the job's secret; else from files
  std::string authorities;    // that are believed, for messages
  std::string expected_name;  // of every peer; empty: see TlsFiles::name
  std::string source;         // of this task's certificate, for messages: "FILE" or empty

  X509* certificate() const { return SSL_CTX_get0_certificate(context.get()); }
};

// Both throw Error{kInvalidArgument}.
std::shared_ptr<const TlsIdentity> job_identity(const std::string& secret, const std::string& host);
std::shared_ptr<const TlsIdentity> read_identity(const TlsFiles& files);

// A context for both ends, with what this folder allows, without a certificate.
SslContextPtr make_tls_context();

}  // namespace trireme
