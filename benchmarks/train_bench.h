// `trireme bench train`: training throughput of the reference models, data in memory, the loss
// fetched every step.
#pragma once

#include <iosfwd>
#include <string>

namespace trireme {

struct TrainBenchOptions {
  std::string model = "lenet";  // one of bench_model_names()
  int batch = 128;
  int threads = 1;
  int steps = 100;                   // of a block
  int blocks = 5;                    // timed; the median counts
  int warmup = 20;                   // steps before the first block
  int workers = 1;                   // processes; this one finds its place in the environment
  std::string backend = "auto";      // of collectives
  std::string compression = "none";  // or "bf16", "f16", "top_k": what is sent
  std::string precision = "f32";     // or "bf16", "f16": of the products
  std::string device = "cpu";        // or "gpu", "reference"
  bool graphs = true;                // of a GPU: a step is recorded and replayed
  double bucket_mib = 25;            // 0: one bucket
  bool overlap = true;               // false: sent when the backward pass is over
  std::string data_dir;
  bool noise = false;    // random pixels in place of MNIST and CIFAR-10
  int side = 224;        // of the images of resnet50
  bool profile = false;  // a table of the time of each op, to `log`
};

// With several workers every worker calls it and rank 0 writes the line. One JSON line: peer,
// model, precision unless f32, workers, threads, batch_per_worker, samples_per_s (median of the
// blocks), min, max, loss, rss_mib (peak); of a GPU device and gpu_mib (peak of its memory). MNIST
// or CIFAR-10 come from the data folder. Throws Error{kNotFound} where they are not there.
void bench_train(const TrainBenchOptions& options, std::ostream& out, std::ostream& log);

}  // namespace trireme
