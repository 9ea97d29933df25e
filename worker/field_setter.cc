#include "worker/field_setter.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>

#include <charconv>
#include <cmath>
#include <limits>

#include "core/base/error.h"
#include "core/base/suggest.h"
#include "core/catalog/catalog.h"
#include "worker/job_schema.h"

namespace trireme {
namespace {

namespace pb = google::protobuf;
using Field = pb::FieldDescriptor;
using pb::Reflection;

std::string_view without_blanks(std::string_view text) {
  const auto blank = [](char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; };
  while (!text.empty() && blank(text.front())) text.remove_prefix(1);
  while (!text.empty() && blank(text.back())) text.remove_suffix(1);
  return text;
}

std::string in_capitals(std::string_view text) {
  std::string capitals(text);
  for (char& c : capitals) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  return capitals;
}

// The digits of a number without a plus before them.
std::string_view without_plus(std::string_view text) {
  return text.starts_with('+') && !text.starts_with("+-") ? text.substr(1) : text;
}

template <typename T>
T integer(const FieldSetter& setter, std::string_view value) {
  value = without_blanks(value);
  const std::string_view digits = without_plus(value);
  const std::string_view first = digits.starts_with('-') ? digits.substr(1) : digits;
  T result{};
  const auto [end, status] = std::from_chars(digits.data(), digits.data() + digits.size(), result);
  // A job file takes 010 for eight.
  const bool octal = first.size() > 1 && first[0] == '0';
  if (status != std::errc() || end != digits.data() + digits.size() || octal) {
    setter.refuse(str_cat("a whole number from ", std::numeric_limits<T>::min(), " to ",
                          std::numeric_limits<T>::max(), octal ? ", without leading zeros" : ""),
                  value);
  }
  return result;
}

double number(const FieldSetter& setter, std::string_view value) {
  value = without_blanks(value);
  const std::string_view digits = without_plus(value);
  double result = 0;
  const auto [end, status] = std::from_chars(digits.data(), digits.data() + digits.size(), result);
  if (status != std::errc() || end != digits.data() + digits.size() || !std::isfinite(result)) {
    setter.refuse("a finite number", value);
  }
  return result;
}

bool boolean(const FieldSetter& setter, std::string_view value) {
  value = without_blanks(value);
  for (const std::string_view name : {"true", "True", "t", "1"}) {
    if (value == name) return true;
  }
  for (const std::string_view name : {"false", "False", "f", "0"}) {
    if (value == name) return false;
  }
  setter.refuse("true or false", value);
}

[[noreturn]] void refuse_name(const std::string& shown, std::string_view name,
                              const std::vector<std::string>& names) {
  throw invalid_argument(shown, ": expected one of ", joined(names), ", found '", printable(name),
                         "'", did_you_mean(in_capitals(name), names));
}

const pb::EnumValueDescriptor* enumerator(const pb::EnumDescriptor& type, std::string_view value,
                                          const std::string& shown) {
  const std::string name(without_blanks(value));
  if (const auto* found = type.FindValueByName(name)) return found;
  if (const auto* found = type.FindValueByName(in_capitals(name))) return found;
  int32_t number = 0;
  const auto [end, status] = std::from_chars(name.data(), name.data() + name.size(), number);
  if (status == std::errc() && end == name.data() + name.size()) {
    if (const auto* found = type.FindValueByNumber(number)) return found;
  }
  std::vector<std::string> names;
  for (int i = 0; i < type.value_count(); ++i) names.push_back(type.value(i)->name());
  refuse_name(shown, name, names);
}

}  // namespace

void FieldSetter::set(std::string_view value, int index) {
  const Reflection& reflection = *message_.GetReflection();
  const auto put = [&](auto converted, auto set, auto set_at, auto add) {
    if (!field_.is_repeated()) {
      (reflection.*set)(&message_, &field_, std::move(converted));
    } else if (index >= 0) {
      (reflection.*set_at)(&message_, &field_, index, std::move(converted));
    } else {
      (reflection.*add)(&message_, &field_, std::move(converted));
    }
  };
  switch (field_.cpp_type()) {
    case Field::CPPTYPE_STRING:
      return put(std::string(value), &Reflection::SetString, &Reflection::SetRepeatedString,
                 &Reflection::AddString);
    case Field::CPPTYPE_BOOL:
      return put(boolean(*this, value), &Reflection::SetBool, &Reflection::SetRepeatedBool,
                 &Reflection::AddBool);
    case Field::CPPTYPE_INT32:
      return put(integer<int32_t>(*this, value), &Reflection::SetInt32,
                 &Reflection::SetRepeatedInt32, &Reflection::AddInt32);
    case Field::CPPTYPE_INT64:
      return put(integer<int64_t>(*this, value), &Reflection::SetInt64,
                 &Reflection::SetRepeatedInt64, &Reflection::AddInt64);
    case Field::CPPTYPE_UINT32:
      return put(integer<uint32_t>(*this, value), &Reflection::SetUInt32,
                 &Reflection::SetRepeatedUInt32, &Reflection::AddUInt32);
    case Field::CPPTYPE_UINT64:
      return put(integer<uint64_t>(*this, value), &Reflection::SetUInt64,
                 &Reflection::SetRepeatedUInt64, &Reflection::AddUInt64);
    case Field::CPPTYPE_DOUBLE:
      return put(number(*this, value), &Reflection::SetDouble, &Reflection::SetRepeatedDouble,
                 &Reflection::AddDouble);
    case Field::CPPTYPE_FLOAT:
      return put(static_cast<float>(number(*this, value)), &Reflection::SetFloat,
                 &Reflection::SetRepeatedFloat, &Reflection::AddFloat);
    case Field::CPPTYPE_ENUM:
      return put(enumerator(*field_.enum_type(), value, shown_), &Reflection::SetEnum,
                 &Reflection::SetRepeatedEnum, &Reflection::AddEnum);
    case Field::CPPTYPE_MESSAGE:
      break;
  }
  TRIREME_CHECK(false, "the field ", field_.name(), " is a message");
}

pb::Message& FieldSetter::message(int index) {
  const Reflection& reflection = *message_.GetReflection();
  if (!field_.is_repeated()) return *reflection.MutableMessage(&message_, &field_);
  return index >= 0 ? *reflection.MutableRepeatedMessage(&message_, &field_, index)
                    : *reflection.AddMessage(&message_, &field_);
}

void FieldSetter::set_component(std::string_view name, int index) {
  const pb::Descriptor& type = *field_.message_type();
  const CatalogBase& family = *schema_.family_of(type);
  const CatalogEntry* const entry = family.find_or_null(name);
  if (entry == nullptr) {
    std::vector<std::string> names;
    for (const std::string& known : family.names()) names.push_back(in_capitals(known));
    refuse_name(shown_, name, names);
  }
  pb::Message& component = message(index);
  component.GetReflection()->MutableMessage(&component, type.FindFieldByName(entry->name));
}

void FieldSetter::refuse(const std::string& expected, std::string_view found) const {
  throw invalid_argument(shown_, ": expected ", expected, ", found '", printable(found), "'");
}

std::string no_such_field(const pb::Descriptor& type, std::string_view name) {
  return str_cat(type.name(), " has no field '", printable(name), "'",
                 did_you_mean(name, fields_of(type)));
}

std::vector<std::string> fields_of(const pb::Descriptor& type) {
  std::vector<std::string> names;
  for (int i = 0; i < type.field_count(); ++i) names.push_back(type.field(i)->name());
  return names;
}

std::string joined(const std::vector<std::string>& names) {
  std::string text;
  for (const std::string& name : names) text += (text.empty() ? "" : ", ") + name;
  return text;
}

}  // namespace trireme
