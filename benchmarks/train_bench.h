// `trireme bench train`: training throughput of the reference models, data in memory, the loss
// fetched every step.
#pragma once

#include <iosfwd>
#include <string>
#include <vector>

namespace trireme {

struct TrainBenchOptions {
  std::string model = "lenet";  // one of train_bench_models()
  int batch = 128;
  int threads = 1;
  int steps = 100;  // of a block
  int blocks = 5;   // timed; the median counts
  int warmup = 20;  // steps before the first block
  std::string data_dir;
  bool profile = false;  // a table of the time of each op, to `log`
};

std::vector<std::string> train_bench_models();

// One JSON line: peer, model, workers, threads, batch_per_worker, samples_per_s (median of the
// blocks), min, max, loss, rss_mib (peak). MNIST or CIFAR-10 come from the data folder. Throws
// Error{kNotFound} where they are not there.
void bench_train(const TrainBenchOptions& options, std::ostream& out, std::ostream& log);

}  // namespace trireme
