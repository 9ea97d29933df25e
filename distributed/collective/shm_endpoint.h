// The endpoint of the shm backend; make_communicator.h.
#pragma once

#include <memory>

#include "distributed/collective/make_communicator.h"

namespace trireme {

std::unique_ptr<CollectiveEndpoint> make_shm_endpoint();

}  // namespace trireme
