#include "core/nn/progress.h"

#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <iostream>

namespace trireme::nn {
namespace {

constexpr int kBarWidth = 30;
constexpr double kRedrawInterval_s = 0.1;

template <typename... Args>
void append_format(std::string& text, const char* format, Args... args) {
  char buffer[64];
  const int length = std::snprintf(buffer, sizeof buffer, format, args...);
  text.append(buffer, static_cast<size_t>(std::clamp<int>(length, 0, sizeof buffer - 1)));
}

int digits(int64_t n) {
  int count = 1;
  for (; n >= 10; n /= 10) ++count;
  return count;
}

double seconds(std::chrono::steady_clock::duration duration) {
  return std::chrono::duration<double>(duration).count();
}

void append_duration(std::string& text, double duration_s) {
  const auto s = static_cast<long long>(std::lround(duration_s));
  if (s >= 3600) {
    append_format(text, "%lld:%02lld:%02lld", s / 3600, s % 3600 / 60, s % 60);
  } else if (s >= 60) {
    append_format(text, "%lld:%02lld", s / 60, s % 60);
  } else {
    append_format(text, "%llds", s);
  }
}

void append_step_time(std::string& text, double step_s) {
  if (step_s >= 1) {
    append_format(text, "%.0fs/step", step_s);
  } else if (step_s >= 1e-3) {
    append_format(text, "%.0fms/step", step_s * 1e3);
  } else {
    append_format(text, "%.0fus/step", step_s * 1e6);
  }
}

void append_logs(std::string& text, Logs logs) {
  for (const LogValue& log : logs) {
    if (!log.value) continue;
    text += " - ";
    text += log.name;
    // Small values, such as a learning rate, would read 0.0000.
    const bool small = *log.value != 0 && std::abs(*log.value) < 1e-3;
    append_format(text, small ? ": %.4e" : ": %.4f", *log.value);
  }
}

}  // namespace

ProgressOptions standard_progress() {
  return {.out = &std::cerr, .terminal = isatty(STDERR_FILENO) == 1};
}

Progress::Progress(ProgressOptions options) : options_(std::move(options)) {
  if (options_.out == nullptr) options_.out = &std::cerr;
  if (!options_.clock) options_.clock = [] { return std::chrono::steady_clock::now(); };
  text_.reserve(512);
}

void Progress::begin_epoch(int64_t epoch, int64_t epochs, int64_t steps, int64_t done) {
  steps_ = steps;
  first_ = done;
  quarter_ = steps > 0 ? 4 * done / steps : 0;
  started_ = options_.clock();
  data_wait_s_ = 0;
  drawn_ = false;
  last_width_ = 0;
  text_ = "Epoch ";
  append_format(text_, "%lld/%lld\n", static_cast<long long>(epoch + 1),
                static_cast<long long>(epochs));
  *options_.out << text_ << std::flush;
}

bool Progress::is_due(int64_t done) const {
  if (options_.terminal) {
    return !drawn_ || seconds(options_.clock() - last_drawn_) >= kRedrawInterval_s;
  }
  return steps_ > 0 && done < steps_ && 4 * done / steps_ > quarter_;
}

void Progress::update(int64_t done, Logs logs) {
  if (!is_due(done)) return;
  if (options_.terminal) {
    drawn_ = true;
    last_drawn_ = options_.clock();
  } else {
    quarter_ = 4 * done / steps_;
  }
  line(done, logs, false);
}

void Progress::end_epoch(int64_t done, Logs logs) { line(done, logs, true); }

void Progress::line(int64_t done, Logs logs, bool final) {
  text_.clear();
  if (options_.terminal) text_ += '\r';
  append_bar(done);
  append_time(done, seconds(options_.clock() - started_), final);
  append_logs(text_, logs);
  if (options_.terminal) {
    // Covers what is left of a longer line before it.
    const size_t width = text_.size();
    if (width < last_width_) text_.append(last_width_ - width, ' ');
    last_width_ = width;
  }
  if (final || !options_.terminal) text_ += '\n';
  *options_.out << text_ << std::flush;
}

void Progress::append_bar(int64_t done) {
  const auto count = static_cast<long long>(done);
  if (steps_ <= 0) {
    append_format(text_, "%lld", count);
    return;
  }
  append_format(text_, "%*lld/%lld", digits(steps_), count, static_cast<long long>(steps_));
  if (!options_.terminal) return;
  const int filled = static_cast<int>(kBarWidth * std::min(done, steps_) / steps_);
  const bool complete = done >= steps_;
  text_ += " [";
  text_.append(static_cast<size_t>(filled), '=');
  if (!complete) {
    if (filled > 0) text_.back() = '>';
    text_.append(static_cast<size_t>(kBarWidth - filled), '.');
  }
  text_ += ']';
}

void Progress::append_time(int64_t done, double elapsed_s, bool final) {
  const double step_s = done > first_ ? elapsed_s / static_cast<double>(done - first_) : 0;
  text_ += " - ";
  if (!final && steps_ > 0 && options_.terminal) {
    text_ += "ETA: ";
    append_duration(text_, step_s * static_cast<double>(steps_ - done));
    return;
  }
  append_duration(text_, elapsed_s);
  text_ += ' ';
  append_step_time(text_, step_s);
  if (done > first_ && data_wait_s_ > 0 && data_wait_s_ >= 0.01 * elapsed_s) {
    text_ += ", data ";
    append_step_time(text_, data_wait_s_ / static_cast<double>(done - first_));
  }
}

}  // namespace trireme::nn
