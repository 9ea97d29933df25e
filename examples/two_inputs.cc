// A network of two inputs, built by functions: click logs, whose numbers and keys go through layers
// of their own before they meet: two_inputs [--examples N]
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "core/base/error.h"
#include "core/data/clicks.h"
#include "core/nn/functional.h"
#include "core/nn/model.h"
#include "core/nn/optimizers.h"

using namespace trireme;

int main(int argc, char** argv) try {
  const bool few = argc == 3 && std::strcmp(argv[1], "--examples") == 0;
  const int64_t examples = few ? std::atoll(argv[2]) : 100'000;
  constexpr int64_t kKeys = 26 * 100;
  const data::Clicks log({.keys = kKeys});

  const auto numbers = nn::input({13});
  const auto keys = nn::input({26}, DType::kInt64);
  const auto vectors = nn::flatten()(nn::embedding({.rows = kKeys, .dimension = 4})(keys));
  const auto hidden = nn::dense({.units = 32, .activation = nn::Activation::kRelu})(numbers);
  const auto both = nn::concat()({hidden, vectors});
  const auto deep = nn::dense({.units = 64, .activation = nn::Activation::kRelu})(both);
  const auto wide = nn::embedding_bag({.rows = kKeys, .dimension = 1, .name = "wide"})(keys);
  nn::Model model({numbers, keys}, {nn::add()({wide, nn::dense({.units = 1})(deep)})},
                  {.name = "two_inputs"});
  model.compile({.optimizer = std::make_shared<nn::Adam>(),
                 .loss = nn::binary_cross_entropy(),
                 .metrics = {nn::area_under_curve_metric()}});
  model.build();
  std::printf("%s", model.summary().c_str());
  const data::Dataset test = log.dataset(examples, 10'000).batch(1000);
  model.fit(log.dataset(0, examples).shuffle(1).batch(256), {.epochs = 1, .validation = test});
  std::printf("test AUC %.4f\n", model.evaluate(test).at("auc"));
  return 0;
} catch (const Error& error) {
  std::fprintf(stderr, "two_inputs: %s\n", error.what());
  return error.exit_code();
}
