// Hyper-parameters of runs, as TensorBoard's page of them reads them.
//
//   sweep/             write_experiment(): what all trials vary, and what they are judged by
//   sweep/trial_7/     write_session(): the values of this trial and how it ended
//   sweep/trial_7/train, sweep/trial_7/validation     its scalars
//
// Each function writes a small event file of its own, whole and on the disk when it returns, and
// then removes what it wrote into the folder before. A TensorBoard that runs already goes on
// showing the first experiment and session that it found; write the experiment when all values are
// known.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace trireme::io {

using HParamValue = std::variant<bool, double, std::string>;
using HParamValues = std::map<std::string, HParamValue>;

// A hyper-parameter of an experiment. One whose values are of several types has the type of text.
struct HParam {
  std::string name;
  std::string description = {};
  // The values that there are, when they are few or no numbers; else the interval.
  std::vector<HParamValue> values = {};
  std::optional<std::pair<double, double>> interval = {};
};
// Of all trials together: a column for each name that any of them has. TensorBoard shows what this
// list has and nothing else, so it is to be written when all values are known.
std::vector<HParam> unite(std::span<const HParamValues> trials);

// A figure of the table: the last scalar of that tag in the session's folder.
struct HParamMetric {
  std::string tag;
  std::string run = {};  // the folder below the session's that has it: "validation"
  std::string display_name = {};
};
// Throws Error when the folder cannot be written; so do the others.
void write_experiment(const std::string& folder, std::span<const HParam> hparams,
                      std::span<const HParamMetric> metrics, const std::string& description = "");

// TensorBoard shows no status of a session that runs.
enum class SessionStatus { kUnknown, kSuccess, kFailure, kRunning };
struct HParamSession {
  HParamValues values;
  std::string group;  // the trial's name: sessions of one group are one row
  SessionStatus status = SessionStatus::kSuccess;
  double start_seconds = 0, end_seconds = 0;  // since 1970; 0: now
  // Figures that no scalar of the session's own folder shows.
  std::map<std::string, double> metrics = {};
  int64_t step = 0;  // of `metrics`
};
void write_session(const std::string& folder, const HParamSession& session);

// The same as records for a writer that is there: `folder` is its folder.
std::string session_start_record(const HParamValues& values, const std::string& group,
                                 double start_seconds);
std::string session_end_record(SessionStatus status, double end_seconds);

}  // namespace trireme::io
