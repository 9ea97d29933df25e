#include "worker/job_override.h"

#include <google/protobuf/io/tokenizer.h>
#include <google/protobuf/text_format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <memory>
#include <utility>

#include "core/base/error.h"
#include "core/base/suggest.h"

namespace trireme {
namespace {

namespace pb = google::protobuf;
using Field = pb::FieldDescriptor;

std::string_view without_blanks(std::string_view text) {
  const auto blank = [](char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; };
  while (!text.empty() && blank(text.front())) text.remove_prefix(1);
  while (!text.empty() && blank(text.back())) text.remove_suffix(1);
  return text;
}

std::vector<std::string> fields_of(const pb::Descriptor& type) {
  std::vector<std::string> names;
  for (int i = 0; i < type.field_count(); ++i) names.push_back(type.field(i)->name());
  return names;
}

// Without the value that stands for "not set" in a list.
std::vector<std::string> values_of(const pb::EnumDescriptor& type) {
  std::vector<std::string> names;
  for (int i = 0; i < type.value_count(); ++i) {
    if (!type.value(i)->name().ends_with("_UNSPECIFIED")) names.push_back(type.value(i)->name());
  }
  return names;
}

std::string joined(const std::vector<std::string>& names) {
  std::string text;
  for (const std::string& name : names) text += (text.empty() ? "" : ", ") + name;
  return text;
}

// Keeps the first error of a message's text.
class FirstError : public pb::io::ErrorCollector {
 public:
  void AddError(int, int column, const std::string& message) override {
    if (text_.empty()) text_ = str_cat(message, " (character ", column + 1, ")");
  }
  void AddWarning(int, int, const std::string&) override {}
  const std::string& text() const { return text_; }

 private:
  std::string text_;
};

// Sets one field of one message from text.
class FieldSetter {
 public:
  FieldSetter(pb::Message& message, const Field& field, const std::string& shown)
      : message_(message), field_(field), reflection_(*message.GetReflection()), shown_(shown) {}

  // A single field, or one element: `index` of those that are there, -1 for a new one.
  void set(std::string_view value, bool merge, int index) {
    switch (field_.cpp_type()) {
      case Field::CPPTYPE_STRING:
        return put(std::string(value), index, &pb::Reflection::SetString,
                   &pb::Reflection::SetRepeatedString, &pb::Reflection::AddString);
      case Field::CPPTYPE_BOOL:
        return put(boolean(value), index, &pb::Reflection::SetBool,
                   &pb::Reflection::SetRepeatedBool, &pb::Reflection::AddBool);
      case Field::CPPTYPE_INT32:
        return put(integer<int32_t>(value), index, &pb::Reflection::SetInt32,
                   &pb::Reflection::SetRepeatedInt32, &pb::Reflection::AddInt32);
      case Field::CPPTYPE_INT64:
        return put(integer<int64_t>(value), index, &pb::Reflection::SetInt64,
                   &pb::Reflection::SetRepeatedInt64, &pb::Reflection::AddInt64);
      case Field::CPPTYPE_UINT32:
        return put(integer<uint32_t>(value), index, &pb::Reflection::SetUInt32,
                   &pb::Reflection::SetRepeatedUInt32, &pb::Reflection::AddUInt32);
      case Field::CPPTYPE_UINT64:
        return put(integer<uint64_t>(value), index, &pb::Reflection::SetUInt64,
                   &pb::Reflection::SetRepeatedUInt64, &pb::Reflection::AddUInt64);
      case Field::CPPTYPE_DOUBLE:
        return put(number(value), index, &pb::Reflection::SetDouble,
                   &pb::Reflection::SetRepeatedDouble, &pb::Reflection::AddDouble);
      case Field::CPPTYPE_FLOAT:
        return put(static_cast<float>(number(value)), index, &pb::Reflection::SetFloat,
                   &pb::Reflection::SetRepeatedFloat, &pb::Reflection::AddFloat);
      case Field::CPPTYPE_ENUM:
        return put(enumerator(value), index, &pb::Reflection::SetEnum,
                   &pb::Reflection::SetRepeatedEnum, &pb::Reflection::AddEnum);
      case Field::CPPTYPE_MESSAGE:
        return set_message(value, merge, index);
    }
  }

 private:
  template <typename T, typename Set, typename SetAt, typename Add>
  void put(T value, int index, Set set, SetAt set_at, Add add) {
    if (!field_.is_repeated()) {
      (reflection_.*set)(&message_, &field_, std::move(value));
    } else if (index >= 0) {
      (reflection_.*set_at)(&message_, &field_, index, std::move(value));
    } else {
      (reflection_.*add)(&message_, &field_, std::move(value));
    }
  }

  [[noreturn]] void refuse(const std::string& expected, std::string_view found) const {
    throw invalid_argument(shown_, ": '", field_.name(), "': expected ", expected, ", found '",
                           printable(found), "'");
  }

  bool boolean(std::string_view value) const {
    value = without_blanks(value);
    for (const std::string_view name : {"true", "True", "t", "1"}) {
      if (value == name) return true;
    }
    for (const std::string_view name : {"false", "False", "f", "0"}) {
      if (value == name) return false;
    }
    refuse("true or false", value);
  }

  template <typename T>
  T integer(std::string_view value) const {
    value = without_blanks(value);
    std::string_view digits = value;
    if (digits.starts_with('+') && !digits.starts_with("+-")) digits.remove_prefix(1);
    const std::string_view first = digits.starts_with('-') ? digits.substr(1) : digits;
    T result{};
    const auto [end, status] =
        std::from_chars(digits.data(), digits.data() + digits.size(), result);
    // A job file takes 010 for eight.
    const bool octal = first.size() > 1 && first[0] == '0';
    if (status != std::errc() || end != digits.data() + digits.size() || octal) {
      refuse(str_cat("a whole number from ", std::numeric_limits<T>::min(), " to ",
                     std::numeric_limits<T>::max(), octal ? ", without leading zeros" : ""),
             value);
    }
    return result;
  }

  double number(std::string_view value) const {
    value = without_blanks(value);
    std::string_view digits = value;
    if (digits.starts_with('+') && !digits.starts_with("+-")) digits.remove_prefix(1);
    double result = 0;
    const auto [end, status] =
        std::from_chars(digits.data(), digits.data() + digits.size(), result);
    if (status != std::errc() || end != digits.data() + digits.size() || !std::isfinite(result)) {
      refuse("a finite number", value);
    }
    return result;
  }

  const pb::EnumValueDescriptor* enumerator(std::string_view value) const {
    const pb::EnumDescriptor& type = *field_.enum_type();
    const std::string name(without_blanks(value));
    if (const auto* found = type.FindValueByName(name)) return found;
    std::string upper = name;
    for (char& c : upper) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
    if (const auto* found = type.FindValueByName(upper)) return found;
    int32_t number = 0;
    const auto [end, status] = std::from_chars(name.data(), name.data() + name.size(), number);
    if (status == std::errc() && end == name.data() + name.size()) {
      if (const auto* found = type.FindValueByNumber(number)) return found;
    }
    const std::vector<std::string> names = values_of(type);
    throw invalid_argument(shown_, ": '", field_.name(), "': expected one of ", joined(names),
                           ", found '", printable(name), "'", did_you_mean(name, names));
  }

  // The fields of a message in the job file's language, with or without braces around them.
  void set_message(std::string_view value, bool merge, int index) {
    value = without_blanks(value);
    const bool braces = value.starts_with('{');
    if (braces && !value.ends_with('}')) refuse("a closing brace at the end", value);
    if (braces) value = value.substr(1, value.size() - 2);
    const auto* const type = field_.message_type();
    const std::unique_ptr<pb::Message> parsed(
        reflection_.GetMessageFactory()->GetPrototype(type)->New());
    FirstError error;
    pb::TextFormat::Parser parser;
    parser.RecordErrorsTo(&error);
    parser.SetRecursionLimit(20);
    if (!parser.ParseFromString(std::string(value), parsed.get())) {
      throw invalid_argument(shown_, ": '", printable(value), "' is no ", type->name(), ": ",
                             printable(error.text()));
    }
    pb::Message* target = nullptr;
    if (!field_.is_repeated()) {
      target = reflection_.MutableMessage(&message_, &field_);
    } else if (index >= 0) {
      target = reflection_.MutableRepeatedMessage(&message_, &field_, index);
    } else {
      target = reflection_.AddMessage(&message_, &field_);
    }
    if (!merge) target->Clear();
    target->MergeFrom(*parsed);
  }

  pb::Message& message_;
  const Field& field_;
  const pb::Reflection& reflection_;
  const std::string& shown_;
};

// The elements of "[a, b]". `messages`: braces keep commas together.
std::vector<std::string> split_list(std::string_view text, bool messages,
                                    const std::string& shown) {
  if (!text.ends_with(']') || text.size() < 2) {
    throw invalid_argument(shown, ": expected ']' at the end of the list");
  }
  text = without_blanks(text.substr(1, text.size() - 2));
  std::vector<std::string> elements;
  if (text.empty()) return elements;
  for (size_t at = 0; at <= text.size(); ++at) {  // each turn ends at a comma or the end
    while (at < text.size() && (text[at] == ' ' || text[at] == '\n')) ++at;
    std::string element;
    bool quoted = false;
    if (!messages && at < text.size() && text[at] == '"') {
      quoted = true;
      for (++at; at < text.size() && text[at] != '"'; ++at) {
        const bool escape = text[at] == '\\' && at + 1 < text.size() &&
                            (text[at + 1] == '"' || text[at + 1] == '\\');
        if (escape) ++at;
        element += text[at];
      }
      if (at == text.size()) throw invalid_argument(shown, ": a quote in the list is never closed");
      ++at;
      while (at < text.size() && text[at] == ' ') ++at;
      if (at < text.size() && text[at] != ',') {
        throw invalid_argument(shown, ": expected a comma behind the quote in the list, found '",
                               printable(text.substr(at)), "'");
      }
    } else {
      const size_t begin = at;
      int depth = 0;
      char quote = 0;
      for (; at < text.size() && (text[at] != ',' || depth > 0 || quote != 0); ++at) {
        if (!messages) continue;
        if (quote != 0) {
          if (text[at] == '\\')
            ++at;
          else if (text[at] == quote)
            quote = 0;
        } else if (text[at] == '"' || text[at] == '\'') {
          quote = text[at];
        } else if (text[at] == '{') {
          ++depth;
        } else if (text[at] == '}') {
          --depth;
        }
      }
      at = std::min(at, text.size());
      element = without_blanks(text.substr(begin, at - begin));
    }
    if (element.empty() && !quoted) {
      throw invalid_argument(shown, ": element ", elements.size(), " of the list is empty");
    }
    elements.push_back(std::move(element));
  }
  return elements;
}

}  // namespace

JobOverride::JobOverride(const std::string& text) : shown_("--set " + printable(text)) {
  const size_t equals = text.find('=');
  if (equals == std::string::npos || equals == 0) {
    throw invalid_argument(shown_, ": expected path=value, e.g. --set optimizer.learning_rate=0.1");
  }
  add_ = text[equals - 1] == '+';
  path_ = text.substr(0, equals - (add_ ? 1 : 0));
  value_ = text.substr(equals + 1);
  parse_path();
}

JobOverride::JobOverride(const JobOption& option)
    : shown_(option.option + " " + printable(option.value)),
      path_(option.path),
      value_(option.value) {
  parse_path();
}

void JobOverride::parse_path() {
  for (size_t begin = 0; begin <= path_.size();) {
    const size_t end = std::min(path_.find('.', begin), path_.size());
    const std::string part = path_.substr(begin, end - begin);
    begin = end + 1;
    JobPathStep step{part.substr(0, part.find('['))};
    if (step.field.size() < part.size()) {
      const char* const first = part.data() + step.field.size() + 1;
      const char* const last = part.data() + part.size();
      const auto [stop, error] = std::from_chars(first, last, step.index);
      if (error != std::errc() || stop + 1 != last || *stop != ']' || step.index < 0) {
        throw invalid_argument(shown_, ": expected a number in brackets, found '", printable(part),
                               "'");
      }
    }
    if (step.field.empty()) {
      throw invalid_argument(shown_, ": expected a field's name between the dots of '",
                             printable(path_), "'");
    }
    steps_.push_back(std::move(step));
  }
}

void JobOverride::apply(pb::Message& job) const {
  pb::Message* message = &job;
  for (size_t i = 0; i < steps_.size(); ++i) {
    const JobPathStep& step = steps_[i];
    const pb::Descriptor& type = *message->GetDescriptor();
    const Field* const field = type.FindFieldByName(step.field);
    if (field == nullptr) {
      const std::vector<std::string> names = fields_of(type);
      throw invalid_argument(shown_, ": ", type.name(), " has no field '", printable(step.field),
                             "'; it has ", joined(names), did_you_mean(step.field, names));
    }
    const pb::Reflection& reflection = *message->GetReflection();
    const int size = field->is_repeated() ? reflection.FieldSize(*message, field) : 0;
    if (step.index >= 0 && !field->is_repeated()) {
      throw invalid_argument(shown_, ": '", step.field, "' is no list");
    }
    if (step.index >= size) {
      throw invalid_argument(shown_, ": '", step.field, "' has ", size, " elements",
                             i + 1 == steps_.size() ? "; += adds one" : "");
    }
    const bool is_message = field->cpp_type() == Field::CPPTYPE_MESSAGE;
    if (i + 1 < steps_.size()) {
      if (!is_message) throw invalid_argument(shown_, ": '", step.field, "' has no fields");
      if (field->is_repeated() && step.index < 0) {
        throw invalid_argument(shown_, ": '", step.field, "' is a list: say which element, e.g. ",
                               step.field, "[0]");
      }
      message = field->is_repeated() ? reflection.MutableRepeatedMessage(message, field, step.index)
                                     : reflection.MutableMessage(message, field);
      continue;
    }
    FieldSetter setter(*message, *field, shown_);
    if (!field->is_repeated() || step.index >= 0) {
      if (add_ && !is_message) {
        throw invalid_argument(shown_, ": += is for lists and messages, '", step.field,
                               "' is neither");
      }
      setter.set(value_, add_, step.index);
      return;
    }
    std::vector<std::string> elements = {value_};
    if (value_.starts_with('[')) elements = split_list(value_, is_message, shown_);
    if (!add_) reflection.ClearField(message, field);
    for (const std::string& element : elements) setter.set(element, false, -1);
  }
}

}  // namespace trireme
