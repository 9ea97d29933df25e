// The metadata of an HDF5 file as its readers see it: bounded pieces of bytes, messages of object
// headers, types. Private to core/io.
#pragma once

#include <cstring>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "core/base/error.h"
#include "core/io/hdf5_file.h"
#include "core/io/hdf5_format.h"

namespace trireme::io::hdf5 {

// A piece of metadata that is read from the front; what is behind its end is an Error{kDataLoss}
// that says whose it is.
class Cursor {
 public:
  Cursor(std::span<const uint8_t> bytes, std::string place)
      : bytes_(bytes), place_(std::move(place)) {}

  template <typename T>
  T get() {
    T value;
    std::memcpy(&value, take(sizeof value).data(), sizeof value);
    return value;
  }
  uint64_t get_sized(size_t bytes);  // an unsigned number of 1, 2, 4 or 8 bytes
  std::span<const uint8_t> take(uint64_t count);
  void skip(uint64_t count) { (void)take(count); }
  // Up to a zero byte, which is taken too.
  std::string text();
  void pad_to(size_t multiple) { skip((multiple - done_ % multiple) % multiple); }
  size_t left() const { return bytes_.size(); }
  const std::string& place() const { return place_; }
  Error damaged(const std::string& what) const;

 private:
  std::span<const uint8_t> bytes_;
  size_t done_ = 0;
  std::string place_;
};

// A message of an object's header.
struct HeaderMessage {
  uint16_t kind = kNil;
  uint8_t flags = 0;
  std::vector<uint8_t> body;
};

struct Dataspace {
  std::vector<uint64_t> dims;
  bool is_null = false;  // nothing at all, not even a scalar
  // Throws when there are more than fit 2^62 bytes.
  uint64_t elements(const Cursor& where) const;
};

Dataspace parse_dataspace(Cursor& in);
// Nothing: a type that Trireme does not read (compound, reference, array …).
std::optional<Hdf5Element> parse_datatype(Cursor& in);

// What all readers of one file share: its bytes, and a bound on the work that it may cause.
class Metadata {
 public:
  explicit Metadata(ByteSourcePtr bytes);

  const ByteSource& bytes() const { return *bytes_; }
  // `size` bytes of metadata. Throws when they are not in the file, or when more metadata has been
  // read than a file of this size can have.
  std::vector<uint8_t> read(uint64_t address, uint64_t size, const std::string& what);
  // Counts `size` bytes that are made of metadata, such as names, which a small file may refer to
  // any number of times.
  void spend(uint64_t size, const std::string& what, uint64_t address);
  std::string place(const std::string& what, uint64_t address) const;

  uint64_t root_address();
  // Of the object's header, with all its continuations.
  std::vector<HeaderMessage> header(uint64_t address, const std::string& object);
  // The object that a variable string refers to.
  std::string heap_text(uint64_t collection, uint32_t number, uint32_t size);

 private:
  void add_old_messages(std::span<const uint8_t> block, const std::string& place,
                        std::vector<HeaderMessage>& messages);
  void add_messages(std::span<const uint8_t> block, bool has_order, const std::string& place,
                    std::vector<HeaderMessage>& messages);

  using Heap = std::map<uint16_t, std::vector<uint8_t>>;
  ByteSourcePtr bytes_;
  uint64_t budget_;
  std::map<uint64_t, Heap> heaps_;
};

// The tree of the file.
Hdf5Group read_tree(Metadata& metadata);

// The strings of `count` elements of that type.
std::vector<std::string> parse_strings(Metadata& metadata, const Hdf5Element& element,
                                       std::span<const uint8_t> data, uint64_t count);
// Throws when the file has not the bytes of a dataset that is not chunked.
void check_stored(const ByteSource& file, const Hdf5Dataset& dataset);

struct Chunk {
  std::vector<uint64_t> offset;  // of its first element
  uint64_t address = 0;
  uint32_t stored = 0, filter_mask = 0;
};
// Throws when the chunks are not all in the file, or too few for what the dataset declares.
std::vector<Chunk> read_chunks(Metadata& metadata, const Hdf5Dataset& dataset);

// All elements as the file has them, into `out`, which has their size. REQUIRES: the checks above.
void read_elements(Metadata& metadata, const Hdf5Dataset& dataset, std::span<uint8_t> out);

}  // namespace trireme::io::hdf5
