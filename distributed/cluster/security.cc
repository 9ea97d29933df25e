#include "distributed/cluster/security.h"

#include <unistd.h>

#include <array>
#include <climits>
#include <memory>
#include <string>

#include "core/base/error.h"
#include "core/base/logging.h"
#include "core/base/thread_annotations.h"
#include "distributed/cluster/address.h"
#include "distributed/connection/tls.h"

namespace trireme {

namespace {

std::string own_name() {
  std::array<char, HOST_NAME_MAX + 1> name{};
  return gethostname(name.data(), name.size() - 1) == 0 ? name.data() : "";
}

std::shared_ptr<const Encryption> make_encryption(const ClusterSpec& spec) {
  const bool loopback = spec.tls.mode == "on";
  if (spec.tls.files.any()) return make_file_encryption(spec.tls.files, loopback);
  if (spec.secret.empty() && !loopback) return nullptr;  // nothing leaves loopback without one
  return make_job_encryption(spec.secret, spec.host.empty() ? own_name() : spec.host, loopback);
}

// A task's servers and clients ask one after the other.
struct Last {
  Mutex mutex;
  bool is_set GUARDED_BY(mutex) = false;
  std::string secret GUARDED_BY(mutex), listen GUARDED_BY(mutex);
  TlsSettings tls GUARDED_BY(mutex);
  std::shared_ptr<const Encryption> encryption GUARDED_BY(mutex);
};

}  // namespace

Security make_security(const ClusterSpec& spec) {
  static Last last;
  MutexLock lock(last.mutex);
  if (last.is_set && last.secret == spec.secret && last.tls == spec.tls &&
      last.listen == spec.listen) {
    return {.secret = spec.secret, .encryption = last.encryption};
  }
  if (spec.tls.mode == "off") {
    last.encryption = nullptr;
    if (!spec.is_single_process() && !cluster::is_loopback(spec.listen)) {
      log_warning(str_cat("TLS is off: whoever is on the network can read and change what goes to ",
                          "and from the servers of this task at ", spec.listen));
    }
  } else {
    last.encryption = make_encryption(spec);
  }
  last.secret = spec.secret;
  last.tls = spec.tls;
  last.listen = spec.listen;
  last.is_set = true;
  return {.secret = spec.secret, .encryption = last.encryption};
}

}  // namespace trireme
