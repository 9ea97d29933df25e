// Between messages of a job and the components that they describe.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "core/catalog/catalog.h"

namespace google::protobuf {
class Message;
}

namespace trireme {

class JobSchema;

// The beginning of a message about the field of that path: "FILE:LINE:COLUMN: ".
using JobWhere = std::function<std::string(const std::string& path)>;

// The component that `message`, of a family, describes: what is absent has its default. `path`: of
// the message in the job. Throws Error{kInvalidArgument} "WHERE PATH: …" when it names no entry,
// and when Component::check() does. Ranges are checked by check_values().
std::unique_ptr<Component> read_component(const JobSchema& schema,
                                          const google::protobuf::Message& message,
                                          const std::string& path, const JobWhere& where);

enum class WrittenFields {
  kAll,      // defaults too
  kChanged,  // only what is not the default: as people write a job file
};
// The message of the family `catalog` that describes `component`. Throws Error{kInvalidArgument}
// when its class is in no catalog, and when it cannot be said: an empty list where the default has
// elements.
std::unique_ptr<google::protobuf::Message> write_component(const JobSchema& schema,
                                                           const CatalogBase& catalog,
                                                           Component& component,
                                                           WrittenFields fields);

// `message`, a job or a part of one, with all fields of its components written: two jobs that mean
// the same say the same. What is no component of this program stays as it is.
std::unique_ptr<google::protobuf::Message> with_defaults(const JobSchema& schema,
                                                         const google::protobuf::Message& message);

}  // namespace trireme
