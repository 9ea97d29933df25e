// What the importer knows of a value of ONNX's graph.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/formats/translation/known_values.h"
#include "core/graph/graph.h"
#include "core/tensor/tensor.h"

namespace trireme::formats {

struct OnnxValue {
  enum class Kind : uint8_t {
    kAbsent,   // an input that is left out
    kMissing,  // what an op would give that there is not; what is made of it is missing as well
    kTensor,   // known now
    kNumbers,  // whole numbers, of which some depend on the size of the batch
    kGraph,    // a value of our graph
  };

  Kind kind = Kind::kAbsent;
  Tensor tensor;                     // kTensor
  std::vector<BatchNumber> numbers;  // kNumbers: a scalar or a vector
  bool is_scalar = false;            // kNumbers
  // kGraph: as ONNX has it, or with its channels, axis 1 of rank 4, last. One is made of the other
  // where it is asked for.
  Value value, channels_last;
  int64_t per_batch = 1;  // kGraph: the unknown dimension is this times the batch

  static OnnxValue missing();
  static OnnxValue of(Tensor tensor);
  static OnnxValue of(Value value, int64_t per_batch);
  static OnnxValue of_channels_last(Value value, int64_t per_batch);
  // kTensor, i64, where nothing depends on the batch.
  static OnnxValue of(std::vector<BatchNumber> numbers, bool is_scalar);

  bool is(Kind wanted) const { return kind == wanted; }
  bool is_there() const { return kind != Kind::kAbsent; }
  // As ONNX has it.
  TensorType type() const;
  // "a known i64[2]", "f32[?, 10]": for messages.
  std::string describe() const;
};

// The numbers of a known tensor of whole numbers, or of kNumbers; nothing where it is neither, or
// has more than one dimension or kMostNumbers.
std::optional<std::vector<BatchNumber>> numbers_of(const OnnxValue& value);
inline constexpr int64_t kMostNumbers = 1024;  // a shape has 8; lists of axes and sizes are short

std::vector<BatchNumber> dimensions_of(const OnnxValue& value);

}  // namespace trireme::formats
