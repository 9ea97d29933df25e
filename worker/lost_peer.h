// Which errors a group of workers gets over. Private to worker/.
#pragma once

#include "core/base/error.h"

namespace trireme {

// True if a peer was lost, or the wait for one was ended because of such a loss. The workers that
// are left form a new generation and repeat the step; or all tasks are started again.
inline bool is_lost_peer(const Error& error) {
  return error.code() == ErrorCode::kUnavailable || error.code() == ErrorCode::kDeadlineExceeded ||
         error.code() == ErrorCode::kCancelled;
}

}  // namespace trireme
