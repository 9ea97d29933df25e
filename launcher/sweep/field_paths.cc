#include "launcher/sweep/field_paths.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>

#include <algorithm>
#include <charconv>
#include <string_view>

#include "core/base/error.h"
#include "core/base/suggest.h"
#include "worker/job_schema.h"

namespace trireme::sweep {
namespace {

namespace pb = google::protobuf;

constexpr std::string_view kEllipsis = "…";
constexpr const char* kAnySteps = "**";
constexpr size_t kShown = 12;  // of several matches

std::vector<std::string> steps_of(const std::string& path) {
  std::vector<std::string> steps;
  for (size_t begin = 0; begin <= path.size();) {
    const size_t end = std::min(path.find('.', begin), path.size());
    if (end > begin) steps.push_back(path.substr(begin, end - begin));
    begin = end + 1;
  }
  return steps;
}

std::vector<std::string> steps_of_pattern(std::string pattern) {
  for (const std::string_view any : {kEllipsis, std::string_view("...")}) {
    for (size_t at = 0; (at = pattern.find(any)) != std::string::npos;) {
      pattern.replace(at, any.size(), str_cat(".", kAnySteps, "."));
    }
  }
  return steps_of(pattern);
}

bool glob(std::string_view pattern, std::string_view text) {
  size_t p = 0, t = 0, star = std::string_view::npos, from = 0;
  while (t < text.size()) {
    if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      from = t;
    } else if (p < pattern.size() && pattern[p] == text[t]) {
      ++p;
      ++t;
    } else if (star != std::string_view::npos) {
      p = star + 1;
      t = ++from;
    } else {
      return false;
    }
  }
  while (p < pattern.size() && pattern[p] == '*') ++p;
  return p == pattern.size();
}

bool matches_step(const std::string& pattern, const std::string& step) {
  const bool any_index = pattern.find('[') == std::string::npos;
  return glob(pattern, any_index ? step.substr(0, step.find('[')) : step);
}

bool matches(const std::vector<std::string>& pattern, size_t p,
             const std::vector<std::string>& steps, size_t s) {
  if (p == pattern.size()) return s == steps.size();
  if (pattern[p] == kAnySteps) {
    for (size_t next = s; next <= steps.size(); ++next) {
      if (matches(pattern, p + 1, steps, next)) return true;
    }
    return false;
  }
  return s < steps.size() && matches_step(pattern[p], steps[s]) &&
         matches(pattern, p + 1, steps, s + 1);
}

class Search {
 public:
  Search(const std::string& pattern, std::vector<std::string>& found)
      : pattern_(steps_of_pattern(pattern)), found_(found) {}

  void visit(const pb::Message& message) {
    const pb::Reflection& reflection = *message.GetReflection();
    const pb::Descriptor& type = *message.GetDescriptor();
    for (int i = 0; i < type.field_count(); ++i) {
      const pb::FieldDescriptor& field = *type.field(i);
      steps_.push_back(field.name());
      look();
      if (field.cpp_type() == pb::FieldDescriptor::CPPTYPE_MESSAGE) {
        if (!field.is_repeated()) {
          if (reflection.HasField(message, &field)) visit(reflection.GetMessage(message, &field));
        } else {
          for (int j = 0; j < reflection.FieldSize(message, &field); ++j) {
            steps_.back() = str_cat(field.name(), "[", j, "]");
            visit(reflection.GetRepeatedMessage(message, &field, j));
          }
        }
      }
      steps_.pop_back();
    }
  }

 private:
  void look() {
    if (!matches(pattern_, 0, steps_, 0)) return;
    std::string path;
    for (const std::string& step : steps_) path += (path.empty() ? "" : ".") + step;
    found_.push_back(std::move(path));
  }

  const std::vector<std::string> pattern_;
  std::vector<std::string> steps_;
  std::vector<std::string>& found_;
};

}  // namespace

bool is_pattern(const std::string& path) {
  return path.find(kEllipsis) != std::string::npos || path.find("...") != std::string::npos ||
         path.find('*') != std::string::npos;
}

std::vector<std::string> matching_fields(const pb::Message& job, const std::string& pattern) {
  std::vector<std::string> found;
  Search(pattern, found).visit(job);
  return found;
}

std::string resolve_path(const pb::Message& job, const std::string& pattern,
                         const std::string& shown) {
  if (!is_pattern(pattern)) return pattern;
  const std::vector<std::string> found = matching_fields(job, pattern);
  if (found.size() == 1) return found.front();
  if (found.empty()) {
    throw invalid_argument(shown, ": '", printable(pattern),
                           "' matches no field of what the job has; write the whole path, as --set "
                           "takes it");
  }
  std::string list;
  for (size_t i = 0; i < found.size() && i < kShown; ++i) list += (i > 0 ? ", " : "") + found[i];
  throw invalid_argument(shown, ": '", printable(pattern), "' matches ", found.size(),
                         " fields of the job: ", list, found.size() > kShown ? ", …" : "",
                         "; expected a path that is one of them");
}

bool is_below(const std::string& path, const std::string& of) {
  return path.starts_with(of) && path.size() > of.size() &&
         (path[of.size()] == '.' || path[of.size()] == '[');
}

std::string kind_at(const pb::Message& job, const std::string& path) {
  const pb::Message* message = &job;
  for (const std::string& step : steps_of(path)) {
    const size_t bracket = step.find('[');
    const pb::FieldDescriptor* const field =
        message->GetDescriptor()->FindFieldByName(step.substr(0, bracket));
    if (field == nullptr || field->cpp_type() != pb::FieldDescriptor::CPPTYPE_MESSAGE) return "";
    const pb::Reflection& reflection = *message->GetReflection();
    if (!field->is_repeated()) {
      if (!reflection.HasField(*message, field)) return "";
      message = &reflection.GetMessage(*message, field);
      continue;
    }
    int index = -1;
    if (bracket != std::string::npos) {
      std::from_chars(step.data() + bracket + 1, step.data() + step.size(), index);
    }
    if (index < 0 || index >= reflection.FieldSize(*message, field)) return "";
    message = &reflection.GetRepeatedMessage(*message, field, index);
  }
  const pb::OneofDescriptor* const kind = kind_of(*message->GetDescriptor());
  const auto* const chosen =
      kind == nullptr ? nullptr : message->GetReflection()->GetOneofFieldDescriptor(*message, kind);
  return chosen == nullptr ? "" : chosen->name();
}

}  // namespace trireme::sweep
