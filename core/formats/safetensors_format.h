// safetensors, the format of Hugging Face and others for weights: named tensors without layers.
#pragma once

#include "core/formats/format.h"

namespace trireme::formats {

// Weights have our names, and a training's slots theirs ("optimizer/adam/m/dense/kernel"). Beside
// them stand the texts "trireme.job", of ModelFile::job_text, and "trireme.step".
Format safetensors_format();

}  // namespace trireme::formats
