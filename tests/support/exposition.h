// Reads Prometheus' text format (version 0.0.4) strictly, for tests of what /metrics serves.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

namespace trireme::testing {

using SampleLabels = std::map<std::string, std::string>;

struct Sample {
  std::string name;
  SampleLabels labels;
  double value = 0;
  std::string text;  // of the value
};

struct Exposition {
  std::map<std::string, std::string> types, helps;  // of each family
  std::vector<Sample> samples;
  // What breaks the format, or Prometheus' rules for names: counters end in _total, others do not.
  std::vector<std::string> problems;

  std::set<std::string> families() const;
  // The samples with this name and these labels (and others).
  std::vector<Sample> find(const std::string& name, const SampleLabels& labels = {}) const;
  // The value of the only one. Throws Error{kNotFound} when there is none, or several.
  double value(const std::string& name, const SampleLabels& labels = {}) const;
};

Exposition parse_exposition(const std::string& text);

// What `promtool check metrics` finds wrong; empty: nothing, or it is not installed. Looked for in
// PATH and at PROMTOOL.
std::string promtool_findings(const std::string& text);

}  // namespace trireme::testing
