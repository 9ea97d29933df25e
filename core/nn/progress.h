// The progress of training as a Keras user expects it: on a terminal a bar that is redrawn in place
// at most ten times a second, else a few plain lines an epoch. Output and clock are given, so that
// tests need neither. One thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <iosfwd>
#include <optional>
#include <span>
#include <string>

namespace trireme::nn {

// A name that lives at least as long as the call, and its value: "loss", 0.2412. Nothing where
// there is no such number, such as the accuracy of no example.
struct LogValue {
  std::string_view name;
  std::optional<double> value;
};
using Logs = std::span<const LogValue>;

using Clock = std::function<std::chrono::steady_clock::time_point()>;

struct ProgressOptions {
  std::ostream* out = nullptr;  // null: standard error
  bool terminal = false;        // redraw in place
  Clock clock;                  // null: the steady clock
};
// Standard error as it is: a terminal or not.
ProgressOptions standard_progress();

class Progress {
 public:
  explicit Progress(ProgressOptions options);

  // `steps`: of the epoch, -1 when unknown; `done`: of them before a resume. Epochs count from 0.
  void begin_epoch(int64_t epoch, int64_t epochs, int64_t steps, int64_t done = 0);
  // True when update() would print: so the logs need not be worked out otherwise.
  bool is_due(int64_t done) const;
  // How long the epoch has waited for data so far; a line shows it, for a step, when it is 1% of
  // the time and more.
  void set_data_wait(double seconds) { data_wait_s_ = seconds; }
  // Prints a line when it is time for one. Values that do not exist are left out.
  void update(int64_t done, Logs logs);
  // The last line, with the values of the validation.
  void end_epoch(int64_t done, Logs logs);

 private:
  using Time = std::chrono::steady_clock::time_point;
  void line(int64_t done, Logs logs, bool final);
  void append_bar(int64_t done);
  void append_time(int64_t done, double elapsed_s, bool final);

  ProgressOptions options_;
  int64_t steps_ = -1, first_ = 0;
  double data_wait_s_ = 0;
  int64_t quarter_ = 0;  // of the epoch, that was printed last when this is no terminal
  Time started_, last_drawn_;
  bool drawn_ = false;
  std::string text_;  // reused: a redraw does not allocate
  size_t last_width_ = 0;
};

}  // namespace trireme::nn
