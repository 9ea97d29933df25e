#include "core/formats/onnx/onnx_file.h"

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl.h>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <filesystem>

#include "core/base/error.h"
#include "core/base/input_stream.h"
#include "core/io/input_file.h"
#include "proto/onnx/onnx.pb.h"

namespace trireme::formats {
namespace {

constexpr uint64_t kMostFile = (uint64_t{1} << 31) - 1;  // protobuf's own limit
constexpr int64_t kNewestOpset = 25;
constexpr int kDepth = 64;  // of messages within messages: attributes, graphs, functions

uint64_t parse_number(const std::string& text, const std::string& path, std::string_view what) {
  uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size()) {
    throw data_loss(path, ": expected a number as ", what, " of a tensor in another file, found ",
                    io::quote_name(text));
  }
  return number;
}

// One field of elements, which may hold a wider type.
template <typename T, typename Field>
bool copy_field(const Field& field, Tensor& tensor) {
  const auto elements = tensor.flat<T>();
  if (static_cast<size_t>(field.size()) != elements.size()) return false;
  for (int i = 0; i < field.size(); ++i)
    elements[static_cast<size_t>(i)] = static_cast<T>(field[i]);
  return true;
}

template <typename T>
bool copy_bits(const onnx::TensorProto& proto, Tensor& tensor) {
  const auto elements = tensor.flat<T>();
  if (static_cast<size_t>(proto.int32_data_size()) != elements.size()) return false;
  for (int i = 0; i < proto.int32_data_size(); ++i) {
    elements[static_cast<size_t>(i)].bits = static_cast<uint16_t>(proto.int32_data(i));
  }
  return true;
}

bool copy_elements(const onnx::TensorProto& proto, Tensor& tensor) {
  switch (tensor.dtype()) {
    case DType::kFloat32:
      return copy_field<float>(proto.float_data(), tensor);
    case DType::kFloat64:
      return copy_field<double>(proto.double_data(), tensor);
    case DType::kInt64:
      return copy_field<int64_t>(proto.int64_data(), tensor);
    case DType::kInt32:
      return copy_field<int32_t>(proto.int32_data(), tensor);
    case DType::kUInt8:
      return copy_field<uint8_t>(proto.int32_data(), tensor);
    case DType::kBool:
      return copy_field<bool>(proto.int32_data(), tensor);
    case DType::kString:
      return copy_field<std::string>(proto.string_data(), tensor);
    case DType::kFloat16:
      return copy_bits<Half>(proto, tensor);
    case DType::kBFloat16:
      return copy_bits<BFloat16>(proto, tensor);
  }
  return false;
}

// Bytes of a file as truth values: 0 and 1 only.
void make_bools(Tensor& tensor) {
  if (tensor.dtype() != DType::kBool) return;
  auto* const flags = static_cast<uint8_t*>(tensor.raw());
  for (size_t i = 0; i < tensor.bytes(); ++i) flags[i] = flags[i] != 0 ? 1 : 0;
}

// Bytes of elements that the message itself has, at least.
uint64_t bytes_there(const onnx::TensorProto& proto) {
  return proto.raw_data().size() + 4 * static_cast<uint64_t>(proto.float_data_size()) +
         8 * static_cast<uint64_t>(proto.double_data_size() + proto.int64_data_size()) +
         4 * static_cast<uint64_t>(proto.int32_data_size()) +
         sizeof(std::string) * static_cast<uint64_t>(proto.string_data_size());
}

}  // namespace

std::optional<DType> dtype_of_onnx(int dtype) {
  switch (dtype) {
    case onnx::TensorProto::FLOAT:
      return DType::kFloat32;
    case onnx::TensorProto::DOUBLE:
      return DType::kFloat64;
    case onnx::TensorProto::FLOAT16:
      return DType::kFloat16;
    case onnx::TensorProto::BFLOAT16:
      return DType::kBFloat16;
    case onnx::TensorProto::INT32:
      return DType::kInt32;
    case onnx::TensorProto::INT64:
      return DType::kInt64;
    case onnx::TensorProto::UINT8:
      return DType::kUInt8;
    case onnx::TensorProto::BOOL:
      return DType::kBool;
    case onnx::TensorProto::STRING:
      return DType::kString;
    default:
      return {};
  }
}

std::string onnx_dtype_name(int dtype) {
  if (onnx::TensorProto::DataType_IsValid(dtype)) {
    return onnx::TensorProto::DataType_Name(static_cast<onnx::TensorProto::DataType>(dtype));
  }
  return str_cat("number ", dtype);
}

OnnxFile::~OnnxFile() = default;

OnnxFile::OnnxFile(std::string path)
    : path_(std::move(path)), model_(std::make_unique<onnx::ModelProto>()) {}

std::shared_ptr<const OnnxFile> OnnxFile::open(const std::string& path) {
  const io::InputFile input(path);
  if (input.size() > kMostFile) {
    throw data_loss(path, ": expected a model of ONNX of at most ", kMostFile,
                    " bytes, the file has ", input.size());
  }
  std::shared_ptr<OnnxFile> file(new OnnxFile(path));
  {
    google::protobuf::io::FileInputStream bytes(open_input(path, /*pipes=*/false));
    bytes.SetCloseOnDelete(true);
    google::protobuf::io::CodedInputStream coded(&bytes);
    coded.SetRecursionLimit(kDepth);
    if (!file->model_->ParseFromCodedStream(&coded) || !coded.ConsumedEntireMessage()) {
      throw data_loss(path, ": expected a model of ONNX, found bytes that are none");
    }
  }
  const onnx::ModelProto& model = *file->model_;
  if (!model.has_graph() || model.opset_import_size() == 0) {
    throw data_loss(path, ": expected a model of ONNX, found no ",
                    model.has_graph() ? "set of ops (opset_import)" : "graph");
  }
  for (const auto& set : model.opset_import()) {
    if (set.domain().empty() || set.domain() == "ai.onnx") file->opset_ = set.version();
  }
  if (file->opset_ < 7 || file->opset_ > kNewestOpset) {
    throw invalid_argument(path, ": expected ONNX's ops of version 7 to ", kNewestOpset,
                           ", found version ", file->opset_,
                           "; export or convert the model with one of these");
  }
  for (const onnx::TensorProto& tensor : model.graph().initializer()) {
    if (!file->initializers_.emplace(tensor.name(), &tensor).second) {
      throw data_loss(path, ": the initializer ", io::quote_name(tensor.name()), " is there twice");
    }
  }
  return file;
}

std::string OnnxFile::text(const std::string& key) const {
  for (const auto& entry : model_->metadata_props()) {
    if (entry.key() == key) return entry.value();
  }
  return "";
}

Tensor OnnxFile::tensor(const onnx::TensorProto& proto) const {
  const std::string what = "tensor " + io::quote_name(proto.name());
  const std::optional<DType> dtype = dtype_of_onnx(proto.data_type());
  if (!dtype) {
    throw invalid_argument(path_, ": ", what, " is of the type ",
                           onnx_dtype_name(proto.data_type()),
                           ", which Trireme's tensors do not have");
  }
  if (proto.dims_size() > Shape::kMaxRank) {
    throw invalid_argument(path_, ": ", what, ": expected at most ", Shape::kMaxRank,
                           " dimensions, found ", proto.dims_size());
  }
  Shape shape;
  uint64_t bytes = size_of(*dtype);
  bool fits = true;
  for (int64_t size : proto.dims()) {
    fits = fits && size >= 0 && !__builtin_mul_overflow(bytes, static_cast<uint64_t>(size), &bytes);
    shape.push_back(size);
  }
  const bool is_external = proto.data_location() == onnx::TensorProto::EXTERNAL;
  // 16-bit and 8-bit elements that stand in wider fields have at least their own bytes.
  if (!fits || (!is_external && bytes > bytes_there(proto))) {
    throw data_loss(path_, ": ", what, ": expected the elements of ", shape, ", found ",
                    bytes_there(proto), " bytes");
  }
  if (is_external && *dtype == DType::kString) {
    throw data_loss(path_, ": ", what, " is of texts, which cannot be in another file");
  }
  if (is_external) {
    return read_external(proto, {*dtype, shape});
  }
  Tensor tensor(*dtype, shape);
  if (proto.has_raw_data() && *dtype != DType::kString) {
    if (proto.raw_data().size() != tensor.bytes()) {
      throw data_loss(path_, ": ", what, ": expected ", tensor.bytes(), " bytes of ", tensor.type(),
                      ", found ", proto.raw_data().size());
    }
    std::memcpy(tensor.raw(), proto.raw_data().data(), tensor.bytes());
    make_bools(tensor);
  } else if (!copy_elements(proto, tensor)) {
    throw data_loss(path_, ": ", what, ": expected ", tensor.elements(), " elements of ",
                    tensor.type(), ", found another number");
  }
  return tensor;
}

Tensor OnnxFile::read_external(const onnx::TensorProto& proto, const TensorType& type) const {
  std::string location;
  uint64_t offset = 0;
  std::optional<uint64_t> length;
  for (const auto& entry : proto.external_data()) {
    if (entry.key() == "location") location = entry.value();
    if (entry.key() == "offset") offset = parse_number(entry.value(), path_, "the offset");
    if (entry.key() == "length") length = parse_number(entry.value(), path_, "the length");
  }
  namespace fs = std::filesystem;
  const fs::path relative(location);
  const fs::path folder = fs::path(path_).parent_path();
  std::error_code ignored;
  const bool leaves =
      location.empty() || location.find('\0') != std::string::npos || relative.is_absolute() ||
      std::ranges::any_of(relative, [](const fs::path& part) { return part == ".."; }) ||
      fs::is_symlink(folder / relative, ignored);
  if (leaves) {
    throw invalid_argument(path_, ": tensor ", io::quote_name(proto.name()),
                           ": expected its data in a file of the model's own folder, found ",
                           io::quote_name(location));
  }
  const uint64_t bytes = type.bytes();
  const io::InputFile data((folder / relative).string());
  if (length.value_or(bytes) != bytes || offset > data.size() || bytes > data.size() - offset) {
    throw data_loss(data.path(), ": expected ", bytes, " bytes of tensor ",
                    io::quote_name(proto.name()), " from byte ", offset, ", found ",
                    length.value_or(bytes) != bytes ? *length : data.size(),
                    length.value_or(bytes) != bytes ? " as their length" : " bytes in the file");
  }
  Tensor tensor(type.dtype, type.shape);
  data.read(offset, tensor.raw(), tensor.bytes());
  make_bools(tensor);
  return tensor;
}

// A message of protobuf has no mark of its own. A model of ONNX starts with its version, a small
// number in field 1, and goes on with a field that it has.
bool is_onnx(const std::string& path) {
  try {
    const io::InputFile file(path);
    uint8_t head[3] = {};
    if (file.size() < 8) return false;
    file.read(0, head, sizeof(head));
    constexpr uint8_t kNext[] = {0x12, 0x1a, 0x22, 0x28, 0x32, 0x3a, 0x42, 0x72};  // fields 2 …
    return head[0] == 0x08 && head[1] >= 3 && head[1] < 0x40 &&
           std::ranges::count(kNext, head[2]) > 0;
  } catch (const Error&) {
    return false;
  }
}

}  // namespace trireme::formats
