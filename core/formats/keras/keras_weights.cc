#include "core/formats/keras/keras_weights.h"

#include <algorithm>
#include <cctype>
#include <iterator>
#include <map>
#include <set>
#include <utility>

#include "core/base/error.h"
#include "core/io/input_file.h"

namespace trireme::formats {
namespace {

// Variables that a file may have and that no model of ours needs: the state of Keras's random
// numbers, and of metrics.
bool is_left_out(std::string_view path) {
  for (size_t begin = 0; begin < path.size();) {
    const size_t end = std::min(path.find('/', begin), path.size());
    const std::string_view part = path.substr(begin, end - begin);
    if (part == "seed_generator" || part == "_seed_generators" || part == "metrics" ||
        part == "_metrics" || part == "_loss_tracker" || part == "_compile_metrics") {
      return true;
    }
    begin = end + 1;
  }
  return false;
}

std::string join(const std::string& path, const std::string& name) {
  return path.empty() ? name : path + "/" + name;
}

// Where Keras 3 keeps each child of `object`, whose group is `path`: children of a list by class,
// numbered when there are several.
template <typename Visit>
void visit_children(const KerasObject& object, const std::string& path, const Visit& visit) {
  std::map<std::string, int> used;  // by list and class
  for (size_t i = 0; i < object.children.size(); ++i) {
    const KerasObject& child = object.children[i];
    std::string group = join(path, child.attribute);
    if (child.in_list) {
      group = join(group, snake_case(child.class_name));
      const int number = used[group]++;
      if (number > 0) group += "_" + std::to_string(number);
    }
    visit(i, group);
  }
}

void write_object(const KerasObject& object, const std::string& path, io::Hdf5Contents& root) {
  io::Hdf5Contents& vars = root.group(join(path, "vars"));
  vars.attributes["name"] = object.name;
  for (size_t i = 0; i < object.variables.size(); ++i) {
    vars.add(std::to_string(i), object.variables[i].value);
  }
  visit_children(object, path, [&](size_t i, const std::string& group) {
    write_object(object.children[i], group, root);
  });
}

std::string describe(const KerasObject& object) {
  return str_cat("the ", object.class_name, " ", io::quote_name(object.name));
}

std::string names_of(const std::vector<const KerasVariable*>& variables) {
  std::string text;
  for (const KerasVariable* variable : variables) {
    text += (text.empty() ? "" : ", ") + variable->name;
  }
  return text.empty() ? "none" : text;
}

// Reads from one file, or from all shards of a model.
class WeightsReader {
 public:
  WeightsReader(std::vector<const io::Hdf5File*> files, std::string name)
      : files_(std::move(files)), name_(std::move(name)) {
    // Keras before 2.13 gave layers this name.
    for (const io::Hdf5File* file : files_) {
      if (file->root().group("_layer_checkpoint_dependencies") != nullptr) {
        layers_ = "_layer_checkpoint_dependencies";
      }
    }
  }

  void read(KerasModelWeights& weights) {
    for (KerasObject& child : weights.model.children) {
      if (child.attribute == "layers") child.attribute = layers_;
    }
    read(weights.model, "");
    for (KerasObject& child : weights.model.children) {
      if (child.attribute == layers_) child.attribute = "layers";
    }
    if (!has_group("optimizer")) weights.optimizer.reset();
    if (weights.optimizer) {
      // Keras 2 does not keep the learning rate here.
      auto& variables = weights.optimizer->variables;
      std::optional<KerasVariable> rate;
      if (variables.size() > 1 && variables[1].name == "learning_rate" &&
          find("optimizer/vars").size() + 1 == variables.size()) {
        rate = std::move(variables[1]);
        variables.erase(variables.begin() + 1);
      }
      read(*weights.optimizer, "optimizer");
      if (rate) variables.insert(variables.begin() + 1, std::move(*rate));
    }
    for (const io::Hdf5File* file : files_) {
      for (const auto& [name, group] : file->root().groups) {
        if (name != "optimizer" || weights.optimizer) check_all_read(group);
      }
    }
  }

 private:
  struct Found {
    const io::Hdf5File* file = nullptr;
    const io::Hdf5Dataset* dataset = nullptr;
  };

  bool has_group(const std::string& path) const {
    return std::ranges::any_of(
        files_, [&](const io::Hdf5File* file) { return file->root().group(path) != nullptr; });
  }

  // The datasets of a group, over all files.
  std::map<std::string, Found> find(const std::string& path) const {
    std::map<std::string, Found> all;
    for (const io::Hdf5File* file : files_) {
      const io::Hdf5Group* group = file->root().group(path);
      if (group == nullptr) continue;
      for (const auto& [name, dataset] : group->datasets) all[name] = {file, &dataset};
    }
    return all;
  }

  void read(KerasObject& object, const std::string& path) {
    const std::string vars = join(path, "vars");
    const std::map<std::string, Found> found = find(vars);
    if (found.size() != object.variables.size()) {
      std::vector<const KerasVariable*> expected;
      for (const KerasVariable& variable : object.variables) expected.push_back(&variable);
      throw invalid_argument(name_, ": group ", io::quote_name(vars), ": ", describe(object),
                             " has ", expected.size(), " variables (", names_of(expected),
                             "), found ", found.size());
    }
    for (size_t i = 0; i < object.variables.size(); ++i) {
      const auto variable = found.find(std::to_string(i));
      if (variable == found.end()) {
        throw invalid_argument(name_, ": group ", io::quote_name(vars), ": expected datasets 0 to ",
                               found.size() - 1, ", found no ", i);
      }
      object.variables[i].value = variable->second.file->read(*variable->second.dataset);
    }
    read_.insert(vars);
    visit_children(object, path, [&](size_t i, const std::string& group) {
      KerasObject& child = object.children[i];
      read(child, child.in_list ? group : attribute_path(path, child.attribute));
    });
  }

  // Keras 2 keeps the parts of some layers as "_query_dense", Keras 3 as "query_dense".
  std::string attribute_path(const std::string& path, const std::string& attribute) const {
    const std::string as_said = join(path, attribute);
    if (attribute.empty() || has_group(as_said)) return as_said;
    const std::string other =
        join(path, attribute.front() == '_' ? attribute.substr(1) : "_" + attribute);
    return has_group(other) ? other : as_said;
  }

  // A variable that nothing asked for is of a layer that the model lacks.
  void check_all_read(const io::Hdf5Group& group) const {
    if (!group.datasets.empty() && !read_.contains(group.path) && !is_left_out(group.path)) {
      throw invalid_argument(name_, ": group ", io::quote_name(group.path), " has ",
                             group.datasets.size(),
                             " variables of an object that the model lacks; its layers are others");
    }
    for (const auto& [name, child] : group.groups) check_all_read(child);
  }

  std::vector<const io::Hdf5File*> files_;
  std::string name_;
  std::string layers_ = "layers";
  std::set<std::string> read_;
};

// --- The older layout ----------------------------------------------------------------------------

constexpr size_t kMaxNames = 4000;  // in an attribute: 16 bytes each

void put_names(io::Hdf5Contents& group, const std::string& attribute,
               const std::vector<std::string>& names) {
  if (names.size() <= kMaxNames) {
    group.attributes[attribute] = names;
    return;
  }
  for (size_t part = 0; part * kMaxNames < names.size(); ++part) {
    const auto begin = names.begin() + static_cast<std::ptrdiff_t>(part * kMaxNames);
    const auto count =
        static_cast<std::ptrdiff_t>(std::min(kMaxNames, names.size() - part * kMaxNames));
    group.attributes[attribute + std::to_string(part)] =
        std::vector<std::string>(begin, begin + count);
  }
}

std::vector<std::string> names_in(const io::Hdf5File& file, const io::Hdf5Group& group,
                                  const std::string& attribute) {
  if (const auto* names = group.texts(attribute)) return *names;
  std::vector<std::string> all;
  for (size_t part = 0;; ++part) {
    const auto* names = group.texts(attribute + std::to_string(part));
    if (names == nullptr) {
      if (part > 0) return all;
      throw data_loss(file.name(), ": expected the attribute ", attribute, " of group ",
                      io::quote_name(group.path), ", found none");
    }
    all.insert(all.end(), names->begin(), names->end());
  }
}

template <typename Object, typename Variable>
void collect(Object& object, std::vector<Variable*>& trainable, std::vector<Variable*>& others) {
  for (auto& variable : object.variables) {
    (variable.trainable ? trainable : others).push_back(&variable);
  }
  for (auto& child : object.children) collect(child, trainable, others);
}

// The variables of a layer and of all within it, the trainable ones first.
template <typename Variable, typename Object>
std::vector<Variable*> legacy_order(Object& layer) {
  std::vector<Variable*> trainable, others;
  collect(layer, trainable, others);
  trainable.insert(trainable.end(), others.begin(), others.end());
  return trainable;
}

// Two variables of a layer may have one path, which names one dataset only.
std::vector<std::string> put_variables(const std::vector<const KerasVariable*>& variables,
                                       io::Hdf5Contents& group) {
  std::vector<std::string> names;
  std::set<std::string> used;
  for (const KerasVariable* variable : variables) {
    const std::string path = variable->path.empty() ? variable->name : variable->path;
    std::string unique = path;
    for (int i = 1; !used.insert(unique).second; ++i) unique = path + "_" + std::to_string(i);
    names.push_back(unique);
    group.add(unique, variable->value);
  }
  put_names(group, "weight_names", names);
  return names;
}

std::vector<Tensor> read_variables(const io::Hdf5File& file, const io::Hdf5Group& group) {
  std::vector<Tensor> values;
  for (const std::string& name : names_in(file, group, "weight_names")) {
    const io::Hdf5Dataset* dataset = group.dataset(name);
    if (dataset == nullptr) {
      throw data_loss(file.name(), ": group ", io::quote_name(group.path), ": expected a dataset ",
                      io::quote_name(name), " as weight_names says, found none");
    }
    values.push_back(file.read(*dataset));
  }
  return values;
}

void take_values(const io::Hdf5File& file, const std::string& group, const KerasObject& object,
                 const std::vector<KerasVariable*>& variables, std::vector<Tensor> values) {
  if (values.size() != variables.size()) {
    throw invalid_argument(
        file.name(), ": group ", io::quote_name(group), ": ", describe(object), " has ",
        variables.size(), " variables (",
        names_of(std::vector<const KerasVariable*>(variables.begin(), variables.end())),
        "), found ", values.size());
  }
  for (size_t i = 0; i < values.size(); ++i) variables[i]->value = std::move(values[i]);
}

void add_all(const io::Hdf5File& file, const io::Hdf5Group& group, nn::StateMap& all) {
  for (const auto& [name, dataset] : group.datasets) all[dataset.path] = file.read(dataset);
  for (const auto& [name, child] : group.groups) add_all(file, child, all);
}

}  // namespace

std::string snake_case(const std::string& class_name) {
  std::string name;
  std::ranges::copy_if(class_name, std::back_inserter(name),
                       [](unsigned char c) { return std::isalnum(c) != 0 || c == '_'; });
  const auto is = [&](size_t i, int (*kind)(int)) {
    return i < name.size() && kind(static_cast<unsigned char>(name[i])) != 0;
  };
  // An underscore before a capital that a small letter follows or stands in front of.
  std::string text;
  for (size_t i = 0; i < name.size(); ++i) {
    const bool begins_word =
        i > 0 && is(i, std::isupper) && (is(i + 1, std::islower) || is(i - 1, std::islower));
    if (begins_word) text += '_';
    text += static_cast<char>(std::tolower(static_cast<unsigned char>(name[i])));
  }
  return text;
}

io::Hdf5Contents weights_contents(const KerasModelWeights& weights) {
  io::Hdf5Contents root;
  write_object(weights.model, "", root);
  if (weights.optimizer) write_object(*weights.optimizer, "optimizer", root);
  return root;
}

void read_weights(const io::Hdf5File& file, KerasModelWeights& weights) {
  WeightsReader({&file}, file.name()).read(weights);
}

void read_shards(const std::vector<std::unique_ptr<io::Hdf5File>>& files, const std::string& name,
                 KerasModelWeights& weights) {
  std::vector<const io::Hdf5File*> all;
  for (const auto& file : files) all.push_back(file.get());
  WeightsReader(std::move(all), name).read(weights);
}

io::Hdf5Contents legacy_contents(const KerasModelWeights& weights, bool whole_model) {
  io::Hdf5Contents root;
  io::Hdf5Contents& group = whole_model ? root.group("model_weights") : root;
  std::vector<std::string> names;
  for (const KerasObject& layer : weights.model.children) {
    names.push_back(layer.name);
    put_variables(legacy_order<const KerasVariable>(layer), group.group(layer.name));
  }
  put_names(group, "layer_names", names);
  std::vector<const KerasVariable*> own;
  for (const KerasVariable& variable : weights.model.variables) own.push_back(&variable);
  put_variables(own, group.group("top_level_model_weights"));
  for (io::Hdf5Contents* with : {&group, &root}) {
    with->attributes["backend"] = std::string("tensorflow");
    with->attributes["keras_version"] = std::string(kKerasVersion);
  }
  if (whole_model && weights.optimizer) {
    std::vector<const KerasVariable*> variables;
    collect(*weights.optimizer, variables, variables);
    put_variables(variables, root.group("optimizer_weights"));
  }
  return root;
}

void read_legacy_weights(const io::Hdf5File& file, KerasModelWeights& weights) {
  const io::Hdf5Group* group = file.root().group("model_weights");
  if (group == nullptr) group = &file.root();
  struct Found {
    const io::Hdf5Group* group;
    std::vector<Tensor> values;
  };
  std::vector<Found> found;
  for (const std::string& name : names_in(file, *group, "layer_names")) {
    const io::Hdf5Group* layer = group->group(name);
    if (layer == nullptr) {
      throw data_loss(file.name(), ": expected a group ", io::quote_name(name),
                      " as layer_names says, found none");
    }
    auto values = read_variables(file, *layer);
    if (!values.empty()) found.push_back({layer, std::move(values)});
  }
  size_t next = 0;
  std::string names;
  for (KerasObject& layer : weights.model.children) {
    const auto variables = legacy_order<KerasVariable>(layer);
    if (variables.empty()) continue;
    if (next < found.size()) {
      take_values(file, found[next].group->path, layer, variables, std::move(found[next].values));
    }
    ++next;
  }
  if (next != found.size()) {
    throw invalid_argument(file.name(), ": expected ", next, " layers with weights, found ",
                           found.size(), "; the model is another");
  }
  if (const io::Hdf5Group* top = group->group("top_level_model_weights")) {
    std::vector<KerasVariable*> own;
    for (KerasVariable& variable : weights.model.variables) own.push_back(&variable);
    take_values(file, top->path, weights.model, own, read_variables(file, *top));
  }
  const io::Hdf5Group* state = file.root().group("optimizer_weights");
  if (state == nullptr) weights.optimizer.reset();
  if (weights.optimizer) {
    std::vector<KerasVariable*> variables;
    collect(*weights.optimizer, variables, variables);
    take_values(file, state->path, *weights.optimizer, variables, read_variables(file, *state));
  }
}

std::vector<std::pair<std::string, Tensor>> legacy_optimizer(const io::Hdf5File& file) {
  const io::Hdf5Group* group = file.root().group("optimizer_weights");
  if (group == nullptr) return {};
  std::vector<std::string> names = names_in(file, *group, "weight_names");
  std::vector<Tensor> values = read_variables(file, *group);
  std::vector<std::pair<std::string, Tensor>> all;
  for (size_t i = 0; i < names.size(); ++i) all.emplace_back(std::move(names[i]), values[i]);
  return all;
}

std::optional<KerasLayout> layout_of(const io::Hdf5File& file) {
  const io::Hdf5Group& root = file.root();
  if (root.group("model_weights") != nullptr) return KerasLayout::kLegacyModel;
  const bool has_names =
      root.texts("layer_names") != nullptr || root.texts("layer_names0") != nullptr;
  if (has_names) return KerasLayout::kLegacyWeights;
  if (root.group("layers") != nullptr || root.group("_layer_checkpoint_dependencies") != nullptr) {
    return KerasLayout::kWeights;
  }
  return std::nullopt;
}

nn::StateMap read_all(const io::Hdf5File& file) {
  nn::StateMap all;
  add_all(file, file.root(), all);
  return all;
}

}  // namespace trireme::formats
