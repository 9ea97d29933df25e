#include <charconv>

#include "core/base/error.h"
#include "distributed/cluster/sources.h"

extern char** environ;

namespace trireme {

Environment process_environment() {
  Environment all;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string_view text = *entry;
    const size_t equals = text.find('=');
    // Of two equal names the first counts, as for getenv.
    if (equals != std::string_view::npos) {
      all.emplace(text.substr(0, equals), text.substr(equals + 1));
    }
  }
  return all;
}

namespace cluster {

std::vector<std::string> Variables::names() const {
  std::vector<std::string> all;
  for (const auto& [name, value] : environment_) all.push_back(name);
  return all;
}

const std::string& Variables::text(const std::string& name) const {
  static const std::string kNone;
  const auto found = environment_.find(name);
  return found == environment_.end() ? kNone : found->second;
}

std::optional<int64_t> Variables::number(const std::string& name, int64_t low, int64_t high) const {
  const std::string& value = text(name);
  if (value.empty()) return std::nullopt;
  int64_t number = 0;
  const char* end = value.data() + value.size();
  const auto [stop, error] = std::from_chars(value.data(), end, number);
  if (error == std::errc::invalid_argument || stop != end) {
    throw invalid_argument(quote(name), ": expected a whole number");
  }
  if (error != std::errc() || number < low || number > high) {
    throw invalid_argument(quote(name), ": expected a number from ", low, " to ", high);
  }
  return number;
}

std::optional<int> Variables::count(const std::string& name) const {
  const auto value = number(name, 1, kMaxTasks);
  return value ? std::optional<int>(static_cast<int>(*value)) : std::nullopt;
}

std::optional<int> Variables::index(const std::string& name) const {
  const auto value = number(name, 0, kMaxTasks - 1);
  return value ? std::optional<int>(static_cast<int>(*value)) : std::nullopt;
}

std::string Variables::first_of(const std::vector<std::string>& names) const {
  for (const std::string& name : names)
    if (has(name)) return name;
  return names.back();
}

}  // namespace cluster
}  // namespace trireme
