// Writes a zip archive of stored members (PKWARE's APPNOTE 6.3, with zip64 where it is needed), as
// Keras does. The archive appears whole or not at all. One thread.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/io/atomic_file.h"

namespace trireme::io {

class ZipWriter {
 public:
  explicit ZipWriter(std::string path);
  ~ZipWriter();

  // Throws Error{kInvalidArgument} for a name that is empty, absolute, has ".." or was added.
  void add(const std::string& name, std::string_view contents);
  // A member of `size` bytes that `produce` gives to its argument in pieces. It is called twice,
  // first for the checksum, and must give the same bytes.
  using Sink = std::function<void(const void* data, size_t size)>;
  void add(const std::string& name, uint64_t size,
           const std::function<void(const Sink& sink)>& produce);
  void commit();  // without it nothing stays

 private:
  struct Member;
  AtomicFile file_;
  std::vector<Member> members_;
};

}  // namespace trireme::io
