#include "core/graph/serialize.h"

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>

#include <bit>
#include <cstring>

#include "core/base/error.h"
#include "core/base/philox.h"
#include "core/base/suggest.h"
#include "core/graph/verify.h"
#include "proto/graph.pb.h"

namespace trireme {
namespace {

static_assert(std::endian::native == std::endian::little, "tensors are stored little-endian");

constexpr int kMaxNodes = 1 << 20;
constexpr size_t kMaxName = 1 << 12;
// Larger than any tensor that fits a machine; keeps products of dimensions and sums of sizes away
// from overflow.
constexpr int64_t kMaxElements = int64_t{1} << 40;

void write_shape(const Shape& shape, proto::ShapeProto& message) {
  for (int64_t size : shape) message.add_dims(size);
}

void write_tensor(const Tensor& tensor, proto::TensorProto& message) {
  message.set_dtype(std::string(name(tensor.dtype())));
  write_shape(tensor.shape(), *message.mutable_shape());
  if (tensor.dtype() == DType::kString) {
    for (const std::string& text : tensor.flat<std::string>()) message.add_strings(text);
  } else {
    message.set_data(tensor.raw(), tensor.bytes());
  }
}

void write_attribute(const AttributeValue& value, proto::AttributeProto& message) {
  struct Writer {
    proto::AttributeProto& message;
    void operator()(bool v) const { message.set_boolean(v); }
    void operator()(int64_t v) const { message.set_integer(v); }
    void operator()(double v) const { message.set_number(v); }
    void operator()(const std::string& v) const { message.set_text(v); }
    void operator()(DType v) const { message.set_dtype(std::string(name(v))); }
    void operator()(const Shape& v) const { write_shape(v, *message.mutable_shape()); }
    void operator()(const Ints& v) const {
      proto::IntsProto& list = *message.mutable_integers();
      for (int64_t x : v) list.add_values(x);
    }
    void operator()(const Tensor& v) const { write_tensor(v, *message.mutable_tensor()); }
  };
  std::visit(Writer{message}, value);
}

// Reads one graph; knows which node it is at, so that every error can say so.
class Reader {
 public:
  Reader(const proto::GraphProto& message, Graph& graph, std::string_view source)
      : message_(message), graph_(graph), source_(source) {}

  void read() {
    if (message_.version() != 1) {
      throw data_loss(source_, ": expected a graph of version 1, found version ",
                      message_.version());
    }
    if (message_.nodes_size() > kMaxNodes) {
      throw data_loss(source_, ": a graph has at most ", kMaxNodes, " nodes, found ",
                      message_.nodes_size());
    }
    for (at_ = 0; at_ < message_.nodes_size(); ++at_) read_node(message_.nodes(at_));
    // After all nodes, because a control input may be a later one.
    for (at_ = 0; at_ < message_.nodes_size(); ++at_) {
      Node& node = *graph_.nodes()[static_cast<size_t>(at_)];
      for (uint32_t control : message_.nodes(at_).control_inputs()) {
        require(control < static_cast<uint32_t>(graph_.size()), "control input ", control,
                " is no node");
        node.add_control_input(graph_.nodes()[control].get());
      }
    }
    try {
      verify(graph_);
    } catch (const Error& error) {
      throw data_loss(source_, ": ", error.what());
    }
  }

 private:
  template <typename... Parts>
  void require(bool condition, const Parts&... parts) const {
    if (condition) return;
    const proto::NodeProto& node = message_.nodes(at_);
    throw data_loss(source_, ": node ", at_, " (", node.op().substr(0, kMaxName), " '",
                    node.name().substr(0, kMaxName), "'): ", parts...);
  }

  void read_node(const proto::NodeProto& message) {
    require(!message.name().empty() && message.name().size() <= kMaxName,
            "expected a name of 1 to ", kMaxName, " bytes");
    require(graph_.find(message.name()) == nullptr, "its name is taken by an earlier node");
    require(graph_.ops()->find_or_null(message.op()) != nullptr, "there is no such op",
            did_you_mean(message.op(), graph_.ops()->names()));
    std::vector<Value> inputs;
    for (const proto::ValueProto& input : message.inputs()) {
      require(input.node() < static_cast<uint32_t>(at_), "input ", inputs.size(), " is node ",
              input.node(), ", expected an earlier one");
      Node& node = *graph_.nodes()[input.node()];
      require(input.output() < static_cast<uint32_t>(node.output_count()), "input ", inputs.size(),
              " is output ", input.output(), " of '", node.name(), "', which has ",
              node.output_count());
      inputs.push_back(node.output(static_cast<int>(input.output())));
    }
    Attributes attributes;
    for (const auto& [key, value] : message.attributes()) attributes.set(key, read(key, value));
    try {
      Node& node =
          graph_.add(message.op(), std::move(inputs), std::move(attributes), message.name());
      node.set_device(message.device());
      for (int i = 0; i < node.output_count(); ++i) check_size(node.output_type(i).shape, "output");
    } catch (const Error& error) {
      require(error.code() == ErrorCode::kDataLoss, error.what());
      throw;
    }
  }

  void check_size(const Shape& shape, std::string_view what) const {
    int64_t elements = 1;
    for (int64_t size : shape) {
      require(size >= -1 && size <= kMaxElements, what, " has a dimension of ", size);
      if (size > 1) require(elements <= kMaxElements / size, what, " has the size ", shape);
      if (size > 1) elements *= size;
    }
  }

  Shape read_shape(const proto::ShapeProto& message, const std::string& key) const {
    require(message.dims_size() <= Shape::kMaxRank, "'", key, "' has ", message.dims_size(),
            " dimensions, at most ", Shape::kMaxRank, " are possible");
    Shape shape;
    for (int64_t size : message.dims()) shape.push_back(size);
    check_size(shape, key);
    return shape;
  }

  DType read_dtype(const std::string& text, const std::string& key) const {
    const std::optional<DType> dtype = dtype_from_name(text);
    require(dtype.has_value(), "'", key, "' has the unknown dtype '", text.substr(0, 32), "'");
    return *dtype;
  }

  Tensor read_tensor(const proto::TensorProto& message, const std::string& key) const {
    const DType dtype = read_dtype(message.dtype(), key);
    const Shape shape = read_shape(message.shape(), key);
    require(shape.is_known(), "'", key, "' is a tensor of unknown size");
    const auto elements = static_cast<size_t>(shape.elements());
    const bool strings = dtype == DType::kString;
    const size_t expected = strings ? elements : elements * size_of(dtype);
    const size_t found =
        strings ? static_cast<size_t>(message.strings_size()) : message.data().size();
    // Compared before anything is allocated: the data is here already, so the tensor is no larger
    // than the message.
    require(found == expected, "'", key, "' is ", TensorType{dtype, shape}, " and needs ", expected,
            strings ? " strings" : " bytes", ", found ", found);
    Tensor tensor(dtype, shape);
    if (strings) {
      auto values = tensor.flat<std::string>();
      for (size_t i = 0; i < elements; ++i) values[i] = message.strings(static_cast<int>(i));
      return tensor;
    }
    if (dtype == DType::kBool) {
      // A bool with another bit pattern is undefined behaviour where it is read.
      for (char byte : message.data()) {
        require(byte == 0 || byte == 1, "'", key, "' holds a byte that is neither false nor true");
      }
    }
    if (expected > 0) std::memcpy(tensor.raw(), message.data().data(), expected);
    return tensor;
  }

  AttributeValue read(const std::string& key, const proto::AttributeProto& message) const {
    switch (message.value_case()) {
      case proto::AttributeProto::kBoolean:
        return message.boolean();
      case proto::AttributeProto::kInteger:
        return int64_t{message.integer()};
      case proto::AttributeProto::kNumber:
        return message.number();
      case proto::AttributeProto::kText:
        return message.text();
      case proto::AttributeProto::kDtype:
        return read_dtype(message.dtype(), key);
      case proto::AttributeProto::kShape:
        return read_shape(message.shape(), key);
      case proto::AttributeProto::kTensor:
        return read_tensor(message.tensor(), key);
      case proto::AttributeProto::kIntegers: {
        Ints values;
        for (int64_t x : message.integers().values()) {
          require(x >= -kMaxElements && x <= kMaxElements, "'", key, "' holds ", x);
          values.push_back(x);
        }
        return values;
      }
      case proto::AttributeProto::VALUE_NOT_SET:
        break;
    }
    require(false, "attribute '", key, "' has no value");
    return false;
  }

  const proto::GraphProto& message_;
  Graph& graph_;
  std::string_view source_;
  int at_ = 0;
};

template <typename T>
void append_number(T value, std::string& key) {
  key.append(reinterpret_cast<const char*>(&value), sizeof value);
}

void append_text(std::string_view text, std::string& key) {
  append_number<uint64_t>(text.size(), key);
  key.append(text);
}

struct KeyWriter {
  std::string& key;
  void operator()(bool v) const { key += v ? '\1' : '\0'; }
  void operator()(int64_t v) const { append_number(v, key); }
  void operator()(double v) const { append_number(v, key); }
  void operator()(const std::string& v) const { append_text(v, key); }
  void operator()(DType v) const { append_number(v, key); }
  void operator()(const Shape& v) const {
    append_number<int32_t>(v.rank(), key);
    for (int64_t size : v) append_number(size, key);
  }
  void operator()(const Ints& v) const {
    append_number<uint64_t>(v.size(), key);
    for (int64_t x : v) append_number(x, key);
  }
  void operator()(const Tensor& v) const {
    (*this)(v.dtype());
    (*this)(v.shape());
    if (v.dtype() == DType::kString) {
      for (const std::string& text : v.flat<std::string>()) append_text(text, key);
    } else {
      key.append(static_cast<const char*>(v.raw()), v.bytes());
    }
  }
};

}  // namespace

void append_key(const Attributes& attributes, std::string& key) {
  for (const auto& [name, value] : attributes) {
    append_text(name, key);
    key += static_cast<char>(value.index());
    std::visit(KeyWriter{key}, value);
  }
}

void to_proto(const Graph& graph, proto::GraphProto& message) {
  message.Clear();
  message.set_version(1);
  for (const auto& node : graph.nodes()) {
    proto::NodeProto& out = *message.add_nodes();
    out.set_name(node->name());
    out.set_op(node->op().name);
    out.set_device(node->device());
    for (const Value& input : node->inputs()) {
      proto::ValueProto& value = *out.add_inputs();
      value.set_node(static_cast<uint32_t>(input.node->id()));
      value.set_output(static_cast<uint32_t>(input.index));
    }
    for (const Node* control : node->control_inputs()) {
      out.add_control_inputs(static_cast<uint32_t>(control->id()));
    }
    for (const auto& [key, value] : node->attributes()) {
      write_attribute(value, (*out.mutable_attributes())[key]);
    }
  }
}

std::unique_ptr<Graph> from_proto(const proto::GraphProto& message,
                                  std::shared_ptr<const OpTable> ops, std::string_view source) {
  auto graph = std::make_unique<Graph>(std::move(ops));
  Reader(message, *graph, source).read();
  return graph;
}

std::string serialize(const Graph& graph) {
  proto::GraphProto message;
  to_proto(graph, message);
  std::string bytes;
  {
    google::protobuf::io::StringOutputStream stream(&bytes);
    google::protobuf::io::CodedOutputStream out(&stream);
    out.SetSerializationDeterministic(true);  // attributes are a map: sort them
    if (!message.SerializeToCodedStream(&out)) {
      throw Error(ErrorCode::kResourceExhausted,
                  "the graph does not fit a message of 2 GiB; keep large constants as variables");
    }
  }
  return bytes;
}

std::unique_ptr<Graph> parse_graph(std::string_view bytes, std::shared_ptr<const OpTable> ops,
                                   std::string_view source) {
  proto::GraphProto message;
  if (bytes.size() > INT32_MAX ||
      !message.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
    throw data_loss(source, ": expected a serialised graph, the ", bytes.size(),
                    " bytes are none; is the file complete?");
  }
  return from_proto(message, std::move(ops), source);
}

uint64_t graph_hash(const Graph& graph) {
  uint64_t hash = 0;
  for (const auto& node : graph.nodes()) {
    std::string key;
    append_number(hash, key);  // chained, so that the order counts
    append_text(node->name(), key);
    append_text(node->op().name, key);
    append_text(node->device(), key);
    for (const Value& input : node->inputs()) {
      append_number(input.node->id(), key);
      append_number(input.index, key);
    }
    append_text("after", key);
    for (const Node* control : node->control_inputs()) append_number(control->id(), key);
    append_text("with", key);
    append_key(node->attributes(), key);
    hash = hash_name(key);
  }
  return hash;
}

}  // namespace trireme
