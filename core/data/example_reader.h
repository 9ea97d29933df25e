// Examples of a user's own file, without labels or with them, in the format of a source: what
// `predict --input` reads. In pieces: memory does not depend on the size of the file.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/tensor/tensor.h"

namespace trireme::data {

struct ExampleBatch {
  int64_t size = 0;
  std::vector<Tensor> features;  // [size, …] each
  std::vector<int64_t> lines;    // where each example begins; empty: the format has no lines
  // Of each example the column that it lacks, where the job drops such rows: its features are of no
  // use. Empty where it lacks none.
  std::vector<std::string> missing;
};

class ExampleReader {
 public:
  virtual ~ExampleReader() = default;
  virtual std::vector<TensorType> features() const = 0;  // of a batch: [-1, …]
  // Fills `batch` with the next examples, at most `count`; false when there are none. Throws Error
  // that names the file and the place of an example that is damaged.
  virtual bool read(int64_t count, ExampleBatch& batch) = 0;
  // What a user should know of how the file was read.
  virtual std::string description() const { return ""; }
};

}  // namespace trireme::data
