// Prune: keeps what the fetches and targets need, directly or through control inputs, and the
// feeds.
#pragma once

#include "core/passes/program.h"

namespace trireme {

Program prune(Program program);

}  // namespace trireme
