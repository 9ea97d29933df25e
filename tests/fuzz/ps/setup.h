// The setup of a small job, as a worker sends it.
#pragma once

#include <string>

#include "proto/ps.pb.h"
#include "ps/protocol/setup.h"

namespace trireme::fuzz {

inline std::string serialized_setup() {
  ps::proto::Setup setup;
  ps::to_proto({.name = "a", .dim = 3}, *setup.add_tables());
  ps::to_proto({.name = "b", .dim = 8, .rows = 100, .elements = 800}, *setup.add_tables());
  setup.set_workers(3);
  setup.set_timeout_s(10);
  return setup.SerializeAsString();
}

}  // namespace trireme::fuzz
