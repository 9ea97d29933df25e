// One task of a job: builds data, model and session from the job file, and trains, evaluates or
// predicts.
#pragma once

#include <atomic>
#include <functional>
#include <iosfwd>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "distributed/cluster/cluster_spec.h"
#include "distributed/metrics/metrics_address.h"
#include "worker/program_tables.h"

namespace trireme {

class JobFile;

// What the command line says, beside the job.
struct TaskOptions {
  ProgramTables tables = core_tables();
  std::string data_dir;  // see data::find_data()
  int threads = 0;       // compute threads; 0: this task's share of the cores
  int cpu_devices = 1;   // virtual ones
  // The checkpoint to go on from: "newest", "auto" (the newest of this job, else from the
  // beginning), a step of the output folder, or a path; nothing: begin anew.
  std::optional<std::string> resume;
  bool overwrite = false;  // begin anew where an earlier training has left its results
  // Ends after so many epochs of the whole training, which stays planned for all of the job's; 0:
  // after the last.
  int64_t stop_after_epochs = 0;
  bool log_device_placement = false;
  bool quiet = false;                       // no progress
  std::optional<bool> progress_bar;         // redraw in place; nothing: when it is a terminal
  std::string timeline;                     // folder for Chrome traces; empty: none
  ClusterFlags cluster;                     // what the command line says of the cluster
  std::optional<MetricsAddress> metrics;    // the first of this host's tasks; nothing: none
  std::string save_graph;                   // write the training graph here (*.graph)
  const std::atomic<bool>* stop = nullptr;  // set by a signal: finish the step, save, return
  // Ends the program when `stop` is set while there is nothing to save; called on another thread.
  std::function<void()> end_early = {};
  std::function<int()> stop_signal = {};  // which; 0: none yet
  // Sets `stop`, as if the signal had come: another task of the job was told. From any thread.
  std::function<void(int signal)> ask_to_stop = {};
};

// The one line of results that a command ends with, as JSON.
struct TaskResult {
  std::string json;      // empty: another task tells the result
  bool stopped = false;  // by TaskOptions::stop, here or in another task of the job
  int stop_signal = 0;   // the one by which the job was stopped: the same in all tasks
  std::string where;     // what to tell a user who stopped it
  std::map<std::string, double> figures = {};  // of an evaluation: loss and metrics
};

// Trains; checkpoints and log.csv go to the job's output folder. Throws Error.
TaskResult train(const JobFile& file, const TaskOptions& options);

// Loss and metrics with the weights of a checkpoint (folder, prefix or .index file), of the
// validation data or, with `input`, of all rows of another table. The preprocessing is the
// checkpoint's.
TaskResult evaluate(const JobFile& file, const TaskOptions& options, const std::string& checkpoint,
                    const std::string& input = "");

struct PredictOptions {
  std::string input;   // a file in the format of the job's data; empty: the validation data
  std::string output;  // appears whole at the end; empty: the stream
  int64_t limit = 0;   // of examples; 0: all
  bool csv = false;    // else a line of JSON an example
};

struct GenerateOptions {
  int64_t characters = 0;  // how many
  std::string prompt;      // what stands before them; empty: a line end
  double temperature = 1;  // scores are divided by it; 0: always the best character
  int64_t top_k = 0;       // draws among so many of the best; 0: all
  uint64_t seed = 1;
};

// Writes the prompt and text of a model of characters, one after another as they are drawn.
void generate(const JobFile& file, const TaskOptions& options, const std::string& checkpoint,
              const GenerateOptions& wanted, std::ostream& out);

// Writes what the model says of each example: see worker/prediction_lines.h.
void predict(const JobFile& file, const TaskOptions& options, const std::string& checkpoint,
             const PredictOptions& wanted, std::ostream& out);

}  // namespace trireme
