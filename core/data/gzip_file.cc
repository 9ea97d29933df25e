#include "core/data/gzip_file.h"

#include <zlib.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <vector>

#include "core/base/error.h"
#include "core/base/parallel.h"

namespace trireme::data {
namespace {

// The next piece of the packed file, empty at its end; valid until the next call.
using Refill = FunctionRef<std::span<const uint8_t>()>;

// A buffer that grows. What a header says about the size is a hint, never believed beyond what was
// read.
class Growing {
 public:
  Growing(std::string_view name, uint64_t max_bytes) : name_(name), max_bytes_(max_bytes) {}

  // Room for at least one more byte. `hint`: how many more are likely.
  std::span<uint8_t> room(uint64_t hint) {
    if (!file_.buffer || file_.size == file_.buffer->bytes()) grow(hint);
    const size_t free = file_.buffer->bytes() - file_.size;
    return {static_cast<uint8_t*>(file_.buffer->data()) + file_.size, free};
  }
  void add(size_t bytes) {
    file_.size += bytes;
    if (file_.size > max_bytes_) {
      throw Error(ErrorCode::kResourceExhausted, str_cat(name_, ": expected at most ", max_bytes_,
                                                         " bytes after unpacking, found more"));
    }
  }
  FileBytes take() {
    if (!file_.buffer) file_.buffer = allocate_host(1);
    return std::move(file_);
  }

 private:
  void grow(uint64_t hint) {
    const uint64_t size = file_.size;
    // One byte more than allowed, to notice that there is more.
    const uint64_t wanted =
        std::min(std::max({size + size / 2, size + hint, uint64_t{4096}}), max_bytes_ + 1);
    auto larger = allocate_host(wanted);
    if (size > 0) std::memcpy(larger->data(), file_.buffer->data(), size);
    file_.buffer = std::move(larger);
  }

  std::string_view name_;
  uint64_t max_bytes_;
  FileBytes file_;
};

class Inflater {
 public:
  Inflater() {
    // 15 bits of window, + 16: a gzip header and trailer around each member.
    TRIREME_CHECK(inflateInit2(&stream, 15 + 16) == Z_OK, "zlib did not start");
  }
  ~Inflater() { inflateEnd(&stream); }
  z_stream stream{};
};

FileBytes inflate_all(Refill refill, std::string_view name, uint64_t hint, uint64_t max_bytes) {
  Growing out(name, max_bytes);
  Inflater inflater;
  z_stream& z = inflater.stream;
  uint64_t read = 0;  // bytes of the packed file that were handed to zlib
  bool in_member = true;
  for (;;) {
    if (z.avail_in == 0) {
      const std::span<const uint8_t> piece = refill();
      if (piece.empty()) break;
      z.next_in = const_cast<Bytef*>(piece.data());
      z.avail_in = static_cast<uInt>(piece.size());
      read += piece.size();
    }
    if (!in_member) {
      if (*z.next_in != 0x1f) {
        throw data_loss(name, ": expected the end or another gzip member at byte ",
                        read - z.avail_in, ", found other bytes");
      }
      TRIREME_CHECK(inflateReset(&z) == Z_OK);
      in_member = true;
    }
    const std::span<uint8_t> room = out.room(hint);
    const size_t size = std::min<size_t>(room.size(), 1u << 30);
    z.next_out = room.data();
    z.avail_out = static_cast<uInt>(size);
    const int status = inflate(&z, Z_NO_FLUSH);
    out.add(size - z.avail_out);
    if (status == Z_STREAM_END) {
      in_member = false;
    } else if (status != Z_OK && status != Z_BUF_ERROR) {
      throw data_loss(name, ": the gzip data is damaged at byte ", read - z.avail_in, " (",
                      z.msg != nullptr ? z.msg : "zlib has no reason", ")");
    }
  }
  if (in_member) {
    throw data_loss(name, ": the gzip data is cut off: the file ends at byte ", read,
                    " inside a member; copy it anew");
  }
  return out.take();
}

bool is_gzip(std::span<const uint8_t> head) {
  return head.size() >= 2 && head[0] == 0x1f && head[1] == 0x8b;
}

// The last four bytes of a gzip file are the unpacked size modulo 2^32. deflate packs at most 1032
// : 1.
uint64_t size_hint(std::span<const uint8_t> tail, uint64_t packed) {
  if (tail.size() != 4) return 0;
  const uint64_t size =
      tail[0] | tail[1] << 8 | tail[2] << 16 | static_cast<uint64_t>(tail[3]) << 24;
  return std::min(size + 1, packed * 1032);  // with one byte of room zlib can say that it is done
}

struct Closer {
  void operator()(std::FILE* file) const { std::fclose(file); }
};

}  // namespace

FileBytes read_file(const std::string& path, uint64_t max_bytes) {
  std::error_code ignored;
  if (std::filesystem::is_directory(path, ignored))
    throw not_found(path, ": expected a file, found a directory");
  const std::unique_ptr<std::FILE, Closer> file(std::fopen(path.c_str(), "rb"));
  if (!file) throw not_found(path, ": cannot be opened: ", std::strerror(errno));
  const auto check = [&] {
    if (std::ferror(file.get())) throw data_loss(path, ": cannot be read: ", std::strerror(errno));
  };
  uint8_t head[4], tail[4];
  const size_t head_size = std::fread(head, 1, 4, file.get());
  check();
  const bool gzip = is_gzip({head, head_size});
  uint64_t size = 0;  // stays 0 for what cannot seek, a pipe
  size_t tail_size = 0;
  if (std::fseek(file.get(), 0, SEEK_END) == 0) {
    size = static_cast<uint64_t>(std::max(std::ftell(file.get()), 0L));
    if (size >= 4 && std::fseek(file.get(), -4, SEEK_END) == 0)
      tail_size = std::fread(tail, 1, 4, file.get());
    std::rewind(file.get());
  } else {
    throw data_loss(path, ": expected a regular file, found one that cannot seek");
  }
  if (gzip) {
    std::vector<uint8_t> piece(size_t{1} << 18);
    const auto refill = [&] {
      const size_t got = std::fread(piece.data(), 1, piece.size(), file.get());
      check();
      return std::span<const uint8_t>(piece.data(), got);
    };
    return inflate_all(refill, path, size_hint({tail, tail_size}, size), max_bytes);
  }
  Growing out(path, max_bytes);
  for (;;) {
    const std::span<uint8_t> room = out.room(size + 1);
    const size_t got = std::fread(room.data(), 1, room.size(), file.get());
    check();
    if (got == 0) return out.take();
    out.add(got);
  }
}

FileBytes unpack(std::span<const uint8_t> data, std::string_view name, uint64_t max_bytes) {
  if (is_gzip(data)) {
    std::span<const uint8_t> rest = data;
    const auto refill = [&] {
      const auto piece = rest.first(std::min<size_t>(rest.size(), 1u << 30));
      rest = rest.subspan(piece.size());
      return piece;
    };
    return inflate_all(refill, name,
                       size_hint(data.last(std::min<size_t>(data.size(), 4)), data.size()),
                       max_bytes);
  }
  Growing out(name, max_bytes);
  if (!data.empty()) {
    if (data.size() > max_bytes) out.add(data.size());  // throws
    std::memcpy(out.room(data.size()).data(), data.data(), data.size());
    out.add(data.size());
  }
  return out.take();
}

}  // namespace trireme::data
