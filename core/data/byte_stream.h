// The bytes of a file from its beginning to its end, unpacked when they are gzip (RFC 1952). All
// readers of data read through it, so that the same rules hold for every format:
//
//  - gzip is told by its first two bytes, not by the name; other packers are refused by name. A
//    format that may be packed otherwise says so (Unpacking);
//  - all members are read, one after another; zero bytes between and behind them are padding, as
//    `gzip -d` and Python's gzip take them; other bytes behind a member are refused;
//  - each member's check sum and length are verified.
//
// Memory does not depend on the size of the file. Errors name the file and the offset in it:
// Error{kNotFound} when nothing is there, Error{kInvalidArgument} for what is no file
// (core/base/input_stream.h), Error{kDataLoss} when it is damaged or cut off. One thread.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "core/base/input_stream.h"

namespace trireme::data {

enum class Packing {
  kDetect,
  kNone,
  kGzip,
  kZlib,  // RFC 1950; with the same rules for members and padding
};

struct Unpacking {
  Packing packing = Packing::kDetect;
  // With kDetect: whether a file that begins with `head` is a plain one, whatever that looks like.
  // Where it is given, zlib is told by its first two bytes, too.
  bool (*is_plain)(std::span<const uint8_t> head) = nullptr;
};

class ByteStream {
 public:
  explicit ByteStream(const std::string& path, InputOptions options = {}, Unpacking unpacking = {});
  // The same for bytes in memory, which must outlive it; `name` is for messages.
  ByteStream(std::span<const uint8_t> bytes, std::string_view name, Unpacking unpacking = {});
  ~ByteStream();
  ByteStream(ByteStream&&) noexcept;

  const std::string& name() const;
  // Of the contents, where it is known before they are read: of a plain file.
  std::optional<uint64_t> size() const;

  Packing packing() const;  // what it is: kNone, kGzip or kZlib

  // Fills `out` unless the contents end before; returns the bytes read, 0 at the end.
  size_t read(std::span<uint8_t> out);

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

// `path` or `path` + ".gz", whichever is there.
std::optional<std::string> locate_file(const std::string& path);
// The same; throws Error{kNotFound} that names both when neither is there.
std::string find_file(const std::string& path);

}  // namespace trireme::data
