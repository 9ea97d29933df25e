#include "launcher/sweep/sweep.h"

#include <unistd.h>

#include <algorithm>
#include <filesystem>

#include "core/base/error.h"
#include "core/base/log_file.h"
#include "core/base/text_file.h"
#include "core/io/atomic_file.h"
#include "launcher/supervisor/ending_signals.h"
#include "launcher/supervisor/task_environment.h"
#include "launcher/sweep/dashboard.h"
#include "launcher/sweep/field_paths.h"
#include "launcher/sweep/report.h"
#include "launcher/sweep/slurm.h"
#include "proto/job.pb.h"

namespace trireme::sweep {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kMaxPlan = 64 << 20;
constexpr size_t kShownRows = 50;

void print(const std::string& text) { (void)write_all(STDERR_FILENO, text.data(), text.size()); }

// Takes what the job says into the plan.
void complete(SweepOptions& options, const std::shared_ptr<const JobSchema>& schema) {
  Plan& plan = options.plan;
  const JobFile job = base_job(plan, schema);
  options.on_gpu |= job.job().device() == "gpu";
  plan.epochs = job.job().epochs();
  if (options.folder.empty()) options.folder = job.job().output_dir() + "-sweep";
  resolve_parameters(plan, schema);
  if (plan.search == Search::kGrid) {
    const auto all =
        static_cast<int64_t>(Space(plan.parameters, plan.seed).grid(plan.points).size());
    if (plan.trials != 0 && plan.trials != all) {
      throw invalid_argument("--trials ", plan.trials, ": the grid has ", all,
                             " settings, and a grid is all of them; leave it out, or take --search "
                             "random");
    }
    plan.trials = all;
  } else if (const auto all = Space(plan.parameters, plan.seed).size(); all && plan.trials > *all) {
    throw invalid_argument("--trials ", plan.trials, ": the space has only ", *all,
                           " settings; take --search grid, or vary more");
  }
  if (plan.search != Search::kAsha) return;
  if (plan.min_epochs > plan.epochs) {
    throw invalid_argument("--min-epochs ", plan.min_epochs, ": the job has ", plan.epochs,
                           " epochs in all");
  }
  if (job.job().checkpoint().off()) {
    throw invalid_argument(job.where("checkpoint.off"),
                           "--search asha goes on from checkpoints: expected that they are on");
  }
  for (const Parameter& parameter : plan.parameters) {
    for (const char* const field : {"epochs", "checkpoint"}) {
      if (parameter.path != field && !is_below(parameter.path, field)) continue;
      throw invalid_argument(parameter.origin,
                             ": --search asha decides by epochs and checkpoints, "
                             "which must be the same in all trials");
    }
  }
}

// The plan that the folder has, with more trials where more are wanted; it is written there first
// where there is none. REQUIRES: the folder is held.
void keep_plan(const std::string& folder, const Plan& plan) {
  const std::string path = folder + "/sweep.json";
  if (fs::exists(path)) {
    const Plan kept = Plan::from_json(read_text_file(path, kMaxPlan, "a plan of a sweep"), path);
    const std::vector<std::string> differences = kept.differences_from(plan);
    if (!differences.empty()) {
      std::string list;
      for (const std::string& one : differences) list += (list.empty() ? "" : "; ") + one;
      throw invalid_argument(folder, ": holds another sweep: ", list,
                             "; go on with the same arguments, or choose another folder "
                             "(--output-dir)");
    }
    if (kept.trials == plan.trials) return;
  } else if (fs::exists(folder + "/journal.jsonl")) {
    throw data_loss(folder,
                    ": has the journal of a sweep, and no sweep.json; choose another "
                    "folder (--output-dir)");
  }
  io::write_file_atomically(path, plan.to_json());
}

int chosen_jobs(const SweepOptions& options, int64_t trials) {
  const int cores = static_cast<int>(usable_cores().size());
  int wanted = cores;
  if (options.threads > 0) wanted = std::max(1, cores / options.threads);
  if (options.on_gpu) wanted = 1;
  if (options.slurm.submit) wanted = kArrayTasks;
  if (options.jobs > 0) wanted = options.jobs;
  return static_cast<int>(std::min<int64_t>(wanted, trials));
}

// One sweep in its folder, as one of the processes that work on it sees it.
class Sweep {
 public:
  Sweep(SweepOptions options, const std::shared_ptr<const JobSchema>& schema, int jobs)
      : options_(std::move(options)),
        jobs_(jobs),
        settings_(options_.plan.settings()),
        host_{.plan = options_.plan,
              .settings = settings_,
              .folder = options_.folder,
              .program = fs::read_symlink("/proc/self/exe").string(),
              .environment = without_cluster(process_environment()),
              .schema = schema,
              .threads = options_.threads > 0 ? options_.threads : std::max(1, cores() / jobs)} {}

  SweepResult run(Sharing sharing) {
    Store store(options_.folder, options_.plan, sharing);
    say(str_cat(options_.plan.trials, " trials in ", options_.folder, ", ", jobs_, " at once with ",
                host_.threads, host_.threads == 1 ? " thread" : " threads", " each"));
    const RunnerEnd end = run_trials(
        host_, store,
        {.jobs = jobs_,
         .pin = options_.pin && !options_.on_gpu && jobs_ * host_.threads <= cores(),
         .retries = options_.retries,
         .grace = std::chrono::milliseconds(static_cast<int64_t>(options_.grace_s * 1000)),
         .say = [this](const std::string& line) { say(line); }});
    store.transaction([&] {
      write_results(host_, store.state());
      // TensorBoard believes the first table that it sees, so a task of an array that others will
      // follow writes none.
      if (sharing == Sharing::kAlone || is_over(store.state())) {
        write_dashboard(host_, store.state());
      }
    });
    return describe(store.state(), end);
  }

  SweepResult submit() const {
    if (is_over(read_state())) {
      say("nothing is left to do");
      return describe(read_state(), {});
    }
    const std::string threads = std::to_string(std::max(1, options_.threads));
    const std::string job =
        submit_array(options_.folder,
                     {.tasks = jobs_,
                      .cpus = std::max(1, options_.threads),
                      .sbatch = options_.slurm.sbatch,
                      .command = {host_.program, "sweep", "--task", options_.folder, "--threads",
                                  threads, "--retries", std::to_string(options_.retries), "--grace",
                                  str_cat(options_.grace_s)},
                      .wait = options_.slurm.wait});
    if (options_.slurm.wait) return describe(read_state(), {});
    say(str_cat("submitted job ", job, " with ", jobs_, " tasks, logs in ", options_.folder,
                "/slurm-*.log; the same command says later what they found"));
    return {.json = submitted_line(host_, job, jobs_)};
  }

 private:
  static int cores() { return static_cast<int>(usable_cores().size()); }
  void say(const std::string& line) const {
    if (!options_.quiet) print("trireme sweep: " + line + "\n");
  }

  bool is_over(const SweepState& state) const {
    return next(options_.plan, state).kind == Decision::kEnd;
  }
  SweepState read_state() const {
    SweepState state(options_.plan);
    for (const Event& event : Journal(options_.folder + "/journal.jsonl").refresh()) {
      state.apply(event);
    }
    return state;
  }

  SweepResult describe(const SweepState& state, const RunnerEnd& end) const {
    const bool over = is_over(state);
    // Of the tasks of an array the last one says it.
    if (!options_.quiet && (over || end.signal != 0 || options_.slurm.submit)) {
      print(results_table(host_, state, kShownRows));
      print(best_text(host_, state));
    }
    SweepResult result{.json = result_line(host_, state, end, jobs_)};
    if (end.signal != 0) {
      print(str_cat("trireme: stopped with ", state.count(TrialStatus::kDone), " of ",
                    options_.plan.trials, " trials done; the same command goes on in ",
                    options_.folder, "\n"));
      result.exit_code = exit_code_after(end.signal);
    } else if (options_.slurm.submit && !over) {
      print(str_cat("trireme: the tasks have ended, and trials are left; see ", options_.folder,
                    "/slurm-*.log; the same command submits the rest\n"));
      result.exit_code = 1;
    } else if (over && !state.best()) {
      print("trireme: no trial came to a result\n");
      result.exit_code = 1;
    }
    return result;
  }

  const SweepOptions options_;
  const int jobs_;
  const std::vector<Setting> settings_;
  const TrialHost host_;
};

}  // namespace

SweepResult sweep(SweepOptions options, const std::shared_ptr<const JobSchema>& schema) {
  complete(options, schema);
  io::create_directories(options.folder);
  {
    // Of two that start at once, one hears of the other before anything is written.
    const io::FolderLock lock(options.folder, {});
    keep_plan(options.folder, options.plan);
  }
  const int jobs = chosen_jobs(options, options.plan.trials);
  const bool submits = options.slurm.submit;
  Sweep one(std::move(options), schema, jobs);
  return submits ? one.submit() : one.run(Sharing::kAlone);
}

SweepResult run_task(const SweepOptions& options, const std::shared_ptr<const JobSchema>& schema) {
  const std::string path = options.folder + "/sweep.json";
  if (!fs::exists(path)) throw not_found(options.folder, ": holds no sweep");
  SweepOptions task = options;
  task.plan = Plan::from_json(read_text_file(path, kMaxPlan, "a plan of a sweep"), path);
  task.pin = false;  // the scheduler has done so
  return Sweep(std::move(task), schema, std::max(1, options.jobs)).run(Sharing::kTogether);
}

}  // namespace trireme::sweep
