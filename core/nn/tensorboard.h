// Writes what TensorBoard shows of a training: figures, histograms, images, graphs.
//
//   LOG_DIR/train         epoch_loss, epoch_accuracy, …, of each epoch, counted from 0, and with
//                         update_freq batch_loss, …, of steps, counted from 1;
//                         projector_config.pbtxt
//   LOG_DIR/validation    epoch_loss, …, of the validation; evaluation_loss_vs_iterations, …
//   LOG_DIR               hyper-parameters
//
// Tags and folders are Keras's. Of several workers the one that writes the log does; with all_ranks
// the others have folders of their own, LOG_DIR/rank_1/train. Training that goes on from earlier
// steps takes their place: core/io/event_file.h.
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "core/io/event_file.h"
#include "core/io/event_records.h"
#include "core/io/hparams.h"
#include "core/nn/callbacks.h"
#include "core/nn/training_details.h"

namespace trireme::nn {

struct TensorBoardOptions {
  std::string log_dir;                 // empty: of TensorBoardRun
  std::optional<int64_t> update_freq;  // nothing: figures of epochs only
  bool write_steps_per_second = false;
  int64_t histogram_freq = 0;  // in epochs; 0: none
  bool write_graph = true;
  bool write_images = false;
  int64_t images = 8;  // of the validation data
  int64_t embeddings_freq = 0;
  std::vector<std::string> embeddings_metadata;  // "LAYER=FILE"
  std::vector<int64_t> profile_batch;            // a step, or the first and the last one
  bool gradient_norm = false;
  bool all_ranks = false;
  double flush_seconds = 10;

  void describe(OptionVisitor& visitor);
};

// What a callback cannot know by itself, from whoever runs the job.
struct TensorBoardRun {
  std::string log_dir;  // where the options name none
  std::string job;      // its text; empty: there is none
  io::HParamValues hparams = {};
  std::function<int()> rank = {};  // null: 0
};

class TensorBoard : public Callback, public GradientUser {
 public:
  explicit TensorBoard(TensorBoardOptions options = {});
  ~TensorBoard() override;
  void describe(OptionVisitor& visitor) override { options_.describe(visitor); }
  // Before the training begins.
  void set_run(TensorBoardRun run) { run_ = std::move(run); }
  const TensorBoardOptions& options() const { return options_; }

  void check() const override;
  bool needs_gradient_norm() const override { return options_.gradient_norm; }
  // Whether it looks at the tracer of the model's session.
  bool needs_tracer() const { return !options_.profile_batch.empty(); }
  bool wants_gradients(const TrainingDetails& training) const override;
  void on_train_begin(Training& training) override;
  void on_epoch_begin(Training& training) override;
  void on_batch_end(Training& training, Logs logs) override;
  void on_epoch_end(Training& training, Logs logs) override;
  void on_failure(Training& training) override;
  void on_train_end(Training& training) override;
  void restore(const StateMap& state) override;

 private:
  // The figures of steps, prepared so that writing them allocates nothing.
  struct StepTags;

  bool writes_here() const { return writes() || options_.all_ranks; }
  std::string folder() const;
  io::EventWriter* train();
  io::EventWriter* validation();
  io::EventWriter* open(std::unique_ptr<io::EventWriter>& writer, const char* run);
  void begin_run(Training& training);
  void write_session(io::SessionStatus status);
  void write_graphs(Training& training, io::EventWriter& events);
  void write_inputs(Training& training, io::EventWriter& events);
  void write_histograms(Training& training, io::EventWriter& events, int64_t epoch);
  void write_filters(Training& training, io::EventWriter& events, int64_t epoch);
  void write_tables(Training& training, io::EventWriter& events, int64_t epoch);
  void write_embeddings(Training& training, int64_t epoch);
  void write_node_times(Training& training, io::EventWriter& events);
  // Whether step `epoch_step` of the epoch, from 0, gives the gradients of its histograms.
  bool has_gradients(int64_t epoch, int64_t epoch_step, int64_t steps) const;
  void keep_gradients(const TrainingDetails& training);
  bool is_due(int64_t every, int64_t epoch) const { return every > 0 && epoch % every == 0; }
  void close();

  TensorBoardOptions options_;
  TensorBoardRun run_;
  std::unique_ptr<io::EventWriter> train_, validation_;
  bool writes_for_all_ = false;  // whose folders they are in
  std::unique_ptr<StepTags> step_tags_;
  bool began_ = false;                              // what is written once is
  int64_t start_step_ = 0, start_epoch_ = 0;        // where this began, or went on
  std::map<std::string, io::Histogram> gradients_;  // of this epoch
  std::set<std::string> told_;                      // tags with values that are no finite numbers
  std::string embeddings_;                          // the prefix that was written last
  double start_seconds_ = 0;
  std::chrono::steady_clock::time_point epoch_began_, last_written_;
  int64_t epoch_first_step_ = 0, last_step_ = 0;
};

void register_tensorboard(Catalog<Callback>& catalog);

}  // namespace trireme::nn
