// The models that `trireme bench train` measures: layers, data in memory, loss and optimizer of
// each. benchmarks/peers/torch_train.py has the same ones for PyTorch.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/data/dataset.h"
#include "core/nn/model.h"

namespace trireme {

// Where a model's examples come from.
struct BenchData {
  std::string data_dir;  // for MNIST and CIFAR-10
  bool noise = false;    // random pixels in their place: no file
  int64_t side = 224;    // of the images of resnet50, which are always noise
};

struct BenchModel {
  std::string_view name;
  void (*build)(nn::Model&);
  data::Dataset (*examples)(const BenchData&);  // not shuffled, not batched, in memory
  std::shared_ptr<const nn::Optimizer> (*optimizer)();
  nn::Loss (*loss)();
};

// mlp: 784-128-64-10. mlp_large: 784-2048-2048-2048-10. lenet: LeNet-5. cifar_cnn: that of the
// example. resnet20: He et al. 2016 on CIFAR-10. resnet50: v1.5, 1000 classes. dlrm: that of
// examples/criteo_dlrm.textproto. char_lstm: an embedding of 64 and two LSTMs of 256 over windows
// of 128 characters. char_transformer: that of the example, over the same.
std::vector<std::string> bench_model_names();
// Throws Error{kInvalidArgument} when there is none of that name.
const BenchModel& find_bench_model(std::string_view name);

}  // namespace trireme
