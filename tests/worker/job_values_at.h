// What a job says at a path, for tests: the elements of a list or the one value, as text. A message
// is its text in one line.
#pragma once

#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>
#include <google/protobuf/text_format.h>

#include <string>
#include <vector>

#include "core/base/error.h"
#include "worker/job_file.h"

namespace trireme::testing {

// `path`: as in --set, "model.layers[1].dense.units". Empty where a field on the way is absent.
inline std::vector<std::string> values_at(const JobFile& file, const std::string& path) {
  namespace pb = google::protobuf;
  const pb::Message* message = &file.message();
  for (size_t begin = 0; begin <= path.size();) {
    const size_t end = std::min(path.find('.', begin), path.size());
    const std::string part = path.substr(begin, end - begin);
    begin = end + 1;
    const size_t bracket = part.find('[');
    const auto* const field = message->GetDescriptor()->FindFieldByName(part.substr(0, bracket));
    TRIREME_CHECK(field != nullptr, "no field ", part, " in ", path);
    const pb::Reflection& reflection = *message->GetReflection();
    if (!field->is_repeated() && !reflection.HasField(*message, field)) return {};
    if (begin <= path.size()) {
      message = bracket == std::string::npos
                    ? &reflection.GetMessage(*message, field)
                    : &reflection.GetRepeatedMessage(*message, field,
                                                     std::stoi(part.substr(bracket + 1)));
      continue;
    }
    std::vector<std::string> values;
    const int size = field->is_repeated() ? reflection.FieldSize(*message, field) : 1;
    for (int i = 0; i < size; ++i) {
      std::string text;
      if (field->cpp_type() == pb::FieldDescriptor::CPPTYPE_STRING) {
        text = field->is_repeated() ? reflection.GetRepeatedString(*message, field, i)
                                    : reflection.GetString(*message, field);
      } else if (field->cpp_type() == pb::FieldDescriptor::CPPTYPE_MESSAGE) {
        const pb::Message& nested = field->is_repeated()
                                        ? reflection.GetRepeatedMessage(*message, field, i)
                                        : reflection.GetMessage(*message, field);
        text = nested.ShortDebugString();
      } else {
        pb::TextFormat::PrintFieldValueToString(*message, field, field->is_repeated() ? i : -1,
                                                &text);
      }
      values.push_back(text);
    }
    return values;
  }
  return {};
}
// Of a path with one value; empty: it is absent.
inline std::string value_at(const JobFile& file, const std::string& path) {
  const auto values = values_at(file, path);
  return values.empty() ? "" : values.front();
}

}  // namespace trireme::testing
