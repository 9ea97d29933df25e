#include "benchmarks/data_bench.h"

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <ostream>
#include <utility>

#include "benchmarks/made_jpeg.h"
#include "core/base/error.h"
#include "core/base/parallel.h"
#include "core/data/image_decoder.h"
#include "core/data/stage_rates.h"
#include "core/data/synthetic.h"
#include "worker/build_data.h"
#include "worker/job_file.h"
#include "worker/result_line.h"
#include "worker/task.h"

namespace trireme {
namespace {

constexpr int64_t kBatch = 128;

data::Dataset read_ahead(const data::Dataset& batches, int threads) {
  return threads == 0 ? batches : batches.prefetch(2, threads);
}

double rate(int64_t examples, double seconds) {
  return seconds > 0 ? rounded(static_cast<double>(examples) / seconds) : 0;
}

ResultLine measure(const std::string& name, const data::Dataset& batches,
                   const DataBenchOptions& options) {
  const std::vector<data::StageRate> rates = data::measure_stages(batches, options.seconds);
  double all = 0;
  for (const data::StageRate& stage : rates) all += stage.own_us_per_example;
  const auto slowest = std::ranges::max_element(rates, {}, &data::StageRate::own_us_per_example);
  ResultLine line = {{"case", name}, {"stages", ResultLine::array()}};
  for (const data::StageRate& stage : rates) {
    line["stages"].push_back({{"stage", stage.stage},
                              {"examples_per_s", rate(stage.examples, stage.seconds)},
                              {"own_us", rounded(stage.own_us_per_example)},
                              {"share", rounded(stage.own_us_per_example / std::max(all, 1e-12))}});
  }
  line["slowest"] = slowest->stage;
  line["threads"] = options.threads;
  const data::StageRate whole =
      data::measure_chain(read_ahead(batches, options.threads), options.seconds);
  line["examples_per_s"] = rate(whole.examples, whole.seconds);
  return line;
}

// How fast the training step takes examples that are there already.
double step_rate(const JobFile& file, const DataBenchOptions& options) {
  const TaskOptions task_options{
      .tables = options.tables, .data_dir = options.data_dir, .threads = options.compute_threads};
  Task task(file, task_options, TaskUse::kTrain);
  const data::Dataset batches = task.train_batches(0, 1);
  data::Iterator iterator = batches.iterator();
  data::Element batch;
  if (!iterator.next(batch)) throw invalid_argument("bench data: the job has no training data");
  std::vector<std::string> names;
  for (const data::ComponentSpec& component : batches.element_spec()) {
    names.push_back(component.name);
  }
  const data::Dataset same = data::from_element(batch, names).repeat();
  const auto seconds_of = [&](int64_t steps) {
    const auto begin = std::chrono::steady_clock::now();
    task.model->fit(same, {.epochs = 1, .steps_per_epoch = steps});
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  };
  constexpr int64_t kFewSteps = 3;
  seconds_of(kFewSteps);  // warms up
  const double few = seconds_of(kFewSteps);
  const auto steps =
      static_cast<int64_t>(std::clamp(options.seconds / std::max(few / kFewSteps, 1e-9), 3.0, 1e6));
  return rate(steps * batch[0].shape()[0], seconds_of(steps));
}

void bench_job(const DataBenchOptions& options, std::ostream& out) {
  const JobFile file = JobFile::read(options.job, options.overrides, {}, options.tables.schema);
  const JobData data = build_data(file, options.data_dir);
  const std::string name = std::filesystem::path(options.job).stem().string();
  ResultLine line = measure(name, training_batches(file, data, 0, 1), options);
  if (options.step) {
    const double step = step_rate(file, options);
    line["step_examples_per_s"] = step;
    const bool fast_enough = line.at("examples_per_s").get<double>() >= step;
    line["held_back_by"] = fast_enough ? "step" : line.at("slowest").get<std::string>();
  }
  out << line.dump() << std::endl;
}

// Pixels move by up to two, and every second image is mirrored.
void augment(data::Element& element, const data::MapContext& context) {
  const Tensor& image = element[0];
  const int64_t height = image.shape()[0], width = image.shape()[1], channels = image.shape()[2];
  PhiloxGenerator random = context.random();
  const auto down = static_cast<int64_t>(random.below(5)) - 2;
  const auto right = static_cast<int64_t>(random.below(5)) - 2;
  const bool mirror = random.below(2) == 1;
  Tensor moved(DType::kFloat32, image.shape());
  const auto from = image.flat<float>();
  const auto to = moved.flat<float>();
  for (int64_t y = 0; y < height; ++y) {
    const int64_t row = std::clamp<int64_t>(y + down, 0, height - 1) * width;
    for (int64_t x = 0; x < width; ++x) {
      int64_t column = std::clamp<int64_t>(x + right, 0, width - 1);
      if (mirror) column = width - 1 - column;
      std::copy_n(from.begin() + (row + column) * channels, channels,
                  to.begin() + (y * width + x) * channels);
    }
  }
  element[0] = std::move(moved);
}

data::Dataset images() {
  return data::noise({4096, 32, 32, 3}, 10, 1)
      .dataset()
      .shuffle(1)
      .map(augment, {.threads = 0})
      .batch(kBatch, true);
}

// JPEGs as photographs are, decoded to 224×224.
data::Dataset pictures() {
  constexpr int64_t kPictures = 512, kSide = 224;
  const std::vector<uint8_t> jpeg = made_jpeg(500, 375);
  Tensor copies(DType::kUInt8, {kPictures, static_cast<int64_t>(jpeg.size())});
  for (int64_t i = 0; i < kPictures; ++i) {
    std::ranges::copy(jpeg, copies.flat<uint8_t>().begin() + i * static_cast<int64_t>(jpeg.size()));
  }
  const auto decode = [](data::Element& element, const data::MapContext&) {
    thread_local data::Image image;
    data::decode_image(std::as_const(element[0]).flat<uint8_t>(), 3, image);
    Tensor pixels(DType::kFloat32, {kSide, kSide, 3});
    data::resize_image(image, {.height = kSide, .width = kSide, .scale = 1 / 255.f},
                       pixels.flat<float>());
    element[0] = std::move(pixels);
  };
  const data::ElementSpec decoded = {{"image", DType::kFloat32, {kSide, kSide, 3}},
                                     {"label", DType::kInt64, {}}};
  return data::from_tensors({copies, Tensor::zeros(DType::kInt64, {kPictures})}, {"jpeg", "label"})
      .shuffle(1)
      .map(decode, {.threads = 0, .output = decoded})
      .map(augment, {.threads = 0})
      .batch(32, true);
}

// Sentences of 1 to 128 words, batched with those of about their length.
data::Dataset sentences() {
  const data::ElementSpec spec = {{"words", DType::kInt64, {-1}}, {"label", DType::kInt64, {}}};
  return data::from_function(spec, 100000,
                             [](int64_t index, data::Element& out) {
                               PhiloxGenerator random(1, static_cast<uint64_t>(index));
                               const auto length = static_cast<int64_t>(1 + random.below(128));
                               out.resize(2);
                               out[0] = Tensor(DType::kInt64, {length});
                               for (int64_t& word : out[0].flat<int64_t>()) {
                                 word = static_cast<int64_t>(random.below(10000));
                               }
                               out[1] = Tensor::scalar<int64_t>(index % 2);
                             })
      .shuffle(1)
      .filter([](const data::Element& element) { return element[0].elements() >= 4; })
      .bucket_by_sequence_length({.component = "words",
                                  .boundaries = {16, 32, 64},
                                  .batch_sizes = {kBatch, kBatch, kBatch, kBatch},
                                  .padding = {.lengths = {"words"}}});
}

}  // namespace

void bench_data(const DataBenchOptions& options, std::ostream& out) {
  if (!options.job.empty()) return bench_job(options, out);
  if (options.step) throw invalid_argument("bench data: --step needs a JOB, whose step it is");
  for (const auto& [name, batches] :
       {std::pair("images", images()), {"pictures", pictures()}, {"sentences", sentences()}}) {
    out << measure(name, batches, options).dump() << std::endl;
  }
}

}  // namespace trireme
