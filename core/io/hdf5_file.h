// HDF5 files (The HDF Group's file format specification, version 3) as h5py and Keras write them:
// a tree of groups with datasets, and attributes on both.
//
// Read are superblocks 0 to 3, both kinds of groups and of object headers, contiguous, compact and
// chunked datasets (deflate, shuffle, fletcher32), numbers, strings and bool. What else the format
// has, such as links to other files, is refused by name. Nothing that a file says is believed
// before it is checked: sizes against the file, counts against what there can be, one name an
// object.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "core/io/byte_source.h"
#include "core/tensor/tensor.h"

namespace trireme::io {

// Numbers of attributes are scalars; strings are scalars or lists.
using Hdf5Attribute = std::variant<std::string, std::vector<std::string>, int64_t, double>;
using Hdf5Attributes = std::map<std::string, Hdf5Attribute, std::less<>>;

// How an element lies in the file.
struct Hdf5Element {
  enum class Kind { kInteger, kFloat, kString, kVariableString, kBool, kOpaque };
  Kind kind = Kind::kInteger;
  uint32_t bytes = 0;
  bool is_signed = false, big_endian = false;
};

struct Hdf5Dataset {
  std::string path;  // "layers/dense/vars/0"
  // As it is read: integers of 1, 2 and 4 bytes that Trireme lacks are widened. A bf16 is what
  // Keras calls one: 2 opaque bytes with the attribute dtype = "bfloat16".
  TensorType type;
  Hdf5Attributes attributes;

  // Where it lies.
  Hdf5Element element;
  enum class Layout { kContiguous, kCompact, kChunked };
  Layout layout = Layout::kContiguous;
  uint64_t address = 0, stored = 0;  // UINT64_MAX: nothing was written, all is the fill value
  std::vector<uint8_t> compact, fill_value;
  std::vector<uint64_t> chunk;    // its dimensions
  std::vector<uint16_t> filters;  // in the order in which they were applied
};

struct Hdf5Group {
  std::string path;  // "" for the root
  Hdf5Attributes attributes;
  std::map<std::string, Hdf5Group, std::less<>> groups;
  std::map<std::string, Hdf5Dataset, std::less<>> datasets;

  // By a path from here, "layers/dense"; null: not there.
  const Hdf5Group* group(std::string_view path) const;
  const Hdf5Dataset* dataset(std::string_view path) const;
  // The attribute's string or strings; null: it has no such attribute, or one of another type.
  const std::string* text(std::string_view attribute) const;
  const std::vector<std::string>* texts(std::string_view attribute) const;
};

class Hdf5File {
 public:
  // Reads the tree, no datasets. Throws Error{kDataLoss} naming file and place.
  explicit Hdf5File(const std::string& path);
  explicit Hdf5File(ByteSourcePtr bytes);

  // Whether the file begins as one of HDF5. Does not throw.
  static bool is_one(const std::string& path);

  const std::string& name() const { return bytes_->name(); }
  const Hdf5Group& root() const { return root_; }
  // Contiguous data goes from the file into the tensor, without a copy between.
  Tensor read(const Hdf5Dataset& dataset) const;

 private:
  ByteSourcePtr bytes_;
  Hdf5Group root_;
};

}  // namespace trireme::io
