// What every field of a job must be, whatever it means: found in all fields by their descriptors.
#pragma once

#include <functional>
#include <string>

namespace google::protobuf {
class Message;
}

namespace trireme {

struct Range;
namespace job {
class Range;  // proto/job_options.pb.h
}

Range range_of(const job::Range& range);

// Throws Error{kInvalidArgument} for a string with control characters or other text than UTF-8
// (names and paths show in messages, logs and folders), a number that is not finite or out of its
// field's range, and an enum's number that has no name. `where` gives the beginning of the message
// for a field's path.
void check_values(const google::protobuf::Message& message,
                  const std::function<std::string(const std::string& path)>& where);

}  // namespace trireme
