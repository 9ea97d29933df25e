#include "core/formats/translation/tensorflow_writer.h"

#include <algorithm>
#include <cctype>

#include "core/formats/translation/tensorflow_ops.h"
#include "core/io/bundle_format.h"
#include "core/ops/ops.h"

namespace trireme::formats {
namespace {

void set_attribute(const TensorflowAttribute& value, tf::AttrValue* to) {
  struct Set {
    tf::AttrValue* to;
    void operator()(bool v) const { to->set_b(v); }
    void operator()(int64_t v) const { to->set_i(v); }
    void operator()(float v) const { to->set_f(v); }
    void operator()(const std::string& v) const { to->set_s(v); }
    void operator()(tf::DataType v) const { to->set_type(v); }
    void operator()(const std::vector<int64_t>& v) const {
      to->mutable_list()->mutable_i()->Assign(v.begin(), v.end());
    }
    void operator()(const Shape& v) const { set_tensorflow_shape(v, to->mutable_shape()); }
    void operator()(const tf::TensorProto& v) const { *to->mutable_tensor() = v; }
    void operator()(const tf::AttrValue& v) const { *to = v; }
  };
  std::visit(Set{to}, value);
}

std::vector<std::string_view> words_of(std::string_view text) {
  std::vector<std::string_view> words;
  while (!text.empty()) {
    const size_t end = std::min(text.find(' '), text.size());
    if (end > 0) words.push_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return words;
}

// A name that TensorFlow takes for a node.
std::string node_name(const std::string& wanted) {
  std::string name;
  for (const char c : wanted) {
    const bool fits = std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_' || c == '.' ||
                      (!name.empty() && (c == '/' || c == '-'));
    name += fits ? c : '_';
  }
  if (name.empty() || name[0] == '_') name.insert(0, "n");
  return name;
}

tf::DataType fixed_type(std::string_view word) {
  tf::DataType type = tf::DT_INVALID;
  TRIREME_CHECK(tf::DataType_Parse(std::string(word), &type), "a type named ", word);
  return type;
}

bool is_fixed(std::string_view word) { return word.starts_with("DT_"); }

// The attributes of a node that follow from what it is given: types, and numbers of values.
void set_types(const TensorflowOp& op, const TensorflowValues& inputs, tf::NodeDef& node) {
  const std::vector<std::string_view> words = words_of(op.inputs);
  size_t next = 0;
  for (size_t i = 0; i < words.size(); ++i) {
    std::string_view word = words[i];
    const size_t star = word.find('*');
    const bool is_list = star != std::string_view::npos || word.starts_with('[');
    const size_t count = is_list ? inputs.size() - next - (words.size() - i - 1) : 1;
    TRIREME_CHECK(next + count <= inputs.size(), op.name, ": ", inputs.size(), " inputs");
    if (word.starts_with('[')) {
      auto* list =
          (*node.mutable_attr())[std::string(word.substr(1, word.size() - 2))].mutable_list();
      for (size_t k = 0; k < count; ++k) list->add_type(inputs[next + k].type);
    } else {
      if (is_list) {
        (*node.mutable_attr())[std::string(word.substr(0, star))].set_i(
            static_cast<int64_t>(count));
        word.remove_prefix(star + 1);
      }
      for (size_t k = 0; k < count; ++k) {
        const tf::DataType found = inputs[next + k].type;
        tf::DataType expected = found;
        if (is_fixed(word)) {
          expected = fixed_type(word);
        } else if (const auto set = node.attr().find(std::string(word)); set != node.attr().end()) {
          expected = set->second.type();
        } else {
          (*node.mutable_attr())[std::string(word)].set_type(found);
        }
        TRIREME_CHECK(expected == found, op.name, " \"", node.name(), "\": input ", next + k,
                      " is ", tf::DataType_Name(found), ", not ", tf::DataType_Name(expected));
      }
    }
    next += count;
  }
  TRIREME_CHECK(next == inputs.size(), op.name, ": ", inputs.size(), " inputs");
}

TensorflowValues outputs_of(const TensorflowOp& op, const tf::NodeDef& node) {
  TensorflowValues outputs;
  const auto attribute = [&](std::string_view name) -> const tf::AttrValue& {
    const auto found = node.attr().find(std::string(name));
    TRIREME_CHECK(found != node.attr().end(), op.name, " without ", name);
    return found->second;
  };
  for (std::string_view word : words_of(op.outputs)) {
    const size_t equals = word.find('=');
    const std::string_view name = word.substr(0, equals);
    std::string_view type = word.substr(equals + 1);
    const auto add = [&](int64_t index, tf::DataType of) {
      outputs.push_back({str_cat(node.name(), ":", name, ":", index), of});
    };
    if (type.starts_with('[')) {
      const auto& list = attribute(type.substr(1, type.size() - 2)).list();
      for (int i = 0; i < list.type_size(); ++i) add(i, list.type(i));
      continue;
    }
    int64_t count = 1;
    if (const size_t star = type.find('*'); star != std::string_view::npos) {
      count = attribute(type.substr(0, star)).i();
      type.remove_prefix(star + 1);
    }
    const tf::DataType of = is_fixed(type) ? fixed_type(type) : attribute(type).type();
    for (int64_t i = 0; i < count; ++i) add(i, of);
  }
  return outputs;
}

}  // namespace

tf::DataType tensorflow_type(DType dtype) { return static_cast<tf::DataType>(io::tf_dtype(dtype)); }

void set_tensorflow_shape(const Shape& shape, tf::TensorShapeProto* proto) {
  for (const int64_t size : shape) proto->add_dim()->set_size(size);
}

tf::TensorProto tensorflow_tensor(const Tensor& tensor) {
  tf::TensorProto proto;
  proto.set_dtype(tensorflow_type(tensor.dtype()));
  set_tensorflow_shape(tensor.shape(), proto.mutable_tensor_shape());
  if (tensor.dtype() == DType::kString) {
    for (const std::string& text : tensor.flat<std::string>()) proto.add_string_val(text);
  } else {
    proto.set_tensor_content(tensor.raw(), tensor.bytes());
  }
  return proto;
}

TensorflowWriter::TensorflowWriter(tf::FunctionDefLibrary& library, const std::string& name)
    : library_(library), function_(*library.add_function()) {
  function_.mutable_signature()->set_name(name);
}

TensorflowValue TensorflowWriter::add_argument(const std::string& name, tf::DataType type) {
  TRIREME_CHECK(names_.insert(name).second, "two arguments named ", name);
  auto* argument = function_.mutable_signature()->add_input_arg();
  argument->set_name(name);
  argument->set_type(type);
  return {name, type};
}

void TensorflowWriter::add_result(const std::string& name, const TensorflowValue& value) {
  auto* result = function_.mutable_signature()->add_output_arg();
  result->set_name(name);
  result->set_type(value.type);
  (*function_.mutable_ret())[name] = value.name;
}

std::string TensorflowWriter::add_function(const std::string& name,
                                           const std::function<void(TensorflowWriter&)>& body) {
  const std::string unique = str_cat("__inference_", name, "_", library_.function_size());
  TensorflowWriter writer(library_, unique);
  body(writer);
  return unique;
}

std::string TensorflowWriter::unique_name(const std::string& wanted) {
  std::string name = node_name(wanted);
  if (names_.insert(name).second) return name;
  int& suffix = suffixes_[name];
  std::string numbered;
  do {
    numbered = str_cat(name, "_", ++suffix);
  } while (!names_.insert(numbered).second);
  return numbered;
}

TensorflowValues TensorflowWriter::add_all(std::string_view op, const TensorflowValues& inputs,
                                           TensorflowAttributes attributes) {
  const TensorflowOp* known = find_tensorflow_op(op);
  TRIREME_CHECK(known != nullptr, "TensorFlow's ", op);
  tf::NodeDef& node = *function_.add_node_def();
  node.set_name(unique_name(node_name_.empty() ? std::string(op) : str_cat(node_name_, "/", op)));
  node.set_op(std::string(op));
  for (const auto& [name, value] : attributes) {
    set_attribute(value, &(*node.mutable_attr())[name]);
  }
  for (const TensorflowValue& input : inputs) node.add_input(input.name);
  set_types(*known, inputs, node);
  return outputs_of(*known, node);
}

TensorflowValue TensorflowWriter::add(std::string_view op, const TensorflowValues& inputs,
                                      TensorflowAttributes attributes) {
  TensorflowValues outputs = add_all(op, inputs, std::move(attributes));
  TRIREME_CHECK(outputs.size() == 1, op, " has ", outputs.size(), " outputs");
  return outputs[0];
}

TensorflowValue TensorflowWriter::constant(const Tensor& tensor) {
  tf::TensorProto proto = tensorflow_tensor(tensor);
  const tf::DataType type = proto.dtype();
  const auto make = [&] {
    return add("Const", {}, {{"value", std::move(proto)}, {"dtype", type}});
  };
  constexpr size_t kMostKept = 1024;  // bytes of what is looked up
  if (proto.ByteSizeLong() > kMostKept) return make();
  const std::string key = proto.SerializeAsString();
  if (const auto found = constants_.find(key); found != constants_.end()) return found->second;
  return constants_.emplace(key, make()).first->second;
}

TensorflowValue TensorflowWriter::scalar(tf::DataType type, double value) {
  const auto dtype = io::dtype_from_tf(type);
  TRIREME_CHECK(dtype.has_value(), "a scalar of ", tf::DataType_Name(type));
  return constant(ops::scalar_tensor(*dtype, value));
}

TensorflowValue TensorflowWriter::number(int64_t value) {
  return constant(Tensor::scalar(static_cast<int32_t>(value)));
}

TensorflowValue TensorflowWriter::numbers(const std::vector<int64_t>& values) {
  const std::vector<int32_t> narrow(values.begin(), values.end());
  if (!std::ranges::equal(narrow, values)) {
    return constant(Tensor::from<int64_t>({static_cast<int64_t>(values.size())}, values));
  }
  return constant(Tensor::from<int32_t>({static_cast<int64_t>(values.size())}, narrow));
}

TensorflowValue TensorflowWriter::shape_of(Value value) {
  const Shape& shape = value.shape();
  if (shape.is_known()) return numbers({shape.begin(), shape.end()});
  return add("Shape", {of(value)}, {{"out_type", tf::DT_INT32}});
}

TensorflowValue TensorflowWriter::sizes(const Shape& shape, Value like) {
  if (shape.is_known()) return numbers({shape.begin(), shape.end()});
  const TensorflowValue found = shape_of(like);
  TensorflowValues parts;
  for (int i = 0; i < shape.rank(); ++i) {
    parts.push_back(shape[i] >= 0 ? numbers({shape[i]}) : slice(found, {i}, {1}));
  }
  if (parts.size() == 1) return parts[0];
  parts.push_back(number(0));
  return add("ConcatV2", parts);
}

TensorflowValue TensorflowWriter::filled(Value like, double number) {
  const tf::DataType type = tensorflow_type(like.dtype());
  if (like.shape().rank() == 0) return scalar(type, number);
  return add("Fill", {shape_of(like), scalar(type, number)});
}

TensorflowValue TensorflowWriter::cast(const TensorflowValue& x, tf::DataType type) {
  if (x.type == type) return x;
  return add("Cast", {x}, {{"DstT", type}, {"Truncate", false}});
}

TensorflowValue TensorflowWriter::reshape(const TensorflowValue& x,
                                          const std::vector<int64_t>& shape) {
  return add("Reshape", {x, numbers(shape)});
}

TensorflowValue TensorflowWriter::transpose(const TensorflowValue& x,
                                            const std::vector<int64_t>& permutation) {
  return add("Transpose", {x, numbers(permutation)});
}

TensorflowValue TensorflowWriter::slice(const TensorflowValue& x, const std::vector<int64_t>& begin,
                                        const std::vector<int64_t>& size) {
  return add("Slice", {x, numbers(begin), numbers(size)});
}

const TensorflowValue& TensorflowWriter::of(Value value) const {
  const auto found = values_.find(value);
  if (found == values_.end()) {
    throw TranslationError(
        str_cat("output ", value.index, " of ", value.node->op().name, " is for trainings only"));
  }
  return found->second;
}

void TensorflowWriter::write_node(const Node& node) {
  node_name_ = node.name();
  if (node.op().traits.source == Source::kConstant) {
    set(node, constant(node.attribute<Tensor>("value")));
    return;
  }
  const OpTranslation* row = translation_of(node.op().name);
  if (row == nullptr) throw TranslationError("there is no translation");
  if (!row->without.empty()) throw TranslationError(std::string(row->without));
  const auto& cell = row->tensorflow;
  if (!cell.is_there()) throw TranslationError("TensorFlow has no such op");
  if (cell.write != nullptr) return cell.write(*this, node);
  TensorflowValues inputs;
  for (const Value& input : node.inputs()) inputs.push_back(of(input));
  set(node, add(cell.name, inputs));
}

void TensorflowWriter::write(std::span<const Value> outputs, Untranslated& untranslated) {
  for (const Node* node : needed_nodes(outputs)) {
    if (values_.contains({const_cast<Node*>(node), 0})) continue;
    try {
      write_node(*node);
    } catch (const TranslationError& error) {
      untranslated.add(*node, error.what());
      // So that what comes after it is looked at, too.
      for (int i = 0; i < node->output_count(); ++i) {
        set(*node, i, {"untranslated", tensorflow_type(node->output_type(i).dtype)});
      }
    }
  }
  node_name_.clear();
}

}  // namespace trireme::formats
