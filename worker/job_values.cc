#include "worker/job_values.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>

#include <cmath>
#include <cstdint>
#include <string_view>
#include <vector>

#include "core/base/error.h"
#include "core/base/suggest.h"
#include "core/catalog/option_visitor.h"
#include "proto/job_options.pb.h"

namespace trireme {
namespace {

namespace pb = google::protobuf;
using Where = std::function<std::string(const std::string& path)>;

// The first byte of `text` that is not UTF-8 (RFC 3629); its size when all are.
size_t first_invalid_byte(std::string_view text) {
  const auto byte = [&](size_t i) { return static_cast<uint8_t>(text[i]); };
  for (size_t at = 0; at < text.size();) {
    const uint8_t lead = byte(at);
    const size_t length = lead < 0x80   ? 1
                          : lead < 0xc2 ? 0
                          : lead < 0xe0 ? 2
                          : lead < 0xf0 ? 3
                          : lead < 0xf5 ? 4
                                        : 0;
    if (length == 0 || at + length > text.size()) return at;
    for (size_t i = at + 1; i < at + length; ++i) {
      if ((byte(i) & 0xc0) != 0x80) return at;
    }
    // Longer forms of short characters, surrogates, and what lies behind the last character.
    if (length > 2) {
      const uint8_t second = byte(at + 1);
      if ((lead == 0xe0 && second < 0xa0) || (lead == 0xed && second > 0x9f) ||
          (lead == 0xf0 && second < 0x90) || (lead == 0xf4 && second > 0x8f)) {
        return at;
      }
    }
    at += length;
  }
  return text.size();
}

// The one kind of string that is no name: what separates the fields of a table may be a tab.
bool may_hold_tabs(const pb::FieldDescriptor& field) { return field.name() == "delimiter"; }

void check_text(const std::string& text, const pb::FieldDescriptor& field, const std::string& path,
                const Where& where) {
  for (size_t i = 0; i < text.size(); ++i) {
    const auto c = static_cast<uint8_t>(text[i]);
    if ((c >= 0x20 && c != 0x7f) || (c == '\t' && may_hold_tabs(field))) continue;
    throw invalid_argument(where(path), path, ": expected no control characters, found byte ",
                           int{c}, c == '\n' ? " (a line's end)" : "", " in \"", printable(text),
                           "\"; a backslash is written as \\\\ in a job file");
  }
  if (const size_t at = first_invalid_byte(text); at < text.size()) {
    throw invalid_argument(where(path), path, ": expected text in UTF-8, found byte ",
                           int{static_cast<uint8_t>(text[at])}, " at ", at);
  }
}

// The field's range.
template <typename T>
void check_range(const pb::FieldDescriptor& field, T value, const std::string& path,
                 const Where& where) {
  if (!field.options().HasExtension(job::range)) return;
  const Range range = range_of(field.options().GetExtension(job::range));
  if (range.contains(static_cast<double>(value))) return;
  throw invalid_argument(where(path), path, ": expected ", range.to_string(), ", found ", value);
}

void check_number(const pb::FieldDescriptor& field, double value, const std::string& path,
                  const Where& where) {
  if (std::isfinite(value)) return check_range(field, value, path, where);
  throw invalid_argument(where(path), path, ": expected a finite number, found ", value);
}

void check_enum(const pb::FieldDescriptor& field, int number, const std::string& path,
                const Where& where) {
  const pb::EnumDescriptor& type = *field.enum_type();
  if (type.FindValueByNumber(number) != nullptr) return;
  std::string names;
  for (int i = 0; i < type.value_count(); ++i) {
    names += (i > 0 ? ", " : "") + type.value(i)->name();
  }
  throw invalid_argument(where(path), path, ": expected one of ", names, ", found ", number);
}

void check(const pb::Message& message, const std::string& prefix, const Where& where);

// `index`: -1 for a field that is no list.
void check_field(const pb::Message& message, const pb::FieldDescriptor& field, int index,
                 const std::string& path, const Where& where) {
  const pb::Reflection& r = *message.GetReflection();
  const bool single = index < 0;
  switch (field.cpp_type()) {
    case pb::FieldDescriptor::CPPTYPE_STRING: {
      std::string space;
      check_text(single ? r.GetStringReference(message, &field, &space)
                        : r.GetRepeatedStringReference(message, &field, index, &space),
                 field, path, where);
      break;
    }
    case pb::FieldDescriptor::CPPTYPE_DOUBLE:
      check_number(
          field,
          single ? r.GetDouble(message, &field) : r.GetRepeatedDouble(message, &field, index), path,
          where);
      break;
    case pb::FieldDescriptor::CPPTYPE_FLOAT:
      check_number(
          field, single ? r.GetFloat(message, &field) : r.GetRepeatedFloat(message, &field, index),
          path, where);
      break;
    case pb::FieldDescriptor::CPPTYPE_ENUM:
      check_enum(
          field,
          single ? r.GetEnumValue(message, &field) : r.GetRepeatedEnumValue(message, &field, index),
          path, where);
      break;
    case pb::FieldDescriptor::CPPTYPE_MESSAGE:
      check(single ? r.GetMessage(message, &field) : r.GetRepeatedMessage(message, &field, index),
            path + ".", where);
      break;
    case pb::FieldDescriptor::CPPTYPE_INT32:
      check_range(field,
                  single ? r.GetInt32(message, &field) : r.GetRepeatedInt32(message, &field, index),
                  path, where);
      break;
    case pb::FieldDescriptor::CPPTYPE_INT64:
      check_range(field,
                  single ? r.GetInt64(message, &field) : r.GetRepeatedInt64(message, &field, index),
                  path, where);
      break;
    case pb::FieldDescriptor::CPPTYPE_UINT64:
      check_range(
          field,
          single ? r.GetUInt64(message, &field) : r.GetRepeatedUInt64(message, &field, index), path,
          where);
      break;
    default:
      break;  // bools
  }
}

void check(const pb::Message& message, const std::string& prefix, const Where& where) {
  const pb::Reflection& reflection = *message.GetReflection();
  std::vector<const pb::FieldDescriptor*> fields;
  reflection.ListFields(message, &fields);
  for (const pb::FieldDescriptor* field : fields) {
    const std::string path = prefix + field->name();
    if (!field->is_repeated()) {
      check_field(message, *field, -1, path, where);
      continue;
    }
    const int size = reflection.FieldSize(message, field);
    for (int i = 0; i < size; ++i) {
      check_field(message, *field, i, str_cat(path, "[", i, "]"), where);
    }
  }
}

}  // namespace

Range range_of(const job::Range& range) {
  Range result{.excludes_min = range.excludes_min(), .excludes_max = range.excludes_max()};
  if (range.has_min()) result.min = range.min();
  if (range.has_max()) result.max = range.max();
  return result;
}

void check_values(const pb::Message& message, const Where& where) { check(message, "", where); }

}  // namespace trireme
