// Why two ends do not trust each other, in one sentence for people. Private to this folder.
#pragma once

#include <string>

#include "core/base/error.h"
#include "distributed/connection/tls_identity.h"

namespace trireme {

// Who is at the other end, and what of it has been found wrong.
struct TlsPeer {
  std::string address;     // "10.0.0.2:4711", with the name that was dialled
  std::string dialled;     // the name or address that its certificate must have; empty: any
  bool is_server = false;  // this task dialled it

  // Of the certificate that this task does not believe: a X509_V_ERR_…, and what it says of itself.
  int verification = 0;
  std::string names, issuer, from, until;
};

Error verification_error(const TlsPeer& peer, const TlsIdentity& own);
// `code`: OpenSSL's, of a handshake or the first bytes after it. An alert is the peer's refusal of
// this task's certificate.
Error handshake_error(const TlsPeer& peer, const TlsIdentity& own, unsigned long code);
bool is_alert(unsigned long code);
Error no_tls_error(const TlsPeer& peer, const std::string& first_bytes);
Error closed_error(const TlsPeer& peer, const std::string& how);

}  // namespace trireme
