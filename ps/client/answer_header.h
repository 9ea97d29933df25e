// What the answer of a server says before it is parsed for what it was asked. Private to ps/client.
#pragma once

#include "core/base/error.h"
#include "ps/protocol/wire.h"

namespace trireme::ps {

// Throws Error{kDataLoss} for an answer that is none.
AnswerHeader header_of(const Message& answer);
// The error that an answer carries.
Error error_of(const Message& answer);

}  // namespace trireme::ps
