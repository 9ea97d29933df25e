// The formats of model files that the program knows.
#pragma once

#include <vector>

#include "core/formats/format.h"

namespace trireme {

// In the order in which a file is offered to them.
std::vector<formats::Format> model_formats();

}  // namespace trireme
