// What users say of TLS, by flags, TRIREME_TLS* variables and `tls { }` of a job.
#pragma once

#include <string>

namespace trireme {

// PEM files. Either all of the first three are given or none.
struct TlsFiles {
  std::string ca;           // certificates of the authorities that are believed
  std::string certificate;  // this task's, followed by the intermediate ones
  std::string key;          // its private key, not encrypted
  // A name that every peer's certificate must have, in both directions; empty: that of a server
  // must have the name or address that was dialled, and that of a client any.
  std::string name = {};

  bool any() const { return !(ca + certificate + key + name).empty(); }
  friend bool operator==(const TlsFiles&, const TlsFiles&) = default;
};

struct TlsSettings {
  // auto: connections that are not between two loopback addresses; on: these as well; off: none.
  // Empty: auto.
  std::string mode;
  TlsFiles files;  // none: certificates are made from the job's secret

  friend bool operator==(const TlsSettings&, const TlsSettings&) = default;
};

// `first`, and what it does not say from `second`.
inline TlsSettings merge(TlsSettings first, const TlsSettings& second) {
  const auto take = [](std::string& value, const std::string& other) {
    if (value.empty()) value = other;
  };
  take(first.mode, second.mode);
  take(first.files.ca, second.files.ca);
  take(first.files.certificate, second.files.certificate);
  take(first.files.key, second.files.key);
  take(first.files.name, second.files.name);
  return first;
}

}  // namespace trireme
