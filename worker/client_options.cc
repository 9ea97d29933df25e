#include "worker/client_options.h"

#include "distributed/cluster/security.h"

namespace trireme {

ClientOptions client_options_of(const ClusterSpec& spec) {
  return {.address = spec.coordinator,
          .secret = spec.secret,
          .encryption = make_security(spec).encryption,
          .job_id = spec.job_id};
}

}  // namespace trireme
