#include "core/formats/keras/keras_formats.h"

namespace trireme::formats {

std::vector<Format> keras_formats() { return {}; }

}  // namespace trireme::formats
