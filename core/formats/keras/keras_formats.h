// Keras's files, and the checkpoints of its save_weights().
#pragma once

#include <vector>

#include "core/formats/format.h"

namespace trireme::formats {

std::vector<Format> keras_formats();

}  // namespace trireme::formats
