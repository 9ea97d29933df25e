// One field of a message of a job, set from text: the one way in which a job file, --set and
// options of the command line set fields. Private to worker/.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace google::protobuf {
class Descriptor;
class FieldDescriptor;
class Message;
}  // namespace google::protobuf

namespace trireme {

class JobSchema;

class FieldSetter {
 public:
  // `shown`: the beginning of messages, "--set epochs=x: 'epochs'".
  FieldSetter(const JobSchema& schema, google::protobuf::Message& message,
              const google::protobuf::FieldDescriptor& field, std::string shown)
      : schema_(schema), message_(message), field_(field), shown_(std::move(shown)) {}

  // A single field, or one element: `index` of those that are there, -1 for a new one. `value` is a
  // number, `true` or `false`, the name of an enum's value in any case of letters, or a string as
  // it stands. Throws Error{kInvalidArgument} "SHOWN: expected …, found '…'".
  // REQUIRES: the field is no message.
  void set(std::string_view value, int index);
  // The message of the field, made if need be; `index` as in set().
  google::protobuf::Message& message(int index);
  // The field is of a family: the entry `name` with its defaults, in any case of letters.
  void set_component(std::string_view name, int index);
  [[noreturn]] void refuse(const std::string& expected, std::string_view found) const;

 private:
  const JobSchema& schema_;
  google::protobuf::Message& message_;
  const google::protobuf::FieldDescriptor& field_;
  std::string shown_;
};

// "dense has no field 'unit'; did you mean 'units'?"
std::string no_such_field(const google::protobuf::Descriptor& type, std::string_view name);
std::vector<std::string> fields_of(const google::protobuf::Descriptor& type);
std::string joined(const std::vector<std::string>& names);  // with commas

}  // namespace trireme
