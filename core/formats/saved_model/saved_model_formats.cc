#include "core/formats/saved_model/saved_model_formats.h"

namespace trireme::formats {

std::vector<Format> saved_model_formats() { return {}; }

}  // namespace trireme::formats
