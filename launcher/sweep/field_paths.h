// Paths of fields of a job, as --set names them (worker/job_override.h).
#pragma once

#include <string>
#include <vector>

namespace google::protobuf {
class Message;
}

namespace trireme::sweep {

// Whether `path` has `…`, `...` or `*`, and so may mean several fields.
bool is_pattern(const std::string& path);

// The fields of the messages that `job` has which `pattern` matches, whether they are set or not:
// `…` (or `...`) stands for any steps, `*` for any part of one; an index may be left out.
//   model…units      model.layers[1].dense.units
//   *.learning_rate  optimizer.learning_rate
std::vector<std::string> matching_fields(const google::protobuf::Message& job,
                                         const std::string& pattern);

// `pattern`, or the one field that it matches. Throws Error{kInvalidArgument} that begins with
// `shown` when there is none, or several, which it lists.
std::string resolve_path(const google::protobuf::Message& job, const std::string& pattern,
                         const std::string& shown);

// Whether `path` is below `of`: a field of it, or of an element of it.
bool is_below(const std::string& path, const std::string& of);

// The entry that the component at `path` names, "adam" of "optimizer"; empty: it is no component,
// or there is none.
std::string kind_at(const google::protobuf::Message& job, const std::string& path);

}  // namespace trireme::sweep
