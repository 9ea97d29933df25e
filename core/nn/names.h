// Looks a thing up by the name that a job file gives it.
#pragma once

#include <map>
#include <string>
#include <string_view>

#include "core/base/error.h"

namespace trireme::nn {

// Throws Error{kInvalidArgument} listing the names that exist; `kind` says what was looked for.
template <typename T>
const T& find_by_name(const std::map<std::string, T, std::less<>>& known, std::string_view name,
                      std::string_view kind) {
  if (auto it = known.find(name); it != known.end()) return it->second;
  std::string names;
  for (const auto& [key, value] : known) names += (names.empty() ? "" : ", ") + key;
  throw invalid_argument("unknown ", kind, " \"", name, "\"; known are ", names);
}

}  // namespace trireme::nn
