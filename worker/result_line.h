// The lines of JSON that commands print. Private to worker/, included by .cc files only.
#pragma once

#include <cstdlib>
#include <iomanip>
#include <nlohmann/json.hpp>
#include <sstream>

namespace trireme {

using ResultLine = nlohmann::ordered_json;

// Results stay readable: six significant digits.
inline double rounded(double value) {
  std::ostringstream text;
  text << std::setprecision(6) << value;
  return std::strtod(text.str().c_str(), nullptr);
}

}  // namespace trireme
