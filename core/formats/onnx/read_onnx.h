// A file of ONNX as a model.
#pragma once

#include <string>

#include "core/formats/format.h"

namespace trireme::formats {

// Of a file that Trireme wrote with its job: the job's text, and the weights by our names. Of any
// other: a layer `onnx {…}` for each output, whose weights are the file's initializers by their
// names.
// Throws Error naming all ops that Trireme lacks, or the place in the file that is wrong.
ModelFile read_onnx(const std::string& path, const ReadOptions& options);

}  // namespace trireme::formats
