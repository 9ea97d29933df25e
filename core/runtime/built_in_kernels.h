// Every kernel of this build: kinds "reference" and "cpu".
#pragma once

#include <memory>

namespace trireme {

class KernelTable;

// Made at the first call and shared; read-only. Throws Error when this CPU lacks what the kernels
// are compiled for.
std::shared_ptr<const KernelTable> built_in_kernels();

}  // namespace trireme
