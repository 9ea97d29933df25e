// Writes HDF5 files that every libhdf5 since 1.8 reads: superblock 2, groups with their links in
// the object header, contiguous datasets, fixed strings.
//
// The layout is made before the first byte, so a file of any size is one stream from the tensors
// where they are.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>

#include "core/io/hdf5_file.h"

namespace trireme::io {

struct Hdf5Contents {
  struct Dataset {
    Tensor value;  // numbers and bool; a bf16 is written as Keras does
    Hdf5Attributes attributes;
  };
  Hdf5Attributes attributes;
  std::map<std::string, Hdf5Contents> groups;
  std::map<std::string, Dataset> datasets;

  // The group of that path from here, "layers/dense", made where it is not there.
  Hdf5Contents& group(std::string_view path);
  // REQUIRES: it is not there.
  void add(std::string_view path, Tensor value);
};

using ByteSink = std::function<void(const void* data, size_t size)>;

// Throws Error{kInvalidArgument} naming the group when an attribute is larger than the 64 KiB that
// HDF5 has for one, or a name is empty or has a "/".
class Hdf5Writer {
 public:
  explicit Hdf5Writer(const Hdf5Contents& contents);  // which must outlive it
  ~Hdf5Writer();
  uint64_t size() const;                   // of the file
  void write(const ByteSink& sink) const;  // may be called again

 private:
  struct Layout;
  std::unique_ptr<Layout> layout_;
};

// Whole or not at all.
void write_hdf5(const Hdf5Contents& contents, const std::string& path);
std::string hdf5_bytes(const Hdf5Contents& contents);

}  // namespace trireme::io
