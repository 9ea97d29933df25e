#include "worker/train_outcome.h"

#include "core/base/error.h"

namespace trireme {
namespace {

constexpr const char* kAllDone = "all epochs were done";

// The values of the epoch whose model is saved; null: none was finished here.
std::map<std::string, double> values_of_model(const nn::History& history,
                                              const nn::EarlyStopping* early_stopping) {
  if (early_stopping != nullptr && early_stopping->restored()) return early_stopping->best().logs;
  std::map<std::string, double> values;
  for (const auto& [name, epochs] : history.values) {
    if (!epochs.empty() && epochs.back()) values[name] = *epochs.back();
  }
  return values;
}

}  // namespace

void add_outcome(const nn::History& history, const nn::EarlyStopping* early_stopping,
                 ResultLine& line) {
  const auto values = values_of_model(history, early_stopping);
  for (const char* key : {"loss", "accuracy", "auc", "val_loss", "val_accuracy", "val_auc",
                          "mean_absolute_error", "val_mean_absolute_error"}) {
    if (const auto found = values.find(key); found != values.end()) {
      line[key] = rounded(found->second);
    }
  }
  for (const auto& [name, value] : values) {
    if (!line.contains(name)) line[name] = rounded(value);
  }
  add_tables(history.tables, line);
  line["stop_reason"] = history.stop_reason.empty() ? kAllDone : history.stop_reason;
  if (early_stopping == nullptr || early_stopping->best().epoch == 0) return;
  const std::string& monitor = early_stopping->options().monitor;
  line["best_epoch"] = early_stopping->best().epoch;
  line["best_" + monitor] = rounded(early_stopping->best().logs.at(monitor));
  line["restored_best"] = early_stopping->restored();
}

ResultLine training_line(const job::Job& job, std::string_view strategy, int workers,
                         const nn::History& history, const nn::EarlyStopping* early_stopping,
                         int64_t lost_steps, std::chrono::duration<double> took) {
  ResultLine line = {{"job", job.name()},
                     {"strategy", strategy},
                     {"workers", workers},
                     {"epochs", history.epochs},
                     {"steps", history.steps}};
  add_outcome(history, early_stopping, line);
  if (lost_steps > 0) line["lost_steps"] = lost_steps;
  line["data_wait_seconds"] = rounded(history.data_wait_seconds);
  line["seconds"] = rounded(took.count());
  return line;
}

std::string end_sentence(const nn::History& history, const nn::EarlyStopping* early_stopping,
                         const job::Job& job) {
  const bool early = !history.stop_reason.empty();
  if (history.stop_reason == nn::kStoppedBySignal) return "";  // which is told with the exit code
  const bool monitored = early_stopping != nullptr && early_stopping->best().epoch > 0;
  if (!early && !monitored) return "";
  std::string text = early ? str_cat("stopped after epoch ", history.epochs, " of ", job.epochs(),
                                     ": ", history.stop_reason)
                           : str_cat("all ", history.epochs, " epochs were done");
  if (!monitored) return text + "\n";
  const nn::BestEpoch& best = early_stopping->best();
  const std::string& monitor = early_stopping->options().monitor;
  text += str_cat("; epoch ", best.epoch, " was the best, with ", monitor, " ",
                  rounded(best.logs.at(monitor)));
  const bool saved = !job.checkpoint().off();
  if (early_stopping->restored()) {
    text += str_cat(": its weights ",
                    best.epoch == history.epochs ? "are those of the model" : "were restored",
                    saved ? " and are in the newest checkpoint" : "");
  } else if (saved) {
    text += str_cat(": its checkpoint ckpt-", best.step,
                    " is kept; the newest has the weights of the last epoch");
  }
  return text + "\n";
}

}  // namespace trireme
