// NumPy's files: one array in .npy (versions 1 to 3), several by name in .npz.
//
// Numbers of one byte to eight, bool, and strings (S and U) are read, in either order of bytes and
// either order of axes. Types that Trireme does not have become the next larger one: i1, i2 and u2
// i32; u4 and u8 i64, where values above 2^63 - 1 are refused. Complex numbers, dates, records and
// Python objects are refused: the last are programs.
//
// A damaged file is Error{kDataLoss} that names the file, and of an .npz the array.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/tensor/tensor.h"

namespace trireme::io {
class ZipReader;
}  // namespace trireme::io

namespace trireme::data {

// Plain or packed with gzip.
Tensor read_npy(const std::string& path);
// The same for a file in memory; `name` is for messages.
Tensor parse_npy(std::span<const uint8_t> bytes, std::string_view name);
// Throws Error{kInvalidArgument} for strings and bf16, which NumPy has no such type for.
void write_npy(const std::string& path, const Tensor& tensor);

class NpzFile {
 public:
  explicit NpzFile(const std::string& path);
  ~NpzFile();

  std::vector<std::string> names() const;  // without .npy, in the order of the file
  bool has(std::string_view name) const;
  // Throws Error{kNotFound} that lists the names.
  Tensor read(std::string_view name) const;

 private:
  std::unique_ptr<io::ZipReader> zip_;
};

}  // namespace trireme::data
