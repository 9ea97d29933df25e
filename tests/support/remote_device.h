// A device whose memory the host cannot touch, and whose kernels run later, on another thread.
//
// Its addresses are mapped without any access, so that host code that follows one dies of SIGSEGV;
// only its own streams see the same pages through a second mapping. What works on it works on a
// GPU. Kernels are those of "reference", registered under the kind "remote" (KernelTable::inherit).
#pragma once

#include <memory>

#include "core/device/device.h"

namespace trireme::testing {

// "/device:REMOTE:<index>"
std::unique_ptr<Device> make_remote_device(int index = 0);

}  // namespace trireme::testing
