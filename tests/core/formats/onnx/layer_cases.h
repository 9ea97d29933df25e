// Small models, one for each layer or option whose graph differs from others'.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "core/formats/model_file.h"

namespace trireme::testing {

struct LayerCase {
  std::string name;
  std::string layers;  // as in a job file
  std::vector<TensorType> features;
  int64_t keys = 0;  // of features of whole numbers: how many there are
  // Graphs of loops, which are written but not read.
  bool is_loop = false;
};

const std::vector<LayerCase>& layer_cases();
// With numbers for all weights, none of which are equal.
formats::ModelFile model_of_case(const LayerCase& layers);
std::vector<Tensor> features_of_case(const LayerCase& layers, int64_t batch);

}  // namespace trireme::testing
