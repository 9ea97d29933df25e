// Evaluation and prediction: one device and the weights of a checkpoint.
#include <chrono>
#include <cmath>
#include <iostream>
#include <nlohmann/json.hpp>
#include <ostream>

#include "core/base/error.h"
#include "core/io/atomic_file.h"
#include "core/io/checkpoint.h"
#include "core/nn/output_range.h"
#include "core/nn/strings.h"
#include "proto/job.pb.h"
#include "worker/model_files.h"
#include "worker/model_package.h"
#include "worker/prediction_lines.h"
#include "worker/preprocessing.h"
#include "worker/result_line.h"
#include "worker/rows_checkpoint.h"
#include "worker/task.h"
#include "worker/text_generator.h"
#include "worker/trireme_format.h"

namespace trireme {
namespace {

// A checkpoint that was found, read and verified: beside one of a training with parameter servers
// lie the rows of its embeddings. Of a model file of another format, whose weights are found by the
// model once it is built, only that it is there.
struct Saved {
  explicit Saved(const std::string& checkpoint) {
    if (!is_own_checkpoint(checkpoint) && is_model_file(checkpoint)) {
      prefix = checkpoint;
      is_foreign = true;
      if (is_package(checkpoint)) preprocessing = preprocessing_of_package(checkpoint);
      return;
    }
    prefix = io::resolve_checkpoint(own_checkpoint(checkpoint));
    state = io::load_checkpoint(prefix);
    preprocessing = saved_preprocessing(state, prefix);
    verify_rows(prefix, state);
    has_rows = rows_belong_to(prefix, state);
  }

  TaskUse use() const { return has_rows ? TaskUse::kInferFromTables : TaskUse::kInfer; }

  std::string prefix;
  nn::StateMap state;
  data::PreprocessingPtr preprocessing;
  bool has_rows = false;
  bool is_foreign = false;
};

void load(const Saved& saved, Task& task) {
  if (saved.is_foreign) {
    const nn::LoadReport report = nn::load_weights(
        *task.model, read_weights(saved.prefix, *task.model, task.options.tables.schema),
        {.map = {}, .strict = true});
    if (!task.options.quiet) std::cerr << saved.prefix << ": " << report.to_string() << "\n";
    return;
  }
  const nn::Optimizer& optimizer = *task.model->compiled().optimizer;
  task.model->set_weights(optimizer.update_options().use_ema
                              ? nn::with_averages(saved.state, optimizer.name())
                              : saved.state);
  if (!saved.has_rows) return;
  const nn::Model& model = *task.model;
  auto store = std::make_shared<ps::LocalStore>(task.training_tables.embeddings(
      *model.compiled().optimizer, model.options().seed, model.options().ops));
  load_rows(saved.prefix, *store);
  task.tables->set(std::move(store));
}

// The validation data of the job as the model was trained to see them.
JobData job_data(const JobFile& file, const TaskOptions& options, const Saved& saved) {
  file.data().require_saved(source_context(file, options.data_dir, saved.preprocessing));
  JobData data = build_data(file, options.data_dir, saved.preprocessing);
  if (data.validation.cardinality() == 0) {
    throw invalid_argument(file.where("data"),
                           "data: the job keeps no examples to validate with; give a file with "
                           "--input, or let validation_fraction be above 0");
  }
  return data;
}

// No example, of the type that `features` are batches of: what a model is built for.
data::Dataset no_examples(const std::vector<TensorType>& features) {
  data::ElementSpec spec;
  for (size_t i = 0; i < features.size(); ++i) {
    const Shape& shape = features[i].shape;
    spec.push_back({str_cat("features_", i), features[i].dtype, shape.last(shape.rank() - 1)});
  }
  spec.push_back({"label", DType::kFloat32, {1}});
  return data::from_function(std::move(spec), 0, [](int64_t, data::Element&) {});
}

// Where predictions go: a file that appears whole at the end, or a stream.
class Output {
 public:
  Output(const std::string& path, std::ostream& stream) : stream_(stream) {
    if (!path.empty()) file_.emplace(path);
  }
  void write(const std::string& text) {
    if (file_) {
      file_->append(text);
      return;
    }
    stream_ << text << std::flush;
    if (!stream_)
      throw failed("standard output cannot be written: the predictions are not complete");
  }
  void commit() {
    if (file_) file_->commit();
  }

 private:
  std::ostream& stream_;
  std::optional<io::AtomicFile> file_;
};

// The validation data of the job, in pieces like a file.
class ValidationExamples final : public data::ExampleReader {
 public:
  explicit ValidationExamples(const data::Dataset& examples) : examples_(examples) {}
  std::vector<TensorType> features() const override {
    return nn::batch_types(examples_.batch(1)).features;
  }
  bool read(int64_t count, data::ExampleBatch& batch) override {
    batch = {};
    const int64_t left = examples_.cardinality() - done_;
    if (left <= 0) return false;
    batch.size = std::min(left, count);
    data::Iterator iterator = examples_.skip(done_).take(batch.size).batch(batch.size).iterator();
    data::Element element;
    if (!iterator.next(element)) return false;
    element.resize(features().size());
    batch.features = std::move(element);
    done_ += batch.size;
    return true;
  }

 private:
  data::Dataset examples_;
  int64_t done_ = 0;
};

}  // namespace

TaskResult evaluate(const JobFile& file, const TaskOptions& options, const std::string& checkpoint,
                    const std::string& input) {
  const auto start = std::chrono::steady_clock::now();
  const Saved saved(checkpoint);
  Task task(file, options, saved.use(),
            input.empty()
                ? job_data(file, options, saved)
                : JobData{data::with_labels(
                      file.data(),
                      file.data().labeled_examples(
                          source_context(file, options.data_dir, saved.preprocessing), input))});
  if (!options.quiet) std::cerr << task.data.description << "\n";
  load(saved, task);
  ResultLine line = {{"job", file.job().name()}, {"strategy", "one_device"}, {"workers", 1}};
  TaskResult result;
  const nn::Model::Evaluation found = task.model->evaluate_all(task.validation_batches(0, 1));
  for (const auto& [name, value] : found.values) {
    if (!std::isfinite(value) && !file.job().allow_nan()) {
      throw failed("evaluate: ", name, " is ", value,
                   ": the data or the weights of the checkpoint hold numbers that are not finite");
    }
    line["val_" + name] = rounded(value);
    result.figures["val_" + name] = value;
  }
  std::map<std::string, std::vector<double>> tables;
  for (const auto& [name, table] : found.tables) tables["val_" + name] = table;
  add_tables(tables, line);
  if (!options.quiet) std::cerr << tables_text(tables);
  const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start;
  line["seconds"] = rounded(elapsed.count());
  result.json = line.dump();
  return result;
}

void predict(const JobFile& file, const TaskOptions& options, const std::string& checkpoint,
             const PredictOptions& wanted, std::ostream& out) {
  const Saved saved(checkpoint);
  JobData data{{.train = no_examples({{DType::kFloat32, {-1}}}),
                .validation = no_examples({{DType::kFloat32, {-1}}}),
                .description = "",
                .preprocessing = saved.preprocessing}};
  std::unique_ptr<data::ExampleReader> examples;
  if (wanted.input.empty()) {
    data = job_data(file, options, saved);
    examples = std::make_unique<ValidationExamples>(data.validation);
  } else {
    examples = file.data().open_examples(
        source_context(file, options.data_dir, saved.preprocessing), wanted.input);
    data.train = data.validation = no_examples(examples->features());
    data.description = str_cat(wanted.input, ": ", examples->description());
  }
  const data::PreprocessingPtr preprocessing = data.preprocessing;
  if (!options.quiet) std::cerr << data.description << "\n";
  Task task(file, options, saved.use(), std::move(data));
  load(saved, task);

  const PredictionLines lines(*task.model, preprocessing,
                              wanted.csv ? PredictionFormat::kCsv : PredictionFormat::kJson,
                              file.job().allow_nan());
  Output output(wanted.output, out);
  int64_t done = 0;
  data::ExampleBatch batch;
  const auto next = [&] {
    const int64_t count =
        wanted.limit > 0 ? std::min(kEvaluationBatch, wanted.limit - done) : kEvaluationBatch;
    return count > 0 && examples->read(count, batch);
  };
  while (next()) {
    nn::convert_strings(task.model->network(), batch.features);
    const Tensor predictions = task.model->predict(batch.features);
    if (done == 0) {
      output.write(lines.header(predictions.elements() / batch.size, !batch.lines.empty()));
    }
    output.write(lines.lines(predictions, batch, done));
    done += batch.size;
  }
  if (done == 0) {
    throw data_loss(wanted.input.empty() ? "the validation data" : wanted.input,
                    ": expected examples to predict, found none");
  }
  output.commit();
  if (!options.quiet && !wanted.output.empty()) {
    std::cerr << done << " predictions in " << wanted.output << "\n";
  }
}

void generate(const JobFile& file, const TaskOptions& options, const std::string& checkpoint,
              const GenerateOptions& wanted, std::ostream& out) {
  const auto* windows = dynamic_cast<const data::CharacterWindows*>(&file.data());
  if (windows == nullptr) {
    throw invalid_argument(file.where("data"),
                           "--generate: of models of characters only, data { characters }; the "
                           "job's data are others");
  }
  if (!std::isfinite(wanted.temperature) || wanted.temperature < 0) {
    throw invalid_argument("--temperature: expected a number of at least 0, found ",
                           wanted.temperature);
  }
  const Saved saved(checkpoint);
  file.data().require_saved(source_context(file, options.data_dir, saved.preprocessing));
  const data::CharacterVocabulary vocabulary(*saved.preprocessing);
  const data::Dataset none = no_examples({{DType::kInt64, {-1, windows->context()}}});
  Task task(file, options, saved.use(),
            JobData{{.train = none,
                     .validation = none,
                     .description = "",
                     .preprocessing = saved.preprocessing}});
  load(saved, task);
  const bool are_probabilities =
      nn::gives_probabilities(task.model->compiled().loss, task.model->inference().predictions);
  (void)vocabulary.numbers(wanted.prompt, "--prompt");  // before anything is written
  Output output("", out);
  output.write(wanted.prompt);
  generate_text([&](const Tensor& numbers) { return task.model->predict(numbers); },
                are_probabilities, vocabulary, windows->context(), wanted,
                [&](std::string_view text) { output.write(std::string(text)); });
  output.write("\n");
}

}  // namespace trireme
