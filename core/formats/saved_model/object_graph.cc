#include "core/formats/saved_model/object_graph.h"

#include <map>

#include "core/formats/translation/tensorflow_writer.h"

namespace trireme::formats {
namespace {

using tf::StructuredValue;

void set_specification(const ServedValue& value, StructuredValue& to) {
  tf::TensorSpecProto& spec = *to.mutable_tensor_spec_value();
  spec.set_name(value.key);
  spec.set_dtype(tensorflow_type(value.type.dtype));
  set_tensorflow_shape(value.type.shape, spec.mutable_shape());
}

// A pair (arguments by position, arguments by name), as TensorFlow keeps what a function takes.
struct Arguments {
  explicit Arguments(StructuredValue& pair)
      : by_position(*pair.mutable_tuple_value()->add_values()->mutable_tuple_value()),
        by_name(*pair.mutable_tuple_value()->add_values()->mutable_dict_value()) {}
  tf::TupleValue& by_position;
  tf::DictValue& by_name;
};

// Of a function in Python's terms: its arguments by position, and those by name only.
void set_argument_names(const std::vector<std::string>& positional,
                        const std::vector<std::string>& named, tf::FunctionSpec& spec) {
  tf::NamedTupleValue& tuple = *spec.mutable_fullargspec()->mutable_named_tuple_value();
  tuple.set_name("FullArgSpec");
  const auto add = [&](const char* key) -> StructuredValue& {
    tf::PairValue& pair = *tuple.add_values();
    pair.set_key(key);
    return *pair.mutable_value();
  };
  const auto set_names = [](const std::vector<std::string>& names, StructuredValue& to) {
    to.mutable_list_value();
    for (const std::string& name : names) {
      to.mutable_list_value()->add_values()->set_string_value(name);
    }
  };
  set_names(positional, add("args"));
  add("varargs").mutable_none_value();
  add("varkw").mutable_none_value();
  add("defaults").mutable_none_value();
  set_names(named, add("kwonlyargs"));
  add("kwonlydefaults").mutable_none_value();
  add("annotations").mutable_dict_value();
  spec.mutable_input_signature()->mutable_none_value();
}

class Objects {
 public:
  Objects(tf::SavedObjectGraph& objects, tf::TrackableObjectGraph& checkpoint)
      : objects_(objects), checkpoint_(checkpoint) {}

  int add() {
    objects_.add_nodes();
    checkpoint_.add_nodes();
    return objects_.nodes_size() - 1;
  }
  int add_user_object(const char* identifier) {
    const int node = add();
    tf::SavedUserObject& user = *saved(node).mutable_user_object();
    user.set_identifier(identifier);
    user.mutable_version()->set_producer(1);
    user.mutable_version()->set_min_consumer(1);
    return node;
  }
  void add_child(int parent, const std::string& name, int child) {
    for (auto* children : {saved(parent).mutable_children(), tracked(parent).mutable_children()}) {
      auto& reference = *children->Add();
      reference.set_local_name(name);
      reference.set_node_id(child);
    }
  }
  tf::SavedObject& saved(int node) { return *objects_.mutable_nodes(node); }
  tf::TrackableObjectGraph::TrackableObject& tracked(int node) {
    return *checkpoint_.mutable_nodes(node);
  }

 private:
  tf::SavedObjectGraph& objects_;
  tf::TrackableObjectGraph& checkpoint_;
};

// "dense/kernel" is the attribute `kernel` of the attribute `dense` of `root`.
class Tree {
 public:
  Tree(Objects& objects, int root) : objects_(objects), folders_{{"", root}} {}

  void add(const std::string& path, int node) {
    const size_t slash = path.rfind('/');
    const std::string folder = slash == std::string::npos ? "" : path.substr(0, slash);
    objects_.add_child(node_of(folder), path.substr(slash + 1), node);
  }

 private:
  int node_of(const std::string& folder) {
    if (const auto found = folders_.find(folder); found != folders_.end()) return found->second;
    const int node = objects_.add_user_object("_generic_user_object");
    folders_.emplace(folder, node);
    add(folder, node);
    return node;
  }

  Objects& objects_;
  std::map<std::string, int> folders_;
};

int add_variable(const ServedVariable& variable, Objects& objects) {
  const int node = objects.add();
  tf::SavedVariable& saved = *objects.saved(node).mutable_variable();
  saved.set_dtype(tensorflow_type(variable.type.dtype));
  set_tensorflow_shape(variable.type.shape, saved.mutable_shape());
  saved.set_trainable(variable.is_trainable);
  saved.set_name(variable.name);
  auto& attribute = *objects.tracked(node).add_attributes();
  attribute.set_name("VARIABLE_VALUE");
  attribute.set_full_name(variable.name);
  attribute.set_checkpoint_key(variable.checkpoint_key);
  return node;
}

// Whose "trace_0" is the function that a call runs.
int add_callable(const ServingGraph& served, Objects& objects) {
  const int node = objects.add(), trace = objects.add();
  tf::SavedFunction& function = *objects.saved(node).mutable_function();
  function.add_concrete_functions(served.call_function);
  set_argument_names({"inputs"}, {}, *function.mutable_function_spec());
  objects.add_child(node, "trace_0", trace);
  tf::SavedBareConcreteFunction& bare = *objects.saved(trace).mutable_bare_concrete_function();
  bare.set_concrete_function_name(served.call_function);
  for (const ServedValue& input : served.inputs) bare.add_argument_keywords(input.key);
  bare.set_allowed_positional_arguments(static_cast<int64_t>(served.inputs.size()));
  set_argument_names({"inputs"}, {}, *bare.mutable_function_spec());
  return node;
}

int add_signature(const ServingGraph& served, Objects& objects) {
  const int node = objects.add();
  tf::SavedBareConcreteFunction& bare = *objects.saved(node).mutable_bare_concrete_function();
  bare.set_concrete_function_name(served.signature_function);
  std::vector<std::string> keys;
  for (const size_t i : sorted_by_key(served.inputs)) keys.push_back(served.inputs[i].key);
  for (const std::string& key : keys) bare.add_argument_keywords(key);
  // One input may also be given without its name.
  bare.set_allowed_positional_arguments(keys.size() == 1 ? 1 : 0);
  set_argument_names({}, keys, *bare.mutable_function_spec());
  return node;
}

// What the functions take and give; a list where the model has several inputs or outputs.
void add_concrete_functions(const ServingGraph& served, const std::vector<int>& variables,
                            tf::SavedObjectGraph& objects) {
  const auto set_all = [](const std::vector<ServedValue>& values, StructuredValue& to) {
    if (values.size() == 1) return set_specification(values[0], to);
    for (const ServedValue& value : values) {
      set_specification(value, *to.mutable_list_value()->add_values());
    }
  };
  auto& functions = *objects.mutable_concrete_functions();
  tf::SavedConcreteFunction& call = functions[served.call_function];
  Arguments of_call(*call.mutable_canonicalized_input_signature());
  set_all(served.inputs, *of_call.by_position.add_values());
  set_all(served.outputs, *call.mutable_output_signature());

  tf::SavedConcreteFunction& signature = functions[served.signature_function];
  Arguments of_signature(*signature.mutable_canonicalized_input_signature());
  for (const ServedValue& input : served.inputs) {
    set_specification(input, (*of_signature.by_name.mutable_fields())[input.key]);
  }
  auto& outputs = *signature.mutable_output_signature()->mutable_dict_value()->mutable_fields();
  for (const ServedValue& output : served.outputs) set_specification(output, outputs[output.key]);

  for (tf::SavedConcreteFunction* function : {&call, &signature}) {
    function->mutable_bound_inputs()->Assign(variables.begin(), variables.end());
  }
}

}  // namespace

void write_object_graphs(const ServingGraph& served, tf::SavedObjectGraph& saved,
                         tf::TrackableObjectGraph& checkpoint) {
  Objects objects(saved, checkpoint);
  const int root = objects.add_user_object("_generic_user_object");
  const auto add_list = [&](const char* name) {
    const int node = objects.add_user_object("trackable_list_wrapper");
    objects.add_child(root, name, node);
    return std::pair(node, 0);
  };
  const auto add_to = [&](std::pair<int, int>& list, int node) {
    objects.add_child(list.first, std::to_string(list.second++), node);
  };
  const int layers = objects.add_user_object("_generic_user_object");
  objects.add_child(root, "layers", layers);
  auto all = add_list("variables"), trainable = add_list("trainable_variables"),
       other = add_list("non_trainable_variables");
  Tree tree(objects, layers);
  std::vector<int> variables;
  for (const ServedVariable& variable : served.variables) {
    const int node = add_variable(variable, objects);
    variables.push_back(node);
    tree.add(variable.name, node);
    add_to(all, node);
    add_to(variable.is_trainable ? trainable : other, node);
  }
  const int callable = add_callable(served, objects);
  objects.add_child(root, "serve", callable);
  objects.add_child(root, "__call__", callable);
  const int signatures = objects.add_user_object("signature_map");
  objects.add_child(root, "signatures", signatures);
  objects.add_child(signatures, "serving_default", add_signature(served, objects));
  add_concrete_functions(served, variables, saved);
}

}  // namespace trireme::formats
