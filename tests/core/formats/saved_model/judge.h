// Runs judge.py, which loads SavedModels by everything that takes them.
#pragma once

#include <string>
#include <vector>

#include "core/tensor/tensor.h"

namespace trireme::formats {

// What the SavedModel FOLDER/model is given, and is expected to give, by the keys of its signature.
void write_tensors(const std::string& folder, const std::vector<std::string>& input_keys,
                   const std::vector<Tensor>& inputs, const std::vector<std::string>& output_keys,
                   const std::vector<Tensor>& outputs);

// All folders in `directory`. Skips the test where Python lacks a module.
void judge(const std::string& directory, const std::string& checks);

}  // namespace trireme::formats
