#include "core/nn/tensorboard.h"

#include <algorithm>
#include <filesystem>

#include "core/base/error.h"
#include "core/io/event_reader.h"
#include "core/io/event_records.h"
#include "core/nn/model.h"
#include "core/runtime/tracer.h"

namespace trireme::nn {
namespace {

namespace fs = std::filesystem;
using SteadyClock = std::chrono::steady_clock;

constexpr std::string_view kValidation = "val_";

double now_seconds() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

double rate(int64_t steps, SteadyClock::time_point since) {
  const double seconds = std::chrono::duration<double>(SteadyClock::now() - since).count();
  return seconds > 0 ? static_cast<double>(steps) / seconds : 0;
}

const TrainingDetails* details_of(const Training& training) {
  return dynamic_cast<const TrainingDetails*>(&training);
}

// Whether a tag counts steps; the others count epochs.
bool counts_steps(std::string_view tag) {
  return tag.starts_with("batch_") || tag.starts_with("evaluation_");
}

// Written at each start, at the step that it begins after.
bool is_of_start(std::string_view tag) {
  return tag == "job" || tag == "model" || tag == "keras" || tag == "inputs";
}

// Text that Markdown shows as it is.
std::string verbatim(const std::string& text) {
  std::string shown = "    ";
  for (const char c : text) {
    shown += c;
    if (c == '\n') shown += "    ";
  }
  return shown;
}

}  // namespace

void TensorBoardOptions::describe(OptionVisitor& v) {
  v.field({.name = "log_dir",
           .help = "the folder that TensorBoard is given",
           .default_text = "tensorboard in the output folder"},
          log_dir);
  v.field({.name = "update_freq",
           .help = "so often, in steps, the figures of a step are written; those of epochs always "
                   "are",
           .range = at_least(1),
           .default_text = "never"},
          update_freq);
  v.field({.name = "write_steps_per_second", .help = "whether steps a second are a figure"},
          write_steps_per_second);
  v.field({.name = "histogram_freq",
           .help = "so often, in epochs, the values of weights and of gradients are written as "
                   "histograms; 0: never",
           .range = at_least(0)},
          histogram_freq);
  v.field({.name = "write_graph", .help = "whether the graphs of ops and of layers are written"},
          write_graph);
  v.field({.name = "write_images",
           .help = "whether pictures are: inputs of the validation, filters of the first "
                   "convolution, confusion matrices; as often as histograms, or each epoch"},
          write_images);
  v.field({.name = "images",
           .help = "how many inputs of the validation data are written",
           .range = at_least(0)},
          images);
  v.field({.name = "embeddings_freq",
           .help = "so often, in epochs, the tables of embeddings are saved for the projector; 0: "
                   "never",
           .range = at_least(0)},
          embeddings_freq);
  v.field(
      {.name = "embeddings_metadata",
       .help = "labels of the rows of tables: LAYER=FILE, a TSV file in log_dir/train with a line "
               "a row"},
      embeddings_metadata);
  v.field({.name = "profile_batch",
           .help = "a step, or the first and the last of some, whose nodes are timed",
           .range = at_least(1)},
          profile_batch);
  v.field({.name = "gradient_norm",
           .help = "whether the norm of the gradient, before it is clipped, is a figure of steps"},
          gradient_norm);
  v.field({.name = "all_ranks",
           .help = "whether each worker writes, in rank_N; else one writes for all"},
          all_ranks);
  v.field({.name = "flush_seconds",
           .help = "at least so often what is known is in the file",
           .range = above(0)},
          flush_seconds);
}

struct TensorBoard::StepTags {
  std::vector<std::string> names;  // of the logs that they are made for
  std::vector<io::EventWriter::Tag> tags;
  io::EventWriter::Tag rate = 0, norm = 0, speed = 0;
  std::vector<io::EventWriter::Scalar> values;

  bool fits(Logs logs) const { return std::ranges::equal(logs, names, {}, &LogValue::name); }
};

void TensorBoard::check() const {
  const auto& steps = options_.profile_batch;
  if (steps.size() > 2 || (steps.size() == 2 && steps[0] > steps[1])) {
    throw invalid_argument(
        "expected profile_batch with a step, or with the first and the last one, such as [10, 12]");
  }
  for (const std::string& metadata : options_.embeddings_metadata) {
    const size_t equals = metadata.find('=');
    const std::string file = equals == std::string::npos ? "" : metadata.substr(equals + 1);
    // The projector reads nothing outside of its folder.
    if (equals == 0 || file.empty() || fs::path(file).is_absolute() ||
        fs::path(file).lexically_normal().string().starts_with("..")) {
      throw invalid_argument(
          "expected embeddings_metadata LAYER=FILE with a file in log_dir/train, found \"",
          metadata, "\"");
    }
  }
}

TensorBoard::TensorBoard(TensorBoardOptions options) : options_(std::move(options)) {}
TensorBoard::~TensorBoard() = default;

std::string TensorBoard::folder() const {
  const std::string& given = options_.log_dir.empty() ? run_.log_dir : options_.log_dir;
  if (given.empty()) {
    throw invalid_argument("tensorboard: expected log_dir, the folder that TensorBoard is given");
  }
  const int rank = run_.rank ? run_.rank() : 0;
  return writes() ? given : (fs::path(given) / str_cat("rank_", rank)).string();
}

io::EventWriter* TensorBoard::train() { return open(train_, "train"); }
io::EventWriter* TensorBoard::validation() { return open(validation_, "validation"); }

// Null: another process writes.
io::EventWriter* TensorBoard::open(std::unique_ptr<io::EventWriter>& writer, const char* run) {
  // Whoever writes may change when a worker is lost.
  if (writes_for_all_ != writes()) close();
  writes_for_all_ = writes();
  if (!writes_here() || writer) return writer.get();
  const std::string path = (fs::path(folder()) / run).string();
  io::EventWriterOptions options{.flush_seconds = options_.flush_seconds};
  if (!io::event_files(path).empty()) {
    const int64_t step = start_step_, epoch = start_epoch_;
    options.start =
        io::EventStart{.step = step + 1, .keeps = [step, epoch](std::string_view tag, int64_t at) {
                         if (is_of_start(tag)) return at < step;
                         return counts_steps(tag) ? at <= step : at < epoch;
                       }};
  }
  writer = std::make_unique<io::EventWriter>(path, std::move(options));
  return writer.get();
}

void TensorBoard::close() {
  step_tags_.reset();
  train_.reset();
  validation_.reset();
  began_ = false;
}

// What was written since is done again, from the state's steps on.
void TensorBoard::restore(const StateMap&) { close(); }

void TensorBoard::on_train_begin(Training& training) {
  start_seconds_ = now_seconds();
  last_step_ = training.step();
  last_written_ = SteadyClock::now();
  check();
  if (const auto& tracer = training.model().options().session.tracer;
      tracer && !options_.profile_batch.empty()) {
    tracer->set_step(training.step() + 1);
  }
  begin_run(training);
}

// Once, by whoever writes.
void TensorBoard::begin_run(Training& training) {
  if (began_ || !writes_here()) return;
  start_step_ = training.step();
  start_epoch_ = training.epoch();
  io::EventWriter& events = *train();
  began_ = true;
  if (!run_.job.empty()) events.add(training.step(), io::text_record("job", verbatim(run_.job)));
  events.add(training.step(), io::text_record("model", verbatim(training.model().summary())));
  write_session(io::SessionStatus::kRunning);
  if (options_.write_graph) write_graphs(training, events);
  if (options_.write_images) write_inputs(training, events);
  events.flush();
}

void TensorBoard::write_session(io::SessionStatus status) {
  if (run_.hparams.empty() || !writes()) return;
  io::write_session(folder(), {.values = run_.hparams,
                               .group = fs::path(folder()).lexically_normal().string(),
                               .status = status,
                               .start_seconds = start_seconds_});
}

void TensorBoard::on_epoch_begin(Training& training) {
  epoch_began_ = SteadyClock::now();
  epoch_first_step_ = training.step();
  begin_run(training);
}

void TensorBoard::on_batch_end(Training& training, Logs logs) {
  if (const auto* details = details_of(training);
      details != nullptr && options_.histogram_freq > 0 &&
      has_gradients(details->epochs_done(), details->epoch_step() - 1,
                    details->steps_per_epoch())) {
    keep_gradients(*details);
  }
  if (!options_.profile_batch.empty()) {
    if (const auto& tracer = training.model().options().session.tracer) {
      tracer->set_step(training.step() + 1);
    }
    if (training.step() == options_.profile_batch.back()) {
      if (io::EventWriter* const events = train()) write_node_times(training, *events);
    }
  }
  if (!options_.update_freq || training.step() % *options_.update_freq != 0) return;
  begin_run(training);
  io::EventWriter* const events = train();
  if (events == nullptr) return;
  if (!step_tags_ || !step_tags_->fits(logs)) {
    step_tags_ = std::make_unique<StepTags>();
    for (const LogValue& log : logs) {
      step_tags_->names.emplace_back(log.name);
      step_tags_->tags.push_back(events->tag(str_cat("batch_", log.name)));
    }
    step_tags_->rate = events->tag("batch_learning_rate");
    step_tags_->norm = events->tag("batch_gradient_norm");
    step_tags_->speed = events->tag("batch_steps_per_second");
    step_tags_->values.reserve(logs.size() + 3);
  }
  auto& values = step_tags_->values;
  values.clear();
  const auto put = [&](io::EventWriter::Tag tag, double value) {
    values.push_back({tag, static_cast<float>(value)});
  };
  for (size_t i = 0; i < logs.size(); ++i) {
    if (logs[i].value) put(step_tags_->tags[i], *logs[i].value);
  }
  put(step_tags_->rate, training.learning_rate());
  if (const auto norm = training.gradient_norm()) put(step_tags_->norm, *norm);
  if (options_.write_steps_per_second && training.step() > last_step_) {
    put(step_tags_->speed, rate(training.step() - last_step_, last_written_));
  }
  last_step_ = training.step();
  last_written_ = SteadyClock::now();
  events->scalars(training.step(), values);
}

// Of the last step of an epoch that has histograms; of the first where nobody knows which is the
// last.
bool TensorBoard::has_gradients(int64_t epoch, int64_t epoch_step, int64_t steps) const {
  return is_due(options_.histogram_freq, epoch) && epoch_step == (steps > 0 ? steps - 1 : 0);
}

bool TensorBoard::wants_gradients(const TrainingDetails& training) const {
  return has_gradients(training.epochs_done(), training.epoch_step(), training.steps_per_epoch());
}

void TensorBoard::on_epoch_end(Training& training, Logs logs) {
  begin_run(training);
  io::EventWriter* const events = train();
  if (events == nullptr) return;
  const int64_t epoch = training.epoch() - 1;
  bool has_rate = false;
  for (const LogValue& log : logs) {
    has_rate |= log.name == "learning_rate";
    if (!log.value) continue;
    if (!log.name.starts_with(kValidation)) {
      events->scalar(str_cat("epoch_", log.name), epoch, *log.value);
      continue;
    }
    const std::string_view name = log.name.substr(kValidation.size());
    io::EventWriter& validated = *validation();
    validated.scalar(str_cat("epoch_", name), epoch, *log.value);
    validated.scalar(str_cat("evaluation_", name, "_vs_iterations"), training.step(), *log.value);
  }
  if (!has_rate) events->scalar("epoch_learning_rate", epoch, training.learning_rate());
  events->scalar("epoch_data_wait_ms", epoch, training.data_wait_ms());
  if (options_.write_steps_per_second) {
    events->scalar("epoch_steps_per_second", epoch,
                   rate(training.step() - epoch_first_step_, epoch_began_));
  }
  if (is_due(options_.histogram_freq, epoch)) write_histograms(training, *events, epoch);
  if (options_.write_images && is_due(std::max<int64_t>(1, options_.histogram_freq), epoch)) {
    write_filters(training, *events, epoch);
    write_tables(training, *events, epoch);
  }
  if (writes() && is_due(options_.embeddings_freq, epoch)) write_embeddings(training, epoch);
  events->flush();
  if (validation_) validation_->flush();
}

void TensorBoard::on_failure(Training&) {
  write_session(io::SessionStatus::kFailure);
  close();
}

void TensorBoard::on_train_end(Training& training) {
  // One that a signal stopped goes on later.
  if (training.stop_reason() != kStoppedBySignal && writes_here()) {
    write_session(io::SessionStatus::kSuccess);
  }
  close();
}

void register_tensorboard(Catalog<Callback>& catalog) {
  catalog.add<TensorBoard>("tensorboard", "TensorBoard",
                           "Event files for TensorBoard: figures, histograms, images, graphs.");
}

}  // namespace trireme::nn
