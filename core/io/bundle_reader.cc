#include <algorithm>
#include <cstring>
#include <ios>
#include <utility>

#include "core/base/error.h"
#include "core/io/bundle_format.h"
#include "core/io/crc32c.h"
#include "core/io/sorted_table.h"
#include "core/io/tensor_bundle.h"
#include "core/io/varint.h"
#include "core/tensor/mapped_buffer.h"
#include "proto/tf/tensor_bundle.pb.h"

namespace trireme::io {
namespace {

constexpr uint64_t kMaxIndexBytes = 256ull << 20;
constexpr int64_t kMaxElements = int64_t{1} << 48;

Shape parse_shape(const tf::TensorShapeProto& proto) {
  Shape shape;
  int64_t product = 1;
  for (const auto& dim : proto.dim()) {
    // The product over the sizes that are not 0 is bounded too: a 0 must not hide an overflow.
    if (dim.size() < 0 || (dim.size() > 0 && product > kMaxElements / dim.size())) {
      throw invalid_argument("a shape with the sizes of a tensor, found ",
                             quote_name(proto.ShortDebugString()));
    }
    if (dim.size() > 0) product *= dim.size();
    if (shape.rank() == Shape::kMaxRank) {
      throw invalid_argument("at most ", Shape::kMaxRank, " dimensions, found ", proto.dim_size());
    }
    shape.push_back(dim.size());
  }
  if (proto.unknown_rank()) throw invalid_argument("a known shape, found an unknown rank");
  return shape;
}

std::string type_name(int number) {
  if (tf::DataType_IsValid(number)) return tf::DataType_Name(static_cast<tf::DataType>(number));
  return str_cat("type ", number);
}

StoredTensor parse_entry(const std::string& bytes) {
  tf::BundleEntryProto proto;
  if (!proto.ParseFromString(bytes)) throw invalid_argument("an entry, found other bytes");
  StoredTensor entry;
  entry.dtype = dtype_from_tf(proto.dtype());
  entry.dtype_name = entry.dtype ? std::string(name(*entry.dtype)) : type_name(proto.dtype());
  entry.shape = parse_shape(proto.shape());
  entry.masked_crc = proto.crc32c();
  if (proto.shard_id() < 0 || proto.offset() < 0 || proto.size() < 0) {
    throw invalid_argument("a place in a data file, found shard ", proto.shard_id(), ", byte ",
                           proto.offset(), ", size ", proto.size());
  }
  entry.shard = proto.shard_id();
  entry.offset = static_cast<uint64_t>(proto.offset());
  entry.bytes = static_cast<uint64_t>(proto.size());
  for (const auto& slice_proto : proto.slices()) {
    Slice slice;
    for (const auto& extent : slice_proto.extent()) {
      const bool whole =
          extent.has_length_case() == tf::TensorSliceProto::Extent::HAS_LENGTH_NOT_SET;
      slice.push_back({extent.start(), whole ? -1 : extent.length()});
    }
    entry.slices.push_back(std::move(slice));
  }
  if (entry.slices.empty() && entry.dtype) {
    const auto elements = static_cast<uint64_t>(entry.shape.elements());
    const TensorType type{*entry.dtype, entry.shape};
    if (*entry.dtype != DType::kString && entry.bytes != type.bytes()) {
      throw invalid_argument(type.bytes(), " bytes for ", type, ", found ", entry.bytes);
    }
    // Each string takes a byte at least, for its length.
    if (*entry.dtype == DType::kString && entry.bytes < elements) {
      throw invalid_argument("at least ", elements, " bytes for ", type, ", found ", entry.bytes);
    }
  }
  return entry;
}

// The slice with each extent made explicit; throws when it is not within `shape`.
Slice explicit_slice(const Slice& slice, const Shape& shape) {
  Slice result = slice;
  bool fits = slice.size() == static_cast<size_t>(shape.rank());
  for (int axis = 0; fits && axis < shape.rank(); ++axis) {
    Extent& extent = result[static_cast<size_t>(axis)];
    if (extent.length == -1 && extent.start == 0) extent.length = shape[axis];
    fits = extent.start >= 0 && extent.length >= 0 && extent.start <= shape[axis] &&
           extent.length <= shape[axis] - extent.start;
  }
  if (!fits) throw invalid_argument("slices within ", shape, ", found one that is not");
  return result;
}

Shape shape_of(const Slice& slice) {
  Shape shape;
  for (const Extent& extent : slice) shape.push_back(extent.length);
  return shape;
}

}  // namespace

std::string index_path(const std::string& prefix) { return prefix + ".index"; }

std::string shard_path(const std::string& prefix, int64_t shard, int64_t of) {
  char suffix[64];
  std::snprintf(suffix, sizeof(suffix), ".data-%05lld-of-%05lld", static_cast<long long>(shard),
                static_cast<long long>(of));
  return prefix + suffix;
}

BundleReader::BundleReader(std::string prefix) : prefix_(std::move(prefix)) {
  read_index();
  check_places();
}

void BundleReader::read_index() {
  const std::string path = index_path(prefix_);
  const Table table = read_table(path, read_file(path, kMaxIndexBytes));
  tf::BundleHeaderProto header;
  if (table.empty() || !table.begin()->first.empty() ||
      !header.ParseFromString(table.begin()->second)) {
    throw data_loss(path,
                    ": expected a bundle header as the first entry; this table is not the "
                    "index of a checkpoint");
  }
  if (header.endianness() != tf::BundleHeaderProto::LITTLE) {
    throw data_loss(path,
                    ": expected little-endian data, found a checkpoint of a big-endian "
                    "machine; convert it with TensorFlow");
  }
  const auto& bad = header.version().bad_consumers();
  if (header.version().min_consumer() > kBundleVersion ||
      std::find(bad.begin(), bad.end(), kBundleVersion) != bad.end()) {
    throw data_loss(path, ": expected version ", kBundleVersion,
                    " of the format or one that it can read, found version ",
                    header.version().producer(), " for readers from version ",
                    header.version().min_consumer());
  }
  if (header.num_shards() < 1) {
    throw data_loss(path, ": expected at least one data file, the header says ",
                    header.num_shards());
  }
  for (auto it = std::next(table.begin()); it != table.end(); ++it) {
    try {
      entries_.emplace_hint(entries_.end(), it->first, parse_entry(it->second));
    } catch (const Error& error) {
      throw data_loss(path, ": tensor ", quote_name(it->first), ": expected ", error.what(),
                      "; the file is corrupt, use another checkpoint");
    }
  }
  open_shards(header.num_shards());
}

void BundleReader::open_shards(int count) {
  for (int shard = 0; shard < count; ++shard)
    shards_.emplace_back(shard_path(prefix_, shard, count));
}

// Every tensor lies within its shard, and no two share bytes: so all of them together need no more
// memory than the files have bytes (strings: a fixed multiple of it).
void BundleReader::check_places() const {
  std::vector<const Entries::value_type*> order;
  for (const auto& item : entries_) {
    const StoredTensor& entry = item.second;
    if (!entry.slices.empty()) {
      check_slices(item.first, entry);
      continue;
    }
    if (static_cast<size_t>(entry.shard) >= shards_.size()) {
      throw data_loss(index_path(prefix_), ": tensor ", quote_name(item.first),
                      ": expected one of the ", shards_.size(), " data files, found number ",
                      entry.shard);
    }
    const InputFile& file = shards_[static_cast<size_t>(entry.shard)];
    if (entry.offset > file.size() || entry.bytes > file.size() - entry.offset) {
      throw data_loss(file.path(), ": tensor ", quote_name(item.first), ": expected ", entry.bytes,
                      " bytes from byte ", entry.offset, ", the file ends at byte ", file.size());
    }
    if (entry.bytes > 0) order.push_back(&item);
  }
  std::ranges::sort(order, {}, [](const auto* item) {
    return std::pair(item->second.shard, item->second.offset);
  });
  for (size_t i = 1; i < order.size(); ++i) {
    const auto& [name, entry] = *order[i - 1];
    const auto& [next_name, next] = *order[i];
    if (entry.shard == next.shard && entry.offset + entry.bytes > next.offset) {
      throw data_loss(index_path(prefix_), ": tensors ", quote_name(name), " and ",
                      quote_name(next_name), " share byte ", next.offset, " of data file ",
                      next.shard, "; the file is corrupt, use another checkpoint");
    }
  }
}

void BundleReader::check_slices(std::string_view name, const StoredTensor& entry) const {
  int64_t covered = 0;
  std::vector<std::string> keys;
  try {
    for (const Slice& stored : entry.slices) {
      const Slice slice = explicit_slice(stored, entry.shape);
      keys.push_back(slice_key(name, stored));
      const auto part = entries_.find(keys.back());
      if (part == entries_.end() || !part->second.slices.empty() ||
          part->second.dtype_name != entry.dtype_name || part->second.shape != shape_of(slice)) {
        throw invalid_argument("an entry ", entry.dtype_name, shape_of(slice), " for each slice");
      }
      covered += part->second.shape.elements();
      if (covered > entry.shape.elements()) break;
    }
    std::ranges::sort(keys);
    if (covered != entry.shape.elements() || std::ranges::adjacent_find(keys) != keys.end()) {
      throw invalid_argument("slices that cover ", entry.shape, " once");
    }
  } catch (const Error& error) {
    throw data_loss(index_path(prefix_), ": tensor ", quote_name(name), ": expected ",
                    error.what());
  }
}

std::vector<std::string> BundleReader::names() const {
  std::vector<std::string> names;
  for (const auto& [key, entry] : entries_) {
    if (key[0] != '\0') names.push_back(key);
  }
  return names;
}

bool BundleReader::contains(std::string_view name) const { return entries_.contains(name); }

const StoredTensor& BundleReader::stored(std::string_view name) const {
  const auto it = entries_.find(name);
  if (it == entries_.end()) {
    throw not_found(index_path(prefix_), ": no tensor ", quote_name(name), " among the ",
                    names().size(), " there");
  }
  return it->second;
}

TensorType BundleReader::type(std::string_view name) const {
  const StoredTensor& entry = stored(name);
  if (!entry.dtype) {
    throw invalid_argument(index_path(prefix_), ": tensor ", quote_name(name), " is of type ",
                           entry.dtype_name, ", which Trireme does not have");
  }
  return {*entry.dtype, entry.shape};
}

Tensor BundleReader::read(std::string_view name) const {
  const TensorType wanted = type(name);
  Tensor tensor(wanted.dtype, wanted.shape);
  fill(name, stored(name), tensor);
  return tensor;
}

namespace {

void check_crc(const std::string& place, std::string_view what, uint32_t expected, uint32_t found) {
  if (expected == found) return;
  throw data_loss(place, ": expected ", what, " 0x", std::hex, expected, ", found 0x", found,
                  "; the file is corrupt, use another checkpoint");
}

}  // namespace

Tensor BundleReader::view(std::string_view name) const {
  // Smaller ones are not worth pages of their own.
  constexpr uint64_t kSmallestView = 64 << 10;
  const TensorType wanted = type(name);
  const StoredTensor& entry = stored(name);
  const bool is_plain = entry.slices.empty() && entry.bytes >= kSmallestView &&
                        wanted.dtype != DType::kString && wanted.dtype != DType::kBool &&
                        entry.offset % size_of(wanted.dtype) == 0;
  if (!is_plain) return read(name);
  auto pages = shards_[static_cast<size_t>(entry.shard)].map(entry.offset, entry.bytes);
  if (!pages) return read(name);
  // A piece's pages are given back once they are checked, so that the file takes no memory.
  constexpr size_t kPiece = 4 << 20;
  uint32_t crc = 0;
  for (size_t done = 0; done < pages->bytes(); done += kPiece) {
    const size_t n = std::min(kPiece, pages->bytes() - done);
    crc = crc32c_extend(crc, static_cast<const char*>(pages->data()) + done, n);
    pages->drop(done, n);
  }
  check_crc(place(name, entry), "checksum", unmask_crc(entry.masked_crc), crc);
  return {wanted.dtype, wanted.shape, std::move(pages)};
}

void BundleReader::read_into(std::string_view name, Tensor& tensor) const {
  const TensorType found = type(name);
  if (!tensor.defined() || !tensor.on_host() || tensor.type() != found) {
    throw invalid_argument(index_path(prefix_), ": tensor ", quote_name(name), " is ", found,
                           ", it cannot be read into ", tensor.type());
  }
  fill(name, stored(name), tensor);
}

std::string BundleReader::place(std::string_view name, const StoredTensor& entry) const {
  return str_cat(shards_[static_cast<size_t>(entry.shard)].path(), ": tensor ", quote_name(name),
                 " at byte ", entry.offset, " (", entry.bytes, " bytes)");
}

void BundleReader::fill(std::string_view name, const StoredTensor& entry, Tensor& tensor) const {
  if (!entry.slices.empty()) {
    fill_slices(name, entry, tensor);
  } else if (tensor.dtype() == DType::kString) {
    fill_strings(name, entry, tensor);
  } else {
    fill_numbers(name, entry, tensor);
  }
}

void BundleReader::fill_numbers(std::string_view name, const StoredTensor& entry,
                                Tensor& tensor) const {
  // A piece is checksummed while it is still in the cache.
  constexpr size_t kPiece = 1 << 20;
  auto* bytes = static_cast<unsigned char*>(tensor.raw());
  uint32_t crc = 0;
  for (uint64_t done = 0; done < entry.bytes;) {
    const size_t n = static_cast<size_t>(std::min<uint64_t>(kPiece, entry.bytes - done));
    shards_[static_cast<size_t>(entry.shard)].read(entry.offset + done, bytes + done, n);
    crc = crc32c_extend(crc, bytes + done, n);
    done += n;
  }
  check_crc(place(name, entry), "checksum", unmask_crc(entry.masked_crc), crc);
  if (tensor.dtype() == DType::kBool &&
      std::any_of(bytes, bytes + entry.bytes, [](auto b) { return b > 1; })) {
    throw data_loss(place(name, entry), ": expected bytes 0 and 1 for a bool, found others");
  }
}

void BundleReader::fill_strings(std::string_view name, const StoredTensor& entry,
                                Tensor& tensor) const {
  const auto strings = tensor.flat<std::string>();
  if (entry.bytes == 0) return;  // no elements: some writers store not even a checksum
  std::string bytes(entry.bytes, '\0');
  shards_[static_cast<size_t>(entry.shard)].read(entry.offset, bytes.data(), bytes.size());

  std::string_view rest = bytes;
  std::vector<uint64_t> lengths(strings.size());
  uint32_t crc = 0;
  uint64_t total = 0;
  for (uint64_t& length : lengths) {
    const auto taken = take_varint(rest);
    if (!taken || *taken > bytes.size() - total) {
      throw data_loss(place(name, entry), ": expected the lengths of ", strings.size(),
                      " strings; the file is corrupt, use another checkpoint");
    }
    length = *taken;
    total += length;
    // Checksummed as 32-bit words, 64-bit ones where they need it; see the writer.
    crc = crc32c_extend(crc, &length, length <= UINT32_MAX ? 4 : 8);
  }
  if (rest.size() < 4 || rest.size() - 4 != total) {
    throw data_loss(place(name, entry), ": expected a checksum and ", total,
                    " bytes of strings, found ", rest.size(), " bytes");
  }
  uint32_t stored_crc;
  std::memcpy(&stored_crc, rest.data(), 4);
  check_crc(place(name, entry), "checksum of the lengths", unmask_crc(stored_crc), crc);
  crc = crc32c_extend(crc, rest.data(), rest.size());
  check_crc(place(name, entry), "checksum", unmask_crc(entry.masked_crc), crc);
  rest.remove_prefix(4);
  for (size_t i = 0; i < strings.size(); ++i) {
    strings[i] = rest.substr(0, lengths[i]);
    rest.remove_prefix(lengths[i]);
  }
}

void BundleReader::fill_slices(std::string_view name, const StoredTensor& entry,
                               Tensor& tensor) const {
  // That the sizes add up does not prove that the slices do not overlap: leave nothing
  // uninitialised.
  if (tensor.dtype() != DType::kString) std::memset(tensor.raw(), 0, tensor.bytes());
  for (const Slice& stored : entry.slices) {
    const StoredTensor& part_entry = entries_.find(slice_key(name, stored))->second;
    Tensor part(tensor.dtype(), part_entry.shape);
    fill(name, part_entry, part);
    copy_slice(part, explicit_slice(stored, entry.shape), tensor);
  }
}

}  // namespace trireme::io
