#include "launcher/tls_options.h"

#include <CLI/CLI.hpp>

#include "proto/job.pb.h"

namespace trireme {

void add_tls_options(CLI::App& command, TlsSettings& settings, bool mode_only) {
  command
      .add_option("--tls", settings.mode,
                  mode_only ? "auto (only between hosts), on or off: encryption of connections"
                            : "Encryption of connections: auto (those that leave the host), on "
                              "(also on loopback) or off (else TRIREME_TLS, else the job's "
                              "distributed.tls.mode, else auto)")
      ->check(CLI::IsMember({"auto", "on", "off"}));
  if (mode_only) return;
  const auto file = [&](const char* name, std::string& value, const char* help) {
    command.add_option(name, value, help)->type_name("FILE");
  };
  file("--tls-ca", settings.files.ca,
       "PEM: authorities whose certificates are believed. Without these files certificates are "
       "made from the job's secret (else TRIREME_TLS_CA, else the job's distributed.tls.ca; so "
       "for the others)");
  file("--tls-cert", settings.files.certificate, "PEM: this task's certificate");
  file("--tls-key", settings.files.key, "PEM: its private key, which others may not read");
  command
      .add_option("--tls-name", settings.files.name,
                  "Name that the certificate of every task must have; else a server's must have "
                  "that by which it is reached")
      ->type_name("NAME");
}

TlsSettings tls_of(const job::Distributed& job) {
  const job::Tls& tls = job.tls();
  return {
      .mode = tls.mode(),
      .files = {.ca = tls.ca(), .certificate = tls.cert(), .key = tls.key(), .name = tls.name()}};
}

}  // namespace trireme
