// What the importer knows of a value of TensorFlow's graph.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/formats/translation/known_values.h"
#include "core/graph/graph.h"
#include "core/tensor/tensor.h"

namespace trireme::formats {

struct ImportValue;
using ImportValues = std::vector<ImportValue>;

struct ImportValue {
  enum class Kind : uint8_t {
    kMissing,   // what an op would give that there is not; what is made of it is missing as well
    kDead,      // of the side of a Switch that is not taken
    kTensor,    // known now
    kNumbers,   // whole numbers, of which some depend on the size of the batch
    kGraph,     // a value of our graph
    kVariable,  // the handle of a variable
    kList,      // a TensorList
  };

  Kind kind = Kind::kMissing;
  Tensor tensor;                     // kTensor
  std::vector<BatchNumber> numbers;  // kNumbers: a scalar or a vector
  bool is_scalar = false;            // kNumbers
  DType dtype = DType::kInt32;       // kNumbers; of the elements of a kList
  Value value;                       // kGraph
  int64_t per_batch = 1;             // kGraph: the unknown dimension is this times the batch
  size_t variable = 0;               // kVariable: its index in the file
  std::shared_ptr<const ImportValues> list;  // kList
  std::vector<BatchNumber> element_shape;    // kList: of its elements, where it says so
  bool has_element_shape = false;

  static ImportValue of(Tensor tensor);
  static ImportValue of(Value value, int64_t per_batch);
  // kTensor where nothing depends on the batch.
  static ImportValue of(std::vector<BatchNumber> numbers, bool is_scalar, DType dtype);
  static ImportValue of_variable(size_t variable);

  bool is(Kind wanted) const { return kind == wanted; }
  // "a known i32[2]", "f32[?, 10]": for messages.
  std::string describe() const;
};

// The numbers of a known tensor of whole numbers, or of kNumbers; nothing where it is neither, or
// has more than one dimension or kMostNumbers.
std::optional<std::vector<BatchNumber>> numbers_of(const ImportValue& value);
inline constexpr int64_t kMostNumbers = 1024;  // a shape has 8; lists of axes and sizes are short

// The dimensions of a value whose rank is known.
std::vector<BatchNumber> dimensions_of(const Shape& shape, int64_t per_batch);

}  // namespace trireme::formats
