// Placement: gives every node a device, and copies values to where they are used.
//
// A node that says where it must run runs there. An update and the variables that it changes share
// a device: if one of them is pinned, the others follow. All others go to the default device, but
// to the host device: what handles strings, what only the host can do (OpTraits::runs_on_host), and
// numbers that are not floating-point and that only such nodes use. Where a value is used on
// another device, one Copy node for each such device is added right after what computes it.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "core/passes/program.h"

namespace trireme {

struct PlacementOptions {
  std::vector<std::string> devices;  // those that exist, e.g. "/device:CPU:0"
  std::string default_device;        // empty: the first of them
  // Devices that are the host; the first is the host device. Empty: nothing is placed there.
  std::vector<std::string> host_devices;
  // Soft placement: a node for which this is false on its device, pinned or not, goes to the host
  // device, with the variables that it changes. Null: nothing moves.
  std::function<bool(const Node& node, const std::string& device)> runs_on = nullptr;
  // Where a variable lives already, by name; empty: nowhere. Null: none does.
  std::function<std::string(const std::string& name)> home = nullptr;
};

// Throws not_found, listing the devices that exist, for a node or default pinned elsewhere;
// invalid_argument when an update and its variables are pinned to different devices.
Program place(Program program, const PlacementOptions& options);

// "conv1/kernel (Variable): /device:CPU:0", one line a node.
std::string placement_log(const Program& program);

}  // namespace trireme
