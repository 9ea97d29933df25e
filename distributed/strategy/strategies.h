// The strategies, each in a file of its own: the one list from which names and messages follow.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "distributed/strategy/strategy.h"

namespace trireme {

extern const StrategyDef kOneDeviceStrategy;        // one_device.cc
extern const StrategyDef kMirroredStrategy;         // mirrored.cc
extern const StrategyDef kMultiWorkerStrategy;      // multi_worker.cc
extern const StrategyDef kCentralStorageStrategy;   // central_storage.cc
extern const StrategyDef kParameterServerStrategy;  // parameter_server.cc
extern const StrategyDef kHybridStrategy;           // hybrid.cc

// All of them.
std::span<const StrategyDef* const> strategies();
// Their names, "one_device, mirrored, …", or of those that are `wanted`.
std::string strategy_names(std::string_view separator = ", ",
                           bool (*wanted)(const StrategyDef&) = nullptr);

// By its name, in small or capital letters; null: there is none.
const StrategyDef* find_strategy_or_null(std::string_view name);
// Throws Error{kInvalidArgument} that lists the names, and says which may be meant.
const StrategyDef& find_strategy(std::string_view name);
std::unique_ptr<Strategy> make_strategy(std::string_view name, StrategyOptions options);

// What a job that names no strategy gets: the one that uses all that is there. `in_cluster`: the
// process is a task of a cluster, though perhaps its only worker. `devices`: those of the process.
const StrategyDef& choose_strategy(bool in_cluster, int devices, int parameter_servers);

}  // namespace trireme
