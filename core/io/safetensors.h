// Files in the safetensors format: named tensors one after another, behind a header that says where
// each is.
//
//   u64   size of the header in bytes, little-endian
//   JSON  {"NAME": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}, …,
//          "__metadata__": {"KEY": "VALUE", …}}, maybe followed by spaces
//   the bytes of the tensors, row-major and little-endian, without holes
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "core/io/input_file.h"
#include "core/tensor/tensor.h"

namespace trireme::io {

inline constexpr uint64_t kMostSafetensorsHeader = 100'000'000;  // bytes, as other readers have it

// Texts beside the tensors.
using SafetensorsMetadata = std::map<std::string, std::string>;

// One file. The header is checked whole when it is opened: sizes that do not fit the shapes, holes,
// overlaps and bytes that belong to no tensor are refused. Reading may be done by several threads.
class SafetensorsReader {
 public:
  struct Entry {
    std::string dtype;  // as the file says it: "F32"
    Shape shape;
    uint64_t begin = 0, end = 0;  // from the first byte behind the header
  };

  // Throws Error{kDataLoss} naming the file, the tensor, what was expected and what was found.
  explicit SafetensorsReader(std::string path);

  const std::string& path() const { return file_.path(); }
  const std::map<std::string, Entry>& entries() const { return entries_; }
  const SafetensorsMetadata& metadata() const { return metadata_; }

  // Throws Error{kNotFound} for another name, Error{kInvalidArgument} for a type that is not among
  // ours. The bytes are read into the tensor's own buffer, once.
  Tensor read(const std::string& name) const;
  // All of them. Throws one Error that lists the tensors of types that are not among ours.
  std::map<std::string, Tensor> read_all() const;

 private:
  InputFile file_;
  uint64_t data_ = 0;  // the first byte behind the header
  std::map<std::string, Entry> entries_;
  SafetensorsMetadata metadata_;
};

// Whether the file at `path` starts and its header ends as one of this format. Does not throw.
bool is_safetensors(const std::string& path);

// A whole file or none; tensors are written from where they are. Each lies at a multiple of its
// elements' size. Throws Error{kInvalidArgument} for texts and for names that are no UTF-8.
void write_safetensors(const std::string& path, const std::map<std::string, Tensor>& tensors,
                       const SafetensorsMetadata& metadata = {});

}  // namespace trireme::io
