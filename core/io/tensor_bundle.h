// TensorFlow's tensor bundle, the format of its V2 checkpoints: named tensors in PREFIX.index (a
// sorted table of names, types, places and checksums) and PREFIX.data-0000i-of-0000N (their bytes,
// little-endian). TensorFlow reads what BundleWriter writes (one shard), and BundleReader reads
// what TensorFlow writes: any number of shards, and variables that were saved in slices.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/io/atomic_file.h"
#include "core/io/input_file.h"
#include "core/tensor/tensor.h"

namespace trireme::io {

// Writes one bundle. Bytes go to the disk as tensors are added, without a second copy. The index is
// renamed last, so either the whole bundle is there after a crash or none of it; a bundle of the
// same prefix is replaced. One thread.
class BundleWriter {
 public:
  // Creates the directory where it is missing. Throws what AtomicFile throws.
  explicit BundleWriter(std::string prefix);

  // Throws Error{kInvalidArgument} for an empty name, one that was added before, or a tensor not on
  // the host.
  void add(const std::string& name, const Tensor& tensor);

  // Makes the bundle durable and visible. Without it nothing stays.
  void finish();

 private:
  std::string prefix_;
  AtomicFile data_;
  std::map<std::string, std::string, std::less<>> entries_;  // name → serialized BundleEntryProto
};

// A range along one dimension; length -1 is the whole dimension.
struct Extent {
  int64_t start = 0;
  int64_t length = -1;
};
using Slice = std::vector<Extent>;  // one extent a dimension

// How a tensor lies in the bundle. `dtype` is empty for TensorFlow's types that Trireme lacks, e.g.
// DT_COMPLEX64.
struct StoredTensor {
  std::optional<DType> dtype;
  std::string dtype_name;
  Shape shape;
  int shard = 0;
  uint64_t offset = 0;
  uint64_t bytes = 0;  // in the file
  uint32_t masked_crc = 0;
  std::vector<Slice>
      slices;  // its parts, when it was saved in parts: then shard and offset say nothing
};

// Reads one bundle. Nothing in the files is believed before it is checked: the constructor checks
// the index, that all shards are there, and that every tensor lies within its shard and overlaps no
// other; reading checks the checksum. It keeps its files open, so a bundle that is removed
// meanwhile stays readable. Const calls from any thread.
class BundleReader {
 public:
  // Throws Error{kNotFound} when a file is missing, Error{kDataLoss} naming file and place when one
  // is damaged.
  explicit BundleReader(std::string prefix);

  const std::string& prefix() const { return prefix_; }
  std::vector<std::string> names() const;  // sorted
  bool contains(std::string_view name) const;
  const StoredTensor& stored(std::string_view name) const;
  // Throws Error{kInvalidArgument} for a type that Trireme lacks.
  TensorType type(std::string_view name) const;

  // Throws Error{kNotFound} for a name that is not there, naming the bundle; Error{kDataLoss}
  // naming tensor, file and offset when the bytes do not have the checksum that the index says.
  Tensor read(std::string_view name) const;
  // The same, but a large one is not copied: the checksum is checked, and the tensor is pages of
  // the file, which are in memory only once they are touched. Do not write to it.
  Tensor view(std::string_view name) const;

  // Into a host tensor of the same dtype and shape (else Error{kInvalidArgument}). After an error
  // its elements are whatever was read until then.
  void read_into(std::string_view name, Tensor& tensor) const;

 private:
  using Entries = std::map<std::string, StoredTensor, std::less<>>;

  void read_index();
  void open_shards(int count);
  void check_places() const;
  void check_slices(std::string_view name, const StoredTensor& entry) const;
  void fill(std::string_view name, const StoredTensor& entry, Tensor& tensor) const;
  void fill_numbers(std::string_view name, const StoredTensor& entry, Tensor& tensor) const;
  void fill_strings(std::string_view name, const StoredTensor& entry, Tensor& tensor) const;
  void fill_slices(std::string_view name, const StoredTensor& entry, Tensor& tensor) const;
  std::string place(std::string_view name, const StoredTensor& entry) const;

  std::string prefix_;
  Entries entries_;  // by key; the keys of slices start with a zero byte
  std::vector<InputFile> shards_;
};

std::string index_path(const std::string& prefix);  // PREFIX.index
std::string shard_path(const std::string& prefix, int64_t shard,
                       int64_t of);  // PREFIX.data-00000-of-00001

}  // namespace trireme::io
