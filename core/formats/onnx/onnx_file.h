// A file of ONNX: its messages, and its tensors as ours.
//
// Nothing that the file says is believed: sizes are compared with the bytes that there are before
// memory is allocated, and tensors that are kept in other files lie in the model's own folder.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>

#include "core/tensor/tensor.h"

namespace trireme::onnx {
class ModelProto;
class TensorProto;
}  // namespace trireme::onnx

namespace trireme::formats {

class OnnxFile {
 public:
  // Throws Error{kDataLoss} for what is no model of ONNX, and Error{kInvalidArgument} for one that
  // is too new.
  static std::shared_ptr<const OnnxFile> open(const std::string& path);
  ~OnnxFile();
  OnnxFile(const OnnxFile&) = delete;

  const std::string& path() const { return path_; }
  const onnx::ModelProto& model() const { return *model_; }
  // Of ONNX's own ops.
  int64_t opset() const { return opset_; }
  // The text that stands beside the model; empty: none.
  std::string text(const std::string& key) const;

  // Initializers by name.
  const std::map<std::string, const onnx::TensorProto*>& initializers() const {
    return initializers_;
  }
  // Its elements, read from another file where they are kept there. Throws Error{kDataLoss} for
  // sizes that do not fit, and Error{kInvalidArgument} for a type that we have not.
  Tensor tensor(const onnx::TensorProto& proto) const;

 private:
  explicit OnnxFile(std::string path);
  Tensor read_external(const onnx::TensorProto& proto, const TensorType& type) const;

  std::string path_;
  std::unique_ptr<onnx::ModelProto> model_;
  int64_t opset_ = 0;
  std::map<std::string, const onnx::TensorProto*> initializers_;
};

// Whether the file at `path` starts as a model of ONNX does, cheaply. Does not throw.
bool is_onnx(const std::string& path);

// ONNX's name of a type: "FLOAT"; its number when it is none.
std::string onnx_dtype_name(int dtype);
std::optional<DType> dtype_of_onnx(int dtype);

}  // namespace trireme::formats
