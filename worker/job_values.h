// What every field of a job must be, whatever it means: found in all fields by their descriptors.
#pragma once

#include <functional>
#include <string>

namespace google::protobuf {
class Message;
}

namespace trireme {

// Throws Error{kInvalidArgument} for a string with control characters or other text than UTF-8
// (names and paths show in messages, logs and folders), a number that is not finite, and an enum's
// number that has no name. `where` gives the beginning of the message for a field's path.
void check_values(const google::protobuf::Message& message,
                  const std::function<std::string(const std::string& path)>& where);

}  // namespace trireme
