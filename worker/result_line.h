// The lines of JSON that commands print. Private to worker/, included by .cc files only.
#pragma once

#include <cstdlib>
#include <iomanip>
#include <map>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <vector>

namespace trireme {

using ResultLine = nlohmann::ordered_json;

// Results stay readable: six significant digits.
inline double rounded(double value) {
  std::ostringstream text;
  text << std::setprecision(6) << value;
  return std::strtod(text.str().c_str(), nullptr);
}

// Adds tables, n·n numbers row after row, as lists of rows.
void add_tables(const std::map<std::string, std::vector<double>>& tables, ResultLine& line);
// The same for people: a line for each row.
std::string tables_text(const std::map<std::string, std::vector<double>>& tables);

}  // namespace trireme
