// Encryption by TLS 1.3, both ends showing a certificate and verifying the other's.
//
// A task proves who it is in one of two ways.
//
//  - By the job's secret, without any file. Each process derives the private key of the job's
//    certificate authority from the secret (HKDF-SHA256, Ed25519), draws a key of its own and signs
//    a certificate for it, all in memory. Whoever knows the secret belongs to the job, and nobody
//    else can sign, so nothing has to be handed out beside the secret: it is the same for a
//    launcher, several, mpirun, Slurm and tasks that are started by hand. Names in such a
//    certificate are for messages only: every member could sign any name, so checking them would
//    prove nothing, and would fail where a host has an alias. For the same reason these
//    certificates do not expire: they live as long as their process.
//  - By files, for long-lived clusters and for authorities that others run. The names in the
//    peer's certificate and its dates then count.
//
// Sessions are not resumed: a member that is given the boot does not come back by a ticket. After
// the handshake a thread of this process carries bytes between the TLS connection and the
// descriptor that gRPC gets (see tls_relay.h).
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "distributed/connection/pending_stream.h"
#include "distributed/connection/tls_settings.h"

namespace trireme {

// `covers_loopback`: see Encryption. `host`: this host's name, for messages of peers. Throws
// Error{kInvalidArgument} without a secret.
std::shared_ptr<const Encryption> make_job_encryption(const std::string& secret,
                                                      const std::string& host,
                                                      bool covers_loopback = false);

// Reads the files now, and again before a connection when they have changed, looking at most once a
// second. Files that cannot be used after a change leave those in use that were, with a line in the
// log. Throws Error{kInvalidArgument} when they cannot be used now: one is missing or not PEM, the
// key is not the certificate's, or others may read it.
std::shared_ptr<const Encryption> make_file_encryption(const TlsFiles& files,
                                                       bool covers_loopback = false);

// Whether the first bytes of a connection, two at least, are those of TLS: for the end that expects
// bytes in the clear.
bool looks_like_tls(std::string_view first_bytes);

}  // namespace trireme
