// TensorFlow's SavedModel.
#pragma once

#include <vector>

#include "core/formats/format.h"

namespace trireme::formats {

std::vector<Format> saved_model_formats();

}  // namespace trireme::formats
