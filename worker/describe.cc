#include "worker/describe.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>

#include <algorithm>

#include "core/base/error.h"
#include "core/base/suggest.h"
#include "core/nn/catalogs.h"
#include "proto/job_options.pb.h"
#include "worker/field_setter.h"
#include "worker/job_components.h"
#include "worker/job_schema.h"
#include "worker/job_values.h"

namespace trireme {
namespace {

namespace pb = google::protobuf;
using Field = pb::FieldDescriptor;

std::string type_text(const JobSchema& schema, const Field& field) {
  const bool list = field.is_repeated();
  switch (field.cpp_type()) {
    case Field::CPPTYPE_BOOL:
      return list ? "flags" : "true or false";
    case Field::CPPTYPE_STRING:
      return list ? "texts" : "text";
    case Field::CPPTYPE_DOUBLE:
    case Field::CPPTYPE_FLOAT:
      return list ? "numbers" : "number";
    case Field::CPPTYPE_ENUM: {
      std::vector<std::string> names;
      for (int i = 0; i < field.enum_type()->value_count(); ++i) {
        names.push_back(field.enum_type()->value(i)->name());
      }
      return (list ? "some of " : "one of ") + joined(names);
    }
    case Field::CPPTYPE_MESSAGE: {
      const CatalogBase* const family = schema.family_of(*field.message_type());
      if (family == nullptr) return list ? "messages" : "message";
      return str_cat(list ? "components of the family " : "component of the family ",
                     family->family());
    }
    default:
      return list ? "whole numbers" : "whole number";
  }
}

// `values`: of the component with its defaults; null: as the schema says.
std::string fallback_text(const Field& field, const pb::Message* values) {
  const pb::FieldOptions& options = field.options();
  if (field.is_repeated() || field.cpp_type() == Field::CPPTYPE_MESSAGE ||
      options.HasExtension(job::default_text)) {
    return options.GetExtension(job::default_text);
  }
  const bool given = values != nullptr && values->GetReflection()->HasField(*values, &field);
  const auto get = [&](auto of_schema, auto of_message) {
    return str_cat(given ? (values->GetReflection()->*of_message)(*values, &field)
                         : (field.*of_schema)());
  };
  using pb::Reflection;
  switch (field.cpp_type()) {
    case Field::CPPTYPE_BOOL:
      return (given ? values->GetReflection()->GetBool(*values, &field)
                    : field.default_value_bool())
                 ? "true"
                 : "false";
    case Field::CPPTYPE_STRING: {
      const std::string text = get(&Field::default_value_string, &Reflection::GetString);
      return text.empty() ? "" : "\"" + text + "\"";
    }
    case Field::CPPTYPE_INT32:
      return get(&Field::default_value_int32, &Reflection::GetInt32);
    case Field::CPPTYPE_INT64:
      return get(&Field::default_value_int64, &Reflection::GetInt64);
    case Field::CPPTYPE_UINT64:
      return get(&Field::default_value_uint64, &Reflection::GetUInt64);
    case Field::CPPTYPE_DOUBLE:
      return get(&Field::default_value_double, &Reflection::GetDouble);
    case Field::CPPTYPE_ENUM:
      return given ? values->GetReflection()->GetEnum(*values, &field)->name()
                   : field.default_value_enum()->name();
    default:
      return "";
  }
}

// With the meanings of the values of an enum that has them.
std::string help_text(const Field& field) {
  std::string help = field.options().GetExtension(job::help);
  if (field.cpp_type() == Field::CPPTYPE_ENUM) {
    for (int i = 0; i < field.enum_type()->value_count(); ++i) {
      const pb::EnumValueDescriptor& value = *field.enum_type()->value(i);
      const std::string& meaning = value.options().GetExtension(job::meaning);
      if (!meaning.empty()) help += str_cat("; ", value.name(), ": ", meaning);
    }
  }
  const std::string& keras = field.options().GetExtension(job::keras);
  return keras.empty() ? help : str_cat(help, " (Keras: ", keras, ")");
}

// All fields of a message but the entries of a family.
void add_options(const JobSchema& schema, const pb::Descriptor& type, const pb::Message* values,
                 const std::string& prefix, std::vector<DescribedOption>& options) {
  for (int i = 0; i < type.field_count(); ++i) {
    const Field& field = *type.field(i);
    if (field.real_containing_oneof() != nullptr) continue;
    const std::string name = prefix + field.name();
    options.push_back({.name = name,
                       .type = type_text(schema, field),
                       .fallback = fallback_text(field, values),
                       .range = range_of(field.options().GetExtension(job::range)).to_string(),
                       .help = help_text(field)});
    const bool nests = field.cpp_type() == Field::CPPTYPE_MESSAGE &&
                       schema.family_of(*field.message_type()) == nullptr;
    if (nests) add_options(schema, *field.message_type(), nullptr, name + ".", options);
  }
}

DescribedPart frame(const JobSchema& schema) {
  DescribedPart part{.name = "job", .help = "What a job file says."};
  add_options(schema, schema.job(), nullptr, "", part.options);
  return part;
}

DescribedPart family_part(const JobSchema& schema, const CatalogBase& family) {
  DescribedPart part{.name = family.family(),
                     .help = family.entries().empty() ? "It has no entries." : ""};
  add_options(schema, schema.family(family), nullptr, "", part.options);
  return part;
}

DescribedPart entry_part(const JobSchema& schema, const CatalogBase& family,
                         const CatalogEntry& entry) {
  DescribedPart part{.level = 2, .name = entry.name, .keras = entry.keras, .help = entry.help};
  const pb::Descriptor& type = schema.family(family);
  const auto made = entry.make();
  const auto message = write_component(schema, family, *made, WrittenFields::kAll);
  // What all of the family have, where its default is another one here.
  std::vector<DescribedOption> of_family, of_entry;
  add_options(schema, type, nullptr, "", of_family);
  add_options(schema, type, message.get(), "", of_entry);
  for (size_t i = 0; i < of_family.size(); ++i) {
    if (of_family[i].fallback != of_entry[i].fallback) part.options.push_back(of_entry[i]);
  }
  const Field& kind = *type.FindFieldByName(entry.name);
  const pb::Message& own = message->GetReflection()->GetMessage(*message, &kind);
  add_options(schema, *kind.message_type(), &own, "", part.options);
  return part;
}

// In the singular or the plural.
const CatalogBase& find_family(const JobSchema& schema, const std::string& name) {
  std::vector<std::string> names = {"job"};
  for (const CatalogBase* const family : schema.catalogs().all()) {
    const std::string& own = family->family();
    if (name == own || name == own + "s" || name == own + "es") return *family;
    names.push_back(own);
  }
  throw invalid_argument("there is no family '", printable(name), "'; expected one of ",
                         joined(names), did_you_mean(name, names));
}

std::string sentence(const std::string& help) {
  return help.empty() || help.ends_with('.') ? help : help + ".";
}

}  // namespace

std::vector<DescribedPart> describe(const JobSchema& schema, const std::vector<std::string>& path) {
  std::vector<DescribedPart> parts;
  if (path.size() > 2) {
    throw invalid_argument("expected a family and one of its entries, found ", path.size(),
                           " names");
  }
  if (path.empty() || path[0] == "job") parts.push_back(frame(schema));
  if (!path.empty() && path[0] == "job") {
    if (path.size() > 1) throw invalid_argument("the job has no entries, only fields");
    return parts;
  }
  if (path.size() == 2) {
    const CatalogBase& family = find_family(schema, path[0]);
    return {entry_part(schema, family, family.find(path[1]))};
  }
  for (const CatalogBase* const family : schema.catalogs().all()) {
    if (!path.empty() && family != &find_family(schema, path[0])) continue;
    parts.push_back(family_part(schema, *family));
    for (const CatalogEntry& entry : family->entries()) {
      parts.push_back(entry_part(schema, *family, entry));
    }
  }
  return parts;
}

std::string to_text(const std::vector<DescribedPart>& parts) {
  std::string text;
  for (const DescribedPart& part : parts) {
    if (!text.empty()) text += "\n";
    text += part.name;
    if (!part.help.empty()) text += ": " + part.help;
    if (!part.keras.empty()) text += str_cat(" (Keras: ", part.keras, ")");
    text += "\n";
    for (const DescribedOption& option : part.options) {
      text += str_cat("  ", option.name, ": ", option.type);
      if (!option.range.empty()) text += ", " + option.range;
      if (!option.fallback.empty()) text += str_cat(" (", option.fallback, ")");
      text += str_cat("\n      ", option.help, "\n");
    }
  }
  return text;
}

std::string overview(const JobSchema& schema) {
  std::string text = "job: the fields of a job file\n";
  for (const CatalogBase* const family : schema.catalogs().all()) {
    text += str_cat(family->family(), ": ", joined(family->names()), "\n");
  }
  return text;
}

std::string reference_page(const JobSchema& schema) {
  std::string page =
      "# What a job file may say\n"
      "\n"
      "Made by `trireme describe --markdown`. A field that a job file leaves out has its default; "
      "a 0 that is written is 0. Numbers out of their range are refused with line and column.\n"
      "`NAME` is short for `name {}` where a component is expected: `loss: MEAN_SQUARED_ERROR`.\n";
  const auto cell = [](std::string text) {
    for (size_t at = 0; (at = text.find('|', at)) != std::string::npos; at += 2) {
      text.insert(at, "\\");
    }
    return text;
  };
  for (const DescribedPart& part : describe(schema, {})) {
    page += str_cat("\n", part.level == 1 ? "## " : "### ", part.name, "\n");
    if (!part.help.empty() || !part.keras.empty()) {
      page += "\n" + sentence(part.help);
      if (!part.keras.empty()) page += str_cat(" Keras: `", part.keras, "`.");
      page += "\n";
    }
    if (part.options.empty()) continue;
    page += "\n| Field | Type | Default | Range | Meaning |\n|---|---|---|---|---|\n";
    for (const DescribedOption& option : part.options) {
      page += str_cat("| `", option.name, "` | ", cell(option.type), " | ", cell(option.fallback),
                      " | ", option.range, " | ", cell(option.help), " |\n");
    }
  }
  return page;
}

}  // namespace trireme
