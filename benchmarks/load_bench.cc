#include "benchmarks/load_bench.h"

#include <chrono>
#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>
#include <ostream>

#include "core/base/error.h"
#include "core/formats/format.h"
#include "worker/job_schema.h"
#include "worker/model_formats.h"

namespace trireme {
namespace {

// A line of /proc/self/status in MiB: "VmHWM", "VmRSS".
double memory_mib(const std::string& name) {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with(name + ":")) return std::stod(line.substr(name.size() + 1)) / 1024;
  }
  return 0;
}

double rounded(double number, double digits) { return std::round(number * digits) / digits; }

class Clock {
 public:
  double seconds() const {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
  }

 private:
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

const formats::Format& format_of(const std::vector<formats::Format>& all, const std::string& path) {
  for (const formats::Format& format : all) {
    if (format.detect(path)) return format;
  }
  throw invalid_argument(path, ": expected a model file, found none of a known format");
}

}  // namespace

void bench_load(const LoadBenchOptions& options, std::ostream& out) {
  const std::vector<formats::Format> all = model_formats();
  const auto schema = core_job_schema();
  const formats::Format& format = format_of(all, options.path);
  nlohmann::ordered_json line;
  line["format"] = format.name;
  line["start_rss_mib"] = rounded(memory_mib("VmRSS"), 10);
  const Clock clock;
  const formats::ModelFile file = format.read(options.path, {.catalogs = &schema->catalogs()});
  const auto model = formats::make_model(file);
  line["seconds"] = rounded(clock.seconds(), 1e4);
  line["peak_rss_mib"] = rounded(memory_mib("VmHWM"), 10);
  double bytes = 0;
  for (const auto& [name, value] : file.weights) bytes += static_cast<double>(value.bytes());
  line["weights_mib"] = rounded(bytes / (1 << 20), 10);
  if (options.predict) {
    std::vector<Tensor> features;
    for (const formats::ModelInput& input : file.inputs) {
      Shape shape = input.type.shape;
      shape.set(0, 1);
      features.push_back(Tensor::zeros(input.type.dtype, shape));
    }
    const Clock first;
    (void)model->predict_all(features);
    line["first_predict_seconds"] = rounded(first.seconds(), 1e4);
    line["peak_after_predict_mib"] = rounded(memory_mib("VmHWM"), 10);
  }
  out << line.dump() << std::endl;
}

}  // namespace trireme
