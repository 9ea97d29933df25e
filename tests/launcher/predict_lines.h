// What `trireme predict` printed, as numbers.
#pragma once

#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <vector>

namespace trireme::testing {

inline std::vector<nlohmann::json> json_lines(const std::string& text) {
  std::vector<nlohmann::json> lines;
  std::stringstream stream(text);
  for (std::string line; std::getline(stream, line);) lines.push_back(nlohmann::json::parse(line));
  return lines;
}

// The first output of each.
inline std::vector<double> first_outputs(const std::string& text) {
  std::vector<double> values;
  for (const auto& line : json_lines(text)) values.push_back(line.at("prediction").at(0));
  return values;
}

}  // namespace trireme::testing
