// Every kernel of this build: kinds "reference" and "cpu".
#pragma once

#include <memory>

namespace trireme {

class KernelTable;
struct UpdateRule;

// Made at the first call and shared; read-only. Throws Error when this CPU lacks what the kernels
// are compiled for.
std::shared_ptr<const KernelTable> built_in_kernels();

// Adds to a table what it needs of an update rule that is not Trireme's. There are no kernels of it
// for GPUs: with soft placement its variables are kept on the host, without it a session says so.
void add_update_kernels(KernelTable& table, const UpdateRule& rule);

}  // namespace trireme
