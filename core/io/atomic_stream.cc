#include "core/io/atomic_stream.h"

#include <utility>

namespace trireme::io {

AtomicStream::AtomicStream(std::string path) : std::ostream(nullptr), buffer_(std::move(path)) {
  rdbuf(&buffer_);
  exceptions(badbit);  // lets the buffer's errors through
}

std::streamsize AtomicStream::Buffer::xsputn(const char* bytes, std::streamsize count) {
  file.append(bytes, static_cast<size_t>(count));
  return count;
}

AtomicStream::Buffer::int_type AtomicStream::Buffer::overflow(int_type byte) {
  if (traits_type::eq_int_type(byte, traits_type::eof())) return traits_type::not_eof(byte);
  const char one = traits_type::to_char_type(byte);
  file.append(&one, 1);
  return byte;
}

}  // namespace trireme::io
