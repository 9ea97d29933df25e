#include "worker/job_schema.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/descriptor.pb.h>
#include <google/protobuf/dynamic_message.h>

#include <algorithm>
#include <charconv>
#include <cmath>

#include "core/base/error.h"
#include "core/nn/catalogs.h"
#include "proto/job.pb.h"
#include "proto/job_options.pb.h"
#include "worker/all_catalogs.h"

namespace trireme {
namespace {

namespace pb = google::protobuf;
using Field = pb::FieldDescriptorProto;

constexpr const char* kPackage = ".trireme.job.";

// "max_pool2d" is MaxPool2d.
std::string type_name(std::string_view name) {
  std::string type;
  bool begins = true;
  for (const char c : name) {
    if (c != '_') type += begins ? static_cast<char>(std::toupper(c)) : c;
    begins = c == '_';
  }
  return type;
}

template <typename T>
std::string number_text(T value) {
  if constexpr (std::is_floating_point_v<T>) {
    if (std::isnan(value)) return "nan";
    if (std::isinf(value)) return value > 0 ? "inf" : "-inf";
  }
  char text[32];
  return {text, std::to_chars(text, text + sizeof text, value).ptr};
}

void set_range(const Range& range, pb::FieldOptions& options) {
  if (range.is_all()) return;
  job::Range& wanted = *options.MutableExtension(job::range);
  if (std::isfinite(range.min)) wanted.set_min(range.min);
  if (std::isfinite(range.max)) wanted.set_max(range.max);
  if (range.excludes_min) wanted.set_excludes_min(true);
  if (range.excludes_max) wanted.set_excludes_max(true);
}

// Makes a message of the options that it visits.
class MessageMaker : public OptionVisitor {
 public:
  // `path`: the message's full name.
  MessageMaker(const nn::Catalogs& catalogs, pb::DescriptorProto& message, std::string path)
      : catalogs_(catalogs), groups_{{&message, std::move(path)}} {}

  void field(const OptionInfo& info, bool& value) override {
    add(info, Field::TYPE_BOOL).set_default_value(value ? "true" : "false");
  }
  void field(const OptionInfo& info, int64_t& value) override {
    add(info, Field::TYPE_INT64).set_default_value(number_text(value));
  }
  void field(const OptionInfo& info, uint64_t& value) override {
    add(info, Field::TYPE_UINT64).set_default_value(number_text(value));
  }
  void field(const OptionInfo& info, double& value) override {
    add(info, Field::TYPE_DOUBLE).set_default_value(number_text(value));
  }
  void field(const OptionInfo& info, std::string& value) override {
    add(info, Field::TYPE_STRING).set_default_value(value);
  }
  void field(const OptionInfo& info, std::optional<bool>& value) override {
    Field& made = add(info, Field::TYPE_BOOL);
    if (value) made.set_default_value(*value ? "true" : "false");
  }
  void field(const OptionInfo& info, std::optional<int64_t>& value) override {
    Field& made = add(info, Field::TYPE_INT64);
    if (value) made.set_default_value(number_text(*value));
  }
  void field(const OptionInfo& info, std::optional<double>& value) override {
    Field& made = add(info, Field::TYPE_DOUBLE);
    if (value) made.set_default_value(number_text(*value));
  }
  void field(const OptionInfo& info, std::optional<std::string>& value) override {
    Field& made = add(info, Field::TYPE_STRING);
    if (value) made.set_default_value(*value);
  }
  void field(const OptionInfo& info, std::vector<int64_t>& value) override {
    list(info, Field::TYPE_INT64, value, number_text<int64_t>);
  }
  void field(const OptionInfo& info, std::vector<double>& value) override {
    list(info, Field::TYPE_DOUBLE, value, number_text<double>);
  }
  void field(const OptionInfo& info, std::vector<std::string>& value) override {
    list(info, Field::TYPE_STRING, value, [](const std::string& text) { return text; });
  }
  void negated(const OptionInfo& info, bool&) override {
    Field& made = add(info, Field::TYPE_BOOL);
    made.set_default_value("false");
    made.mutable_options()->set_deprecated(true);
  }
  void choice(const OptionInfo& info, std::span<const std::string_view> names,
              size_t& index) override {
    // The names of an enum are those of the scope that it stands in: each has one of its own.
    const std::string type = type_name(info.name);
    pb::DescriptorProto& scope = *message().add_nested_type();
    scope.set_name(type + "Names");
    pb::EnumDescriptorProto& values = *scope.add_enum_type();
    values.set_name(type);
    for (size_t i = 0; i < names.size(); ++i) {
      pb::EnumValueDescriptorProto& value = *values.add_value();
      value.set_name(std::string(names[i]));
      value.set_number(static_cast<int>(i));
    }
    Field& made = add(info, Field::TYPE_ENUM);
    made.set_type_name(str_cat(path(), ".", scope.name(), ".", type));
    if (index < names.size()) made.set_default_value(std::string(names[index]));
  }
  bool begin_group(const OptionInfo& info, bool&) override {
    const std::string type = type_name(info.name);
    const std::string full = path() + "." + type;
    add(info, Field::TYPE_MESSAGE).set_type_name(full);
    pb::DescriptorProto& group = *message().add_nested_type();
    group.set_name(type);
    groups_.push_back({&group, full});
    return true;
  }
  void end_group() override { groups_.pop_back(); }
  void component(const OptionInfo& info, ComponentSlot& slot) override {
    Field& made = add(info, Field::TYPE_MESSAGE);
    const CatalogBase& family = set_family(made, slot.family());
    if (Component* const chosen = slot.get()) {
      const CatalogEntry* const entry = family.entry_of(*chosen);
      if (entry != nullptr) made.mutable_options()->SetExtension(job::default_text, entry->name);
    }
  }
  void components(const OptionInfo& info, ComponentListSlot& slot) override {
    Field& made = add(info, Field::TYPE_MESSAGE);
    made.set_label(Field::LABEL_REPEATED);
    set_family(made, slot.family());
  }

  // The fields of another message, beside those that are there.
  Field& add(const OptionInfo& info, Field::Type type) {
    Field& made = *message().add_field();
    made.set_name(std::string(info.name));
    made.set_number(message().field_size());
    made.set_label(Field::LABEL_OPTIONAL);
    made.set_type(type);
    pb::FieldOptions& options = *made.mutable_options();
    options.SetExtension(job::help, std::string(info.help));
    set_range(info.range, options);
    if (!info.default_text.empty()) {
      options.SetExtension(job::default_text, std::string(info.default_text));
    }
    if (!info.keras.empty()) options.SetExtension(job::keras, std::string(info.keras));
    return made;
  }

 private:
  struct Group {
    pb::DescriptorProto* message;
    std::string path;
  };

  pb::DescriptorProto& message() { return *groups_.back().message; }
  const std::string& path() const { return groups_.back().path; }

  // The default of a list cannot be written in a schema.
  template <typename T, typename Text>
  void list(const OptionInfo& info, Field::Type type, const std::vector<T>& value, Text text) {
    Field& made = add(info, type);
    made.set_label(Field::LABEL_REPEATED);
    if (value.empty() || !info.default_text.empty()) return;
    std::string shown;
    for (const T& element : value) shown += (shown.empty() ? "" : ", ") + text(element);
    made.mutable_options()->SetExtension(job::default_text, shown);
  }

  const CatalogBase& set_family(Field& field, std::string_view name) const {
    const CatalogBase* const family = catalogs_.find(name);
    if (family == nullptr) {
      throw invalid_argument(path(), ".", field.name(), ": there is no catalog of family '", name,
                             "'");
    }
    field.set_type_name(kPackage + type_name(name));
    return *family;
  }

  const nn::Catalogs& catalogs_;
  std::vector<Group> groups_;
};

pb::DescriptorProto family_message(const nn::Catalogs& catalogs, const CatalogBase& family) {
  pb::DescriptorProto message;
  const std::string name = type_name(family.family());
  message.set_name(name);
  MessageMaker common(catalogs, message, kPackage + name);
  if (family.entries().empty()) return message;
  family.entries().front().make()->describe_common(common);
  message.add_oneof_decl()->set_name(family.family() == "data" ? "source" : "kind");
  for (const CatalogEntry& entry : family.entries()) {
    const std::string type = type_name(entry.name);
    const std::string full = str_cat(kPackage, name, ".", type);
    OptionInfo info{.name = entry.name, .help = entry.help, .keras = entry.keras};
    Field& field = common.add(info, Field::TYPE_MESSAGE);
    field.set_type_name(full);
    field.set_oneof_index(0);
    pb::DescriptorProto& options = *message.add_nested_type();
    options.set_name(type);
    MessageMaker maker(catalogs, options, full);
    entry.make()->describe(maker);
  }
  return message;
}

struct FamilyField {
  const char* name;
  const char* family;
  int number;
  bool is_list;
  const char* help;
};
// Of the job itself, between its name and the rest.
constexpr FamilyField kFamilyFields[] = {
    {"data", "data", 2, false, "the examples to train and to validate with"},
    {"loss", "loss", 4, false, "what is minimized"},
    {"optimizer", "optimizer", 5, false, "how the weights follow from gradients"},
    {"metrics", "metric", 6, true, "what is shown beside the loss"},
    {"weighted_metrics", "metric", 30, true,
     "the same, where examples count as much as in the loss"},
    {"callbacks", "callback", 22, true, "what else happens beside the steps"},
};

Field family_field(const FamilyField& wanted) {
  Field field;
  field.set_name(wanted.name);
  field.set_number(wanted.number);
  field.set_label(wanted.is_list ? Field::LABEL_REPEATED : Field::LABEL_OPTIONAL);
  field.set_type(Field::TYPE_MESSAGE);
  field.set_type_name(kPackage + type_name(wanted.family));
  field.mutable_options()->SetExtension(job::help, wanted.help);
  return field;
}

Field plain_field(const char* name, int number, Field::Type type, const char* help) {
  Field field;
  field.set_name(name);
  field.set_number(number);
  field.set_label(Field::LABEL_OPTIONAL);
  field.set_type(type);
  field.mutable_options()->SetExtension(job::help, help);
  return field;
}

// The message of one of several losses.
pb::DescriptorProto output_message() {
  pb::DescriptorProto output;
  output.set_name("Output");
  output.mutable_options()->SetExtension(
      job::about, "The loss of one of several outputs; their sum is minimized.");
  *output.add_field() =
      plain_field("layer", 1, Field::TYPE_STRING, "the name of the layer that gives it");
  *output.add_field() = family_field({"loss", "loss", 2, false, "what is minimized"});
  Field weight = plain_field("weight", 3, Field::TYPE_DOUBLE, "of this loss in the sum");
  weight.set_default_value("1");
  weight.mutable_options()->MutableExtension(job::range)->set_min(0);
  *output.add_field() = weight;
  *output.add_field() =
      family_field({"metrics", "metric", 4, true, "what is shown beside the loss"});
  *output.add_field() = family_field({"weighted_metrics", "metric", 5, true,
                                      "the same, where examples count as much as in the loss"});
  Field labels = plain_field("labels", 6, Field::TYPE_STRING,
                             "the component of the data that is compared with, by its name");
  labels.mutable_options()->SetExtension(job::default_text, "the data's label");
  *output.add_field() = labels;
  return output;
}

// The job's own fields of components, and its messages of the model and of outputs.
void add_components(pb::FileDescriptorProto& file) {
  pb::DescriptorProto& model = *file.add_message_type();
  model.set_name("Model");
  *model.add_field() =
      family_field({"layers", "layer", 1, true, "what the model does, one after another"});
  *model.add_field() = family_field(
      {"inputs", "model_input", 2, true, "the data's features, in their order; else the data say"});
  *model.add_field() = family_field({"weights", "model_weights", 3, false,
                                     "weights of another model that the training starts with"});
  *file.add_message_type() = output_message();
  auto* const job = std::ranges::find(*file.mutable_message_type(), "Job",
                                      [](const auto& message) { return message.name(); })
                        .
                        operator->();
  job->clear_reserved_range();
  for (const FamilyField& field : kFamilyFields) *job->add_field() = family_field(field);
  Field& field = *job->add_field();
  field = family_field({"model", "model", 3, false, "its layers"});
  *job->add_field() = family_field(
      {"outputs", "output", 31, true, "instead of `loss` and `metrics`: a loss for each output"});
  // Where they are looked for by who reads about them: after the name.
  std::ranges::sort(*job->mutable_field(), {}, [](const Field& f) { return f.number(); });
}

class FirstError : public pb::DescriptorPool::ErrorCollector {
 public:
  void AddError(const std::string&, const std::string& element, const pb::Message*, ErrorLocation,
                const std::string& message) override {
    if (text_.empty()) text_ = element + ": " + message;
  }
  const std::string& text() const { return text_; }

 private:
  std::string text_;
};

}  // namespace

JobSchema::JobSchema(std::shared_ptr<const nn::Catalogs> catalogs)
    : catalogs_(std::move(catalogs)),
      pool_(std::make_unique<pb::DescriptorPool>()),
      factory_(std::make_unique<pb::DynamicMessageFactory>()) {
  pb::FileDescriptorProto file;
  job::Job::descriptor()->file()->CopyTo(&file);
  file.clear_dependency();  // the options' meaning is linked in
  add_components(file);
  for (const CatalogBase* const family : catalogs_->all()) {
    *file.add_message_type() = family_message(*catalogs_, *family);
  }
  FirstError errors;
  const pb::FileDescriptor* const built = pool_->BuildFileCollectingErrors(file, &errors);
  if (built == nullptr) throw invalid_argument("the options of components: ", errors.text());
  job_ = built->FindMessageTypeByName("Job");
  for (const CatalogBase* const family : catalogs_->all()) {
    families_[built->FindMessageTypeByName(type_name(family->family()))] = family;
  }
}

JobSchema::~JobSchema() = default;

const pb::Descriptor& JobSchema::family(const CatalogBase& catalog) const {
  return *job_->file()->FindMessageTypeByName(type_name(catalog.family()));
}

const CatalogBase* JobSchema::family_of(const pb::Descriptor& type) const {
  const auto found = families_.find(&type);
  return found == families_.end() ? nullptr : found->second;
}

std::unique_ptr<pb::Message> JobSchema::new_message(const pb::Descriptor& type) const {
  return std::unique_ptr<pb::Message>(factory_->GetPrototype(&type)->New());
}

std::unique_ptr<pb::Message> JobSchema::new_job() const { return new_message(*job_); }

std::shared_ptr<const JobSchema> core_job_schema() {
  static const std::shared_ptr<const JobSchema> schema = [] {
    auto catalogs = std::make_shared<nn::Catalogs>();
    register_all(*catalogs);
    return std::make_shared<const JobSchema>(std::move(catalogs));
  }();
  return schema;
}

const pb::OneofDescriptor* kind_of(const pb::Descriptor& family) {
  return family.real_oneof_decl_count() > 0 ? family.oneof_decl(0) : nullptr;
}

}  // namespace trireme
