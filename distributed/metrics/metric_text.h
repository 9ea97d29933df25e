// Writes metrics in Prometheus' text format, version 0.0.4.
//
//   MetricText text(MetricLabels{{"rank", "0"}});
//   text.counter("trireme_worker_steps_total", "Steps that this process finished.", 12);
//
// Samples of one family must follow each other. One thread.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace trireme {

using MetricLabels = std::vector<std::pair<std::string, std::string>>;

class MetricText {
 public:
  // `common`: labels of every sample.
  explicit MetricText(MetricLabels common = {}) : common_(std::move(common)) {}

  // `help` is one sentence. A value that is no number is written as NaN, and infinities as they
  // are; where there is no value yet, call nothing.
  void counter(std::string_view name, std::string_view help, double value,
               const MetricLabels& labels = {}) {
    add("counter", name, help, value, labels);
  }
  void gauge(std::string_view name, std::string_view help, double value,
             const MetricLabels& labels = {}) {
    add("gauge", name, help, value, labels);
  }

  const std::string& str() const { return text_; }

 private:
  void add(std::string_view type, std::string_view name, std::string_view help, double value,
           const MetricLabels& labels);
  void append_labels(const MetricLabels& labels);

  const MetricLabels common_;
  std::string text_, family_;
};

}  // namespace trireme
