#include "core/formats/translation/onnx_writer.h"

#include <algorithm>
#include <ranges>

#include "core/base/error.h"
#include "core/ops/ops.h"
#include "proto/onnx/onnx.pb.h"

namespace trireme::formats {
namespace {

void set_value(onnx::AttributeProto& proto, const OnnxAttribute& attribute) {
  proto.set_name(attribute.name);
  if (const auto* i = std::get_if<int64_t>(&attribute.value)) {
    proto.set_type(onnx::AttributeProto::INT);
    proto.set_i(*i);
  } else if (const auto* f = std::get_if<float>(&attribute.value)) {
    proto.set_type(onnx::AttributeProto::FLOAT);
    proto.set_f(*f);
  } else if (const auto* s = std::get_if<std::string>(&attribute.value)) {
    proto.set_type(onnx::AttributeProto::STRING);
    proto.set_s(*s);
  } else if (const auto* ints = std::get_if<std::vector<int64_t>>(&attribute.value)) {
    proto.set_type(onnx::AttributeProto::INTS);
    proto.mutable_ints()->Add(ints->begin(), ints->end());
  } else if (const auto* texts = std::get_if<std::vector<std::string>>(&attribute.value)) {
    proto.set_type(onnx::AttributeProto::STRINGS);
    for (const std::string& text : *texts) proto.add_strings(text);
  } else {
    proto.set_type(onnx::AttributeProto::GRAPH);
    *proto.mutable_g() = *std::get<const onnx::GraphProto*>(attribute.value);
  }
}

void fill_type(const TensorType& type, const std::string& name, onnx::ValueInfoProto& info) {
  info.set_name(name);
  auto* tensor = info.mutable_type()->mutable_tensor_type();
  tensor->set_elem_type(onnx_dtype(type.dtype));
  auto* shape = tensor->mutable_shape();
  for (int axis = 0; axis < type.shape.rank(); ++axis) {
    auto* dim = shape->add_dim();
    if (type.shape[axis] >= 0) {
      dim->set_dim_value(type.shape[axis]);
    } else if (axis == 0) {
      dim->set_dim_param("batch");
    } else {
      dim->set_dim_param(str_cat(name, "_", axis));
    }
  }
}

bool is_source(const Node& node) { return node.op().traits.source != Source::kNone; }

// What is only made where it is asked for: most users of it take a number instead.
bool is_lazy(const Node& node) { return node.op().name == "FillLike"; }

}  // namespace

int onnx_dtype(DType dtype) {
  switch (dtype) {
    case DType::kFloat16:
      return onnx::TensorProto::FLOAT16;
    case DType::kBFloat16:
      return onnx::TensorProto::BFLOAT16;
    case DType::kFloat32:
      return onnx::TensorProto::FLOAT;
    case DType::kFloat64:
      return onnx::TensorProto::DOUBLE;
    case DType::kInt32:
      return onnx::TensorProto::INT32;
    case DType::kInt64:
      return onnx::TensorProto::INT64;
    case DType::kUInt8:
      return onnx::TensorProto::UINT8;
    case DType::kBool:
      return onnx::TensorProto::BOOL;
    case DType::kString:
      return onnx::TensorProto::STRING;
  }
  return onnx::TensorProto::UNDEFINED;
}

void fill_onnx_tensor(const Tensor& tensor, onnx::TensorProto& proto) {
  proto.set_data_type(onnx_dtype(tensor.dtype()));
  for (int64_t size : tensor.shape()) proto.add_dims(size);
  proto.set_raw_data(tensor.raw(), tensor.bytes());
}

OnnxWriter::OnnxWriter(onnx::GraphProto& graph, const nn::StateMap& weights)
    : graph_(graph), weights_(weights) {}

void OnnxWriter::write(const std::vector<Value>& features, const std::vector<std::string>& inputs,
                       const std::vector<Value>& outputs,
                       const std::vector<std::string>& output_names, Untranslated& untranslated) {
  const std::vector<const Node*> nodes = needed_nodes(outputs);
  for (const Node* node : nodes) {
    for (const Value& input : node->inputs()) ++uses_[input];
  }
  // Names that others refer to are taken as they are; everything else makes room.
  for (const std::string& name : inputs) names_.insert(name);
  for (const std::string& name : output_names) names_.insert(name);
  for (const auto& [name, tensor] : weights_) names_.insert(name);
  for (size_t i = 0; i < features.size(); ++i) {
    fill_type(features[i].type(), inputs[i], *graph_.add_input());
    set(features[i], inputs[i]);
  }
  std::unordered_set<const Node*> failed;  // and what is made of those
  for (const Node* node : nodes) {
    const bool is_stuck = std::ranges::any_of(
        node->inputs(), [&](const Value& input) { return failed.contains(input.node); });
    if (is_stuck) failed.insert(node);
    if (is_stuck || is_lazy(*node)) continue;
    try {
      write_node(*node);
    } catch (const TranslationError& error) {
      untranslated.add(*node, error.what());
      failed.insert(node);
    }
  }
  if (!untranslated.empty()) return;
  give_outputs(outputs, output_names);
  remove_unused();
}

// Nodes whose outputs nobody takes: of what became one op, and of forms that were not needed.
void OnnxWriter::remove_unused() {
  std::unordered_set<std::string> used;
  for (const auto& output : graph_.output()) used.insert(output.name());
  std::vector<int> kept;
  for (int i = graph_.node_size() - 1; i >= 0; --i) {
    const onnx::NodeProto& node = graph_.node(i);
    if (std::ranges::none_of(node.output(),
                             [&](const auto& name) { return used.contains(name); })) {
      continue;
    }
    kept.push_back(i);
    used.insert(node.input().begin(), node.input().end());
    for (const auto& attribute : node.attribute()) {
      // The body of a loop sees values outside of it.
      for (const auto& inner : attribute.g().node()) {
        used.insert(inner.input().begin(), inner.input().end());
      }
    }
  }
  google::protobuf::RepeatedPtrField<onnx::NodeProto> nodes;
  for (int i : std::views::reverse(kept)) nodes.Add()->Swap(graph_.mutable_node(i));
  graph_.mutable_node()->Swap(&nodes);
}

void OnnxWriter::write_node(const Node& node) {
  scope_ = node.name();
  if (is_source(node)) return write_source(node);
  const OpTranslation* const row = translation_of(node.op().name);
  if (row == nullptr || !row->onnx.is_there()) {
    throw TranslationError(row == nullptr || row->without.empty() ? "ONNX has no such op"
                                                                  : std::string(row->without));
  }
  if (row->onnx.write != nullptr) return row->onnx.write(*this, node);
  elementwise(node, [&](const Names& names) { return add(row->onnx.name, names); });
}

void OnnxWriter::write_source(const Node& node) {
  const Value value = output_of(node);
  if (node.op().traits.source == Source::kConstant) {
    set(value, constant(node.attribute<Tensor>("value")));
  } else if (node.op().traits.source == Source::kFed && !forms_.contains(value)) {
    throw invalid_argument("ONNX: the model's predictions need \"", node.name(),
                           "\", which is none of its inputs");
  }
  // A variable becomes an initializer when somebody asks for it.
}

OnnxWriter::Forms& OnnxWriter::forms(Value value) {
  Forms& known = forms_[value];
  if (!known.last.empty() || !known.first.empty()) return known;
  if (const Tensor* tensor = weight_of(value)) {
    known.last = initializer(value.node->attribute<std::string>("name"), *tensor);
  } else if (is_lazy(*value.node)) {
    const std::string scope = std::exchange(scope_, value.node->name());
    translation_of(value.node->op().name)->onnx.write(*this, *value.node);
    scope_ = scope;
  }
  Forms& made = forms_[value];
  TRIREME_CHECK(!made.last.empty() || !made.first.empty(), value.node->name());
  return made;
}

std::string OnnxWriter::name(Value value) {
  const Forms known = forms(value);
  if (!known.last.empty()) return known.last;
  const std::string made = transpose(known.first, {0, 2, 3, 1});
  forms_[value].last = made;
  return made;
}

std::string OnnxWriter::channels_first(Value value) {
  const Forms known = forms(value);
  if (!known.first.empty()) return known.first;
  const std::string made = transpose(known.last, {0, 3, 1, 2});
  forms_[value].first = made;
  return made;
}

bool OnnxWriter::is_channels_first(Value value) const {
  const auto found = forms_.find(value);
  return found != forms_.end() && found->second.last.empty() && !found->second.first.empty();
}

void OnnxWriter::set(Value value, std::string name) { forms_[value].last = std::move(name); }

void OnnxWriter::set_channels_first(Value value, std::string name) {
  forms_[value].first = std::move(name);
}

std::string OnnxWriter::channels_first_operand(Value value) {
  const Shape& shape = value.shape();
  if (shape.rank() == 4) return channels_first(value);
  if (shape.rank() == 0 || (shape.rank() == 1 && shape[0] == 1)) return name(value);
  if (shape.rank() != 1) return "";
  std::string& operand = operands_[value];
  if (operand.empty()) operand = add("Unsqueeze", {name(value), ints({1, 2})});
  return operand;
}

void OnnxWriter::elementwise(const Node& node,
                             const std::function<std::string(const Names&)>& emit) {
  const Shape& output = node.output_type().shape;
  bool first = false, fits = output.rank() == 4;
  for (const Value& input : node.inputs()) {
    first = first || is_channels_first(input);
    fits = fits && (input.shape().rank() == 4 || input.shape().rank() <= 1);
  }
  first = first && fits;
  Names names;
  for (const Value& input : node.inputs()) {
    // A number does where the other inputs have the shape already.
    const bool is_number =
        is_lazy(*input.node) && std::ranges::any_of(node.inputs(), [&](const Value& other) {
          return !is_lazy(*other.node) && other.shape() == output;
        });
    names.push_back(is_number ? scalar(input.dtype(), input.node->attribute<double>("value"))
                    : first   ? channels_first_operand(input)
                              : name(input));
  }
  const std::string made = emit(names);
  if (first) {
    set_channels_first(output_of(node), made);
  } else {
    set(output_of(node), made);
  }
}

std::string OnnxWriter::unique(const std::string& wanted) {
  if (names_.insert(wanted).second) return wanted;
  for (;;) {
    const std::string name = str_cat(wanted, "_", ++suffixes_[wanted]);
    if (names_.insert(name).second) return name;
  }
}

Names OnnxWriter::add_all(std::string_view op, const Names& inputs, int outputs,
                          const std::vector<OnnxAttribute>& attributes) {
  onnx::NodeProto& node = *graph_.add_node();
  node.set_op_type(std::string(op));
  for (const std::string& input : inputs) node.add_input(input);
  while (node.input_size() > 0 && node.input(node.input_size() - 1).empty()) {
    node.mutable_input()->RemoveLast();  // inputs that are left out, at the end
  }
  Names names;
  for (int i = 0; i < outputs; ++i) {
    names.push_back(unique(str_cat(scope_, "/", op)));
    node.add_output(names.back());
    producers_[names.back()] = graph_.node_size() - 1;
  }
  node.set_name(names.at(0));
  for (const OnnxAttribute& attribute : attributes) set_value(*node.add_attribute(), attribute);
  return names;
}

std::string OnnxWriter::add(std::string_view op, const Names& inputs,
                            const std::vector<OnnxAttribute>& attributes) {
  return add_all(op, inputs, 1, attributes)[0];
}

onnx::NodeProto* OnnxWriter::producer(const std::string& name) {
  const auto found = producers_.find(name);
  return found == producers_.end() ? nullptr : graph_.mutable_node(found->second);
}

std::string OnnxWriter::initializer(const std::string& name, const Tensor& tensor) {
  onnx::TensorProto& proto = *graph_.add_initializer();
  proto.set_name(name);
  fill_onnx_tensor(tensor, proto);
  return name;
}

std::string OnnxWriter::constant(const Tensor& value) {
  std::string& known = constants_[{str_cat(value.type()), content_hash(value)}];
  if (!known.empty()) return known;
  onnx::NodeProto& node = *graph_.add_node();
  node.set_op_type("Constant");
  known = unique(scope_ + "/Constant");
  node.set_name(known);
  node.add_output(known);
  onnx::AttributeProto& attribute = *node.add_attribute();
  attribute.set_name("value");
  attribute.set_type(onnx::AttributeProto::TENSOR);
  fill_onnx_tensor(value, *attribute.mutable_t());
  return known;
}

std::string OnnxWriter::scalar(DType dtype, double value) {
  return constant(ops::scalar_tensor(dtype, value));
}

std::string OnnxWriter::ints(std::vector<int64_t> values) {
  const auto count = static_cast<int64_t>(values.size());
  return constant(Tensor::from<int64_t>({count}, values));
}

const Tensor* OnnxWriter::weight_of(Value value) const {
  if (value.node->op().traits.source != Source::kVariable) return nullptr;
  const std::string& name = value.node->attribute<std::string>("name");
  const auto found = weights_.find(name);
  if (found == weights_.end()) {
    throw invalid_argument("ONNX: there is no weight \"", name, "\" for the model's variable");
  }
  return &found->second;
}

std::string OnnxWriter::weight(Value value, std::string_view suffix,
                               const std::function<Tensor(const Tensor&)>& convert) {
  const std::string wanted = str_cat(value.node->attribute<std::string>("name"), ".", suffix);
  std::string& known = layouts_[wanted];  // two users of one layout share it
  if (known.empty()) known = initializer(unique(wanted), convert(*weight_of(value)));
  return known;
}

std::string OnnxWriter::shape_of(Value value) {
  const Shape& shape = value.shape();
  if (shape.is_known()) return ints({shape.begin(), shape.end()});
  return add("Shape", {name(value)});
}

int OnnxWriter::uses(Value value) const {
  const auto found = uses_.find(value);
  return found == uses_.end() ? 0 : found->second;
}

std::string OnnxWriter::transpose(const std::string& name, std::vector<int64_t> permutation) {
  return add("Transpose", {name}, {{"perm", std::move(permutation)}});
}

void OnnxWriter::give_outputs(const std::vector<Value>& outputs,
                              const std::vector<std::string>& names) {
  for (size_t i = 0; i < outputs.size(); ++i) {
    scope_ = names[i];
    const std::string made = name(outputs[i]);
    fill_type(outputs[i].type(), names[i], *graph_.add_output());
    onnx::NodeProto& node = *graph_.add_node();
    node.set_op_type("Identity");
    node.add_input(made);
    node.add_output(names[i]);
    node.set_name(unique(names[i] + "/Identity"));
  }
}

}  // namespace trireme::formats
