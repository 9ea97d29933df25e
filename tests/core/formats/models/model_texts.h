// The models that files of all formats are tried with: the job files of this folder, with weights
// that no initializer gives, so that one which is lost or swapped shows.
#pragma once

#include <string>
#include <vector>

#include "core/formats/model_file.h"
#include "core/tensor/tensor.h"

namespace trireme::testing {

// "mnist_mlp", "lenet", "cifar_cnn", "resnet20", "two_in_two_out", "embedding_bag", "char_lstm",
// "char_transformer".
const std::vector<std::string>& model_names();
// The path of the job file.
std::string model_path(const std::string& name);
// The features' types, with the batch, -1, in front.
std::vector<formats::ModelInput> model_inputs(const std::string& name);

// The model of that name: random weights and moving averages, variances above 0, and the job's
// loss, metrics and optimizer with random slots after some steps. The same numbers for the same
// seed.
formats::ModelFile model_file(const std::string& name, uint64_t seed = 1);

// Features for `batch` examples: numbers from a normal distribution, keys below the vocabulary, of
// which some are 0.
std::vector<Tensor> random_features(const std::string& name, int64_t batch, uint64_t seed = 1);

}  // namespace trireme::testing
