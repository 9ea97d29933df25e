// LeNet on the digits that the library draws itself, as a program: lenet [--examples N]
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "core/base/error.h"
#include "core/data/digits.h"
#include "core/nn/layers.h"
#include "core/nn/model.h"
#include "core/nn/optimizers.h"

using namespace trireme;

int main(int argc, char** argv) try {
  const bool few = argc == 3 && std::strcmp(argv[1], "--examples") == 0;
  const int64_t examples = few ? std::atoll(argv[2]) : data::kDigitTrainSize;
  const data::Dataset train = data::digits(data::Split::kTrain, 1, examples).dataset();
  const data::Dataset test = data::digits(data::Split::kTest).dataset();

  nn::Model model({.name = "lenet"});
  model.add<nn::ZeroPad2D>({.top = 2, .bottom = 2, .left = 2, .right = 2});
  for (int64_t filters : {6, 16}) {
    model.add<nn::Conv2D>(
        {.filters = filters, .kernel_h = 5, .kernel_w = 5, .activation = nn::Activation::kRelu});
    model.add<nn::MaxPool2D>();
  }
  model.add<nn::Flatten>();
  model.add<nn::Dense>({.units = 120, .activation = nn::Activation::kRelu});
  model.add<nn::Dense>({.units = 84, .activation = nn::Activation::kRelu});
  model.add<nn::Dense>({.units = 10, .name = "logits"});
  model.compile({.optimizer = std::make_shared<nn::Adam>(),
                 .loss = nn::sparse_categorical_cross_entropy(),
                 .metrics = {nn::sparse_categorical_accuracy()}});
  model.fit(train.shuffle(1).batch(128), {.epochs = 3, .validation = test.batch(256)});
  std::printf("test accuracy %.4f\n", model.evaluate(test.batch(256)).at("accuracy"));
  return 0;
} catch (const Error& error) {
  std::fprintf(stderr, "lenet: %s\n", error.what());
  return error.exit_code();
}
