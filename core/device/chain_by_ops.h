// FusedElementwise where no kernel is generated for it: every step of the chain by the kernel of
// its own op, one after another.
//
// It rounds after every step, so it gives the very bits of the ops that were fused. Functions, for
// whoever fills a kernel table.
#pragma once

#include <string_view>

namespace trireme {

class KernelTable;

// Adds FusedElementwise to `table` under `kind`, made of the kernels that the table has for `kind`
// when a chain is prepared.
void add_chains_by_ops(KernelTable& table, std::string_view kind);

}  // namespace trireme
