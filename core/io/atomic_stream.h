// An AtomicFile as a stream, for what writes to streams.
//
// What fails, throws the Error of AtomicFile, from operator<< too. One thread.
#pragma once

#include <ostream>
#include <streambuf>
#include <string>

#include "core/io/atomic_file.h"

namespace trireme::io {

class AtomicStream : public std::ostream {
 public:
  explicit AtomicStream(std::string path);
  // See AtomicFile::commit(): without it the previous file stays.
  void commit() { buffer_.file.commit(); }

 private:
  struct Buffer : std::streambuf {
    explicit Buffer(std::string path) : file(std::move(path)) {}
    std::streamsize xsputn(const char* bytes, std::streamsize count) override;
    int_type overflow(int_type byte) override;
    AtomicFile file;
  };
  Buffer buffer_;
};

}  // namespace trireme::io
