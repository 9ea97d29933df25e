#include "worker/job_override.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>

#include <algorithm>
#include <cctype>
#include <charconv>
#include <memory>
#include <utility>

#include "core/base/error.h"
#include "core/base/suggest.h"
#include "worker/field_setter.h"
#include "worker/job_schema.h"
#include "worker/job_text.h"

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

bool is_name(std::string_view text) {
  return !text.empty() && std::ranges::all_of(text, [](unsigned char c) {
    return std::isalnum(c) != 0 || c == '_';
  });
}

// A message in the job file's language, with or without braces around its fields, or the name of a
// component. `index`: of an element, -1 for a new one or a single field.
void set_message(const JobSchema& schema, FieldSetter& setter, const Field& field,
                 std::string_view value, bool merge, int index, const std::string& shown) {
  value = without_blanks(value);
  const pb::Descriptor& type = *field.message_type();
  const bool is_family = schema.family_of(type) != nullptr;
  if (is_family && value.empty()) setter.refuse("a name, or a message in braces", value);
  if (is_family && is_name(value)) {
    if (!merge && (index >= 0 || !field.is_repeated())) setter.message(index).Clear();
    return setter.set_component(value, index);
  }
  const bool braces = value.starts_with('{');
  if (braces && !value.ends_with('}')) setter.refuse("a closing brace at the end", value);
  if (braces) value = value.substr(1, value.size() - 2);
  const std::unique_ptr<pb::Message> parsed = schema.new_message(type);
  try {
    parse_job_text(schema, value, {}, *parsed);
  } catch (const Error& error) {
    throw invalid_argument(shown, ": '", printable(value), "' is no ", type.name(), ": ",
                           printable(error.what()));
  }
  pb::Message& target = setter.message(index);
  if (!merge) target.Clear();
  target.MergeFrom(*parsed);
}

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

void JobOverride::apply(const JobSchema& schema, pb::Message& job) const {
  pb::Message* message = &job;
  for (size_t i = 0; i < steps_.size(); ++i) {
    const JobPathStep& step = steps_[i];
    const pb::Descriptor& type = *message->GetDescriptor();
    const Field* const field = type.FindFieldByName(step.field);
    if (field == nullptr) {
      throw invalid_argument(shown_, ": ", no_such_field(type, step.field), "; it has ",
                             joined(fields_of(type)));
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
    FieldSetter setter(schema, *message, *field, str_cat(shown_, ": '", field->name(), "'"));
    const auto set = [&](std::string_view value, bool merge, int index) {
      if (!is_message) return setter.set(value, index);
      set_message(schema, setter, *field, value, merge, index, shown_);
    };
    if (!field->is_repeated() || step.index >= 0) {
      if (add_ && !is_message) {
        throw invalid_argument(shown_, ": += is for lists and messages, '", step.field,
                               "' is neither");
      }
      set(value_, add_, step.index);
      return;
    }
    std::vector<std::string> elements = {value_};
    if (value_.starts_with('[')) elements = split_list(value_, is_message, shown_);
    if (!add_) reflection.ClearField(message, field);
    for (const std::string& element : elements) set(element, false, -1);
  }
}

}  // namespace trireme
