// What a failed system call of this process means to a job.
#pragma once

#include "core/base/error.h"

namespace trireme {

// The code of an Error for errno `number`: kResourceExhausted for a limit of this process or
// machine (memory, descriptors, disk), kInvalidArgument for an address that cannot be used, else
// kFailed. Never one that says that a peer was lost: trying again on this machine mends none.
ErrorCode code_of_errno(int number);

}  // namespace trireme
