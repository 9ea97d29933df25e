// Names that nobody else draws.
#pragma once

#include <string>

namespace trireme {

// 64 random bits of the system, in hex.
std::string draw_id();

}  // namespace trireme
