#include "core/formats/saved_model/serving_graph.h"

#include <algorithm>
#include <cctype>
#include <numeric>
#include <set>

#include "core/formats/translation/tensorflow_writer.h"

namespace trireme::formats {
namespace {

// Readers take graphs of at least this; what is written here all of these have.
constexpr int kProducer = 1395, kMinConsumer = 12;

bool is_letter(char c) { return std::isalpha(static_cast<unsigned char>(c)) != 0; }
bool is_plain(char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_'; }

// A name that is new in `taken`.
std::string unique(std::string name, std::set<std::string>& taken) {
  const std::string wanted = name;
  for (int i = 1; !taken.insert(name).second; ++i) name = str_cat(wanted, "_", i);
  return name;
}

// As keyword of Python's and as part of a node's name.
std::string key_of(const std::string& name) {
  std::string key;
  for (const char c : name) key += is_plain(c) ? c : '_';
  if (key.empty() || !is_letter(key[0])) key.insert(0, "n");
  return key;
}

// As a node's name, which may have slashes.
std::string path_of(const std::string& name) {
  std::string path;
  for (const char c : name) path += is_plain(c) || (c == '/' && !path.empty()) ? c : '_';
  if (path.empty() || !is_letter(path[0])) path.insert(0, "n");
  return path;
}

// As argument of a function, which has small letters only.
std::string argument_of(const std::string& name) {
  std::string argument = key_of(name);
  std::ranges::transform(argument, argument.begin(),
                         [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return argument;
}

std::vector<ServedValue> served(const std::vector<std::string>& names,
                                const std::vector<Value>& values,
                                std::set<std::string>& arguments) {
  std::vector<ServedValue> result;
  std::set<std::string> keys;
  for (size_t i = 0; i < values.size(); ++i) {
    result.push_back({unique(key_of(names[i]), keys), unique(argument_of(names[i]), arguments),
                      values[i].type()});
  }
  return result;
}

tf::AttrValue list_of_types(const std::vector<ServedValue>& values,
                            const std::vector<size_t>& order) {
  tf::AttrValue list;
  list.mutable_list();
  for (const size_t i : order) {
    list.mutable_list()->add_type(tensorflow_type(values[i].type.dtype));
  }
  return list;
}

tf::AttrValue function_named(const std::string& name) {
  tf::AttrValue value;
  value.mutable_func()->set_name(name);
  return value;
}

// What readers of a function want to know of its arguments: shapes, and what variables hold.
void describe_arguments(const std::vector<ServedValue>& inputs,
                        const std::vector<ServedVariable>& variables, tf::FunctionDef& function) {
  uint32_t index = 0;
  const auto add_shape = [&](const Shape& shape) {
    auto& attributes = *(*function.mutable_arg_attr())[index].mutable_attr();
    set_tensorflow_shape(shape, attributes["_output_shapes"].mutable_list()->add_shape());
    return index++;
  };
  for (const ServedValue& input : inputs) add_shape(input.type.shape);
  for (const ServedVariable& variable : variables) {
    const uint32_t at = add_shape({});
    auto* data =
        function.mutable_signature()->mutable_input_arg(static_cast<int>(at))->add_handle_data();
    data->set_dtype(tensorflow_type(variable.type.dtype));
    set_tensorflow_shape(variable.type.shape, data->mutable_shape());
  }
}

tf::FunctionDef& function_of(tf::FunctionDefLibrary& library, const std::string& name) {
  for (tf::FunctionDef& function : *library.mutable_function()) {
    if (function.signature().name() == name) return function;
  }
  TRIREME_CHECK(false, "no function ", name);
}

std::string resource_argument(size_t i) { return str_cat("variable_", i); }

// The model: its inputs and variables to its outputs.
std::string write_call_function(const InferenceGraph& model, const ServingGraph& served,
                                tf::FunctionDefLibrary& library) {
  const std::string name = "__inference_serve";
  TensorflowWriter w(library, name);
  for (size_t i = 0; i < served.inputs.size(); ++i) {
    const ServedValue& input = served.inputs[i];
    w.set(model.features[i], w.add_argument(input.argument, tensorflow_type(input.type.dtype)));
  }
  for (size_t i = 0; i < served.variables.size(); ++i) {
    const TensorflowValue resource = w.add_argument(resource_argument(i), tf::DT_RESOURCE);
    const Value value = model.variables.all()[i].value;
    w.set(value, w.add("ReadVariableOp", {resource}, {{"dtype", tensorflow_type(value.dtype())}}));
  }
  Untranslated untranslated;
  w.write(model.outputs, untranslated);
  untranslated.throw_if_any("saved-model");
  for (size_t i = 0; i < served.outputs.size(); ++i) {
    // Each result is a node of its own, also where two are the same value.
    w.add_result(served.outputs[i].argument, w.add("Identity", {w.of(model.outputs[i])}));
  }
  describe_arguments(served.inputs, served.variables, function_of(library, name));
  return name;
}

// The same with arguments and results in the order of their keys.
std::string write_signature_function(const ServingGraph& served, tf::FunctionDefLibrary& library) {
  const std::string name = "__inference_signature_wrapper_serving_default";
  TensorflowWriter w(library, name);
  const std::vector<size_t> inputs = sorted_by_key(served.inputs),
                            outputs = sorted_by_key(served.outputs);
  TensorflowValues arguments(served.inputs.size());
  std::vector<ServedValue> sorted;
  for (const size_t i : inputs) {
    sorted.push_back(served.inputs[i]);
    arguments[i] =
        w.add_argument(sorted.back().argument, tensorflow_type(sorted.back().type.dtype));
  }
  for (size_t i = 0; i < served.variables.size(); ++i) {
    arguments.push_back(w.add_argument(resource_argument(i), tf::DT_RESOURCE));
  }
  std::vector<size_t> all(served.outputs.size());
  std::iota(all.begin(), all.end(), size_t{0});
  const TensorflowValues results = w.add_all(
      "StatefulPartitionedCall", arguments,
      {{"f", function_named(served.call_function)}, {"Tout", list_of_types(served.outputs, all)}});
  for (const size_t i : outputs) {
    w.add_result(served.outputs[i].argument, w.add("Identity", {results[i]}));
  }
  describe_arguments(sorted, served.variables, function_of(library, name));
  return name;
}

// The nodes outside of functions.
class TopLevel {
 public:
  explicit TopLevel(tf::GraphDef& graph) : graph_(graph) {}

  tf::NodeDef& add(const std::string& name, const std::string& op,
                   const std::vector<std::string>& inputs = {}) {
    tf::NodeDef& node = *graph_.add_node();
    node.set_name(unique(name, names_));
    node.set_op(op);
    for (const std::string& input : inputs) node.add_input(input);
    return node;
  }

  tf::NodeDef& add_placeholder(const std::string& name, const TensorType& type) {
    tf::NodeDef& node = add(name, "Placeholder");
    (*node.mutable_attr())["dtype"].set_type(tensorflow_type(type.dtype));
    set_tensorflow_shape(type.shape, (*node.mutable_attr())["shape"].mutable_shape());
    return node;
  }

  tf::NodeDef& add_constant(const std::string& name, const Tensor& tensor) {
    tf::NodeDef& node = add(name, "Const");
    (*node.mutable_attr())["dtype"].set_type(tensorflow_type(tensor.dtype()));
    *(*node.mutable_attr())["value"].mutable_tensor() = tensorflow_tensor(tensor);
    return node;
  }

 private:
  tf::GraphDef& graph_;
  std::set<std::string> names_;
};

// Saving and restoring of all variables, by their keys in the bundle. `handles`: their nodes.
void write_saver(const std::vector<ServedVariable>& variables,
                 const std::vector<std::string>& handles, TopLevel& top, tf::SaverDef& saver) {
  const std::string file = top.add_placeholder("saver_filename", {DType::kString, {}}).name();
  saver.set_filename_tensor_name(file + ":0");
  saver.set_max_to_keep(1);
  saver.set_keep_checkpoint_every_n_hours(10000);
  saver.set_version(tf::SaverDef::V2);
  if (variables.empty()) {
    saver.set_restore_op_name(top.add("restore_all", "NoOp").name());
    tf::NodeDef& identity = top.add("save/path", "Identity", {file});
    (*identity.mutable_attr())["T"].set_type(tf::DT_STRING);
    saver.set_save_tensor_name(identity.name() + ":0");
    return;
  }
  const Shape count{static_cast<int64_t>(variables.size())};
  std::vector<std::string> keys;
  tf::AttrValue types;
  for (const ServedVariable& variable : variables) {
    keys.push_back(variable.checkpoint_key);
    types.mutable_list()->add_type(tensorflow_type(variable.type.dtype));
  }
  const std::string names =
      top.add_constant("saver/tensor_names", Tensor::from<std::string>(count, keys)).name();
  const std::string slices = top.add_constant("saver/slices", Tensor(DType::kString, count)).name();

  tf::NodeDef& restored = top.add("restore/RestoreV2", "RestoreV2", {file, names, slices});
  (*restored.mutable_attr())["dtypes"] = types;
  const std::string restore = restored.name();
  tf::NodeDef& saved = top.add("save/SaveV2", "SaveV2", {file, names, slices});
  (*saved.mutable_attr())["dtypes"] = types;
  std::vector<std::string> assigned;
  for (size_t i = 0; i < variables.size(); ++i) {
    const tf::DataType type = tensorflow_type(variables[i].type.dtype);
    tf::NodeDef& assign = top.add("restore/Assign", "AssignVariableOp",
                                  {handles[i], i == 0 ? restore : str_cat(restore, ":", i)});
    (*assign.mutable_attr())["dtype"].set_type(type);
    assigned.push_back("^" + assign.name());
    tf::NodeDef& read = top.add("save/Read", "ReadVariableOp", {handles[i]});
    (*read.mutable_attr())["dtype"].set_type(type);
    saved.add_input(read.name());
  }
  saver.set_restore_op_name(top.add("restore_all", "NoOp", assigned).name());
  tf::NodeDef& identity = top.add("save/path", "Identity", {file, "^" + saved.name()});
  (*identity.mutable_attr())["T"].set_type(tf::DT_STRING);
  saver.set_save_tensor_name(identity.name() + ":0");
}

void set_tensor_info(const std::string& tensor, const TensorType& type, tf::TensorInfo& info) {
  info.set_name(tensor);
  info.set_dtype(tensorflow_type(type.dtype));
  set_tensorflow_shape(type.shape, info.mutable_tensor_shape());
}

// Placeholders, variables, and the call of the signature's function.
void write_top_level(const ServingGraph& served, tf::MetaGraphDef& meta_graph) {
  TopLevel top(*meta_graph.mutable_graph_def());
  tf::SignatureDef& signature = (*meta_graph.mutable_signature_def())["serving_default"];
  signature.set_method_name("tensorflow/serving/predict");
  std::vector<std::string> inputs, handles;
  tf::AttrValue types;
  for (const size_t i : sorted_by_key(served.inputs)) {
    const ServedValue& input = served.inputs[i];
    inputs.push_back(top.add_placeholder("serving_default_" + input.key, input.type).name());
    types.mutable_list()->add_type(tensorflow_type(input.type.dtype));
    set_tensor_info(inputs.back() + ":0", input.type, (*signature.mutable_inputs())[input.key]);
  }
  for (const ServedVariable& variable : served.variables) {
    // TensorFlow Lite looks for the node by the variable's name.
    tf::NodeDef& handle = top.add(path_of(variable.name), "VarHandleOp");
    (*handle.mutable_attr())["dtype"].set_type(tensorflow_type(variable.type.dtype));
    set_tensorflow_shape(variable.type.shape, (*handle.mutable_attr())["shape"].mutable_shape());
    (*handle.mutable_attr())["shared_name"].set_s(handle.name());
    (*handle.mutable_attr())["container"].set_s("");
    handles.push_back(handle.name());
    types.mutable_list()->add_type(tf::DT_RESOURCE);
  }
  std::vector<std::string> arguments = inputs;
  arguments.insert(arguments.end(), handles.begin(), handles.end());
  const std::vector<size_t> outputs = sorted_by_key(served.outputs);
  tf::NodeDef& call = top.add("StatefulPartitionedCall", "StatefulPartitionedCall", arguments);
  (*call.mutable_attr())["f"] = function_named(served.signature_function);
  (*call.mutable_attr())["Tin"] = types;
  (*call.mutable_attr())["Tout"] = list_of_types(served.outputs, outputs);
  for (size_t k = 0; k < outputs.size(); ++k) {
    const ServedValue& output = served.outputs[outputs[k]];
    set_tensor_info(str_cat(call.name(), ":", k), output.type,
                    (*signature.mutable_outputs())[output.key]);
  }
  write_saver(served.variables, handles, top, *meta_graph.mutable_saver_def());
}

}  // namespace

std::vector<size_t> sorted_by_key(const std::vector<ServedValue>& values) {
  std::vector<size_t> order(values.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::ranges::sort(order, {}, [&](size_t i) -> const std::string& { return values[i].key; });
  return order;
}

ServingGraph write_serving_graph(const InferenceGraph& model, tf::MetaGraphDef& meta_graph) {
  ServingGraph served_graph;
  std::set<std::string> arguments, results;
  for (size_t i = 0; i < model.variables.all().size(); ++i) arguments.insert(resource_argument(i));
  served_graph.inputs = served(model.input_names, model.features, arguments);
  served_graph.outputs = served(model.output_names, model.outputs, results);
  for (const nn::VariableSpec& spec : model.variables.all()) {
    std::string key = "layers/";
    for (const char c : spec.name) key += c == '.' ? std::string("..") : std::string(1, c);
    served_graph.variables.push_back({spec.name, spec.value.type(),
                                      spec.role == nn::VariableRole::kTrainable,
                                      key + "/.ATTRIBUTES/VARIABLE_VALUE"});
  }
  tf::GraphDef& graph = *meta_graph.mutable_graph_def();
  graph.mutable_versions()->set_producer(kProducer);
  graph.mutable_versions()->set_min_consumer(kMinConsumer);
  served_graph.call_function = write_call_function(model, served_graph, *graph.mutable_library());
  served_graph.signature_function =
      write_signature_function(served_graph, *graph.mutable_library());
  write_top_level(served_graph, meta_graph);
  return served_graph;
}

}  // namespace trireme::formats
