// Keras's files of models: `.keras` of Keras 3 (an archive, or a folder with the same files), whole
// models in `.h5`, and weights in `.weights.h5`.
#pragma once

#include "core/formats/format.h"

namespace trireme::formats {

Format keras_format();             // "keras"
Format keras_h5_format();          // "keras-h5"
Format keras_weights_format();     // "keras-weights"
Format keras_checkpoint_format();  // "keras-checkpoint": a tensor bundle of Keras 2

}  // namespace trireme::formats
