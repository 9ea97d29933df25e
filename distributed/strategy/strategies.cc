#include "distributed/strategy/strategies.h"

#include <algorithm>
#include <cctype>
#include <vector>

#include "core/base/error.h"
#include "core/base/suggest.h"

namespace trireme {

std::span<const StrategyDef* const> strategies() {
  static constexpr const StrategyDef* kAll[] = {&kOneDeviceStrategy,       &kMirroredStrategy,
                                                &kMultiWorkerStrategy,     &kCentralStorageStrategy,
                                                &kParameterServerStrategy, &kHybridStrategy};
  return kAll;
}

std::string strategy_names(std::string_view separator, bool (*wanted)(const StrategyDef&)) {
  std::string names;
  for (const StrategyDef* def : strategies()) {
    if (wanted != nullptr && !wanted(*def)) continue;
    if (!names.empty()) names += separator;
    names += def->name;
  }
  return names;
}

const StrategyDef* find_strategy_or_null(std::string_view name) {
  const auto same_letter = [](char a, char b) {
    return std::tolower(static_cast<unsigned char>(a)) == b;
  };
  for (const StrategyDef* def : strategies()) {
    if (std::ranges::equal(name, def->name, same_letter)) return def;
  }
  return nullptr;
}

const StrategyDef& find_strategy(std::string_view name) {
  if (const StrategyDef* def = find_strategy_or_null(name)) return *def;
  std::vector<std::string> names;
  for (const StrategyDef* def : strategies()) names.emplace_back(def->name);
  throw invalid_argument("there is no strategy \"", name, "\"; there are ", strategy_names(),
                         did_you_mean(name, names));
}

std::unique_ptr<Strategy> make_strategy(std::string_view name, StrategyOptions options) {
  return find_strategy(name).make(std::move(options));
}

const StrategyDef& choose_strategy(bool in_cluster, int devices, int parameter_servers) {
  if (parameter_servers > 0) return kParameterServerStrategy;
  if (in_cluster) return kMultiWorkerStrategy;
  return devices > 1 ? kMirroredStrategy : kOneDeviceStrategy;
}

}  // namespace trireme
