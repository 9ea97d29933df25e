// What people read about a certificate. Private to this folder.
#pragma once

#include <string>

#include "distributed/connection/openssl.h"

namespace trireme {

std::string date_text(const ASN1_TIME* time);  // "2026-01-31 12:00:00 UTC"
std::string now_text();
std::string name_text(const X509_NAME* name);  // "CN=n1,O=Company"
// Whom it is for: "n1, 10.0.0.1"; without such names its subject.
std::string names_of(X509* certificate);
std::string issuer_of(X509* certificate);

bool has_expired(X509* certificate);
bool is_not_yet_valid(X509* certificate);

}  // namespace trireme
