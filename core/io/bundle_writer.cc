#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <limits>
#include <utility>

#include "core/base/error.h"
#include "core/io/bundle_format.h"
#include "core/io/crc32c.h"
#include "core/io/sorted_table.h"
#include "core/io/tensor_bundle.h"
#include "core/io/varint.h"
#include "proto/tf/tensor_bundle.pb.h"

namespace trireme::io {
namespace {

std::string with_directory(std::string prefix) {
  create_directories(directory_of(prefix));
  return prefix;
}

// Appends bytes to a file and keeps their checksum.
class ChecksummedOutput {
 public:
  explicit ChecksummedOutput(AtomicFile& file) : file_(file) {}
  // Checksums and writes a piece at a time, so that the second pass finds it in the cache.
  void append(const void* data, size_t size) {
    constexpr size_t kPiece = 1 << 20;
    const auto* bytes = static_cast<const char*>(data);
    while (size > 0) {
      const size_t n = std::min(size, kPiece);
      checksum(bytes, n);
      file_.append(bytes, n);
      bytes += n;
      size -= n;
    }
  }
  void append_unchecked(std::string_view bytes) { file_.append(bytes); }
  void checksum(const void* data, size_t size) { crc_ = crc32c_extend(crc_, data, size); }
  uint32_t crc() const { return crc_; }

 private:
  AtomicFile& file_;
  uint32_t crc_ = 0;
};

// The lengths as varints, the masked checksum of the lengths, the bytes. Lengths are checksummed
// not as they are stored but as 32-bit words (64-bit ones where they need it).
void append_strings(std::span<const std::string> strings, ChecksummedOutput& out) {
  std::string lengths;
  for (const std::string& text : strings) {
    const uint64_t wide = text.size();
    append_varint(lengths, wide);
    const auto narrow = static_cast<uint32_t>(wide);
    if (wide <= std::numeric_limits<uint32_t>::max()) {
      out.checksum(&narrow, sizeof(narrow));
    } else {
      out.checksum(&wide, sizeof(wide));
    }
  }
  out.append_unchecked(lengths);
  const uint32_t masked = mask_crc(out.crc());
  out.append(&masked, sizeof(masked));
  for (const std::string& text : strings) out.append(text.data(), text.size());
}

}  // namespace

BundleWriter::BundleWriter(std::string prefix)
    : prefix_(with_directory(std::move(prefix))), data_(shard_path(prefix_, 0, 1)) {}

void BundleWriter::add(const std::string& name, const Tensor& tensor) {
  // An empty key is the header's; a zero byte starts the keys of slices.
  if (name.empty() || name[0] == '\0') {
    throw invalid_argument(prefix_,
                           ": a tensor's name must not be empty or start with a zero byte");
  }
  if (entries_.contains(name)) {
    throw invalid_argument(prefix_, ": tensor ", quote_name(name), " is added twice");
  }
  if (!tensor.defined() || !tensor.on_host()) {
    throw invalid_argument(
        prefix_, ": tensor ", quote_name(name),
        tensor.defined() ? " is on a device; copy it to the host first" : " holds nothing");
  }
  const uint64_t offset = data_.size();
  ChecksummedOutput out(data_);
  if (tensor.dtype() == DType::kString) {
    append_strings(tensor.flat<std::string>(), out);
  } else {
    out.append(tensor.raw(), tensor.bytes());
  }
  tf::BundleEntryProto entry;
  entry.set_dtype(static_cast<tf::DataType>(tf_dtype(tensor.dtype())));
  auto* shape = entry.mutable_shape();  // present for a scalar too
  for (int64_t size : tensor.shape()) shape->add_dim()->set_size(size);
  entry.set_offset(static_cast<int64_t>(offset));
  entry.set_size(static_cast<int64_t>(data_.size() - offset));
  entry.set_crc32c(mask_crc(out.crc()));
  entries_[name] = entry.SerializeAsString();
}

void BundleWriter::finish() {
  tf::BundleHeaderProto header;
  header.set_num_shards(1);
  header.mutable_version()->set_producer(kBundleVersion);
  entries_[""] = header.SerializeAsString();

  // Both files are whole on the disk before a name changes: a full disk costs nothing that was
  // there.
  const std::string index_name = index_path(prefix_);
  AtomicFile index(index_name);
  index.append(build_table(entries_));
  data_.sync();
  index.sync();
  // New data under an old index would be a damaged checkpoint; no index is merely none.
  if (::unlink(index_name.c_str()) == 0) {
    sync_directory(directory_of(index_name));
  } else if (errno != ENOENT) {
    throw file_error("replace it", index_name, errno);
  }
  data_.commit();
  index.commit();
}

}  // namespace trireme::io
