// Placement: gives every node a device, and copies values to where they are used.
//
// A node that says where it must run runs there. An update and the variables that it changes share
// a device: if one of them is pinned, the others follow. All others go to the default device. Where
// a value is used on another device, one Copy node for each such device is added right after what
// computes it.
#pragma once

#include <string>
#include <vector>

#include "core/passes/program.h"

namespace trireme {

struct PlacementOptions {
  std::vector<std::string> devices;  // those that exist, e.g. "/device:CPU:0"
  std::string default_device;        // empty: the first of them
};

// Throws not_found, listing the devices that exist, for a node or default pinned elsewhere;
// invalid_argument when an update and its variables are pinned to different devices.
Program place(Program program, const PlacementOptions& options);

// "conv1/kernel (Variable): /device:CPU:0", one line a node.
std::string placement_log(const Program& program);

}  // namespace trireme
