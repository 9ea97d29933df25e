// Reads a SavedModel as a model whose layers are its signature, one for each output.
#pragma once

#include <string>

#include "core/formats/format.h"

namespace trireme::formats {

// Of a model that Trireme wrote with its job file: the job's text, and the weights by our names.
// Throws Error naming all ops that Trireme lacks, or the place in the file that is wrong.
ModelFile read_saved_model(const std::string& path, const ReadOptions& options);

// Whether the folder at `path` has a saved_model.pb.
bool is_saved_model(const std::string& path);

// Its signatures and variables, for `trireme inspect`.
std::string describe_saved_model(const std::string& path);

}  // namespace trireme::formats
