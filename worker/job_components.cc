#include "worker/job_components.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>
#include <google/protobuf/util/message_differencer.h>

#include <set>

#include "core/base/error.h"
#include "core/nn/catalogs.h"
#include "worker/field_setter.h"
#include "worker/job_schema.h"

namespace trireme {
namespace {

namespace pb = google::protobuf;

// Which entry a family's message names; null: none.
const pb::FieldDescriptor* chosen_kind(const pb::Message& family) {
  const pb::OneofDescriptor* const kind = kind_of(*family.GetDescriptor());
  return kind == nullptr ? nullptr : family.GetReflection()->GetOneofFieldDescriptor(family, kind);
}

class Reader : public OptionVisitor {
 public:
  Reader(const JobSchema& schema, const pb::Message& message, std::string path,
         const JobWhere& where)
      : schema_(schema), where_(where), groups_{{&message, std::move(path)}} {}

  void field(const OptionInfo& info, bool& value) override {
    if (const auto* f = written(info)) {
      value = reflection().GetBool(message(), f);
      written_flags_.insert(&value);
    }
  }
  void field(const OptionInfo& info, int64_t& value) override {
    if (const auto* f = written(info)) value = reflection().GetInt64(message(), f);
  }
  void field(const OptionInfo& info, uint64_t& value) override {
    if (const auto* f = written(info)) value = reflection().GetUInt64(message(), f);
  }
  void field(const OptionInfo& info, double& value) override {
    if (const auto* f = written(info)) value = reflection().GetDouble(message(), f);
  }
  void field(const OptionInfo& info, std::string& value) override {
    if (const auto* f = written(info)) value = reflection().GetString(message(), f);
  }
  void field(const OptionInfo& info, std::optional<bool>& value) override {
    if (const auto* f = written(info)) value = reflection().GetBool(message(), f);
  }
  void field(const OptionInfo& info, std::optional<int64_t>& value) override {
    if (const auto* f = written(info)) value = reflection().GetInt64(message(), f);
  }
  void field(const OptionInfo& info, std::optional<double>& value) override {
    if (const auto* f = written(info)) value = reflection().GetDouble(message(), f);
  }
  void field(const OptionInfo& info, std::optional<std::string>& value) override {
    if (const auto* f = written(info)) value = reflection().GetString(message(), f);
  }
  void field(const OptionInfo& info, std::vector<int64_t>& value) override {
    list(info, value, &pb::Reflection::GetRepeatedInt64);
  }
  void field(const OptionInfo& info, std::vector<double>& value) override {
    list(info, value, &pb::Reflection::GetRepeatedDouble);
  }
  void field(const OptionInfo& info, std::vector<std::string>& value) override {
    list(info, value, &pb::Reflection::GetRepeatedString);
  }
  void negated(const OptionInfo& info, bool& value) override {
    const auto* const f = written(info);
    if (f == nullptr) return;
    const bool wanted = !reflection().GetBool(message(), f);
    if (written_flags_.contains(&value) && value != wanted) {
      throw invalid_argument(where_(path_of(*f)), path_of(*f), ": expected ", info.help,
                             ", found that the other one says the opposite; leave one of them out");
    }
    value = wanted;
  }
  void choice(const OptionInfo& info, std::span<const std::string_view>, size_t& index) override {
    if (const auto* f = written(info)) {
      index = static_cast<size_t>(reflection().GetEnumValue(message(), f));
    }
  }
  bool begin_group(const OptionInfo& info, bool& present) override {
    const auto* const field = written(info);
    if (field == nullptr) return false;
    present = true;
    groups_.push_back({&reflection().GetMessage(message(), field), path_of(*field)});
    return true;
  }
  void end_group() override { groups_.pop_back(); }
  void component(const OptionInfo& info, ComponentSlot& slot) override {
    const auto* const field = written(info);
    if (field == nullptr) return;
    const pb::Message& chosen = reflection().GetMessage(message(), field);
    // `schedule {}`: none was chosen.
    if (chosen_kind(chosen) == nullptr && chosen.ByteSizeLong() == 0) return;
    slot.set(read_component(schema_, chosen, path_of(*field), where_));
  }
  void components(const OptionInfo& info, ComponentListSlot& slot) override {
    const auto* const field = written(info);
    if (field == nullptr) return;
    slot.clear();
    for (int i = 0; i < reflection().FieldSize(message(), field); ++i) {
      slot.add(read_component(schema_, reflection().GetRepeatedMessage(message(), field, i),
                              str_cat(path_of(*field), "[", i, "]"), where_));
    }
  }

 private:
  struct Group {
    const pb::Message* message;
    std::string path;
  };

  const pb::Message& message() const { return *groups_.back().message; }
  const pb::Reflection& reflection() const { return *message().GetReflection(); }
  std::string path_of(const pb::FieldDescriptor& field) const {
    return groups_.back().path + "." + field.name();
  }
  // Null: the job file does not say it.
  const pb::FieldDescriptor* written(const OptionInfo& info) const {
    const auto* const field = message().GetDescriptor()->FindFieldByName(std::string(info.name));
    TRIREME_CHECK(field != nullptr, "the option '", info.name, "' is not in the schema");
    const bool there = field->is_repeated() ? reflection().FieldSize(message(), field) > 0
                                            : reflection().HasField(message(), field);
    return there ? field : nullptr;
  }
  template <typename T, typename Get>
  void list(const OptionInfo& info, std::vector<T>& value, Get get) const {
    const auto* const field = written(info);
    if (field == nullptr) return;
    value.clear();
    for (int i = 0; i < reflection().FieldSize(message(), field); ++i) {
      value.push_back((reflection().*get)(message(), field, i));
    }
  }

  const JobSchema& schema_;
  const JobWhere& where_;
  std::vector<Group> groups_;
  std::set<const bool*> written_flags_;
};

// Writes all fields.
class Writer : public OptionVisitor {
 public:
  Writer(const JobSchema& schema, pb::Message& message) : schema_(schema), groups_{&message} {}

  void field(const OptionInfo& info, bool& value) override {
    reflection().SetBool(&message(), &named(info), value);
  }
  void field(const OptionInfo& info, int64_t& value) override {
    reflection().SetInt64(&message(), &named(info), value);
  }
  void field(const OptionInfo& info, uint64_t& value) override {
    reflection().SetUInt64(&message(), &named(info), value);
  }
  void field(const OptionInfo& info, double& value) override {
    reflection().SetDouble(&message(), &named(info), value);
  }
  void field(const OptionInfo& info, std::string& value) override {
    reflection().SetString(&message(), &named(info), value);
  }
  void field(const OptionInfo& info, std::optional<bool>& value) override {
    if (value) field(info, *value);
  }
  void field(const OptionInfo& info, std::optional<int64_t>& value) override {
    if (value) field(info, *value);
  }
  void field(const OptionInfo& info, std::optional<double>& value) override {
    if (value) field(info, *value);
  }
  void field(const OptionInfo& info, std::optional<std::string>& value) override {
    if (value) field(info, *value);
  }
  void field(const OptionInfo& info, std::vector<int64_t>& value) override {
    for (const int64_t v : value) reflection().AddInt64(&message(), &named(info), v);
  }
  void field(const OptionInfo& info, std::vector<double>& value) override {
    for (const double v : value) reflection().AddDouble(&message(), &named(info), v);
  }
  void field(const OptionInfo& info, std::vector<std::string>& value) override {
    for (const std::string& v : value) reflection().AddString(&message(), &named(info), v);
  }
  void negated(const OptionInfo&, bool&) override {}
  void choice(const OptionInfo& info, std::span<const std::string_view> names,
              size_t& index) override {
    TRIREME_CHECK(index < names.size(), info.name, " is none of the values that it has");
    reflection().SetEnumValue(&message(), &named(info), static_cast<int>(index));
  }
  bool begin_group(const OptionInfo& info, bool& present) override {
    if (present) groups_.push_back(reflection().MutableMessage(&message(), &named(info)));
    return present;
  }
  void end_group() override { groups_.pop_back(); }
  void component(const OptionInfo& info, ComponentSlot& slot) override {
    if (Component* const chosen = slot.get()) {
      write(slot.family(), *chosen, *reflection().MutableMessage(&message(), &named(info)));
    }
  }
  void components(const OptionInfo& info, ComponentListSlot& slot) override {
    for (size_t i = 0; i < slot.size(); ++i) {
      write(slot.family(), *slot.get(i), *reflection().AddMessage(&message(), &named(info)));
    }
  }

  // Into a message of the family.
  void write(std::string_view family, Component& component, pb::Message& target) const {
    const CatalogBase& catalog = *schema_.catalogs().find(family);
    const CatalogEntry* const entry = catalog.entry_of(component);
    if (entry == nullptr) {
      throw invalid_argument("a ", family,
                             " of a class that is in no catalog cannot be written in a job file");
    }
    Writer common(schema_, target);
    component.describe_common(common);
    const auto* const kind = target.GetDescriptor()->FindFieldByName(entry->name);
    Writer own(schema_, *target.GetReflection()->MutableMessage(&target, kind));
    component.describe(own);
  }

 private:
  pb::Message& message() { return *groups_.back(); }
  const pb::Reflection& reflection() { return *message().GetReflection(); }
  const pb::FieldDescriptor& named(const OptionInfo& info) {
    const auto* const field = message().GetDescriptor()->FindFieldByName(std::string(info.name));
    TRIREME_CHECK(field != nullptr, "the option '", info.name, "' is not in the schema");
    return *field;
  }

  const JobSchema& schema_;
  std::vector<pb::Message*> groups_;
};

std::unique_ptr<pb::Message> write_all(const JobSchema& schema, const CatalogBase& catalog,
                                       Component& component) {
  std::unique_ptr<pb::Message> message = schema.new_message(schema.family(catalog));
  Writer(schema, *message).write(catalog.family(), component, *message);
  return message;
}

void prune_component(const JobSchema& schema, pb::Message& message);

std::vector<const pb::FieldDescriptor*> fields_there(const pb::Message& message) {
  std::vector<const pb::FieldDescriptor*> fields;
  message.GetReflection()->ListFields(message, &fields);
  return fields;
}

// REQUIRES: `a` has the field.
bool equal(const pb::Message& a, const pb::Message& b, const pb::FieldDescriptor* field) {
  // To the differencer a 0 is as good as nothing.
  if (!field->is_repeated() && !b.GetReflection()->HasField(b, field)) return false;
  pb::util::MessageDifferencer difference;
  return difference.CompareWithFields(a, b, {field}, {field});
}

// Takes from `message` what it has in common with `defaults`, of the same type.
void prune(const JobSchema& schema, pb::Message& message, const pb::Message& defaults) {
  const pb::Reflection& reflection = *message.GetReflection();
  for (const auto* const field : fields_there(defaults)) {
    const bool gone = field->is_repeated() ? reflection.FieldSize(message, field) == 0
                                           : !reflection.HasField(message, field);
    if (!gone || field->real_containing_oneof() != nullptr) continue;
    throw invalid_argument(message.GetDescriptor()->name(), ".", field->name(),
                           ": a job file cannot say that there is none, where the default is one");
  }
  for (const auto* const field : fields_there(message)) {
    const bool is_kind = field->real_containing_oneof() != nullptr;
    if (!is_kind && equal(message, defaults, field)) {
      reflection.ClearField(&message, field);
    } else if (field->cpp_type() == pb::FieldDescriptor::CPPTYPE_MESSAGE) {
      const bool is_family = schema.family_of(*field->message_type()) != nullptr;
      if (field->is_repeated()) {
        for (int i = 0; i < reflection.FieldSize(message, field); ++i) {
          prune_component(schema, *reflection.MutableRepeatedMessage(&message, field, i));
        }
      } else if (is_family) {
        prune_component(schema, *reflection.MutableMessage(&message, field));
      } else {
        prune(schema, *reflection.MutableMessage(&message, field),
              reflection.GetMessage(defaults, field));
      }
    }
  }
}

void prune_component(const JobSchema& schema, pb::Message& message) {
  const CatalogBase& catalog = *schema.family_of(*message.GetDescriptor());
  const auto made = catalog.find(chosen_kind(message)->name()).make();
  prune(schema, message, *write_all(schema, catalog, *made));
}

// The component's message in full, where it can be read.
void fill_defaults(const JobSchema& schema, pb::Message& message) {
  const CatalogBase* const family = schema.family_of(*message.GetDescriptor());
  if (family != nullptr && chosen_kind(message) != nullptr) {
    try {
      const auto component = read_component(schema, message, family->family(),
                                            [](const auto&) { return std::string(); });
      message.CopyFrom(*write_all(schema, *family, *component));
    } catch (const Error&) {
      // It is compared as it stands: the values are another version's.
    }
    return;
  }
  const pb::Reflection& reflection = *message.GetReflection();
  for (const auto* const field : fields_there(message)) {
    if (field->cpp_type() != pb::FieldDescriptor::CPPTYPE_MESSAGE) continue;
    if (!field->is_repeated()) fill_defaults(schema, *reflection.MutableMessage(&message, field));
    for (int i = 0; field->is_repeated() && i < reflection.FieldSize(message, field); ++i) {
      fill_defaults(schema, *reflection.MutableRepeatedMessage(&message, field, i));
    }
  }
}

}  // namespace

std::unique_ptr<Component> read_component(const JobSchema& schema, const pb::Message& message,
                                          const std::string& path, const JobWhere& where) {
  const CatalogBase& family = *schema.family_of(*message.GetDescriptor());
  const pb::FieldDescriptor* const kind = chosen_kind(message);
  if (kind == nullptr) {
    throw invalid_argument(where(path), path, ": expected a kind of ", family.family(), ", one of ",
                           joined(family.names()));
  }
  std::unique_ptr<Component> component = family.find(kind->name()).make();
  const std::string own_path = path + "." + kind->name();
  Reader common(schema, message, path, where);
  component->describe_common(common);
  Reader own(schema, message.GetReflection()->GetMessage(message, kind), own_path, where);
  component->describe(own);
  try {
    component->check();
  } catch (const Error& error) {
    throw Error(error.code(), str_cat(where(own_path), own_path, ": ", error.what()));
  }
  return component;
}

std::unique_ptr<pb::Message> write_component(const JobSchema& schema, const CatalogBase& catalog,
                                             Component& component, WrittenFields fields) {
  std::unique_ptr<pb::Message> message = write_all(schema, catalog, component);
  if (fields == WrittenFields::kChanged) prune_component(schema, *message);
  return message;
}

std::unique_ptr<pb::Message> with_defaults(const JobSchema& schema, const pb::Message& message) {
  std::unique_ptr<pb::Message> full(message.New());
  full->CopyFrom(message);
  fill_defaults(schema, *full);
  return full;
}

}  // namespace trireme
