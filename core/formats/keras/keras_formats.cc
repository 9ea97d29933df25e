#include "core/formats/keras/keras_formats.h"

#include "core/formats/keras/keras_files.h"

namespace trireme::formats {

std::vector<Format> keras_formats() {
  return {keras_format(), keras_h5_format(), keras_weights_format(), keras_checkpoint_format()};
}

}  // namespace trireme::formats
