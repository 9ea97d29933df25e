// The options of a command that say how its connections are encrypted.
#pragma once

#include <memory>
#include <string>

#include "distributed/connection/tls_settings.h"

namespace CLI {
class App;
}

namespace trireme {

namespace job {
class Distributed;
}

// --tls, and, unless `mode_only`, --tls-ca, --tls-cert, --tls-key and --tls-name. `settings` lives
// as long as the command.
void add_tls_options(CLI::App& command, TlsSettings& settings, bool mode_only = false);

TlsSettings tls_of(const job::Distributed& job);

}  // namespace trireme
